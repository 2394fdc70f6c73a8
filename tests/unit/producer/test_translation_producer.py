import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from dragoman.errors import RejectedJobError
from dragoman.producer.errors import BufferFullError, DeliveryError, MissingTopicError
from dragoman.producer.memory import MemoryPublisher
from dragoman.producer.producer import JobDetails, TranslationProducer
from dragoman.producer.publisher import DeliveryReport
from dragoman.schemas.codec import decode_job
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.jobs import TranslationJob, TranslationOptions
from dragoman.settings import Settings

SETTINGS = Settings(client_id="shop", topic_prefix="t.", delivery_timeout_seconds=60, producer_buffer_messages=2)


@pytest.fixture
def broker() -> MemoryPublisher:
    return MemoryPublisher(buffer_messages=2)


@pytest.fixture
def producer(broker: MemoryPublisher) -> Iterator[TranslationProducer]:
    with TranslationProducer(SETTINGS, broker) as producer:
        yield producer


def submit(producer: TranslationProducer, text: str = "Hello.") -> UUID:
    return producer.submit(text, source="en", target="fr")


def test_job_is_on_the_topic_of_its_lane_when_it_is_submitted(
    producer: TranslationProducer, broker: MemoryPublisher
) -> None:
    job_id = producer.submit("Hello.", source="EN", target="fr", lane="bulk")
    producer.flush()

    job = decode_job(broker.messages[0].value)
    assert broker.messages[0].topic == "t.jobs.bulk"
    assert (job.job_id, job.client_id, job.source_text, job.source_language) == (
        job_id,
        "shop",
        "Hello.",
        "en",
    )


def test_job_id_is_the_key_when_the_caller_orders_by_none(
    producer: TranslationProducer, broker: MemoryPublisher
) -> None:
    job_id = submit(producer)
    producer.flush()

    assert broker.messages[0].key == str(job_id).encode()


def test_details_travel_with_the_job(producer: TranslationProducer, broker: MemoryPublisher) -> None:
    details = JobDetails(
        job_id=new_job_id(),
        deadline=datetime(2030, 1, 1, tzinfo=UTC),
        options=TranslationOptions(beam_size=2),
        model="en-fr-7",
        metadata={"page": "3"},
        key="document-9",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    producer.submit("Hello.", source="en", target="fr", details=details)
    producer.flush()

    message = broker.messages[0]
    job = decode_job(message.value)
    assert (job.job_id, job.deadline, job.options) == (details.job_id, details.deadline, details.options)
    assert (job.model, job.metadata, message.key) == (details.model, details.metadata, b"document-9")
    assert dict(message.headers)["traceparent"] == (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def test_many_texts_become_jobs_in_order(producer: TranslationProducer, broker: MemoryPublisher) -> None:
    job_ids = producer.submit_many((f"Number {n}." for n in range(50)), source="en", target="fr")
    producer.flush()

    assert [decode_job(message.value).job_id for message in broker.messages] == job_ids


def test_job_keeps_its_id_when_it_is_submitted_again(producer: TranslationProducer, broker: MemoryPublisher) -> None:
    job = TranslationJob(client_id="c", source_text="Hi.", source_language="en", target_language="fr")
    producer.submit_job(job)
    producer.submit_job(job)
    producer.flush()

    assert [decode_job(message.value) for message in broker.messages] == [job, job]


@pytest.mark.parametrize(
    ("text", "source", "reason", "sentence"),
    [
        ("", "en", "empty_text", "nothing to translate"),
        ("a" * 2_000_000, "en", "text_too_large", "at most 100,000 are allowed: split it"),
        ("a\x00", "en", "nul_character", r"a NUL character \(U\+0000\) at position 1: remove it"),
        ("\ud83d", "en", "lone_surrogate", "a lone surrogate at position 0: send valid Unicode"),
        (
            "Hello.",
            "english",
            "unknown_language",
            "source_language: it is not a known language: use a BCP-47 tag",
        ),
    ],
    ids=["empty", "2 MB", "NUL", "surrogate", "language"],
)
def test_job_is_refused_with_a_sentence_when_it_can_never_be_translated(
    producer: TranslationProducer, text: str, source: str, reason: str, sentence: str
) -> None:
    with pytest.raises(RejectedJobError, match=sentence) as caught:
        producer.submit(text, source=source, target="fr")

    assert caught.value.reason == reason


def test_missing_topic_is_named_when_the_first_job_is_submitted() -> None:
    broker = MemoryPublisher(missing_topics=["t.jobs.interactive"])

    with (
        TranslationProducer(SETTINGS, broker) as producer,
        pytest.raises(MissingTopicError, match=r"t\.jobs\.interactive does not exist: run `dragoman topics create`"),
    ):
        submit(producer)


def test_flush_names_the_jobs_when_they_are_not_delivered(
    producer: TranslationProducer, broker: MemoryPublisher
) -> None:
    broker.frozen = True
    job_ids = {submit(producer), submit(producer)}
    broker.error = "Local: Message timed out"
    broker.frozen = False

    with pytest.raises(DeliveryError, match=r"Message timed out.*publish again with the same job id") as caught:
        producer.flush()

    assert set(caught.value.failures) == job_ids


def test_next_submit_raises_when_an_earlier_job_failed(broker: MemoryPublisher) -> None:
    broker.error = "Local: Message timed out"
    reported = threading.Event()
    with TranslationProducer(SETTINGS, broker, lambda _job_id, _report: reported.set()) as producer:
        failed = submit(producer)
        reported.wait()

        with pytest.raises(DeliveryError, match=str(failed)):
            submit(producer)


def test_failure_is_raised_once(producer: TranslationProducer, broker: MemoryPublisher) -> None:
    broker.error = "Local: Message timed out"
    submit(producer)
    with pytest.raises(DeliveryError):
        producer.flush()

    producer.flush()
    assert (producer.delivered, producer.failed, producer.outstanding) == (0, 1, 0)


def test_flush_names_the_jobs_when_the_broker_does_not_answer(
    producer: TranslationProducer, broker: MemoryPublisher
) -> None:
    broker.frozen = True
    job_id = submit(producer)

    with pytest.raises(DeliveryError, match="no answer from the brokers yet") as caught:
        producer.flush(timeout_seconds=0.01)

    broker.frozen = False
    assert list(caught.value.failures) == [job_id]


def test_submit_gives_up_when_the_buffer_stays_full(broker: MemoryPublisher) -> None:
    broker.frozen = True
    impatient = SETTINGS.model_copy(update={"delivery_timeout_seconds": 0.05})
    with TranslationProducer(impatient, broker) as producer:
        submit(producer)
        submit(producer)
        with pytest.raises(BufferFullError, match=r"the buffer of 2 jobs stayed full for 0\.05 s"):
            submit(producer)
        broker.frozen = False

    assert len(broker.messages) == 2


def test_submit_goes_on_when_the_buffer_empties(broker: MemoryPublisher) -> None:
    broker.frozen = True
    with TranslationProducer(Settings(delivery_timeout_seconds=60), broker) as producer:
        submit(producer)
        submit(producer)
        threading.Timer(0.05, setattr, (broker, "frozen", False)).start()
        submit(producer)

    assert len(broker.messages) == 3


def test_leaving_the_block_raises_when_a_job_failed(broker: MemoryPublisher) -> None:
    broker.error = "Broker: Not enough in-sync replicas"

    with pytest.raises(DeliveryError, match="in-sync"), TranslationProducer(SETTINGS, broker) as producer:
        submit(producer)

    assert broker.closed


def test_error_in_the_block_is_kept_when_a_job_failed_too(broker: MemoryPublisher) -> None:
    broker.error = "Local: Message timed out"

    def submit_and_fail() -> None:
        with TranslationProducer(SETTINGS, broker) as producer:
            submit(producer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        submit_and_fail()

    assert "were not delivered" in caught.value.__notes__[0]


def test_delivery_is_reported_for_each_job(broker: MemoryPublisher) -> None:
    reports: dict[UUID, DeliveryReport] = {}
    with TranslationProducer(SETTINGS, broker, reports.__setitem__) as producer:
        job_ids = [submit(producer), submit(producer)]

    assert list(reports) == job_ids
    assert producer.delivered == 2


def test_every_job_is_counted_when_threads_submit_together(broker: MemoryPublisher) -> None:
    with TranslationProducer(Settings(), broker) as producer:
        threads = [threading.Thread(target=producer.submit_many, args=(["Hi."] * 50,), kwargs=PAIR) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    assert producer.delivered == len({message.key for message in broker.messages}) == 200


PAIR = {"source": "en", "target": "fr"}
