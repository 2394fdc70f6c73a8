"""`dragoman audit`: what people did to the history, and whether anybody tampered with that."""

from datetime import UTC

import click

from ..errors import DragomanError
from ..settings import load_settings
from ..storage.audit import AuditEvent, last_events, verify_chain
from .database import database_transaction
from .terminal import as_json, json_text


@click.group()
def audit() -> None:
    """Show or verify the chain of audit events."""


@audit.command("list")
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many events.")
@as_json
def list_command(limit: int, as_json: bool) -> None:
    """Show the last events, the newest at the end."""
    with database_transaction(load_settings(), "dragoman-audit") as connection:
        events = last_events(connection, limit)
    for event in events:
        click.echo(json_text(event._asdict()) if as_json else _line(event))
    if not events and not as_json:
        click.echo("no audit event yet")


@audit.command("verify")
@click.option("--head", metavar="NUMBER:HASH", help="A head that this command printed before: it must be there still.")
def verify_command(head: str | None) -> None:
    """Check every event against its hash and the one before.

    Note the head that is printed somewhere else: events cut off at the end show only against it.
    """
    with database_transaction(load_settings(), "dragoman-audit") as connection:
        report = verify_chain(connection, head)
    if report.faults:
        raise DragomanError("the audit chain was tampered with: " + "; ".join(report.faults))
    click.echo(f"{report.events} events, each as it was written; head {report.head}")


def _line(event: AuditEvent) -> str:
    when = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return f"{event.number}  {when}  {event.actor}  {event.action}  {json_text(event.details)}"
