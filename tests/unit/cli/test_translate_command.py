"""`dragoman translate` with a tiny checkpoint of random weights."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli import translate as module
from dragoman.cli.translate import translate
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary

LINES = ["A boat crosses the lake.", "Two oars lie on the wet sand near the old hut.", "Yes.", "The wind turns."]
VOCABULARY_SIZE = 286


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    tokenizer = SubwordVocabulary.train(LINES, VOCABULARY_SIZE)
    shape = TransformerConfig(VOCABULARY_SIZE, width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save_checkpoint(Checkpoint("tiny-en-fr", (("en", "fr"),), Transformer(shape), tokenizer, "# tiny\n"), folder)
    return folder


@pytest.fixture(scope="module")
def translator(checkpoint_folder: Path) -> Translator:
    return Translator.load(checkpoint_folder, "cpu")


def run(folder: Path, content: str | bytes, *more: str) -> Result:
    arguments = ["-s", "en", "-t", "fr", "--device", "cpu", "--beam-size", "1", "--model", str(folder), *more]
    return CliRunner().invoke(translate, arguments, input=content)


def lines_of(result: Result) -> list[str]:
    """Lines of the output; only a line feed ends one."""
    *lines, rest = result.stdout.split("\n")
    assert rest == ""
    return lines


def greedy(translator: Translator, *texts: str) -> list[str]:
    return [one.text for one in translator.translate(texts, SearchOptions(beam_size=1))]


def test_one_line_comes_out_for_each_line_in_order(checkpoint_folder: Path, translator: Translator) -> None:
    result = run(checkpoint_folder, "\n".join(LINES) + "\n")

    assert (result.exit_code, lines_of(result)) == (0, greedy(translator, *LINES))


def test_last_line_needs_no_line_feed(checkpoint_folder: Path, translator: Translator) -> None:
    assert lines_of(run(checkpoint_folder, "Yes.")) == greedy(translator, "Yes.")


def test_lines_keep_their_order_from_chunk_to_chunk(
    checkpoint_folder: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 3)

    assert lines_of(run(checkpoint_folder, "\n".join(LINES * 2))) == greedy(translator, *LINES, *LINES)


def test_blank_line_stays_blank(checkpoint_folder: Path, translator: Translator) -> None:
    [yes] = greedy(translator, "Yes.")

    assert lines_of(run(checkpoint_folder, "\nYes.\n \t\r\nYes.\n\n")) == ["", yes, "", yes, ""]


def test_nothing_comes_out_when_nothing_goes_in(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, "")

    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_only_a_line_feed_ends_a_line(checkpoint_folder: Path, separator: str) -> None:
    assert len(lines_of(run(checkpoint_folder, f"Yes.{separator}The wind turns.\nYes.\n"))) == 2


def test_line_that_is_too_long_is_empty_in_the_output_and_named(
    checkpoint_folder: Path, translator: Translator
) -> None:
    long = "lake " * 300
    result = run(checkpoint_folder, f"Yes.\n{long}\nYes.\n")

    [yes] = greedy(translator, "Yes.")
    [pieces] = translator.encode([long])
    assert (result.exit_code, lines_of(result)) == (1, [yes, "", yes])
    assert result.stderr == f"line 2: {len(pieces)} pieces, the model takes {translator.max_source_pieces}\n"
    assert str(result.exception) == "lines too long for the model, empty in the output: 1; split them into sentences"


def test_too_long_line_of_a_later_chunk_has_its_own_number(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 2)

    assert run(checkpoint_folder, f"Yes.\nYes.\nYes.\n{'lake ' * 300}\n").stderr.startswith("line 4: ")


def test_unknown_pair_is_refused(checkpoint_folder: Path, translator: Translator) -> None:
    result = run(checkpoint_folder, "Ja.\n", "-s", "de")

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"the model {translator.version} does not translate de-fr, only en-fr"


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "absent", "Yes.\n")

    assert isinstance(result.exception, CheckpointError)
    assert "there is no checkpoint folder" in str(result.exception)


def test_unknown_device_is_refused(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, "Yes.\n", "--device", "gpu")

    assert str(result.exception) == "'gpu' is no device: take cpu, cuda, cuda:N or auto"


def test_input_is_refused_at_the_line_that_is_not_utf8(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, b"Yes.\nYes.\nd\xe9j\xe0 vu\n")

    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == "line 3 of standard input is not UTF-8: convert it first"


@pytest.mark.parametrize("beam_size", ["0", "65", "many"])
def test_beam_size_out_of_range_is_wrong_usage(checkpoint_folder: Path, beam_size: str) -> None:
    assert run(checkpoint_folder, "Yes.\n", "--beam-size", beam_size).exit_code == 2


def test_settings_name_the_checkpoint_and_the_search(
    checkpoint_folder: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_CHECKPOINT", str(checkpoint_folder))
    monkeypatch.setenv("DRAGOMAN_DEVICE", "cpu")
    monkeypatch.setenv("DRAGOMAN_BEAM_SIZE", "1")

    result = CliRunner().invoke(translate, ["-s", "en", "-t", "fr"], input="Yes.\n")
    assert lines_of(result) == greedy(translator, "Yes.")
