"""`dragoman corpus export`: from rows and corrections to a corpus that training reads."""

import json
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError
from dragoman.model.corpora.corpus_file import CorpusFile
from dragoman.model.corpora.formats import read_pairs
from dragoman.model.corpora.stream import PairStream
from dragoman.schemas.corrections import Correction, Signature
from dragoman.storage.corrections import record_corrections, withdraw
from dragoman.storage.engine import transaction
from dragoman.storage.settlement import settle
from dragoman.storage.text_cipher import TextCipher
from sqlalchemy import text

from .conftest import NOON, Workbench

pytestmark = pytest.mark.services


class Corrector:
    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def correct(self, number: int, source: str, target: str, **changes: Any) -> UUID:
        """A correction that was written so many hours after noon."""
        plain = {"source_language": "en", "target_language": "fr", "client_id": "someone", "author": "a"}
        one = Correction(**{**plain, "source_text": source, "target_text": target, **changes})
        with transaction(self.bench.engine) as connection:
            (written,) = record_corrections(connection, [one])
            moment = {"id": written.id, "at": NOON + timedelta(hours=number)}
            connection.execute(text("UPDATE correction SET created_at = :at WHERE id = :id"), moment)
        return written.id

    def withdraw(self, correction_id: UUID) -> None:
        with transaction(self.bench.engine) as connection:
            withdraw(connection, correction_id, Signature(author="a"))

    def record(self, number: int, source: str | None, target: str | None, **changes: Any) -> None:
        plain = {"source_text": source, "target_text": target, "answered_by": "model"}
        settle(self.bench.engine, self.bench.settlement(self.bench.row(number, **{**plain, **changes})))


@pytest.fixture
def desk(bench: Workbench, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Corrector:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    return Corrector(bench)


def export(folder: Path, *options: str) -> Result:
    arguments = ["corpus", "export", str(folder), "--pair", "en-fr", *options]
    return CliRunner().invoke(dragoman, arguments, catch_exceptions=False)


def pairs(folder: Path) -> set[tuple[str, str]]:
    return {pair for path in folder.glob("*.tsv.gz") for pair in read_pairs(path, ("en", "fr"))}


def test_rows_that_a_model_translated_become_pairs_and_no_others_do(desk: Corrector, tmp_path: Path) -> None:
    desk.record(1, "One", "Un")
    desk.record(2, "Two", "Deux", answered_by="cache")
    desk.record(3, "Three", "Trois", answered_by="memory")
    desk.record(4, "Four", None, status="rejected", answered_by=None)
    desk.record(5, "Five", "Fünf", target_language="de")

    export(tmp_path / "corpus")

    assert pairs(tmp_path / "corpus") == {("One", "Un")}


@pytest.mark.parametrize("texts", [(None, None), (None, "Un"), ("One", None)])
def test_a_row_gives_nothing_when_a_text_of_it_was_erased_or_never_stored(
    desk: Corrector, tmp_path: Path, texts: tuple[str | None, str | None]
) -> None:
    desk.record(1, *texts)
    desk.record(2, "Two", "Deux")

    export(tmp_path / "corpus")

    assert pairs(tmp_path / "corpus") == {("Two", "Deux")}


def test_the_latest_correction_that_holds_is_learned_when_there_are_many(desk: Corrector, tmp_path: Path) -> None:
    desk.record(1, "One", "Une")
    desk.correct(1, "One", "Un (once)")
    desk.correct(2, "One", "Un")
    desk.withdraw(desk.correct(3, "Two", "Deux (withdrawn)"))
    desk.correct(4, "Three", "Drei", target_language="de")
    desk.correct(5, "Four", "Quatre (earlier)")
    desk.correct(6, "Four", "Quatre")

    export(tmp_path / "corpus")

    assert pairs(tmp_path / "corpus") == {("One", "Un"), ("Four", "Quatre")}


def test_encrypted_texts_are_learned_with_their_key_and_passed_over_without(
    desk: Corrector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = TextCipher({"key": bytes(32)})
    row = desk.bench.row(1, source_text="One", target_text="Un", answered_by="model")
    settle(desk.bench.engine, cipher.seal(desk.bench.settlement(row)))
    desk.record(2, "Two", "Deux")

    export(tmp_path / "without")
    monkeypatch.setenv("DRAGOMAN_TEXT_KEYS", "key:" + b64encode(bytes(32)).decode())
    export(tmp_path / "with")

    assert pairs(tmp_path / "without") == {("Two", "Deux")}
    assert pairs(tmp_path / "with") == {("One", "Un"), ("Two", "Deux")}


def test_a_row_is_the_latest_models_when_a_source_was_translated_twice(desk: Corrector, tmp_path: Path) -> None:
    desk.record(1, "One", "Une")
    desk.record(2, "One", "Un")

    export(tmp_path / "corpus")

    assert pairs(tmp_path / "corpus") == {("One", "Un")}


@pytest.mark.parametrize(
    ("options", "sources"),
    [
        (("--only", "corrections"), {"One"}),
        (("--only", "model"), {"Two", "Three"}),
        (("--min-score", "-1"), {"One", "Three"}),
        (("--client", "another"), {"Three"}),
        (("--to", "2026-01-02"), {"One"}),
    ],
)
def test_only_those_pairs_are_taken_when_filters_are_given(
    desk: Corrector, tmp_path: Path, options: tuple[str, ...], sources: set[str]
) -> None:
    desk.correct(1, "One", "Un")
    desk.record(2, "Two", "Deux")
    desk.record(3, "Three", "Trois", client_id="another", score=-0.5)

    export(tmp_path / "corpus", *options)

    assert {source for source, _ in pairs(tmp_path / "corpus")} == sources


def test_training_reads_the_corpus_when_it_is_written(desk: Corrector, tmp_path: Path) -> None:
    desk.correct(1, "One", "Un")
    desk.record(2, "Two", "Deux")

    export(tmp_path / "corpus")

    files = [CorpusFile(path, ("en", "fr"), 2.0) for path in sorted((tmp_path / "corpus").glob("train.*"))]
    assert PairStream(files, [("en", "fr")]).size(0) == 4


def test_it_is_written_down_when_a_corpus_is_exported(desk: Corrector, tmp_path: Path) -> None:
    desk.correct(1, "One", "Un")

    export(tmp_path / "corpus", "--licence", "ours alone", "--client", "someone")

    with transaction(desk.bench.engine) as connection:
        noted = connection.execute(text("SELECT * FROM export_log")).one()
    assert (noted.kind, noted.path, noted.rows) == ("corpus", str(tmp_path / "corpus"), 1)
    assert noted.filters["client_id"] == "someone"
    card = json.loads((tmp_path / "corpus" / "card.json").read_text("utf-8"))
    assert (card["licence"], card["made_by"], card["pairs"]) == ("ours alone", {}, 1)


def test_a_folder_stays_as_it_is_when_force_is_not_given(desk: Corrector, tmp_path: Path) -> None:
    desk.correct(1, "One", "Un")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "mine").touch()

    with pytest.raises(ConfigurationError, match="--force"):
        export(tmp_path / "corpus")
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == ["mine"]

    export(tmp_path / "corpus", "--force")
    assert pairs(tmp_path / "corpus") == {("One", "Un")}


def test_a_sentence_is_raised_and_nothing_is_left_when_no_pair_is_fit(desk: Corrector, tmp_path: Path) -> None:
    desk.record(1, "One", "")

    with pytest.raises(ConfigurationError, match="1 empty"):
        export(tmp_path / "corpus")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pair", ["en", "en-en", "-fr", "en-"])
def test_a_sentence_is_raised_when_the_pair_is_none(desk: Corrector, tmp_path: Path, pair: str) -> None:
    with pytest.raises(ConfigurationError, match="two different languages"):
        export(tmp_path / "corpus", "--pair", pair)
