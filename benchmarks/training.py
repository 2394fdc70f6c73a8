"""Training throughput at Transformer-base shape: our loop beside the `transformers` Trainer, in real target pieces.

    .venv/bin/python benchmarks/training.py [--json FILE] [--minutes N] [--device cpu|cuda:0] [--batch-tokens N]

Both train on the same encoded pairs (Tatoeba and laws, English to French) with as many real pieces a step on average,
a few steps in turn, each in a process of its own: the peer once with its batches grouped by length (its best
setting), once in random order (its default). What is the same and what differs is told in benchmarks/NOTES.md.
"""

import argparse
import gzip
import json
import lzma
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from dragoman.benchmarks._peer_process import PeerProcess
from dragoman.benchmarks._prerequisites import corpus, require
from dragoman.benchmarks._table import Row, row, show
from dragoman.model.architectures.catalog import build
from dragoman.model.batching import padding_ratio
from dragoman.model.corpora.corpus_file import CorpusFile, LabelledPair
from dragoman.model.corpora.stream import PairStream
from dragoman.model.memory import keep_freed_memory
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.data import BatchOptions, BatchStream, DataPosition, Example
from dragoman.model.training.distributed import Processes
from dragoman.model.training.encoding import encode_pairs
from dragoman.model.training.loss import padding
from dragoman.model.training.packing import packed
from dragoman.model.training.trainer import Moment, Trainer
from dragoman.model.translator import resolve_device
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from numpy.typing import NDArray

# (N, 2): pieces of N pairs, source and target.
Lengths = NDArray[np.int32]
PEER = Path(__file__).parent / "peers" / "marian_trainer.py"
BASE = {"width": 512, "heads": 8, "feed_forward": 2048, "encoder_layers": 6, "decoder_layers": 6, "dropout": 0.1,
        "max_positions": 512}  # fmt: skip
VOCABULARY_SIZE, MAX_PIECES = 8000, 100
# Pairs taken of each corpus, at random among its first lines.
CORPORA = {"tatoeba/train.en-fr.tsv.gz": (20_000, 132_000), "laws/train.en-fr.tsv.xz": (10_000, 100_000)}
# Padding is measured where nothing is trained: on as many pairs as a real run has, at these tokens of a batch.
REAL_CORPORA = {"tatoeba/train.en-fr.tsv.gz": (132_000, 132_000), "laws/train.en-fr.tsv.xz": (300_000, 300_000)}
PADDING_TOKENS = (1000, 4000, 8000, 25_000)


@dataclass(frozen=True, slots=True)
class Steps:
    """What some steps took and held: `padded` and `real` count both sides, `target` real target pieces."""

    seconds: float
    padded: int
    real: int
    target: int

    @property
    def speed(self) -> float:
        """Real target pieces a second."""
        return self.target / self.seconds


class Ours:
    """Our loop's trainer and batches."""

    def __init__(self, stream: PairStream, vocabulary: SubwordVocabulary, options: argparse.Namespace) -> None:
        torch.manual_seed(1)
        network = build("transformer", BASE | {"vocabulary_size": len(vocabulary)})
        self.config = config(options)
        self.device = resolve_device(options.device)
        self.trainer = Trainer(network, self.config, Processes(0, 1, self.device))
        self.batches = batches(stream, vocabulary, options.batch_tokens).batches(DataPosition())

    def steps(self, count: int) -> Steps:
        """Take some steps, the making of their batches included."""
        start = time.perf_counter()
        taken = []
        for _, examples in islice(self.batches, count):
            target = sum(len(example.target) - 1 for example in examples)
            self.trainer.train([examples], Moment(target, 0.0))
            taken.append((*padding(examples), target, len(examples)))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        real, padded, target, rows = (sum(column) for column in zip(*taken, strict=True))
        # BEGIN is not counted: the peer's labels have none.
        return Steps(seconds, padded - rows, real - rows, target)


def config(options: argparse.Namespace) -> TrainConfig:
    """What our loop is told; its files are never opened, the trainer is given its batches."""
    return TrainConfig.model_validate(
        {
            "name": "throughput",
            "pairs": ["en-fr"],
            "output": "unused",
            "data": {
                "corpora": [{"path": "unused", "languages": ("en", "fr")}],
                "dev": [{"path": "unused", "languages": ("en", "fr")}],
                "max_pieces": MAX_PIECES,
            },
            "network": BASE,
            "run": {"batch_tokens": options.batch_tokens, "max_steps": 1_000_000},
            "card": {"licence": "none: a benchmark", "attribution": "none"},
        }
    )


def batches(stream: PairStream, vocabulary: SubwordVocabulary, tokens: int) -> BatchStream:
    return BatchStream(stream, vocabulary, BatchOptions(batch_tokens=tokens, max_pieces=MAX_PIECES))


def write_corpus(folder: Path, chosen_of: dict[str, tuple[int, int]]) -> list[CorpusFile]:
    """Pairs chosen of each corpus, in random order, as a file."""
    files = []
    folder.mkdir()
    for name, (count, first) in chosen_of.items():
        opened = gzip.open if name.endswith(".gz") else lzma.open
        with opened(corpus(name), "rt", encoding="utf-8") as lines:
            chosen = random.Random(1).sample(list(islice(lines, first)), count)
        path = folder / f"{name.split('/')[0]}.tsv"
        path.write_text("".join(chosen), encoding="utf-8")
        files.append(CorpusFile(path, ("en", "fr")))
    return files


def one_epoch(stream: BatchStream) -> Iterator[list[Example]]:
    for position, examples in stream.batches(DataPosition()):
        yield examples
        if position.epoch:
            return


def peer_settings(epoch: Sequence[list[Example]], folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """What the peer is told; its batches have as many rows as ours have on average, hence as many real pieces."""
    rows = [{"input_ids": example.source, "labels": example.target[1:]} for examples in epoch for example in examples]
    stored = folder / "rows.json"
    stored.write_text(json.dumps(rows))
    optimiser = config(options).optimiser
    return {
        "rows": str(stored), "shape": BASE, "vocabulary_size": options.vocabulary_size, "device": options.device,
        "threads": options.threads, "batch_rows": round(len(rows) / len(epoch)), "pad": PAD, "begin": BEGIN,
        "end": END, "learning_rate": optimiser.learning_rate, "warmup_steps": optimiser.warmup_steps,
        "weight_decay": optimiser.weight_decay, "label_smoothing": optimiser.label_smoothing,
    }  # fmt: skip


def side_by_side(ours: Ours, peers: dict[str, PeerProcess], options: argparse.Namespace) -> dict[str, list[Steps]]:
    """Steps of each in turn until the minutes are over, those of the first turn left out."""
    sides: dict[str, list[Steps]] = {name: [] for name in ("ours", *peers)}
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end or len(sides["ours"]) < 2:
        sides["ours"].append(ours.steps(options.steps))
        for name, peer in peers.items():
            sides[name].append(Steps(**peer.ask(str(options.steps))))  # type: ignore[arg-type]
        speeds = ", ".join(f"{name} {taken[-1].speed:,.0f}" for name, taken in sides.items())
        print(f"turn {len(sides['ours'])}: {speeds} target pieces/s", flush=True)
    return {name: taken[1:] for name, taken in sides.items()}


def total(taken: Sequence[Steps]) -> Steps:
    return Steps(
        *(sum(column) for column in zip(*((s.seconds, s.padded, s.real, s.target) for s in taken), strict=True))
    )


def compared(name: str, ours: Sequence[Steps], peer: Sequence[Steps]) -> Row:
    """The row of a peer; the ratio is of all steps together, its spread that of the turns."""
    own, other = total(ours), total(peer)
    ratios = sorted(mine.speed / its.speed for mine, its in zip(ours, peer, strict=True))
    ratio = own.speed / other.speed
    shares = [1 - side.real / side.padded for side in (own, other)]
    real = (own.real / own.padded) / (other.real / other.padded)
    speed = (own.padded / own.seconds) / (other.padded / other.seconds)
    print(
        f"{name}: {ratio:.2f} = {real:.2f} (padding {shares[0]:.1%} against {shares[1]:.1%}) x {speed:.2f} (padded "
        f"pieces a second) x {ratio / real / speed:.2f} (share of targets among the real pieces)"
    )
    return Row(name, own.speed, other.speed, "target pieces/s", ratio, ratios[0], ratios[-1], ">= 1.3")


def padding_rows(stream: PairStream, vocabulary: SubwordVocabulary) -> list[Row]:
    """Padding of an epoch of our batches, cut from pools as in training, and of batches in random order."""
    lengths = piece_lengths(stream, vocabulary)
    rows = []
    for tokens in PADDING_TOKENS:
        epoch = list(batches_of_lengths(lengths, tokens))
        ours, peer = share_of_padding(epoch), share_of_padding(in_random_order(epoch))
        rows.append(row(f"padding-ratio-{tokens}", [ours, peer], [ours], ("share of padding", "<= 0.05")))
    return rows


def piece_lengths(stream: PairStream, vocabulary: SubwordVocabulary) -> Lengths:
    """Pieces of all pairs that training takes, in the stream's order: (N, 2), source and target, marks included."""

    def encode(pairs: Sequence[LabelledPair]) -> tuple[list[list[int]], list[list[int]]]:
        return (
            vocabulary.encode([pair.source for pair in pairs]),
            vocabulary.encode_target([pair.target for pair in pairs]),
        )

    encoded = encode_pairs(list(stream.epoch(0)), vocabulary, encode, MAX_PIECES)
    return np.stack([encoded.sources.lengths, encoded.targets.lengths], 1)


def batches_of_lengths(lengths: Lengths, tokens: int) -> Iterator[Lengths]:
    """Batches as a `BatchStream` makes them, pool by pool."""
    pools = -(-len(lengths) // BatchOptions(tokens, MAX_PIECES).sorted_pairs)
    for number, pool in enumerate(np.array_split(lengths, pools)):
        yield from (pool[chosen] for chosen in packed(pool[:, 0], pool[:, 1], tokens, random.Random(number)))


def in_random_order(epoch: Sequence[Lengths]) -> list[Lengths]:
    """The same pairs in as many batches of equal rows."""
    shuffled = np.random.default_rng(1).permutation(np.concatenate(epoch))
    return np.array_split(shuffled, len(epoch))


def share_of_padding(epoch: Sequence[Lengths]) -> float:
    return padding_ratio(batch[:, side].tolist() for batch in epoch for side in (0, 1))


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    stream = PairStream(write_corpus(folder / "trained", CORPORA), [("en", "fr")])
    lines = (text for pair in stream.epoch(0) for text in (pair.source, pair.target))
    vocabulary = SubwordVocabulary.train(lines, VOCABULARY_SIZE)
    real = PairStream(write_corpus(folder / "real", REAL_CORPORA), [("en", "fr")])
    padding_seen = padding_rows(real, vocabulary)
    epoch = list(one_epoch(batches(stream, vocabulary, options.batch_tokens)))
    options.vocabulary_size = len(vocabulary)
    settings = peer_settings(epoch, folder, options)
    print(f"{len(epoch)} batches an epoch, {settings['batch_rows']} rows each on average", flush=True)
    with ExitStack() as stack:
        peers = {}
        for order in ("group_by_length", "random"):
            told = folder / f"{order}.json"
            told.write_text(json.dumps(settings | {"order": order}))
            peers[order] = stack.enter_context(PeerProcess(PEER, str(told)))
        sides = side_by_side(Ours(stream, vocabulary, options), peers, options)
    throughput = [
        compared(f"throughput-over-{order.replace('_', '-')}", sides["ours"], sides[order]) for order in peers
    ]
    return [*throughput, *padding_seen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, all sides together")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--batch-tokens", type=int, help="of a batch of ours: 1,000 on a CPU, 8,000 on a GPU")
    parser.add_argument("--steps", type=int, help="of each side in a turn: 2 on a CPU, 50 on a GPU")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    options = parser.parse_args()
    on_gpu = options.device != "cpu"
    options.batch_tokens = options.batch_tokens or (8000 if on_gpu else 1000)
    options.steps = options.steps or (50 if on_gpu else 2)
    require("transformers", "accelerate")
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options)
    show(rows, options.json)


if __name__ == "__main__":
    main()
