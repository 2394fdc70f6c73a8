"""What others rely on: schema files, example messages, topics, headers, and the documents about them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import dragoman.schemas
import jsonschema
import pytest
from dragoman.schemas import topics
from dragoman.schemas.codec import decode_dead_letter, decode_job, decode_result, encode
from dragoman.schemas.dead_letters import OriginalMessage, Rejection, bury
from dragoman.schemas.generate import CONTRACTS, stale_files
from dragoman.schemas.headers import dead_letter_headers, job_headers, trace_headers
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.jobs import TranslationJob
from dragoman.schemas.reasons import Reason

SCHEMAS = Path(dragoman.schemas.__file__).parent
DOCS = SCHEMAS.parent / "docs"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*/*.json"))
DECODERS = {
    "translation-job": decode_job,
    "translation-result": decode_result,
    "dead-letter": decode_dead_letter,
}
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_schema_files_are_current() -> None:
    assert not stale_files(), "run python -m dragoman.schemas.generate"


def test_every_contract_has_an_example_message() -> None:
    assert {f"{path.parent.name}.{path.stem}" for path in EXAMPLES} == set(CONTRACTS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_example_message_comes_back_equal_when_it_is_decoded_and_encoded(path: Path) -> None:
    message = DECODERS[path.parent.name](path.read_bytes())

    assert json.loads(encode(message)) == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_example_message_satisfies_its_json_schema(path: Path) -> None:
    schema = json.loads((SCHEMAS / "json" / f"{path.parent.name}.{path.stem}.schema.json").read_bytes())

    jsonschema.validate(json.loads(path.read_bytes()), schema, jsonschema.Draft202012Validator)


def test_json_schema_refuses_a_job_without_id() -> None:
    schema = json.loads((SCHEMAS / "json/translation-job.v1.schema.json").read_bytes())
    job = json.loads((SCHEMAS / "examples/translation-job/v1.json").read_bytes())
    del job["job_id"]

    with pytest.raises(jsonschema.ValidationError, match="'job_id' is a required property"):
        jsonschema.validate(job, schema)


def test_every_topic_of_the_module_is_in_its_list() -> None:
    assert {value for value in vars(topics).values() if isinstance(value, topics.Topic)} == set(topics.TOPICS)


def test_topic_takes_the_prefix_of_the_installation() -> None:
    assert topics.JOBS_BULK.full_name("staging.") == "staging.jobs.bulk"


def test_topics_in_the_documents_are_those_of_the_code() -> None:
    rows = [
        f"| `{topic.name}` | {topic.partitions} | {topic.retention.days} days | "
        f"{topic.max_message_bytes >> 20} MiB | {topic.key} | {topic.written_by} | {topic.read_by} | "
        f"{topic.purpose} |"
        for topic in topics.TOPICS
    ]

    assert re.findall(r"^\| `.*", (DOCS / "topics.md").read_text("utf-8"), re.M) == rows


def test_reasons_in_the_documents_are_those_of_the_code() -> None:
    rows = [f"| `{reason.value}` | {reason.meaning} |" for reason in Reason]
    section = (DOCS / "messages.md").read_text("utf-8").split("## Reasons")[1].split("\n## ")[0]

    assert re.findall(r"^\| `.*", section, re.M) == rows


@pytest.mark.parametrize(("heading", "contract"), [("A job", 0), ("A result", 1), ("A dead letter", 2)])
def test_fields_in_the_documents_are_those_of_the_code(heading: str, contract: int) -> None:
    section = (DOCS / "messages.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)`", section, re.M)

    assert documented == list(list(CONTRACTS.values())[contract].model_fields)


def test_job_travels_with_the_headers_of_a_cloud_event() -> None:
    job = TranslationJob(
        client_id="é/1", source_text="Hi.", source_language="en", target_language="fr", submitted_at=NOW
    )

    assert dict(job_headers(job)) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": str(job.job_id).encode(),
        "ce_source": b"/dragoman/clients/%C3%A9%2F1",
        "ce_type": b"dragoman.job.submitted",
        "ce_time": b"2025-06-01T12:00:00Z",
        "schema-version": b"1",
    }


def test_dead_letter_travels_with_the_headers_of_kafka_connect() -> None:
    rejection = Rejection(new_job_id(), Reason.NOT_JSON, "the message is not JSON", 1, NOW)
    headers = dict(dead_letter_headers(bury(OriginalMessage("jobs.bulk", 3, 17, None, b"x", (), NOW), rejection)))

    assert headers["__connect.errors.topic"] == "jobs.bulk"
    assert headers["__connect.errors.offset"] == "17"
    assert headers["__connect.errors.exception.message"] == "the message is not JSON"


def test_trace_context_is_passed_on_and_nothing_else() -> None:
    headers = [("traceparent", b"00-1-2-01"), ("tracestate", None), ("cookie", b"secret")]

    assert trace_headers(headers) == [("traceparent", b"00-1-2-01")]
