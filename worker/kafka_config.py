"""How a worker's consumer is configured. Knows the settings and librdkafka's names for them."""

from typing import Any

from ..kafka_settings import kafka_client_config
from ..settings import Settings

# Fetched and not yet polled: two batches' worth; the defaults hoard what other workers could do.
QUEUED_MESSAGES, QUEUED_KBYTES = 2_000, 16_384
# A batch of a few kB can unfold to a thousand times as much. So one answer brings little of one partition; a batch
# that is larger comes all the same, alone.
PARTITION_FETCH_BYTES = 256 * 1024
# The largest answer, and the most that a zstd batch may unfold to: jobs have 4 MiB at most, a batch some of them.
# The other codecs know no such limit.
ANSWER_BYTES = 32 * 1024 * 1024
# Whoever has not polled for so long is taken for dead. The worker polls ten times a second.
MAX_POLL_SECONDS = 120.0
# How long the brokers may take to answer a request; a fetch waits half a second at most.
ANSWER_SECONDS = 10.0


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The librdkafka configuration of a worker's consumer; holds the password."""
    config: dict[str, Any] = kafka_client_config(settings) | {
        "group.id": settings.topic_prefix + settings.consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to start is our decision, never a silent jump to either end.
        "auto.offset.reset": "error",
        "max.poll.interval.ms": int(MAX_POLL_SECONDS * 1000),
        "queued.min.messages": QUEUED_MESSAGES,
        "queued.max.messages.kbytes": QUEUED_KBYTES,
        "max.partition.fetch.bytes": PARTITION_FETCH_BYTES,
        "fetch.max.bytes": 4 * PARTITION_FETCH_BYTES,
        "receive.message.max.bytes": ANSWER_BYTES,
        "check.crcs": True,
        "fetch.queue.backoff.ms": 5,
        # A request that nobody answers holds back those behind it, such as the heartbeat that hands partitions over.
        "socket.timeout.ms": int(ANSWER_SECONDS * 1000),
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "consumer":
        # Divides each topic by itself, whatever else its members read. The brokers' own choice (uniform) counts
        # partitions only: where one member reads both lanes, it may give it one lane and another the other.
        config["group.remote.assignor"] = "range"
    else:
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = int(settings.session_timeout_seconds * 1000)
    return config
