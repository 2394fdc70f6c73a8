"""What the demo prints: plain tables that read the same on a terminal and in a log. Asks the history for figures."""

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from ...schemas.dead_letters import DeadLetter
from ...schemas.results import TranslationResult
from ...storage.engine import transaction
from ...storage.history import HistoryFilter, search, stats

SHOWN_TRANSLATIONS = 15
# Wide enough for two sentences side by side where there is no terminal to ask.
LOG_WIDTH = 120
BATCHES = "SELECT min(rows), round(avg(rows), 1), max(rows) FROM batch"
SLOWEST = """
SELECT source_text, extract(epoch FROM recorded_at - submitted_at) AS seconds
FROM translation WHERE status = 'translated' ORDER BY seconds DESC LIMIT 3
"""


def heading(words: str) -> None:
    """A line between two steps."""
    click.echo(f"\n== {words}")


def translations(sentences: list[str], results: list[TranslationResult]) -> None:
    """Some pairs side by side, spread over the whole file."""
    heading(f"{SHOWN_TRANSLATIONS} of the {len(results)} translations, by {results[0].model_version}")
    table = Table("English", "French", box=None, padding=(0, 2), header_style="bold")
    step = len(sentences) // SHOWN_TRANSLATIONS
    for place in range(step // 2, step * SHOWN_TRANSLATIONS, step):
        table.add_row(sentences[place], results[place].translation)
    _console().print(table)


def dead_letter(letter: DeadLetter) -> None:
    """The bad message, as it arrived on the dead-letters topic."""
    heading("The message that was no job, as a dead letter")
    click.echo(f"  {letter.topic}, partition {letter.partition}, offset {letter.offset}: {letter.reason}")
    click.echo(f"  {letter.detail}")
    click.echo(f"  original bytes kept: {letter.original_value!r}")


def history(engine: Engine) -> None:
    """What an analyst would ask."""
    with transaction(engine) as connection:
        figures = stats(connection)
        least, average, most = connection.execute(text(BATCHES)).one()
        houses = search(connection, ["house"], HistoryFilter(status="translated"), limit=3)
        slowest = connection.execute(text(SLOWEST)).all()
    heading("What the history in PostgreSQL says")
    states = ", ".join(f"{number} {status}" for status, number in sorted(figures.by_status.items()))
    click.echo(f"  rows: {figures.rows} ({states})")
    padding = f"padding ratio {figures.padding_ratio or 0:.1%}"
    click.echo(f"  batches: {figures.batches} of {least} to {most} segments, {average} on average; {padding}")
    click.echo(f"  submission to recording: median {figures.p50_seconds:.1f} s, p95 {figures.p95_seconds:.1f} s")
    click.echo('  search "house":')
    for hit in houses:
        click.echo(f"    {hit.row.source_text}  ->  {hit.row.target_text}")
    click.echo("  waited longest:")
    for row in slowest:
        click.echo(f"    {row.seconds:4.1f} s  {row.source_text}")


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=LOG_WIDTH)
