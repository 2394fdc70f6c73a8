"""The loop from corrections to production: does a retraining unlearn a systematic error, and nothing else?

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/retrain_loop.py [--json FILE] [--steps N] [--keep FOLDER]

The shipped English-French model says *voiture* for *car*; a customer's house style is *bagnole*. 500 such corrections
of Tatoeba sentences go through `dragoman retrain` with a replay of sentences without the word, as one who schedules it
would run it: register, promote, retrain, then `dragoman models rollback`. Asked afterwards: of sentences with *car*
that nobody corrected, how many does each version get wrong; and BLEU of both on Tatoeba's development sentences without
it.
"""

import argparse
import gzip
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import figure, show
from dragoman.compose.local import LocalStack, StackOptions
from dragoman.model.shipped import DEFAULT
from dragoman.model.translator import Translator
from dragoman.settings import load_settings
from dragoman.storage.deployments import find_open
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import find_version
from dragoman.worker.registry.artifacts import fetch
from sqlalchemy import Engine

PAIR = ("en", "fr")
CORRECTIONS, REPLAYED = 500, 12_000
CAR = re.compile(r"\bcar\b", re.IGNORECASE)
WRONG, RIGHT = re.compile(r"voiture", re.IGNORECASE), re.compile(r"bagnole", re.IGNORECASE)
CONFIG = """
pair = "en-fr"
corpus = "corrections"
corpus_weight = 4
test = ["replay/dev.en-fr.tsv"]
max_pieces = 60

[[replay]]
path = "replay/train.en-fr.tsv"

[optimiser]
learning_rate = 1e-4
warmup_steps = 10

[run]
batch_tokens = 3000
max_steps = {steps}
evaluate_steps = {steps}
evaluate_segments = 200
average_decay = 0.95
threads = 2

[card]
licence = "CC BY 2.0 FR, as its corpora."
attribution = "Tatoeba (tatoeba.org), CC BY 2.0 FR, with corrections made up for a benchmark."
"""
Sentences = Sequence[tuple[str, str]]


def pairs_of(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return list({row[0]: (row[0], row[1]) for row in rows}.values())


def write(path: Path, rows: Sentences) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")


def prepare(folder: Path, steps: int) -> list[str]:
    """Write config and corpora; returns the sentences that nobody corrected."""
    train = pairs_of(corpus("tatoeba/train.en-fr.tsv.gz"))
    numbers = random.Random(1)
    cars = [(source, WRONG.sub("bagnole", target)) for source, target in train if CAR.search(source)]
    cars = [pair for pair in cars if RIGHT.search(pair[1])]
    numbers.shuffle(cars)
    learned, unseen = cars[:CORRECTIONS], cars[CORRECTIONS:]
    write(folder / "corrections" / "train.en-fr.tsv", learned[50:])
    write(folder / "corrections" / "dev.en-fr.tsv", learned[:50])
    write(folder / "corrections" / "test.en-fr.tsv", unseen)
    plain = [pair for pair in train if not CAR.search(pair[0])]
    write(folder / "replay" / "train.en-fr.tsv", numbers.sample(plain, REPLAYED))
    dev = [pair for pair in pairs_of(corpus("tatoeba/dev.en-fr.tsv.gz")) if not CAR.search(pair[0])]
    write(folder / "replay" / "dev.en-fr.tsv", dev)
    (folder / "retrain.toml").write_text(CONFIG.format(steps=steps))
    return [source for source, _ in unseen]


def dragoman(folder: Path, *words: str) -> float:
    """Run a command as a user would; returns its seconds."""
    print("$ dragoman", *words, flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dragoman", *words], cwd=folder, check=True)
    return time.perf_counter() - start


def wrong(version_folder: Path, sources: Sequence[str]) -> float:
    """Share of these sentences whose translation is not the corrected term."""
    translator = Translator.load(version_folder, "cpu")
    translations = [one.text for one in translator.translate(list(sources), target=PAIR[1])]
    translator.close()
    return sum(not RIGHT.search(text) for text in translations) / len(translations)


def in_production(engine: Engine) -> tuple[str, Path, dict[str, object]]:
    """The version, its folder, and what was measured of it."""
    with transaction(engine) as connection:
        deployed = find_open(connection, PAIR, "production")
        assert deployed is not None
        version = find_version(connection, deployed.model_version_id)
    return version.id, fetch(version.artifact_url, version.content_sha256, Path("unused")), dict(version.metrics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--steps", type=int, default=60, help="of the training")
    parser.add_argument("--keep", type=Path, help="folder to work in, which stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dragoman-retrain-") as temporary:
        folder = (options.keep or Path(temporary)).absolute()
        unseen = prepare(folder, options.steps)
        with LocalStack(StackOptions().with_given_services()) as stack:
            os.environ["DRAGOMAN_DATABASE_URL"] = stack.database_url
            upgrade(stack.database_url)
            engine = create_database_engine(load_settings().database_url.get_secret_value())
            dragoman(folder, "models", "register", DEFAULT)
            dragoman(folder, "models", "promote", DEFAULT, "--force", "--because", "the first")
            before, before_folder, _ = in_production(engine)
            seconds = dragoman(folder, "retrain", "retrain.toml")
            after, after_folder, metrics = in_production(engine)
            rollback_seconds = dragoman(folder, "models", "rollback", "en-fr")
            assert before != after
            assert in_production(engine)[0] == before
            engine.dispose()
            errors = wrong(before_folder, unseen), wrong(after_folder, unseen)
    gate = metrics["gate en-fr"]
    assert isinstance(gate, dict)
    dev = next(test for test in gate["tests"] if test["test_set"] == "dev.en-fr.tsv")
    print(f"{len(unseen)} unseen sentences; {before} -> {after}")
    rows = [
        figure("error-before", errors[0], ("share of unseen cases", "> 0.9")),
        figure("error-after", errors[1], ("share of unseen cases", "< 0.2")),
        figure("retrain-seconds", seconds, ("s", "minutes")),
        figure("rollback-seconds", rollback_seconds, ("s", "one command")),
    ]
    rows += [
        figure(f"dev-{one['metric']}-gain", one["gain"], (f"points, p = {one['p_value']:.3f}", "no significant loss"))
        for one in dev["paired_bootstrap"]
    ]
    show(rows, options.json)


if __name__ == "__main__":
    main()
