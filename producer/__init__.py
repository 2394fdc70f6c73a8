"""Writes jobs and reads their results: what a backend service imports. Knows no model, no SQL, no worker."""

from .errors import (
    BrokerUnavailableError,
    BufferFullError,
    DeliveryError,
    MissingTopicError,
    ResultTimeoutError,
)
from .producer import JobDetails, TranslationProducer
from .replies import ResultReader

__all__ = [
    "BrokerUnavailableError",
    "BufferFullError",
    "DeliveryError",
    "JobDetails",
    "MissingTopicError",
    "ResultReader",
    "ResultTimeoutError",
    "TranslationProducer",
]
