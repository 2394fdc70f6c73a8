"""The topics on the brokers: which are there, create those that are not. Never alters one that exists."""

from dataclasses import dataclass

from ..schemas.topics import TOPICS, Topic
from ..settings import Settings
from .kafka import KafkaAdmin, new_topic

_MOST_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of ours as the brokers have it; `partitions` is None when they do not."""

    topic: Topic
    full_name: str
    partitions: int | None


def topic_states(settings: Settings) -> list[TopicState]:
    """Return the state of each topic; raises `BrokerUnavailableError`."""
    found = KafkaAdmin(settings).metadata().partitions
    names = [(topic, topic.full_name(settings.topic_prefix)) for topic in TOPICS]
    return [TopicState(topic, name, found.get(name)) for topic, name in names]


def ensure_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing and return their names; raises `BrokerUnavailableError`.

    Three replicas where there are three brokers, and then a message is acknowledged when two have it.
    """
    admin = KafkaAdmin(settings)
    cluster = admin.metadata()
    replicas = min(_MOST_REPLICAS, cluster.brokers)
    durability = {"min.insync.replicas": str(max(1, replicas - 1))}
    missing = [
        new_topic(name, topic.partitions, replicas, topic.configuration | durability)
        for topic in TOPICS
        if (name := topic.full_name(settings.topic_prefix)) not in cluster.partitions
    ]
    return admin.create(missing) if missing else []
