"""Every metric of the worker, in one place. Labels have few values: never a client, a job or a text.

Names follow Prometheus: base units, `_total` for counters; docs/metrics.md is kept equal by a test.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .resident_memory import resident_bytes

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class SharedHistogram(Histogram):
    """A histogram that takes many values at once: one by one, those of the jobs cost more than a batch of them."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of these."""
        self._sum.inc(sum(amounts))
        for place, count in Counts(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)


class Metrics:
    """The worker's metrics, in a registry of their own so that two workers fit in one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"dragoman_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"dragoman_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> SharedHistogram:
            return SharedHistogram(f"dragoman_{name}", text, labels, buckets=buckets, registry=registry)

        self.polled = counter("messages_polled_total", "Messages polled from the job topics")
        self.jobs = counter("jobs_total", "Jobs recorded in the history, by how they ended", "status", "reason")
        self.redelivered = counter("redelivered_total", "Polled jobs that the history had already")
        self.fenced = counter("fenced_writes_total", "Outcomes dropped because the partition belongs to another worker")
        self.waiting_in_lane = gauge("waiting_in_lane", "Segments of a lane that wait for a batch", "lane")
        self.wait_seconds = histogram(
            "wait_seconds", "Seconds that a segment waited for its batch, by lane", _SECONDS, "lane"
        )
        self.coalesced = counter("coalesced_total", "Segments that share the translation of one with the same pieces")
        self.recalled = counter("recalled_total", "Jobs answered without the model: from memory or cache", "origin")
        self.batch_rows = histogram("batch_rows", "Segments in a batch", _ROWS)
        self.batch_pieces = counter("batch_pieces_total", "Source places in batches: real pieces and padding", "kind")
        self.translate_seconds = histogram("translate_seconds", "Seconds of the model for one batch", _SECONDS)
        self.translate_failures = counter("translate_failures_total", "Passes of the model that raised an error")
        self.rework = counter("rework_pieces_total", "Source pieces that were translated for nothing")
        self.devices_up = gauge("devices_up", "Devices that are ready to translate")
        self.device_restarts = counter(
            "device_restarts_total", "Device processes that died, by what they died of", "fault"
        )
        self.suspects = counter("suspect_segments_total", "Segments in the hands of a device when it died")
        self.out_of_memory = counter(
            "out_of_memory_total", "Times a device ran out of memory and was given half from then"
        )
        self.model_loads = counter("model_loads_total", "Models loaded on a device")
        self.model_evictions = counter("model_evictions_total", "Models that left a device to make room for another")
        self.model_swaps = counter(
            "model_swaps_total", "Language pairs that went over to another model version while the worker ran"
        )
        self.model_refusals = counter("model_refusals_total", "Times a deployed model version could not be loaded")
        self.shadow_translations = counter(
            "shadow_translations_total", "Jobs that a shadow was to translate too, by what became of that", "outcome"
        )
        self.row_steps = counter(
            "device_row_steps_total", "Rows of the running batch, step by step: used and free", "kind"
        )
        self.settle_seconds = histogram("settle_seconds", "Seconds of one commit transaction", _SECONDS)
        self.settle_failures = counter("settle_failures_total", "Commit transactions to be repeated", "outcome")
        self.job_seconds = histogram("job_seconds", "Seconds from submission to the recorded outcome", _SECONDS)
        self.published = counter("events_published_total", "Outbox events that Kafka acknowledged")
        self.publish_failures = counter("publish_failures_total", "Rounds of the relay that did not get everything out")
        self.outbox_depth = gauge("outbox_depth", "Events waiting in the outbox")
        self.outbox_oldest = gauge("outbox_oldest_seconds", "Age of the oldest of them")
        self.in_flight_jobs = gauge("in_flight_jobs", "Jobs polled and not yet recorded")
        self.in_flight_bytes = gauge("in_flight_bytes", "Bytes of those messages")
        self.waiting_segments = gauge("waiting_segments", "Segments waiting for a batch")
        self.partitions = gauge("assigned_partitions", "Partitions that this worker holds a lease on")
        self.unstarted = gauge(
            "unstarted_partitions", "Partitions that wait for their lease, or whose lease is ahead of the topic's end"
        )
        self.refused = gauge(
            "refused_partitions",
            "Partitions that stay unread until a person decides: their topic is not the one we knew",
        )
        self.paused = gauge("paused", "1 while polling is paused because too much is in flight")
        self.paused_partitions = gauge("paused_partitions", "Partitions that are ours and deliver nothing just now")
        self.lag = gauge("lag_messages", "Messages of our partitions that are not recorded yet")
        self.group_lag = gauge(
            "group_lag_messages",
            "Messages of all partitions that are not recorded yet, whoever has them",
        )
        self.standing = gauge(
            "standing_partitions",
            "Partitions, whoever has them, of which nothing was recorded for two minutes though messages wait",
        )
        self.lag_seconds = gauge("lag_seconds", "Age of the oldest message that is polled and not recorded")
        self.stall_seconds = gauge("stall_seconds", "How long nothing was recorded although something is in flight")
        self.stuck = counter("stuck_threads_total", "Times that a thread did not move for long; the log has the stacks")
        self.log_lines_dropped = counter(
            "log_lines_dropped_total", "Log lines that could not be written: a full disk, a closed pipe"
        )
        self.rss = gauge("rss_bytes", "Memory that the worker process occupies")
        self.rss.set_function(resident_bytes)
        self.rebalances = counter("rebalances_total", "Changes of the assignment", "kind")
        self.revoke_seconds = histogram("revoke_drain_seconds", "Seconds a revocation waited for work", _SECONDS)
        self.kafka_errors = counter("kafka_errors_total", "Errors that the Kafka client reported", "code")
        self.offset_commit_failures = counter(
            "offset_commit_failures_total", "Advisory offset commits that failed; harmless", "code"
        )
        self.offset_commit_outstanding = gauge(
            "offset_commit_outstanding_seconds", "How long the brokers have owed an answer to an offset commit"
        )
        self.read_faults = counter(
            "read_faults_total", "Places of a partition that the Kafka client could not read", "code"
        )
        self.quarantined = counter("quarantined_messages_total", "Messages that nobody will translate", "reason")
        self.position_jumps = counter(
            "position_jumps_total", "Partitions read once more because their first message was not the one asked for"
        )
        self.heartbeat_rejoins = counter(
            "heartbeat_rejoins_total",
            "Times the group was joined anew because an answer to a heartbeat came too late",
        )
        self.partition_restarts = counter(
            "partition_restarts_total", "Partitions read once more because nothing came although there was something"
        )
