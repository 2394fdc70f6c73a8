"""`dragoman corrections add|withdraw`: one at a time."""

from uuid import UUID

import click
from pydantic import ValidationError
from sqlalchemy import Connection

from ..schemas.corrections import Correction, Signature
from ..settings import load_settings
from ..storage.corrections import Written, correct_job, record_corrections, withdraw
from .corrections_options import author_option, faults, reason_option, signature, source_option, target_option
from .database import database_transaction


@click.command()
@click.argument("translation")
@click.option("--job", "job_id", type=click.UUID, help="The job whose translation is wrong; for its client's jobs.")
@click.option("--text", "source_text", help="The segment itself instead; then with --source and --target.")
@source_option
@target_option
@click.option("--client", "client_id", metavar="ID", help="With --text: for this client's jobs. Default: for all.")
@click.option("--for-all-clients", is_flag=True, help="With --job: for the jobs of every client.")
@author_option
@reason_option
def add(
    translation: str,
    job_id: UUID | None,
    source_text: str | None,
    source: str | None,
    target: str | None,
    client_id: str | None,
    for_all_clients: bool,
    author: str,
    reason: str | None,
) -> None:
    """Let a segment become TRANSLATION, from the next job on."""
    by = signature(author, reason)
    with database_transaction(load_settings(), "dragoman-corrections") as connection:
        try:
            if job_id is not None and source_text is None:
                if client_id or source or target:
                    raise click.UsageError("a job has its client and languages: leave --client, -s and -t away")
                written = correct_job(connection, job_id, translation, by, for_all_clients=for_all_clients)
            elif source_text is not None and job_id is None and source and target:
                if for_all_clients:
                    raise click.UsageError("with --text it is for all clients unless --client names one")
                written = _add_text(connection, (source_text, translation), (source, target), client_id, by)
            else:
                raise click.UsageError("give --job, or --text with --source and --target")
        except ValidationError as error:
            raise faults(error) from None
    click.echo(f"{'correction' if written.is_new else 'it is so already:'} {written.id}")


@click.command("withdraw")
@click.argument("correction_id", type=click.UUID)
@author_option
@reason_option
def withdraw_command(correction_id: UUID, author: str, reason: str | None) -> None:
    """Let CORRECTION_ID hold no longer: from the next job on the model is asked again."""
    with database_transaction(load_settings(), "dragoman-corrections") as connection:
        row = withdraw(connection, correction_id, signature(author, reason))
    click.echo(f"withdrawn by {row.id}")


def _add_text(
    connection: Connection,
    texts: tuple[str, str],
    languages: tuple[str, str],
    client_id: str | None,
    by: Signature,
) -> Written:
    one = Correction(
        source_text=texts[0],
        target_text=texts[1],
        source_language=languages[0],
        target_language=languages[1],
        client_id=client_id,
        **by.model_dump(),
    )
    return record_corrections(connection, [one])[0]
