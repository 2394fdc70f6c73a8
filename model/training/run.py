"""The training loop: corpus to checkpoint. Knows data, network and optimiser; prints nothing itself.

Progress goes to a callback as `TrainReport` values, so that the command line and tests see the same run.
"""

import copy
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ConfigurationError, DragomanError
from ..architectures.transformer import Transformer, TransformerConfig
from ..batching import BatchLimits, shuffled_batches
from ..checkpoint import Checkpoint, check_replaceable, save_checkpoint
from ..corpora.reading import CorpusReport, Pair, read_corpus
from ..decoding import SearchOptions
from ..evaluation.scores import Quality, TestSet, evaluate, read_test_set
from ..memory import keep_freed_memory
from ..model_card import Measured, model_card, short_name
from ..translator import Translator, pad
from ..vocabularies.subwords import SubwordVocabulary
from ..vocabularies.vocabulary import BEGIN, END, PAD
from .config import TrainConfig, resolve
from .optimiser import optimisers, schedule, set_learning_rate

# Seconds between two progress reports.
REPORT_SECONDS = 10.0


class TrainingDivergedError(DragomanError):
    """The loss or its gradient is not a number any more; the last saved checkpoint is untouched."""


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Where a run stands; `quality` only after an evaluation."""

    step: int
    epoch: int
    progress: float
    loss: float
    target_tokens_per_second: float
    seconds: float
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """Pieces of one pair: source ends with END; target begins with BEGIN and ends with END."""

    source: list[int]
    target: list[int]


Listener = Callable[[TrainReport], None]


def train(config: TrainConfig, folder: Path, listener: Listener) -> Path:
    """Run a training as configured and return the checkpoint folder; the corpus report goes into its card.

    What can be refused is refused before the first step, with `ConfigurationError`.
    """
    torch.manual_seed(config.run.seed)
    keep_freed_memory()
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    output = resolve(config.output, folder)
    check_replaceable(output)
    dev = read_test_set(resolve(config.data.dev, folder))
    corpus = CorpusReport()
    paths = [resolve(path, folder) for path in config.data.train]
    pairs = list(read_corpus(paths, corpus, config.data.max_characters))
    if not pairs:
        raise ConfigurationError(f"the corpus is empty after cleaning ({corpus}): check data.train")
    tokenizer, examples = _learn_vocabulary(config, pairs)
    TrainingRun(config, tokenizer, examples, dev).run(listener, output, str(corpus))
    return output


def _learn_vocabulary(config: TrainConfig, pairs: list[Pair]) -> tuple[SubwordVocabulary, list[Example]]:
    lines = (text for pair in pairs for text in (pair.source, pair.target))
    tokenizer = SubwordVocabulary.train(lines, config.shape.vocabulary_size)
    examples = encode_pairs(pairs, tokenizer, config.data.max_pieces)
    if not examples:
        raise ConfigurationError(f"every pair has more than {config.data.max_pieces} pieces: raise data.max_pieces")
    return tokenizer, examples


def encode_pairs(pairs: list[Pair], tokenizer: SubwordVocabulary, max_pieces: int) -> list[Example]:
    """Pieces of every pair whose sides have at most `max_pieces`."""
    sources = tokenizer.encode([pair.source for pair in pairs])
    targets = tokenizer.encode([pair.target for pair in pairs])
    return [
        Example([*source, END], [BEGIN, *target, END])
        for source, target in zip(sources, targets, strict=True)
        if max(len(source), len(target)) <= max_pieces
    ]


class TrainingRun:
    """Network, its running average and the optimisers of one run."""

    def __init__(
        self, config: TrainConfig, tokenizer: SubwordVocabulary, examples: list[Example], dev: TestSet
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.examples = examples
        self.dev = dev
        shape = config.shape.model_dump() | {"vocabulary_size": len(tokenizer)}
        self.network = Transformer(TransformerConfig(**shape))
        self.average = copy.deepcopy(self.network).eval().requires_grad_(requires_grad=False)
        self.optimisers = optimisers(self.network, config.optimiser)
        self.generator = random.Random(config.run.seed)
        self.started = self.reported = self.evaluated = time.monotonic()
        self.step = self.epoch = self.target_tokens = 0

    @property
    def progress(self) -> float:
        """How much of the run is behind us, 0 to 1."""
        limits = self.config.run
        by_steps = self.step / limits.max_steps if limits.max_steps else 0.0
        minutes = (time.monotonic() - self.started) / 60
        return max(by_steps, minutes / limits.max_minutes if limits.max_minutes else 0.0)

    def run(self, listener: Listener, output: Path, corpus: str) -> None:
        """Train to the end, saving the averaged network at every evaluation and once more, fully measured, at last."""
        self._check_dev()
        loss = math.nan
        while self.progress < 1:
            for batch in self._batches():
                loss = self._train_batch([self.examples[i] for i in batch])
                self._report_when_due(listener, loss)
                if self._evaluation_is_due():
                    quality = self._quality(self.config.run.evaluate_segments, SearchOptions(beam_size=1))
                    self._save(quality, output, corpus)
                    listener(self._report(loss, quality))
                if self.progress >= 1:
                    break
            else:
                self.epoch += 1
        quality = self._quality(len(self.dev.sources), SearchOptions(beam_size=4))
        self._save(quality, output, corpus)
        listener(self._report(loss, quality))

    def _batches(self) -> list[list[int]]:
        lengths = [(len(example.source), len(example.target)) for example in self.examples]
        tokens = self.config.run.batch_tokens
        return shuffled_batches(lengths, BatchLimits(tokens, rows=tokens), self.generator)

    def _train_batch(self, batch: list[Example]) -> float:
        factor = schedule(self.step, self.progress, self.config.optimiser.warmup_steps)
        set_learning_rate(self.optimisers, factor)
        self.network.train()
        loss = self._loss(pad([example.source for example in batch]), pad([example.target for example in batch]))
        value = self._finite("loss", loss)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip_norm)
        self._finite("gradient", norm)
        for optimiser in self.optimisers:
            optimiser.step()
        self._update_average()
        self.step += 1
        self.target_tokens += sum(len(example.target) - 1 for example in batch)
        return value

    def _finite(self, name: str, number: Tensor) -> float:
        value = number.item()
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"the {name} is {value} at step {self.step}: lower optimiser.learning_rate or raise warmup_steps; "
                "the last checkpoint is untouched"
            )
        return value

    def _loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Label-smoothed cross entropy per target piece; padding never reaches the output layer."""
        hidden = self.network(source, target[:, :-1])
        wanted = target[:, 1:]
        real = wanted != PAD
        logits = self.network.logits(hidden[real])
        return F.cross_entropy(logits, wanted[real], label_smoothing=self.config.optimiser.label_smoothing)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early steps are forgotten faster: the first average is nearly the network itself.
        decay = min(self.config.run.average_decay, (1 + self.step) / (10 + self.step))
        averages: list[Tensor] = list(self.average.parameters())
        parameters: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, parameters, 1 - decay)

    def _report_when_due(self, listener: Listener, loss: float) -> None:
        now = time.monotonic()
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            listener(self._report(loss, None))

    def _evaluation_is_due(self) -> bool:
        now = time.monotonic()
        due = now - self.evaluated >= 60 * self.config.run.evaluate_minutes
        if due:
            self.evaluated = now
        return due

    def _report(self, loss: float, quality: Quality | None) -> TrainReport:
        seconds = time.monotonic() - self.started
        return TrainReport(
            self.step,
            self.epoch,
            min(1.0, self.progress),
            loss,
            self.target_tokens / seconds,
            seconds,
            quality,
        )

    def _quality(self, segments: int, options: SearchOptions) -> Quality:
        sample = TestSet(self.dev.sources[:segments], self.dev.references[:segments])
        return evaluate(self._translator(), sample, options)

    def _check_dev(self) -> None:
        """Refuse at once a development set that the network could not translate at the end."""
        translator = self._translator()
        translator.check_lengths(translator.encode(self.dev.sources))

    def _translator(self) -> Translator:
        return Translator(self._checkpoint(""), torch.device("cpu"))

    def _save(self, quality: Quality, output: Path, corpus: str) -> None:
        minutes = (time.monotonic() - self.started) / 60
        training = (
            f"{self.step} steps, {self.epoch} full epochs, {self.target_tokens:,} target pieces "
            f"in {minutes:.0f} minutes on the CPU"
        )
        measured = Measured(corpus, training, ((short_name(self.config.data.dev), quality),))
        save_checkpoint(self._checkpoint(model_card(self.config, measured)), output)

    def _checkpoint(self, card: str) -> Checkpoint:
        pairs = ((self.config.source, self.config.target),)
        return Checkpoint(self.config.name, pairs, self.average, self.tokenizer, card)
