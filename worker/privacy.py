"""What the stages know of privacy. Knows clients by id; no database and no text."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Privacy:
    """Shared by the threads of a worker: one writes a whole new value, the others read it."""

    no_trace_clients: frozenset[str] = field(default_factory=frozenset)
