"""`dragoman retrain` on a real PostgreSQL: what it does once, what it goes on with, what it leaves alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dragoman.cli.models_registry import register_folder
from dragoman.schemas.corrections import Correction
from dragoman.settings import load_settings
from dragoman.storage.corrections import record_corrections
from dragoman.storage.deployments import Reason, find_open, promote
from dragoman.storage.engine import transaction
from dragoman.tests.tiny_checkpoints import SENTENCES, save_tiny, tiny_vocabulary
from sqlalchemy import Engine, text

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 200.0
CONFIG = """
pair = "en-fr"
{corpus}
fewest_segments = {fewest}
max_pieces = 60
optimiser = {{ learning_rate = {rate} }}
run = {{ max_steps = {steps}, evaluate_steps = 100000, save_minutes = 0.001, batch_tokens = 200, threads = 1 }}
card = {{ licence = "none", attribution = "nobody" }}
"""
Retrain = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def base(database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model of random weights in production, and corrections for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)
    (tmp_path / "corrections").mkdir()
    pairs = f"{SENTENCES[0]}\t{SENTENCES[1]}\n{SENTENCES[2]}\t{SENTENCES[3]}\n"
    for part in ("train", "dev", "test"):
        (tmp_path / "corrections" / f"{part}.en-fr.tsv").write_text(pairs)
    version = register_folder(load_settings(), save_tiny(tmp_path / "small", tiny_vocabulary()))
    with transaction(database) as connection:
        promote(connection, ("en", "fr"), version, Reason("a test", "to begin"))
    return version


@pytest.fixture
def retrain(base: str, tmp_path: Path) -> Retrain:
    def start(
        steps: int = 5, fewest: int = 1, rate: float = 1e-3, corpus: str = 'corpus = "corrections"'
    ) -> "subprocess.Popen[str]":
        (tmp_path / "retrain.toml").write_text(CONFIG.format(steps=steps, fewest=fewest, rate=rate, corpus=corpus))
        command = [sys.executable, "-m", "dragoman", "retrain", "retrain.toml"]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output


def in_production(database: Engine) -> str:
    with transaction(database) as connection:
        found = find_open(connection, ("en", "fr"), "production")
    assert found is not None
    return found.model_version_id


def runs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "runs" / "retrain-en-fr").iterdir())


def test_a_version_is_trained_and_promoted(base: str, retrain: Retrain, database: Engine, tmp_path: Path) -> None:
    code, output = ended(retrain())
    (run,) = runs(tmp_path)
    journal = json.loads((run / "retrain.json").read_text())

    assert (code, in_production(database) == base) == (0, False), output
    assert list(journal) == ["begun", "trained", "registered", "promoted", "ended"]
    assert in_production(database) == journal["promoted"]["version"]
    assert "small@" in output
    assert in_production(database).startswith("small@")


def test_a_killed_run_is_gone_on_with_and_what_learned_nothing_but_two_sentences_is_kept_out(
    base: str, retrain: Retrain, database: Engine, tmp_path: Path
) -> None:
    killed = retrain(steps=300)
    deadline, never = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not list(tmp_path.glob("runs/retrain-en-fr/*/training/state.safetensors")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        never.wait(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert in_production(database) == base

    code, output = ended(retrain(steps=300))

    assert code == 3, output
    assert "repeats itself without end" in output
    assert in_production(database) == base
    (run,) = runs(tmp_path)
    journal = json.loads((run / "retrain.json").read_text())
    assert list(journal) == ["begun", "trained", "registered", "ended"]
    assert journal["ended"]["outcome"] == "gate_closed"
    steps = [json.loads(line)["step"] for line in (run / "training" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_nothing_is_trained_on_too_few_segments(base: str, retrain: Retrain, database: Engine, tmp_path: Path) -> None:
    code, output = ended(retrain(fewest=100))

    assert code == 0
    assert "2 segments are too few" in output
    assert in_production(database) == base
    assert not (runs(tmp_path)[0] / "training").exists()


def correct(database: Engine, count: int) -> None:
    names = [f"{first}{second}" for first in ("Ann", "Bert", "Carl", "Dora") for second in ("a", "e", "i", "o", "u")]
    with transaction(database) as connection:
        record_corrections(
            connection,
            [
                Correction(
                    source_text=f"My friend {names[n % 20]} has {n} red apples and a dog.",
                    target_text=f"Mon amie {names[n % 20]} a {n} pommes rouges et un chien.",
                    source_language="en",
                    target_language="fr",
                    author="Ada",
                )
                for n in range(count)
            ],
        )


@pytest.mark.parametrize("count", [0, 4])
def test_nothing_is_trained_on_too_few_corrections(base: str, retrain: Retrain, database: Engine, count: int) -> None:
    correct(database, count)
    code, output = ended(retrain(corpus="", fewest=50))

    assert code == 0
    assert "corrections are too few" in output
    assert in_production(database) == base


def test_corrections_in_the_database_are_learned_when_no_folder_is_named(
    base: str, retrain: Retrain, database: Engine, tmp_path: Path
) -> None:
    correct(database, 200)
    code, output = ended(retrain(corpus="", fewest=50))

    assert code in (0, 3), output  # so short a training may be kept out by the gate
    assert list(runs(tmp_path)[0].glob("corpus/train.correction.en-fr.tsv.gz"))
    with transaction(database) as connection:
        assert connection.execute(text("SELECT count(*) FROM export_log")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM model_version")).scalar_one() == 2


def test_a_second_run_of_the_pair_is_refused(retrain: Retrain, database: Engine, tmp_path: Path) -> None:
    with transaction(database) as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtextextended('retrain en-fr', 0))"))
        code, output = ended(retrain())

    assert code == 1
    assert "another retraining of en-fr is at work" in output
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_its_parts_is_named(retrain: Retrain, tmp_path: Path) -> None:
    (tmp_path / "corrections" / "test.en-fr.tsv").unlink()
    code, output = ended(retrain())

    assert code == 1
    assert "has no test corpus" in output
