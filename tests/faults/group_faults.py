"""Faults 20-23, 48-50: the consumer group and its topics."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from dragoman.errors import DragomanError
from dragoman.producer.kafka import KafkaAdmin
from dragoman.producer.topics import ensure_topics
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.entry import Temper
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.fleet import Worker, wait_until
from dragoman.tests.faults.invariants import at_rest, end_offsets
from dragoman.tests.faults.process_faults import pause

CLASSIC = (("DRAGOMAN_GROUP_PROTOCOL", "classic"),)


def rebalance_storm(arena: Arena) -> None:
    before = arena.epochs()
    for _ in range(6):
        guest = arena.fleet.start()
        wait_until(guest.ready, "a worker joins")
        pause(0.5)
        guest.terminate()
    arena.bite("leases that changed hands", arena.epochs() - before)
    arena.saw(f"{arena.fleet.metric('dragoman_fenced_writes_total'):.0f} writes fenced")


def restart_all(arena: Arena) -> None:
    for worker in list(arena.fleet.running):
        worker.kill()
    arena.fleet.supervise(arena.setup.workers)
    took = arena.wait_rows(1)
    arena.bite("fleets restarted")
    arena.saw(f"first new row {took:.1f} s after the start of the new ones")


def switch_protocol(arena: Arena) -> None:
    """To the classic protocol one by one; back through an empty group, for brokers refuse to do that one by one."""
    classic = [_successor(arena, worker) for worker in list(arena.fleet.running)]
    arena.wait_rows(50)
    early = arena.fleet.start(DRAGOMAN_GROUP_PROTOCOL="consumer")
    wait_until(lambda: early.events("client_rebuilt"), "a worker that comes too early is turned away")
    assert "stop every worker" in early.events("client_rebuilt")[0]["error"], "it was not told what to do"
    arena.bite("workers turned away")
    took = arena.wait_rows(200)
    arena.saw(f"{200 / took:.0f} rows/s beside it")
    for worker in classic:
        worker.terminate()
    took = wait_until(early.ready, "it gets in when the others have left")
    arena.bite("workers switched to consumer")
    arena.saw(f"consumer: ready {took:.1f} s after the last of the others had left")
    arena.wait_rows(50)


def _successor(arena: Arena, worker: Worker) -> Worker:
    """A worker of the classic protocol in place of this one."""
    fresh = arena.fleet.start(DRAGOMAN_GROUP_PROTOCOL="classic")
    worker.terminate()
    took = wait_until(fresh.ready, "a worker with the protocol classic is ready")
    arena.bite("workers switched to classic")
    arena.saw(f"classic: ready after {took:.1f} s")
    return fresh


def delete_group(arena: Arena) -> None:
    """What an operator does when the group counts on a member that is not there: offsets on Kafka go, leases stay."""
    admin = KafkaAdmin(arena.settings)
    with pytest.raises(DragomanError, match="stop every worker first"):
        admin.delete_group(arena.group)
    before = arena.leases()
    for worker in list(arena.fleet.running):
        worker.terminate()
    assert admin.delete_group(arena.group), "the brokers did not know the group"
    arena.bite("groups deleted")
    arena.fleet.supervise(arena.setup.workers)
    took = arena.wait_rows(50)
    arena.saw(f"50 more rows {took:.1f} s after the start of new workers")
    arena.saw(f"{len(before)} leases, none set back")
    assert all((arena.leases()[key] or 0) >= (offset or 0) for key, offset in before.items())


def poll_too_late(arena: Arena) -> None:
    victim = arena.fleet.start(DRAGOMAN_FAILPOINT="poll:sleep:14:60")
    wait_until(lambda: victim.events("failpoint_reached"), "the polling thread sleeps")
    wait_until(lambda: victim.events("client_rebuilt"), "the client is rebuilt")
    arena.bite("polls too late")
    took = wait_until(victim.ready, "it has partitions again")
    arena.saw(f"client rebuilt, partitions again after {took:.1f} s")


def recreate_topics(arena: Arena) -> None:
    arena.load.stop()
    wait_until(lambda: at_rest(arena), "everything before is finished")
    for worker in list(arena.fleet.running):
        worker.terminate()
    admin = arena.admin()
    for future in admin.delete_topics(arena.topics()).values():
        future.result(20)
    wait_until(lambda: not set(arena.topics()) & admin.list_topics(timeout=10).topics.keys(), "topics are deleted")
    ensure_topics(arena.settings)
    arena.bite("topics made anew", 2)
    before = arena.rows()
    arena.fleet.start()
    wait_until(lambda: arena.fleet.events("topic_made_anew"), "a worker says that the topic is another", 40)
    assert arena.rows() == before, "a topic that was made anew was read as if it were the old one"
    arena.rewound = True
    for worker in list(arena.fleet.running):
        worker.terminate()
    arena.execute("DELETE FROM ingest_lease")  # a person has decided: from the beginning
    arena.new_load()


def expire_unread(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.kill()
    pause(3)
    admin = arena.admin()
    unread = end_offsets(arena, arena.topics())
    ends = {key: end for key, end in unread.items() if end > (arena.leases().get(key) or 0)}
    _delete_before(admin, ends)
    arena.expired |= ends
    arena.bite("partitions with messages that expired unread", len(ends))
    arena.fleet.start_ready(arena.setup.workers)
    wait_until(lambda: arena.query("SELECT 1 FROM quarantine WHERE reason = 'expired'"), "the gap is written down")
    gone = arena.query("SELECT sum(last_offset - first_offset + 1) FROM quarantine WHERE reason = 'expired'")[0][0]
    arena.saw(f"{gone} messages expired, each within a gap that is written down")
    assert arena.fleet.events("messages_expired"), "the gap is not in the log"


def _delete_before(admin: AdminClient, ends: dict[tuple[str, int], int]) -> None:
    wanted = [TopicPartition(*key, end) for key, end in ends.items()]
    for future in admin.delete_records(wanted).values():
        future.result(20)


def add_partitions(arena: Arena) -> None:
    admin = arena.admin()  # kept: its answers die with it
    for future in admin.create_partitions([NewPartitions(topic, 10) for topic in arena.topics()]).values():
        future.result(20)
    arena.bite("partitions added", 4)
    added = {(topic, number) for topic in arena.topics() for number in (8, 9)}
    took = wait_until(lambda: added <= arena.leases().keys(), "the new partitions are leased", 360)
    arena.saw(f"leased {took:.0f} s after they were added")


GROUP_FAULTS = (
    Fault("20", "workers come and go", "a third worker joins and leaves, six times", rebalance_storm),
    Fault("20b", "the same, classic protocol", "cooperative-sticky", rebalance_storm, Setup(variables=CLASSIC)),
    Fault("21", "all workers restart at once", "SIGKILL all, start all", restart_all),
    Fault("22", "group protocol switched", "to classic one by one, back through an empty group", switch_protocol),
    Fault("22b", "group deleted", "all workers stopped, admin client", delete_group),
    Fault(
        "23",
        "polled too late",
        "failpoint poll:sleep:14, max.poll.interval 8 s",
        poll_too_late,
        Setup(temper=Temper(max_poll_seconds=8.0)),
    ),
    Fault("48", "topics deleted and made anew", "admin client", recreate_topics),
    Fault("49", "messages expire unread", "records deleted before the lease's offset", expire_unread),
    Fault("50", "partitions added", "admin client, 8 to 10", add_partitions),
)
