"""Faults 12-14, 25-30, 54: the broker, and the network before it."""

import signal

from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.conditions import CLEAR, Charge, Conditions
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.fleet import wait_until
from dragoman.tests.faults.ground import SESSION_SECONDS
from dragoman.tests.faults.invariants import published
from dragoman.tests.faults.kafka_frames import Api
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.process_faults import pause

BY_PROXY = Setup(kafka_by_proxy=True)


def restart_broker(arena: Arena) -> None:
    for _ in range(2):
        arena.ground.stack.kafka.restart()
        arena.bite("clean restarts of the broker")
        took = arena.wait_rows(50)
        arena.saw(f"50 more rows {took:.1f} s after the broker answered")


def kill_broker(arena: Arena) -> None:
    for _ in range(2):
        arena.ground.stack.kafka.kill()
        pause(1)
        arena.ground.stack.kafka.start()
        arena.bite("brokers killed")
        took = arena.wait_rows(50)
        arena.saw(f"50 more rows {took:.1f} s after the broker answered")


def freeze_broker(arena: Arena) -> None:
    for seconds in (3, 20):
        arena.ground.stack.kafka.pause()
        pause(seconds)
        alive = [worker.get("/livez") for worker in arena.fleet.running]
        assert all(alive), "liveness failed because the broker was frozen"
        arena.ground.stack.kafka.resume()
        arena.bite("broker freezes")
        took = arena.wait_rows(50)
        arena.saw(f"frozen for {seconds} s: 50 more rows {took:.1f} s after")


def slow_network(arena: Arena) -> None:
    for seconds in (0.05, 0.5):
        arena.ground.kafka_proxy.set(Conditions(latency_seconds=seconds, jitter_seconds=seconds / 2))
        took = arena.wait_rows(500)
        arena.saw(
            f"{500 / took:.0f} rows/s at {1000 * seconds:.0f} ms one way, of {arena.setup.mix.jobs_per_second:.0f} sent"
        )
    arena.bite("chunks delayed", arena.ground.kafka_proxy.counts["delayed"])


def lose_offset_commits(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.set(Conditions(drop_requests=frozenset({Api.OFFSET_COMMIT})))
    wait_until(lambda: proxy.counts[f"dropped_request_{Api.OFFSET_COMMIT}"] > 0, "an offset commit is lost")
    arena.wait_rows(300)
    behind = sum((offset or 0) for offset in arena.leases().values()) - sum(arena.committed().values())
    arena.saw(f"the database was {behind} messages ahead of Kafka's offsets")
    assert behind > 0, "Kafka's offsets kept up although their commits were lost"
    for worker in list(arena.fleet.running):
        worker.kill()
    proxy.set(CLEAR)
    arena.fleet.start_ready(arena.setup.workers)
    wait_until(lambda: arena.fleet.metric("dragoman_messages_polled_total") > 0, "successors poll")
    redelivered = arena.fleet.metric("dragoman_redelivered_total")
    arena.saw(f"successors started from the database: {redelivered:.0f} recorded jobs read again")
    assert redelivered < behind, "successors started from Kafka's offsets"
    arena.bite("offset commits lost", proxy.counts[f"dropped_request_{Api.OFFSET_COMMIT}"])


def lose_offset_commits_in_a_handover(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.set(Conditions(drop_requests=frozenset({Api.OFFSET_COMMIT})))
    wait_until(lambda: proxy.counts[f"dropped_request_{Api.OFFSET_COMMIT}"] > 0, "an offset commit is lost")
    joining = arena.fleet.start()
    wait_until(lambda: joining.events("worker_started"), "another worker starts")
    took = wait_until(joining.ready, "it gets partitions, although the others' offset commits have no answer", 45)
    arena.saw(f"a joining worker had partitions {took:.1f} s after its start")
    arena.bite("offset commits lost", proxy.counts[f"dropped_request_{Api.OFFSET_COMMIT}"])


def lose_heartbeats(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    before = arena.epochs()
    lost = frozenset({Api.HEARTBEAT, Api.CONSUMER_GROUP_HEARTBEAT})
    proxy.set(Conditions(drop_requests=lost))
    direct = arena.fleet.start(DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS=arena.settings.kafka_bootstrap_servers)
    took = wait_until(lambda: arena.epochs() >= before + 8, "a worker with heartbeats takes over")
    arena.saw(f"taken over {took:.1f} s after the first lost heartbeat, the start of a worker included")
    pause(SESSION_SECONDS)
    arena.bite("heartbeats lost", sum(proxy.counts[f"dropped_request_{api}"] for api in lost))
    arena.saw(f"{arena.fleet.metric('dragoman_fenced_writes_total'):.0f} writes fenced")
    assert direct.running, direct.tail()


def lose_answers_to_heartbeats(arena: Arena) -> None:
    """A newcomer gets its partitions when others have given them back: in an answer, which does not arrive."""
    proxy = arena.ground.kafka_proxy
    before = arena.fleet.events("partitions_revoked")
    arena.fleet.start()
    wait_until(lambda: arena.fleet.events("partitions_revoked") > before, "others give partitions back")
    proxy.set(Conditions(drop_answers=frozenset({Api.CONSUMER_GROUP_HEARTBEAT})))
    pause(SESSION_SECONDS / 2)
    proxy.set(CLEAR)
    took = wait_until(lambda: arena.fleet.metric("dragoman_heartbeat_rejoins_total") > 0, "a worker joins anew")
    arena.saw(f"a worker joined anew {took:.0f} s after answers came again: clients are left in peace for 30 s")
    arena.wait_rows(200)
    arena.bite("answers to heartbeats lost", proxy.counts[f"dropped_answer_{Api.CONSUMER_GROUP_HEARTBEAT}"])


def reset_connections(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    for _ in range(5):
        proxy.arm(Charge.RESET_MID_FRAME, 2)
        pause(1)
        arena.bite("connections reset", proxy.reset_all())
        arena.wait_rows(30)
    arena.bite("frames cut in the middle", proxy.counts[Charge.RESET_MID_FRAME])


def slice_bytes(arena: Arena) -> None:
    arena.ground.kafka_proxy.set(Conditions(slice_bytes=1))
    took = arena.wait_rows(100)
    arena.saw(f"{100 / took:.0f} rows/s byte by byte")
    arena.bite("chunks sliced", arena.ground.kafka_proxy.counts["sliced"])


def black_hole(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.set(Conditions(silent=True))
    pause(2 * SESSION_SECONDS)
    assert all(worker.get("/livez") for worker in arena.fleet.running), "liveness failed because Kafka was silent"
    proxy.set(CLEAR)
    took = arena.wait_rows(50)
    arena.saw(f"silent for {2 * SESSION_SECONDS:.0f} s: 50 more rows {took:.1f} s after")
    arena.bite("chunks held", proxy.counts["held"])


def narrow_network(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    lost = arena.fleet.metric("dragoman_rebalances_total")
    proxy.set(Conditions(bytes_per_second=125_000))
    took = arena.wait_rows(500)
    assert arena.fleet.metric("dragoman_rebalances_total") == lost, "the group was rebalanced on a slow line"
    arena.saw(f"{500 / took:.0f} rows/s through 1 Mbit/s, no rebalance")
    arena.bite("chunks throttled", proxy.counts["throttled"])


def bootstrap_away(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.refuse()
    early = arena.fleet.start()
    early.expected_end = True
    wait_until(lambda: not early.running, "a worker that reaches no broker ends")
    assert early.process.returncode == 1, early.tail()
    assert "no Kafka broker answered" in early.tail(), early.tail()
    arena.bite("starts without a broker")
    proxy.accept()
    took = wait_until(arena.fleet.start().ready, "its successor is ready")
    arena.saw(f"ended with a sentence; its successor was ready {took:.1f} s after the broker could be reached")


def results_not_acknowledged(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.set(Conditions(drop_requests=frozenset({Api.PRODUCE})))
    pause(12)
    waiting = arena.query("SELECT count(*) FROM outbox")[0][0]
    arena.saw(f"{waiting} events waited in the outbox after 12 s, translating went on")
    arena.wait_rows(50)
    arena.bite("requests to produce lost", proxy.counts[f"dropped_request_{Api.PRODUCE}"])


def produce_answers_lost(arena: Arena) -> None:
    proxy = arena.ground.kafka_proxy
    proxy.set(Conditions(drop_answers=frozenset({Api.PRODUCE})))
    wait_until(lambda: proxy.counts[f"dropped_answer_{Api.PRODUCE}"] > 1, "acknowledgements are lost")
    pause(16)
    arena.bite("acknowledgements lost", proxy.counts[f"dropped_answer_{Api.PRODUCE}"])


def relay_dies_before_delete(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.kill()
    for _ in range(2):
        doomed = arena.fleet.start(DRAGOMAN_FAILPOINT="before-outbox-delete:kill:2")
        doomed.expected_end = True
        wait_until(lambda: not doomed.running, "the relay dies between publishing and deleting")  # noqa: B023
        assert doomed.process.returncode == -signal.SIGKILL, doomed.tail()
        arena.bite("relays killed before the delete")


def die_between_no_trace_answer_and_row(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.kill()
    for failpoint in ("after-untraced-publish", "after-commit", "after-untraced-publish"):
        doomed = arena.fleet.start(DRAGOMAN_FAILPOINT=f"{failpoint}:kill:2")
        doomed.expected_end = True
        wait_until(lambda: not doomed.running, f"the worker dies at {failpoint}")  # noqa: B023 - called at once
        assert doomed.process.returncode == -signal.SIGKILL, doomed.tail()
        arena.bite(f"killed {failpoint}")
    arena.fleet.start()
    arena.wait_rows(200)
    untraced = {str(job) for (job,) in arena.query("SELECT job_id FROM translation WHERE no_trace")}
    answers = published(arena, f"{arena.settings.topic_prefix}results").values()
    again = sum(len(copies) - 1 for copies in answers if copies[0][0] in untraced)
    arena.saw(f"{again} no-trace answers were published again, under the same event id")


KAFKA_FAULTS = (
    Fault("12", "broker restarted", "SIGTERM and start, twice", restart_broker),
    Fault("13", "broker killed", "SIGKILL and start, twice", kill_broker),
    Fault("14", "broker frozen", "SIGSTOP for 3 s and for 20 s", freeze_broker),
    Fault("25", "slow network to Kafka", "proxy: 50 and 500 ms, jitter", slow_network, BY_PROXY),
    Fault("26", "offset commits lost", "proxy drops OffsetCommit only; workers killed", lose_offset_commits, BY_PROXY),
    Fault(
        "26b",
        "offset commits lost in a handover",
        "proxy drops OffsetCommit only; a worker joins",
        lose_offset_commits_in_a_handover,
        BY_PROXY,
    ),
    Fault("27", "heartbeats lost", "proxy drops heartbeats only", lose_heartbeats, BY_PROXY),
    Fault(
        "27b",
        "answers to heartbeats lost",
        "proxy drops them while a worker joins",
        lose_answers_to_heartbeats,
        BY_PROXY,
    ),
    Fault("28", "connections to Kafka reset", "proxy: RST, also in the middle of a frame", reset_connections, BY_PROXY),
    Fault(
        "28b",
        "bytes from Kafka one by one",
        "proxy: slices of 1 byte",
        slice_bytes,
        Setup(kafka_by_proxy=True, mix=Mix(jobs_per_second=20), warm_up_rows=40),
    ),
    Fault("28c", "Kafka silent", "proxy: black hole, connections stay open", black_hole, BY_PROXY),
    Fault("29", "narrow network to Kafka", "proxy: 1 Mbit/s", narrow_network, BY_PROXY),
    Fault("30", "no broker at the start", "proxy refuses, then accepts", bootstrap_away, BY_PROXY),
    Fault("54", "results cannot be published", "proxy drops Produce only", results_not_acknowledged, BY_PROXY),
    Fault("54b", "acknowledgements of results lost", "proxy drops answers to Produce", produce_answers_lost, BY_PROXY),
    Fault("55", "relay dies before its delete", "failpoint before-outbox-delete:kill", relay_dies_before_delete),
    Fault(
        "55b",
        "worker dies with a no-trace answer published and not recorded",
        "failpoints after-untraced-publish:kill, after-commit:kill",
        die_between_no_trace_answer_and_row,
        Setup(mix=Mix(jobs_per_second=40, no_trace_share=0.5), warm_up_rows=50),
    ),
)
