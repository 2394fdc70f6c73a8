"""`dragoman leases`: who reads which partition and from where; accepts a topic that was made anew."""

import click

from ..errors import DragomanError
from ..settings import Settings, load_settings
from ..storage.leases import accept_topic, all_leases
from ..worker.kafka_positions import TopicIds
from .database import database_transaction

ANSWER_SECONDS = 10.0


@click.group()
def leases() -> None:
    """Show who reads which partition, or accept a topic that was made anew."""


@leases.command("list")
def list_leases() -> None:
    """Show the lease of each partition: its epoch, its owner, the next offset."""
    settings = load_settings()
    with database_transaction(settings) as connection:
        held = all_leases(connection, _group(settings))
    for lease in held:
        click.echo(f"{lease.topic} {lease.partition}  next {lease.next_offset}  epoch {lease.epoch}  {lease.owner}")
    if not held:
        click.echo("no worker has read anything yet")


@leases.command("accept-topic")
@click.argument("topic")
@click.confirmation_option(prompt="Its partitions are then read from their beginning. Is this topic the right one?")
def accept(topic: str) -> None:
    """Read TOPIC, which was deleted and made anew, from its beginning."""
    settings = load_settings()
    topic_id = TopicIds(settings).of([topic], ANSWER_SECONDS)[topic]
    if topic_id is None:
        raise DragomanError("these brokers give topics no ids, so no worker refuses a topic: nothing to accept")
    with database_transaction(settings) as connection:
        partitions = accept_topic(connection, _group(settings), topic, topic_id)
    click.echo(f"accepted for {len(partitions)} partition(s) of {topic}: workers begin within some seconds")


def _group(settings: Settings) -> str:
    return settings.topic_prefix + settings.consumer_group
