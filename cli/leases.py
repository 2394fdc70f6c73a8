"""`dragoman leases`: who reads which partition and from where; what a person decides about them."""

import click

from ..errors import DragomanError
from ..producer.kafka import KafkaAdmin
from ..settings import Settings, load_settings
from ..storage.leases import accept_topic, all_leases
from ..worker.kafka_positions import TopicFacts
from .database import database_transaction

ANSWER_SECONDS = 10.0


@click.group()
def leases() -> None:
    """Show who reads which partition, accept a topic that was made anew, delete the group."""


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
    topic_id = TopicFacts(settings).of([topic], ANSWER_SECONDS)[topic]
    if topic_id is None:
        raise DragomanError("these brokers give topics no ids, so no worker refuses a topic: nothing to accept")
    with database_transaction(settings) as connection:
        partitions = accept_topic(connection, _group(settings), topic, topic_id)
    click.echo(f"accepted for {len(partitions)} partition(s) of {topic}: workers begin within some seconds")


@leases.command("delete-group")
@click.confirmation_option(prompt="Is every worker of the group stopped?")
def delete_group() -> None:
    """Delete the consumer group on Kafka: workers make it anew and go on where their leases are."""
    settings = load_settings()
    known = KafkaAdmin(settings).delete_group(_group(settings))
    click.echo(f"deleted {_group(settings)}: start the workers" if known else f"the brokers know no {_group(settings)}")


def _group(settings: Settings) -> str:
    return settings.topic_prefix + settings.consumer_group
