"""`dragoman db access`: what database roles may read of the history."""

import click

from ..settings import load_settings
from ..storage.access import Access, grant_access, readers, revoke_access
from .actor import by
from .database import database_transaction


@click.group("access")
def access() -> None:
    """Show or change what database roles may read."""


@access.command()
@click.argument("role")
@click.option("--texts", is_flag=True, help="Source and target texts too; else figures alone.")
@click.option("--client", "clients", multiple=True, metavar="ID", help="Only rows of this client; may be given again.")
@by
def grant(role: str, actor: str, *, texts: bool, clients: tuple[str, ...]) -> None:
    """Let ROLE read the history and its views, this and nothing else.

    The role exists already: CREATE ROLE anna LOGIN. Run this as the owner of the tables.
    """
    with database_transaction(load_settings(), "dragoman-access") as connection:
        grant_access(connection, role, Access(texts, clients), actor)
    rows = f"rows of {', '.join(clients)}" if clients else "all rows"
    click.echo(f"{role} may read {rows}, {'with' if texts else 'without'} texts")


@access.command()
@click.argument("role")
@by
def revoke(role: str, actor: str) -> None:
    """Let ROLE read nothing any more."""
    with database_transaction(load_settings(), "dragoman-access") as connection:
        revoke_access(connection, role, actor)
    click.echo(f"{role} may read nothing of Dragoman's")


@access.command("list")
def list_command() -> None:
    """Show the roles that may read the history, but for the owner and superusers."""
    with database_transaction(load_settings(), "dragoman-access") as connection:
        known = readers(connection)
    for reader in known:
        rows = f"rows where {reader.bound_by}" if reader.bound_by else "all rows"
        click.echo(f"{reader.role}  {'texts' if reader.texts else 'no texts'}  {rows}")
    if not known:
        click.echo("nobody but the owner of the tables and superusers")
