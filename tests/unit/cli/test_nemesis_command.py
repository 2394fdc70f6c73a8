"""`dragoman-nemesis`, where the fault suite is and where it is not."""

import sys
from importlib.metadata import entry_points

import pytest

NEMESIS = "dragoman.tests.faults.nemesis"


def run(*arguments: str) -> None:
    [command] = entry_points(group="console_scripts", name="dragoman-nemesis")
    sys.argv[1:] = arguments
    command.load()()


@pytest.fixture(autouse=True)
def own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dragoman-nemesis"])


def test_the_command_takes_a_seed_and_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--help")

    assert ended.value.code == 0
    assert {"--seed", "--minutes"} <= set(capsys.readouterr().out.split())


def test_a_command_without_its_suite_says_where_it_is_to_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, NEMESIS, None)

    with pytest.raises(SystemExit) as ended:
        run("--seed", "1")

    assert ended.value.code == 1
    assert f"needs {NEMESIS}" in capsys.readouterr().err
