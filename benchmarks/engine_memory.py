"""Memory of a running engine over many segments: it must not grow.

    .venv/bin/python benchmarks/engine_memory.py [--json FILE] [--segments N] [--checkpoint NAME]

Sends the demo's sentences again and again through the shipped model, greedy and with beams, and prints the resident
memory after the first tenth and at the end. There is no peer: the ratio is the end over the beginning.
"""

import argparse
import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from dragoman.benchmarks._table import Row, show
from dragoman.model.decoding import SearchOptions
from dragoman.model.shipped import DEFAULT, find_checkpoint
from dragoman.model.translator import Translator

# Segments that wait or run at once: more than the running batch holds.
IN_FLIGHT = 2_000
OPTIONS = (SearchOptions(beam_size=1), SearchOptions(beam_size=1, max_pieces=8), SearchOptions(beam_size=2))


def resident_bytes() -> int:
    """Resident memory of this process, as Linux counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("resident memory is read from /proc: this needs Linux")


def sentences() -> list[str]:
    """The demo's own sentences."""
    folder = resources.files("dragoman.compose.demo")
    return [line for file in folder.iterdir() if file.name.endswith(".txt") for line in file.read_text().splitlines()]


def sent(translator: Translator, count: int) -> Iterator[int]:
    """Translate so many segments in random order with random options; yields how many are done."""
    generator = random.Random(1)
    texts = [text for text in sentences() if text.strip()]
    futures: deque[object] = deque()
    for number in itertools.count(1):
        if number <= count:
            futures += translator.submit([generator.choice(texts)], generator.choice(OPTIONS))
        if number > IN_FLIGHT or number > count:
            futures.popleft().result()  # type: ignore[attr-defined]
            yield number - min(IN_FLIGHT, count)
        if not futures:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--segments", type=int, default=200_000)
    parser.add_argument("--checkpoint", default=DEFAULT)
    options = parser.parse_args()
    translator = Translator.load(find_checkpoint(options.checkpoint), "cpu")
    start, early = time.perf_counter(), 0
    for done in sent(translator, options.segments):
        if done == options.segments // 10:
            early = resident_bytes()
        if done % 10_000 == 0 and done > 0:
            pace = done / (time.perf_counter() - start)
            print(f"{done:,} segments, {pace:,.0f} a second, {resident_bytes() / 2**20:,.0f} MiB", flush=True)
    late = resident_bytes()
    translator.close()
    ratio = late / early
    show([Row("engine-memory", late / 2**20, early / 2**20, "MiB", ratio, ratio, ratio, "<= 1.02")], options.json)


if __name__ == "__main__":
    main()
