"""`dragoman models promote`: a version takes over, if the gate lets it pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import DragomanError
from ..model.evaluation.gate import Exam, Verdict, judge
from ..model.evaluation.test_set import named_languages, read_direction
from ..settings import Settings, load_settings
from ..storage.deployments import Reason, find_open
from ..storage.deployments import promote as deploy
from ..storage.models import Pair, RegisteredVersion, add_metrics, find_version
from ..worker.registry.artifacts import fetch
from .database import database_transaction
from .loading import load_as_set
from .models_beside import chosen_pairs
from .registry_options import because, by, pairs_of_version, reason


class GateClosedError(DragomanError):
    """A version is worse than the one that it was to replace."""


@click.command()
@click.argument("version")
@pairs_of_version("For this pair, e.g. en-fr; may be given again. Default: all that the version translates.")
@click.option(
    "--test", type=click.Path(path_type=Path), help="Test set of the only --pair. Default: from DRAGOMAN_TEST_SETS."
)
@click.option("--limit", type=click.IntRange(1), help="Translate at most so many segments of it, drawn at random.")
@click.option("--force", is_flag=True, help="Whatever the gate says; needs --because.")
@because
@by
def promote(version: str, pairs: tuple[Pair, ...], because: str | None, by: str, **options: Any) -> None:
    """Let VERSION translate, if it is not worse than the version that does so now.

    The gate compares both on the test set of each pair (paired bootstrap of BLEU and chrF) and on inputs that bring bad
    models down; what it found is kept with the version. Workers with --registry change over within seconds.
    """
    force, test, limit = (options[name] for name in ("force", "test", "limit"))
    if force and not because:
        raise click.UsageError("--force needs --because: say why the gate does not count")
    settings = load_settings()
    with database_transaction(settings) as connection:
        found = find_version(connection, version)
    chosen = chosen_pairs(found, pairs)
    if test and len(chosen) > 1:
        raise click.UsageError("--test is for one --pair")
    why = reason(by, because, "the gate let it pass")
    for pair in chosen:
        exams = exams_for(settings, pair, test, limit)
        verdict = pass_gate(settings, found, Entrance(pair, exams, why, is_forced=force))
        forced = f", although {'; '.join(verdict.objections)}" if verdict.objections else ""
        click.echo(f"{found.id} translates {'-'.join(pair)} now{forced}")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a version is to translate, and the exams before it; `is_forced` = whatever comes of them."""

    pair: Pair
    exams: Sequence[Exam]
    why: Reason
    is_forced: bool = False


def pass_gate(settings: Settings, version: RegisteredVersion, entrance: Entrance) -> Verdict:
    """Promote a version if the gate lets it pass, or is not to count; what the gate found is kept with the version.

    Raises `GateClosedError` with its objections.
    """
    pair = entrance.pair
    with database_transaction(settings) as connection:
        current = find_open(connection, pair, "production")
        before = find_version(connection, current.model_version_id) if current else None
    if before is not None and not entrance.exams and not entrance.is_forced:
        raise GateClosedError(
            f"there is no test set for {'-'.join(pair)} to compare {version.id} with {before.id} on: give --test, or "
            "name a folder in DRAGOMAN_TEST_SETS"
        )
    verdict = _verdict(settings, version, before, entrance)
    with database_transaction(settings) as connection:
        add_metrics(connection, version.id, f"gate {'-'.join(pair)}", verdict.figures)
    if not verdict.passed and not entrance.is_forced:
        raise GateClosedError(
            f"{version.id} is not promoted for {'-'.join(pair)}: {'; '.join(verdict.objections)} "
            "(--force --because overrules that)"
        )
    with database_transaction(settings) as connection:
        deploy(connection, pair, version.id, entrance.why)
    return verdict


def exams_for(settings: Settings, pair: Pair, test: Path | None, limit: int | None = None) -> list[Exam]:
    """The test set that was named, or all in the settings' folder whose names hold both languages."""
    folder = settings.test_sets
    named = [path for path in sorted(folder.iterdir()) if set(pair) <= set(named_languages(path))] if folder else []
    return [_exam(path, pair, limit) for path in ([test] if test else named)]


def _exam(path: Path, pair: Pair, limit: int | None) -> Exam:
    test_set = read_direction(path, *pair)
    return Exam(path.name, pair, test_set.sample(limit, seed=1) if limit else test_set)


def _verdict(
    settings: Settings, version: RegisteredVersion, before: RegisteredVersion | None, entrance: Entrance
) -> Verdict:
    candidate, baseline = _loaded(settings, version), _loaded(settings, before) if before else None
    try:
        return judge(candidate, baseline, entrance.pair, entrance.exams)
    finally:
        candidate.close()
        if baseline is not None:
            baseline.close()


def _loaded(settings: Settings, version: RegisteredVersion) -> Any:
    return load_as_set(fetch(version.artifact_url, version.content_sha256, settings.artifacts_cache), settings)
