"""The rows of the engine benchmark that need a GPU. Knows how to measure them, no peers' libraries."""

from dataclasses import dataclass

import torch
from dragoman.benchmarks._engine_sides import Sides
from dragoman.benchmarks._table import Row, row
from dragoman.benchmarks.torch_engine_gpu import busy_share, operations_per_row, peak_operations, requests_of
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.engine import Engine
from dragoman.model.engine.measuring import Batch, EngineSide, OpenEngineSide, Side, compare, sorted_batches
from dragoman.model.engine.peer_process import PeerSide
from dragoman.model.interchange.ctranslate2 import Quantization

ROWS = ("gpu-greedy", "gpu-beam4", "gpu-b1", "gpu-share-of-peak")
DEVICE = "cuda:0"


@dataclass(frozen=True, slots=True)
class Work:
    """How much is measured: `batch_rows` are those of CTranslate2, tried in the same run, the best of which counts;
    `batches` of `segments` each; a product of `peak_matrix` squared; the segments and pieces that a profiler sees."""

    batch_rows: tuple[int, ...] = (64, 128, 256, 512)
    batches: int = 8
    segments: int = 512
    peak_matrix: int = 8192
    profiled: tuple[int, int] = (1024, 32)


QUICK = Work((8, 16), 2, 32, 256, (16, 8))


def measure(sides: Sides, names: list[str], device: str = DEVICE) -> list[Row]:
    """The rows called `names`, and plain figures beside them."""
    work = QUICK if sides.options.quick else Work()
    # A CPU is for trying out whether everything runs; it has no float16.
    precision: Quantization = "float16" if device.startswith("cuda") else "float32"
    peers = {rows: sides.ctranslate2_on(device, precision, rows) for rows in work.batch_rows}
    for rows, peer in peers.items():
        peer.name += f" b{rows}"
    # It takes the network over: the peers have theirs by now.
    engine = sides.engine(0, device, ("torch", "bfloat16"))
    found: list[Row] = []
    if {"gpu-greedy", "gpu-share-of-peak"} & set(names):
        found += _greedy(sides, engine, peers, (torch.device(device), work))
    if "gpu-beam4" in names:
        batches = sorted_batches(work.batches, work.segments // 4, sides.pieces)
        found += _against_best("gpu-beam4", (OpenEngineSide(engine), peers), (batches, 4), sides)
    if "gpu-b1" in names:
        batches = sorted_batches(work.batches, 1, sides.pieces)
        found.append(_one_sentence(EngineSide(engine), peers[work.batch_rows[0]], batches, sides))
    engine.close()
    return found


def _greedy(sides: Sides, engine: Engine, peers: dict[int, PeerSide], at: tuple[torch.device, Work]) -> list[Row]:
    device, work = at
    batches = sorted_batches(work.batches, work.segments, sides.pieces)
    rows = _against_best("gpu-greedy", (OpenEngineSide(engine), peers), (batches, 1), sides)
    network = sides.checkpoint.network
    assert isinstance(network, Transformer)
    peak = peak_operations(device, work.peak_matrix)
    profiled, pieces = work.profiled
    share = rows[0].ours * operations_per_row(network.config) / peak
    busy = busy_share(
        engine,  # type: ignore[arg-type]
        requests_of(profiled, SearchOptions(beam_size=1, min_pieces=pieces), sides.pieces, (pieces // 2, pieces)),
    )
    return [
        *rows,
        row("gpu-share-of-peak", (share, peak), [share], ("of the fastest matrix product here (peer)", ">= 0.05")),
        row("gpu-busy-share", (busy, 1.0), [busy], ("of the time in kernels, by the profiler", "printed")),
    ]


def _against_best(
    name: str, found: tuple[Side, dict[int, PeerSide]], work: tuple[list[Batch], int], sides: Sides
) -> list[Row]:
    """Ours beside the batch size at which CTranslate2 is best."""
    (ours, peers), (batches, beam_size) = found, work
    compared = compare([ours, *peers.values()], batches, beam_size, sides.options.turns)
    best = max((peer.name for peer in peers.values()), key=compared.median)
    goals = {"gpu-greedy": (">= 2", ">= 150000"), "gpu-beam4": (">= 1.5", ">= 60000")}[name]
    medians = compared.median(ours.name), compared.median(best)
    speeds = compared.speeds[ours.name]
    return [
        row(name, medians, compared.ratios(ours.name, best), (f"tokens/s, {best}", goals[0])),
        row(f"{name}-tokens", medians, speeds, ("tokens/s", goals[1])),
    ]


def _one_sentence(ours: Side, peer: Side, batches: list[Batch], sides: Sides) -> Row:
    compared = compare([ours, peer], batches, 1, sides.options.turns)
    medians = compared.median(ours.name), compared.median(peer.name)
    return row("gpu-b1", medians, compared.ratios(ours.name, peer.name), ("tokens/s of one sentence", ">= 1.5"))
