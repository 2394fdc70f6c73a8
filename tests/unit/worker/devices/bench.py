"""A stage over devices in processes of their own, and what became of the texts it was given."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dragoman.worker.devices.device_models import DeviceOrder
from dragoman.worker.devices.device_room import RoomPolicy
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.engine_stage import EngineStage
from dragoman.worker.devices.keeper import DevicePolicy
from dragoman.worker.devices.model_source import ModelSource
from dragoman.worker.devices.process_device import ProcessDevice
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.work import Outcome

# A busy machine is slow; this is no claim about speed.
PATIENCE_SECONDS = 120.0
ECHO = EchoTranslator()


@dataclass
class Bench:
    """A pipeline whose waiting room is filled by hand, and the stage that empties it."""

    build: Any
    resources: ExitStack
    pipeline: Pipeline = field(init=False)
    stage: EngineStage = field(init=False)
    devices: list[ProcessDevice] = field(default_factory=list)
    given: int = 0

    def __post_init__(self) -> None:
        self.pipeline = self.build.pipeline()

    def start(
        self,
        *sources: ModelSource,
        devices: int = 1,
        silent_seconds: float = 60.0,
        memory_bytes: int = 0,
        database: Any = None,
        attempts: int = 3,
    ) -> EngineStage:
        """A stage with so many devices, all of the same models."""
        described = [(source.describe().side.version, source) for source in sources]
        orders = [DeviceOrder("cpu", tuple(described), memory_bytes) for _ in range(devices)]
        self.devices = [ProcessDevice(order) for order in orders]
        room = RoomPolicy(64, 4096, usual_beam=1, models=len(sources))
        self.stage = EngineStage(self.pipeline, self.devices, DevicePolicy(room, silent_seconds, attempts), database)
        self.resources.callback(self.close)
        return self.stage

    def close(self) -> None:
        if self.stage._thread.ident:
            self.stage.stop(PATIENCE_SECONDS)
        self.stage.close()

    def wait(
        self,
        texts: list[str],
        version: str = "poison@0",
        pair: tuple[str, str] = ("en", "fr"),
        encode: Callable[[list[str], str], list[list[int]]] = ECHO.encode,
        attempts: int | None = None,
        before: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        """Let jobs with these texts wait."""
        segments = []
        for text in texts:
            job = self.build.job(text, source_language=pair[0], target_language=pair[1])
            before(job.job_id)
            offset = self.given
            self.given += 1
            delivery = self.build.delivery(self.build.job_message(job, offset), self.pipeline.assignments)
            segment = self.build.segment(delivery=delivery, job=job)
            segments.append(segment._replace(pieces=tuple(encode([text], pair[1])[0]), attempts=attempts))
        self.pipeline.waiting_room.add((Pool(*pair, version, 1, 1.0), segment) for segment in segments)

    def outcomes(self, count: int) -> list[Outcome]:
        """So many outcomes; fails if they do not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        found: list[Outcome] = []
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} outcomes came"
            if self.stage.failure is not None:
                raise self.stage.failure
            found += self.pipeline.finished.bulk.gather(count, 0.2)
        return found

    def ended(self, texts: list[str]) -> dict[str | None, str]:
        """How jobs with these texts ended, in a stage that runs."""
        self.wait(texts)
        return {outcome.row.source_text: outcome.row.status for outcome in self.outcomes(len(texts)) if outcome.row}

    def metric(self, name: str, **labels: str) -> float:
        return self.pipeline.metrics.registry.get_sample_value(f"dragoman_{name}", labels) or 0.0
