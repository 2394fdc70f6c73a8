"""What a run tells while it goes, and the files it tells it to: metrics.jsonl, TensorBoard events, curve.png.

Knows numbers and files, nothing of networks.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from matplotlib.figure import Figure

from ...errors import ConfigurationError
from ..replacement import replacing_file
from .development import WATCHING, DevQuality
from .events import EventFile

log = structlog.get_logger(__name__)
METRICS = "metrics.jsonl"
CURVE = "curve.png"
EVENTS = "tensorboard"


@dataclass(frozen=True, slots=True)
class Pace:
    """Means over some steps; `loss` is label-smoothed cross entropy in nats a target piece, of the first process."""

    loss: float
    learning_rate: float
    target_tokens_per_second: float
    padding_ratio: float


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Where a run stands; `seconds` before a resume count, `pace` is None before the first step.

    `qualities` are there only after an evaluation.
    """

    step: int
    epoch: int
    progress: float
    seconds: float
    pace: Pace | None
    qualities: tuple[DevQuality, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """How long the run will go on if it goes on like this; None before it can be told."""
        return self.seconds / self.progress - self.seconds if self.progress else None


Listener = Callable[[TrainReport], None]


class RunFiles:
    """Writes every report to the files of a run folder; lines of steps after `step` (0: all) are cut off first.

    No report ends a run: what the disk refuses is said once, in the log, and given up until the next start. Raises
    `ConfigurationError` only where there can be no folder, so that no state could be saved either.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._step = step
        self._points: list[dict[str, Any]] = []
        self._events: EventFile | None = None
        self._given_up: set[str] = set()
        _make(folder)
        self._attempt(METRICS, self._cut_back)

    def __call__(self, report: TrainReport) -> None:
        """Add one line and its events; after an evaluation, draw the curve again."""
        point = asdict(report)
        self._points.append(point)
        self._attempt(METRICS, lambda: self._append(point))
        self._attempt(EVENTS, lambda: self._add_events(report))
        if report.qualities:
            self._attempt(CURVE, lambda: draw_curve(self._points, self._folder / CURVE))

    def close(self) -> None:
        """Write out what is buffered."""
        if self._events:
            self._attempt(EVENTS, self._events.flush)
            # What could not be written out is refused again here.
            with suppress(OSError):
                self._events.close()

    def _attempt(self, name: str, write: Callable[[], None]) -> None:
        if name in self._given_up:
            return
        try:
            write()
        except OSError as error:
            self._given_up.add(name)
            # The log may lie on the same disk.
            with suppress(OSError):
                log.warning(
                    "run_file_given_up",
                    reason=f"{self._folder / name} cannot be written, the run goes on without it: "
                    f"{error.strerror or error}",
                )

    def _cut_back(self) -> None:
        self._points = [point for point in _read(self._folder / METRICS) if 0 < point["step"] <= self._step]
        with replacing_file(self._folder / METRICS) as fresh:
            fresh.write_text("".join(json.dumps(point) + "\n" for point in self._points), encoding="utf-8")

    def _append(self, point: dict[str, Any]) -> None:
        with (self._folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def _add_events(self, report: TrainReport) -> None:
        if not self._events:
            self._events = EventFile(self._folder / EVENTS, self._step)
        for name, value in asdict(report.pace).items() if report.pace else ():
            self._events.add(f"train/{name}", value, report.step)
        for quality in report.qualities:
            self._events.add(f"dev/{quality.name}/chrF", quality.chrf, report.step)
            self._events.add(f"dev/{quality.name}/BLEU", quality.bleu, report.step)
        if report.qualities:
            self._events.flush()


def draw_curve(points: list[dict[str, Any]], path: Path) -> None:
    """Loss and chrF of the dev samples over the steps, as PNG; the last, full measurement is of other segments."""
    figure = Figure(figsize=(9, 5))
    losses = figure.add_subplot()
    paced = [point for point in points if point["pace"]]
    losses.plot([point["step"] for point in paced], [point["pace"]["loss"] for point in paced], color="tab:gray")
    losses.set_xlabel("step")
    losses.set_ylabel("training loss, nats a piece")
    scores = losses.twinx()
    scores.set_ylabel("dev chrF")
    for name, measured in _sample_scores(points).items():
        scores.plot(*zip(*measured, strict=True), marker="o", label=name)
    if scores.lines:
        scores.legend(loc="lower right")
    with replacing_file(path) as fresh:
        figure.savefig(fresh, format="png")


def _sample_scores(points: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """(step, chrF) of each development set."""
    scores: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        for quality in point["qualities"]:
            if quality["beam_size"] == WATCHING.beam_size:
                scores.setdefault(quality["name"], []).append((point["step"], quality["chrf"]))
    return scores


def _read(path: Path) -> list[dict[str, Any]]:
    """The points of an earlier part of the run; a last line that was cut short by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the run folder {folder} cannot be made: {error.strerror}; name another --run-folder"
        ) from error
