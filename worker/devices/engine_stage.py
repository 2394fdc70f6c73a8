"""The stage that owns the devices: segments from the waiting room to them, outcomes from them to the settler."""

import threading
import time
from collections.abc import Sequence

import structlog
from sqlalchemy import Engine as DatabaseEngine

from ...errors import TransientError
from ...storage.attempts import forget_old_attempts
from ..pipeline import Pipeline
from ..scheduling.room import Room
from ..stage import Stage
from .attempt_book import AttemptBook, DatabaseAttemptBook, MemoryAttemptBook
from .device import Device
from .keeper import DevicePolicy, Keeper
from .model_source import ModelSource
from .reception import Reception

log = structlog.get_logger(__name__)

TAKE_SECONDS = 0.5
# Soon enough for the settler to find its next portion there.
AHEAD_SECONDS = 0.01
# How long closing may take; what has not ended by then ends with us.
CLOSE_SECONDS = 3.0
# Rows of jobs that were never recorded: their partitions expired, or somebody deleted their messages.
OLD_ATTEMPTS_SECONDS = 14 * 86_400.0


class EngineStage(Stage):
    """Hands segments to the device that has most room; each device has a thread beside this one."""

    def __init__(
        self,
        pipeline: Pipeline,
        devices: Sequence[Device],
        policy: DevicePolicy,
        database: DatabaseEngine | None = None,
    ) -> None:
        """Without a database, suspects are remembered by this process alone."""
        self._beat_seconds = time.monotonic()
        super().__init__("engine", pipeline.stopping)
        self._pipeline = pipeline
        self._database = database
        self._book: AttemptBook = MemoryAttemptBook() if database is None else DatabaseAttemptBook(database)
        self._changed = threading.Event()
        self._keepers = [Keeper(pipeline, device, policy, self._book) for device in devices]
        self._threads: list[threading.Thread] = []
        self._reception = Reception(pipeline)
        self._is_prepared = False
        for keeper in self._keepers:
            keeper.changed = self._changed

    @property
    def last_beat_seconds(self) -> float:
        """When the slowest of this thread and those of the devices last moved."""
        threads = [keeper.last_beat_seconds for keeper in self._keepers if not keeper.device.answers_at_once]
        return min([self._beat_seconds, *threads])

    @last_beat_seconds.setter
    def last_beat_seconds(self, seconds: float) -> None:
        self._beat_seconds = seconds

    @property
    def database_answers(self) -> bool:
        """Whether suspects can be written down."""
        return self._book.database_answers

    def prepare(self) -> None:
        """Bring the devices up, each on its thread; blocks until they are, or until the worker is to stop.

        Raises `DeviceLostError` for one that does not come up.
        """
        self._is_prepared = True
        self._forget_old()
        for keeper in self._keepers:
            if keeper.device.answers_at_once:
                keeper.bring_up()
            else:
                thread = threading.Thread(target=keeper.run, name=f"device-{keeper.device.name}", daemon=True)
                self._threads.append(thread)
                thread.start()
        while not all(keeper.is_up for keeper in self._keepers) and not self._pipeline.stopping.is_set():
            self._raise_failures()
            self._changed.wait(TAKE_SECONDS)
            self._changed.clear()
        self._raise_failures()

    def work(self) -> None:
        """Hand over one batch, if a device has room and something waits."""
        if not self._is_prepared:
            self.prepare()
        self._raise_failures()
        # What is translated and not recorded is lost in a crash: the model does not run ahead of the settler.
        found = None if self._is_ahead() else self._roomiest()
        if found is None:
            self._changed.wait(AHEAD_SECONDS if self._is_ahead() else TAKE_SECONDS)
            self._changed.clear()
            return
        keeper, room = found
        batch = self._pipeline.waiting_room.take(TAKE_SECONDS, room)
        if batch is None:
            keeper.nothing_waited()
            return
        entries = self._reception.begin(batch.segments)
        if entries:
            keeper.submit(batch.pool, entries)
            self._raise_failures()

    def wind_up(self) -> None:
        """End the devices."""
        self.close()

    def close(self) -> None:
        """End the devices; what is in their hands stays undone. A second call does nothing."""
        deadline = time.monotonic() + CLOSE_SECONDS
        for keeper in self._keepers:
            keeper.stop()
            if keeper.device.answers_at_once:
                keeper.device.end(0.0)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def load_beside(self, version: str, source: ModelSource) -> None:
        """Have every device take one more model while it goes on with the others; any thread may ask."""
        for keeper in self._keepers:
            keeper.models.load(version, source)

    def has(self, version: str) -> bool:
        """Whether every device has the model."""
        return all(keeper.models.has(version) for keeper in self._keepers)

    def refusal(self, version: str) -> str | None:
        """Why a device did not take a model."""
        refusals = (keeper.models.refusal(version) for keeper in self._keepers)
        return next((reason for reason in refusals if reason is not None), None)

    def unload(self, version: str) -> bool:
        """Have the model leave every device where nothing of it is left; whether it has left them all by now.

        Ask again until it has. A segment of this version that comes later is translated all the same.
        """
        for keeper in self._keepers:
            if keeper.models.has(version):
                keeper.models.unload(version)
        return not any(keeper.models.has(version) for keeper in self._keepers)

    def _is_ahead(self) -> bool:
        """Whether the settler of bulk has enough to do, and nobody waits for an interactive job."""
        return self._pipeline.finished.bulk.has_enough and not self._pipeline.waiting_room.waiting("interactive")

    def _roomiest(self) -> tuple[Keeper, Room] | None:
        rooms = [(keeper, room) for keeper in self._keepers if (room := keeper.room()) is not None]
        return max(rooms, key=lambda found: found[1].rows, default=None)

    def _raise_failures(self) -> None:
        for keeper in self._keepers:
            if keeper.failure is not None:
                raise keeper.failure

    def _forget_old(self) -> None:
        if self._database is None:
            return
        try:
            forgotten = forget_old_attempts(self._database, OLD_ATTEMPTS_SECONDS)
        except TransientError as error:
            log.warning("old_attempts_not_forgotten", error=str(error))
        else:
            log.debug("old_attempts_forgotten", rows=forgotten)
