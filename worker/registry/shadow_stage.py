"""The stage that lets shadows translate what production has translated, in a process of their own.

Nothing waits for it: a shadow that is slow, breaks or takes its process down costs nothing but its own rows.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace

import structlog
from sqlalchemy import Engine

from ...errors import TransientError
from ...model.translation import Translation
from ...storage.engine import transaction
from ...storage.models import Pair
from ...storage.shadows import ShadowTranslation, record_shadows
from ..devices.answering import is_sound
from ..devices.device import DeviceGoneError
from ..devices.device_models import DeviceOrder
from ..devices.events import Answered, Died, Event, Group, Ready, StartRefused, Unanswered
from ..devices.process_device import ProcessDevice
from ..devices.watch import LOADING_SECONDS
from ..pipeline import Pipeline
from ..stage import Stage
from ..work import Segment
from .deployed_model import DeployedModel

log = structlog.get_logger(__name__)

# Segments of one pass: a shadow may be slow, but should be quick to stop.
PASS_SEGMENTS = 32
PASS_SECONDS = 60.0
WAIT_SECONDS = 0.5
# A process that died is started again after this.
RESTART_SECONDS = 10.0
END_SECONDS = 2.0


class ShadowStage(Stage):
    """One process with the shadows of all pairs, and the queue before it."""

    def __init__(
        self, pipeline: Pipeline, database: Engine, order: DeviceOrder, beam_size: int, *, may_record: bool = True
    ) -> None:
        """`order` names the device and what its process needs, without models.

        Where texts are encrypted it may not record: shadows then do nothing, and the log says so.
        """
        # Not the worker's own: it goes on without this stage.
        super().__init__("shadow", threading.Event())
        self._pipeline = pipeline
        self._database = database
        self._order, self._beam_size, self._may_record = order, beam_size, may_record
        self._wanted: Mapping[Pair, DeployedModel] = {}
        self._running: Mapping[Pair, DeployedModel] = {}
        self._device: ProcessDevice | None = None
        self._start_at_seconds = 0.0
        self._numbers = 0

    def serve(self, shadows: Mapping[Pair, DeployedModel]) -> None:
        """Have these shadows from now on; any thread may call it."""
        if shadows and not self._may_record:
            log.warning("shadows_left_out", reason="texts are encrypted, and what shadows write is not")
            return
        self._wanted = dict(shadows)
        self._pipeline.shadows.watch(shadows.keys())

    def work(self) -> None:
        """Let a shadow translate what waits for it."""
        self._pipeline.metrics.shadow_translations.labels("dropped").inc(self._pipeline.shadows.dropped())
        wanted = self._wanted
        if wanted != self._running:
            self._end()
            self._running = wanted
            self._start_at_seconds = 0.0
        if not wanted or not self._is_up():
            self.pause(WAIT_SECONDS)
            return
        segments = self._pipeline.shadows.take(PASS_SEGMENTS, WAIT_SECONDS)
        if segments:
            self._translate(segments, wanted)

    def wind_up(self) -> None:
        """End the process."""
        self._end()

    def _is_up(self) -> bool:
        if self._device is None and time.monotonic() >= self._start_at_seconds:
            self._device = self._started()
        return self._device is not None

    def _started(self) -> ProcessDevice | None:
        models = {model.described.side.version: model.source for model in self._running.values()}
        device = ProcessDevice(replace(self._order, models=tuple(models.items())))
        try:
            device.start()
        except OSError as error:
            self._failed(device, str(error))
            return None
        deadline = time.monotonic() + LOADING_SECONDS
        while time.monotonic() < deadline and not self.stopping:
            for event in self._received(device):
                if isinstance(event, Ready):
                    log.info("shadow_ready", models=sorted(models))
                    return device
                if isinstance(event, StartRefused | Died):
                    self._failed(device, event.sentence if isinstance(event, StartRefused) else event.detail)
                    return None
        self._failed(device, "it was not ready in time")
        return None

    def _failed(self, device: ProcessDevice, detail: str) -> None:
        log.error("shadow_failed", reason=detail)
        device.end(END_SECONDS)
        self._start_at_seconds = time.monotonic() + RESTART_SECONDS

    def _translate(self, segments: list[Segment], shadows: Mapping[Pair, DeployedModel]) -> None:
        job = segments[0].job
        model = shadows.get((job.source_language, job.target_language))
        if model is None or self._device is None:
            return
        side = model.described.side
        sources = side.encode([segment.job.source_text for segment in segments], job.target_language)
        fitting = [place for place, source in enumerate(sources) if len(source) <= side.max_source_pieces]
        found = self._passed(self._device, side.version, [tuple(sources[place]) for place in fitting])
        self._pipeline.metrics.shadow_translations.labels("failed").inc(len(segments) - len(found))
        self._record(
            [
                ShadowTranslation(
                    segments[fitting[place]].job.job_id, side.version, one.text, one.score, one.target_pieces
                )
                for place, one in found.items()
            ]
        )

    def _passed(self, device: ProcessDevice, version: str, sources: list[tuple[int, ...]]) -> dict[int, Translation]:
        """Translations by place; those that did not come in time are left out."""
        self._numbers += 1
        found: dict[int, Translation] = {}
        left, deadline = len(sources), time.monotonic() + PASS_SECONDS
        try:
            if sources:
                device.submit(Group(self._numbers, version, self._beam_size, 1.0, tuple(sources)))
        except DeviceGoneError:
            left = 0
        while left and not self.stopping and time.monotonic() < deadline:
            for event in self._received(device):
                if isinstance(event, Died):
                    self._failed(device, event.detail)
                    self._device = None
                    return found
                if isinstance(event, Answered) and event.group == self._numbers:
                    found |= {place: one for place, one in event.answers if is_sound(one)}
                    left -= len(event.answers)
                elif isinstance(event, Unanswered) and event.group == self._numbers:
                    left -= len(event.places)
        return found

    def _received(self, device: ProcessDevice) -> list[Event]:
        self.last_beat_seconds = time.monotonic()
        return device.receive(WAIT_SECONDS)

    def _record(self, rows: list[ShadowTranslation]) -> None:
        try:
            with transaction(self._database) as connection:
                record_shadows(connection, rows)
        except TransientError as error:
            log.warning("shadows_not_recorded", error=str(error))
            self._pipeline.metrics.shadow_translations.labels("dropped").inc(len(rows))
        else:
            self._pipeline.metrics.shadow_translations.labels("recorded").inc(len(rows))

    def _end(self) -> None:
        if self._device is not None:
            self._device.end(END_SECONDS)
        self._device = None
