"""`dragoman corpus`: what the history has to teach. `worker.corpus_export` writes it."""

from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from ..model.corpora.cleaning import CleaningRules
from ..model.corpora.harvest import Harvest, HarvestRules, Origin
from ..model.corpora.language_check import LanguageCheck
from ..settings import load_settings
from ..storage.history import HistoryFilter
from ..storage.text_cipher import cipher_of
from ..worker.corpus_export import MIN_SCRIPT_SHARE, CorpusOrder, export_corpus
from .database import database_engine
from .history_export import who
from .history_filters import moments

ORIGINS: dict[str | None, tuple[Origin, ...]] = {
    None: ("correction", "model"),
    "corrections": ("correction",),
    "model": ("model",),
}


@click.group()
def corpus() -> None:
    """Make training corpora out of the history and its corrections."""


@corpus.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pair", required=True, metavar="SOURCE-TARGET", help="Languages, e.g. en-fr.")
@click.option("--only", type=click.Choice(["corrections", "model"]), help="Only what people wrote, or what models did.")
@click.option("--min-score", type=float, help="Of what a model wrote: only with this score (log-probability) or more.")
@click.option("--client", "client_id", metavar="ID", help="Only texts of this client.")
@click.option("--model", "model_version_id", metavar="ID", help="Of what a model wrote: only by this version.")
@moments
@click.option("--max-characters", type=click.IntRange(1), default=400, show_default=True, help="Of either side.")
@click.option("--max-length-ratio", type=click.FloatRange(1), default=3.0, show_default=True, help="Of the sides.")
@click.option("--language-check/--no-language-check", default=True, help="Drop what is surely in another language.")
@click.option("--licence", default="not stated", show_default=True, help="What may be done with it; for the card.")
@click.option("--force", is_flag=True, help="Replace a folder that is there.")
def export_command(folder: Path, force: bool, licence: str, only: str | None, **chosen: Any) -> None:
    """Write a corpus into FOLDER that `dragoman train` reads, with a card that says what is in it.

    Cleaned, one translation a source, corrections before what a model wrote. Which of train, dev and test a segment is
    in follows from its source alone: a test segment is in no training set of any later export either.
    """
    if folder.exists() and not force:
        raise ConfigurationError(f"{folder} is there already: choose another name, or replace it with --force")
    languages = _languages(chosen["pair"])
    filters = HistoryFilter(
        source_language=languages[0],
        target_language=languages[1],
        **{name: chosen[name] for name in ("client_id", "model_version_id", "since", "until")},
    )
    order = CorpusOrder(filters, _rules(languages, chosen), ORIGINS[only], who(), licence)
    settings = load_settings()
    with database_engine(settings, "dragoman-corpus", connections=5) as engine:
        result = export_corpus(engine, order, folder, cipher_of(settings.text_keys))
    for line in _summary(result):
        click.echo(line, err=True)


def _languages(pair: str) -> tuple[str, str]:
    source, _, target = pair.partition("-")
    if not (source and target) or source == target:
        raise ConfigurationError(f"{pair} is no language pair: write two different languages, e.g. en-fr")
    return source, target


def _rules(languages: tuple[str, str], chosen: dict[str, Any]) -> HarvestRules:
    cleaning = CleaningRules(chosen["max_characters"], chosen["max_length_ratio"], min_script_share=MIN_SCRIPT_SHARE)
    check = LanguageCheck() if chosen["language_check"] else None
    return HarvestRules(languages, cleaning, chosen["min_score"], check)


def _summary(result: Harvest) -> list[str]:
    files = [f"{file.name}: {file.pairs:,} pairs" for file in result.files]
    dropped = [f"dropped, {origin}, {reason}: {pairs:,}" for (origin, reason), pairs in result.dropped.most_common()]
    return [*files, *dropped]
