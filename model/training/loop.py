"""The loop: from batch to step, and when to report, evaluate, save and stop. Knows clocks; no corpora, no cards.

All processes go through it together; the first alone evaluates and writes.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from ...errors import DragomanError
from .average import Weights, set_weights, weights
from .config import TrainConfig
from .data import DataPosition, Example
from .development import DevQuality, mean_chrf
from .distributed import Processes
from .interruption import Interruption
from .loss import padding
from .reports import Listener, Pace, TrainReport
from .state import State, named, random_state, restore_random_state, save_state
from .trainer import Moment, Trainer

# Seconds between two progress reports.
REPORT_SECONDS = 5.0


class TrainingInterruptedError(DragomanError):
    """The run was asked to stop; its state is saved in `run_folder`."""

    def __init__(self, message: str, run_folder: Path) -> None:
        super().__init__(message)
        self.run_folder = run_folder


class Batches(Protocol):
    """Where examples come from: endless, and exactly the same again from the same position."""

    def batches(self, start: DataPosition) -> Iterator[tuple[DataPosition, list[Example]]]:
        """Batches from `start`, each with the position after it."""
        ...


@dataclass(slots=True)
class Tally:
    """What a run has done so far, before a resume too; the best network is that of `best_step`."""

    seconds: float = 0.0
    target_pieces: int = 0
    best_chrf: float = -1.0
    best_step: int = 0
    evaluations_in_vain: int = 0
    evaluation_is_pending: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """What the first process does beside training: measure the averaged network, hand it on, tell how it goes."""

    measure: Callable[[], tuple[DevQuality, ...]]
    keep: Callable[[tuple[DevQuality, ...]], None]
    listener: Listener


@dataclass(slots=True)
class _Interval:
    """What happened since the last report."""

    began: float
    target_pieces: float = 0.0
    real: int = 0
    padded: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What stays the same for a whole run; `unchanging` goes into every state beside what changes."""

    config: TrainConfig
    data: Batches
    run_folder: Path
    unchanging: State


class TrainingLoop:
    """A trainer, its data and its clock."""

    def __init__(self, plan: Plan, trainer: Trainer) -> None:
        self.config = plan.config
        self.trainer = trainer
        self.tally = Tally()
        self.best: Weights = {}
        self.position = DataPosition()
        self._plan = plan
        self._processes: Processes = trainer.processes
        self._began = self._evaluated = self._saved = time.monotonic()
        self._interval = _Interval(self._began)
        self._pace: Pace | None = None

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, writes and tells."""
        return self._processes.leads

    @property
    def run_folder(self) -> Path:
        return self._plan.run_folder

    @property
    def summary(self) -> str:
        """How the run went, for the card."""
        return (
            f"{self.trainer.step:,} steps, {self.position.epoch} full epochs, {self.tally.target_pieces:,} target "
            f"pieces in {self.seconds / 60:.0f} minutes"
        )

    @property
    def seconds(self) -> float:
        """How long was trained, before a resume too."""
        return self.tally.seconds + time.monotonic() - self._began

    @property
    def progress(self) -> float:
        """How much of the run is behind us; from 1 on it is over."""
        run, done = self.config.run, [0.0]
        if run.max_steps:
            done.append(self.trainer.step / run.max_steps)
        if run.max_minutes:
            done.append(self.seconds / 60 / run.max_minutes)
        if run.max_epochs:
            done.append(self.position.epoch / run.max_epochs)
        if run.patience and self.tally.evaluations_in_vain >= run.patience:
            done.append(1.0)
        return max(done)

    def run(self, watch: Watch | None) -> None:
        """Train to the end and save the state; `watch` is the first process's.

        Raises `TrainingInterruptedError` once an interruption is saved.
        """
        interruption = Interruption()
        with interruption.heard():
            try:
                self._train(watch, interruption)
            except KeyboardInterrupt:
                # A second request, perhaps in the middle of a step: nothing can be saved now.
                raise TrainingInterruptedError(
                    f"stopped at once after step {self.trainer.step}; what was saved last is in {self.run_folder}",
                    self.run_folder,
                ) from None
            self._save()
        if self.best:
            set_weights(self.trainer.average.network, self.best)

    def restore(self, state: State) -> None:
        """Go on where `state` was taken, in this process of as many."""
        parts = {name: state.part(name) for name in ("network", "average", "snapshot", "optimiser")}
        self.trainer.restore(parts, state.facts["step"])
        self.tally = Tally(**{field.name: state.facts["tally"][field.name] for field in fields(Tally)})
        self.best = state.part("best")
        own = state.facts["processes"][self._processes.rank]
        self.position = DataPosition(**own["position"])
        restore_random_state(own["random"], self._processes.device)

    def report(self, qualities: tuple[DevQuality, ...] = ()) -> TrainReport:
        """Where the run stands; loss, speed and padding are of the steps since the last report, if there were some."""
        now, interval = time.monotonic(), self._interval
        if interval.target_pieces:
            self._pace = Pace(
                loss=self.trainer.mean_loss(),
                learning_rate=self.trainer.learning_rate,
                target_tokens_per_second=interval.target_pieces / max(now - interval.began, 1e-9),
                padding_ratio=1 - interval.real / interval.padded,
            )
        self._interval = _Interval(now)
        progress = min(1.0, self.progress)
        return TrainReport(self.trainer.step, self.position.epoch, progress, self.seconds, self._pace, qualities)

    def _train(self, watch: Watch | None, interruption: Interruption) -> None:
        if watch and self.tally.evaluation_is_pending:
            self._evaluate(watch, interruption)
        with closing(self._groups()) as groups:
            for position, group in groups:
                agreed = self._agree(_target_pieces(group), interruption)
                if agreed.interrupted:
                    self._stop()
                if agreed.progress >= 1:
                    return
                self.trainer.train(group, Moment(agreed.pieces, agreed.progress))
                self.position = position
                self._count(group, agreed.pieces)
                self._look(watch, interruption, agreed)

    def _groups(self) -> Generator[tuple[DataPosition, list[list[Example]]], None, None]:
        """The batches of each step, with the position after them."""
        group: list[list[Example]] = []
        for position, batch in self._plan.data.batches(self.position):
            group.append(batch)
            if len(group) == self.config.optimiser.accumulation:
                yield position, group
                group = []

    def _agree(self, pieces: int, interruption: Interruption) -> "_Agreement":
        """What decides about this step: sums over all processes, and the first one's clock."""
        own = [float(pieces), float(interruption.requested)]
        if self._processes.leads:
            own += [self.progress, self._evaluation_is_due(), self._is_due(self._saved, self.config.run.save_minutes)]
        sums = self._processes.sums(own if self._processes.leads else [*own, 0.0, 0.0, 0.0])
        return _Agreement(sums[0], sums[1] > 0, sums[2], sums[3] > 0, sums[4] > 0)

    def _look(self, watch: Watch | None, interruption: Interruption, agreed: "_Agreement") -> None:
        if watch:
            if agreed.evaluate:
                self._evaluate(watch, interruption)
            elif time.monotonic() - self._interval.began >= REPORT_SECONDS:
                watch.listener(self.report())
        if agreed.save:
            self._save()

    def _evaluate(self, watch: Watch, interruption: Interruption) -> None:
        self.trainer.check()
        if not self.tally.evaluation_is_pending:
            self.trainer.average.before_evaluation()
        self.tally.evaluation_is_pending = True
        try:
            with interruption.at_once():
                qualities = watch.measure()
        except KeyboardInterrupt:
            return  # all processes stop before the next step, and a resumed run evaluates first
        self.tally.evaluation_is_pending = False
        self._evaluated = time.monotonic()
        self._judge(qualities)
        if not self.config.run.patience or self.tally.best_step == self.trainer.step:
            watch.keep(qualities)
        watch.listener(self.report(qualities))

    def _judge(self, qualities: tuple[DevQuality, ...]) -> None:
        chrf = mean_chrf(qualities)
        if chrf > self.tally.best_chrf:
            self.tally.best_chrf, self.tally.best_step, self.tally.evaluations_in_vain = chrf, self.trainer.step, 0
            if self.config.run.patience:
                self.best = weights(self.trainer.average.network)
        else:
            self.tally.evaluations_in_vain += 1

    def _count(self, examples: list[list[Example]], pieces: float) -> None:
        self.tally.target_pieces += int(pieces)
        self._interval.target_pieces += pieces
        for batch in examples:
            real, padded = padding(batch)
            self._interval.real += real
            self._interval.padded += padded

    def _evaluation_is_due(self) -> bool:
        every = self.config.run.evaluate_steps
        if every:
            return (self.trainer.step + 1) % every == 0
        return self._is_due(self._evaluated, self.config.run.evaluate_minutes)

    @staticmethod
    def _is_due(last: float, minutes: float) -> bool:
        return time.monotonic() - last >= 60 * minutes

    def _stop(self) -> None:
        self._save()
        raise TrainingInterruptedError(
            f"interrupted at step {self.trainer.step}; the state is saved in {self._plan.run_folder}",
            self._plan.run_folder,
        )

    def _save(self) -> None:
        """Save the state: every process tells its part, the first one writes."""
        self.trainer.check()
        own = {"position": asdict(self.position), "random": random_state(self._processes.device)}
        parts = self._processes.gathered(json.dumps(own).encode())
        if self._processes.leads:
            tensors = self._plan.unchanging.tensors | self.trainer.tensors() | named("best", self.best)
            facts = self._plan.unchanging.facts | self._facts() | {"processes": [json.loads(part) for part in parts]}
            save_state(State(facts, tensors), self._plan.run_folder)
        self._saved = time.monotonic()

    def _facts(self) -> dict[str, Any]:
        return {"step": self.trainer.step, "tally": asdict(self.tally) | {"seconds": self.seconds}}


@dataclass(frozen=True, slots=True)
class _Agreement:
    """What all processes know before a step."""

    pieces: float
    interrupted: bool
    progress: float
    evaluate: bool
    save: bool


def _target_pieces(batches: list[list[Example]]) -> int:
    return sum(len(example.target) - 1 for batch in batches for example in batch)
