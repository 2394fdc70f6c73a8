"""The client library of a backend service: texts in, acknowledged jobs on Kafka. Knows no model, no SQL."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from ..errors import RejectedJobError
from ..schemas.codec import encode
from ..schemas.faults import fault_of
from ..schemas.headers import TRACEPARENT, job_headers
from ..schemas.ids import new_job_id
from ..schemas.jobs import Lane, TranslationJob, TranslationOptions
from ..schemas.topics import JOB_TOPICS
from ..settings import Settings, load_settings
from .errors import BufferFullError, DeliveryError
from .kafka import CONTACT_SECONDS, KafkaPublisher
from .ledger import DeliveryLedger
from .publisher import DeliveryReport, OutgoingMessage, Publisher

_POLL_SECONDS = 0.1
# The library reports a message within a second of its timeout; until then nobody knows what became of it.
_REPORT_GRACE_SECONDS = 2.0

OnDelivery = Callable[[UUID, DeliveryReport], None]


@dataclass(frozen=True, slots=True)
class JobDetails:
    """What a job can say beside its text, languages and lane.

    `job_id`: to publish a job again, give it the id it had. `key`: jobs of equal key go to one partition, in
    order; without one the job id is the key, which spreads jobs evenly. `traceparent`: W3C trace context.
    `no_trace`: no text of the job is kept anywhere but on Kafka.
    """

    job_id: UUID | None = None
    deadline: datetime | None = None
    options: TranslationOptions = field(default_factory=TranslationOptions)
    model: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    traceparent: str | None = None
    no_trace: bool = False


_NO_DETAILS = JobDetails()


class TranslationProducer:
    """Publishes jobs; a job counts as submitted when `flush` or leaving the `with` block raised nothing.

    Delivery is reported in the background: a job that could not be delivered is raised as `DeliveryError` by
    the next call. Safe to use from several threads; make it after a fork, not before. `on_delivery` is called
    with each report in a background thread, and must not raise.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        publisher: Publisher | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        self._settings = settings or load_settings()
        self._publisher = publisher or KafkaPublisher(self._settings)
        self._on_delivery = on_delivery
        self._ledger = DeliveryLedger()
        self._checked: set[str] = set()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_until_stopped, name="dragoman-producer", daemon=True)
        self._poller.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DeliveryError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    @property
    def delivered(self) -> int:
        """Jobs that the brokers acknowledged."""
        return self._ledger.delivered

    @property
    def failed(self) -> int:
        """Jobs that the client library gave up."""
        return self._ledger.failed

    @property
    def outstanding(self) -> int:
        """Jobs submitted, neither delivered nor failed."""
        return self._ledger.outstanding

    def check_brokers(self, timeout_seconds: float = CONTACT_SECONDS) -> None:
        """Raise `BrokerUnavailableError` or `MissingTopicError` unless jobs can be published."""
        self._publisher.check([self._topic(lane) for lane in JOB_TOPICS], timeout_seconds)

    def submit(
        self,
        text: str,
        *,
        source: str,
        target: str,
        lane: Lane = "interactive",
        details: JobDetails = _NO_DETAILS,
    ) -> UUID:
        """Submit one segment and return its job id, before it is delivered.

        Blocks while the buffer is full. Raises `RejectedJobError` for a job that could never be translated,
        `BufferFullError` after the delivery timeout, `DeliveryError` for earlier jobs, and on first contact
        `BrokerUnavailableError` or `MissingTopicError`.
        """
        try:
            job = TranslationJob(
                job_id=details.job_id or new_job_id(),
                client_id=self._settings.client_id,
                source_text=text,
                source_language=source,
                target_language=target,
                lane=lane,
                deadline=details.deadline,
                options=details.options,
                model=details.model,
                metadata=details.metadata,
                no_trace=details.no_trace,
            )
        except ValidationError as error:
            fault = fault_of(error)
            raise RejectedJobError(fault.reason, fault.sentence) from None
        return self._publish(job, details)

    def submit_many(self, texts: Iterable[str], *, source: str, target: str, lane: Lane = "bulk") -> list[UUID]:
        """Submit segments of one language pair; return their job ids in order."""
        return [self.submit(text, source=source, target=target, lane=lane) for text in texts]

    def submit_job(self, job: TranslationJob, key: str | None = None) -> UUID:
        """Submit a job that the caller made, or has submitted before; return its id."""
        return self._publish(job, JobDetails(key=key))

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Wait until every job is delivered; raises `DeliveryError` that names those which are not.

        The default timeout is a little more than the delivery timeout of the settings.
        """
        patience = self._settings.delivery_timeout_seconds + _REPORT_GRACE_SECONDS
        deadline = time.monotonic() + (patience if timeout_seconds is None else timeout_seconds)
        while not self._ledger.wait_until_settled(_POLL_SECONDS) and time.monotonic() < deadline:
            self._publisher.poll(0)
        waiting = dict.fromkeys(self._ledger.on_the_way(), "no answer from the brokers yet")
        self._raise_failures(waiting)

    def close(self) -> None:
        """Flush, and let go of the connection whether that succeeds or not."""
        if self._stopping.is_set():
            return
        try:
            self.flush()
        finally:
            self._stopping.set()
            self._poller.join()
            self._publisher.close()

    def _publish(self, job: TranslationJob, details: JobDetails) -> UUID:
        self._raise_failures()
        topic = self._topic(job.lane)
        self._check_once(topic)
        headers = job_headers(job)
        if details.traceparent is not None:
            headers.append((TRACEPARENT, details.traceparent.encode()))
        key = str(job.job_id) if details.key is None else details.key
        self._ledger.take(job.job_id)
        try:
            self._hand_over(OutgoingMessage(topic, key.encode(), encode(job), headers), job.job_id)
        except BaseException:
            self._ledger.give_back(job.job_id)
            raise
        return job.job_id

    def _hand_over(self, message: OutgoingMessage, job_id: UUID) -> None:
        deadline = time.monotonic() + self._settings.delivery_timeout_seconds
        while not self._publisher.publish(message, lambda report: self._settle(job_id, report)):
            if time.monotonic() > deadline:
                raise BufferFullError(
                    f"the buffer of {self._settings.producer_buffer_messages:,} jobs stayed full for "
                    f"{self._settings.delivery_timeout_seconds:g} s: the brokers do not keep up, submit later"
                )
            self._publisher.poll(_POLL_SECONDS)

    def _settle(self, job_id: UUID, report: DeliveryReport) -> None:
        self._ledger.settle(job_id, report.error)
        if self._on_delivery is not None:
            self._on_delivery(job_id, report)

    def _raise_failures(self, waiting: dict[UUID, str] | None = None) -> None:
        failures = {**(waiting or {}), **self._ledger.take_failures()}
        if failures:
            raise DeliveryError(failures)

    def _check_once(self, topic: str) -> None:
        if topic not in self._checked:
            self._publisher.check([topic], CONTACT_SECONDS)
            self._checked.add(topic)

    def _topic(self, lane: Lane | str) -> str:
        return JOB_TOPICS[lane].full_name(self._settings.topic_prefix)

    def _poll_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._publisher.poll(_POLL_SECONDS)
