"""`dragoman demo`: the whole pipeline on this machine, in under a minute."""

import click

from ..compose.demo.demo import run_demo


@click.command()
def demo() -> None:
    """Start Kafka, PostgreSQL and a worker, translate a few hundred sentences, look at the history, stop everything.

    Services that DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS or DRAGOMAN_DATABASE_URL name are used instead of local ones.
    """
    run_demo()
