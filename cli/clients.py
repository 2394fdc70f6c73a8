"""`dragoman clients`: what is agreed with each client about keeping its texts."""

from dataclasses import asdict
from typing import Any

import click

from ..settings import load_settings
from ..storage.clients import Client, all_clients, set_client
from .actor import by
from .database import database_transaction
from .terminal import as_json, json_text


class RetentionDays(click.ParamType[int | None]):
    """A number of days; "forever", which is 0; or "default", which is no word of its own."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "default":
            return None
        if value == "forever":
            return 0
        if not str(value).isdecimal() or not 0 < int(value) < 100_000:
            self.fail('give a number of days, "forever", or "default"', param, ctx)
        return int(value)


@click.group()
def clients() -> None:
    """Show or set what is agreed with clients."""


@clients.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """Show every client that has an agreement or jobs."""
    with database_transaction(load_settings(), "dragoman-clients") as connection:
        known = all_clients(connection)
    for client in known:
        click.echo(json_text(asdict(client)) if as_json else _line(client))
    if not known and not as_json:
        click.echo("no client yet")


@clients.command("set")
@click.argument("client_id")
@click.option("--name", help="What people call it.")
@click.option("--retention-days", type=RetentionDays(), metavar="N|forever|default", help="How long texts are kept.")
@click.option("--no-trace/--trace", default=None, help="Never store texts of its jobs, or do.")
@by
def set_command(client_id: str, actor: str, **given: Any) -> None:
    """Set what is agreed with CLIENT_ID; what is not given stays.

    Workers heed --no-trace within seconds, `dragoman db maintain` the retention.
    """
    context = click.get_current_context()
    command_line = click.core.ParameterSource.COMMANDLINE
    changes = {name: value for name, value in given.items() if context.get_parameter_source(name) is command_line}
    if not changes:
        raise click.UsageError("nothing to set: give --name, --retention-days, --no-trace or --trace")
    with database_transaction(load_settings(), "dragoman-clients") as connection:
        client = set_client(connection, client_id, changes, actor)
    click.echo(_line(client))


def _line(client: Client) -> str:
    kept = {None: "as set for all", 0: "for ever"}.get(client.retention_days, f"{client.retention_days} days")
    trace = "texts never stored" if client.no_trace else f"texts kept {kept}"
    return f"{client.id}  {client.name or '-'}  {trace}"
