"""A failpoint does what DRAGOMAN_FAILPOINT says where it says, and nothing without it."""

import os
import signal
import subprocess
import sys

import pytest
from dragoman.errors import ConfigurationError
from dragoman.failpoints import Failpoint

REACH_TWICE = "from dragoman.failpoints import reached; reached('here'); print('once'); reached('here'); print('twice')"


def reach(failpoint: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"DRAGOMAN_FAILPOINT": failpoint} if failpoint else {})
    command = [sys.executable, "-c", REACH_TWICE]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_nothing_happens_when_no_failpoint_is_set() -> None:
    assert reach("").stdout == "once\ntwice\n"


def test_nothing_happens_at_another_place() -> None:
    assert reach("there:kill").stdout == "once\ntwice\n"


def test_the_process_dies_there_and_says_so() -> None:
    ended = reach("here:kill")

    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr == '{"event": "failpoint_reached", "failpoint": "here", "action": "kill"}\n'


def test_only_the_time_that_was_named_counts() -> None:
    ended = reach("here:raise:2")

    assert ended.stdout == "once\n"
    assert "FailpointError" in ended.stderr


def test_a_sleep_ends_by_itself() -> None:
    assert reach("here:sleep:0.01:2").stdout == "once\ntwice\n"


@pytest.mark.parametrize(
    "text", ["here", "here:explode", ":kill", "here:sleep", "here:kill:x", "here:kill:0", "a:kill:1:2"]
)
def test_an_unusable_failpoint_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write NAME:kill"):
        Failpoint.parse(text)


def test_a_failpoint_is_read_as_it_is_written() -> None:
    assert Failpoint.parse("before-commit:sleep:2.5:3") == Failpoint("before-commit", "sleep", 2.5, 3)
