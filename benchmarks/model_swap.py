"""How long does a loaded worker pause when another version of its model takes over, and is anything lost?

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/model_swap.py [--json FILE] [--jobs N]

A worker with `--registry` has a backlog of different texts. While it translates, another version of the shipped model
(the same weights in 8 bits) is promoted, then rolled back. `swap-pause-seconds`: the longest time in which no job was
recorded, from the change in the registry until the new version has translated for a while, beside the longest of the
same worker without a change. `swap-lost-jobs`: offsets that were passed, less those of
them that have a row in the history.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import torch
from dragoman.benchmarks._pipeline import Work, published, worker
from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import figure, row, show
from dragoman.benchmarks._worker_ledger import LOST
from dragoman.benchmarks.retrain_loop import pairs_of
from dragoman.cli.models_registry import register_folder
from dragoman.compose.local import LocalStack, StackOptions
from dragoman.model.checkpoint import load_checkpoint, save_checkpoint
from dragoman.model.shipped import default_checkpoint
from dragoman.storage.deployments import Reason, promote, roll_back
from dragoman.storage.engine import create_database_engine, transaction
from sqlalchemy import Engine, text

PAIR, WHY = ("en", "fr"), Reason("a benchmark", "to measure it")
# So many rows of a version before the next change.
ROWS = 600
PATIENCE_SECONDS = 600.0


def value(engine: Engine, statement: str, **given: object) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(text(statement), given).scalar_one())


def until(condition: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    deadline, never = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("the worker did not do its work: see above")
        never.wait(0.1)


def rows_of(engine: Engine, version: str) -> int:
    return value(engine, "SELECT count(*) FROM translation WHERE model_version_id = :version", version=version)


def moments(engine: Engine) -> list[datetime]:
    """When something was recorded."""
    with transaction(engine) as connection:
        return list(connection.execute(text("SELECT DISTINCT recorded_at FROM translation ORDER BY 1")).scalars())


def pause(recorded: Sequence[datetime], since: datetime, until_at: datetime) -> float:
    """The longest time without a record that ends in this span, in seconds."""
    return max((b - a).total_seconds() for a, b in pairwise(recorded) if since <= b <= until_at)


def changed(engine: Engine, change: Callable[..., object], *arguments: object) -> datetime:
    """Change the registry; returns when."""
    with transaction(engine) as connection:
        change(connection, PAIR, *arguments)
        at: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return at


def measure(work: Work, engine: Engine, versions: tuple[str, str]) -> tuple[list[float], float, int]:
    """Pauses of two changes, the longest without one, and how many jobs are missing."""
    old, new = versions
    with worker(work, ["--registry"], registry_seconds=0.5) as process:
        until(lambda: rows_of(engine, old) > ROWS, process)
        first = changed(engine, promote, new, WHY)
        until(lambda: rows_of(engine, new) > ROWS, process)
        before = rows_of(engine, old)
        second = changed(engine, roll_back, WHY)
        until(lambda: rows_of(engine, old) > before + ROWS, process)
    recorded = moments(engine)
    steady = pause(recorded, recorded[1], first)
    pauses = [pause(recorded, first, second), pause(recorded, second, recorded[-1])]
    return pauses, steady, value(engine, LOST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=60_000, help="of the backlog")
    options = parser.parse_args()
    texts = [source for source, _ in pairs_of(corpus("tatoeba/train.en-fr.tsv.gz"))]
    random.Random(1).shuffle(texts)
    with LocalStack(StackOptions().with_given_services()) as stack, tempfile.TemporaryDirectory() as folder:
        work = published(stack, texts[: options.jobs], options.jobs)
        settings = work.settings.model_copy(update={"artifacts_url": f"{folder}/artifacts"})
        shipped = load_checkpoint(default_checkpoint(), torch.device("cpu"))
        save_checkpoint(shipped, Path(folder) / "other", "float32")
        versions = tuple(register_folder(settings, one) for one in (default_checkpoint(), Path(folder) / "other"))
        engine = create_database_engine(settings.database_url.get_secret_value())
        changed(engine, promote, versions[0], WHY)
        pauses, steady, lost = measure(work, engine, (versions[0], versions[1]))
        engine.dispose()
    rows = [
        row("swap-pause-seconds", (max(pauses), steady), pauses, ("s, beside no change", "< 1")),
        figure("swap-lost-jobs", lost, ("jobs", "0")),
    ]
    show(rows, options.json)


if __name__ == "__main__":
    main()
