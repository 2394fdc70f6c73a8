"""What one engine does on one machine: speed by batch size and by length, latency by load. Knows no peer's library."""

from dataclasses import dataclass

from .engine import Engine
from .limits import EngineLimits
from .measuring import Batch, Compared, EngineSide, Side, Told, batch_of, compare
from .measuring_load import Latencies, StaticBatches, full_load, segments, under_load

# Batches of one turn, at the least; and segments of one turn, for small batches are soon done.
BATCHES, SEGMENTS = 2, 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: greedy search of batches of `batch_rows` segments of `length` pieces, and of `rows` segments
    of `lengths` pieces, in so many turns; and `segments` that arrive at each of `loads`, shares of full load."""

    batch_rows: tuple[int, ...] = (1, 4, 16, 32, 64)
    length: int = 25
    rows: int = 32
    lengths: tuple[int, ...] = (8, 16, 32, 64)
    turns: int = 3
    loads: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    segments: int = 300


@dataclass(frozen=True, slots=True)
class SpeedPoint:
    """Tokens a second of all sides, `at` a batch size or a length."""

    kind: str
    at: int
    compared: Compared


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """Latencies at a share of full load: of the running batch, and of static batches of everything that waits."""

    share: float
    segments_per_second: float
    continuous: Latencies
    static: Latencies


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was measured; `peer` is the name of the other side, if there was one."""

    ours: str
    peer: str | None
    speeds: tuple[SpeedPoint, ...]
    segments_per_second: float
    loads: tuple[LoadPoint, ...]


class Surveyor:
    """Measures an engine, beside a peer if there is one."""

    def __init__(self, engine: Engine, peer: Side | None, plan: Plan, told: Told) -> None:
        """Tell each step to `told` before it begins."""
        self._engine = engine
        self._sides: list[Side] = [EngineSide(engine), *([peer] if peer else [])]
        self._plan = plan
        self._told = told

    def survey(self, pieces: int) -> Survey:
        """Measure everything, which takes minutes; `pieces` is the size of the source vocabulary."""
        plan = self._plan
        speeds = [self._speed("batch size", rows, batch_of(rows, plan.length, pieces)) for rows in plan.batch_rows]
        speeds += [self._speed("length", length, batch_of(plan.rows, length, pieces)) for length in plan.lengths]
        self._told("full load")
        full = full_load(self._engine, segments(plan.segments, pieces, 1), plan.rows)
        loads = self._loads(pieces, full.segments_per_second)
        names = [side.name for side in self._sides]
        return Survey(names[0], names[1] if names[1:] else None, tuple(speeds), full.segments_per_second, loads)

    def _speed(self, kind: str, at: int, batch: Batch) -> SpeedPoint:
        self._told(f"{kind} {at}")
        batches = [batch] * max(BATCHES, SEGMENTS // len(batch.sources))
        return SpeedPoint(kind, at, compare(self._sides, batches, 1, self._plan.turns))

    def _loads(self, pieces: int, full: float) -> tuple[LoadPoint, ...]:
        static = StaticBatches(self._engine, EngineLimits().waiting)
        points = []
        for share in self._plan.loads:
            self._told(f"load {share:.0%}")
            work = segments(self._plan.segments, pieces, 2)
            found = [under_load(engine, work, share * full, 3) for engine in (self._engine, static)]
            points.append(LoadPoint(share, share * full, *found))
        static.close()
        return tuple(points)
