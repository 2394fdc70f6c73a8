"""No text of a no-trace job is ever in the database, whatever becomes of it; its answer arrives all the same."""

import json
import subprocess
import sys
from base64 import b64encode

import pytest
from dragoman.producer.kafka import KafkaTail, ReceivedMessage
from dragoman.schemas.codec import decode_dead_letter, decode_result
from dragoman.storage.clients import set_client
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.maintenance import maintain
from dragoman.tests.acceptance.installation import Installation, wait_until
from dragoman.tests.acceptance.test_bad_input import job
from dragoman.tests.database_scan import tables_holding
from sqlalchemy import text

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

CANARY = "Zanzibarcanary"
# Whatever was in the outbox for a moment, or in a row before a change, is kept here.
COPIES = """
CREATE TABLE copies (row text);
CREATE FUNCTION keep_copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO copies VALUES (NEW::text);
  RETURN NULL;
END $$;
CREATE TRIGGER keep_copy AFTER INSERT OR UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION keep_copy();
CREATE TRIGGER keep_copy AFTER INSERT OR UPDATE ON translation FOR EACH ROW EXECUTE FUNCTION keep_copy();
"""
TRANSLATED = [
    job(source_text=f"{CANARY} one.", no_trace=True),
    job(source_text=f"{CANARY} two.", no_trace=True, metadata={"title": CANARY}),
    job(source_text=f"{CANARY} three.", client_id="discreet"),
]
REFUSED = [
    job(source_text=f"{CANARY} four.", no_trace=True, target_language="xx"),
    job(source_text=f"{CANARY} five.", no_trace=True, deadline="2026-01-01T00:00:00Z"),
    job(source_text=f"{CANARY} six.", no_trace=True, source_language=CANARY),
    job(source_text=f"{CANARY} seven.", client_id="discreet", metadata={CANARY: 1}),
]


def read(installation: Installation, topic: str, count: int) -> list[ReceivedMessage]:
    found: list[ReceivedMessage] = []
    with KafkaTail(installation.settings, f"{installation.settings.topic_prefix}{topic}", "beginning") as tail:
        wait_until(lambda: found.extend(tail.poll(0.5)) or len(found) >= count, f"{count} messages are in {topic}")
    return found


def test_the_canary_is_in_no_table_and_the_answers_arrive(installation: Installation) -> None:
    engine = create_database_engine(installation.settings.database_url.get_secret_value())
    with transaction(engine) as connection:
        connection.execute(text(COPIES))
        set_client(connection, "discreet", {"no_trace": True}, "someone")
    worker = installation.start_worker("--echo", DRAGOMAN_LOG_LEVEL="debug")
    worker.wait_ready()
    installation.publish_raw("jobs.bulk", TRANSLATED + REFUSED)
    results = [decode_result(message.value) for message in read(installation, "results", 7)]
    letters = [decode_dead_letter(message.value) for message in read(installation, "dead-letters", 4)]
    wait_until(lambda: installation.count() == 7, "every message has its row")
    maintain(engine)
    assert tables_holding(engine, CANARY) == []
    assert worker.terminate() == 0
    assert tables_holding(engine, CANARY) == []
    assert CANARY.casefold() not in worker.log_path.read_text().casefold()
    engine.dispose()

    translated = [result for result in results if result.translation is not None]
    assert sorted(str(result.translation) for result in translated) == sorted(
        f"{CANARY} {number}." for number in ("one", "two", "three")
    )
    assert {"title": CANARY} in [result.metadata for result in translated]
    assert [letter.original_value for letter in letters] == [None] * 4
    counted = installation.query("SELECT status, count(*) FROM translation WHERE no_trace GROUP BY 1 ORDER BY 1")
    assert counted == [("rejected", 4), ("translated", 3)]
    assert installation.count("SELECT count(*) FROM copies") == 7


def test_the_scan_finds_the_canary_when_a_job_leaves_a_trace(installation: Installation) -> None:
    """The test above could not fail otherwise."""
    engine = create_database_engine(installation.settings.database_url.get_secret_value())
    with transaction(engine) as connection:
        connection.execute(text(COPIES))
    installation.start_worker("--echo").wait_ready()
    installation.publish_raw("jobs.bulk", [job(source_text=f"{CANARY} eight."), job(source_text=CANARY, no_trace=1)])
    read(installation, "results", 2)
    wait_until(lambda: installation.count() == 2, "every message has its row")
    assert {"translation", "copies"} <= set(tables_holding(engine, CANARY))
    engine.dispose()


def test_the_canary_is_in_no_table_when_texts_are_encrypted(installation: Installation) -> None:
    engine = create_database_engine(installation.settings.database_url.get_secret_value())
    with transaction(engine) as connection:
        connection.execute(text(COPIES))
    worker = installation.start_worker("--echo", DRAGOMAN_TEXT_KEYS=f"one:{b64encode(bytes(32)).decode()}")
    worker.wait_ready()
    bad = job(source_text=f"{CANARY} bad.", target_language="xx")
    installation.publish_raw("jobs.bulk", [job(source_text=f"{CANARY} good.", metadata={"title": CANARY}), bad])
    results = [decode_result(message.value) for message in read(installation, "results", 2)]
    (letter,) = [decode_dead_letter(message.value) for message in read(installation, "dead-letters", 1)]
    assert letter.original_value == bad
    maintain(engine)
    assert tables_holding(engine, CANARY) == []
    assert installation.count("SELECT count(*) FROM copies") == 5
    assert {result.translation for result in results} == {f"{CANARY} good.", None}
    engine.dispose()


def test_a_person_submits_a_text_without_a_trace_and_gets_its_translation(installation: Installation) -> None:
    installation.start_worker("--echo").wait_ready()
    command = [sys.executable, "-m", "dragoman", "submit", CANARY, "-s", "en", "-t", "fr"]
    done = subprocess.run(
        [*command, "--no-trace", "--wait", "--json"], env=installation.environment, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["translation"] == CANARY
    wait_until(lambda: installation.count() == 1, "the job is recorded")
    assert installation.query("SELECT no_trace, source_text, target_text FROM translation") == [(True, None, None)]


def test_a_worker_forgets_what_it_remembers_when_texts_are_erased(installation: Installation) -> None:
    worker = installation.start_worker("--echo", DRAGOMAN_LOG_LEVEL="info")
    worker.wait_ready()
    installation.publish_raw("jobs.bulk", [job(source_text=CANARY)])
    wait_until(lambda: installation.count() == 1, "the job is recorded")
    erase = [sys.executable, "-m", "dragoman", "history", "erase", "--containing", CANARY, "--yes"]
    subprocess.run(erase, env=installation.environment, check=True, capture_output=True)
    wait_until(lambda: worker.events("translations_forgotten"), "the worker has forgotten")
    installation.publish_raw("jobs.bulk", [job(source_text=CANARY)])
    wait_until(lambda: installation.count() == 2, "the job is recorded")
    assert installation.query("SELECT answered_by FROM translation WHERE erased_at IS NULL") == [("model",)]
