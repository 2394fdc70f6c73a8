"""Bad messages become dead letters with a reason and their original bytes; their neighbours are translated."""

import json
from datetime import UTC, datetime

import pytest
from dragoman.producer.kafka import KafkaTail, ReceivedMessage
from dragoman.producer.producer import TranslationProducer
from dragoman.schemas.codec import decode_dead_letter
from dragoman.schemas.ids import new_job_id
from dragoman.tests.acceptance.installation import Installation, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


def job(**changed: object) -> bytes:
    fields = {
        "schema_version": 1,
        "job_id": str(new_job_id()),
        "client_id": "acceptance",
        "source_text": "Good morning.",
        "source_language": "en",
        "target_language": "fr",
        "submitted_at": datetime.now(UTC).isoformat(),
    }
    return json.dumps(fields | changed).encode()


BAD_MESSAGES = {
    "not_json": b"Good morning.",
    "not_utf8": b'{"source_text": "caf\xe9"}',
    "not_an_object": b"[1, 2]",
    "wrong_schema_version": job(schema_version=99),
    "unknown_language_pair": job(target_language="it"),
    "unknown_model": job(model="another@000000000000"),
    "empty_text": job(source_text="  "),
    "text_too_large": job(source_text="word " * 30_000),
    "too_many_pieces": job(source_text="word " * 3_000),
    "nul_character": job(source_text="a\x00b"),
    "lone_surrogate": job(source_text="a\ud800b"),
    "deadline_passed": job(deadline="2026-01-01T00:00:00Z"),
    "invalid_job": job(options={"beam_size": 0}),
}


def test_bad_messages_become_dead_letters_and_their_neighbours_are_translated(installation: Installation) -> None:
    worker = installation.start_worker()
    installation.publish_raw("jobs.bulk", list(BAD_MESSAGES.values()))
    with TranslationProducer(installation.settings) as producer:
        good = producer.submit_many(["Good morning.", "Thank you."], source="en", target="fr")
    expected = len(BAD_MESSAGES) + len(good)
    wait_until(lambda: installation.count() == expected, "every message has its row")
    letters = {}
    with KafkaTail(installation.settings, installation.settings.topic_prefix + "dead-letters", "beginning") as tail:

        def all_arrived() -> bool:
            for message in tail.poll(0.5):
                letter = decode_dead_letter(message.value)
                letters[letter.reason] = letter
            return len(letters) == len(BAD_MESSAGES)

        wait_until(all_arrived, "every bad message is a dead letter")

    assert {reason: letter.original_value for reason, letter in letters.items()} == BAD_MESSAGES
    assert {letter.topic for letter in letters.values()} == {f"{installation.settings.topic_prefix}jobs.bulk"}
    assert installation.count("SELECT count(*) FROM translation WHERE status = 'translated'") == 2
    assert worker.terminate() == 0


def test_a_text_of_2_mb_is_a_dead_letter_with_all_its_bytes(installation: Installation) -> None:
    worker = installation.start_worker()
    text = "word " * 400_000
    # Compressed, it passes the broker's limit on the size of a batch.
    installation.publish_raw("jobs.bulk", [job(source_text=text)])
    wait_until(lambda: installation.count() == 1, "the message has its row")
    with KafkaTail(installation.settings, installation.settings.topic_prefix + "dead-letters", "beginning") as tail:
        found: list[ReceivedMessage] = []
        wait_until(lambda: found.extend(tail.poll(0.5)) or found, "the dead letter arrives")
    letter = decode_dead_letter(found[0].value)
    assert letter.reason == "text_too_large"
    assert json.loads(letter.original_value or b"")["source_text"] == text
    assert worker.terminate() == 0


def test_no_text_is_in_the_log_when_jobs_are_translated_and_rejected(installation: Installation) -> None:
    worker = installation.start_worker(DRAGOMAN_LOG_LEVEL="debug")
    canary = "Zanzibarcanary"
    installation.publish_raw(
        "jobs.bulk",
        [
            job(source_text=f"{canary} is here."),
            job(source_text=f"{canary} is here.", target_language="it"),
            job(source_text=f"{canary}\x00"),
            f"{canary} is not JSON".encode(),
        ],
    )
    wait_until(lambda: installation.count() == 4, "every message has its row")
    assert worker.terminate() == 0
    assert canary.casefold() not in worker.log_path.read_text().casefold()
