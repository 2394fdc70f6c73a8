"""The contract of a correction: what a person says a segment must become. Does not know how it is kept."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .languages import Language
from .texts import LONGEST_TEXT_CHARACTERS, CleanText, SourceText

Origin = Literal["cli", "api", "tmx", "xliff", "jsonl", "tsv"]

# Names are indexed or shown in a column.
_Name = Annotated[CleanText, Field(min_length=1, max_length=200)]
# A translation follows the rules of a source text: not empty, not only white space, bounded, storable.
_Text = Annotated[SourceText, Field(min_length=1, max_length=LONGEST_TEXT_CHARACTERS)]


class Signature(BaseModel):
    """Who says something of a translation, why, and how it came to us."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    author: _Name = Field(description="who says so")
    reason: Annotated[CleanText, Field(max_length=2_000)] | None = Field(None, description="why")
    origin: Origin = Field("api", description="how it came to us")


class Correction(Signature):
    """The translation that a segment has from now on, for one client or for all."""

    source_text: _Text = Field(description="the segment, character for character as jobs have it")
    target_text: _Text = Field(description="what it must become")
    source_language: Language = Field(description="BCP-47 tag, as jobs have it")
    target_language: Language = Field(description="BCP-47 tag, as jobs have it")
    client_id: _Name | None = Field(None, description="for the jobs of this client only; null = for everybody's")
    job_id: UUID | None = Field(None, description="the job whose translation is corrected; null = none in particular")
