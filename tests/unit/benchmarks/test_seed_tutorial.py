import random
from pathlib import Path

import numpy as np
import pytest
import torch
from dragoman.benchmarks.seed_tutorial import (
    SLAB_BATCHES,
    KerasRmsprop,
    SeedTask,
    batches_of_like_lengths,
    write_arrays,
)

# Sources of 3 and 4; one slab is far larger than that, so targets alone decide.
LENGTHS = [(3, 5), (4, 9), (3, 2), (3, 7), (4, 1)]


def test_every_pair_comes_once_an_epoch() -> None:
    batches = batches_of_like_lengths(LENGTHS, rows=2, generator=random.Random(1))

    assert sorted(number for batch in batches for number in batch) == [0, 1, 2, 3, 4]


def test_targets_of_like_length_come_together() -> None:
    batches = batches_of_like_lengths(LENGTHS, rows=2, generator=random.Random(1))

    assert sorted(map(sorted, batches)) == [[0, 3], [1], [2, 4]]


def test_sources_of_like_length_come_together_where_there_are_more_than_a_slab() -> None:
    lengths = [(3 + number % 2, number) for number in range(4 * SLAB_BATCHES)]

    batches = batches_of_like_lengths(lengths, rows=2, generator=random.Random(1))

    assert {lengths[batch[0]][0] - lengths[batch[1]][0] for batch in batches} == {0}


def test_the_last_fifth_is_held_out() -> None:
    task = SeedTask("fr", ("a",) * 10, ("b",) * 10)

    assert task.first_held_out == 8


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    write_arrays(SeedTask("fr", ("Go.", "Stop!"), ("Va !", "Ça alors !")), tmp_path / "arrays.npz")
    return dict(np.load(tmp_path / "arrays.npz"))


def test_arrays_have_the_places_of_the_tutorial(arrays: dict[str, np.ndarray]) -> None:
    assert (arrays["source"].shape, arrays["target"].shape) == ((2, 5), (2, len("\tÇa alors !\n")))


def test_what_is_wanted_is_the_target_one_place_on(arrays: dict[str, np.ndarray]) -> None:
    assert arrays["wanted"][:, :-1].tolist() == arrays["target"][:, 1:].tolist()


def test_real_positions_are_characters_and_the_end_mark(arrays: dict[str, np.ndarray]) -> None:
    assert arrays["real"].sum(1).tolist() == [len("Va !\n"), len("Ça alors !\n")]


def test_rmsprop_has_its_epsilon_under_the_root() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.full((1,), 1e-4)

    KerasRmsprop([parameter]).step()

    mean_square = 0.1 * 1e-4**2
    assert 1 - parameter.item() == pytest.approx(1e-3 * 1e-4 / (mean_square + 1e-7) ** 0.5, rel=1e-3)
