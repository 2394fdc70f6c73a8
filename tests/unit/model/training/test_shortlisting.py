"""A shortlist learned from a corpus, alone and as part of a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint import load_checkpoint
from dragoman.model.corpora.corpus_file import CorpusFile
from dragoman.model.corpora.stream import PairStream
from dragoman.model.shortlist import Shortlist
from dragoman.model.training import shortlisting
from dragoman.model.training.config import ShortlistConfig, TrainConfig
from dragoman.model.training.run import train
from dragoman.model.training.shortlisting import ShortlistOptions, learn_shortlist
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import END

MakeConfig = Callable[..., TrainConfig]
CPU = torch.device("cpu")
LONG = "The dog waits in the garden."


@pytest.fixture
def stream(folder: Path) -> PairStream:
    return PairStream([CorpusFile(folder / "corpus.tsv", ("en", "fr"))], [("en", "fr")])


@pytest.fixture
def vocabulary(stream: PairStream) -> SubwordVocabulary:
    return SubwordVocabulary.train([text for pair in stream.epoch(0) for text in (pair.source, pair.target)], 310)


@pytest.fixture
def shortlist(stream: PairStream, vocabulary: SubwordVocabulary) -> Shortlist:
    return learn_shortlist(stream, vocabulary, ShortlistOptions(best=12, frequent=5))


def test_translation_is_made_of_the_candidates_of_its_source(
    stream: PairStream, vocabulary: SubwordVocabulary, shortlist: Shortlist
) -> None:
    pairs = list(stream.epoch(0))
    sources = vocabulary.encode([pair.source for pair in pairs])
    targets = vocabulary.encode_target([pair.target for pair in pairs])

    missing = [
        {*target} - {*shortlist.candidates(source).tolist()} for source, target in zip(sources, targets, strict=True)
    ]
    assert missing == [set()] * len(pairs)


def test_candidates_are_few(vocabulary: SubwordVocabulary, shortlist: Shortlist) -> None:
    [source] = vocabulary.encode(["The dog"])

    assert len(shortlist.candidates(source)) <= 12 * len(source) + 6


def test_pieces_of_other_words_are_no_candidates(vocabulary: SubwordVocabulary, stream: PairStream) -> None:
    narrow = learn_shortlist(stream, vocabulary, ShortlistOptions(best=2, frequent=2))
    [source], [other] = vocabulary.encode(["My friend sleeps"]), vocabulary.encode_target(["jardin"])

    assert not {*other} <= {*narrow.candidates(source).tolist()}


def test_end_is_always_among_the_frequent_pieces(stream: PairStream, vocabulary: SubwordVocabulary) -> None:
    none = learn_shortlist(stream, vocabulary, ShortlistOptions(best=3, frequent=0))

    assert none.frequent.tolist() == [END]


def test_rows_leave_out_what_is_frequent_anyway(shortlist: Shortlist) -> None:
    assert not {*shortlist.frequent.tolist()} & {*shortlist.pieces.tolist()}


def test_unseen_piece_becomes_itself(vocabulary: SubwordVocabulary, shortlist: Shortlist) -> None:
    [source] = vocabulary.encode(["€"])

    assert {*source[1:]} <= {*shortlist.candidates(source).tolist()}


def test_same_corpus_gives_the_same_shortlist(
    stream: PairStream, vocabulary: SubwordVocabulary, shortlist: Shortlist
) -> None:
    again = learn_shortlist(stream, vocabulary, ShortlistOptions(best=12, frequent=5))

    assert again.pieces.tolist() == shortlist.pieces.tolist()


def test_sample_is_drawn_from_the_whole_corpus(
    stream: PairStream, vocabulary: SubwordVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisting, "MAX_PAIRS", 20)
    monkeypatch.setattr(shortlisting, "MAX_LINKS", 400)
    learned = learn_shortlist(stream, vocabulary, ShortlistOptions(best=12, frequent=0))

    first, last = vocabulary.encode(["The dog", "My friend"])
    assert len(learned.candidates(first)) > 3
    assert len(learned.candidates(last)) > 3


def test_language_piece_brings_the_words_of_its_language(folder: Path) -> None:
    (folder / "de.tsv").write_text("".join(f"{word}\tdas ist\n" for word in ("yes", "no", "well", "dog")))
    pairs = [("en", "fr"), ("en", "de")]
    files = [CorpusFile(folder / "corpus.tsv", ("en", "fr")), CorpusFile(folder / "de.tsv", ("en", "de"))]
    stream = PairStream(files, pairs)
    lines = [text for pair in stream.epoch(0) for text in (pair.source, pair.target)]
    vocabulary = CharacterVocabulary.train(lines, languages=("fr", "de"))
    learned = learn_shortlist(stream, vocabulary, ShortlistOptions(best=3, frequent=0))

    french, german = ({*learned.candidates([vocabulary.language_piece(one)]).tolist()} for one in ("fr", "de"))
    assert {*vocabulary.encode_target(["s"])[0]} <= german
    assert french != german


def test_corpus_of_too_long_pairs_is_refused(
    stream: PairStream, vocabulary: SubwordVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisting, "MAX_PIECES", 1)

    with pytest.raises(ConfigurationError, match="no pair of the corpus has at most 1 pieces on both sides"):
        learn_shortlist(stream, vocabulary, ShortlistOptions())


@pytest.mark.parametrize("numbers", [{"best": 0}, {"frequent": -1}])
def test_shortlist_of_nothing_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="holds nothing: take at least 1 and 0"):
        ShortlistOptions(**numbers)


def run(config: TrainConfig, folder: Path) -> Shortlist | None:
    output = train(config, folder, lambda _report: None, folder / "run")
    return load_checkpoint(output, CPU).shortlist


def test_run_stores_a_shortlist_when_asked_for(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(shortlist={"learn": "always", "best": 7, "frequent": 4})

    stored = run(config, folder)
    assert stored is not None
    assert len(stored.frequent) == 5
    assert max(stored.starts[1:] - stored.starts[:-1]) == 7


def test_run_of_a_small_vocabulary_stores_none_by_itself(folder: Path, make_config: MakeConfig) -> None:
    assert run(make_config(), folder) is None


def test_run_learns_its_shortlist_once(folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = shortlisting.shortlist_of
    monkeypatch.setattr(shortlisting, "shortlist_of", lambda *given: (calls.append(1), original(*given))[1])
    run(make_config(run={"max_steps": 2, "evaluate_steps": 1}, shortlist={"learn": "always"}), folder)

    assert len(calls) == 1


@pytest.mark.parametrize(
    ("learn", "size", "wanted"),
    [("auto", 8000, False), ("auto", 8001, True), ("always", 300, True), ("never", 50_000, False)],
)
def test_shortlist_is_wanted_for_a_large_vocabulary(learn: str, size: int, wanted: bool) -> None:
    assert ShortlistConfig.model_validate({"learn": learn}).is_wanted(size) is wanted
