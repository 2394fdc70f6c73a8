"""Publishes a file of segments, resumably: interrupted and started again, no segment becomes two jobs.

Knows files, the journal and the producer; not what becomes of the jobs.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from ..errors import ConfigurationError, RejectedJobError
from ..schemas.jobs import Lane
from ..settings import Settings
from .journal import FileIdentity, Journal, fingerprint, load_journal, save_journal
from .producer import JobDetails, TranslationProducer
from .publisher import DeliveryReport, Publisher
from .segments import BadLine, Form, Line, Segment, read_segments

# After a crash at most so many jobs are published again, with the ids they had.
_LINES_BETWEEN_SAVES = 5_000
_MOST_BAD_LINES_NAMED = 20

OnLine = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A file to publish; languages given here are those of lines that name none. `no_trace` is that of all its jobs."""

    path: Path
    form: Form
    source: str | None
    target: str | None
    lane: Lane
    no_trace: bool = False


@dataclass(slots=True)
class PublishSummary:
    """What publishing a file came to; `resumed_after` lines were done by an earlier run."""

    resumed_after: int = 0
    published: int = 0
    blank: int = 0
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)  # the first of them
    already_complete: bool = False

    def note_bad(self, line: BadLine) -> None:
        """Count a bad line, and keep it if it is among the first."""
        self.bad += 1
        if len(self.bad_lines) < _MOST_BAD_LINES_NAMED:
            self.bad_lines.append(line)


class LinePrefix:
    """How many lines from the first on are done, though they finish in any order."""

    def __init__(self, done_lines: int) -> None:
        self._lock = threading.Lock()
        self._done_lines = done_lines
        self._ahead: set[int] = set()

    @property
    def done_lines(self) -> int:
        """Lines 1 to this one are done."""
        with self._lock:
            return self._done_lines

    def finish(self, line_number: int) -> None:
        """Note that a line is done."""
        with self._lock:
            self._ahead.add(line_number)
            while self._done_lines + 1 in self._ahead:
                self._done_lines += 1
                self._ahead.remove(self._done_lines)


def open_run(request: PublishRequest) -> Journal:
    """Return the interrupted run over this file, or a new one.

    Raises `ConfigurationError` when the file is not what it was at the earlier run.
    """
    digest, line_count = fingerprint(request.path)
    identity = FileIdentity(
        digest, line_count, request.form, request.source, request.target, request.lane, request.no_trace
    )
    found = load_journal(request.path)
    if found is None:
        return Journal.begin(identity)
    if found.identity != identity:
        raise ConfigurationError(
            f"{request.path}, its languages, its lane or --no-trace are not those of the earlier run: "
            "--restart publishes it anew, as new jobs"
        )
    return found


class FilePublisher:
    """One run over one file. `on_line` is called with the number of each line that was read."""

    def __init__(self, request: PublishRequest, journal: Journal, on_line: OnLine) -> None:
        self.summary = PublishSummary(resumed_after=journal.done_lines, already_complete=journal.complete)
        self._request = request
        self._journal = journal
        self._on_line = on_line
        self._prefix = LinePrefix(journal.done_lines)
        self._line_numbers: dict[UUID, int] = {}

    def run(self, settings: Settings, publisher: Publisher | None = None) -> PublishSummary:
        """Publish what is not yet acknowledged; whatever interrupts this, the next run resumes.

        Raises `DeliveryError`, `BrokerUnavailableError` or `MissingTopicError`.
        """
        if self._journal.complete:
            return self.summary
        self._save()
        try:
            with TranslationProducer(settings, publisher, on_delivery=self._settle) as producer:
                for line in read_segments(self._request.path, self._request.form):
                    if line.line_number > self._journal.done_lines:
                        self._take(line, producer)
                    self._on_line(line.line_number)
        except BaseException:
            self._save()
            raise
        self._save(complete=True)
        return self.summary

    def _take(self, line: Line, producer: TranslationProducer) -> None:
        match line:
            case Segment():
                self._submit(line, producer)
            case BadLine():
                self.summary.note_bad(line)
                self._prefix.finish(line.line_number)
            case _:
                self.summary.blank += 1
                self._prefix.finish(line.line_number)
        if line.line_number % _LINES_BETWEEN_SAVES == 0:
            self._save()

    def _submit(self, segment: Segment, producer: TranslationProducer) -> None:
        number = segment.line_number
        job_id = self._journal.job_id(number)
        self._line_numbers[job_id] = number
        try:
            producer.submit(
                segment.text,
                source=segment.source or self._request.source or "",
                target=segment.target or self._request.target or "",
                lane=self._request.lane,
                details=JobDetails(job_id=job_id, metadata=segment.metadata, no_trace=self._request.no_trace),
            )
            self.summary.published += 1
        except RejectedJobError as error:
            self.summary.note_bad(BadLine(number, str(error)))
            self._prefix.finish(number)

    def _settle(self, job_id: UUID, report: DeliveryReport) -> None:
        number = self._line_numbers.pop(job_id)
        if report.error is None:
            self._prefix.finish(number)

    def _save(self, *, complete: bool = False) -> None:
        progress = {"done_lines": self._prefix.done_lines, "complete": complete}
        save_journal(self._request.path, self._journal.model_copy(update=progress))
