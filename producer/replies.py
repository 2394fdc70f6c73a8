"""Waits for the results of jobs. Knows the topic of results; joins no consumer group and commits nothing."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

import structlog

from ..schemas.codec import UndecodableMessageError, decode_result
from ..schemas.results import TranslationResult
from ..schemas.topics import RESULTS
from ..settings import Settings
from .errors import ResultTimeoutError
from .kafka import KafkaTail

_POLL_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class ResultReader:
    """Reads every result published after it was made (or all that are kept, with start "beginning").

    Make it before the jobs are submitted, so that no result is missed.
    """

    def __init__(self, settings: Settings, start: Literal["end", "beginning"] = "end") -> None:
        self._tail = KafkaTail(settings, RESULTS.full_name(settings.topic_prefix), start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def poll(self, timeout_seconds: float) -> list[TranslationResult]:
        """Return the results that have arrived, repetitions too; wait at most so long for the first."""
        results = []
        for message in self._tail.poll(timeout_seconds):
            try:
                results.append(decode_result(message.value))
            except UndecodableMessageError as error:
                position = {"partition": message.partition, "offset": message.offset}
                _log.warning("foreign_message_skipped", reason=error.reason, **position)
        return results

    def wait_for(self, job_ids: Iterable[UUID], timeout_seconds: float) -> Iterator[TranslationResult]:
        """Yield the result of each job once, as they come; raises `ResultTimeoutError` for the rest."""
        missing = set(job_ids)
        deadline = time.monotonic() + timeout_seconds
        while missing:
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                raise ResultTimeoutError(missing, timeout_seconds)
            for result in self.poll(min(_POLL_SECONDS, remaining_seconds)):
                if result.job_id in missing:  # a repetition of an event finds its job gone
                    missing.discard(result.job_id)
                    yield result

    def close(self) -> None:
        """Let go of the connection."""
        self._tail.close()
