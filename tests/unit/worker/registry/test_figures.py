"""A version is taken back for what it does beyond chance, and not for less."""

import random
from dataclasses import replace

import pytest
from dragoman.storage.version_rows import VersionRow
from dragoman.worker.registry.figures import Figures, figures, harm, is_rise

WELL = Figures(2_000, 10, 2, 1, -1.0, tuple(0.1 + place / 10_000 for place in range(2_000)))


def test_rows_are_counted() -> None:
    rows = [
        VersionRow("translated", "The cat sits here.", "Le chat est ici.", -1.0, 0.2),
        VersionRow("translated", "The cat sits here.", "The cat sits here.", -2.0, 0.4),
        VersionRow("translated", "What is that?", "ça " * 30, -3.0, 0.6),
        VersionRow("failed", "The dog.", None, None, None),
        VersionRow("translated", None, None, None, 0.8),
    ]
    assert figures(rows) == Figures(5, 1, 1, 1, -2.0, (0.2, 0.4, 0.6, 0.8))


def test_nothing_is_said_when_there_are_no_rows() -> None:
    assert harm(figures([]), figures([])) is None


def test_a_version_that_does_as_well_is_left_alone() -> None:
    assert harm(WELL, WELL) is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"refused": 80}, "rejected"),
        ({"copies": 60}, "copies of the source"),
        ({"loops": 60}, "repetition"),
        ({"seconds": tuple(value * 3 for value in WELL.seconds)}, "longer than"),
    ],
)
def test_harm_is_named(changes: dict[str, object], word: str) -> None:
    assert word in (harm(WELL, replace(WELL, **changes)) or "")


@pytest.mark.parametrize(
    ("before", "now"),
    [((0, 199), (100, 200)), ((0, 200), (100, 199)), ((10, 1_000), (15, 1_000)), ((0, 100_000), (500, 100_000))],
    ids=["too few before", "too few now", "may be chance", "too small to matter"],
)
def test_a_rise_is_not_believed(before: tuple[int, int], now: tuple[int, int]) -> None:
    assert not is_rise(before, now, 0.01)


def test_a_rise_is_believed() -> None:
    assert is_rise((10, 1_000), (50, 1_000), 0.01)


def test_chance_alone_raises_hardly_any_alarm() -> None:

    numbers = random.Random(1)
    counts = [sum(numbers.random() < 0.02 for _ in range(500)) for _ in range(2_000)]
    alarms = sum(
        is_rise((before, 500), (now, 500), 0.01) for before, now in zip(counts[::2], counts[1::2], strict=True)
    )

    assert alarms <= 3
