"""The progress of publishing a file, kept beside it so that the run can be resumed. Knows no Kafka."""

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import ConfigurationError
from ..schemas.ids import derived_id
from .segments import Form

JOURNAL_SUFFIX = ".dragoman-progress"


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which file, and how it was to be read: what must be unchanged for a run to be resumed."""

    content_sha256: str
    line_count: int
    form: Form
    source: str | None
    target: str | None
    lane: str
    # Not in the journals of runs that began before there was such a wish.
    no_trace: bool = False


class Journal(BaseModel):
    """One run over one file. The ids of its jobs follow from it: resumed, no segment becomes two jobs."""

    model_config = ConfigDict(frozen=True)

    run_id: UUID
    started_at: datetime
    identity: FileIdentity
    done_lines: int = 0  # so many lines from the first on are published and acknowledged, blank, or bad
    complete: bool = False

    @classmethod
    def begin(cls, identity: FileIdentity) -> Self:
        """Start a new run."""
        return cls(run_id=uuid4(), started_at=datetime.now(UTC), identity=identity)

    def job_id(self, line_number: int) -> UUID:
        """Return the id of the job that the segment on this line becomes."""
        return derived_id(self.started_at, str(self.run_id), str(line_number))


def journal_path(path: Path) -> Path:
    """Return where the journal of `path` is kept."""
    return path.with_name(path.name + JOURNAL_SUFFIX)


def load_journal(path: Path) -> Journal | None:
    """Read the journal of `path`, or return None when there is none."""
    try:
        return Journal.model_validate_json(journal_path(path).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise ConfigurationError(
            f"{journal_path(path)} is damaged: --restart publishes the file anew, as new jobs"
        ) from None


def save_journal(path: Path, journal: Journal) -> None:
    """Write the journal of `path`, durably: after a crash it is the old one or the new one."""
    target = journal_path(path)
    draft = target.with_name(target.name + ".new")
    try:
        with draft.open("wb") as file:
            file.write(journal.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise ConfigurationError(
            f"the progress cannot be kept in {target} ({error.strerror}): put the file where you may write"
        ) from error


def fingerprint(path: Path) -> tuple[str, int]:
    """Return the file's SHA-256 and its number of lines."""
    digest, newlines, last = hashlib.sha256(), 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                newlines += block.count(b"\n")
                last = block[-1:]
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest(), newlines + (last != b"\n")
