"""The worker process, put together: the one place that names the concrete broker, translator and database."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from uuid import uuid4

import structlog
from sqlalchemy import Engine as DatabaseEngine

from ..errors import DragomanError
from ..model.batching import BatchLimits
from ..model.decoding import SearchOptions
from ..producer.kafka import KafkaPublisher
from ..schemas.topics import DEAD_LETTERS, JOBS_BULK, JOBS_INTERACTIVE, RESULTS
from ..settings import Settings
from ..storage.engine import create_database_engine
from ..storage.migrate import require_current
from .admission import Admission
from .admitter import Admitter
from .broker import Broker, ClientLostError
from .engine import Engine
from .health import HealthServer
from .intake import Intake, IntakeLimits
from .kafka_broker import KafkaBroker
from .metrics import Metrics
from .pipeline import Pipeline
from .relay import Relay
from .scheduling.policy import Policy
from .scheduling.scheduler import Scheduler
from .scheduling.translation_cache import TranslationCache
from .scheduling.waiting_room import WaitingRoom
from .settler import Settler
from .stage import Stage
from .translating import SegmentTranslator
from .work import Identity

log = structlog.get_logger(__name__)

# How long the brokers may take to answer before the worker refuses to start.
CONTACT_SECONDS = 10.0
# Leaving the group is a courtesy: after this the others wait for the session timeout instead.
CLOSE_SECONDS = 5.0
# A polling thread is stuck after this; the client would lose its partitions after 120 s.
POLL_STUCK_SECONDS = 60.0
# One batch takes seconds; a device that has been silent for this long will not come back.
ENGINE_STUCK_SECONDS = 300.0
# Seconds before a client that was lost is made again, at most; random, so that workers do not rejoin in step.
REBUILD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Model:
    """A translator and the device it runs on."""

    translator: SegmentTranslator
    device: str


class Worker:
    """Stages and intake of one process."""

    def __init__(self, settings: Settings, model: Model, database: DatabaseEngine) -> None:
        self.settings = settings
        self._database = database
        identity = Identity(_worker_id(), settings.topic_prefix + settings.consumer_group, settings.topic_prefix)
        metrics = Metrics()
        cache = TranslationCache(settings.translation_cache_bytes)
        self.pipeline = Pipeline(identity, WaitingRoom(Scheduler(_policy(settings)), cache, metrics), metrics)
        admission = Admission(identity, model.translator, SearchOptions(settings.beam_size))
        # The relay holds a transaction open while it waits for acknowledgements, so they must come in time.
        publisher = KafkaPublisher(settings.model_copy(update={"delivery_timeout_seconds": 10.0}))
        publisher.check([topic.full_name(settings.topic_prefix) for topic in (RESULTS, DEAD_LETTERS)], CONTACT_SECONDS)
        publisher.check(self._job_topics(), CONTACT_SECONDS)
        self.admitter = Admitter(self.pipeline, admission, database, settings.dead_letter_fuse)
        self.engine = Engine(self.pipeline, model.translator, model.device)
        self.settler = Settler(self.pipeline, database)
        self.relay = Relay(self.pipeline, database, publisher)
        self._publisher = publisher
        self.intake = Intake(
            self.pipeline,
            database,
            IntakeLimits(settings.in_flight_jobs, settings.in_flight_bytes, settings.drain_seconds),
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self.admitter, self.engine, self.settler, self.relay)

    def run(self) -> None:
        """Work until `pipeline.stopping` is set, then drain; raises what made a stage fail."""
        for stage in self.stages:
            stage.start()
        broker: Broker = self._join()
        try:
            while not self.pipeline.stopping.is_set():
                try:
                    self.intake.turn(broker)
                except ClientLostError as error:
                    broker = self._rejoin(broker, error)
        finally:
            self._drain(broker)
        for stage in self.stages:
            if stage.failure is not None:
                raise stage.failure

    def liveness(self) -> str | None:
        """None while the polling thread and the model move."""
        now = time.monotonic()
        if now - self.intake.last_poll_seconds > POLL_STUCK_SECONDS:
            return f"the polling thread has not moved for {now - self.intake.last_poll_seconds:.0f} s"
        if now - self.engine.last_beat_seconds > ENGINE_STUCK_SECONDS:
            return f"the model has not moved for {now - self.engine.last_beat_seconds:.0f} s"
        return None

    def readiness(self) -> str | None:
        """None while jobs that arrive now would be worked on."""
        if self.pipeline.stopping.is_set():
            return "draining"
        if not self.pipeline.assignments.partitions():
            return "no partition is assigned yet"
        answers = self.settler.database_answers and self.admitter.database_answers
        return None if answers else "the database does not answer"

    def _job_topics(self) -> list[str]:
        return [topic.full_name(self.settings.topic_prefix) for topic in (JOBS_INTERACTIVE, JOBS_BULK)]

    def _join(self) -> Broker:
        return KafkaBroker(self.settings, self._job_topics(), self.intake, self.pipeline.metrics)

    def _rejoin(self, broker: Broker, error: ClientLostError) -> Broker:
        log.warning("client_rebuilt", error=str(error))
        self.intake.forget_all()
        broker.close(CLOSE_SECONDS)
        self.pipeline.stopping.wait(random.uniform(0, REBUILD_SECONDS))
        return self._join()

    def _drain(self, broker: Broker) -> None:
        """Give back what waits, finish and record what has begun, publish it, leave: all before one deadline."""
        deadline = time.monotonic() + self.settings.drain_seconds
        assignments = self.pipeline.assignments
        held = sorted(assignments.partitions())
        log.info("draining", in_flight=assignments.in_flight().jobs)
        assignments.revoke(held)
        broker.pause()
        self.intake.give_back_waiting(held)
        while not assignments.wait_idle(held, 0.1) and time.monotonic() < deadline and not self._failed():
            if not self._turn_while_draining(broker):
                break
        stopped = [stage.stop(deadline - time.monotonic()) for stage in self.stages]
        broker.commit(assignments.settled_offsets())
        closed = broker.close(CLOSE_SECONDS)
        self._publisher.close()
        log.info(
            "drained",
            left_in_flight=assignments.in_flight().jobs,
            stages_ended=all(stopped),
            left_group=closed,
        )

    def _turn_while_draining(self, broker: Broker) -> bool:
        """Keep polling, so that the group lets us finish; False when there is nothing left to finish for."""
        try:
            self.intake.turn(broker)
        except DragomanError as error:
            log.warning("drain_cut_short", error=str(error))
            self.intake.forget_all()
            return False
        return True

    def _failed(self) -> bool:
        return any(stage.failure is not None for stage in self.stages)


def run_worker(settings: Settings, model: Model, on_started: Callable[[Worker, int], None]) -> None:
    """Run a worker until SIGTERM or SIGINT; a second one ends the process at once.

    Raises `DragomanError` when it cannot start, or when a stage failed.
    """
    database = create_database_engine(settings.database_url.get_secret_value(), application_name="dragoman-worker")
    require_current(database)
    worker = Worker(settings, model, database)
    health = HealthServer(
        (settings.health_host, settings.health_port),
        worker.pipeline.metrics.registry,
        {"/livez": worker.liveness, "/readyz": worker.readiness},
    )
    _stop_on_signals(worker.pipeline.stopping)
    on_started(worker, health.port)
    try:
        worker.run()
    finally:
        health.close()
        database.dispose()


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(number: int, _: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _policy(settings: Settings) -> Policy:
    return Policy(
        BatchLimits(settings.batch_token_budget, settings.batch_rows, settings.batch_padding_ratio),
        {"interactive": settings.interactive_wait_seconds, "bulk": settings.batch_wait_seconds},
        settings.interactive_weight,
        settings.bulk_floor,
        settings.aging_seconds,
    )


def _worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
