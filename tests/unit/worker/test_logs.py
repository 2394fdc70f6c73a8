"""Where log lines go."""

import io

import pytest
import structlog
from dragoman.settings import Settings
from dragoman.worker import logs
from dragoman.worker.logs import configure_logging, count_dropped_lines
from dragoman.worker.metrics import Metrics


class Full(io.StringIO):
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def plain_structlog() -> object:
    yield
    structlog.reset_defaults()


def test_a_line_that_cannot_be_written_is_dropped_and_counted_and_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = Metrics().log_lines_dropped
    monkeypatch.setattr(logs, "_count_dropped", None)
    monkeypatch.setattr("sys.stderr", Full())
    configure_logging(Settings(log_format="json"))
    count_dropped_lines(dropped.inc)
    structlog.get_logger("test").warning("something_happened")

    assert dropped._value.get() == 1


def test_lines_are_json_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging(Settings(log_format="json"))
    structlog.get_logger("test").error("something_happened", rows=3)
    assert '"rows": 3' in written.getvalue()
    assert '"level": "error"' in written.getvalue()
