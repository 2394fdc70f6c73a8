"""A device that takes as long as a batch has places, on a clock of its own: who waits how long?"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import cast

from dragoman.schemas.jobs import Lane, TranslationJob
from dragoman.worker.assignments import Delivery
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.work import Segment

FRENCH = Pool("en", "fr", "echo@0", 4, 1.0)
AT_ONCE: dict[Lane, float] = {"interactive": 0.0, "bulk": 0.0}
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A segment of so many places (END counted) that comes to wait."""

    at_seconds: float
    client: str
    length: int
    lane: Lane = "bulk"
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """When a batch took an arrival, which batch it was, and how many places each of its rows had."""

    arrival: Arrival
    at_seconds: float
    batch: int
    longest: int

    @property
    def wait_seconds(self) -> float:
        return self.at_seconds - self.arrival.at_seconds


@cache
def job(client: str, lane: Lane = "bulk", deadline_seconds: float | None = None) -> TranslationJob:
    return TranslationJob(
        client_id=client,
        source_text="text",
        source_language="en",
        target_language="fr",
        lane=lane,
        deadline=None if deadline_seconds is None else EPOCH + timedelta(seconds=deadline_seconds),
    )


def segment(number: int, arrival: Arrival) -> Segment:
    """A segment whose pieces no other number has; nobody delivered it."""
    pieces = (number, *(0,) * (arrival.length - 2))
    admitted_at = EPOCH + timedelta(seconds=arrival.at_seconds)
    whose = job(arrival.client, arrival.lane, arrival.deadline_seconds)
    return Segment(cast("Delivery", None), whose, pieces, admitted_at, arrival.at_seconds)


@dataclass
class Simulation:
    """One device that does `pieces_per_second` padded pieces, and begins a batch whenever it is free."""

    policy: Policy
    pieces_per_second: float
    served: list[Served] = field(default_factory=list)
    expired: list[Arrival] = field(default_factory=list)

    def run(self, arrivals: Iterable[Arrival], until_seconds: float = math.inf) -> list[Served]:
        """Serve what arrives, until nothing is left or the time is over."""
        scheduler, coming = Scheduler(self.policy), sorted(arrivals, key=lambda arrival: arrival.at_seconds)
        known: dict[int, Arrival] = {}
        now, next_one, batches = 0.0, 0, 0
        while now < until_seconds:
            while next_one < len(coming) and coming[next_one].at_seconds <= now:
                added = segment(next_one, coming[next_one])
                known[next_one] = coming[next_one]
                scheduler.add(FRENCH, added)
                next_one += 1
            batch = scheduler.take(now)
            self.expired += [known.pop(late.pieces[0]) for late in scheduler.expired(now)]
            if batch is None:
                due = scheduler.ready_in_seconds(now)
                later = [now + due] if due is not None else []
                later += [coming[next_one].at_seconds] if next_one < len(coming) else []
                if not later:
                    break
                now = max(min(later), math.nextafter(now, math.inf))
                continue
            longest = max(one.length for one in batch.segments)
            self.served += [Served(known.pop(one.pieces[0]), now, batches, longest) for one in batch.segments]
            for one in batch.segments:
                assert scheduler.followers(one, now) == ()
            batches += 1
            now += batch.padded_pieces / self.pieces_per_second
        return self.served


def stream(client: str, seconds: float, rate: float, seed: int, lane: Lane = "bulk") -> list[Arrival]:
    """Arrivals at random times, so many a second, with the lengths of ordinary text."""
    generator, now, arrivals = random.Random(seed), 0.0, []
    while (now := now + generator.expovariate(rate)) < seconds:
        arrivals.append(Arrival(now, client, ordinary_length(generator), lane))
    return arrivals


def ordinary_length(generator: random.Random) -> int:
    return max(2, min(200, int(generator.lognormvariate(3.1, 0.6))))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
