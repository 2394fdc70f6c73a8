"""What a run tells while it goes, and the files it tells it to: metrics.jsonl, TensorBoard events, curve.png.

Knows numbers and files, nothing of networks.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

from .development import WATCHING, DevQuality

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
    """Writes every report to the files of a run folder; lines of steps after `step` (0: all) are cut off first."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._points = [point for point in _read(folder / METRICS) if 0 < point["step"] <= step]
        lines = "".join(json.dumps(point) + "\n" for point in self._points)
        (folder / METRICS).write_text(lines, encoding="utf-8")
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=step + 1 if step else None)

    def __call__(self, report: TrainReport) -> None:
        """Add one line and its events; after an evaluation, draw the curve again."""
        point = asdict(report)
        self._points.append(point)
        with (self._folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")
        for name, value in (point["pace"] or {}).items():
            self._events.add_scalar(f"train/{name}", value, report.step)
        for quality in report.qualities:
            self._events.add_scalar(f"dev/{quality.name}/chrF", quality.chrf, report.step)
            self._events.add_scalar(f"dev/{quality.name}/BLEU", quality.bleu, report.step)
        if report.qualities:
            self._events.flush()
            draw_curve(self._points, self._folder / CURVE)

    def close(self) -> None:
        """Write out what is buffered."""
        self._events.close()


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
    figure.savefig(path)


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
