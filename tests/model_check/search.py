"""A breadth-first search over all states within the bounds, and the shortest way to a state that must not be.

A state is the shared part and the workers, sorted: what a worker can do depends on the shared part and itself only,
and nothing shared names a worker, so permuting workers changes nothing (symmetry). Parts are numbered, and a state is
one integer of their numbers; the successors of a (shared, worker) pair are computed once, so that millions of states
fit into a minute and a few hundred megabytes.

Where a relay has something to do, only its step is followed (a partial order reduction): nothing else reads where an
event is, and nothing takes the step away from it, so it makes no difference to anything when it happens. And a relay
that dies before it has deleted what it published leaves the state as it is.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Generic, TypeVar

from . import invariants
from .actions import expiries, relay_steps, steps
from .protocol import Protocol
from .state import Bounds, Shared, Worker, first_shared, first_worker

# Bits of each of the three workers' numbers in a state; the shared part's number is above them.
WORKER_BITS = 20
WORKER_MASK = (1 << WORKER_BITS) - 1
SHARED_SHIFT = 3 * WORKER_BITS
NO_PARENT = -1
# Which steps of a pair: places in `_Moves`.
ALL, PROGRESS = 0, 1
_Moves = tuple[list[tuple[int, int]], list[tuple[int, int]]]

Part = TypeVar("Part", Shared, Worker)


@dataclass(frozen=True)
class Report:
    """What a search saw: `violated` is None when everything holds; then `states` is all there are."""

    bounds: Bounds
    states: int
    transitions: int
    depth: int
    violated: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        seen = f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth} ({self.bounds})"
        if self.violated is None:
            return f"every invariant holds in {seen}"
        steps_taken = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.trace, 1))
        return f"{self.violated} is broken after {len(self.trace)} steps, in {seen}:\n{steps_taken}"


@dataclass
class _Numbers(Generic[Part]):
    """Small numbers for values."""

    values: list[Part] = field(default_factory=list)
    numbers: dict[Part, int] = field(default_factory=dict)

    def __call__(self, value: Part) -> int:
        number = self.numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Search:
    """One search of one protocol."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._bounds = protocol.bounds
        self._shared: _Numbers[Shared] = _Numbers()
        self._workers: _Numbers[Worker] = _Numbers()
        # What a step of a pair leads to (all steps, and those that are progress), what relays and retention do.
        self._moves: dict[int, _Moves] = {}
        self._world: dict[int, tuple[list[int], list[int]]] = {}
        self._broken: dict[int, list[str]] = {}
        self._done: dict[int, bool] = {}
        self._parents: dict[int, int] = {}
        self._transitions = self._depth = 0

    @cached_property
    def report(self) -> Report:
        """Run the search: first what must never be, then whether all gets done from everywhere."""
        guilty = self._explore()
        if guilty is not None:
            return self._report(self._verdict(guilty >> SHARED_SHIFT)[0], guilty)
        stuck = self._stuck() if self._bounds.steps is None else None
        return self._report(None if stuck is None else invariants.EVERYTHING_GETS_DONE, stuck)

    def _explore(self) -> int | None:
        """Visit every state, the nearest first; returns the first that breaks an invariant."""
        shared, worker = self._shared(first_shared(self._bounds)), self._workers(first_worker(self._bounds))
        start = _pack(shared << SHARED_SHIFT, worker, worker, worker)
        parents = self._parents
        parents[start] = NO_PARENT
        level = [start]
        while level:
            following: list[int] = []
            last = self._depth == self._bounds.steps
            for state in level:
                if self._verdict(state >> SHARED_SHIFT):
                    return state
                if last:
                    continue
                successors = self._successors(state, ALL)
                self._transitions += len(successors)
                for successor in successors:
                    if successor not in parents:
                        parents[successor] = state
                        following.append(successor)
            level = following
            self._depth += bool(level)
        return None

    def _stuck(self) -> int | None:
        """The nearest state from which no progress leads to the end; None if there is none.

        Goes through what is left, the farthest first, until nothing more can be struck off.
        """
        left = [state for state in self._parents if not self._is_done(state >> SHARED_SHIFT)]
        unsure = set(left)
        left.reverse()
        before = len(left) + 1
        while len(left) < before:
            before = len(left)
            for state in left:
                if not unsure.issuperset(self._successors(state, PROGRESS)):
                    unsure.discard(state)
            left = [state for state in left if state in unsure]
        return left[-1] if left else None

    def _successors(self, state: int, kind: int) -> list[int]:
        """Where one step leads; the workers in a state are sorted by number."""
        number = state >> SHARED_SHIFT
        a, b, c = state >> 2 * WORKER_BITS & WORKER_MASK, state >> WORKER_BITS & WORKER_MASK, state & WORKER_MASK
        workers = state & (1 << SHARED_SHIFT) - 1
        relayed, expired = self._world_moves(number)
        if relayed:
            return [relayed[0] | workers]
        found = [] if kind == PROGRESS else [shared | workers for shared in expired]
        for mover, low, high in {(a, b, c), (b, a, c), (c, a, b)}:
            for shared, moved in self._pair_moves(number, mover)[kind]:
                if moved <= low:
                    found.append(shared | moved << 2 * WORKER_BITS | low << WORKER_BITS | high)
                elif moved <= high:
                    found.append(shared | low << 2 * WORKER_BITS | moved << WORKER_BITS | high)
                else:
                    found.append(shared | low << 2 * WORKER_BITS | high << WORKER_BITS | moved)
        return found

    def _pair_moves(self, shared: int, worker: int) -> "_Moves":
        key = shared << WORKER_BITS | worker
        found = self._moves.get(key)
        if found is None:
            every, progress = [], []
            for step in steps(self._protocol, self._shared.values[shared], self._workers.values[worker]):
                move = (self._shared(step.shared) << SHARED_SHIFT, self._workers(step.worker))
                every.append(move)
                if step.is_progress:
                    progress.append(move)
            found = self._moves[key] = (every, progress)
        return found

    def _world_moves(self, shared: int) -> tuple[list[int], list[int]]:
        found = self._world.get(shared)
        if found is None:
            value = self._shared.values[shared]
            relayed = [self._shared(step.shared) << SHARED_SHIFT for step in relay_steps(self._protocol, value)]
            expired = [self._shared(step.shared) << SHARED_SHIFT for step in expiries(self._protocol, value)]
            found = self._world[shared] = (relayed, expired)
        return found

    def _verdict(self, shared: int) -> list[str]:
        found = self._broken.get(shared)
        if found is None:
            found = self._broken[shared] = invariants.broken(self._bounds, self._shared.values[shared])
        return found

    def _is_done(self, shared: int) -> bool:
        found = self._done.get(shared)
        if found is None:
            found = self._done[shared] = invariants.is_done(self._bounds, self._shared.values[shared])
        return found

    def _report(self, violated: str | None, state: int | None) -> Report:
        trace = () if state is None else tuple(self._trace(state))
        return Report(self._bounds, len(self._parents), self._transitions, self._depth, violated, trace)

    def _trace(self, state: int) -> list[str]:
        """The steps from the beginning to this state, the workers by letters that stay theirs."""
        path = [state]
        while (parent := self._parents[path[-1]]) != NO_PARENT:
            path.append(parent)
        path.reverse()
        crew = dict.fromkeys("ABC", path[0] & WORKER_MASK)
        return [self._step(before, after, crew) for before, after in pairwise(path)]

    def _step(self, before: int, after: int, crew: dict[str, int]) -> str:
        """What was done between two states; moves the one in the crew who did it."""
        shared = self._shared.values[before >> SHARED_SHIFT]
        for world in [*relay_steps(self._protocol, shared), *expiries(self._protocol, shared)]:
            if _pack(self._shared(world.shared) << SHARED_SHIFT, *sorted(crew.values())) == after:
                return world.label
        for name, worker in crew.items():
            for step in steps(self._protocol, shared, self._workers.values[worker]):
                moved = crew | {name: self._workers(step.worker)}
                if _pack(self._shared(step.shared) << SHARED_SHIFT, *sorted(moved.values())) == after:
                    crew.update(moved)
                    return f"{name} {step.label}"
        raise AssertionError("a state was reached by no step")


def _pack(shared: int, low: int, middle: int, high: int) -> int:
    return shared | low << 2 * WORKER_BITS | middle << WORKER_BITS | high
