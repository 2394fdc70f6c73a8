"""Length-sorted, padding-bounded batches against batches in order of arrival: padding, and segments per second.

    .venv/bin/python benchmarks/batching.py [--json FILE] [--runs N]

Both sides translate the same sentences, greedily, with the same checkpoint and threads, in turn, in one process: once
with a few hundred waiting, once with a few thousand.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from dragoman.compose.demo.demo import SENTENCES
from dragoman.model.batching import BatchLimits, pack, padding_ratio
from dragoman.model.decoding import SearchOptions
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import Translator
from dragoman.schemas.jobs import TranslationJob
from dragoman.settings import Settings
from dragoman.worker.assignments import Delivery
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.work import Segment

Batches = list[list[list[int]]]


def by_length(sources: Sequence[list[int]], limits: BatchLimits) -> Batches:
    """The batches that the worker's scheduler takes while all sources wait, the first having waited longest."""
    scheduler, pool = Scheduler(Policy(limits)), Pool("en", "fr", "model", 1, 1.0)
    job = TranslationJob(client_id="x", source_text="x", source_language="en", target_language="fr", lane="bulk")
    # No delivery stands behind these segments. Equal ones would be translated once: the place makes each another.
    delivery = cast("Delivery", None)
    for place, source in enumerate(sources):
        segment = Segment(delivery, job, (place, *source[1:]), datetime.now(UTC), waiting_since_seconds=place)
        scheduler.add(pool, segment)
    batches: Batches = []
    while batch := scheduler.take(now_seconds=len(sources)):
        batches.append([sources[segment.pieces[0]] for segment in batch.segments])
    return batches


def by_arrival(sources: Sequence[list[int]], limits: BatchLimits) -> Batches:
    """Runs in the order given, under the same budget of padded tokens."""
    return [[sources[i] for i in run] for run in pack([len(source) + 1 for source in sources], limits)]


def seconds(translator: Translator, batches: Batches) -> float:
    """Time to translate all batches greedily."""
    start = time.perf_counter()
    for batch in batches:
        translator.translate_pieces(batch, SearchOptions(beam_size=1))
    return time.perf_counter() - start


def padding(batches: Batches) -> float:
    return padding_ratio([[len(source) + 1 for source in batch] for batch in batches])


def measure(translator: Translator, sources: list[list[int]], name: str, runs: int) -> list[dict[str, object]]:
    """Rows of padding and of speed for sources in their order of arrival."""
    settings = Settings()
    limits = BatchLimits(settings.batch_token_budget, settings.batch_rows, settings.batch_padding_ratio)
    ours, peer = by_length(sources, limits), by_arrival(sources, limits)
    seconds(translator, ours), seconds(translator, peer)  # warm up
    times = [(seconds(translator, ours), seconds(translator, peer)) for _ in range(runs)]
    ratios = sorted(other / own for own, other in times)
    own, other = (len(sources) / statistics.median(column) for column in zip(*times, strict=True))
    share = padding(ours)
    return [
        {"name": f"padding-ratio-{name}", "ours": share, "peer": padding(peer), "unit": "share of padding",
         "ratio": share, "low": share, "high": share, "goal": f"<= {settings.batch_padding_ratio}"},
        {"name": f"sorted-over-arrival-{name}", "ours": own, "peer": other, "unit": "segments/s",
         "ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1], "goal": ">= 1"},
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    translator = Translator.load(default_checkpoint(), "auto")
    few = translator.encode(SENTENCES.read_text(encoding="utf-8").splitlines(), "fr")
    many = few * 8
    random.Random(1).shuffle(few)
    random.Random(1).shuffle(many)
    rows = measure(translator, few, "few", arguments.runs) + measure(translator, many, "many", arguments.runs)
    print(f"{'':<28}{'ours':>8}{'arrival order':>15}{'ratio':>8}   spread")
    for row in rows:
        print(
            f"{row['name']:<28}{row['ours']:>8.3g}{row['peer']:>15.3g}{row['ratio']:>8.2f}   "
            f"{row['low']:.2f} to {row['high']:.2f}   {row['unit']}, goal {row['goal']}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
