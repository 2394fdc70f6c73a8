"""The gate before production, and `dragoman models gate`, which shows what it says and changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError, DragomanError
from ..model.evaluation.gate import Exam, Verdict, judge
from ..model.evaluation.test_set import named_languages, read_direction
from ..settings import Settings, load_settings
from ..storage.deployments import find_open
from ..storage.models import Pair, RegisteredVersion, find_version
from ..worker.registry.artifacts import fetch
from .database import database_transaction
from .gate_record import keep_findings
from .loading import load_as_set
from .models_beside import chosen_pairs
from .registry_options import pairs_of_version


class GateClosedError(DragomanError):
    """A version is worse than the one that it was to replace."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a version is to translate, and the exams before it; `is_forced` = whatever comes of them."""

    pair: Pair
    exams: Sequence[Exam]
    is_forced: bool = False


def exam_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say for which pairs, and on what, versions are compared."""
    options = (
        pairs_of_version("For this pair, e.g. en-fr; may be given again. Default: all that the version translates."),
        click.option(
            "--test",
            type=click.Path(path_type=Path),
            help="Test set of the only --pair. Default: from DRAGOMAN_TEST_SETS.",
        ),
        click.option(
            "--limit", type=click.IntRange(1), help="Translate at most so many segments of it, drawn at random."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("version")
@exam_options
def gate(version: str, pairs: tuple[Pair, ...], test: Path | None, limit: int | None) -> None:
    """Compare VERSION with the one in production, as `promote` does, and change nothing.

    What was found is kept with the version; one that has passed may be a canary. Exit code 1: it has not passed.
    """
    settings = load_settings()
    found, entrances = planned(settings, version, pairs, test, limit)
    for entrance in entrances:
        pass_gate(settings, found, entrance)
        click.echo(f"{found.id} passes the gate for {'-'.join(entrance.pair)}")


def planned(
    settings: Settings, named: str, pairs: tuple[Pair, ...], test: Path | None, limit: int | None
) -> tuple[RegisteredVersion, list[Entrance]]:
    """The version of this name, and what it is to pass; raises `ConfigurationError`, `click.UsageError`.

    Pairs that it translates in production already are left out.
    """
    with database_transaction(settings) as connection:
        version = find_version(connection, named)
        chosen = []
        for pair in chosen_pairs(version, pairs):
            current = find_open(connection, pair, "production")
            if current and current.model_version_id == version.id:
                click.echo(f"{version.id} translates {'-'.join(pair)} already", err=True)
            else:
                chosen.append(pair)
    if not chosen:
        raise ConfigurationError("there is no other version to compare it with")
    if test and len(chosen) > 1:
        raise click.UsageError("--test is for one --pair")
    return version, [Entrance(pair, exams_for(settings, pair, test, limit)) for pair in chosen]


def exams_for(settings: Settings, pair: Pair, test: Path | None, limit: int | None = None) -> list[Exam]:
    """The test set that was named, or all in the settings' folder whose names hold both languages."""
    folder = settings.test_sets
    named = [path for path in sorted(folder.iterdir()) if set(pair) <= set(named_languages(path))] if folder else []
    return [_exam(path, pair, limit) for path in ([test] if test else named)]


def pass_gate(settings: Settings, version: RegisteredVersion, entrance: Entrance) -> Verdict:
    """Compare a version with the one in production; what the gate finds is kept with the version.

    Raises `GateClosedError` with its objections, unless they are not to count.
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
        keep_findings(connection, version, pair, verdict.figures)
    if not verdict.passed and not entrance.is_forced:
        raise GateClosedError(
            f"{version.id} does not pass the gate for {'-'.join(pair)}: {'; '.join(verdict.objections)} "
            "(promote --force --because overrules that)"
        )
    return verdict


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
