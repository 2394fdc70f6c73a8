"""`dragoman topics`: look at the Kafka topics, create those that are missing."""

import click

from ..producer.topics import TopicState, ensure_topics, topic_states
from ..settings import load_settings


@click.group()
def topics() -> None:
    """Show or create the Kafka topics."""


@topics.command("list")
def list_topics() -> None:
    """Show each topic, what it is for, and whether the brokers have it."""
    states = topic_states(load_settings())
    width = max(len(state.full_name) for state in states)
    for state in states:
        click.echo(f"{state.full_name:{width}}  {_found(state):17}  {state.topic.purpose}")


@topics.command("create")
def create_topics() -> None:
    """Create the topics that are missing; never alter one that exists."""
    created = ensure_topics(load_settings())
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all topics exist")


def _found(state: TopicState) -> str:
    return "missing" if state.partitions is None else f"{state.partitions} partition(s)"
