"""Position codes and rotations."""

import math

import pytest
import torch
from dragoman.model.architectures.positions import rotate, rotations, sinusoids, sinusoids_in_halves


def test_sinusoids_begin_with_zeros_and_ones() -> None:
    assert sinusoids(3, 6)[0].tolist() == [0, 1, 0, 1, 0, 1]


def test_sinusoids_turn_slower_from_column_to_column() -> None:
    expected = [math.sin(1.0), math.cos(1.0), math.sin(0.01), math.cos(0.01)]

    assert sinusoids(2, 4)[1].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("width", [7, 8])
def test_halves_are_the_same_codes_with_the_sines_first(width: int) -> None:
    codes = sinusoids(50, width)

    expected = torch.cat([codes[:, 0::2], codes[:, 1::2]], 1)
    torch.testing.assert_close(sinusoids_in_halves(50, width), expected, rtol=0, atol=1e-5)


def test_rotation_keeps_the_length_of_each_pair() -> None:
    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1))
    turned = rotate(x, rotations(9, 8))

    torch.testing.assert_close(turned.view(2, 3, 9, 4, 2).norm(dim=-1), x.view(2, 3, 9, 4, 2).norm(dim=-1))
    assert not torch.allclose(turned, x)


def test_first_position_is_not_turned() -> None:
    x = torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(2))

    assert torch.equal(rotate(x, rotations(1, 6)), x)


def test_product_of_turned_query_and_key_depends_on_their_distance_only() -> None:
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(3))
    table = rotations(40, 8)

    def product(query_position: int, key_position: int) -> float:
        turned = rotate(query, table[query_position, None]), rotate(key, table[key_position, None])
        return float((turned[0] * turned[1]).sum())

    assert product(7, 3) == pytest.approx(product(37, 33), abs=1e-4)
    assert product(7, 3) != pytest.approx(product(7, 4), abs=1e-2)
