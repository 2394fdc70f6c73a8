"""Everything about the engine that only a GPU can tell: one command, below 8 minutes.

    pip install 'dragoman[ctranslate2]' nvidia-cublas-cu12
    .venv/bin/python benchmarks/engine_gpu.py --json engine-gpu.json

Wheels are all it needs: PyTorch with CUDA, CTranslate2, and the cuBLAS 12 that CTranslate2 opens. It prints

- whether float32 gives what the reference on the CPU gives (`gpu-same-float32`, 5,000 segments, but for ties; and
  greedy and beam search with options and shortlists), and whether fixed shapes give the same bits in two orders: ends
  with 1 if not;
- `gpu-greedy`, `gpu-beam4`, `gpu-b1`: bfloat16 beside CTranslate2 float16 at its best batch size, the same weights and
  forced lengths, in turns; `gpu-greedy-shortlist`: both with a shortlist of 2,000; `gpu-share-of-peak` and
  `gpu-busy-share` (see `benchmarks/engine.py`);
- `gpu-fixed-shapes`: what it costs that a translation is the same bits in any batch; `gpu-graphs`: what graphs bring.

--quick runs the same with tiny networks, on a CPU too (`--device cpu`), to see that it runs: its figures mean nothing.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from dragoman.benchmarks import _engine_gpu as gpu
from dragoman.benchmarks._engine_sides import Options, Sides
from dragoman.benchmarks._opus_shape import OPUS_BASE
from dragoman.benchmarks._prerequisites import require
from dragoman.benchmarks._table import Row, figure, row, show
from dragoman.benchmarks.torch_engine_gpu import (
    GREEDY,
    SMALL,
    Case,
    answers,
    count_differences,
    is_right,
    measure,
    network_of,
    requests_of,
)
from dragoman.model.decoding import Hypothesis
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.request import Request
from dragoman.model.engine.torch_engine import TorchEngine
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import ReferenceSearch

SAME_SEGMENTS, QUICK_SEGMENTS = 5_000, 4
SAME_LENGTHS = (3, 16)
# Segments for each of the options that are checked too.
SAME_ROWS = 24
REFERENCE_ROWS = 128
# Of the two comparisons of ours with itself.
ROWS, QUICK_ROWS = 256, 4
TURNS = 3


def by_reference(requests: Sequence[Request]) -> list[list[Hypothesis]]:
    """What plain PyTorch on the CPU finds, in batches of like length."""
    search = ReferenceSearch(network_of(SMALL), torch.device("cpu"))
    order = sorted(range(len(requests)), key=lambda place: len(requests[place].source))
    found: dict[int, list[Hypothesis]] = {}
    for first in range(0, len(order), REFERENCE_ROWS):
        places = order[first : first + REFERENCE_ROWS]
        found |= zip(places, search([requests[place] for place in places]), strict=True)
    return [found[place] for place in range(len(requests))]


def same_pieces(device: torch.device, count: int) -> tuple[Row, bool]:
    """The share of segments with the reference's pieces in float32, and whether the others are ties."""
    requests = requests_of(count, GREEDY, SMALL.vocabulary_size, SAME_LENGTHS)
    engine = TorchEngine(network_of(SMALL), device, DeviceSettings.of(device, "float32"))
    same, ties, wrong = count_differences(answers(engine, requests), by_reference(requests))
    engine.close()
    told = f"of {count:,} segments; {ties} ties, {wrong} wrong"
    return figure("gpu-same-float32", same / count, (told, "1")), wrong == 0


def against_ourselves(device: torch.device, quick: bool) -> list[Row]:
    """What fixed shapes cost, and what graphs bring."""
    rows = QUICK_ROWS if quick else ROWS
    network = network_of(SMALL if quick else OPUS_BASE)
    plain, fixed, eager = (
        measure(case, network, device, 1.0).tokens_per_second
        for case in (
            Case("plain", 1, rows),
            Case("fixed", 1, rows, shapes="fixed"),
            Case("eager", 1, rows, launch="eager"),
        )
    )
    return [
        row(
            "gpu-fixed-shapes",
            (fixed, plain),
            [fixed / plain],
            (f"tokens/s, {rows} segments, peer: fitting", "printed"),
        ),
        row("gpu-graphs", (plain, eager), [plain / eager], (f"tokens/s, {rows} segments, peer: no graphs", "printed")),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each side, after one that does not count")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU here that PyTorch can use; to see whether this runs: --quick --device cpu")
    require("ctranslate2")
    start = time.perf_counter()
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}", flush=True)
    same, is_same = same_pieces(device, QUICK_SEGMENTS if given.quick else SAME_SEGMENTS)
    show([same], None)
    if not (is_right(device, QUICK_ROWS if given.quick else SAME_ROWS) and is_same):
        return 1
    options = Options(
        torch.get_num_threads(), 1 if given.quick else given.turns, "auto", given.quick, default_checkpoint()
    )
    with Sides(options) as sides:
        rows = [same, *gpu.measure(sides, list(gpu.ROWS), given.device), *against_ourselves(device, given.quick)]
    show(rows, given.json)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
