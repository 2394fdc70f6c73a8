"""Batches out of a stream of pairs: the same ones wherever a run goes on."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.batching import padding_ratio
from dragoman.model.corpora.cleaning import CleaningRules
from dragoman.model.corpora.corpus_file import CorpusFile
from dragoman.model.corpora.stream import PairStream
from dragoman.model.training import data
from dragoman.model.training.data import BatchOptions, BatchStream, DataPosition, Example
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

EN_FR, FR_EN = ("en", "fr"), ("fr", "en")
PAIRS = 90
LETTER = 10
SIDES = (attrgetter("source"), attrgetter("target"))
Batches = list[tuple[DataPosition, list[Example]]]


class Letters(Vocabulary):
    """A piece a letter; sampled texts go in capitals here and there. Counts the texts it encodes."""

    kind: ClassVar[str] = "letters"

    def __init__(self, languages: tuple[str, ...] = ()) -> None:
        self._languages = languages
        self.encoded = 0

    def __len__(self) -> int:
        return 300

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        self.encoded += len(texts)
        return [[LETTER + ord(letter) for letter in text] for text in texts]

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        generator = random.Random(seed)
        return self.encode(["".join(generator.choice((c, c.upper())) for c in text) for text in texts])

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(chr(piece - LETTER) for piece in row if piece >= LETTER) for row in pieces]

    @property
    def languages(self) -> tuple[str, ...]:
        return self._languages

    def language_piece(self, language: str) -> int:
        return 4 + self._languages.index(language)

    def files(self) -> dict[str, bytes]:
        return {}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:  # noqa: ARG003
        return cls()


def text(number: int, language: str) -> str:
    return f"{language} {number}" + " la" * (number * 7 % 13)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pairs of many lengths."""
    path = tmp_path_factory.mktemp("batches") / "corpus.tsv"
    lines = [f"{text(number, 'en')}\t{text(number, 'fr')}\n" for number in range(PAIRS)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def options(**changes: Any) -> BatchOptions:
    return BatchOptions(**({"batch_tokens": 120, "max_pieces": 60, "pool_pairs": 40} | changes))


def batch_stream(corpus: Path, weight: float = 1.0, **changes: Any) -> BatchStream:
    return BatchStream(PairStream([CorpusFile(corpus, EN_FR, weight)], [EN_FR]), Letters(), options(**changes))


def taken(stream: BatchStream, count: int, start: DataPosition | None = None) -> Batches:
    """The first `count` batches from `start` on."""
    with closing(stream.batches(start)) as batches:
        return list(itertools.islice(batches, count))


def epoch_of(stream: BatchStream, number: int = 0) -> Batches:
    """The batches of one epoch: the position behind the last one is in the next."""
    found: Batches = []
    with closing(stream.batches(DataPosition(number))) as batches:
        while not found or found[-1][0].epoch == number:
            found.append(next(batches))
    return found


def sources(*epochs: Batches) -> Counter[str]:
    return Counter(Letters().decode([example.source for batches in epochs for _, some in batches for example in some]))


SOURCES = Counter(text(number, "en") for number in range(PAIRS))


@settings(deadline=None, max_examples=25)
@given(
    cut=st.integers(0, 49),
    weight=st.sampled_from([0.5, 1.0, 1.5]),
    pool=st.sampled_from([7, 40, 1000]),
    alpha=st.sampled_from([0.0, 0.2]),
    world=st.integers(1, 3),
)
def test_run_goes_on_anywhere_as_if_it_had_not_stopped(
    corpus: Path, cut: int, weight: float, pool: int, alpha: float, world: int
) -> None:
    changes: dict[str, Any] = {"pool_pairs": pool, "sampling_alpha": alpha, "world_size": world, "rank": world - 1}
    whole = taken(batch_stream(corpus, weight, **changes), 60)

    resumed = taken(batch_stream(corpus, weight, **changes), 10, whole[cut][0])

    assert resumed == whole[cut + 1 : cut + 11]


@settings(deadline=None, max_examples=15)
@given(pool=st.integers(1, 100), tokens=st.integers(62, 400), epoch=st.integers(0, 3))
def test_epoch_has_every_pair_once(corpus: Path, pool: int, tokens: int, epoch: int) -> None:
    stream = batch_stream(corpus, pool_pairs=pool, batch_tokens=tokens)

    assert sources(epoch_of(stream, epoch)) == SOURCES


@settings(deadline=None, max_examples=15)
@given(pool=st.integers(1, 100), tokens=st.integers(62, 400))
def test_no_batch_is_over_the_budget(corpus: Path, pool: int, tokens: int) -> None:
    batches = epoch_of(batch_stream(corpus, pool_pairs=pool, batch_tokens=tokens))

    longest = [[max(len(example.source), len(example.target)) for example in examples] for _, examples in batches]
    assert all(len(rows) * max(rows) <= tokens for rows in longest)


@settings(deadline=None, max_examples=15)
@given(pool=st.integers(10, 100), tokens=st.integers(62, 400), world=st.integers(2, 4))
def test_ranks_share_the_batches_of_every_pool(corpus: Path, pool: int, tokens: int, world: int) -> None:
    changes = {"pool_pairs": pool, "batch_tokens": tokens, "world_size": world}

    shares = [epoch_of(batch_stream(corpus, rank=rank, **changes)) for rank in range(world)]

    positions = {tuple(position for position, _ in share) for share in shares}
    assert (len(positions), sources(*shares)) == (1, SOURCES)


def test_weight_of_a_half_takes_the_corpus_in_two_epochs(corpus: Path) -> None:
    stream = batch_stream(corpus, 0.5)

    first, second = epoch_of(stream, 0), epoch_of(stream, 1)

    assert (sources(first, second), 40 < sources(first).total() < 50) == (SOURCES, True)


def test_pair_has_its_marks(corpus: Path) -> None:
    _, examples = taken(batch_stream(corpus), 1)[0]

    source, target = examples[0].source, examples[0].target
    assert (source[0] > LETTER, source[-1], target[0], target[-1]) == (True, END, BEGIN, END)


def test_language_piece_stands_in_front_of_the_source_when_the_vocabulary_has_them(corpus: Path) -> None:
    stream = PairStream([CorpusFile(corpus, EN_FR)], [EN_FR, FR_EN])

    batches = epoch_of(BatchStream(stream, Letters(("fr", "en")), options()))

    asked = Counter((example.source[0], chr(example.target[1] - LETTER)) for _, some in batches for example in some)
    assert asked == {(4, "f"): PAIRS, (5, "e"): PAIRS}


def test_target_language_without_a_piece_is_refused(corpus: Path, sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 350, languages=("de", "es"))
    stream = BatchStream(PairStream([CorpusFile(corpus, EN_FR)], [EN_FR]), vocabulary, options())

    with pytest.raises(ConfigurationError, match="no piece for the target language 'fr'"):
        taken(stream, 1)


def test_epochs_differ_in_order_only(corpus: Path) -> None:
    stream = batch_stream(corpus)

    first, second = epoch_of(stream, 0), epoch_of(stream, 1)

    assert (sources(first) == sources(second), [e for _, e in first] == [e for _, e in second]) == (True, False)


def test_sampled_pieces_differ_from_epoch_to_epoch(corpus: Path) -> None:
    stream = batch_stream(corpus, sampling_alpha=0.2)

    first, second = sources(epoch_of(stream, 0)), sources(epoch_of(stream, 1))

    assert (first != second, Counter(source.lower() for source in second.elements())) == (True, SOURCES)


def test_targets_are_never_sampled(corpus: Path) -> None:
    batches = epoch_of(batch_stream(corpus, sampling_alpha=0.2))

    targets = Letters().decode([example.target for _, examples in batches for example in examples])
    assert Counter(targets) == Counter(text(number, "fr") for number in range(PAIRS))


def test_corpus_of_one_pool_is_encoded_once(corpus: Path) -> None:
    stream = batch_stream(corpus, pool_pairs=1000)

    sizes = [sources(epoch_of(stream, number)).total() for number in range(3)]

    assert (sizes, stream.vocabulary.encoded) == ([PAIRS] * 3, 2 * PAIRS)  # type: ignore[attr-defined]


def test_pool_that_is_skipped_is_not_encoded(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = batch_stream(corpus, pool_pairs=30)
    monkeypatch.setattr(data, "prefetched", lambda values, _stopped: values)

    taken(stream, 1, DataPosition(0, 2))

    assert stream.vocabulary.encoded == 2 * 30  # type: ignore[attr-defined]


def test_pair_of_ten_thousand_pieces_is_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "long.tsv"
    path.write_text(f"{'a' * 10_000}\t{'b' * 10_000}\none\tun\n{'c' * 61}\td\n{'e' * 60}\tf\n", encoding="utf-8")
    rules = CleaningRules(max_characters=20_000, max_length_ratio=100)

    stream = BatchStream(PairStream([CorpusFile(path, EN_FR)], [EN_FR], rules), Letters(), options())

    assert (sources(epoch_of(stream)), stream.dropped_pairs) == ({"one": 1, "e" * 60: 1}, 2)


def test_corpus_of_too_long_pairs_is_refused(corpus: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"all 90 of an epoch have a side of more than 3 pieces \(raise max_pie"
    ):
        taken(batch_stream(corpus, max_pieces=3), 1)


def test_corpus_of_fewer_pairs_than_processes_is_refused(corpus: Path) -> None:
    with pytest.raises(ConfigurationError, match="or are fewer than the processes"):
        taken(batch_stream(corpus, world_size=91), 1)


def test_fault_of_a_file_is_raised_where_batches_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "broken.tsv"
    path.write_bytes(b"one\tun\n\xff\tdeux\n")

    with pytest.raises(ConfigurationError, match="line 2: not UTF-8"):
        taken(BatchStream(PairStream([CorpusFile(path, EN_FR)], [EN_FR]), Letters(), options()), 1)


def test_fault_after_the_survey_is_raised_and_leaves_no_thread(tmp_path: Path) -> None:
    path = tmp_path / "vanishing.tsv"
    path.write_text("one\tun\n", encoding="utf-8")
    stream = PairStream([CorpusFile(path, EN_FR)], [EN_FR])
    stream.report  # noqa: B018 - surveys
    path.unlink()

    with pytest.raises(ConfigurationError, match=r"vanishing\.tsv cannot be read"):
        taken(BatchStream(stream, Letters(), options()), 1)
    assert prefetching() == []


def test_no_thread_is_left_when_a_run_stops(corpus: Path) -> None:
    batches = batch_stream(corpus).batches()
    next(batches)
    during = prefetching()

    batches.close()

    assert (len(during), prefetching()) == (1, [])


@pytest.mark.parametrize("start", [DataPosition(0, 3), DataPosition(-1), DataPosition(0, 0, -1)])
def test_position_that_the_corpus_does_not_have_is_refused(corpus: Path, start: DataPosition) -> None:
    with pytest.raises(ConfigurationError, match=r"the corpus has no batch at .* have changed since the run stopped"):
        taken(batch_stream(corpus), 1, start)


def test_batch_that_the_pool_does_not_have_is_refused(corpus: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"stopped before batch 99 of a pool that has \d+: corpus, vocabulary"):
        taken(batch_stream(corpus), 1, DataPosition(0, 0, 99))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_tokens": 61}, "61 batch tokens do not hold one segment of 60 pieces and its 2 marks"),
        ({"max_pieces": 0}, "max_pieces 0 and pool_pairs 40 must be at least 1"),
        ({"pool_pairs": 0}, "pool_pairs 0 must be at least 1"),
        ({"rank": 1}, "rank 1 below world_size 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        options(**changes)


@pytest.mark.parametrize(("tokens", "pairs"), [(1000, 500_000), (25_000, 625_000)])
def test_pool_grows_with_the_batches_where_no_size_is_asked_for(tokens: int, pairs: int) -> None:
    assert BatchOptions(batch_tokens=tokens, max_pieces=60).sorted_pairs == pairs


def test_padding_ratio_is_that_of_the_batches_given(corpus: Path) -> None:
    stream = batch_stream(corpus)
    before = stream.padding_ratio

    batches = taken(stream, 5)

    sides = [[len(side(example)) for example in some] for _, some in batches for side in SIDES]
    assert (before, stream.padding_ratio) == (0.0, pytest.approx(padding_ratio(sides)))


def prefetching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]
