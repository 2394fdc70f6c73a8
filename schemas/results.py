"""The contract of a result: the answer to a job. Does not know how it travels."""

from enum import StrEnum
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .ids import RESULT_EVENT, event_id
from .texts import Metadata, Moment


class ResultStatus(StrEnum):
    """How a job ended. A job ends once."""

    TRANSLATED = "translated"  # there is a translation
    REJECTED = "rejected"  # the job could not be accepted; publishing it again will not help
    FAILED = "failed"  # the job was accepted and the model could not translate it


def _result_event(known: dict[str, Any]) -> UUID:
    return event_id(known["job_id"], RESULT_EVENT)


class TranslationResult(BaseModel):
    """What became of one job, version 1.

    It is published at least once; `event_id` is the same each time, so a reader can drop repetitions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal[1] = Field(1, description="version of this contract")
    job_id: UUID = Field(description="the job that this answers")
    event_id: UUID = Field(
        default_factory=_result_event, description="the same whenever this result is published again"
    )
    client_id: str | None = Field(None, description="who asked; null when the message could not be read")
    status: ResultStatus = Field(description="translated, rejected or failed")
    source_language: str | None = Field(None, description="as in the job")
    target_language: str | None = Field(None, description="as in the job")
    translation: str | None = Field(None, description="the target text, exactly when status is translated")
    score: float | None = Field(
        None, allow_inf_nan=False, description="log-probability of the translation after length penalty"
    )
    reason: str | None = Field(None, description="why there is no translation: a word of the table of reasons")
    detail: str | None = Field(None, description="the same as a sentence for people")
    model_version: str | None = Field(None, description="the model that was asked")
    source_pieces: int | None = Field(None, ge=0, description="pieces of the source text")
    target_pieces: int | None = Field(None, ge=0, description="pieces of the translation")
    attempt: int = Field(1, ge=1, description="which attempt ended the job")
    cached: bool = Field(False, description="true when the model was not asked again for the same text")
    submitted_at: Moment | None = Field(None, description="as in the job")
    admitted_at: Moment | None = Field(None, description="when a worker accepted the job")
    finished_at: Moment = Field(description="when its outcome was known")
    metadata: Metadata = Field(default_factory=dict, description="as in the job")

    @model_validator(mode="after")
    def _status_fits(self) -> Self:
        translated = self.status is ResultStatus.TRANSLATED
        if translated != (self.translation is not None):
            raise ValueError("a translation belongs to a result that is translated, and to no other")
        if translated != (self.reason is None):
            raise ValueError("a reason belongs to a result that is rejected or failed, and to no other")
        return self
