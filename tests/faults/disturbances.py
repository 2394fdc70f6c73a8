"""What the nemesis can do, each with its undoing. Every one bites in a way that can be counted."""

import random
import signal
from collections.abc import Callable
from contextlib import suppress

from dragoman.compose.local.service import Service, ServiceFailedError
from dragoman.tests.faults import poison
from dragoman.tests.faults.arena import Arena
from dragoman.tests.faults.conditions import CLEAR, Charge, Conditions
from dragoman.tests.faults.kafka_frames import Api
from dragoman.tests.faults.postgres_faults import TERMINATE
from dragoman.tests.faults.process_faults import FAILPOINTS
from dragoman.tests.faults.schedule import Kind
from sqlalchemy.exc import SQLAlchemyError

Undo = Callable[[], None]
Act = Callable[[Arena, random.Random], Undo | None]


def kill_worker(arena: Arena, dice: random.Random) -> None:
    if running := arena.fleet.running:
        dice.choice(running).kill()


def stop_worker(arena: Arena, dice: random.Random) -> None:
    """SIGTERM without waiting: what keeps it from ending in time here may be another disturbance."""
    if running := arena.fleet.running:
        leaving = dice.choice(running)
        leaving.expected_end = True
        leaving.send(signal.SIGTERM)


def freeze_worker(arena: Arena, dice: random.Random) -> Undo | None:
    if not (running := arena.fleet.running):
        return None
    frozen = dice.choice(running)
    frozen.send(signal.SIGSTOP)
    return lambda: frozen.send(signal.SIGCONT)


def doomed_worker(arena: Arena, dice: random.Random) -> None:
    name = dice.choice((*FAILPOINTS, "before-outbox-delete"))
    arena.fleet.start(DRAGOMAN_FAILPOINT=f"{name}:kill:{dice.randint(1, 20)}").expected_end = True


def freeze_in_transaction(arena: Arena, dice: random.Random) -> Undo:
    frozen = arena.fleet.start(DRAGOMAN_FAILPOINT=f"after-insert:stop:{dice.randint(1, 10)}")
    return lambda: frozen.send(signal.SIGCONT)


def kill_broker(arena: Arena, _: random.Random) -> Undo:
    arena.ground.stack.kafka.kill()
    return arena.ground.stack.kafka.start


def _frozen(service: Service) -> Undo | None:
    """Freeze it, unless another disturbance has it down; then that one counts alone."""
    try:
        service.pause()
    except ServiceFailedError:
        return None

    def thaw() -> None:
        with suppress(ServiceFailedError):
            service.resume()

    return thaw


def freeze_broker(arena: Arena, _: random.Random) -> Undo | None:
    return _frozen(arena.ground.stack.kafka)


def kill_postgres(arena: Arena, _: random.Random) -> Undo:
    arena.ground.stack.postgres.kill()
    return arena.ground.stack.postgres.start


def freeze_postgres(arena: Arena, _: random.Random) -> Undo | None:
    return _frozen(arena.ground.stack.postgres)


def terminate_backends(arena: Arena, _: random.Random) -> None:
    with suppress(SQLAlchemyError):
        arena.query(TERMINATE)


def reset_kafka(arena: Arena, _: random.Random) -> None:
    arena.ground.kafka_proxy.arm(Charge.RESET_MID_FRAME)
    arena.ground.kafka_proxy.reset_all()


def reset_postgres(arena: Arena, _: random.Random) -> None:
    arena.ground.postgres_proxy.arm(Charge.RESET_MID_FRAME)
    arena.ground.postgres_proxy.reset_all()


def lose_commits(arena: Arena, dice: random.Random) -> None:
    arena.ground.postgres_proxy.arm(dice.choice((Charge.LOSE_COMMIT, Charge.LOSE_COMMIT_REPLY)), dice.randint(1, 5))


def bad_kafka_network(arena: Arena, dice: random.Random) -> Undo:
    return _weather(arena, dice, kafka=True)


def bad_postgres_network(arena: Arena, dice: random.Random) -> Undo:
    return _weather(arena, dice, kafka=False)


def _weather(arena: Arena, dice: random.Random, *, kafka: bool) -> Undo:
    kinds = [
        Conditions(latency_seconds=0.05, jitter_seconds=0.1),
        Conditions(bytes_per_second=60_000),
        Conditions(silent=True),
        Conditions(slice_bytes=7),
    ]
    if kafka:
        kinds += [
            Conditions(drop_requests=frozenset({api}))
            for api in (Api.OFFSET_COMMIT, Api.CONSUMER_GROUP_HEARTBEAT, Api.PRODUCE, Api.FETCH)
        ]
        kinds += [Conditions(drop_answers=frozenset({api})) for api in (Api.PRODUCE, Api.OFFSET_COMMIT)]
    proxy = arena.ground.kafka_proxy if kafka else arena.ground.postgres_proxy
    chosen = dice.choice(kinds)
    arena.note("weather", of=proxy.protocol, conditions=str(chosen))
    proxy.set(chosen)
    return lambda: proxy.set(CLEAR)


def hang_model(arena: Arena, _: random.Random) -> Undo:
    arena.stall_file.touch()
    return lambda: arena.stall_file.unlink(missing_ok=True)


def burst_of_poison(arena: Arena, dice: random.Random) -> None:
    for _ in range(30):
        name, message = poison.bad_message(dice)
        arena.load.publish("jobs.bulk", [message], name)


def burst_of_copies(arena: Arena, dice: random.Random) -> None:
    for _ in range(20):
        arena.load.publish_copies(("jobs.bulk", "jobs.interactive"), f"{poison.CANARY} burst {dice.random()}")


# Name, place, shortest and longest duration, weight.
KINDS = (
    Kind("kill_worker", "worker", weight=4),
    Kind("stop_worker", "worker", weight=2),
    Kind("freeze_worker", "worker", 3, 20, weight=3),
    Kind("doomed_worker", "worker", weight=4),
    Kind("freeze_in_transaction", "worker", 8, 20, weight=2),
    Kind("kill_broker", "kafka", 1, 8),
    Kind("freeze_broker", "kafka", 1, 15),
    Kind("kill_postgres", "postgres", 0.5, 6),
    Kind("freeze_postgres", "postgres", 1, 15),
    Kind("terminate_backends", "postgres", weight=3),
    Kind("reset_kafka", "kafka network", weight=2),
    Kind("reset_postgres", "postgres network", weight=2),
    Kind("lose_commits", "postgres network", weight=4),
    Kind("bad_kafka_network", "kafka network", 3, 20, weight=4),
    Kind("bad_postgres_network", "postgres network", 2, 12, weight=2),
    Kind("hang_model", "model", 1, 8),
    Kind("burst_of_poison", "load"),
    Kind("burst_of_copies", "load"),
)
ACTS: dict[str, Act] = {
    act.__name__: act
    for act in (
        kill_worker,
        stop_worker,
        freeze_worker,
        doomed_worker,
        freeze_in_transaction,
        kill_broker,
        freeze_broker,
        kill_postgres,
        freeze_postgres,
        terminate_backends,
        reset_kafka,
        reset_postgres,
        lose_commits,
        bad_kafka_network,
        bad_postgres_network,
        hang_model,
        burst_of_poison,
        burst_of_copies,
    )
}
