"""Whatever the documents name exists: commands and their options, make verbs, variables, metrics, files, extras."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import dragoman
import pytest
from dragoman.cli.main import dragoman as command_line
from dragoman.settings import PREFIX, Settings
from dragoman.worker.metrics import Metrics

ROOT = Path(dragoman.__file__).parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "model" / "checkpoints").glob("*/*.md")),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in DOCUMENTS}
# Read before there are settings, or by the training configs.
SECRET_FILES = {"KAFKA_PASSWORD_FILE", "DATABASE_URL_FILE", "TEXT_KEYS_FILE"}
OTHER_VARIABLES = {"ENV_FILE", "CACHE_DIR", "CORPORA", "TEST_HISTORIES"} | SECRET_FILES
SERIES = ("", "_total", "_bucket", "_sum", "_count")


def _code(text: str) -> list[str]:
    """The lines of shell blocks, and what stands between backticks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for block in blocks for line in block.splitlines()] + inline


def _lines_of(program: str) -> list[str]:
    """Every documented line that runs the program, without variables before it or redirections behind."""
    found = {
        re.split(r"[|<>]", match[1])[0].strip()
        for text in TEXTS.values()
        for line in _code(text)
        if (match := re.fullmatch(rf"(?:[A-Z_]+=\S+ )*({program} .*)", line.strip()))
    }
    return sorted(found)


def _resolve(words: list[str]) -> None:
    """Raise `click.UsageError` unless the words name a command, options that it has, and no argument too many."""
    command: click.Command = command_line
    while isinstance(command, click.Group) and words:
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    _, unused, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    assert unused == []


@pytest.mark.parametrize("line", _lines_of("dragoman"))
def test_command_exists_when_a_document_names_it(line: str) -> None:
    _resolve(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("line", _lines_of("make"))
def test_make_verb_exists_when_a_document_names_it(line: str) -> None:
    verb = shlex.split(line, comments=True)[1]

    assert re.search(rf"^{verb}:", (ROOT / "Makefile").read_text("utf-8"), re.M)


@pytest.mark.parametrize("line", _lines_of("docker"))
def test_compose_file_exists_when_a_document_names_it(line: str) -> None:
    files = re.findall(r"-f (\S+)", line)

    assert files
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("line", _lines_of("pip"))
def test_extra_exists_when_a_document_installs_it(line: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [extra for group in re.findall(r"\[([\w,]+)\]", line) for extra in group.split(",")]

    assert set(named) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("document", TEXTS)
def test_variable_is_a_setting_when_a_document_names_it(document: str) -> None:
    named = {name.rstrip("_") for name in re.findall(rf"\b{PREFIX}([A-Z][A-Z_]*)", TEXTS[document])}

    assert {name.lower() for name in named - OTHER_VARIABLES} <= set(Settings.model_fields)


@pytest.mark.parametrize("document", TEXTS)
def test_metric_exists_when_a_document_names_it(document: str) -> None:
    known = {metric.name + ending for metric in Metrics().registry.collect() for ending in SERIES}

    assert set(re.findall(r"\bdragoman_[a-z_]+", TEXTS[document])) <= known


@pytest.mark.parametrize("document", TEXTS)
def test_path_exists_when_a_document_names_it(document: str) -> None:
    names = re.findall(r"`((?:\w+/)+[\w.-]*|\w+\.(?:py|toml|yaml))`", TEXTS[document])
    missing = [name for name in names if not (ROOT / name).exists() and not list(ROOT.glob(f"*/{name}"))]

    assert missing == []


def test_the_command_check_refuses_what_does_not_exist() -> None:
    with pytest.raises(click.UsageError):
        _resolve(["history", "tail", "--colour"])
