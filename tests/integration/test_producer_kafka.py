"""The producer against a real broker: delivery, partitions, faults, topics, results."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.errors import DeliveryError, MissingTopicError, ResultTimeoutError
from dragoman.producer.kafka import KafkaAdmin, KafkaPublisher, KafkaTail, ReceivedMessage
from dragoman.producer.producer import JobDetails, TranslationProducer
from dragoman.producer.publisher import DeliveryReport, OutgoingMessage
from dragoman.producer.replies import ResultReader
from dragoman.producer.topics import ensure_topics, topic_states
from dragoman.schemas.codec import decode_job, encode
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.results import ResultStatus, TranslationResult
from dragoman.schemas.topics import JOBS_BULK, RESULTS, TOPICS
from dragoman.settings import Settings

pytestmark = pytest.mark.services

READ_SECONDS = 30.0


@pytest.fixture
def settings(stack: LocalStack, topic_prefix: str) -> Settings:
    return Settings(kafka_bootstrap_servers=stack.kafka_bootstrap_servers, topic_prefix=topic_prefix)


@pytest.fixture
def topics(settings: Settings) -> list[str]:
    return ensure_topics(settings)


def read_bulk(settings: Settings, count: int) -> list[ReceivedMessage]:
    """Read `count` messages from the beginning of the bulk lane; the test times out when there are fewer."""
    messages: list[ReceivedMessage] = []
    with KafkaTail(settings, JOBS_BULK.full_name(settings.topic_prefix), start="beginning") as tail:
        while len(messages) < count:
            messages += tail.poll(READ_SECONDS)
    return messages


def java_partition(key: bytes, partitions: int) -> int:
    """The default partitioner of the Java client (`Utils.murmur2`), written from its source."""
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    value = (0x9747B28C ^ len(key)) & mask
    whole = len(key) - len(key) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        value = (value * multiplier & mask) ^ word
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & mask
    value = (value ^ value >> 13) * multiplier & mask
    value ^= value >> 15
    return (value & 0x7FFFFFFF) % partitions


def test_thousand_jobs_are_read_as_they_were_submitted(settings: Settings, topics: list[str]) -> None:
    texts = [f"Sentence number {number}: «ça va» 🚆" for number in range(1_000)]
    with TranslationProducer(settings) as producer:
        job_ids = producer.submit_many(texts, source="en", target="fr")

    jobs = [decode_job(message.value) for message in read_bulk(settings, 1_000)]
    assert producer.delivered == 1_000
    assert {job.job_id: job.source_text for job in jobs} == dict(zip(job_ids, texts, strict=True))


def test_jobs_are_where_a_java_client_would_put_them(settings: Settings, topics: list[str]) -> None:
    with TranslationProducer(settings) as producer:
        producer.submit_many(["Hello."] * 200, source="en", target="fr")

    messages = read_bulk(settings, 200)
    assert [message.partition for message in messages] == [
        java_partition(message.key or b"", 8) for message in messages
    ]
    assert {message.partition for message in messages} == set(range(8))


def test_jobs_of_one_key_stay_in_order_when_the_caller_orders_them(settings: Settings, topics: list[str]) -> None:
    with TranslationProducer(settings) as producer:
        job_ids = [
            producer.submit("Hi.", source="en", target="fr", lane="bulk", details=JobDetails(key="document-9"))
            for _ in range(100)
        ]

    messages = read_bulk(settings, 100)
    assert [decode_job(message.value).job_id for message in messages] == job_ids
    assert len({message.partition for message in messages}) == 1


def test_job_travels_with_its_headers(settings: Settings, topics: list[str]) -> None:
    with TranslationProducer(settings) as producer:
        job_id = producer.submit("Hello.", source="en", target="fr", lane="bulk")

    headers = dict(read_bulk(settings, 1)[0].headers)
    assert (headers["ce_id"], headers["schema-version"]) == (str(job_id).encode(), b"1")


def test_flush_names_the_jobs_when_the_broker_is_frozen(
    stack: LocalStack, settings: Settings, topics: list[str]
) -> None:
    impatient = settings.model_copy(update={"delivery_timeout_seconds": 1.0})
    with TranslationProducer(impatient) as producer:
        producer.check_brokers()
        producer.submit("Warm.", source="en", target="fr", lane="bulk")
        producer.flush()
        stack.kafka.pause()
        try:
            job_ids = set(producer.submit_many(["One.", "Two.", "Three."], source="en", target="fr"))
            with pytest.raises(DeliveryError, match=r"3 job.* were not delivered .*timed out") as caught:
                producer.flush()
        finally:
            stack.kafka.resume()

    assert set(caught.value.failures) == job_ids


def test_submit_names_the_missing_topic_and_the_command(settings: Settings) -> None:
    with (
        TranslationProducer(settings) as producer,
        pytest.raises(MissingTopicError, match=r"jobs\.bulk does not exist: run `dragoman topics create`"),
    ):
        producer.submit("Hello.", source="en", target="fr", lane="bulk")


def test_topics_are_created_as_they_are_declared(settings: Settings) -> None:
    created = ensure_topics(settings)

    assert created == [topic.full_name(settings.topic_prefix) for topic in TOPICS]
    assert [state.partitions for state in topic_states(settings)] == [topic.partitions for topic in TOPICS]


def test_topics_are_left_alone_when_they_exist(settings: Settings, topics: list[str]) -> None:
    assert ensure_topics(settings) == []


def test_topics_are_missing_before_they_are_created(settings: Settings) -> None:
    assert {state.partitions for state in topic_states(settings)} == {None}


def test_topics_can_be_created_by_several_at_once(settings: Settings) -> None:
    created: list[str] = []
    threads = [threading.Thread(target=lambda: created.extend(ensure_topics(settings))) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert sorted(created) == sorted(topic.full_name(settings.topic_prefix) for topic in TOPICS)
    assert KafkaAdmin(settings).metadata().brokers == 1


class Worker:
    """Publishes results as a worker's relay would."""

    def __init__(self, settings: Settings) -> None:
        self._publisher = KafkaPublisher(settings)
        self._topic = RESULTS.full_name(settings.topic_prefix)

    def answer(self, *values: bytes) -> None:
        for value in values:
            delivered: list[DeliveryReport] = []
            self._publisher.publish(OutgoingMessage(self._topic, b"key", value, []), delivered.append)
            while not delivered:
                self._publisher.poll(0.1)

    def close(self) -> None:
        self._publisher.close()


@pytest.fixture
def worker(settings: Settings, topics: list[str]) -> Iterator[Worker]:
    worker = Worker(settings)
    yield worker
    worker.close()


def a_result() -> TranslationResult:
    return TranslationResult(
        job_id=new_job_id(),
        status=ResultStatus.TRANSLATED,
        translation="Bonjour.",
        finished_at=datetime.now(UTC),
    )


def test_result_is_yielded_once_when_it_is_published_twice(settings: Settings, worker: Worker) -> None:
    first, second = a_result(), a_result()
    with ResultReader(settings) as reader:
        worker.answer(encode(first), encode(first), encode(second))

        results = list(reader.wait_for([first.job_id, second.job_id], READ_SECONDS))

    assert results == [first, second]


def test_results_before_the_reader_was_made_are_not_read(settings: Settings, worker: Worker) -> None:
    earlier, later = a_result(), a_result()
    worker.answer(encode(earlier))
    with ResultReader(settings) as reader:
        worker.answer(encode(later))

        assert reader.poll(READ_SECONDS) == [later]


def test_all_results_are_read_when_the_reader_starts_at_the_beginning(settings: Settings, worker: Worker) -> None:
    result = a_result()
    worker.answer(encode(result), encode(result))

    with ResultReader(settings, start="beginning") as reader:
        assert next(reader.wait_for([result.job_id], READ_SECONDS)) == result


def test_message_that_is_no_result_is_skipped(settings: Settings, worker: Worker) -> None:
    result = a_result()
    with ResultReader(settings) as reader:
        worker.answer(b"not a result", encode(result))

        assert list(reader.wait_for([result.job_id], READ_SECONDS)) == [result]


def test_waiting_ends_with_a_sentence_when_no_worker_answers(settings: Settings, topics: list[str]) -> None:
    job_id = new_job_id()

    with (
        ResultReader(settings) as reader,
        pytest.raises(ResultTimeoutError, match=f"no result within 0.2 s .*{job_id}.*`dragoman worker` starts one"),
    ):
        next(reader.wait_for([job_id], 0.2))
