"""IBM model 1 on pairs of invented pieces, and the shortlist that comes of it."""

import itertools
import random
from collections import defaultdict

import numpy as np
import pytest
from dragoman.model.training import lexicon as lexicons
from dragoman.model.training.encoding import EncodedPairs, PieceRows
from dragoman.model.training.lexicon import Lexicon, learn_lexicon, link_count
from dragoman.model.vocabularies.vocabulary import BEGIN, END

TARGET_SIZE = 60
# Source piece s becomes s + TO_TARGET; every target has LITTLE_WORD somewhere.
TO_TARGET, LITTLE_WORD = 20, 50
Pair = tuple[list[int], list[int]]


def invented(count: int) -> list[Pair]:
    generator = random.Random(3)
    sources = [[generator.randrange(4, 24) for _ in range(generator.randrange(1, 6))] for _ in range(count)]
    return [(source, [*(piece + TO_TARGET for piece in reversed(source)), LITTLE_WORD]) for source in sources]


def encoded(pairs: list[Pair]) -> EncodedPairs:
    sources, targets = zip(*pairs, strict=True)
    return EncodedPairs(
        PieceRows.joined([*source, END] for source in sources),
        PieceRows.joined([BEGIN, *target, END] for target in targets),
        0,
    )


def table(lexicon: Lexicon) -> dict[tuple[int, int], float]:
    entries = zip(lexicon.sources.tolist(), lexicon.targets.tolist(), strict=True)
    return dict(zip(entries, lexicon.probabilities.tolist(), strict=True))


def by_hand(pairs: list[Pair], iterations: int) -> dict[tuple[int, int], float]:
    """The textbook's loops."""
    known: dict[tuple[int, int], float] = defaultdict(lambda: 1.0)
    for _ in range(iterations):
        counts: dict[tuple[int, int], float] = defaultdict(float)
        for source, target in pairs:
            for piece in target:
                links = [(before, piece) for before in [*source, END]]
                total = sum(known[link] for link in links)
                for link in links:
                    counts[link] += known[link] / total
        totals: dict[int, float] = defaultdict(float)
        for (source_piece, _), count in counts.items():
            totals[source_piece] += count
        known = {link: count / totals[link[0]] for link, count in counts.items()}
    return dict(known)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_probabilities_are_those_of_the_textbook(iterations: int) -> None:
    pairs = invented(40)
    expected = by_hand(pairs, iterations)

    found = table(learn_lexicon(encoded(pairs), TARGET_SIZE, iterations))
    assert found.keys() == expected.keys()
    assert [found[link] for link in expected] == pytest.approx(list(expected.values()), abs=1e-5)


def test_likeliest_piece_is_the_translation() -> None:
    found = table(learn_lexicon(encoded(invented(300)), TARGET_SIZE, 5))

    best = {piece: max(range(TARGET_SIZE), key=lambda target: found.get((piece, target), 0)) for piece in range(4, 24)}
    assert best == {piece: piece + TO_TARGET for piece in range(4, 24)}


def test_piece_of_every_target_comes_from_the_end_of_the_source() -> None:
    found = table(learn_lexicon(encoded(invented(300)), TARGET_SIZE, 5))

    assert found[END, LITTLE_WORD] > 0.9


def test_entries_stand_by_source_and_target() -> None:
    lexicon = learn_lexicon(encoded(invented(50)), TARGET_SIZE, 3)
    entries = list(zip(lexicon.sources.tolist(), lexicon.targets.tolist(), strict=True))

    assert entries == sorted(set(entries))


@pytest.mark.parametrize("links", [1, 50, 400])
def test_blocks_of_links_change_nothing(monkeypatch: pytest.MonkeyPatch, links: int) -> None:
    pairs = encoded(invented(60))
    whole = table(learn_lexicon(pairs, TARGET_SIZE, 3))
    monkeypatch.setattr(lexicons, "LINKS_AT_ONCE", links)

    assert table(learn_lexicon(pairs, TARGET_SIZE, 3)) == pytest.approx(whole, abs=1e-6)


def test_only_the_likeliest_pieces_of_the_first_pass_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicons, "FOLLOWED", 3)
    lexicon = learn_lexicon(encoded(invented(300)), TARGET_SIZE, 3)

    followed = [len(list(group)) for _, group in itertools.groupby(lexicon.sources.tolist())]
    assert max(followed) == 3
    assert np.isfinite(lexicon.probabilities).all()
    assert table(lexicon)[10, 10 + TO_TARGET] > 0.5


def test_links_are_the_places_of_both_sides_multiplied() -> None:
    assert link_count(encoded([([5, 6], [7, 8, 9]), ([5], [7])])) == 3 * 3 + 2 * 1


def test_empty_targets_link_nothing() -> None:
    assert table(learn_lexicon(encoded([([5], [])]), TARGET_SIZE, 2)) == {}
