"""Structured logs. Events are past-tense words with numbers and ids; a source or target text is never a field."""

import logging
import sys
from collections.abc import Callable

import structlog

from ..settings import Settings


def configure_logging(settings: Settings) -> None:
    """Send our events to standard error: readable lines on a terminal, JSON elsewhere."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=_logger,
        cache_logger_on_first_use=True,
    )


def count_dropped_lines(count: Callable[[], object]) -> None:
    """From now on, call this for each line that cannot be written."""
    global _count_dropped
    _count_dropped = count


def _nobody_counts() -> None:
    """Before a worker has its metrics."""


_count_dropped: Callable[[], object] = _nobody_counts


class _Stderr(structlog.PrintLogger):
    """Lines on standard error; one that cannot be written (a full disk, a closed pipe) is dropped: work goes on."""

    def msg(self, message: str) -> None:
        try:
            super().msg(message)
        except (OSError, ValueError):
            _count_dropped()

    # structlog calls the method that is named after the level.
    log = debug = info = warn = warning = error = critical = exception = msg


def _logger(*_: object) -> _Stderr:
    return _Stderr(sys.stderr)
