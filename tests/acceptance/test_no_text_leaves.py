"""No text of a user is in a log, a metric, an error, a sentence of the history or a header, whatever becomes of it."""

import pytest
from confluent_kafka import Producer
from dragoman.producer.kafka import KafkaTail, ReceivedMessage
from dragoman.schemas.codec import decode_dead_letter
from dragoman.tests.acceptance.installation import Installation, wait_until
from dragoman.tests.acceptance.test_bad_input import BAD_MESSAGES, job

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

CANARY = "Zanzibarcanary"
# Each way that a message can go, with the canary wherever a producer can put it.
GOOD = [
    job(source_text=f"{CANARY} is here."),
    job(source_text=f"{CANARY} \u202e is here.", metadata={CANARY: CANARY}),
    job(source_text=f"{CANARY} has a field nobody knows.", **{CANARY: CANARY}),
]
BAD = [
    job(source_text=f"{CANARY}", target_language="it"),
    job(source_text=f"{CANARY}", target_language=CANARY),
    job(source_text=f"{CANARY}", model=CANARY),
    job(source_text=f"{CANARY}\x00"),
    job(source_text=f"{CANARY}\ud800"),
    job(source_text=f"{CANARY} " * 20_000),
    job(source_text=f"{CANARY} " * 500),
    job(source_text=f"{CANARY}", deadline="2026-01-01T00:00:00Z"),
    job(source_text=f"{CANARY}", options={CANARY: CANARY, "beam_size": CANARY}),
    job(source_text={CANARY: CANARY}),
    job(source_text=f"{CANARY}", schema_version=CANARY),
    job(source_text=f"{CANARY}", job_id=CANARY),
    job(source_text=f"{CANARY}", submitted_at=CANARY),
    f"{CANARY} is not JSON".encode(),
    f'{{"{CANARY}": "{CANARY}'.encode(),
    f'["{CANARY}"]'.encode(),
    CANARY.encode() + b"\xe9",
    *BAD_MESSAGES.values(),
]
BOMB_BYTES = 60_000_000


def publish(installation: Installation, values: list[bytes], compression: str = "none") -> None:
    """Publish as one batch, with the canary in key and headers."""
    settings = {
        "bootstrap.servers": installation.settings.kafka_bootstrap_servers,
        "compression.type": compression,
        "message.max.bytes": BOMB_BYTES * 2,
    }
    producer = Producer(settings)
    topic = f"{installation.settings.topic_prefix}jobs.bulk"
    for value in values:
        headers = [(CANARY, CANARY.encode()), ("traceparent", CANARY.encode())]
        producer.produce(topic, value, key=CANARY.encode(), headers=headers)
    assert producer.flush(60) == 0


def dead_letters(installation: Installation, count: int) -> list[ReceivedMessage]:
    topic = f"{installation.settings.topic_prefix}dead-letters"
    found: list[ReceivedMessage] = []
    with KafkaTail(installation.settings, topic, "beginning") as tail:
        wait_until(lambda: found.extend(tail.poll(0.5)) or len(found) >= count, "every dead letter is there")
    return found


def test_the_canary_is_nowhere_when_messages_go_every_way(installation: Installation) -> None:
    worker = installation.start_worker(DRAGOMAN_LOG_LEVEL="debug")
    worker.wait_ready()
    publish(installation, GOOD + BAD)
    publish(installation, [(CANARY.encode() * (BOMB_BYTES // len(CANARY)))], "zstd")
    wait_until(lambda: installation.count() == len(GOOD + BAD), "every message has its row")
    wait_until(lambda: installation.count("SELECT count(*) FROM quarantine") == 1, "the bomb is passed")
    letters = dead_letters(installation, len(BAD))
    pages = {
        "metrics": worker.page("/metrics"),
        "readyz": worker.page("/readyz"),
        "letter headers": str([letter.headers for letter in letters]),
        "letter sentences": str([decode_dead_letter(letter.value).detail for letter in letters]),
        "sentences": str(installation.query("SELECT reason, detail FROM translation")),
        "quarantine": str(installation.query("SELECT * FROM quarantine")),
    }
    assert worker.terminate() == 0
    pages["log"] = worker.log_path.read_text()
    assert all(pages.values())
    assert [name for name, page in pages.items() if CANARY.casefold() in page.casefold()] == []
