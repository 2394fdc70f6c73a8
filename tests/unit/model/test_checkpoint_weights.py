"""How weights are stored: as floats of 32 or 16 bits, or as integers of 8 with a scale for each row."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dragoman.model.checkpoint_config import Storage
from dragoman.model.weights import Int8Matrix, quantised, read_float_weights, read_weights, write_weights
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
# Magnitudes of a row, from weights that have nearly vanished to ones that have nearly overflowed.
MAGNITUDES = st.floats(1e-30, 1e30)


def matrix(magnitude: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 32, generator=generator) * magnitude


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@settings(deadline=None, max_examples=100)
@given(magnitude=MAGNITUDES, seed=st.integers(0, 1000))
def test_quantised_weight_is_wrong_by_half_a_scale_at_most(magnitude: float, seed: int) -> None:
    weights = matrix(magnitude, seed)
    stored = quantised(weights)

    # The multiplication rounds too, in the 24th bit.
    assert ((stored.dequantised() - weights).abs() <= 0.5001 * stored.scales[:, None]).all()


@settings(deadline=None, max_examples=100)
@given(magnitude=MAGNITUDES, seed=st.integers(0, 1000))
def test_quantised_weight_is_wrong_by_at_most_a_250th_of_the_largest_of_its_row(magnitude: float, seed: int) -> None:
    weights = matrix(magnitude, seed)

    errors = (quantised(weights).dequantised() - weights).abs()
    assert (errors <= 0.004 * weights.abs().amax(1, keepdim=True)).all()


@settings(deadline=None, max_examples=100)
@given(magnitude=MAGNITUDES, seed=st.integers(0, 1000))
def test_dequantised_matrix_gives_the_same_codes_and_scales_again(magnitude: float, seed: int) -> None:
    first = quantised(matrix(magnitude, seed))
    again = quantised(first.dequantised())

    assert torch.equal(again.codes, first.codes)
    assert torch.equal(again.scales, first.scales)


def test_each_row_has_its_own_scale() -> None:
    weights = torch.cat([matrix(1e-3, 1), matrix(1e3, 2)])

    errors = (quantised(weights).dequantised() - weights).abs().amax(1)
    assert (errors / weights.abs().amax(1) < 0.004).all()


def test_row_of_zeros_stays_zero() -> None:
    weights = matrix(1.0, 1)
    weights[2] = 0

    assert quantised(weights).dequantised()[2].abs().max() == 0


@pytest.mark.parametrize(
    ("storage", "kinds"),
    [
        ("float32", {torch.float32}),
        ("float16", {torch.float16}),
        ("int8", {torch.int8, torch.float16, torch.float32}),
    ],
)
def test_weights_are_stored_as_asked(
    tiny_checkpoint: Checkpoint, tmp_path: Path, storage: Storage, kinds: set[torch.dtype]
) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny", storage)

    stored = safetensors.torch.load_file(tmp_path / "tiny" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == kinds


def test_int8_weights_are_half_of_float16_ones(path: Path) -> None:
    weights = {"embedding.weight": matrix(1.0, 1).repeat(64, 8)}
    write_weights(path, weights, "float16")
    wide = path.stat().st_size
    write_weights(path, weights, "int8")

    assert path.stat().st_size < 0.55 * wide


def test_raw_codes_and_scales_make_the_loaded_weights(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny", "int8")
    loaded = load_checkpoint(tmp_path / "tiny", CPU).network.state_dict()

    raw = read_weights(tmp_path / "tiny" / "model.safetensors", CPU)["embedding.weight"]
    assert isinstance(raw, Int8Matrix)
    assert (raw.codes.dtype, raw.scales.dtype, raw.scales.shape) == (torch.int8, torch.float32, (340,))
    assert torch.equal(raw.codes.float() * raw.scales[:, None], loaded["embedding.weight"])


@pytest.mark.parametrize(
    "weights", [torch.randn(8), torch.randn(40, 4), torch.randn(3, 4, 20)], ids=["vector", "narrow matrix", "kernel"]
)
def test_what_is_no_wide_matrix_stays_16_bit_floats(path: Path, weights: torch.Tensor) -> None:
    write_weights(path, {"a": weights}, "int8")

    assert torch.equal(read_float_weights(path, CPU)["a"], weights.half().float())


def test_integers_are_kept(path: Path) -> None:
    write_weights(path, {"a": torch.tensor([2**40, -7])}, "int8")

    assert torch.equal(read_float_weights(path, CPU)["a"], torch.tensor([2**40, -7]))


@pytest.mark.parametrize("storage", ["float16", "float32", "int8"])
def test_shared_and_turned_weights_can_be_stored(path: Path, storage: Storage) -> None:
    weights = matrix(1.0, 3)
    write_weights(path, {"a": weights, "b": weights, "turned": weights.T}, storage)

    loaded = read_float_weights(path, CPU)
    assert torch.equal(loaded["a"], loaded["b"])
    assert (loaded["turned"].T - loaded["a"]).abs().max() < 0.1


def test_weight_without_values_can_be_stored(path: Path) -> None:
    write_weights(path, {"a": torch.zeros(0, 20)}, "float16")

    assert read_float_weights(path, CPU)["a"].shape == (0, 20)


@pytest.mark.parametrize(
    ("storage", "value"),
    [("float16", float("nan")), ("float16", 1e6), ("float32", float("inf")), ("int8", float("nan")), ("int8", 1e6)],
)
def test_weights_are_not_saved_when_the_storage_cannot_hold_them(
    tiny_checkpoint: Checkpoint,
    tiny_network: Callable[[int, int], Transformer],
    tmp_path: Path,
    storage: Storage,
    value: float,
) -> None:
    network = tiny_network(len(tiny_checkpoint.vocabulary), 7)
    network.get_parameter("decoder_norm.weight")[3] = value

    with pytest.raises(CheckpointError, match=rf"the weights decoder_norm\.weight are not finite as {storage}: "):
        save_checkpoint(replace(tiny_checkpoint, network=network), tmp_path / "broken", storage)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_matrix_is_not_saved_as_integers_when_it_is_not_finite(path: Path, value: float) -> None:
    weights = matrix(1.0, 1)
    weights[2, 5] = value

    with pytest.raises(CheckpointError, match="the weights a are not finite as int8"):
        write_weights(path, {"a": weights}, "int8")


def test_large_weights_are_saved_as_32_bit_floats(path: Path) -> None:
    write_weights(path, {"a": torch.tensor([1e6])}, "float32")

    assert read_float_weights(path, CPU)["a"].item() == 1e6


def test_unknown_storage_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="no storage 'int4' of weights: take one of float16, float32, int8"):
        write_weights(path, {"a": torch.zeros(2)}, "int4")


@pytest.mark.parametrize(
    "scales",
    [{}, {"a:scales": torch.ones(3)}, {"a:scales": torch.ones(4, 1)}, {"a:scales": torch.ones(4).half()}],
    ids=["none", "too few", "a matrix", "other floats"],
)
def test_codes_without_a_scale_for_each_row_are_refused(path: Path, scales: dict[str, torch.Tensor]) -> None:
    path.write_bytes(safetensors.torch.save({"a": torch.ones(4, 20).to(torch.int8)} | scales))

    with pytest.raises(CheckpointError, match=r"model\.safetensors has no scale for each row of a: copy the whole"):
        read_weights(path, CPU)


def test_scales_that_are_not_finite_are_refused(path: Path) -> None:
    codes = torch.ones(4, 20).to(torch.int8)
    path.write_bytes(safetensors.torch.save({"a": codes, "a:scales": torch.tensor([1.0, float("nan"), 1, 1])}))

    with pytest.raises(CheckpointError, match="the weights a are not finite in"):
        read_float_weights(path, CPU)
