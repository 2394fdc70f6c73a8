"""The contract of a job: what a caller asks to have translated. Does not know how it travels."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .ids import JobId, new_job_id
from .languages import Language
from .texts import LONGEST_TEXT_CHARACTERS, CleanText, Metadata, Moment, SourceText

Lane = Literal["interactive", "bulk"]

_CONTRACT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TranslationOptions(BaseModel):
    """How to translate; what is not given is the worker's choice."""

    model_config = _CONTRACT

    beam_size: Annotated[int, Field(ge=1, le=16)] | None = Field(
        None, description="hypotheses kept at each step; 1 = greedy"
    )
    length_penalty: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = Field(
        None, description="exponent of the length that a hypothesis's score is divided by; 0 = none"
    )


class TranslationJob(BaseModel):
    """One segment to translate, version 1.

    Writing one is strict: an unknown field is refused. Reading is tolerant: an unknown field is ignored.
    """

    model_config = _CONTRACT

    schema_version: Literal[1] = Field(1, description="version of this contract")
    job_id: JobId = Field(
        default_factory=new_job_id,
        description="UUIDv7 made by the caller; it is the idempotency key: whoever publishes again keeps it",
    )
    client_id: CleanText = Field(min_length=1, max_length=200, description="who asks")
    source_text: SourceText = Field(
        min_length=1,
        max_length=LONGEST_TEXT_CHARACTERS,
        description="the segment; not only white space, no U+0000",
    )
    source_language: Language = Field(description="BCP-47 tag, e.g. en, pt-BR")
    target_language: Language = Field(description="BCP-47 tag")
    lane: Lane = Field("interactive", description="interactive = someone waits; bulk = throughput counts")
    submitted_at: Moment = Field(default_factory=lambda: datetime.now(UTC), description="when the caller submitted it")
    deadline: Moment | None = Field(None, description="after this the translation is of no use: it is rejected")
    options: TranslationOptions = Field(default_factory=TranslationOptions)
    model: CleanText | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="model version to use and no other; null = the worker's",
    )
    metadata: Metadata = Field(default_factory=dict, description="comes back untouched in the result")
    no_trace: bool = Field(False, description="true = no text of it is kept anywhere but on Kafka")
