"""`dragoman models shortlist` on a tiny checkpoint and ten sentences."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli.models import models
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dragoman.model.summary import summarise
from dragoman.model.vocabularies.characters import CharacterVocabulary

CPU = torch.device("cpu")
LINES = "ab\tba\nabc\tcba\ncab\tbac\nbcd\tdcb\n"


def make(folder: Path, pairs: tuple[tuple[str, str], ...]) -> Path:
    vocabulary = CharacterVocabulary("abcdefgh", [target for _, target in pairs] if len(pairs) > 1 else [])
    shape = TransformerConfig(len(vocabulary), width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1)
    save_checkpoint(Checkpoint("tiny", pairs, Transformer(shape), vocabulary, "# tiny\n"), folder, "int8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "tiny", (("en", "fr"),))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.en-fr.tsv"
    path.write_text(LINES)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(models, ["shortlist", *map(str, arguments)])


def test_checkpoint_gets_a_shortlist(folder: Path, corpus: Path) -> None:
    before = load_checkpoint(folder, CPU)
    result = run(folder, corpus, "--best", 2, "--frequent", 1)

    after = load_checkpoint(folder, CPU)
    shortlist = after.require_shortlist()
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{before.version} -> {after.version} in {folder}: ")
    assert (len(shortlist.frequent), max(shortlist.starts[1:] - shortlist.starts[:-1])) == (2, 2)


def test_weights_card_and_storage_stay(folder: Path, corpus: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    run(folder, corpus)

    assert {name: (folder / name).read_bytes() for name in before} == before
    assert summarise(folder).config.storage == "int8"


def test_checkpoint_stays_when_another_folder_is_named(folder: Path, corpus: Path, tmp_path: Path) -> None:
    run(folder, corpus, "--output", tmp_path / "other")

    assert load_checkpoint(folder, CPU).shortlist is None
    assert load_checkpoint(tmp_path / "other", CPU).shortlist is not None


def test_older_shortlist_is_replaced(folder: Path, corpus: Path) -> None:
    run(folder, corpus, "--frequent", 1)
    run(folder, corpus, "--frequent", 3)

    assert len(load_checkpoint(folder, CPU).require_shortlist().frequent) == 4


def test_show_and_verify_tell_of_it(folder: Path, corpus: Path) -> None:
    run(folder, corpus, "--best", 2, "--frequent", 1)

    shown = CliRunner().invoke(models, ["show", str(folder)]).stdout
    verified = CliRunner().invoke(models, ["verify", str(folder)]).stdout
    [line] = [line for line in shown.splitlines() if line.startswith("shortlist ")]
    assert line.endswith("likely pieces for 12 source pieces, 2 frequent ones")
    assert "12 pieces, with a shortlist; loaded in" in verified


def test_converted_checkpoint_keeps_it(folder: Path, corpus: Path, tmp_path: Path) -> None:
    run(folder, corpus)
    CliRunner().invoke(models, ["convert", str(folder), str(tmp_path / "large"), "--storage", "float32"])

    before, after = (load_checkpoint(path, CPU).require_shortlist() for path in (folder, tmp_path / "large"))
    assert after.candidates([5, 6]).tolist() == before.candidates([5, 6]).tolist()


@pytest.mark.parametrize("options", [[], ["--languages", "en-fr"]])
def test_corpus_of_an_unspeaking_name_serves_the_only_pair(folder: Path, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "corpus.tsv").write_text(LINES)

    assert run(folder, tmp_path / "corpus.tsv", *options).exit_code == 0


def test_columns_are_turned_round_when_the_name_says_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.fr-en.tsv").write_text("bb\taa\nbb\taaa\n")
    run(folder, tmp_path / "corpus.fr-en.tsv", "--frequent", 0)

    checkpoint = load_checkpoint(folder, CPU)
    [[a]], [[b]] = (checkpoint.vocabulary.encode([letter]) for letter in "ab")
    assert b in checkpoint.require_shortlist().candidates([a])


@pytest.mark.parametrize(
    ("name", "options"),
    [("corpus.tsv", []), ("corpus.en-fr-de.tsv", []), ("corpus.en-fr.tsv", ["--languages", "en"])],
)
def test_languages_must_be_known(tmp_path: Path, name: str, options: list[str]) -> None:
    many = make(tmp_path / "many", (("en", "fr"), ("en", "de")))
    (tmp_path / name).write_text(LINES)
    result = run(many, tmp_path / name, *options)

    assert isinstance(result.exception, ConfigurationError)
    assert "Name them: --languages en-fr" in str(result.exception)


def test_every_pair_needs_a_corpus(tmp_path: Path, corpus: Path) -> None:
    many = make(tmp_path / "many", (("en", "fr"), ("en", "de")))
    result = run(many, corpus)

    assert "translates en-de too, and no corpus has these languages" in str(result.exception)
    assert load_checkpoint(many, CPU).shortlist is None


def test_missing_corpus_is_refused(folder: Path, tmp_path: Path) -> None:
    result = run(folder, tmp_path / "none.en-fr.tsv")

    assert isinstance(result.exception, ConfigurationError)
    assert load_checkpoint(folder, CPU).shortlist is None
