"""The seed task: 10,000 Tatoeba pairs as the Keras tutorial cuts them, its character-level LSTM, and a subword model.

    .venv/bin/python benchmarks/seed_tutorial.py [--json FILE] [--language fr|es] [--epochs N] [--quick]

Ours and Keras (in a process of its own, an epoch in turn) train the same architecture on the same pairs, on the CPU.
Then our subword model with attention learns from the same 8,000 pairs and translates the same 2,000 held-out ones.
What is the same and what differs is told in benchmarks/NOTES.md.
"""

import argparse
import gzip
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import sacrebleu
import torch
import torch.nn.functional as F
from dragoman.benchmarks._peer_process import PeerProcess
from dragoman.benchmarks._prerequisites import corpus, require
from dragoman.benchmarks._table import Row, row, show
from dragoman.model.architectures.catalog import build
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.memory import keep_freed_memory
from dragoman.model.threads import threads_for_layers
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.run import train
from dragoman.model.translator import Translator, pad
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor

PEER = Path(__file__).parent / "peers" / "keras_tutorial.py"
# The tutorial's numbers: pairs, share held out, width of the LSTMs, rows of a batch.
PAIRS, HELD_OUT, WIDTH, BATCH_ROWS = 10_000, 2_000, 256, 64
# Batches of one slab of sources of like length: with 32 of them, 5 % of the places of all batches are padding.
SLAB_BATCHES = 32
# Rows of a batch where nothing is learned.
MEASURING_ROWS = 256
# The same search for both models.
SEARCH = SearchOptions(beam_size=4)
# What the tutorial's model reached on held-out positions, padding included, after 40 epochs.
REFERENCE_ACCURACY = 0.816


@dataclass(frozen=True, slots=True)
class SeedTask:
    """The first pairs of a corpus sorted by length; the last 2,000 are held out, unshuffled."""

    language: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def read(cls, language: str, pairs: int) -> Self:
        """Read the pairs from tatoeba/train.en-XX.tsv.gz."""
        with gzip.open(corpus(f"tatoeba/train.en-{language}.tsv.gz"), "rt", encoding="utf-8") as lines:
            rows = [line.rstrip("\n").split("\t") for line in islice(lines, pairs)]
        return cls(language, tuple(row[0] for row in rows), tuple(row[1] for row in rows))

    @property
    def first_held_out(self) -> int:
        return len(self.sources) - len(self.sources) * HELD_OUT // PAIRS

    @property
    def target_positions(self) -> int:
        """Places of a padded target in the tutorial, where it wraps the text in two marks."""
        return max(map(len, self.targets)) + 2


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training pairs, and the share of positions predicted right in it and then on the held-out.

    `accuracy` and `held_out` count every padded position as the tutorial does, `held_out_real` only characters and
    end marks.
    """

    seconds: float
    accuracy: float
    held_out: float
    held_out_real: float = 0.0


class KerasRmsprop:
    """RMSprop as Keras does it: epsilon stands under the root (torch adds it after), which small gradients feel."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.learning_rate, self.decay, self.epsilon = 1e-3, 0.9, 1e-7
        self.parameters = list(parameters)
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update all parameters and forget their gradients."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_mul_(self.squares, self.decay)
        torch._foreach_addcmul_(self.squares, gradients, gradients, 1 - self.decay)
        roots = torch._foreach_add(self.squares, self.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self.parameters, gradients, roots, -self.learning_rate)
        for parameter in self.parameters:
            parameter.grad = None


class CharacterModel:
    """The tutorial's network from our catalog, and its training."""

    def __init__(self, task: SeedTask) -> None:
        torch.manual_seed(1)
        self.task = task
        self.vocabulary = CharacterVocabulary.train([*task.sources, *task.targets])
        shape = {"vocabulary_size": len(self.vocabulary), "width": WIDTH, "max_positions": 2 * task.target_positions}
        self.network = build("character-lstm", shape)
        self.optimiser = KerasRmsprop(self.network.parameters())
        self.sources = [[*pieces, END] for pieces in self.vocabulary.encode(task.sources)]
        self.targets = [[BEGIN, *pieces, END] for pieces in self.vocabulary.encode_target(task.targets)]
        self.generator = random.Random(1)

    def epoch(self) -> Epoch:
        """Train once on all training pairs, then look at the held-out ones."""
        start = time.perf_counter()
        # As `dragoman train` runs this architecture.
        with threads_for_layers():
            accuracy = self._pass(range(self.task.first_held_out), BATCH_ROWS)[0]
            with torch.no_grad():
                held_out, real = self._pass(range(self.task.first_held_out, len(self.sources)), MEASURING_ROWS)
        return Epoch(time.perf_counter() - start, accuracy, held_out, real)

    def translator(self) -> Translator:
        pairs = (("en", self.task.language),)
        checkpoint = Checkpoint("characters", pairs, self.network.eval(), self.vocabulary, "")
        return Translator(checkpoint, torch.device("cpu"))

    def _pass(self, numbers: range, rows: int) -> tuple[float, float]:
        """Accuracy over all padded positions, and over real ones; learns where gradients are on."""
        # Nothing is dropped out of this network: all that differs in training is its quicker way through padded rows.
        self.network.train()
        right = real = 0
        lengths = [(len(self.sources[number]), len(self.targets[number])) for number in numbers]
        for batch in batches_of_like_lengths(lengths, rows, self.generator):
            chosen = [numbers[place] for place in batch]
            right_here, real_here = self._batch(chosen)
            right += right_here
            real += real_here
        # Behind the end mark the tutorial's network must go on predicting blanks; a decoder of ours has stopped there.
        padding = len(numbers) * self.task.target_positions - real
        return (right + padding) / (real + padding), right / real

    def _batch(self, numbers: Sequence[int]) -> tuple[int, int]:
        target = pad([self.targets[number] for number in numbers])
        wanted = target[:, 1:]
        is_real = wanted != PAD
        # What follows an end mark is not asked for, so it need not be read.
        given = target[:, :-1].masked_fill(target[:, :-1] == END, PAD)
        hidden = self.network(pad([self.sources[number] for number in numbers]), given)
        scores, wanted = self.network.logits(hidden[is_real]), wanted[is_real]
        if torch.is_grad_enabled():
            # As in the tutorial, the mean over all padded positions.
            loss = F.cross_entropy(scores, wanted, reduction="sum") / (len(numbers) * self.task.target_positions)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return int((scores.argmax(-1) == wanted).sum()), len(wanted)


def batches_of_like_lengths(lengths: Sequence[tuple[int, int]], rows: int, generator: random.Random) -> list[list[int]]:
    """Full batches in random order: sorted by source length in slabs, and within a slab by target length."""
    order = sorted(range(len(lengths)), key=lambda number: (lengths[number][0], generator.random()))
    batches = []
    for slab in _cut(order, SLAB_BATCHES * rows):
        slab.sort(key=lambda number: (lengths[number][1], generator.random()))
        batches += _cut(slab, rows)
    generator.shuffle(batches)
    return batches


def _cut(numbers: Sequence[int], size: int) -> list[list[int]]:
    return [list(numbers[first : first + size]) for first in range(0, len(numbers), size)]


class KerasModel:
    """The peer; measures itself."""

    def __init__(self, process: PeerProcess) -> None:
        self._process = process

    def epoch(self) -> Epoch:
        """Train once on all training pairs, then look at the held-out ones."""
        return Epoch(**self._process.ask("epoch"))

    def held_out_real(self) -> float:
        """Share of held-out characters and end marks predicted right."""
        return self._process.ask("held-out")["held_out_real"]


def write_arrays(task: SeedTask, path: Path) -> None:
    """The tutorial's arrays, as character numbers; blanks fill up both sides."""
    wrapped = [f"\t{target}\n" for target in task.targets]
    source_table, target_table = _numbered(task.sources), _numbered(wrapped)
    longest, positions = max(map(len, task.sources)), task.target_positions
    np.savez(
        path,
        source=[[source_table[character] for character in text.ljust(longest)] for text in task.sources],
        target=[[target_table[character] for character in text.ljust(positions)] for text in wrapped],
        wanted=[[target_table[character] for character in text[1:].ljust(positions)] for text in wrapped],
        real=[[place < len(text) - 1 for place in range(positions)] for text in wrapped],
        source_characters=len(source_table),
        target_characters=len(target_table),
    )


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    return {character: number for number, character in enumerate(sorted({" ", *"".join(texts)}))}


def train_side_by_side(ours: CharacterModel, epochs: int, peer: KerasModel, peer_epochs: int) -> list[list[Epoch]]:
    """An epoch of each in turn, then the rest of ours; the peer's last epoch is measured on real positions too."""
    own, other = [], []
    for number in range(1, epochs + 1):
        own.append(ours.epoch())
        tell(f"en-{ours.task.language} epoch {number:>2}, ours", own[-1])
        if number <= peer_epochs:
            other.append(peer.epoch())
            tell(f"en-{ours.task.language} epoch {number:>2}, Keras", other[-1])
    last = other[-1]
    other[-1] = Epoch(last.seconds, last.accuracy, last.held_out, peer.held_out_real())
    return [own, other]


def tell(what: str, epoch: Epoch) -> None:
    print(
        f"{what}: {epoch.seconds:.1f} s, accuracy {epoch.accuracy:.4f}, held-out {epoch.held_out:.4f}"
        + (f", without padding {epoch.held_out_real:.4f}" if epoch.held_out_real else ""),
        flush=True,
    )


def subword_config(task: SeedTask, steps: int, threads: int) -> TrainConfig:
    """Our subword model with attention for so small a corpus: a recurrent one, few pieces, much dropout, a lexicon."""
    languages = ("en", task.language)
    return TrainConfig.model_validate(
        {
            "name": f"seed-en-{task.language}",
            "pairs": [f"en-{task.language}"],
            "output": "checkpoint",
            "data": {
                "corpora": [{"path": "train.tsv", "languages": languages}],
                # Nothing is chosen by it: a run wants a development set, and the held-out pairs stay unseen.
                "dev": [{"path": "dev.tsv", "languages": languages}],
                "max_pieces": 60,
            },
            "vocabulary": {"size": 1000},
            "network": {"architecture": "recurrent", "width": 256, "state": 256, "dropout": 0.3, "max_positions": 160,
                        "lexicon": True},
            "optimiser": {"learning_rate": 4e-3, "warmup_steps": 100},
            "run": {"batch_tokens": 600, "max_steps": steps, "evaluate_minutes": 1e6, "threads": threads,
                    "average_decay": 0.99, "device": "cpu"},
            "card": {"licence": "none: a benchmark", "attribution": "Tatoeba"},
        }
    )  # fmt: skip


def train_subwords(task: SeedTask, folder: Path, steps: int, threads: int) -> tuple[Translator, float]:
    """Train on the pairs that the character model learned from; returns it and the seconds that all of it took."""
    rows = [f"{source}\t{target}\n" for source, target in zip(task.sources, task.targets, strict=True)]
    (folder / "train.tsv").write_text("".join(rows[: task.first_held_out]), encoding="utf-8")
    (folder / "dev.tsv").write_text("".join(rows[:100]), encoding="utf-8")
    start = time.perf_counter()
    config = subword_config(task, steps, threads)
    checkpoint = train(config, folder, lambda _: None, folder / "run")
    return Translator.load(checkpoint, "cpu"), time.perf_counter() - start


def held_out_chrf(translator: Translator, task: SeedTask) -> float:
    """chrF of beam-4 translations of all held-out sources, each against the target of its own pair."""
    translations = translator.translate(task.sources[task.first_held_out :], SEARCH)
    references = [task.targets[task.first_held_out :]]
    for number in (0, len(translations) // 2):
        print(f"  {task.sources[task.first_held_out + number]!r} -> {translations[number].text!r}")
    return float(sacrebleu.CHRF().corpus_score([found.text for found in translations], references).score)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured for one language."""

    language: str
    ours: list[Epoch]
    peer: list[Epoch]
    character_chrf: float
    subword_chrf: float
    subword_seconds: float

    def rows(self) -> list[Row]:
        """The rows of the table."""
        # Keras traces its graph in the first epoch: where there are more, it is not timed.
        first, last = min(1, len(self.peer) - 1), len(self.peer) - 1
        own, other = self.ours[first : last + 1], self.peer[first:]
        times = [peer.seconds / epoch.seconds for epoch, peer in zip(own, other, strict=True)]
        seconds = [statistics.median(epoch.seconds for epoch in side) for side in (own, other)]
        all_seconds = sum(epoch.seconds for epoch in self.ours)
        here, there, end = self.ours[last], self.peer[last], self.ours[-1]
        gain = self.subword_chrf - self.character_chrf
        at, at_end = (f"of held-out positions, epoch {number}" for number in (last + 1, len(self.ours)))
        return [
            self._row("seed-epoch-time", seconds, times, ("s an epoch", ">= 5")),
            self._shares("seed-accuracy", here.held_out, there.held_out, at),
            self._shares("seed-accuracy-real", here.held_out_real, there.held_out_real, f"{at}, without padding"),
            self._shares("seed-accuracy-end", end.held_out, REFERENCE_ACCURACY, f"{at_end}, beside the reference"),
            self._row("subword-chrf-gain", [self.subword_chrf, self.character_chrf], [gain], ("chrF points", ">= 20")),
            self._row(
                "subword-time",
                [self.subword_seconds, all_seconds],
                [all_seconds / self.subword_seconds],
                ("s of training", ">= 1"),
            ),
        ]

    def _shares(self, name: str, ours: float, peer: float, unit: str) -> Row:
        return self._row(name, [ours, peer], [ours / peer], (unit, ">= 1"))

    def _row(self, name: str, sides: list[float], ratios: list[float], told: tuple[str, str]) -> Row:
        return row(f"{name}-en-{self.language}", sides, ratios, told)


def measure(task: SeedTask, options: argparse.Namespace) -> Measured:
    """Train and translate with all three models of one language."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        write_arrays(task, arrays)
        characters = CharacterModel(task)
        with PeerProcess(PEER, str(arrays), str(options.threads)) as process:
            ours, other = train_side_by_side(characters, options.epochs, KerasModel(process), options.peer_epochs)
    print(f"en-{task.language}: the character model translates", flush=True)
    character_chrf = held_out_chrf(characters.translator(), task)
    print(f"en-{task.language}: the subword model learns for {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subwords, seconds = train_subwords(task, Path(folder), options.steps, options.threads)
        subword_chrf = held_out_chrf(subwords, task)
    return Measured(task.language, ours, other, character_chrf, subword_chrf, seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--language", choices=("fr", "es"), action="append", help="both if not given")
    parser.add_argument("--epochs", type=int, default=40, help="of our character model")
    parser.add_argument("--peer-epochs", type=int, default=4, help="of Keras, each beside one of ours")
    parser.add_argument("--steps", type=int, default=2400, help="of the subword model")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    options = parser.parse_args()
    options.pairs = PAIRS
    if options.quick:
        options.pairs, options.epochs, options.peer_epochs, options.steps = 1000, 2, 1, 20
    if not 1 <= options.peer_epochs <= options.epochs:
        parser.error("--peer-epochs must be between 1 and --epochs")
    return options


def main() -> None:
    options = arguments()
    require("keras", "tensorflow")
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    rows: list[Row] = []
    for language in options.language or ("fr", "es"):
        rows += measure(SeedTask.read(language, options.pairs), options).rows()
    show(rows, options.json)


if __name__ == "__main__":
    main()
