"""The worker's scheduler against batches in order of arrival: padding on real text, and what scheduling itself costs.

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/scheduling.py [--json FILE] [--runs N]

It takes the English side of every development set of the corpora, in the pieces of the shipped model, shuffled, each
sentence once. Full load: as many wait as DRAGOMAN_IN_FLIGHT_JOBS allows, and each segment that leaves is followed by
another. The peer's batches are the next segments in order of arrival that fit into the same budget. Cost: processor
time to add, take and finish a segment while so many others wait; the peer is a queue without any order.
"""

import argparse
import gzip
import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import cast

from dragoman.benchmarks._table import Row, row, show
from dragoman.model.batching import BatchLimits, pack, padding_ratio
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import Translator
from dragoman.schemas.jobs import TranslationJob
from dragoman.settings import Settings
from dragoman.worker.assignments import Delivery
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.work import Segment

DEVELOPMENT_SETS = (
    "*/dev*.gz",
    "multi30k/val.*.gz",
    "multi30k/test_2016_flickr.*.gz",
    "mt-geneval/*.gz",
    "wmt-news/*newstest2013*.gz",
)
POOL = Pool("en", "fr", "model", 4, 1.0)
CLIENTS = 20
# Segments measured at each load: enough for a hundred batches and more.
MEASURED = 20_000
LONG_AFTER = 1e9


def sentences() -> list[str]:
    """Each English sentence of the development sets, once, in one random order."""
    folder = os.environ.get("DRAGOMAN_CORPORA")
    files = sorted({path for pattern in DEVELOPMENT_SETS for path in Path(folder).glob(pattern)}) if folder else []
    if not files:
        sys.exit("set DRAGOMAN_CORPORA to the folder of the corpora: their development sets are needed")
    found: dict[str, None] = {}
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found |= dict.fromkeys(line.split("\t", 1)[0] for line in lines)
    shuffled = [text for text in found if text.strip()]
    random.Random(1).shuffle(shuffled)
    return shuffled


def segments(sources: Sequence[Sequence[int]], clients: int) -> Iterator[Segment]:
    """Segments of these pieces, of so many clients in turn; nobody delivered them."""
    jobs = [
        TranslationJob(client_id=str(n), source_text="x", source_language="en", target_language="fr", lane="bulk")
        for n in range(clients)
    ]
    now = datetime.now(UTC)
    for place, source in enumerate(sources):
        yield Segment(cast("Delivery", None), jobs[place % clients], tuple(source), now, 0.0)


def full_load(sources: Sequence[Sequence[int]], waiting: int, policy: Policy) -> list[list[int]]:
    """Lengths of the batches that leave while always so many wait; what then remains is not counted."""
    scheduler, coming = Scheduler(policy), segments(sources, CLIENTS)
    batches: list[list[int]] = []
    room = waiting
    while True:
        added = [scheduler.add(POOL, segment) for segment in islice(coming, room)]
        if len(added) < room:
            return batches
        batch = scheduler.take(LONG_AFTER)
        assert batch is not None
        for segment in batch.segments:
            scheduler.followers(segment, LONG_AFTER)
        batches.append([segment.length for segment in batch.segments])
        room = len(batch.segments)


def padding(sources: Sequence[Sequence[int]], waiting: int, settings: Settings) -> Row:
    limits = BatchLimits(settings.batch_token_budget, settings.batch_rows, settings.batch_padding_ratio)
    lengths = [len(source) + 1 for source in sources]
    ours = padding_ratio(full_load(sources, waiting, Policy(limits)))
    peer = padding_ratio([[lengths[i] for i in run] for run in pack(lengths, limits)])
    return row(f"padding-ratio-{waiting}-waiting", (ours, peer), [ours], ("share of padding", "<= 0.03"))


def scheduled_seconds(lengths: Sequence[int], waiting: int) -> float:
    """Processor seconds a segment, to add, take and finish it, while so many wait."""
    settings = Settings()
    limits = BatchLimits(settings.batch_token_budget, settings.batch_rows, settings.batch_padding_ratio)
    # The number comes first, so that no two have the same pieces.
    sources = [(place, *range(length - 2)) for place, length in enumerate(lengths)]
    scheduler, coming = Scheduler(Policy(limits)), list(segments(sources, CLIENTS))
    for segment in coming[:waiting]:
        scheduler.add(POOL, segment)
    after, done = iter(coming[waiting:]), 0
    start = time.process_time()
    while done < MEASURED:
        batch = scheduler.take(LONG_AFTER)
        assert batch is not None
        for segment in batch.segments:
            scheduler.followers(segment, LONG_AFTER)
        for segment in islice(after, len(batch.segments)):
            scheduler.add(POOL, segment)
        done += len(batch.segments)
    return (time.process_time() - start) / done


def queued_seconds(lengths: Sequence[int], waiting: int) -> float:
    """The same for a queue: budget counted, no order."""
    tokens = Settings().batch_token_budget
    queue, after, done = deque(lengths[:waiting]), iter(lengths[waiting:]), 0
    start = time.process_time()
    while done < MEASURED:
        batch: list[int] = []
        longest = 0
        while queue and (len(batch) + 1) * max(longest, queue[0]) <= tokens:
            longest = max(longest, queue[0])
            batch.append(queue.popleft())
        queue.extend(islice(after, len(batch)))
        done += len(batch)
    return (time.process_time() - start) / done


def cost(lengths: Sequence[int], waiting: int, runs: int) -> Row:
    generator = random.Random(2)
    many = generator.choices(lengths, k=waiting + 2 * MEASURED)
    ours = [1e6 * scheduled_seconds(many, waiting) for _ in range(runs)]
    peer = min(1e6 * queued_seconds(many, waiting) for _ in range(runs))
    return row(f"microseconds-{waiting}-waiting", (min(ours), peer), ours, ("µs a segment", "<= 10"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    settings = Settings()
    translator = Translator.load(default_checkpoint(), "cpu")
    pieces = translator.encode(sentences(), "fr")
    sources = [source for source in pieces if 0 < len(source) <= translator.max_source_pieces]
    translator.close()
    lengths = [max(2, len(source) + 1) for source in sources]
    print(f"{len(sources)} sentences of {sum(lengths) / len(lengths):.1f} pieces on average")
    rows = [padding(sources, waiting, settings) for waiting in (settings.in_flight_jobs, 1_000, len(sources) // 2)]
    rows += [cost(lengths, waiting, arguments.runs) for waiting in (1_000, 1_000_000)]
    show(rows, arguments.json)


if __name__ == "__main__":
    main()
