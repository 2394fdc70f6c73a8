"""`dragoman corrections add|withdraw`: one at a time."""

from uuid import UUID

import click
from pydantic import ValidationError

from ..schemas.corrections import Correction, Signature
from ..settings import load_settings
from ..storage.corrections import correct_job, record_corrections, withdraw
from ..storage.text_cipher import cipher_of
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
    by, settings = signature(author, reason), load_settings()
    cipher = cipher_of(settings.text_keys)
    with database_transaction(settings, "dragoman-corrections") as connection:
        try:
            if job_id is not None and source_text is None:
                if client_id or source or target:
                    raise click.UsageError("a job has its client and languages: leave --client, -s and -t away")
                written = correct_job(connection, job_id, translation, by, cipher, for_all_clients=for_all_clients)
            elif source_text is not None and job_id is None and source and target:
                if for_all_clients:
                    raise click.UsageError("with --text it is for all clients unless --client names one")
                one = _correction((source_text, translation), (source, target), client_id, by)
                (written,) = record_corrections(connection, [one], cipher)
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
    settings = load_settings()
    with database_transaction(settings, "dragoman-corrections") as connection:
        row = withdraw(connection, correction_id, signature(author, reason), cipher_of(settings.text_keys))
    click.echo(f"withdrawn by {row.id}")


def _correction(texts: tuple[str, str], languages: tuple[str, str], client_id: str | None, by: Signature) -> Correction:
    return Correction(
        source_text=texts[0],
        target_text=texts[1],
        source_language=languages[0],
        target_language=languages[1],
        client_id=client_id,
        **by.model_dump(),
    )
