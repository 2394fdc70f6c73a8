"""Which of the Kafka client's errors say that a place of a partition cannot be read. Knows confluent_kafka's codes."""

from confluent_kafka import KafkaError

UNREADABLE = frozenset(
    {
        KafkaError._BAD_COMPRESSION,
        KafkaError._BAD_MSG,
        KafkaError._NOT_IMPLEMENTED,  # an unknown format of a batch, or a codec
        KafkaError._CRIT_SYS_RESOURCE,  # no memory to unfold it
        KafkaError._UNDERFLOW,
        KafkaError.INVALID_MSG,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.UNKNOWN,  # the broker's own reading failed
    }
)
