"""Faults 1-11: what can happen to a worker's process."""

import random
import signal
import threading

from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.fleet import Worker, wait_until
from dragoman.tests.faults.ground import SESSION_SECONDS
from dragoman.tests.faults.invariants import lost_so_far
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.poison import CANARY

KILLS = 6
FAILPOINTS = (
    "before-translate",
    "after-translate",
    "before-begin",
    "after-insert",
    "before-commit",
    "after-commit",
    "before-offset-commit",
    "poll",
)


def pause(seconds: float) -> None:
    """Let a fault last so long: a part of the fault, not a wait for something to be ready."""
    threading.Event().wait(seconds)


def kill_at_random(arena: Arena) -> None:
    dice = random.Random(arena.seed)
    for _ in range(KILLS):
        pause(dice.uniform(0.5, 3))
        dice.choice(arena.fleet.running).kill()
        arena.bite("workers killed")
        arena.fleet.supervise(arena.setup.workers)


def kill_at_failpoints(arena: Arena) -> None:
    dice = random.Random(arena.seed)
    for worker in arena.fleet.running:
        worker.kill()
    for name in FAILPOINTS:
        doomed = arena.fleet.start(DRAGOMAN_FAILPOINT=f"{name}:kill:{dice.randint(2, 6)}")
        doomed.expected_end = True
        wait_until(lambda: not doomed.running, f"the worker dies at {name}")  # noqa: B023 - called at once
        assert doomed.process.returncode == -signal.SIGKILL, doomed.tail()
        assert doomed.events("failpoint_reached"), doomed.tail()
        arena.bite(f"killed {name}")


def kill_amid_a_backlog(arena: Arena) -> None:
    dice = random.Random(arena.seed)
    for worker in arena.fleet.running:
        worker.kill()
    for _ in range(3):
        texts = [f"{CANARY} {'word ' * dice.randint(1, 60)} {dice.random()}" for _ in range(700)]
        arena.load.publish_texts("jobs.bulk", texts)
        doomed = arena.fleet.start(DRAGOMAN_FAILPOINT="after-commit:kill:3")
        doomed.expected_end = True
        wait_until(lambda: not doomed.running, "the worker dies behind its third COMMIT")  # noqa: B023 - called at once
        early = lost_so_far(arena)
        assert not early, early[0]
        arena.bite("workers killed with batches out of order behind them")


def freeze_beyond_the_session(arena: Arena) -> None:
    victim = arena.fleet.running[0]
    before = arena.epochs()
    victim.send(signal.SIGSTOP)
    took = wait_until(lambda: arena.epochs() > before, "another worker takes over")
    arena.saw(f"taken over after {took:.1f} s")
    pause(SESSION_SECONDS)
    victim.send(signal.SIGCONT)
    told = ("partitions_lost", "partitions_fenced", "client_rebuilt")
    wait_until(lambda: any(victim.events(name) for name in told), "the frozen worker learns of it")
    arena.bite("sessions outlived by a frozen worker")
    fenced = victim.metric("dragoman_fenced_writes_total")
    arena.saw(f"{fenced:.0f} of its writes were fenced")


def freeze_before_a_transaction(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.kill()
    zombie = arena.fleet.start(DRAGOMAN_FAILPOINT="before-begin:stop:3")
    wait_until(lambda: zombie.events("failpoint_reached"), "the worker freezes with outcomes in its hands")
    arena.stall_file.touch()  # so that the successor has not recorded the same jobs when the zombie writes
    arena.fleet.start()
    took = wait_until(lambda: not arena.owned_by(zombie), "a successor takes over all of its partitions")
    arena.saw(f"taken over after {took:.1f} s, the start of the successor included")
    zombie.send(signal.SIGCONT)
    told = ("partitions_fenced", "outcomes_recorded", "client_rebuilt")
    recorded = len(zombie.events("outcomes_recorded"))
    wait_until(lambda: sum(len(zombie.events(name)) for name in told) > recorded, "the zombie writes")
    arena.stall_file.unlink()
    wait_until(zombie.ready, "the zombie is a worker again")
    arena.bite("outcomes of a zombie fenced", zombie.metric("dragoman_fenced_writes_total"))
    arena.bite("zombies woken up")


def freeze_inside_a_transaction(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.kill()
    frozen = arena.fleet.start(DRAGOMAN_FAILPOINT="after-insert:stop:3")
    wait_until(lambda: frozen.events("failpoint_reached"), "the worker freezes inside a transaction")
    arena.bite("frozen with a lease locked")
    arena.fleet.start()
    took = wait_until(lambda: not arena.owned_by(frozen), "a successor takes over the locked leases too")
    arena.saw(f"all leases taken over after {took:.1f} s, the start of the successor included")
    frozen.send(signal.SIGCONT)
    wait_until(lambda: frozen.metric("dragoman_settle_failures_total") > 0, "the frozen one's transaction has failed")


def terminate_under_load(arena: Arena) -> None:
    for _ in range(2):
        leaving = arena.fleet.running[0]
        took = leaving.terminate()
        drained = leaving.events("drained")[0]
        left = drained["left_in_flight"]
        assert left == 0, f"{left} jobs were left in flight by an orderly stop"
        assert drained["handed_over"], "others had to wait for the partitions until the worker had ended"
        arena.bite("orderly stops")
        arena.saw(f"stopped in {took:.1f} s, nothing left in flight")
        arena.fleet.start().wait_ready()


def _terminate_all(arena: Arena, what: str) -> None:
    for worker in arena.fleet.running:
        took = worker.terminate()
        arena.bite(f"stops while {what}")
        arena.saw(f"stopped in {took:.1f} s")


def terminate_while_kafka_is_frozen(arena: Arena) -> None:
    arena.ground.stack.kafka.pause()
    _terminate_all(arena, "Kafka is frozen")


def terminate_while_kafka_is_dead(arena: Arena) -> None:
    arena.ground.stack.kafka.kill()
    _terminate_all(arena, "Kafka is dead")


def terminate_while_postgres_is_frozen(arena: Arena) -> None:
    arena.ground.stack.postgres.pause()
    _terminate_all(arena, "PostgreSQL is frozen")


def terminate_while_postgres_is_dead(arena: Arena) -> None:
    arena.ground.stack.postgres.kill()
    _terminate_all(arena, "PostgreSQL is dead")


def terminate_twice(arena: Arena) -> None:
    arena.stall_file.touch()  # the model hangs: the first signal alone would wait for the drain
    pause(1)
    for worker, number in zip(list(arena.fleet.running), (signal.SIGTERM, signal.SIGINT), strict=False):
        _end_at_once(arena, worker, number)
    arena.stall_file.unlink()


def _end_at_once(arena: Arena, worker: Worker, number: int) -> None:
    worker.expected_end = True
    worker.send(number)
    wait_until(lambda: worker.events("draining"), "the first signal begins the drain")
    worker.send(number)
    took = wait_until(lambda: not worker.running, "the second signal ends it", 3)
    assert worker.process.returncode == 128 + number, worker.process.returncode
    arena.bite("second signals")
    arena.saw(f"the second signal ended it in {took:.2f} s")


def run_out_of_memory(arena: Arena) -> None:
    for worker in arena.fleet.running:
        worker.expected_end = True
        worker.terminate()
    for _ in range(3):
        starved = arena.fleet.start(DRAGOMAN_FAILPOINT="after-translate:kill:4")  # as the kernel does it: SIGKILL
        starved.expected_end = True
        wait_until(lambda: not starved.running, "the worker is killed for memory")  # noqa: B023 - called at once
        arena.bite("out-of-memory kills")


# These leave the load without a worker for a while.
CALM = Setup(mix=Mix(jobs_per_second=40), warm_up_rows=50)

PROCESS_FAULTS = (
    Fault("1", "worker killed", "SIGKILL at random moments, supervised", kill_at_random),
    Fault(
        "1b", "worker killed amid a backlog", "failpoint after-commit:kill, 700 jobs waiting", kill_amid_a_backlog, CALM
    ),
    Fault("2", "worker killed at each failpoint", "failpoint NAME:kill:N", kill_at_failpoints, CALM),
    Fault("3", "worker frozen beyond its session", "SIGSTOP, SIGCONT after the takeover", freeze_beyond_the_session),
    Fault("3b", "zombie writes", "failpoint before-begin:stop, SIGCONT", freeze_before_a_transaction, CALM),
    Fault("4", "worker frozen inside a transaction", "failpoint after-insert:stop", freeze_inside_a_transaction, CALM),
    Fault("5", "worker stopped under load", "SIGTERM", terminate_under_load),
    Fault("6", "worker stopped, Kafka frozen", "SIGSTOP the broker, SIGTERM", terminate_while_kafka_is_frozen),
    Fault("7", "worker stopped, Kafka dead", "SIGKILL the broker, SIGTERM", terminate_while_kafka_is_dead),
    Fault("8", "worker stopped, PostgreSQL frozen", "SIGSTOP all backends", terminate_while_postgres_is_frozen),
    Fault("8b", "worker stopped, PostgreSQL dead", "SIGKILL all backends", terminate_while_postgres_is_dead),
    Fault("9", "second SIGTERM or SIGINT", "the model hangs, two signals", terminate_twice),
    Fault("10", "worker killed for memory, three times", "SIGKILL behind the model's pass", run_out_of_memory),
)
