"""What the suite itself did, on disk before it is believed: every publication, and every acknowledgement by Kafka."""

import json
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message that Kafka has: the job it holds, if it holds one, and where it lies."""

    key: str  # job id, or a number of ours for a message that is none
    topic: str
    partition: int
    offset: int
    poison: str = ""  # why it must not be translated; empty for a good job


class Journal:
    """Append-only, synced to disk by `sync`; safe to write from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._lock = threading.Lock()
        self.submitted: set[str] = set()
        self.acknowledged: list[Acknowledged] = []

    def submit(self, key: str) -> None:
        """Something is about to be published."""
        with self._lock:
            self.submitted.add(key)
            self._write({"submitted": key})

    def acknowledge(self, entry: Acknowledged) -> None:
        """Kafka has it."""
        with self._lock:
            self.acknowledged.append(entry)
            self._write({"acknowledged": asdict(entry)})

    def sync(self) -> None:
        """Return when everything so far is on disk."""
        with self._lock:
            self._file.flush()
            os.fsync(self._file.fileno())

    def snapshot(self) -> list[Acknowledged]:
        """Everything acknowledged so far."""
        with self._lock:
            return list(self.acknowledged)

    def close(self) -> None:
        self.sync()
        self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(f"{json.dumps(entry)}\n".encode())


@dataclass(slots=True)
class Pending:
    """Messages handed to the client and not reported yet."""

    keys: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str) -> None:
        with self.lock:
            self.keys.add(key)

    def remove(self, key: str) -> None:
        with self.lock:
            self.keys.discard(key)

    def __len__(self) -> int:
        with self.lock:
            return len(self.keys)
