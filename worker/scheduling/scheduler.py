"""Chooses which waiting segments go through the model together. Pure: the caller brings the time.

A batch is built around one segment, its anchor, from the anchor's neighbours in length in the same pool:

1. The lane (`Lanes`): interactive, unless bulk is owed its share.
2. The client (`Turns`): the segment whose turn comes first in that lane. A turn is given on arrival and stays while the
   clock moves on: that is how a segment ages. At most every second batch of a lane is built around a segment out of
   turn: one that would expire soon, unless its client has been served ahead of its turn.
3. The neighbours (`Draft`): first segments of clients that are behind (they have little waiting beside the others),
   then whatever pads least; the anchor's lane before the other. Everybody pays for the places that they take, in turns
   and in the lanes' shares, also where they only fill up: a client that floods the pool has its later segments taken
   early, and its turn comes no sooner for it.

The shape of a batch follows the backlog. When little waits, a batch is all of that after a short wait
(`wait_seconds`), with more padding if need be: small and soon. As soon as a full batch waits, it leaves at once. The
more waits, the closer in length are the segments that fill it, and the less is padding. While clients that are behind
wait for the next batch, this one is filled by half only.

No starvation: let a segment come to a lane of n clients, its turn `ahead` of the clock: that is at most what its own
client has added since it last had nothing waiting, padding counted. Before it is first, each client is first for at
most `ahead` pieces and one segment (`Turns`), however much it has waiting. So, while its pool is served, it is taken
with one of the next 2 n (ahead / s + 1) batches of its lane, s being the places of the shortest segment: two, since
every second batch may be out of turn. Between two batches of a lane the other one gets what `Lanes` says.

The cost of adding and taking a segment does not grow with how many wait (but for the logarithm in a heap); that of a
batch grows with the number of pools.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from ...model.batching import BatchLimits
from ...schemas.jobs import Lane
from ..work import Segment
from .batch import Batch
from .deadlines import Deadlines
from .draft import Bounds, Draft
from .entry import Entry
from .lane_queue import LaneQueue
from .lanes import Lanes
from .policy import Policy
from .pool import Pool
from .pool_queue import PoolQueue
from .room import AMPLE_ROOM, Room
from .turns import Turns

LANES: tuple[Lane, ...] = ("interactive", "bulk")
# A client is preferred for a small queue or a deadline until it has been served so many batches ahead of its turn.
EARLY_BATCHES = 4
# While so many batches wait in a pool, or fewer, they are filled with all the padding that is allowed.
PADDED_BATCHES = 2
# Of the padding that is allowed, so much is taken however much waits: lengths are whole numbers.
LEAST_PADDING = 0.1
# A batch that others wait for is filled up to this part of the budget only: halves keep the device busy well enough.
HURRIED_PART = 2


class Scheduler:
    """All waiting segments of a worker. Not thread-safe: its owner locks."""

    def __init__(self, policy: Policy) -> None:
        early = EARLY_BATCHES * policy.limits.tokens
        self._policy = policy
        self._pools: dict[Pool, PoolQueue] = {}
        self._turns: dict[Lane, Turns] = {lane: Turns(early) for lane in LANES}
        self._lanes = Lanes(policy)
        self._deadlines = Deadlines(lambda entry: not entry.gone)
        self._running: dict[int, Entry] = {}  # by id of the segment, which the entry keeps alive
        self._expired: list[Segment] = []
        self._waiting = self._following = self._number = 0
        self._out_of_turn: set[Lane] = set()

    def __len__(self) -> int:
        """Segments that wait for a batch, or for the translation of another."""
        return self._waiting + self._following

    def waiting(self, lane: Lane) -> int:
        """Segments of a lane that wait for a batch."""
        return sum(queue.lanes[lane].rows for queue in self._pools.values())

    def holds(self, model_version: str) -> bool:
        """Whether a segment of this version waits."""
        return any(
            pool.model_version == model_version and any(queue.lanes[lane].rows for lane in LANES)
            for pool, queue in self._pools.items()
        )

    def add(self, pool: Pool, segment: Segment) -> bool:
        """Let a segment wait; False when one with the same pieces waits or runs: then one of them is translated."""
        queue = self._pools.get(pool)
        if queue is None:
            queue = self._pools[pool] = PoolQueue(pool)
        job = segment.job
        entry = self._entry(queue, segment, self._turns[job.lane].turn_of(job.client_id))
        leader = queue.leaders.setdefault(segment.pieces, entry)
        if leader is entry:
            self._enqueue(entry)
        elif leader.waiting and entry.rank < leader.rank:
            self._leave(leader)
            followers, leader.followers = leader.followers or [], None
            # A new entry: the places of the old one are still in heaps, and must stay without effect.
            self._retire(leader)
            followers.append(self._entry(queue, leader.segment, leader.turn))
            self._lead(entry, followers)
            self._following += 1
        else:
            if leader.followers is None:
                leader.followers = []
            leader.followers.append(entry)
            self._following += 1
        return leader is entry

    def ready_in_seconds(self, now_seconds: float, room: Room = AMPLE_ROOM) -> float | None:
        """When the next batch should leave: 0 = now, None = nothing waits for this room."""
        limits = self._limits(room)
        due = (queue.due_in_seconds(self._policy, limits, now_seconds) for queue in self._served(room))
        return min((seconds for seconds in due if seconds is not None), default=None)

    def take(self, now_seconds: float, room: Room = AMPLE_ROOM) -> Batch | None:
        """The batch that should leave now, if one should.

        A segment that is longer than the room keeps its turn until there is room: nobody passes it. Where nothing runs
        there will not be more, and it goes alone.
        """
        self._expire(now_seconds)
        limits = self._limits(room)
        due = [q for q in self._served(room) if q.due_in_seconds(self._policy, limits, now_seconds) == 0.0]
        if not due:
            return None
        lane = self._lanes.next({lane for queue in due for lane in queue.lanes if queue.lanes[lane].rows}, now_seconds)
        anchor = self._urgent(lane, due, now_seconds)
        in_turn = anchor is None
        if anchor is None:
            anchor = min((first for queue in due if (first := queue.lanes[lane].first())), key=_turn)
        waits = not room.is_all and anchor.length > room.pieces < self._policy.limits.tokens
        if limits.rows < 1 or waits:
            return None
        if in_turn:
            self._turns[lane].serve(anchor.turn)
            self._out_of_turn.discard(lane)
        else:
            self._out_of_turn.add(lane)
        return self._batch(anchor, limits, now_seconds)

    def followers(self, segment: Segment, now_seconds: float) -> tuple[Segment, ...]:
        """The outcome of a taken segment is known: those that share it. Call it once for each taken segment."""
        leader = self._running.pop(id(segment), None)
        if leader is None:
            return ()
        self._unlead(leader)
        if leader.followers is None:
            return ()
        self._expire(now_seconds)
        followers = _alive(leader)
        for follower in followers:
            self._retire(follower)
        self._following -= len(followers)
        return tuple(follower.segment for follower in followers)

    def abandon(self, segment: Segment) -> None:
        """A taken segment will have no outcome: the first of those that follow it is translated in its place."""
        leader = self._running.pop(id(segment), None)
        if leader is not None:
            self._promote(leader)

    def expired(self, now_seconds: float) -> tuple[Segment, ...]:
        """Segments whose deadline passed before they were translated; each is told once."""
        self._expire(now_seconds)
        expired, self._expired = self._expired, []
        return tuple(expired)

    def remove(self, unwanted: Callable[[Segment], bool]) -> list[Segment]:
        """Take out and return every unwanted segment that no batch has taken; looks at all that wait.

        An unwanted segment that a batch has taken is not waited for any more: others do not follow it.
        """
        removed: list[Segment] = []
        for leader in [leader for queue in self._pools.values() for leader in queue.leaders.values()]:
            for follower in [f for f in _alive(leader) if unwanted(f.segment)]:
                self._retire(follower)
                self._following -= 1
                removed.append(follower.segment)
            if unwanted(leader.segment):
                if leader.waiting:
                    self._leave(leader)
                    self._retire(leader)
                    removed.append(leader.segment)
                self._running.pop(id(leader.segment), None)
                self._promote(leader)
        return removed

    def _entry(self, queue: PoolQueue, segment: Segment, turn: float) -> Entry:
        self._number += 1
        entry = Entry(queue, segment, self._number)
        entry.turn = turn
        if entry.deadline_seconds < math.inf:
            self._deadlines.add(entry)
        return entry

    def _served(self, room: Room) -> Iterable[PoolQueue]:
        return (queue for queue in self._pools.values() if room.serves(queue.pool))

    def _limits(self, room: Room) -> BatchLimits:
        limits = self._policy.limits
        return BatchLimits(min(limits.tokens, room.pieces), min(limits.rows, room.rows), limits.padding_ratio)

    def _urgent(self, lane: Lane, due: Iterable[PoolQueue], now_seconds: float) -> Entry | None:
        """The segment that would expire soon and may go out of turn, if there is one."""
        if lane in self._out_of_turn:
            return None
        soon = now_seconds + self._policy.urgent_seconds
        entries = [entry for queue in due if (entry := queue.lanes[lane].urgent()) and _deadline(entry) <= soon]
        return min(entries, key=_deadline, default=None)

    def _batch(self, anchor: Entry, limits: BatchLimits, now_seconds: float) -> Batch:
        lane = anchor.segment.job.lane
        self._run(anchor)
        draft = Draft(limits, anchor)
        own = anchor.queue.lanes[lane]
        draft.fill(own.near, self._run, Bounds(limits.rows))
        # While others that go before what fills up wait for this batch, it is made no longer than need be.
        short = limits.tokens // (HURRIED_PART * draft.longest)
        draft.fill(own.far, self._run, Bounds(short if own.near else limits.rows, self._padding(own)))
        beside = anchor.queue.lanes["bulk" if lane == "interactive" else "interactive"]
        rows = min(short if own.rows else limits.rows, self._lanes.rows_beside(lane, len(draft.entries)))
        draft.fill(beside.near, self._run, Bounds(rows))
        draft.fill(beside.far, self._run, Bounds(rows, self._padding(beside)))
        self._charge(draft, lane, now_seconds)
        return Batch(anchor.queue.pool, tuple(entry.segment for entry in sorted(draft.entries, key=_length)))

    def _padding(self, queue: LaneQueue) -> float:
        """Padding that a row may bring: the whole of what is allowed while little waits, the less the more waits."""
        limits = self._policy.limits
        scarce = min(1.0, max(LEAST_PADDING, PADDED_BATCHES * limits.tokens / max(1, queue.pieces)))
        return 2.0 * limits.padding_ratio * scarce

    def _charge(self, draft: Draft, anchor: Lane, now_seconds: float) -> None:
        padded: Counter[Lane] = Counter()
        for entry in draft.entries:
            job = entry.segment.job
            padded[job.lane] += draft.longest
            if entry.length < draft.longest:
                self._turns[job.lane].charge(job.client_id, draft.longest - entry.length)
        self._lanes.charge(anchor, padded, now_seconds)

    def _enqueue(self, entry: Entry) -> None:
        job = entry.segment.job
        turns = self._turns[job.lane]
        turns.join(job.client_id, entry)
        due = turns.due(entry)
        entry.near = due and turns.small(job.client_id)
        entry.may_hurry = due and entry.deadline_seconds < math.inf
        entry.queue.lanes[job.lane].add(entry)
        self._waiting += 1

    def _leave(self, entry: Entry) -> None:
        """The entry waits for no batch any more."""
        job = entry.segment.job
        entry.queue.lanes[job.lane].leave(entry)
        self._turns[job.lane].leave(job.client_id, entry)
        self._waiting -= 1

    def _run(self, entry: Entry) -> None:
        """A batch takes the entry."""
        self._leave(entry)
        self._retire(entry)
        self._running[id(entry.segment)] = entry

    def _retire(self, entry: Entry) -> None:
        """The entry's deadline is of no interest any more."""
        entry.gone = True
        if entry.deadline_seconds < math.inf:
            self._deadlines.left()

    def _expire(self, now_seconds: float) -> None:
        while (entry := self._deadlines.next()) is not None and _deadline(entry) <= now_seconds:
            self._retire(entry)
            self._expired.append(entry.segment)
            if entry.waiting:
                self._leave(entry)
                self._promote(entry)
            else:
                self._following -= 1

    def _promote(self, leader: Entry) -> None:
        """Of those that followed the leader, the one with the best place leads now."""
        followers = _alive(leader)
        if not followers:
            self._unlead(leader)
            return
        first = min(followers, key=_rank)
        followers.remove(first)
        self._following -= 1
        self._lead(first, followers)

    def _lead(self, entry: Entry, followers: list[Entry]) -> None:
        entry.followers = followers
        entry.queue.leaders[entry.segment.pieces] = entry
        self._enqueue(entry)

    def _unlead(self, leader: Entry) -> None:
        del leader.queue.leaders[leader.segment.pieces]
        if not leader.queue.leaders:
            del self._pools[leader.queue.pool]


def _alive(leader: Entry) -> list[Entry]:
    return [follower for follower in leader.followers or () if not follower.gone]


def _turn(entry: Entry) -> float:
    return entry.turn


def _length(entry: Entry) -> int:
    return entry.length


def _rank(entry: Entry) -> tuple[bool, float]:
    return entry.rank


def _deadline(entry: Entry) -> float:
    return entry.deadline_seconds
