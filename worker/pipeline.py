"""What the stages share: who we are, what is ours, the queues between them. Knows no service."""

import queue
import threading
from dataclasses import dataclass, field

from ..storage.records import OutboxEvent
from .assignments import Assignments, Delivery
from .gathering import ByLane
from .metrics import Metrics
from .privacy import Privacy
from .registry.shadowing import ShadowQueue
from .scheduling.waiting_room import WaitingRoom
from .work import Identity, Outcome

# The events of so many settlements are kept for a relay that is behind.
OWED_SETTLEMENTS = 4


@dataclass(frozen=True, slots=True)
class Pipeline:
    """intake -> inbox -> admitter -> waiting room -> engine -> finished -> settler -> (outbox) owed -> relay.

    Each lane has an admitter and a settler of its own. The queues have no bounds of their own, the intake pauses
    polling when too much is in flight; but `owed` has, because what it has no room for lies in the outbox.
    """

    identity: Identity
    waiting_room: WaitingRoom
    metrics: Metrics = field(default_factory=Metrics)
    privacy: Privacy = field(default_factory=Privacy)
    shadows: ShadowQueue = field(default_factory=ShadowQueue)
    assignments: Assignments = field(default_factory=Assignments)
    inbox: ByLane[Delivery] = field(default_factory=lambda: ByLane(lambda delivery: delivery.is_interactive))
    finished: ByLane[Outcome] = field(default_factory=lambda: ByLane(lambda outcome: outcome.delivery.is_interactive))
    owed: "queue.Queue[list[OutboxEvent]]" = field(default_factory=lambda: queue.Queue(OWED_SETTLEMENTS))
    fenced: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
