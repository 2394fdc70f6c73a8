"""Finds out what of an unreadable place can be read, and where the next readable one begins. Knows no Kafka client."""

import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ..schemas.codec import LARGEST_JOB_BYTES
from ..storage.quarantine import QuarantinedRange
from .broker import ReadFault
from .message import Message

log = structlog.get_logger(__name__)

# What a place may take to unfold, beyond what an idle process takes.
MEMORY_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be done with a place, in the order of offsets, and where to read on."""

    items: tuple[Message | QuarantinedRange, ...]
    next_offset: int


class UndecidedError(Exception):
    """Nobody can say now whether a place can be read: nothing may be passed for that."""


class Lens(Protocol):
    """Looks at one offset of a partition; returns what `probe_process` answers, None when it did not survive that.

    Raises `UndecidedError` when brokers or time stand in the way.
    """

    def look(self, offset: int) -> Mapping[str, Any] | None: ...


def survey(lens: Lens, fault: ReadFault) -> Found:
    """Say what becomes of the place of a fault; raises `UndecidedError`."""
    answer = lens.look(fault.offset)
    if answer is not None and answer.get("messages"):
        items = tuple(_item(fault, entry) for entry in answer["messages"])
        return Found(items, answer["messages"][-1]["offset"] + 1)
    if answer is not None and "end" in answer:
        return Found((), fault.offset)
    batch = None if answer is None else answer.get("batch")

    def is_same(offset: int) -> bool:
        """Whether this offset lies in the same batch: brokers give batches whole."""
        seen = lens.look(offset)
        return seen is None or ("error" in seen and (batch is None or seen.get("batch") in (batch, None)))

    end = _first_that_is_not(is_same, fault.offset)
    detail = (
        "the process that read it ran out of memory" if answer is None else f"the client says {answer.get('error')}"
    )
    return Found((QuarantinedRange(*fault.partition, fault.offset, end - 1, "unreadable", detail),), end)


def _first_that_is_not(is_same: Callable[[int], bool], offset: int) -> int:
    """The first offset behind the batch that holds this one, in steps that double and are then halved."""
    inside, step = offset, 1
    while is_same(inside + step):
        inside, step = inside + step, step * 2
    outside = inside + step
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if is_same(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _item(fault: ReadFault, entry: Mapping[str, Any]) -> Message | QuarantinedRange:
    if "size" in entry:
        detail = f"the message has {entry['size']:,} bytes"
        return QuarantinedRange(*fault.partition, entry["offset"], entry["offset"], "too_large", detail)
    headers = tuple((name, _bytes(content)) for name, content in entry["headers"])
    return Message(
        topic=fault.partition[0],
        partition_number=fault.partition[1],
        offset=entry["offset"],
        key=_bytes(entry["key"]),
        value=_bytes(entry["value"]),
        headers=headers,
        timestamp_seconds=max(0, entry["milliseconds"]) / 1000,
    )


def _bytes(content: str | None) -> bytes | None:
    return None if content is None else b64decode(content)


class ProcessLens:
    """Looks through `probe_process`, and starts another one when that did not survive what it saw."""

    def __init__(self, config: Mapping[str, Any], fault: ReadFault, deadline_seconds: float) -> None:
        topic, number = fault.partition
        # The process imports next to nothing, so that it is soon there: it is told what it would import.
        limits = {"memory_bytes": MEMORY_BYTES, "largest_bytes": LARGEST_JOB_BYTES}
        self._task = json.dumps({"config": config, "topic": topic, "partition": number} | limits)
        self._deadline_seconds = deadline_seconds
        self._process: subprocess.Popen[str] | None = None
        self._is_new = True

    def look(self, offset: int) -> Mapping[str, Any] | None:
        left = self._deadline_seconds - time.monotonic()
        if left <= 0:
            raise UndecidedError("no time is left")
        process = self._process or self._start()
        killer = threading.Timer(left, process.kill)
        killer.start()
        try:
            if self._is_new and not self._read(process):
                raise UndecidedError("the process that looks did not start")
            self._is_new = False
            line = self._ask(process, offset)
        finally:
            killer.cancel()
        if time.monotonic() >= self._deadline_seconds:
            raise UndecidedError("it took too long")
        if not line:
            self.close()
            return None
        answer: Mapping[str, Any] = json.loads(line)
        if "failed" in answer:
            raise UndecidedError(f"the brokers did not let us look ({answer['failed']})")
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, process: "subprocess.Popen[str]", offset: int) -> str:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(OSError):
            process.stdin.write(f"{offset}\n")
            process.stdin.flush()
        return self._read(process)

    @staticmethod
    def _read(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        return process.stdout.readline()

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.probe_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the client's own words hold nothing that its answer does not
            text=True,
            # Each arena of the allocator would claim address space that the limit counts.
            env=os.environ | {"MALLOC_ARENA_MAX": "1"},
        )
        assert process.stdin is not None  # noqa: S101
        process.stdin.write(self._task + "\n")
        process.stdin.flush()
        self._process, self._is_new = process, True
        return process


class Probe:
    """One survey on a thread of its own."""

    def __init__(self, config: Mapping[str, Any], fault: ReadFault, limit_seconds: float) -> None:
        self.fault = fault
        self.found: Found | None = None
        self._lens = ProcessLens(config, fault, time.monotonic() + limit_seconds)
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it has ended; `found` is None then when it could not find out."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.found = survey(self._lens, self.fault)
        except (UndecidedError, OSError, ValueError) as error:
            log.warning(
                "probe_undecided", error=str(error) if isinstance(error, UndecidedError) else type(error).__name__
            )
        finally:
            self._lens.close()
