"""What must be true after every run, from three journals: the suite's own, the database, Kafka's topics.

Each check gives sentences that say what is wrong; none means that it holds. I5 (order by key) is not among them: the
worker has no ordering mode.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, TopicPartition
from dragoman.producer.kafka import KafkaTail
from dragoman.schemas.codec import decode_dead_letter, decode_result
from dragoman.schemas.ids import DEAD_LETTER_EVENT, RESULT_EVENT, event_id
from dragoman.tests.faults import poison
from dragoman.tests.faults.arena import Arena, Partition
from dragoman.tests.faults.fleet import Footprint, Worker
from dragoman.tests.faults.journal import Acknowledged

# A worker may grow by so much over what it had when it was warm: caches, arenas, a connection or two.
MORE_BYTES, MORE_THREADS, MORE_FILES = 80 * 1024 * 1024, 4, 12
# Whether a row has the texts that it should: the model echoes, and a no-trace job leaves none.
SOUND_TEXTS = "CASE WHEN no_trace THEN num_nonnulls(source_text, target_text) = 0 ELSE target_text = source_text END"
# Sentences of one kind in a report; the rest is counted.
SHOWN = 3


def violations(arena: Arena) -> list[str]:
    """Everything that is wrong after a run that has come to rest."""
    return [
        *one_row_a_job(arena),
        *one_event_a_row(arena),
        *progress(arena),
        *noted_by_triggers(arena),
        *no_canary(arena),
        *poison_is_buried(arena),
        *unexpected_ends(arena),
    ]


def one_row_a_job(arena: Arena) -> list[str]:
    """I1: every acknowledged job has its row (its key makes it exactly one), and the row says what it should."""
    rows = {
        str(job): (status, same)
        for job, status, same in arena.query(f"SELECT job_id, status, {SOUND_TEXTS} FROM translation")
    }
    excused = _excused(arena)
    jobs = {entry.key for entry in arena.journal.snapshot() if not entry.poison and not excused(entry)}
    wrong = [job for job in jobs if job in rows and rows[job] != ("translated", True)]
    twice = arena.query(
        "SELECT kafka_topic, kafka_partition, kafka_offset FROM translation GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    return [
        *_some("I1: an acknowledged job has no row", jobs - rows.keys()),
        *_some("I1: a good job was not translated", wrong),
        *([] if arena.rewound else _some("I1: a message has more than one row", twice)),
    ]


def _excused(arena: Arena) -> Callable[[Acknowledged], bool]:
    """Whether the suite itself took the message away, or spoiled it and it is in quarantine."""
    skipped = arena.query("SELECT topic, partition, first_offset, last_offset FROM quarantine")

    def excused(entry: Acknowledged) -> bool:
        key = (entry.topic, entry.partition)
        if entry.offset < arena.expired.get(key, 0):
            return True
        ranges = [(first, last) for topic, number, first, last in skipped if (topic, number) == key]
        return key in arena.spoiled and any(first <= entry.offset <= last for first, last in ranges)

    return excused


def lost_so_far(arena: Arena) -> list[str]:
    """I3 at any time: whatever lies before the lease's offset has its row."""
    excused = _excused(arena)
    with arena.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        leases = {
            (t, p): o
            for t, p, o in connection.exec_driver_sql("SELECT topic, partition, next_offset FROM ingest_lease")
        }
        rows = {str(job) for (job,) in connection.exec_driver_sql("SELECT job_id FROM translation")}
    lost = [
        f"{entry.key} at {entry.topic}/{entry.partition}/{entry.offset}"
        for entry in arena.journal.snapshot()
        if not entry.poison and not excused(entry)
        if entry.offset < (leases.get((entry.topic, entry.partition)) or 0)
        if entry.key not in rows
    ]
    return _some("I3: the lease is ahead of a job that has no row", lost)


def one_event_a_row(arena: Arena) -> list[str]:
    """I2: each row owed one result, each rejected or failed one a dead letter too, and Kafka has exactly these."""
    results, letters = (arena.settings.topic_prefix + name for name in ("results", "dead-letters"))
    rows = {str(job): status for job, status in arena.query("SELECT job_id, status FROM translation")}
    owed: dict[str, list[tuple[str, str]]] = {results: [], letters: []}
    for event, job, topic in arena.query("SELECT event_id, job_id, topic FROM audit_outbox_event"):
        owed[topic].append((str(event), str(job)))
    bad = {job for job, status in rows.items() if status != "translated"}
    untraced = {str(job) for (job,) in arena.query("SELECT job_id FROM translation WHERE no_trace")}
    kept = untraced & {job for events in owed.values() for _, job in events}
    owed[results] += [(str(event_id(UUID(job), RESULT_EVENT)), job) for job in untraced]
    owed[letters] += [(str(event_id(UUID(job), DEAD_LETTER_EVENT)), job) for job in untraced & bad]
    answers, buried = published(arena, results), published(arena, letters)
    found = [
        *_some("I2: the answer of a no-trace job lay in the outbox", kept),
        *_match("result", owed[results], rows.keys(), answers),
        *_match("dead letter", owed[letters], bad, buried),
    ]
    if not arena.rewound:  # what is translated again after a restore is another pass
        # So is what is published before it is recorded: the answers of no-trace jobs.
        copies = {
            event: {value for job, value in found if job not in untraced} for event, found in (answers | buried).items()
        }
        found += _some("I2: copies of an event differ", [event for event, values in copies.items() if len(values) > 1])
    return found


def _match(
    kind: str, owed: list[tuple[str, str]], jobs: Iterable[str], published: dict[str, list[tuple[str, bytes]]]
) -> list[str]:
    wanted, counted = set(jobs), Counter(job for _, job in owed)
    return [
        *_some(f"I2: a row owed no {kind}", wanted - counted.keys()),
        *_some(f"I2: a {kind} belongs to no row", counted.keys() - wanted),
        *_some(f"I2: a job owed more than one {kind}", [job for job, times in counted.items() if times > 1]),
        *_some(f"I2: a {kind} never reached Kafka", {event for event, _ in owed} - published.keys()),
        *_some(f"I2: Kafka has a {kind} that nobody owed", published.keys() - {event for event, _ in owed}),
    ]


def published(arena: Arena, topic: str) -> dict[str, list[tuple[str, bytes]]]:
    """Every message of a topic of ours by event id, with its job."""
    found: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    decode: Any = decode_result if topic.endswith("results") else decode_dead_letter
    left = sum(end_offsets(arena, [topic]).values())
    with KafkaTail(arena.settings, topic, "beginning") as tail:
        while left > 0:
            messages = tail.poll(10)
            assert messages, f"{left} messages of {topic} could not be read"
            for message in messages:
                left -= 1
                answer = decode(message.value)
                found[str(answer.event_id)].append((str(answer.job_id), message.value or b""))
    return found


def progress(arena: Arena) -> list[str]:
    """I3 and I6: everything was read, everything was finished, and Kafka was told no more than that."""
    leases, committed = arena.leases(), arena.committed()
    unread = [f"{key} stands at {at}, ends at {end}" for key, (at, end) in behind(arena)]
    ahead = [
        f"{key} {committed[key]} > {leases.get(key)}" for key in committed if committed[key] > (leases.get(key) or 0)
    ]
    waiting = arena.query("SELECT count(*) FROM outbox")[0][0]
    return [
        *_some("I6: a partition was not read to its end", unread),
        *_some("I3: Kafka was told more than the database has", ahead),
        *([f"I6: {waiting} events are still in the outbox"] if waiting else []),
    ]


def at_rest(arena: Arena) -> bool:
    """Whether nothing is left to do."""
    return not behind(arena) and not arena.query("SELECT 1 FROM outbox LIMIT 1")


def behind(arena: Arena) -> list[tuple[Partition, tuple[int | None, int]]]:
    """Partitions that are not finished to their end, where they stand by their leases, and where they end."""
    leases, ends = arena.leases(), end_offsets(arena, arena.topics())
    return [(key, (leases.get(key), end)) for key, end in ends.items() if (leases.get(key) or 0) < end]


def end_offsets(arena: Arena, topics: Iterable[str]) -> dict[Partition, int]:
    """Where each partition of these topics ends."""
    client = Consumer({"bootstrap.servers": arena.settings.kafka_bootstrap_servers, "group.id": "looking"})
    try:
        found = client.list_topics(timeout=20).topics
        keys = [(topic, number) for topic in topics if topic in found for number in found[topic].partitions]
        return {key: client.get_watermark_offsets(TopicPartition(*key), timeout=20)[1] for key in keys}
    finally:
        client.close()


def noted_by_triggers(arena: Arena) -> list[str]:
    """I3 and I4: nothing went back, nothing was written under an epoch that was over."""
    return _some(
        "noted by a trigger", [what for (what,) in arena.query("SELECT what FROM audit_violation ORDER BY at")]
    )


def no_canary(arena: Arena) -> list[str]:
    """I8: no log holds a word of a text."""
    logs = [worker.log_path for worker in arena.fleet.all if worker.log_path.exists()]
    word = poison.CANARY.casefold()
    return _some("I8: a text is in a log", [p.name for p in logs if word in p.read_text(errors="replace").casefold()])


def poison_is_buried(arena: Arena) -> list[str]:
    """I10: every poison has exactly one row, rejected or failed, that says where it lay; duplicates share one.

    A place can have two rows after a topic was made anew.
    """
    rows: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    jobs: dict[str, str] = {}
    for job, status, topic, number, offset in arena.query(
        "SELECT job_id, status, kafka_topic, kafka_partition, kafka_offset FROM translation"
    ):
        rows[(topic, number, offset)].append(status)
        jobs[str(job)] = status
    skipped = arena.query("SELECT topic, partition, first_offset, last_offset FROM quarantine")
    wrong = []
    for entry in arena.journal.snapshot():
        place = (entry.topic, entry.partition, entry.offset)
        quarantined = any(place[:2] == (t, p) and first <= entry.offset <= last for t, p, first, last in skipped)
        named = [jobs[entry.key]] if entry.key in jobs else rows.get(place)
        found = named or ["rejected" if quarantined else "no row"]
        if entry.poison and not {"rejected", "failed"} & set(found):
            wrong.append(f"{entry.poison} at {place}: {', '.join(found)}")
    return _some("I10: a poison was not buried", wrong)


def unexpected_ends(arena: Arena) -> list[str]:
    """Nobody but us ends a worker."""
    ended = [w for w in arena.fleet.all if not w.running and not w.expected_end and not _refused_to_start(w)]
    return [f"{w.log_path.name} ended by itself with {w.process.returncode}:\n{w.tail()}" for w in ended]


def _refused_to_start(worker: Worker) -> bool:
    """It ended with a sentence because a service was away; its supervisor tries again."""
    return worker.process.returncode == 1 and not worker.events("worker_started")


def footprints(workers: Iterable[Worker]) -> list[str]:
    """I7: memory, threads and files are back where they were, for workers that lived through it all."""
    wrong = []
    for worker in workers:
        before, now = worker.baseline, worker.footprint()
        if before and now and _outgrown(before, now):
            wrong.append(f"I7: {worker.log_path.name} grew from {before} to {now}")
    return wrong


def _outgrown(before: Footprint, now: Footprint) -> bool:
    return (
        now.resident_bytes > before.resident_bytes + MORE_BYTES
        or now.threads > before.threads + MORE_THREADS
        or now.files > before.files + MORE_FILES
    )


def _some(what: str, found: Iterable[object]) -> list[str]:
    listed = sorted(map(str, found))
    if not listed:
        return []
    shown = "; ".join(listed[:SHOWN])
    return [f"{what} ({len(listed)} of them): {shown}"]
