"""A process of its own that looks at one place of a partition, with more room for an answer and a limit on memory.

Run as `python -m dragoman.worker.probe_process`: reads a task as JSON (it holds the password, so no argument does),
then offsets, one a line; answers each with a line of JSON. What it reads may kill it: that is its purpose.
"""

import json
import os
import resource
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from .unreadable import UNREADABLE

# How long one place may take to be read.
LOOK_SECONDS = 4.0
# Messages of one place that are handed over whole, at most; what is more is read in the ordinary way.
HANDED_OVER_BYTES = 16 * 1024 * 1024
MOST_MESSAGES = 10_000
# A hundred times what a broker takes by default: above it, what unfolds is no batch of jobs.
ANSWER_BYTES = 300_000_000


def main() -> None:
    """Say that we are there, then answer until standard input ends."""
    task = json.loads(sys.stdin.readline())
    _limit_memory(task["memory_bytes"])
    _say({"ready": True})
    for line in sys.stdin:
        try:
            _say(_look(task, int(line)))
        except KafkaException as error:
            _say({"failed": error.args[0].name()})


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _look(task: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """What is at an offset: messages, an error with the place it is said to be at, the end, or why nobody can say.

    With a client of its own: an error that comes late must not be taken for one of the next place.
    """
    consumer = Consumer(_config(task["config"]))
    try:
        place = TopicPartition(task["topic"], task["partition"], offset)
        marks = consumer.get_watermark_offsets(place, timeout=LOOK_SECONDS)
        if marks is not None and offset >= marks[1]:
            return {"end": True}
        consumer.assign([place])
        return _first(consumer, offset, task["largest_bytes"])
    finally:
        consumer.close()


def _first(consumer: Consumer, offset: int, largest_bytes: int) -> dict[str, Any]:
    deadline = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < deadline:
        record = consumer.poll(0.1)
        if record is None:
            continue
        error = record.error()
        if error is None:
            rest = consumer.consume(MOST_MESSAGES, 0.2)
            return {"messages": _handed_over([record, *rest], offset, largest_bytes)}
        if error.code() == KafkaError._PARTITION_EOF:
            return {"end": True}
        if error.code() in UNREADABLE:
            return {"error": error.name(), "batch": record.offset()}
        if record.partition() is not None:
            return {"failed": error.name()}
    return {"failed": "_TIMED_OUT"}


def _handed_over(records: list[Message], offset: int, largest_bytes: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    size = 0
    for record in records:
        if record.error() is not None or size > HANDED_OVER_BYTES:
            break
        if (record.offset() or 0) >= offset:
            found.append(_entry(record, largest_bytes))
            size += len(found[-1].get("value") or "")
    return found


def _entry(record: Message, largest_bytes: int) -> dict[str, Any]:
    value = record.value()
    size = len(value or b"")
    if size > largest_bytes:
        return {"offset": record.offset(), "size": size}
    headers = cast("list[tuple[str, bytes | None]]", record.headers() or [])
    return {
        "offset": record.offset(),
        "key": _text(record.key()),
        "value": _text(value),
        "headers": [(name, _text(content)) for name, content in headers],
        "milliseconds": record.timestamp()[1],
    }


def _text(content: bytes | str | None) -> str | None:
    if content is None:
        return None
    return b64encode(content if isinstance(content, bytes) else content.encode()).decode()


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "group.id": "dragoman-probe",  # the library wants one; nothing is joined and nothing stored
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "check.crcs": True,
        # One batch at a time, however large.
        "max.partition.fetch.bytes": 1,
        "queued.min.messages": 1,
        "queued.max.messages.kbytes": 1,
        "receive.message.max.bytes": ANSWER_BYTES,
    }


def _limit_memory(more_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold somebody's text
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere such a limit is not kept
        present = int(status.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (present + more_bytes,) * 2)


if __name__ == "__main__":
    main()
