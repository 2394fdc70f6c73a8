"""What the stages share: who we are, what is ours, the queues between them. Knows no service."""

import queue
import threading
from dataclasses import dataclass, field

from .assignments import Assignments, Delivery
from .metrics import Metrics
from .registry.shadowing import ShadowQueue
from .scheduling.translation_memory import EmptyMemory, TranslationMemory
from .scheduling.waiting_room import WaitingRoom
from .work import Identity, Outcome


@dataclass(frozen=True, slots=True)
class Pipeline:
    """intake -> inbox -> admitter -> waiting room -> engine -> finished -> settler -> (outbox) -> relay.

    The queues have no bounds of their own: the intake pauses polling when too much is in flight.
    """

    identity: Identity
    waiting_room: WaitingRoom
    metrics: Metrics = field(default_factory=Metrics)
    memory: TranslationMemory = field(default_factory=EmptyMemory)
    shadows: ShadowQueue = field(default_factory=ShadowQueue)
    assignments: Assignments = field(default_factory=Assignments)
    inbox: "queue.Queue[list[Delivery]]" = field(default_factory=queue.Queue)
    finished: "queue.Queue[list[Outcome]]" = field(default_factory=queue.Queue)
    outbox_filled: threading.Event = field(default_factory=threading.Event)
    fenced: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
