"""Sums in a fixed order are the usual ones up to rounding."""

import pytest
import torch
import torch.nn.functional as F
from dragoman.model.arithmetic import SOURCE_MULTIPLE, attend, dot, dots, mix, source_length
from torch import Tensor

KEYS, VALUES = (torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))


def rows(count: int, width: int) -> Tensor:
    return torch.randn(2, 3, count, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("count", [1, 4])
def test_dots_are_the_product_with_the_transpose(count: int) -> None:
    with torch.no_grad():
        torch.testing.assert_close(dots(rows(count, 5), KEYS), rows(count, 5) @ KEYS.transpose(-1, -2))


@pytest.mark.parametrize("count", [1, 4])
def test_mix_is_the_product(count: int) -> None:
    with torch.no_grad():
        torch.testing.assert_close(mix(rows(count, 7), VALUES), rows(count, 7) @ VALUES)


def test_dot_is_the_product_with_a_vector() -> None:
    with torch.no_grad():
        torch.testing.assert_close(dot(KEYS, VALUES[0, 0, 0]), KEYS @ VALUES[0, 0, 0])


@pytest.mark.parametrize("mask", [None, torch.tensor([[True] * 7, [True] * 4 + [False] * 3])[:, None, None]])
def test_attend_is_scaled_dot_product_attention(mask: Tensor | None) -> None:
    query = rows(1, 5)
    with torch.no_grad():
        found = attend(query, KEYS, VALUES, mask)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, KEYS, VALUES, mask))


def test_gradients_flow_through_the_usual_product() -> None:
    query = rows(1, 5).requires_grad_()
    attend(query, KEYS, VALUES, None).sum().backward()  # type: ignore[no-untyped-call]

    assert query.grad is not None


@pytest.mark.parametrize(("capability", "expected"), [("AVX2", [16, 16, 24]), ("AVX512", [16, 16, 32])])
def test_sources_are_padded_to_whole_vectors(
    monkeypatch: pytest.MonkeyPatch, capability: str, expected: list[int]
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)

    assert [source_length(pieces) for pieces in (1, 16, 17)] == expected
    assert expected[0] % SOURCE_MULTIPLE == 0
