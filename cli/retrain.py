"""`dragoman retrain CONFIG.toml`: from corrections to a version in production, unattended. Each step is done once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import structlog
from sqlalchemy import text

from ..errors import ConfigurationError, DragomanError
from ..model.training.config import resolve
from ..model.training.loop import TrainingInterruptedError
from ..model.training.run import resume, train
from ..model.training.state import has_state
from ..settings import Settings, load_settings
from ..storage.deployments import Reason, find_open
from ..storage.engine import transaction
from ..storage.models import RegisteredVersion, find_version
from ..storage.text_cipher import cipher_of
from ..worker.corpus_export import EmptyCorpusError, corrections_order, export_corpus
from ..worker.logs import configure_logging
from ..worker.registry.artifacts import fetch
from .database import database_engine, database_transaction
from .models_gate import Entrance, GateClosedError, exams_for
from .models_promote import promote_through_gate
from .models_registry import register_folder
from .retrain_config import RetrainConfig, load_retrain_config
from .retrain_corpus import Corpus, read_corpus
from .retrain_journal import Journal, open_journal

log = structlog.get_logger(__name__)

INTERRUPTED, GATE_CLOSED = 130, 3
LAST_STEP = "ended"
EXPORTED = "corpus"


class RetrainBusyError(DragomanError):
    """Another retraining of the same pair is at work."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One retraining: its settings, its config and the folder of that, and what it has done."""

    settings: Settings
    config: RetrainConfig
    folder: Path
    journal: Journal


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--runs", type=click.Path(path_type=Path), help="Folder of the runs.  [default: runs/retrain-PAIR]")
def retrain(config: Path, runs: Path | None) -> None:
    """Fine-tune what translates a pair on its corrections, and let it take over if the gate lets it.

    CONFIG (docs/registry.md) names the pair, the folder of the corrections and corpora to replay. A run that was killed
    is gone on with by the same command; two runs of a pair never overlap. Exit codes: 0 promoted, or too little to
    learn; 1 it could not be done; 3 the gate kept the new version out; 130 interrupted.
    """
    settings = load_settings()
    configure_logging(settings)
    parsed, folder = load_retrain_config(config)
    with _alone(settings, parsed.pair):
        journal = open_journal(runs or Path("runs") / f"retrain-{parsed.pair}", LAST_STEP)
        try:
            outcome = _retrained(_Run(settings, parsed, folder, journal))
        except TrainingInterruptedError:
            click.echo("interrupted; the same command goes on", err=True)
            raise SystemExit(INTERRUPTED) from None
        except GateClosedError as error:
            journal.done(LAST_STEP, outcome="gate_closed", why=str(error))
            click.echo(f"dragoman: {error}", err=True)
            raise SystemExit(GATE_CLOSED) from None
        journal.done(LAST_STEP, outcome=outcome)
    click.echo(f"{parsed.pair}: {outcome}")


@contextmanager
def _alone(settings: Settings, pair: str) -> Iterator[None]:
    """Hold the pair's lock: a session's, which ends with this process however it ends."""
    key = {"key": f"retrain {pair}"}
    with database_engine(settings, "dragoman-retrain") as engine:
        holder = engine.execution_options(isolation_level="AUTOCOMMIT")
        with transaction(holder) as connection:
            held = connection.execute(text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key).scalar_one()
            if not held:
                raise RetrainBusyError(f"another retraining of {pair} is at work: wait until it has ended")
            yield


def _retrained(run: _Run) -> str:
    """Do what is left to do; what came of it, in a sentence."""
    pair = run.config.languages
    base = _base(run)
    if run.config.corpus is None and (few := _exported(run)) < run.config.fewest_segments:
        return f"{few} corrections are too few to learn from ({run.config.fewest_segments} are asked for)"
    corpus = _corpus(run)
    if corpus.segments < run.config.fewest_segments:
        return f"{corpus.segments} segments are too few to learn from ({run.config.fewest_segments} are asked for)"
    checkpoint = run.journal.folder / "checkpoint"
    if "trained" not in run.journal:
        _train(run, corpus, base, checkpoint)
    if "registered" not in run.journal:
        run.journal.done("registered", version=register_folder(run.settings, checkpoint))
    with database_transaction(run.settings) as connection:
        version = find_version(connection, run.journal["registered"]["version"])
        current = find_open(connection, pair, "production")
    if current is None or current.model_version_id != version.id:
        _promote(run, version, corpus)
    return f"{version.id} is promoted, {base.id} was before"


def _exported(run: _Run) -> int:
    """Write the corrections that people have made until now, once a run; returns how many there are to learn from."""
    if "exported" not in run.journal:
        segments = 0
        with suppress(EmptyCorpusError), database_engine(run.settings, "dragoman-retrain") as engine:
            order = corrections_order(run.config.languages, "dragoman retrain")
            cipher = cipher_of(run.settings.text_keys)
            written = export_corpus(engine, order, run.journal.folder / EXPORTED, cipher)
            segments = written.kept["train", "correction"]
        run.journal.done("exported", segments=segments)
    return int(run.journal["exported"]["segments"])


def _corpus(run: _Run) -> Corpus:
    named = run.config.corpus
    folder = run.journal.folder / EXPORTED if named is None else resolve(named, run.folder)
    return read_corpus(folder, run.config.languages)


def _base(run: _Run) -> RegisteredVersion:
    """The version that was deployed when the run began."""
    pair = run.config.languages
    with database_transaction(run.settings) as connection:
        if "begun" not in run.journal:
            current = find_open(connection, pair, "production")
            if current is None:
                raise ConfigurationError(
                    f"no version translates {run.config.pair}: `dragoman models promote` the one to begin from"
                )
            run.journal.done("begun", base=current.model_version_id)
        return find_version(connection, run.journal["begun"]["base"])


def _train(run: _Run, corpus: Corpus, base: RegisteredVersion, checkpoint: Path) -> None:
    begin = fetch(base.artifact_url, base.content_sha256, run.settings.artifacts_cache)
    training = run.config.training(corpus, begin.absolute(), run.folder, checkpoint)
    run_folder = run.journal.folder / "training"
    go = resume if has_state(run_folder) else train
    go(training, run.folder, lambda _: None, run_folder)
    run.journal.done("trained", segments=corpus.segments)


def _promote(run: _Run, version: RegisteredVersion, corpus: Corpus) -> None:
    pair = run.config.languages
    named = [resolve(path, run.folder) for path in run.config.test]
    exams = [exam for path in (corpus.test, *named) for exam in exams_for(run.settings, pair, path)]
    exams += exams_for(run.settings, pair, None)
    why = Reason("dragoman retrain", f"fine-tuned on {corpus.segments} segments of corrections")
    verdict = promote_through_gate(run.settings, version, Entrance(pair, exams), why)
    figures = {test["test_set"]: test["quality"]["bleu"] for test in verdict.figures["tests"]}
    run.journal.done("promoted", version=version.id, bleu=figures)
