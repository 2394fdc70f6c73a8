"""`dragoman models list`, `show`, `verify`, `convert` and `average` with a tiny checkpoint of random weights."""

import json
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli.models_show import average, convert, list_models, show, verify
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dragoman.model.manifest import CheckpointError
from dragoman.model.shipped import default_checkpoint
from dragoman.model.summary import summarise
from dragoman.model.vocabularies.characters import CharacterVocabulary

CPU = torch.device("cpu")
CARD = "# tiny\n\n" + "\n".join(f"Line {number}." for number in range(30)) + "\n"
COMMANDS = click.Group("models", commands=[list_models, show, verify, convert, average])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    vocabulary = CharacterVocabulary("abcdefgh", ["fr", "es"])
    shape = TransformerConfig(len(vocabulary), width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1)
    tiny = Checkpoint("tiny", (("en", "fr"), ("en", "es")), Transformer(shape), vocabulary, CARD)
    save_checkpoint(tiny, tmp_path / "models" / "tiny")
    return tmp_path / "models" / "tiny"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(COMMANDS, list(map(str, arguments)))


def rows(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_shipped_checkpoints_are_listed() -> None:
    result = run("list")

    assert result.exit_code == 0
    assert str(default_checkpoint()) in [row[-1] for row in rows(result)]


@pytest.mark.parametrize("where", ["the folder", "its parent"])
def test_checkpoints_of_a_folder_are_listed(folder: Path, where: str) -> None:
    found = rows(run("list", {"the folder": folder, "its parent": folder.parent}[where]))[-1]

    assert found == [
        summarise(folder).version,
        "en-fr",
        "en-es",
        "transformer",
        f"{summarise(folder).parameter_count:,}",
        "float16",
        "0.0",
        "MB",
        str(folder),
    ]


def test_list_is_one_json_object_a_line_when_asked_for(folder: Path) -> None:
    listed = [json.loads(line) for line in run("list", folder, "--json").stdout.splitlines()]

    assert listed[-1] == {
        "version": load_checkpoint(folder, CPU).version,
        "name": "tiny",
        "pairs": ["en-fr", "en-es"],
        "architecture": "transformer",
        "parameters": sum(parameter.numel() for parameter in load_checkpoint(folder, CPU).network.parameters()),
        "storage": "float16",
        "size_bytes": sum(path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json"),
        "folder": str(folder),
    }


def test_checkpoint_that_cannot_be_read_is_listed_with_the_others(folder: Path) -> None:
    broken = folder.with_name("broken")
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    result = run("list", folder.parent)

    assert [row[-1] for row in rows(result)[-2:]] == [str(broken), str(folder)]
    assert rows(result)[-2][:3] == ["cannot", "be", "read"]
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"{broken}/manifest.json is not JSON: copy the whole checkpoint again"


def test_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    result = run("list", tmp_path)

    assert str(result.exception) == f"there is no checkpoint in {tmp_path}: name one, or a folder that holds some"


def test_show_tells_config_files_and_parameters(folder: Path) -> None:
    facts = {line.split()[0]: line for line in run("show", folder).stdout.split("\n\n")[0].splitlines()}

    assert facts["version"].endswith(summarise(folder).version)
    assert facts["pairs"].endswith("en-fr en-es")
    assert "transformer: vocabulary_size 14, width 16, heads 2" in facts["architecture"]
    assert facts["vocabulary"].endswith("characters: characters.json")
    assert facts["embedding"].endswith(" 224")
    assert summarise(folder).manifest.files["model.safetensors"].sha256 in facts["model.safetensors"]


def test_show_prints_the_beginning_of_the_card(folder: Path) -> None:
    printed = run("show", folder).stdout

    assert printed.endswith(
        "\n\n# tiny\n\n" + "".join(f"Line {n}.\n" for n in range(10)) + "... (20 more lines in README.md)\n"
    )


def test_show_prints_all_of_a_short_card(folder: Path) -> None:
    save_checkpoint(load_checkpoint(folder, CPU), folder)
    checkpoint = load_checkpoint(folder, CPU)
    save_checkpoint(Checkpoint("t", (), checkpoint.network, checkpoint.vocabulary, "# short\n"), folder)

    assert run("show", folder).stdout.endswith("\n\n# short\n")


def test_show_is_json_when_asked_for(folder: Path) -> None:
    shown = json.loads(run("show", folder, "--json").stdout)

    assert shown["config"] == json.loads((folder / "config.json").read_text())
    assert shown["files"] == json.loads((folder / "manifest.json").read_text())["files"]
    assert (shown["version"], shown["card"]) == (load_checkpoint(folder, CPU).version, CARD)
    assert shown["parameters"]["embedding"] == 14 * 16


def test_int8_matrices_count_once(folder: Path, tmp_path: Path) -> None:
    run("convert", folder, tmp_path / "small", "--storage", "int8")

    assert summarise(tmp_path / "small").parameters == summarise(folder).parameters


def test_shipped_checkpoint_is_shown_by_its_name() -> None:
    assert run("show", default_checkpoint().name).stdout.startswith("version")


def test_whole_checkpoint_is_verified(folder: Path) -> None:
    result = run("verify", folder)

    assert result.exit_code == 0
    assert result.stdout.startswith(f"{load_checkpoint(folder, CPU).version} is whole: 4 files, ")


def test_damaged_checkpoint_is_not_verified(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    result = run("verify", folder)

    assert isinstance(result.exception, CheckpointError)
    assert "model.safetensors is truncated or was changed" in str(result.exception)


@pytest.mark.parametrize("command", ["show", "verify"])
def test_missing_checkpoint_is_refused(tmp_path: Path, command: str) -> None:
    result = run(command, tmp_path / "none")

    assert isinstance(result.exception, CheckpointError)
    assert "there is no checkpoint folder" in str(result.exception)


def test_converted_checkpoint_is_smaller_and_loads(folder: Path, tmp_path: Path) -> None:
    result = run("convert", folder, tmp_path / "small", "--storage", "int8")

    small = load_checkpoint(tmp_path / "small", CPU)
    assert f" -> {small.version} as int8, " in result.stdout
    assert (small.name, small.pairs, small.card) == ("tiny", (("en", "fr"), ("en", "es")), CARD)
    assert summarise(tmp_path / "small").config.storage == "int8"


def test_checkpoint_is_not_converted_over_something_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").touch()
    result = run("convert", folder, tmp_path / "letters", "--storage", "float32")

    assert "letters exists and is not a checkpoint" in str(result.exception)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("way", ["tiny", "../models/tiny", "link"])
def test_checkpoint_is_not_converted_over_itself(folder: Path, way: str) -> None:
    (folder.parent / "link").symlink_to(folder)
    before = contents(folder)
    result = run("convert", folder, folder.parent / way, "--storage", "int8")

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == (
        f"{folder.parent / way} would be overwritten with what is made of it: name another folder"
    )
    assert contents(folder) == before


@pytest.mark.parametrize("spared", ["tiny", "other"])
def test_average_is_not_saved_over_what_it_is_made_of(folder: Path, spared: str) -> None:
    other = folder.with_name("other")
    save_checkpoint(load_checkpoint(folder, CPU), other, "float32")
    before = contents(folder), contents(other)
    result = run("average", folder, other, folder.with_name(spared))

    assert isinstance(result.exception, ConfigurationError)
    assert f"{spared} would be overwritten with what is made of it: name another folder" in str(result.exception)
    assert (contents(folder), contents(other)) == before


def test_average_is_saved_over_an_older_checkpoint(folder: Path) -> None:
    for name in ("other", "old"):
        save_checkpoint(load_checkpoint(folder, CPU), folder.with_name(name), "float32")
    result = run("average", folder, folder.with_name("other"), folder.with_name("old"))

    assert (result.exit_code, summarise(folder.with_name("old")).config.storage) == (0, "float16")


@pytest.mark.parametrize("arguments", [[], ["--storage", "int4"]])
def test_storage_must_be_one_there_is(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run("convert", folder, tmp_path / "out", *arguments).exit_code == 2
