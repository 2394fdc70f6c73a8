"""The command `dragoman` itself: what it exits with."""

import signal
import sys
from contextlib import suppress
from types import SimpleNamespace

import click
import pytest
from dragoman.cli import lazy_commands
from dragoman.cli.main import main
from dragoman.errors import DragomanError


def run(monkeypatch: pytest.MonkeyPatch, imported: object) -> int | str | None:
    """The exit code of `dragoman train` when its module is what `imported` gives."""
    monkeypatch.setattr(lazy_commands, "import_module", imported)
    monkeypatch.setattr(sys, "argv", ["dragoman", "train"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def interrupt(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def swallow_interrupt(*_: object) -> None:
    """As torch does while it imports numpy, which then cannot be imported a second time."""
    with suppress(KeyboardInterrupt):
        interrupt()
    raise ImportError("cannot load module more than once per process")


@click.command()
def interrupted() -> None:
    interrupt()


@click.command()
def choosing() -> None:
    raise SystemExit(3)


@click.command()
def asking() -> None:
    click.confirm("Go on?", abort=True)


@click.command()
def failing() -> None:
    raise DragomanError("the cat sleeps on it")


def module_with(command: click.Command) -> object:
    return lambda *_: SimpleNamespace(train=command)


def test_exit_code_is_130_when_the_import_of_a_subcommand_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, interrupt) == 130
    assert capsys.readouterr().err == "\ndragoman: interrupted\n"


def test_exit_code_is_130_when_a_library_swallows_the_interrupt_of_its_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, swallow_interrupt) == 130


def test_interrupt_is_handled_as_before_when_a_subcommand_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, module_with(choosing))

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_exit_code_is_130_when_a_subcommand_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, module_with(interrupted)) == 130


def test_exit_code_is_that_of_the_subcommand_when_it_chose_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, module_with(choosing)) == 3
    assert capsys.readouterr().err == ""


def test_exit_code_is_1_when_a_question_is_answered_with_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.termui, "visible_prompt_func", lambda _: "n")

    assert run(monkeypatch, module_with(asking)) == 1


def test_exit_code_is_1_and_a_sentence_says_why_when_it_cannot_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, module_with(failing)) == 1
    assert capsys.readouterr().err == "dragoman: the cat sleeps on it\n"
