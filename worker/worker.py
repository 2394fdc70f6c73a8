"""The worker process, put together: the one place that names the concrete broker, translator and database."""

import gc
import os
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import structlog
from sqlalchemy import Engine as DatabaseEngine

from ..errors import DragomanError
from ..kafka_settings import kafka_client_config
from ..model.batching import BatchLimits
from ..model.decoding import SearchOptions
from ..producer.kafka import KafkaPublisher
from ..schemas.topics import DEAD_LETTERS, JOBS_BULK, JOBS_INTERACTIVE, RESULTS
from ..settings import Settings
from ..storage.engine import create_database_engine
from ..storage.revision import require_current
from ..storage.text_cipher import cipher_of
from .admission import Admission
from .admitter import Admitter
from .allocator import give_large_blocks_back
from .broker import Broker, ClientLostError
from .correction_memory import CorrectionMemory
from .devices.device_room import RoomPolicy
from .devices.engine_stage import EngineStage
from .devices.keeper import DevicePolicy
from .devices.serving import Serving, shadow_order
from .fault_desk import FaultDesk
from .health import HealthServer
from .intake import Intake, IntakeLimits
from .kafka_broker import KafkaBroker
from .kafka_positions import TopicFacts
from .lane_brokers import LaneBrokers
from .logs import count_dropped_lines
from .metrics import Metrics
from .pipeline import Pipeline
from .privacy_watch import PrivacyWatch
from .probe import Probe
from .registry.beginning import keeping_as_set
from .registry.follower import RegistryFollower, Served
from .registry.shadow_stage import ShadowStage
from .relay import Relay
from .scheduling.policy import Policy
from .scheduling.scheduler import Scheduler
from .scheduling.translation_cache import TranslationCache
from .scheduling.waiting_room import LANES, WaitingRoom
from .settler import LINGER_SECONDS, Settler
from .shutdown import Shutdown
from .stage import Stage
from .standstill_watch import StandstillWatch
from .stuck_detector import StuckDetector
from .work import Identity

log = structlog.get_logger(__name__)

# How long the brokers may take to answer before the worker refuses to start.
CONTACT_SECONDS = 10.0
# Twice as long as the relay waits in its transaction for acknowledgements, the longest that we are silent in one.
IDLE_IN_TRANSACTION_SECONDS = 20.0
# Kept open: two admitters, two settlers, the relay, the leases, and one for what happens now and then.
DATABASE_CONNECTIONS = 7
# Leaving the group is a courtesy: after this the others wait for the session timeout instead.
CLOSE_SECONDS = 5.0
# Shares of the time for draining: work is finished until the first has passed, recorded and published until the
# second; the rest is for leaving the group.
FINISH_SHARE, RECORD_SHARE = 0.7, 0.85
# What may still be at work so long after its time is cut off.
EXIT_SECONDS = 3.0
# A polling thread is stuck after this; the client would lose its partitions after 120 s.
POLL_STUCK_SECONDS = 60.0
# One batch takes seconds; a device that has been silent for this long will not come back.
ENGINE_STUCK_SECONDS = 300.0
# New objects, not counting those that are gone, after which the youngest are looked at.
COLLECTED_OBJECTS = 200_000
# Seconds before a client that was lost is made again, at most; random, so that workers do not rejoin in step. Twice as
# long after each that was lost before it had a partition: somebody has to act first.
REBUILD_SECONDS, LONGEST_REBUILD_SECONDS = 2.0, 10.0


class Worker:
    """Stages and intake of one process."""

    def __init__(self, settings: Settings, serving: Serving, database: DatabaseEngine) -> None:
        self.settings = settings
        self._database = database
        identity = Identity(_worker_id(), settings.topic_prefix + settings.consumer_group, settings.topic_prefix)
        metrics = Metrics()
        cache = TranslationCache(settings.translation_cache_bytes)
        waiting_room = WaitingRoom(Scheduler(_policy(settings)), cache, metrics)
        cipher = cipher_of(settings.text_keys)
        self.pipeline = Pipeline(identity, waiting_room, metrics)
        admission = Admission(identity, serving.served, SearchOptions(settings.beam_size), self.pipeline.privacy)
        # The relay holds a transaction open while it waits for acknowledgements, so they must come in time.
        publisher = KafkaPublisher(settings.model_copy(update={"delivery_timeout_seconds": 10.0}))
        publisher.check([topic.full_name(settings.topic_prefix) for topic in (RESULTS, DEAD_LETTERS)], CONTACT_SECONDS)
        publisher.check(self._job_topics(), CONTACT_SECONDS)
        self.admitters = tuple(
            Admitter(
                self.pipeline,
                admission,
                database,
                settings.dead_letter_fuse,
                lane=lane,
                memory=CorrectionMemory(database, cipher),
            )
            for lane in LANES
        )
        self.engine = EngineStage(
            self.pipeline, serving.devices, _device_policy(settings, len(serving.models)), database
        )
        self.shadow = ShadowStage(
            self.pipeline, database, shadow_order(settings), settings.beam_size, may_record=cipher is None
        )
        self.registry: RegistryFollower | None = None
        if serving.routes is not None:
            served = Served(admission, self.engine, self.shadow, serving.routes, settings.registry_seconds)
            self.registry = RegistryFollower(self.pipeline, database, served, keeping_as_set(settings))
        self.settlers = tuple(
            Settler(self.pipeline, database, publisher, cipher, lane=lane, linger_seconds=LINGER_SECONDS[lane])
            for lane in LANES
        )
        self.relay = Relay(self.pipeline, database, publisher, cipher)
        self.privacy_watch = PrivacyWatch(self.pipeline, database)
        self._standstill_watch = StandstillWatch(self.pipeline, database, TopicFacts(settings), self._job_topics())
        self._publisher = publisher
        self._rebuild_seconds = REBUILD_SECONDS
        self.intake = Intake(
            self.pipeline,
            database,
            IntakeLimits(settings.in_flight_jobs, settings.in_flight_bytes, settings.drain_seconds),
            FaultDesk(self.pipeline, partial(Probe, kafka_client_config(settings))),
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.admitters, self.engine, *self.settlers, self.relay, self.privacy_watch)

    @property
    def _every_stage(self) -> tuple[Stage, ...]:
        """The stages that jobs go through, the one that measures, and the one that changes what serves them."""
        stages = (*self.stages, self._standstill_watch)
        return stages if self.registry is None else (*stages, self.registry)

    def run(self) -> None:
        """Work until `pipeline.stopping` is set, then drain; raises what made a stage fail."""
        if not self._is_prepared():
            return
        for stage in self._every_stage:
            stage.start()
        if self.registry is not None:
            self.shadow.start()
        broker: Broker = self._join()
        try:
            while not self.pipeline.stopping.is_set():
                try:
                    self.intake.turn(broker)
                    continue
                except ClientLostError as error:
                    broker = self._rejoin(broker, error)
                # A client that was closed has its threads and files until a collection finds it.
                gc.collect()
        finally:
            self._drain(broker)
            self.engine.close()
        for stage in self._every_stage:
            if stage.failure is not None:
                raise stage.failure

    def _is_prepared(self) -> bool:
        """Load the models and hear whose texts leave no trace, however long the database is away; False if stopped."""
        heard = False
        try:
            self.engine.prepare()
            heard = self.privacy_watch.hear_first(self._beat)
        finally:
            if not heard:
                self.engine.close()
        return heard

    def _beat(self) -> None:
        """Say that the threads are well which have not begun yet."""
        self.intake.last_poll_seconds = self.engine.last_beat_seconds = time.monotonic()

    @property
    def beats(self) -> dict[str, Callable[[], float]]:
        """When each thread last moved."""
        stages = {stage.name: partial(_last_beat, stage) for stage in self.stages}
        return {"intake": lambda: self.intake.last_poll_seconds, **stages}

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
        if refused := len(self.intake.refused):
            return f"{refused} partitions are not read, their topic is not the one we knew: see the log and the runbook"
        if not self.pipeline.assignments.partitions():
            return "no partition is assigned yet"
        admitted = all(admitter.database_answers for admitter in self.admitters)
        answers = admitted and self.engine.database_answers and self._settlers_are_answered
        return None if answers else "the database does not answer"

    @property
    def _settlers_are_answered(self) -> bool:
        return all(settler.database_answers for settler in self.settlers)

    def _job_topics(self) -> list[str]:
        return [topic.full_name(self.settings.topic_prefix) for topic in (JOBS_INTERACTIVE, JOBS_BULK)]

    def _join(self) -> Broker:
        topics, metrics = self._job_topics(), self.pipeline.metrics
        return LaneBrokers({topic: KafkaBroker(self.settings, [topic], self.intake, metrics) for topic in topics})

    def _rejoin(self, broker: Broker, error: ClientLostError) -> Broker:
        log.warning("client_rebuilt", error=str(error))
        self._rebuild_seconds = (
            REBUILD_SECONDS
            if self.pipeline.assignments.partitions()
            else min(2 * self._rebuild_seconds, LONGEST_REBUILD_SECONDS)
        )
        self.intake.forget_all()
        broker.close(CLOSE_SECONDS)
        self.pipeline.stopping.wait(random.uniform(0, self._rebuild_seconds))
        return self._join()

    def _drain(self, broker: Broker) -> None:
        """Give back what waits, finish and record what has begun, publish it, leave: each until its share of time ends.

        Whatever waits for a service that does not answer is left behind: nothing depends on it.
        """
        start, whole = time.monotonic(), self.settings.drain_seconds

        def left(share: float) -> float:
            return max(0.0, start + share * whole - time.monotonic())

        assignments = self.pipeline.assignments
        held = sorted(assignments.partitions())
        log.info("draining", in_flight=assignments.in_flight().jobs)
        assignments.revoke(held)
        self._standstill_watch.stop(0.0)
        if self.registry is not None:
            self.registry.stop(0.0)
            self.shadow.stop(0.0)
        broker.hold(self._job_topics())
        self.intake.give_back_waiting(held)
        while not assignments.wait_idle(held, 0.1) and left(FINISH_SHARE) and not self._failed():
            if not self._turn_while_draining(broker):
                break
        # With all of it recorded, others go on at once, while we publish what is owed and end.
        handed_over = assignments.wait_idle(held, 0.0) and self._settlers_are_answered
        closed = handed_over and self._leave(broker, left(RECORD_SHARE) / 2)
        stopped = [stage.stop(left(RECORD_SHARE)) for stage in self.stages]
        if not handed_over:
            closed = self._leave(broker, left(1.0), release=all(stopped) and self._settlers_are_answered)
        self._publisher.close()
        log.info(
            "drained",
            left_in_flight=assignments.in_flight().jobs,
            stages_ended=all(stopped),
            left_group=closed,
            handed_over=handed_over,
        )

    def _leave(self, broker: Broker, timeout_seconds: float, *, release: bool = True) -> bool:
        """Give up the leases if that is for us to say, and leave the group; whether that was in time."""
        if release:
            self.intake.release()
        broker.commit(self.pipeline.assignments.settled_offsets())
        return broker.close(max(1.0, timeout_seconds))

    def _turn_while_draining(self, broker: Broker) -> bool:
        """Keep polling, so that the group lets us finish; False when there is nothing left to finish for."""
        try:
            self.intake.turn(broker)
        except DragomanError as error:
            log.warning("drain_cut_short", error=str(error))
            self.intake.forget_all()
            return False
        return True

    def exit_code(self) -> int:
        """How the process should end if it ended now."""
        return 1 if self._failed() else 0

    def _failed(self) -> bool:
        return any(stage.failure is not None for stage in self._every_stage)


def run_worker(settings: Settings, serving: Serving, on_started: Callable[[Worker, int], None]) -> None:
    """Run a worker until SIGTERM or SIGINT; a second one ends the process at once, and so does the end of its time.

    Raises `DragomanError` when it cannot start, or when a stage failed.
    """
    database = create_database_engine(
        settings.database_url.get_secret_value(),
        application_name="dragoman-worker",
        pool_size=DATABASE_CONNECTIONS,
        idle_in_transaction_seconds=IDLE_IN_TRANSACTION_SECONDS,
    )
    require_current(database)
    worker = Worker(settings, serving, database)
    count_dropped_lines(worker.pipeline.metrics.log_lines_dropped.inc)
    health = HealthServer(
        (settings.health_host, settings.health_port),
        worker.pipeline.metrics.registry,
        {"/livez": worker.liveness, "/readyz": worker.readiness},
    )
    shutdown = Shutdown(worker.pipeline.stopping, settings.drain_seconds + EXIT_SECONDS, worker.exit_code)
    shutdown.listen()
    give_large_blocks_back()
    _calm_collector()
    detector = StuckDetector(worker.beats, worker.pipeline.metrics)
    detector.start()
    on_started(worker, health.port)
    try:
        worker.run()
    finally:
        detector.close()
        health.close()
        database.dispose()
        shutdown.ended()


def _calm_collector() -> None:
    """Leave out of garbage collections what is there for good, and have fewer: a job makes objects, and no cycles.

    The collector took a quarter of the time of a worker with thousands of jobs in flight.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_OBJECTS, 20, 20)


def _last_beat(stage: Stage) -> float:
    return stage.last_beat_seconds


def _device_policy(settings: Settings, models: int) -> DevicePolicy:
    room = RoomPolicy(settings.batch_rows, settings.batch_token_budget, settings.beam_size, models)
    return DevicePolicy(room, settings.device_silent_seconds, settings.device_attempts)


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
