"""From pairs to the files of a corpus: what is kept, where it goes, and that no test segment is ever learned from."""

import gzip
import json
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dragoman.model.corpora.cleaning import CleaningRules
from dragoman.model.corpora.corpus_card import CorpusNote, write_card
from dragoman.model.corpora.formats import read_pairs
from dragoman.model.corpora.harvest import Harvest, HarvestRules, Origin, harvest
from dragoman.model.corpora.language_check import LanguageCheck
from dragoman.model.corpora.split import part_of
from hypothesis import given, settings
from hypothesis import strategies as st

RULES = HarvestRules(("en", "fr"), CleaningRules())
LONG_ENGLISH = "The committee decided that all of the members should be present at the next meeting."
LONG_FRENCH = "Le comité a décidé que tous les membres devaient être présents à la prochaine réunion."
LONG_GERMAN = "Der Ausschuss hat beschlossen, dass alle Mitglieder bei der nächsten Sitzung da sein sollen."


@dataclass(frozen=True)
class Pair:
    source_text: str
    target_text: str
    origin: Origin = "model"
    score: float | None = -1.0
    made_by: str | None = "m"


def harvested(folder: Path, pairs: Iterable[Pair], rules: HarvestRules = RULES) -> Harvest:
    return harvest(pairs, rules, folder)


def written(folder: Path, part: str = "") -> set[tuple[str, str]]:
    files = [path for path in folder.iterdir() if path.name.startswith(part) and path.name.endswith(".tsv.gz")]
    return {pair for path in files for pair in read_pairs(path, ("en", "fr"))}


def test_a_pair_is_read_again_as_it_was_when_it_has_tabs_and_breaks(tmp_path: Path) -> None:
    harvested(tmp_path, [Pair("One\ttwo\r\nthree\u2028four ", " Un\ndeux \u202etrois\u202c")])
    assert written(tmp_path) == {("One two three four", "Un deux \u202etrois\u202c")}


def test_the_correction_is_kept_when_a_model_translated_the_same_source(tmp_path: Path) -> None:
    pairs = [Pair("Hello", "Bonjour", "correction"), Pair("Hello ", "Allo"), Pair("Bye", "Salut"), Pair("Bye", "Ciao")]
    result = harvested(tmp_path, pairs)
    assert written(tmp_path) == {("Hello", "Bonjour"), ("Bye", "Salut")}
    assert dict(result.dropped) == {("model", "corrected"): 1, ("model", "duplicate"): 1}


def test_what_the_model_wrote_is_dropped_when_its_correction_is_not_fit(tmp_path: Path) -> None:
    result = harvested(tmp_path, [Pair("Hello", "", "correction"), Pair("Hello", "Allo")])
    assert not result.kept
    assert dict(result.dropped) == {("correction", "empty"): 1, ("model", "corrected"): 1}


def test_only_what_scores_enough_is_kept_when_a_threshold_is_given(tmp_path: Path) -> None:
    rules = HarvestRules(("en", "fr"), CleaningRules(), min_score=-0.5)
    pairs = [
        Pair("One", "Un", "correction", None),
        Pair("Two", "Deux", score=-0.5),
        Pair("Three", "Trois", score=-0.6),
        Pair("Four", "Quatre", score=None),
    ]
    result = harvested(tmp_path, pairs, rules)
    assert {source for source, _ in written(tmp_path)} == {"One", "Two"}
    assert result.dropped["model", "low score"] == 2


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (LONG_ENGLISH, LONG_FRENCH, None),
        (LONG_ENGLISH, LONG_GERMAN, "other language"),
        (LONG_FRENCH, LONG_ENGLISH, "other language"),
        ("Berlin", "Berlin", None),
        (LONG_ENGLISH, LONG_ENGLISH, "copied"),
        (LONG_ENGLISH, "Oui", "length ratio"),
    ],
)
def test_a_pair_is_dropped_when_it_is_surely_wrong(
    tmp_path: Path, source: str, target: str, reason: str | None
) -> None:
    rules = HarvestRules(("en", "fr"), CleaningRules(), check=LanguageCheck())
    result = harvested(tmp_path, [Pair(source, target)], rules)
    assert [why for _, why in result.dropped] == ([reason] if reason else [])


def test_nothing_is_dropped_when_the_language_is_not_known() -> None:
    assert not LanguageCheck().contradicts(LONG_ENGLISH, "tlh")
    assert not LanguageCheck().contradicts(LONG_ENGLISH, "EN_gb")


SOURCES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["model", "correction"])), max_size=60)


@settings(max_examples=40, deadline=None)
@given(SOURCES, SOURCES)
def test_no_test_segment_is_learned_from_when_another_corpus_is_made_later(
    now: list[tuple[int, Origin]], later: list[tuple[int, Origin]]
) -> None:
    """Whatever the origin, the spelling, the translation and the neighbours."""
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name, "1"), Path(name, "2")
        first.mkdir()
        second.mkdir()
        harvested(first, [Pair(f"Sentence {n}", f"Phrase {n}", origin) for n, origin in now])
        harvested(second, [Pair(f"sentence  {n}!", f"La phrase {n}", origin) for n, origin in later])
        held_back = {source.casefold() for source, _ in written(first, "test.") | written(first, "dev.")}
        learned = {" ".join(source.rstrip("!").split()) for source, _ in written(second, "train.")}
    assert held_back & learned == set()


def test_the_same_pairs_make_the_same_files_when_they_are_harvested_again(tmp_path: Path) -> None:
    pairs = [Pair(f"Sentence {n}", f"Phrase {n}") for n in range(100)]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (harvested(folder, pairs) for folder in folders)
    assert one.files == two.files
    assert {file.part for file in one.files} == {"train", "dev", "test"}


def test_the_card_tells_what_is_there_and_how_to_train_when_a_corpus_is_written(tmp_path: Path) -> None:
    pairs = [Pair(f"Sentence {n}", f"Phrase {n}", "correction" if n % 2 else "model") for n in range(200)]
    result = harvested(tmp_path, [*sorted(pairs, key=lambda pair: pair.origin), Pair("Sentence 0", "Doublet")])

    write_card(tmp_path, RULES, result, CorpusNote(datetime(2026, 1, 1, tzinfo=UTC), "1", "CC0", {"client_id": "a"}))

    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert (card["pairs"], card["licence"], card["filters"]) == (200, "CC0", {"client_id": "a"})
    assert card["dropped"] == {"model": {"duplicate": 1}}
    assert card["made_by"] == {"m": 200}
    for file in card["files"]:
        assert gzip.decompress((tmp_path / file["name"]).read_bytes()).count(b"\n") == file["pairs"]
    page = (tmp_path / "README.md").read_text("utf-8")
    config = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["data"]
    assert [entry["path"] for entry in config["corpora"]] == [
        "train.correction.en-fr.tsv.gz",
        "train.model.en-fr.tsv.gz",
    ]
    assert {part_of(source) for source, _ in written(tmp_path, "dev.")} == {"dev"}
