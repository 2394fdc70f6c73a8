"""The process of a device: takes groups from the pipe, runs them, sends what comes of them. Knows no Kafka and no SQL.

Threads: the main one reads the pipe; one loads models and submits; one changes which models there are, while the others
go on; one sends answers; one beats. The model has threads of its own, which none of these holds up.
"""

import contextlib
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NoReturn

from ...errors import ConfigurationError
from ...model.decoding import SearchOptions
from ...model.translation import Translation
from .device_models import DeviceModels, DeviceOrder, free_memory, probe_model
from .events import (
    Answered,
    Beat,
    Died,
    Event,
    Fault,
    Group,
    LoadModel,
    ModelChange,
    ModelRefused,
    Ready,
    StartRefused,
    Unanswered,
)
from .faults import fault_of
from .segment_translator import SegmentTranslator

# Often enough for metrics and for a parent that is gone; it costs nothing.
BEAT_SECONDS = 0.5
# Answers that nobody waits for are sent together: what comes within this, or so many. By ones, each costs the worker
# several times as much: whatever it needs for them has left the processor's caches meanwhile.
GATHER_SECONDS, GATHERED_ANSWERS = 0.04, 32
# How often it is looked whether they are so many.
LOOK_SECONDS = 0.005
# The priority of groups that somebody waits for.
URGENT = 0
# Exit status of a process that ended because of an error of its model or device.
FAULT_STATUS = 70


@dataclass(slots=True)
class _Running:
    """Places of a group that were submitted together: their model, how many are open, which got no translation."""

    group: Group
    translator: SegmentTranslator
    left: int
    faults: dict[tuple[Fault, str], list[int]] = field(default_factory=lambda: defaultdict(list))


_Done = tuple[_Running, int, "Future[Translation]"]
_Part = tuple[Group, Sequence[int]]


class DeviceServer:
    """Serves one pipe until the other end is closed."""

    def __init__(self, connection: Connection, order: DeviceOrder, parent: int) -> None:
        self._connection = connection
        self._parent = parent
        self._sending = threading.Lock()
        self._parts: queue.SimpleQueue[_Part] = queue.SimpleQueue()
        self._changes: queue.SimpleQueue[ModelChange] = queue.SimpleQueue()
        self._is_up = threading.Event()
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._urgent = threading.Event()
        self._models = DeviceModels(order, self._send)
        # Counted by the thread that submits and by the one that sends, each its own.
        self._submitted = self._answered = 0

    def run(self) -> NoReturn:
        """Serve; ends the process when the worker is gone."""
        for work in (self._run_groups, self._run_changes, self._send_answers, self._beat):
            threading.Thread(target=self._guarded, args=(work,), name=work.__name__.strip("_"), daemon=True).start()
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._take(self._connection.recv())
        os._exit(0)

    def _take(self, order: Group | ModelChange) -> None:
        if isinstance(order, Group):
            self._parts.put((order, range(len(order.sources))))
        else:
            self._changes.put(order)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the worker must hear of it
            self._die(error)

    def _run_groups(self) -> None:
        try:
            self._models.load_first()
            self._send(Ready())
            self._is_up.set()
            while True:
                self._submit(*self._parts.get())
        except ConfigurationError as error:
            # A model that cannot be loaded; errors of one that can be belong to their groups.
            self._send(StartRefused(str(error)))
            os._exit(FAULT_STATUS)

    def _run_changes(self) -> None:
        self._is_up.wait()
        while True:
            change = self._changes.get()
            if isinstance(change, LoadModel):
                self._load_beside(change)
            else:
                self._models.unload(change.version)

    def _load_beside(self, change: LoadModel) -> None:
        try:
            self._models.load_beside(change.version, change.source)
        except ConfigurationError as error:
            self._send(ModelRefused(change.version, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            free_memory()
            reason = f"the model {change.version} cannot be loaded beside the others ({type(error).__name__})"
            self._send(ModelRefused(change.version, reason))

    def _submit(self, group: Group, places: Sequence[int]) -> None:
        self._submitted += len(places)
        translator = self._models.begin(group.model_version, len(places))
        running = _Running(group, translator, len(places))
        options = SearchOptions(group.beam_size, group.length_penalty)
        try:
            futures = translator.submit_pieces([group.sources[place] for place in places], options, group.priority)
        except Exception as error:  # noqa: BLE001 - as one of a future: its group learns of it
            futures = [_failed(error) for _ in places]
        for place, future in zip(places, futures, strict=True):
            future.add_done_callback(lambda done, place=place: self._note_done((running, place, done)))  # type: ignore[misc]

    def _note_done(self, done: _Done) -> None:
        self._done.put(done)
        if done[0].group.priority == URGENT:
            self._urgent.set()

    def _send_answers(self) -> None:
        while True:
            done = [self._done.get()]
            self._gather()
            with contextlib.suppress(queue.Empty):
                while True:
                    done.append(self._done.get_nowait())
            self._answer(done)

    def _gather(self) -> None:
        """One is there: wait until it is worth while to send, no more can come, or somebody waits for an answer."""
        deadline = time.monotonic() + GATHER_SECONDS
        while self._done.qsize() + 1 < min(GATHERED_ANSWERS, self._submitted - self._answered):
            if self._urgent.wait(LOOK_SECONDS) or time.monotonic() >= deadline:
                break
        self._urgent.clear()

    def _answer(self, done: list[_Done]) -> None:
        answers: dict[int, list[tuple[int, Translation]]] = defaultdict(list)
        for running, place, future in done:
            error = future.exception()
            if error is None:
                answers[running.group.number].append((place, future.result()))
            else:
                self._note(running, place, error)
            running.left -= 1
        for number, found in answers.items():
            self._send(Answered(number, tuple(found)))
        self._answered += len(done)
        for running, _, _ in done:
            self._models.end(running.group.model_version, 1)
        for running in {id(running): running for running, _, _ in done}.values():
            if not running.left:
                self._report_faults(running)

    def _note(self, running: _Running, place: int, error: BaseException) -> None:
        if running.translator.is_closed:
            # The engine has ended with this error, and with it everything that was in its hands.
            self._die(error)
        running.faults[fault_of(error)].append(place)

    def _report_faults(self, running: _Running) -> None:
        group = running.group
        for (fault, detail), places in running.faults.items():
            if fault is Fault.ERROR and len(places) > 1:
                # One of them may have failed them all. Halves are tried here, where a pass costs no way to the worker.
                middle = len(places) // 2
                self._parts.put((group, places[:middle]))
                self._parts.put((group, places[middle:]))
                continue
            if fault is Fault.MEMORY:
                free_memory()
            alone = len(group.sources) == 1 and fault is Fault.ERROR
            model_fault = _model_fault(running.translator) if alone else ""
            self._send(Unanswered(group.number, tuple(places), fault, detail, model_fault))

    def _beat(self) -> None:
        never = threading.Event()
        while os.getppid() == self._parent:
            counted = list(self._models.occupancies)
            steps = sum(one.steps for one in counted)
            used, places = sum(one.rows for one in counted), sum(one.places for one in counted)
            self._send(Beat(self._answered + steps, self._models.is_loading, used, places - used))
            never.wait(BEAT_SECONDS)
        os._exit(0)

    def _send(self, event: Event) -> None:
        with self._sending:
            try:
                self._connection.send(event)
            except OSError:
                os._exit(0)  # the worker is gone

    def _die(self, error: BaseException) -> NoReturn:
        fault, _ = fault_of(error)
        self._send(Died(Fault.MEMORY if fault is Fault.MEMORY else Fault.ERROR, type(error).__name__))
        os._exit(FAULT_STATUS)


def _failed(error: Exception) -> "Future[Translation]":
    future: Future[Translation] = Future()
    future.set_exception(error)
    return future


def _model_fault(translator: SegmentTranslator) -> str:
    """The name of the model's error on a plain word; "" if it is well."""
    try:
        probe_model(translator)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model is not well
        return type(error.__cause__ or error).__name__
    return ""
