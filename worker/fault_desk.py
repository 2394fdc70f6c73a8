"""Decides about places that cannot be read: tries again, then has them probed, then puts them into quarantine.

Used by the polling thread; waits for nothing. Remembers what it tried beyond the life of a client.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from ..storage.quarantine import QuarantinedRange
from .assignments import Delivery
from .broker import Broker, ClientLostError, Position, ReadFault
from .message import Message, Partition
from .pipeline import Pipeline
from .probe import Found
from .work import Outcome

log = structlog.get_logger(__name__)

# A damaged answer of the network heals when it is asked for again; so often, or for so long.
MOST_ATTEMPTS = 5
LONGEST_SECONDS = 5.0
RETRY_SECONDS = 0.25
# A partition stands still while a probe looks. One that had too little time, on a busy machine, gets twice as much.
FIRST_PROBE_SECONDS, LONGEST_PROBE_SECONDS = 8.0, 64.0
# The client's word for a place that the partition does not have.
NO_SUCH_OFFSET = "_AUTO_OFFSET_RESET"


class Probing(Protocol):
    """A survey under way (`probe.Probe`)."""

    fault: ReadFault
    found: Found | None

    @property
    def done(self) -> bool: ...


@dataclass(slots=True)
class _Case:
    offset: int
    since_seconds: float
    tried_at_seconds: float
    attempts: int = 0
    probing: Probing | None = None
    probe_seconds: float = FIRST_PROBE_SECONDS

    def is_hopeless(self, now_seconds: float) -> bool:
        return self.attempts >= MOST_ATTEMPTS or now_seconds - self.since_seconds >= LONGEST_SECONDS


class FaultDesk:
    """The faults of one worker's partitions."""

    def __init__(self, pipeline: Pipeline, start_probe: Callable[[ReadFault, float], Probing] | None = None) -> None:
        """`start_probe` is told how many seconds the probe has."""
        self._pipeline = pipeline
        self._start_probe = start_probe
        self._cases: dict[Partition, _Case] = {}

    def turn(self, broker: Broker) -> None:
        """Deal with every fault that the broker has; raises `ClientLostError` where Kafka has lost our place."""
        for fault in broker.faults():
            case = self._case(fault)
            if case.probing is not None:
                self._finish(broker, fault, case, case.probing)
            elif self._start_probe is not None and case.is_hopeless(time.monotonic()):
                log.error("batch_unreadable", topic=fault.partition[0], partition=fault.partition[1], error=fault.error)
                case.probing = self._start_probe(fault, case.probe_seconds)
            elif time.monotonic() - case.tried_at_seconds >= RETRY_SECONDS:
                self._try_again(broker, fault, case)

    def _case(self, fault: ReadFault) -> _Case:
        case = self._cases.get(fault.partition)
        if case is None or case.offset != fault.offset:
            now = time.monotonic()
            case = self._cases[fault.partition] = _Case(fault.offset, now, now)
            self._pipeline.metrics.read_faults.labels(fault.error).inc()
        return case

    def _try_again(self, broker: Broker, fault: ReadFault, case: _Case) -> None:
        case.tried_at_seconds = time.monotonic()
        if fault.error == NO_SUCH_OFFSET:
            position = broker.positions([fault.partition]).get(fault.partition)
            if position is None:
                return
            _require_place(fault, position)
        case.attempts += 1
        broker.start({fault.partition: fault.offset})

    def _finish(self, broker: Broker, fault: ReadFault, case: _Case, probing: Probing) -> None:
        """Take over what the probe has found; a probe that found nothing out leaves the case as it was."""
        if not probing.done:
            return
        found = probing.found
        if found is None or probing.fault.offset != fault.offset:
            case.probing, case.attempts, case.since_seconds = None, 0, time.monotonic()
            case.probe_seconds = min(2 * case.probe_seconds, LONGEST_PROBE_SECONDS)
            return
        self._take(found)
        del self._cases[fault.partition]
        broker.start({fault.partition: found.next_offset})

    def _take(self, found: Found) -> None:
        assignments = self._pipeline.assignments
        readable: list[Delivery] = []
        for item in found.items:
            if isinstance(item, Message):
                delivery = assignments.receive(item)
                readable += [delivery] if delivery is not None else []
            else:
                self._quarantine(item)
        if readable:
            self._pipeline.inbox.put(readable)
            self._pipeline.metrics.polled.inc(len(readable))

    def _quarantine(self, skipped: QuarantinedRange) -> None:
        """Let the settler write the range down when it moves the offset past it, in one transaction."""
        stand_in = Message(skipped.topic, skipped.partition, skipped.first_offset, None, None, (), 0.0)
        delivery = self._pipeline.assignments.receive(stand_in, skipped.last_offset)
        if delivery is not None:
            self._pipeline.finished.put([Outcome(delivery, quarantined=skipped)])
            log.error(
                "messages_quarantined",
                topic=skipped.topic,
                partition=skipped.partition,
                first_offset=skipped.first_offset,
                last_offset=skipped.last_offset,
                reason=skipped.reason,
            )


def _require_place(fault: ReadFault, position: Position) -> None:
    if not position.first_offset <= fault.offset <= position.end_offset:
        raise ClientLostError(
            f"Kafka has offsets {position.first_offset} to {position.end_offset} of a partition that we read at "
            f"{fault.offset}: its lease is taken anew"
        )
