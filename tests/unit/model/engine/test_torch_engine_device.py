"""The parts of the torch engine by themselves: settings, sizes, slots, and that a step can be captured."""

from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.engine.device.choosing import take_beams, take_likeliest
from dragoman.model.engine.device.decoder import Decoder, Extent
from dragoman.model.engine.device.fused import FusedTransformer
from dragoman.model.engine.device.grid import doubling, fitting, groups_by_length, segment_sizes
from dragoman.model.engine.device.lane_state import LaneShape, LaneState
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.device.slots import Slots
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class OffDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation that reads or makes a tensor that does not lie on the device of the step."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type != "meta" for tensor in tensors):
            self.names.append(str(func))
        return made


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("beam_size", "take"), [(1, take_likeliest), (4, take_beams)])
@pytest.mark.parametrize("shortlists", [False, True])
def test_a_step_touches_nothing_on_the_host_so_it_can_be_captured(
    positions: Any, dtype: Any, beam_size: Any, take: Any, shortlists: Any
) -> None:
    """On tensors without numbers: to look at one would fail, as it would while a graph is captured."""
    device, extent = torch.device("meta"), Extent(8, 16, 32, shortlists)
    shape = TransformerConfig(
        300, 32, 2, 48, 1, 2, max_positions=64, positions=positions, output_bias="learned", embedding_norm="layer"
    )
    network = Transformer(shape)
    with torch.inference_mode():
        decoder = Decoder(FusedTransformer.take_over(network, device, dtype))
        state = LaneState.allocate(LaneShape(beam_size, 8, 32, 64, 2, 2, 32, 384, dtype), device)
        with OffDevice() as off_device:
            take(state, extent, decoder.scores(state, extent))
    assert off_device.names == []


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_segment_takes_the_bytes_that_the_budget_counts(beam_size: Any) -> None:
    shape = LaneShape(beam_size, 3, 32, 48, 2, 4, 16, 256, torch.bfloat16)
    assert LaneState.allocate(shape, torch.device("cpu")).bytes == 3 * shape.bytes_per_segment


def test_sizes_are_few_and_end_with_the_largest() -> None:
    assert segment_sizes(512) == (1, 8, 32, 64, 128, 256, 512)
    assert segment_sizes(20) == (1, 8, 20)
    assert doubling(32, 112) == (32, 64, 112)
    assert fitting((1, 8, 32), 9) == 32


def test_segments_are_encoded_with_those_of_their_length() -> None:
    assert list(groups_by_length([3, 40, 16, 17, 2], most=2)) == [(16, [0, 2]), (16, [4]), (32, [3]), (48, [1])]


def test_the_lowest_slot_is_taken_first_when_several_are_free() -> None:
    slots = Slots(4)
    assert [slots.take() for _ in range(4)] == [0, 1, 2, 3]
    slots.give(2)
    slots.give(1)
    assert (slots.free, slots.take()) == (2, 1)


def test_taken_slots_move_below_a_bound_only_when_all_find_room() -> None:
    slots = Slots(6)
    for _ in range(6):
        slots.take()
    slots.give(0)
    slots.give(2)
    assert slots.moves([1, 3, 4, 5], below=4) == [(4, 0), (5, 2)]
    assert (slots.moves([0, 1, 2, 3], below=2), slots.free) == ([], 2)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"steps_per_run": 0}, "steps_per_run is 0"),
        ({"cache_bytes": 0}, "cache_bytes is 0"),
        ({"beam_sizes": ()}, "no beam sizes"),
        ({"beam_sizes": (4, 1)}, "ascending"),
        ({"beam_sizes": (1, 200)}, "too wide"),
        ({"target_pieces": 1}, "holds no segment"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: Any, why: Any) -> None:
    with pytest.raises(ConfigurationError, match=why):
        DeviceSettings(**values)
