"""The C code compiled for the least machine of its kind, where vectors are written out: the same results.

On x86-64 that is a machine without AVX2; elsewhere it is what the compiler takes by default.
"""

import ctypes
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.engine import native_core, native_library
from dragoman.model.engine.core import ANY, NewSegment, StepRows
from dragoman.model.engine.native_core import NativeCore
from dragoman.model.vocabularies.vocabulary import BEGIN, END
from dragoman.model.weights import quantised

LEAST = ("-march=x86-64",) if platform.machine().lower() in ("x86_64", "amd64") else ()
SOURCES = [(*range(4, 4 + length), END) for length in range(13)]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target: Path = tmp_path_factory.mktemp("baseline") / "native.so"
    with pytest.MonkeyPatch.context() as changed:
        flags = tuple(flag for flag in native_library.FLAGS if flag != "-march=native")
        changed.setattr(native_library, "FLAGS", (*flags, *LEAST))
        native_library._compile(native_library._compiler(), target)
    return native_library._load(target)


@pytest.fixture
def cores(baseline: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[NativeCore]]:
    """Cores to be closed; until then they are made of the baseline library."""
    monkeypatch.setattr(native_core, "native_library", lambda: baseline)
    made: list[NativeCore] = []
    yield made
    for core in made:
        core.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_products_are_those_written_out_one_by_one(baseline: ctypes.CDLL, threads: int) -> None:
    assert baseline.dragoman_check(threads) == 0


def test_vectors_are_the_narrow_ones(baseline: ctypes.CDLL) -> None:
    assert baseline.dragoman_lanes() == 8


# The roundings of float32; of rows of 16-bit integers; of rows of 7-bit integers, about 2 % of a score's deviation.
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8-exact", 5e-4), ("int8", 0.3)])
def test_probabilities_are_those_of_the_reference(
    random_network: Any, cores: list[NativeCore], precision: Any, tolerance: float
) -> None:
    network = random_network(width=60, heads=4, feed_forward=77, activation="gelu", output_bias="learned")
    core = NativeCore(network, precision, 2)
    cores.append(core)
    pieces, scores = core.step(first_rows(core.open([NewSegment(source, 1, 2) for source in SOURCES])), 9)
    if precision != "float32":
        round_weights(network)
    expected = np.stack([first_probabilities(network, source) for source in SOURCES])

    assert np.take_along_axis(expected, pieces, 1) == pytest.approx(scores, abs=tolerance)
    assert -np.sort(-expected[:, END:], 1)[:, :9] == pytest.approx(scores, abs=tolerance)


def first_rows(opened: list[int]) -> StepRows:
    zeros = np.zeros(len(opened), np.int32)
    return StepRows(np.array(opened, np.int64), zeros, zeros, zeros + BEGIN, zeros, zeros + ANY, zeros)


def first_probabilities(network: Transformer, source: tuple[int, ...]) -> Any:
    with torch.inference_mode():
        state = network.start(torch.tensor([source]))
        return network.step(torch.tensor([BEGIN]), state).log_softmax(-1)[0].numpy()


def round_weights(network: Transformer) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.copy_(quantised(parameter).dequantised())
