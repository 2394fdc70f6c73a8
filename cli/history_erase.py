"""`dragoman history erase`: removes texts of a client, a job, or such as hold some words. `storage.erasure` does it."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import click

from ..settings import load_settings
from ..storage.erasure import Progress, find
from ..storage.erasure_request import Erased, Request, carry_out
from ..storage.erasure_scope import Scope
from ..storage.text_cipher import cipher_of
from .actor import by
from .database import database_engine

BEYOND_REACH = """\
Not reached, because it is not in this database: messages on Kafka until their topics' retention removes them, jobs that
were submitted and are not recorded yet (run the command again when they are), results that were sent, files that were
exported, models that were trained on them, backups and archived WAL. The old bytes lie in the database's files until
VACUUM has cleared the rows and their space is used again; VACUUM FULL writes a table anew. Workers forget what they
keep in memory within {seconds} seconds."""
# Workers look every two seconds; a loaded machine is slow.
WORKERS_FORGET_SECONDS = 5


@click.command("erase")
@click.option("--client", "client_id", metavar="ID", help="Texts of this client's jobs.")
@click.option("--job", "job_id", type=click.UUID, metavar="ID", help="Texts of this job.")
@click.option("--containing", metavar="TEXT", help="Texts that hold this, whatever the case; every row is read.")
@click.option("--because", "reason", default="", metavar="WHY", help="For the audit chain; do not quote the text.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by
def erase_command(
    client_id: str | None,
    job_id: UUID | None,
    containing: str | None,
    reason: str,
    actor: str,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove texts for good, wherever they lie in the database; the rows stay, and count.

    Several options narrow: texts of this client that hold this. Interrupted, the same command goes on. Events that
    still wait for Kafka are removed, so these results never arrive.
    """
    if client_id is None and job_id is None and containing is None:
        raise click.UsageError("say whose texts: --client, --job or --containing")
    scope = Scope(client_id, job_id, containing)
    settings = load_settings()
    cipher = cipher_of(settings.text_keys)
    with database_engine(settings, "dragoman-erase", connections=2) as engine:
        looked_at, meant = Counter[str](), Counter[str]()
        for found in find(engine, scope, cipher):
            looked_at[found.table] += found.looked_at
            meant[found.table] += found.meant
        click.echo(f"rows that hold such texts: {_counts(meant)}")
        if dry_run:
            return
        if not yes:
            click.confirm("Erase them? Nothing brings them back", abort=True)
        with click.progressbar(length=looked_at.total(), label="erasing") as bar:
            on_progress: Callable[[Progress], None] = lambda done: bar.update(done.looked_at)  # noqa: E731
            erased = carry_out(engine, Request(scope, actor, reason), on_progress, cipher)
        _report(erased)


def _report(erased: Erased) -> None:
    click.echo(f"erased: {_counts(erased.rows)}; words that search forgot: {erased.words}")
    if erased.exports:
        click.echo(f"Files exported since the first of these was recorded ({len(erased.exports)}) may hold them still:")
        for export in erased.exports:
            click.echo(f"  {export.get('at')}  {export.get('path')}")
    click.echo(BEYOND_REACH.format(seconds=WORKERS_FORGET_SECONDS))


def _counts(rows: Counter[str]) -> str:
    return ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "none"
