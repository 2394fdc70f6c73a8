"""Who holds what when nothing moves any more: by the database, the brokers and the workers. For a failure's report."""

import json
from typing import Any

from confluent_kafka import KafkaException
from dragoman.storage.leases import all_leases
from dragoman.tests.faults.arena import Arena
from dragoman.tests.faults.fleet import Worker
from dragoman.tests.faults.invariants import behind

ANSWER_SECONDS = 10.0
METRICS = (
    "assigned_partitions",
    "unstarted_partitions",
    "refused_partitions",
    "paused",
    "paused_partitions",
    "in_flight_jobs",
    "waiting_segments",
    "heartbeat_rejoins_total",
    "partition_restarts_total",
    "stuck_threads_total",
)


def describe_standstill(arena: Arena) -> str:
    """Lines of JSON: partitions that are behind, workers, members of the group."""
    standing = behind(arena)
    with arena.engine.connect() as connection:
        leases = {(lease.topic, lease.partition): lease for lease in all_leases(connection, arena.group)}
    lines: list[dict[str, Any]] = [
        {"partition": key, "ends_at": end, "lease": leases.get(key)} for key, (_, end) in standing
    ]
    lines += [_worker(worker) for worker in arena.fleet.running]
    lines += _members(arena)
    return "\n".join(json.dumps(line, default=str) for line in lines)


def _worker(worker: Worker) -> dict[str, Any]:
    told = {name: worker.metric(f"dragoman_{name}") for name in METRICS}
    return {"worker": worker.log_path.name, "ready": worker.ready(), **told}


def _members(arena: Arena) -> list[dict[str, Any]]:
    admin = arena.admin()  # kept: its answers die with it
    try:
        group = admin.describe_consumer_groups([arena.group], request_timeout=ANSWER_SECONDS)[arena.group].result()
    except KafkaException as error:
        return [{"group": error.args[0].str()}]
    return [{"group": str(group.state), "members": len(group.members)}] + [
        {
            "member": member.member_id,
            "holds": _partitions(member.assignment),
            "shall_hold": _partitions(member.target_assignment),
        }
        for member in group.members
    ]


def _partitions(assignment: Any) -> list[str]:
    return [f"{entry.topic}/{entry.partition}" for entry in assignment.topic_partitions] if assignment else []
