"""The torch engine on a GPU: is it right there, how fast is it, and how near to what the device can do.

    .venv/bin/python benchmarks/torch_engine_gpu.py [--json FILE]

It needs one GPU, PyTorch with CUDA, and less than 8 minutes. First it compares float32 with the reference on the CPU,
greedy and with a beam, with and without shortlists, and in steps of one shape bit for bit in two orders; it ends with 1
if they differ by more than a tie. Then it decodes a network of OPUS-MT's shape with random weights (12 layers, width
512, 58,101 pieces) in bfloat16, sources and translations of 32 pieces each, with as many segments at a time as each
line says. Steps as graphs, steps launched one by one, and steps of one fixed shape stand beside each other.
`arithmetic` is the share of the fastest matrix product of this device, measured here; `busy` the share of the time in
which kernels run.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from dragoman.benchmarks._opus_shape import OPUS_BASE
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.device.settings import DeviceSettings, Launch, Shapes
from dragoman.model.engine.request import Request
from dragoman.model.engine.torch_engine import TorchEngine
from dragoman.model.vocabularies.vocabulary import END

SMALL = replace(OPUS_BASE, vocabulary_size=4_001, width=128, heads=4, feed_forward=256, max_positions=128)
SOURCE_PIECES = TARGET_PIECES = 32
ROOM = 64
# A shortlist that is checked has every so many-th piece.
SHORTLIST_STEP = 7
# Two hypotheses whose scores differ by less are a tie, which rounding decides.
TIE = 1e-3
GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=4, n_best=4)
# Segments at a time, by beam size.
SEGMENTS = {1: (1, 32, 128, 256, 512), 4: (1, 32, 128)}
TIMED_RUNS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table: the rest of the settings is the same in all."""

    name: str
    beam_size: int
    segments: int
    launch: Launch = "graphs"
    shapes: Shapes = "fitting"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case gave: pieces a second (without END), milliseconds a segment took from first to last, two shares."""

    name: str
    tokens_per_second: float
    milliseconds: float
    arithmetic: float
    busy: float


def network_of(config: TransformerConfig) -> Transformer:
    """A network with random weights, on the CPU."""
    torch.manual_seed(1)
    return Transformer(config).eval().requires_grad_(requires_grad=False)


def requests_of(count: int, options: SearchOptions, vocabulary_size: int, lengths: tuple[int, int]) -> list[Request]:
    """Segments with random sources of (fewest, most) pieces, to be translated to at most the most."""
    numbers = random.Random(3)
    sources = [
        tuple(numbers.randrange(4, vocabulary_size) for _ in range(numbers.randint(*lengths))) for _ in range(count)
    ]
    return [Request((*source, END), options, lengths[1], tuple) for source in sources]


def answers(engine: TorchEngine, requests: Sequence[Request]) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of all requests, submitted at once."""
    fresh = [Request(one.source, one.options, one.limit, tuple, shortlist=one.shortlist) for one in requests]
    engine.submit(fresh)
    return [request.future.result() for request in fresh]


def references(network: Transformer, requests: Sequence[Request]) -> list[list[Hypothesis]]:
    """What the reference finds on the CPU, one by one."""
    found = []
    for request in requests:
        with torch.inference_mode():
            state = network.start(torch.tensor([request.source]))
        allowed = () if request.shortlist is None else (request.shortlist,)
        rows = Rows((request.limit,), torch.device("cpu"), allowed=allowed)
        found += search(network.step, state, rows, request.options)
    return found


def count_differences(found: Sequence[Sequence[Hypothesis]], expected: Sequence[Sequence[Hypothesis]]) -> list[int]:
    """How many segments have the same best pieces, others of the same score (ties), and wrong ones."""
    counts = [0, 0, 0]
    for ours, theirs in zip(found, expected, strict=True):
        near = all(abs(a.score - b.score) < TIE for a, b in zip(ours, theirs, strict=True))
        counts[0 if near and ours[0].pieces == theirs[0].pieces else 1 if near else 2] += 1
    return counts


def is_right(device: torch.device, count: int = 24) -> bool:
    """Compare the engine on `device` with the reference on the CPU, in float32, and fixed shapes with themselves.

    There are `count` segments for each of a few options, every other one with a shortlist.
    """
    launch: Launch = "graphs" if device.type == "cuda" else "eager"
    shortlist = np.arange(END, SMALL.vocabulary_size, SHORTLIST_STEP, dtype=np.int32)
    requests = [
        replace(request, shortlist=shortlist) if place % 2 else request
        for options in (GREEDY, BEAM, replace(BEAM, length_penalty=0.6, min_pieces=5))
        for place, request in enumerate(requests_of(count, options, SMALL.vocabulary_size, (1, 40)))
    ]
    expected = references(network_of(SMALL), requests)
    settings = replace(DeviceSettings.of(device, "float32"), launch=launch, runs_in_flight=2, rows=32)
    engine = TorchEngine(network_of(SMALL), device, settings)
    same, ties, wrong = count_differences(answers(engine, requests), expected)
    again = count_differences(answers(engine, requests), expected)  # now every shape is captured
    engine.close()
    engine = TorchEngine(network_of(SMALL), device, replace(settings, shapes="fixed"))
    first, turned = answers(engine, requests), answers(engine, requests[::-1])[::-1]
    engine.close()
    print(f"float32 against the reference: {same} segments the same, {ties} ties, {wrong} wrong; again {again}")
    print(f"fixed shapes, in two orders: bit for bit {'the same' if first == turned else 'DIFFERENT'}")
    return wrong == again[2] == 0 and first == turned


def settings_of(case: Case, device: torch.device) -> DeviceSettings:
    """What a case is measured with."""
    return replace(
        DeviceSettings.of(device, "bfloat16"),
        rows=case.segments * case.beam_size,
        beam_sizes=(case.beam_size,),
        source_pieces=ROOM,
        target_pieces=ROOM,
        launch=case.launch,
        shapes=case.shapes,
        encoder_rows=min(case.segments, 128),
    )


def measure(case: Case, network: Transformer, device: torch.device, peak: float) -> Measured:
    """Decode several times as many segments as there are slots, after a run that captures every shape."""
    options = SearchOptions(beam_size=case.beam_size, min_pieces=TARGET_PIECES)
    lengths = (SOURCE_PIECES, TARGET_PIECES)
    requests = requests_of(
        case.segments * (4 if case.segments > 1 else 1), options, network.config.vocabulary_size, lengths
    )
    engine = TorchEngine(network, device, settings_of(case, device))
    answers(engine, requests)
    seconds = statistics.median(timed(engine, requests) for _ in range(TIMED_RUNS))
    busy = busy_share(engine, requests)
    engine.close()
    tokens = len(requests) * TARGET_PIECES
    rows = len(requests) * (TARGET_PIECES + 1) * case.beam_size
    arithmetic = rows * operations_per_row(network.config) / seconds / peak
    return Measured(case.name, tokens / seconds, 1000 * seconds, arithmetic, busy)


def timed(engine: TorchEngine, requests: Sequence[Request]) -> float:
    """Seconds from submitting all to the last answer."""
    start = time.perf_counter()
    answers(engine, requests)
    return time.perf_counter() - start


def busy_share(engine: TorchEngine, requests: Sequence[Request]) -> float:
    """The share of the time in which kernels run, by the profiler; above 1 where streams overlap, 0 without CUDA."""
    if not torch.cuda.is_available():
        return 0.0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        seconds = timed(engine, requests)
        torch.cuda.synchronize()
    busy_seconds: float = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return busy_seconds / seconds


def operations_per_row(config: TransformerConfig) -> float:
    """Floating-point operations of a decoder step for one row: all its products, without attention and the encoder."""
    width, inner = config.width, config.decoder_layer.feed_forward
    layer = 6 * width * width + 2 * width * inner
    return 2.0 * (config.decoder_layers * layer + width * config.vocabulary_size)


def peak_operations(device: torch.device, size: int) -> float:
    """Operations a second of a large product in bfloat16 on this device."""
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(10):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds)


def cases() -> list[Case]:
    """What is measured, smallest first."""
    told = {1: "greedy", 4: "beam 4"}
    plain = [Case(f"{told[beam]}, {many} segments", beam, many) for beam in told for many in SEGMENTS[beam]]
    compared = [
        Case("greedy, 256 segments, no graphs", 1, 256, launch="eager"),
        Case("greedy, 256 segments, fixed shapes", 1, 256, shapes="fixed"),
        Case("greedy, 1 segment, no graphs", 1, 1, launch="eager"),
    ]
    return plain + compared


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write what was measured here too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here that PyTorch can use, so there is nothing to measure; the tests run on the CPU.")
        return 0
    device = torch.device("cuda:0")
    print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}")
    if not is_right(device):
        return 1
    peak = peak_operations(device, 8192)
    network = network_of(OPUS_BASE)
    print(f"{'':<38}{'tokens/s':>10}{'ms':>9}{'arithmetic':>12}{'busy':>7}   peak {peak / 1e12:.0f} TFLOP/s")
    lines = []
    for case in cases():
        lines.append(measure(case, network, device, peak))
        told = lines[-1]
        print(
            f"{told.name:<38}{told.tokens_per_second:>10,.0f}{told.milliseconds:>9.1f}"
            f"{told.arithmetic:>11.1%}{told.busy:>7.0%}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
