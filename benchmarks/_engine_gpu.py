"""The rows of the engine benchmark that need a GPU. Knows how to measure them, no peers' libraries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from dragoman.benchmarks._engine_sides import SHORTLIST_PIECES, Sides, shortlist
from dragoman.benchmarks._table import Row, row
from dragoman.benchmarks.torch_engine_gpu import busy_share, operations_per_row, peak_operations, requests_of
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.engine import Engine
from dragoman.model.engine.measuring import Batch, EngineSide, OpenEngineSide, Side, compare, sorted_batches
from dragoman.model.engine.peer_process import PeerSide
from dragoman.model.interchange.ctranslate2 import Quantization

ROWS = ("gpu-greedy", "gpu-greedy-shortlist", "gpu-beam4", "gpu-b1", "gpu-share-of-peak")
# They come of the same runs.
GREEDY_ROWS = {"gpu-greedy", "gpu-greedy-shortlist", "gpu-share-of-peak"}
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
    peers = {rows: _peer(sides, device, rows) for rows in work.batch_rows}
    if GREEDY_ROWS & set(names):
        sides.exported(_precision(device), shortlist(sides.pieces, SHORTLIST_PIECES))
    # It takes the network over: what peers read is written by now.
    engine = sides.engine(0, device, ("torch", "bfloat16"))
    found: list[Row] = []
    if GREEDY_ROWS & set(names):
        found += _greedy(sides, engine, peers, (torch.device(device), work))
    if "gpu-beam4" in names:
        batches = sorted_batches(work.batches, work.segments // 4, sides.pieces)
        found += _against_best("gpu-beam4", (OpenEngineSide(engine), peers), (batches, 4), sides)[0]
    if "gpu-b1" in names:
        batches = sorted_batches(work.batches, 1, sides.pieces)
        found.append(_one_sentence(EngineSide(engine), peers[work.batch_rows[0]], batches, sides))
    engine.close()
    return found


def _greedy(sides: Sides, engine: Engine, peers: dict[int, PeerSide], at: tuple[torch.device, Work]) -> list[Row]:
    device, work = at
    batches = sorted_batches(work.batches, work.segments, sides.pieces)
    rows, best = _against_best("gpu-greedy", (OpenEngineSide(engine), peers), (batches, 1), sides)
    shortlisted = _with_shortlist(sides, engine, (str(device), best), batches)
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
        shortlisted,
        row("gpu-share-of-peak", (share, peak), [share], ("of the fastest matrix product here (peer)", ">= 0.05")),
        row("gpu-busy-share", (busy, 1.0), [busy], ("of the time in kernels, by the profiler", "printed")),
    ]


def _against_best(
    name: str, found: tuple[Side, dict[int, PeerSide]], work: tuple[list[Batch], int], sides: Sides
) -> tuple[list[Row], int]:
    """Ours beside the batch size at which CTranslate2 is best, and that size."""
    (ours, peers), (batches, beam_size) = found, work
    compared = compare([ours, *peers.values()], batches, beam_size, sides.options.turns)
    best = max(peers, key=lambda rows: compared.median(peers[rows].name))
    peer = peers[best].name
    goals = {"gpu-greedy": (">= 2", ">= 150000"), "gpu-beam4": (">= 1.5", ">= 60000")}[name]
    medians = compared.median(ours.name), compared.median(peer)
    speeds = compared.speeds[ours.name]
    rows = [
        row(name, medians, compared.ratios(ours.name, peer), (f"tokens/s, {peer}", goals[0])),
        row(f"{name}-tokens", medians, speeds, ("tokens/s", goals[1])),
    ]
    return rows, best


def _with_shortlist(sides: Sides, engine: Engine, at: tuple[str, int], batches: list[Batch]) -> Row:
    """The same shortlist for every segment, for CTranslate2 as its `vmap`, at the batch size that was its best."""
    pieces = shortlist(sides.pieces, SHORTLIST_PIECES)
    peer = _peer(sides, *at, pieces)
    ours = OpenEngineSide(engine, np.array(pieces, np.int32))
    compared = compare([ours, peer], batches, 1, sides.options.turns)
    peer.close()
    medians = compared.median(ours.name), compared.median(peer.name)
    return row(
        "gpu-greedy-shortlist", medians, compared.ratios(ours.name, peer.name), (f"tokens/s, {peer.name}", "printed")
    )


def _peer(sides: Sides, device: str, batch_rows: int, pieces: Sequence[int] = ()) -> PeerSide:
    """CTranslate2 with batches of so many segments."""
    peer = sides.ctranslate2_on(device, _precision(device), batch_rows, pieces)
    peer.name += f" b{batch_rows}"
    return peer


def _precision(device: str) -> Quantization:
    """A CPU is for trying out whether everything runs; it has no float16."""
    return "float16" if device.startswith("cuda") else "float32"


def _one_sentence(ours: Side, peer: Side, batches: list[Batch], sides: Sides) -> Row:
    compared = compare([ours, peer], batches, 1, sides.options.turns)
    medians = compared.median(ours.name), compared.median(peer.name)
    return row("gpu-b1", medians, compared.ratios(ours.name, peer.name), ("tokens/s of one sentence", ">= 1.5"))
