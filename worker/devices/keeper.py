"""Looks after one device: hands groups over, makes outcomes of its answers, brings it back when it has died.

The stage hands over; everything else happens on the thread that calls `turn`. Knows the pipeline and no model.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ...failpoints import reached
from ..pipeline import Pipeline
from ..scheduling.pool import Pool
from ..scheduling.room import Room
from .answering import Answering, is_sound
from .attempt_book import AttemptBook
from .device import Device, DeviceGoneError, DeviceLostError, ModelBrokenError
from .device_room import DeviceRoom, RoomPolicy
from .entry import Entry
from .events import (
    Answered,
    Beat,
    Died,
    Event,
    Fault,
    ModelLoaded,
    ModelRefused,
    ModelUnloaded,
    Ready,
    StartRefused,
    Unanswered,
)
from .models_of_device import ModelsOfDevice
from .open_groups import OpenGroup, OpenGroups
from .reception import Reception
from .restarts import Restarts
from .trials import Trial, Trials
from .watch import LOADING_SECONDS, Watch

log = structlog.get_logger(__name__)

TURN_SECONDS = 0.2
# A device that dies of so many texts one after the other, and translates none between, dies of something else.
MOST_DEADLY_TEXTS = 10
END_SECONDS = 2.0
UNSOUND = "a score that is no number, or a text that is not Unicode"


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """How much a device is given, how long it may be silent with work in hand, how often a suspect runs alone."""

    room: RoomPolicy
    silent_seconds: float
    attempts: int


class Keeper:
    """One device and the groups in its hands."""

    def __init__(self, pipeline: Pipeline, device: Device, policy: DevicePolicy, book: AttemptBook) -> None:
        self.device = device
        self.models = ModelsOfDevice(device, pipeline.metrics)
        self.failure: BaseException | None = None
        self.last_beat_seconds = time.monotonic()
        # Set when there may be room again, and when there will be none any more.
        self.changed = threading.Event()
        self.is_up = False
        self._pipeline = pipeline
        self._policy = policy
        self._book = book
        self._answering = Answering(pipeline)
        self._reception = Reception(pipeline)
        self._room = DeviceRoom(policy.room, answers_at_once=device.answers_at_once)
        self._open = OpenGroups()
        self._trials = Trials()
        self._restarts = Restarts(device.name)
        self._watch = Watch(policy.silent_seconds, time.monotonic())
        self._beat = Beat(0, is_loading=False, rows_used=0, rows_free=0)
        self._deadly_texts = 0
        # Guards `is_up` and what follows, and what is handed over against what is taken back when the device dies.
        self._handing_over = threading.RLock()
        self._trying = False
        self._backlog: deque[tuple[Pool, Sequence[Entry]]] = deque()
        self._stopped = threading.Event()

    def room(self) -> Room | None:
        """What it can take now; None = nothing."""
        if not self.is_up or self._trying or self._trials or self._backlog or self.failure is not None:
            return None
        return self._room.now(self._open.rows, time.monotonic())

    def nothing_waited(self) -> None:
        """The room that it offered was not taken: other models may come to the device."""
        self._room.nothing_waited()

    def submit(self, pool: Pool, entries: Sequence[Entry]) -> None:
        """Hand a group over; suspects among it are tried one by one, with nothing beside them."""
        for entry in entries:
            if entry.is_suspect:
                entry.attempt += 1
                self._trials.add_single(pool, entry)
        plain = [entry for entry in entries if not entry.is_suspect]
        with self._handing_over:
            if plain and self.is_up and not self._trying and not self._trials:
                self._hand_over(pool, plain)
            elif plain:
                self._backlog.append((pool, plain))
        # Nobody else turns for such a device, so nothing may be left when this returns.
        while self.device.answers_at_once and (self._trials or self._backlog or len(self._open)):
            if self._stopped.is_set():
                return
            self.turn(0.0)

    def run(self) -> None:
        """Bring the device up and serve it until stopped; what it cannot handle is its `failure`."""
        try:
            self.bring_up()
            while not self._stopped.is_set():
                self.turn(TURN_SECONDS)
        except BaseException as error:  # noqa: BLE001 - the stage raises it again
            self.failure = error
        finally:
            self.is_up = False
            self.device.end(END_SECONDS)
            self.changed.set()

    def stop(self) -> None:
        """Ask the thread that runs to end the device; what is in its hands stays undone."""
        self._stopped.set()

    def bring_up(self) -> None:
        """Start the device until it is ready; raises `DeviceLostError` when it does not come up."""
        while not self._stopped.wait(self._restarts.wait_seconds):
            self.last_beat_seconds = time.monotonic()
            died = self._start()
            if died is None:
                self._came_up()
                return
            log.warning("device_start_failed", device=self.device.name, fault=died.fault, detail=died.detail)
            self._restarts.failed(died.detail)

    def turn(self, timeout_seconds: float) -> None:
        """Handle what came, see whether it still moves, try the next suspects."""
        self.last_beat_seconds = time.monotonic()
        for event in self.device.receive(timeout_seconds):
            self._handle(event)
        if self.is_up and self._watch.is_overdue(time.monotonic()):
            log.error("device_hung", device=self.device.name, silent_seconds=self._policy.silent_seconds)
            self.device.end(END_SECONDS)
            self._handle(Died(Fault.HUNG, "it did not move"))
        while self._trials and not len(self._open) and self.is_up and not self._stopped.is_set():
            self._try_next()
            for event in self.device.receive(0.0):
                self._handle(event)
        # Never wait for the stage here: it may be blocked by a device that hangs, which only this thread can end.
        if self._backlog and self._handing_over.acquire(blocking=False):
            try:
                self._hand_over_backlog()
            finally:
                self._handing_over.release()

    def _start(self) -> Died | None:
        """Start it and wait until it is ready; what it died of otherwise."""
        deadline = time.monotonic() + LOADING_SECONDS
        try:
            self.device.start()
        except OSError as error:
            return Died(Fault.EXITED, str(error))
        while time.monotonic() < deadline and not self._stopped.is_set():
            self.last_beat_seconds = time.monotonic()
            for event in self.device.receive(TURN_SECONDS):
                if isinstance(event, Died):
                    return event
                if isinstance(event, Ready):
                    return None
                self._handle(event)
        self.device.end(END_SECONDS)
        return Died(Fault.HUNG, "it was not ready in time")

    def _came_up(self) -> None:
        self._restarts.succeeded()
        self._watch.moved(time.monotonic())
        with self._handing_over:
            self.is_up = True
        self._pipeline.metrics.devices_up.inc()
        self.changed.set()
        log.info("device_ready", device=self.device.name)

    def _handle(self, event: Event) -> None:
        match event:
            case Answered():
                self._take_answers(event)
            case Unanswered():
                self._take_faults(event)
            case Beat():
                self._take_beat(event)
            case ModelLoaded():
                self._note_model(event)
            case ModelRefused():
                self.models.refused(event.version, event.reason)
            case ModelUnloaded():
                self.models.left(event.version)
            case StartRefused():
                raise DeviceLostError(event.sentence)
            case Died():
                self._after_death(event)
            case Ready():
                pass

    def _take_answers(self, event: Answered) -> None:
        self._watch.moved(time.monotonic())
        taken = self._open.take(event.group, [place for place, _ in event.answers])
        if taken is None:
            return
        reached("after-translate")
        group, entries = taken
        found = list(zip(entries, (translation for _, translation in event.answers), strict=True))
        sound = [(entry, translation) for entry, translation in found if is_sound(translation)]
        for entry in (entry for entry, translation in found if not is_sound(translation)):
            group.failed.append((entry, Unanswered(group.number, (), Fault.ERROR, UNSOUND)))
        if sound:
            self._deadly_texts = 0
            self._answering.translated(group, sound, self.models.facts[group.pool.model_version])
        self._close_if_done(group)

    def _take_faults(self, event: Unanswered) -> None:
        self._watch.moved(time.monotonic())
        taken = self._open.take(event.group, event.places)
        if taken is not None:
            group, entries = taken
            group.failed += [(entry, event) for entry in entries]
            self._close_if_done(group)

    def _close_if_done(self, group: OpenGroup) -> None:
        if group.entries:
            return
        self._trying = False
        if group.failed:
            self._after_failure(group)
        else:
            self._room.went_well()
        self.changed.set()

    def _after_failure(self, group: OpenGroup) -> None:
        """Halves of what failed are tried alone, down to the one that fails; refused ones are answered at once."""
        failed = [(entry, why) for entry, why in group.failed if why.fault is not Fault.REFUSED]
        for entry, why in group.failed:
            if why.fault is Fault.REFUSED:
                self._answering.rejected(entry, why.detail, group.pool.model_version)
        if not failed:
            return
        self._pipeline.metrics.translate_failures.inc()
        why = failed[0][1]
        log.warning("batch_failed", rows=len(failed), fault=why.fault, error=why.detail)
        if why.fault is Fault.MEMORY:
            self._out_of_memory()
        if group.is_single:
            self._give_up(group.pool, failed[0][0], why)
        else:
            self._trials.add_halves(group.pool, [entry for entry, _ in failed])

    def _give_up(self, pool: Pool, entry: Entry, why: Unanswered) -> None:
        if why.fault is Fault.MEMORY:
            self._require_some_success()
        if why.model_fault:
            raise ModelBrokenError(
                f"the model fails on every text ({why.model_fault} on a plain word): nothing was given up for "
                "it. Look at the device and its memory, then start the worker again"
            )
        detail = f"the model failed on this text, alone in its batch ({why.detail})"
        self._answering.failed(entry, detail, pool.model_version)

    def _out_of_memory(self) -> None:
        self._room.halve()
        self._pipeline.metrics.out_of_memory.inc()

    def _after_death(self, died: Died) -> None:
        """Take back what it had, write down the suspects, start it again; they are tried with nothing beside them."""
        with self._handing_over:
            self.is_up = self._trying = False
            groups = self._open.abandon()
        log.error("device_died", device=self.device.name, fault=died.fault, detail=died.detail, groups=len(groups))
        self._pipeline.metrics.devices_up.dec()
        self._pipeline.metrics.device_restarts.labels(died.fault).inc()
        self.models.died(died.detail)
        self._beat = Beat(0, is_loading=False, rows_used=0, rows_free=0)
        # The last that is added is tried first.
        for group in reversed(groups):
            self._trials.add_halves(group.pool, [entry for entry, _ in group.failed])
            if died.fault is Fault.MEMORY:
                self._ran_out_of_memory(group)
            else:
                self._suspect(group)
        if died.fault is Fault.MEMORY:
            self._out_of_memory()
        self.bring_up()

    def _ran_out_of_memory(self, group: OpenGroup) -> None:
        entries = list(group.entries.values())
        if group.is_single:
            self._give_up(group.pool, entries[0], Unanswered(group.number, (), Fault.MEMORY, "out of memory"))
        else:
            self._trials.add_halves(group.pool, entries)

    def _suspect(self, group: OpenGroup) -> None:
        """The device may have died of any of these."""
        entries = list(group.entries.values())
        self._pipeline.metrics.suspects.inc(len(entries))
        if not group.is_single:
            self._book.note([entry.segment.job.job_id for entry in entries], self._gives_up)
            self._trials.add_quarters(group.pool, entries)
        elif entries[0].tried_alone >= self._policy.attempts:
            self._require_some_success()
            self._convict(group.pool, entries[0])
        else:
            self._trials.add_single(group.pool, entries[0])

    def _convict(self, pool: Pool, entry: Entry) -> None:
        """The device dies of this segment."""
        detail = f"the device died each time it was given this text alone ({entry.tried_alone} times)"
        self._answering.failed(entry, detail, pool.model_version)

    def _require_some_success(self) -> None:
        """A device that dies of every text is broken: nothing more must be given up for that."""
        self._deadly_texts += 1
        if self._deadly_texts > MOST_DEADLY_TEXTS:
            raise DeviceLostError(
                f"the device {self.device.name} died of {MOST_DEADLY_TEXTS} texts one after the other, each alone: the "
                "fault is hardly in the texts. Look at the device's driver and memory, then start the worker again"
            )

    def _try_next(self) -> None:
        """Hand over entries that something died or failed of, with nothing beside them."""
        with self._handing_over:
            # The stage may have been quicker: then this waits until the device is empty again.
            self._trying = not len(self._open)
        if self._trying:
            self._trying = self._try(self._trials.next())
            self.changed.set()

    def _try(self, trial: Trial) -> bool:
        """Whether anything of it is on the device now."""
        entries = self._reception.still_wanted(trial.entries)
        if not entries or (trial.device_died and len(entries) == 1 and not self._begin_alone(trial.pool, entries[0])):
            return False
        with self._handing_over:
            self._hand_over(trial.pool, entries)
        return True

    def _begin_alone(self, pool: Pool, entry: Entry) -> bool:
        """Write down that a suspect runs alone; False if it must not (again), or if we are stopped before it is."""
        attempt = self._book.begin(entry.segment.job.job_id, self._gives_up)
        if attempt is None:
            return False
        entry.tried_alone = min(attempt, self._policy.attempts)
        entry.attempt = max(entry.attempt, attempt)  # those under other workers count too
        if attempt > self._policy.attempts:
            self._convict(pool, entry)
        return attempt <= self._policy.attempts

    def _gives_up(self) -> bool:
        self.last_beat_seconds = time.monotonic()
        return self._stopped.is_set()

    def _hand_over_backlog(self) -> None:
        """What was taken while the device was down, or had to be alone; the caller holds the lock."""
        while self._backlog and self.is_up and not self._trying and not self._trials:
            pool, entries = self._backlog.popleft()
            wanted = self._reception.still_wanted(entries)
            if wanted:
                self._hand_over(pool, wanted)

    def _hand_over(self, pool: Pool, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry.attempt += 1
        if not len(self._open):
            self._watch.moved(time.monotonic())
        reached("before-translate")
        group = self._open.open(pool, entries)
        # Where it has ended, its death is the next event, and finds the group open.
        with contextlib.suppress(DeviceGoneError):
            self.device.submit(group)

    def _take_beat(self, beat: Beat) -> None:
        self._watch.beat(beat.progress, time.monotonic(), is_loading=beat.is_loading, is_busy=len(self._open) > 0)
        steps = self._pipeline.metrics.row_steps
        steps.labels("used").inc(max(0, beat.rows_used - self._beat.rows_used))
        steps.labels("free").inc(max(0, beat.rows_free - self._beat.rows_free))
        self._beat = beat

    def _note_model(self, event: ModelLoaded) -> None:
        self._watch.moved(time.monotonic())
        self.models.loaded(event)
        self._room.loaded(self.models.facts, time.monotonic())
