"""A real Apache Kafka and a real PostgreSQL on this machine, from pip packages alone.

Knows processes, ports, folders and the two services' options. Knows no topic, no table and no job.
"""

from .kafka import KafkaOptions
from .postgres import PostgresOptions
from .stack import LocalStack, StackOptions

__all__ = ["KafkaOptions", "LocalStack", "PostgresOptions", "StackOptions"]
