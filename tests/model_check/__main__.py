"""`python -m dragoman.tests.model_check`: the search with bounds of your choice, or one broken variant's trace."""

import sys
import time
from typing import Any

import click

from .protocol import Protocol
from .search import Search
from .state import Bounds
from .variants import BROKEN, HARMLESS

EVERY: tuple[type[Protocol], ...] = (Protocol, *BROKEN, *HARMLESS)
PROTOCOLS = {protocol.__name__: protocol for protocol in EVERY}


@click.command()
@click.option("--log", default="010,1", show_default=True, help="Job numbers by offset, partitions with commas.")
@click.option("--disturbances", default=2, show_default=True, help="Rebalances, crashes and expiries in one run.")
@click.option("--steps", type=int, help="Only runs of so many steps; without it, all, and whether all gets done.")
@click.option("--poll-messages", default=4, show_default=True, help="At most so many messages come with one poll.")
@click.option("--retention/--no-retention", default=False, help="Whether messages may expire.")
@click.option("--variant", type=click.Choice(sorted(PROTOCOLS)), default="Protocol", show_default=True)
def main(variant: str, log: str, **limits: Any) -> None:
    """Search every state of the delivery protocol within bounds; exit with 1 when something is broken.

    Every bound costs: begin with few steps.
    """
    messages = tuple(tuple(int(job) for job in partition) for partition in log.split(","))
    bounds = Bounds(messages, **limits)
    start = time.perf_counter()
    report = Search(PROTOCOLS[variant](bounds)).report
    click.echo(f"{report}\n{time.perf_counter() - start:.0f} s")
    sys.exit(report.violated is not None)


if __name__ == "__main__":
    main()
