"""Our engine beside CTranslate2 and `transformers`: same weights, same segments, same forced lengths, same threads.

    .venv/bin/python benchmarks/engine.py [--rows NAME,...] [--json FILE] [--threads N] [--turns N] [--quick]

A network of OPUS-MT's shape with random weights, batches of segments of one length each (so that nobody pads), pieces
instead of text. Each side translates the same in turns, each peer in a process of its own. A ratio is the median over
turns, with its lowest and highest. `cpu-student-sentences` alone goes from text to text, with a shipped checkpoint and
one thread; the figure beside it is a published one, from another machine. The continuous rows compare our engine with
itself in static length-sorted batches. Rows called gpu-... need a GPU.

--quick runs everything with a tiny network, to see that it runs: its figures mean nothing.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dragoman.benchmarks import _engine_gpu as gpu
from dragoman.benchmarks._engine_sides import SHORTLIST_PIECES, Options, Sides, shortlist
from dragoman.benchmarks._prerequisites import require
from dragoman.benchmarks._table import Row, row, show
from dragoman.compose.demo.demo import SENTENCES
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.measuring import MOST_PIECES, SETTLE_SECONDS, EngineSide, compare, sorted_batches
from dragoman.model.engine.measuring_load import FullLoad, Latencies, StaticBatches, full_load, segments, under_load
from dragoman.model.memory import keep_freed_memory
from dragoman.model.shipped import default_checkpoint, find_checkpoint, shipped_checkpoints
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import LANGUAGE_PIECE

# Marian's tiny 8-bit student of Bergamot, one thread, as published; its network is smaller than ours.
PUBLISHED_SENTENCES_PER_SECOND = 63.0
STUDENT_BATCH_ROWS = (32, 64, 128)
# Rows of the running batch, and of a static one; segments of a run; what share of full load arrives.
LOAD_ROWS, LOAD_SEGMENTS, LOAD_SHARE, LOAD_TURNS = 128, 600, 0.7, 3


@dataclass(frozen=True, slots=True)
class Case:
    """Batches of so many segments on the CPU, beside CTranslate2 with 8-bit weights."""

    batches: int
    rows: int
    beam_size: int
    goal: str
    shortlist: int = 0


CASES = {
    "cpu-greedy-b32": Case(8, 32, 1, ">= 1.6"),
    "cpu-beam4-b32": Case(4, 32, 4, ">= 1.5"),
    "cpu-greedy-b1": Case(8, 1, 1, ">= 2"),
    "cpu-greedy-b32-shortlist": Case(8, 32, 1, ">= 1.5", SHORTLIST_PIECES),
}
TRANSFORMERS = ("cpu-greedy-b32-transformers", "cpu-greedy-b32-transformers-best")
STUDENT = ("cpu-student-sentences", "cpu-student-sentences-ctranslate2")
LOAD = ("continuous-latency-p95", "continuous-throughput", "slot-occupancy")
Measure = Callable[[Sides, list[str]], list[Row]]


def against_ctranslate2(sides: Sides, names: list[str]) -> list[Row]:
    """The cases called `names`."""
    return [_case(sides, name, CASES[name]) for name in names]


def _case(sides: Sides, name: str, case: Case) -> Row:
    pieces = shortlist(sides.pieces, case.shortlist)
    peer = sides.ctranslate2("int8", pieces)
    engine = sides.engine(case.rows * case.beam_size)
    ours = EngineSide(engine, np.array(pieces, np.int32) if pieces else None)
    batches = sorted_batches(case.batches, case.rows, sides.pieces)
    compared = compare([ours, peer], batches, case.beam_size, sides.options.turns)
    engine.close()
    medians = compared.median(ours.name), compared.median(peer.name)
    return row(name, medians, compared.ratios(ours.name, peer.name), (f"tokens/s, {peer.name}", case.goal))


def against_transformers(sides: Sides, _: list[str]) -> list[Row]:
    """Greedy search beside `generate` of transformers: as it is, and as fast as it gets."""
    plain, quantised = sides.marian("float32"), sides.marian("int8")
    engine = sides.engine(32)
    ours = EngineSide(engine)
    compared = compare([ours, plain, quantised], sorted_batches(4, 32, sides.pieces), 1, sides.options.turns)
    engine.close()
    best = max(plain.name, quantised.name, key=compared.median)
    told = zip(TRANSFORMERS, (plain.name, best), (">= 5", ">= 1.7"), strict=True)
    return [
        row(
            name,
            (compared.median(ours.name), compared.median(peer)),
            compared.ratios(ours.name, peer),
            (f"tokens/s, {peer}", goal),
        )
        for name, peer, goal in told
    ]


def student_sentences(sides: Sides, _: list[str]) -> list[Row]:
    """Real sentences, from text to text, one thread; CTranslate2 with its best batch size beside it."""
    options = sides.options
    translator = Translator.load(options.student, "cpu", "auto", options.precision, EngineLimits(threads=1))
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[: 20 if options.quick else None]
    checkpoint, target = translator.checkpoint, "fr"
    if translator.engine is not None and translator.engine.has_own_weights:
        checkpoint = Translator.load(options.student, "cpu", "reference").checkpoint
    peers = {rows: sides.student(checkpoint, rows) for rows in STUDENT_BATCH_ROWS}
    first = LANGUAGE_PIECE.format(target) if checkpoint.vocabulary.languages else ""
    search = SearchOptions(beam_size=1, vocabulary="shortlist" if checkpoint.shortlist else "whole")

    def ours() -> float:
        start = time.perf_counter()
        translator.translate(texts, search, target=target)
        return time.perf_counter() - start

    question = {"texts": texts, "first": first, "beam_size": 1, "most_pieces": MOST_PIECES}
    theirs = peers[STUDENT_BATCH_ROWS[0]].ask(question)["texts"]
    same = sum(map(str.__eq__, theirs, (found.text for found in translator.translate(texts, search, target=target))))
    print(f"{same} of {len(texts)} translations are the same as CTranslate2's", flush=True)
    runs = {"ours": ours} | {str(rows): lambda peer=peer: peer.ask(question)["seconds"] for rows, peer in peers.items()}
    speeds = _in_turns(runs, len(texts), options.turns)
    translator.close()
    best = max(speeds.keys() - {"ours"}, key=lambda name: statistics.median(speeds[name]))
    own, other = (statistics.median(speeds[name]) for name in ("ours", best))
    ratios = [mine / its for mine, its in zip(speeds["ours"], speeds[best], strict=True)]
    told = f"sentences/s a thread, {options.student.name}, {translator.engine_name}"
    return [
        row(STUDENT[0], (own, PUBLISHED_SENTENCES_PER_SECOND), speeds["ours"], (told, ">= 150")),
        row(STUDENT[1], (own, other), ratios, (f"sentences/s a thread, int8 in batches of {best}", "printed")),
    ]


def _in_turns(runs: dict[str, Callable[[], float]], count: int, turns: int) -> dict[str, list[float]]:
    """How many of `count` each did a second, turn by turn, after one that does not count."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(turns + 1):
        for name, run in runs.items():
            time.sleep(SETTLE_SECONDS)
            speeds[name].append(count / run())
    return {name: measured[1:] for name, measured in speeds.items()}


def continuous(sides: Sides, _: list[str]) -> list[Row]:
    """The running batch beside static batches of everything that waits: full load, and random arrivals."""
    quick = sides.options.quick
    rows, count = (16, 60) if quick else (LOAD_ROWS, LOAD_SEGMENTS)
    engine = sides.engine(rows)
    static = StaticBatches(engine, EngineLimits().waiting)
    full: list[tuple[FullLoad, FullLoad]] = []
    latencies: list[tuple[Latencies, Latencies]] = []
    for turn in range(1 + (1 if quick else LOAD_TURNS)):
        work = segments(count, sides.pieces, turn)
        full.append((full_load(engine, work, rows), full_load(static, work, rows)))
        rate = LOAD_SHARE * full[-1][0].segments_per_second
        latencies.append((under_load(engine, work, rate, turn), under_load(static, work, rate, turn)))
    static.close()
    engine.close()
    return _load_rows(full[1:], latencies[1:])  # the first warmed up


def _load_rows(full: Sequence[tuple[FullLoad, FullLoad]], found: Sequence[tuple[Latencies, Latencies]]) -> list[Row]:
    p95 = [(ours.share(0.95), peer.share(0.95)) for ours, peer in found]
    speed = [(ours.segments_per_second, peer.segments_per_second) for ours, peer in full]
    occupied = [(ours.occupancy or 0.0, peer.occupancy or 0.0) for ours, peer in full]
    return [
        row(LOAD[0], _medians(p95), [own / other for own, other in p95], ("s at 70 % load", "<= 0.5")),
        row(LOAD[1], _medians(speed), [own / other for own, other in speed], ("segments/s", ">= 1")),
        row(LOAD[2], _medians(occupied), [own for own, _ in occupied], ("of the rows, at full load", ">= 0.95")),
    ]


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return own, other


GROUPS: dict[tuple[str, ...], Measure] = {
    tuple(CASES): against_ctranslate2,
    TRANSFORMERS: against_transformers,
    STUDENT: student_sentences,
    LOAD: continuous,
    gpu.ROWS: gpu.measure,
}
NAMES = [name for group in GROUPS for name in group]


def measured(options: Options, names: Sequence[str]) -> list[Row]:
    """All rows asked for, each printed once it is there."""
    rows: list[Row] = []
    for group, measure in GROUPS.items():
        wanted = [name for name in group if name in names]
        if not wanted:
            continue
        if group == gpu.ROWS and not torch.cuda.is_available():
            print(f"left out, for there is no GPU here: {', '.join(wanted)}. On a machine with one:")
            print(f"    .venv/bin/python benchmarks/engine.py --rows {','.join(wanted)} --json FILE", flush=True)
            continue
        print(f"measuring {', '.join(wanted)}", flush=True)
        with Sides(options) as sides:
            found = [found for found in measure(sides, wanted) if found.name not in set(NAMES) - set(wanted)]
        show(found, None)
        rows += found
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"which, by comma, of {', '.join(NAMES)}; default: all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--turns", type=int, default=7, help="of each side, after one that does not count")
    parser.add_argument("--precision", default="auto", help="of ours on the CPU")
    parser.add_argument("--student", type=find_checkpoint, default=_student(), help="checkpoint of the student row")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    given = parser.parse_args()
    names = given.rows.split(",") if given.rows else NAMES
    if not set(names) <= set(NAMES):
        sys.exit(f"there is no row {', '.join(sorted(set(names) - set(NAMES)))}: take of {', '.join(NAMES)}")
    require("ctranslate2", "transformers")
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    options = Options(given.threads, 1 if given.quick else given.turns, given.precision, given.quick, given.student)
    rows = measured(options, names)
    if rows:
        show(rows, given.json)


def _student() -> Path:
    """The shipped checkpoint that is called a student, else the default one."""
    return next((folder for folder in shipped_checkpoints() if "student" in folder.name), default_checkpoint())


if __name__ == "__main__":
    main()
