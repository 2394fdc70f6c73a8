"""The command `dragoman-nemesis`: faults composed at random. The fault suite is in a checkout, not in the wheel."""

import sys

import click


def main() -> None:
    """Run the nemesis, or say where it is to be had."""
    try:
        from ..tests.faults.nemesis import main as nemesis
    except ModuleNotFoundError as error:
        click.echo(
            f"dragoman-nemesis: the fault suite needs {error.name}, which is not installed: in a checkout of Dragoman, "
            "pip install --editable '.[dev]'",
            err=True,
        )
        sys.exit(1)
    nemesis(prog_name="dragoman-nemesis")
