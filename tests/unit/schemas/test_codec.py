import contextlib
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from dragoman.schemas.codec import (
    LARGEST_JOB_BYTES,
    UndecodableMessageError,
    decode_dead_letter,
    decode_job,
    decode_result,
    encode,
)
from dragoman.schemas.dead_letters import OriginalMessage, Rejection, bury
from dragoman.schemas.ids import derived_id, new_job_id
from dragoman.schemas.jobs import TranslationJob, TranslationOptions
from dragoman.schemas.reasons import Reason
from dragoman.schemas.results import ResultStatus, TranslationResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
JOB_ID = UUID("01993f4e-7c00-7a41-8f3d-2b9c1e5d7a60")
FIELDS = {
    "schema_version": 1,
    "job_id": str(JOB_ID),
    "client_id": "shop",
    "source_text": "Hello.",
    "source_language": "en",
    "target_language": "fr",
    "submitted_at": "2025-06-01T12:00:00Z",
}

# Any character that UTF-8 can hold, but NUL.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)
named = texts.filter(lambda text: text != "")
moments = st.datetimes(timezones=st.just(UTC))
job_ids = st.builds(derived_id, moments, st.text())
metadata = st.dictionaries(texts, texts, max_size=5)
jobs = st.builds(
    TranslationJob,
    job_id=job_ids,
    client_id=named,
    source_text=texts.map(lambda text: "x" + text),
    source_language=st.sampled_from(["en", "pt-BR", "zh-Hans"]),
    target_language=st.sampled_from(["fr", "yue"]),
    lane=st.sampled_from(["interactive", "bulk"]),
    submitted_at=moments,
    deadline=st.none() | moments,
    options=st.builds(
        TranslationOptions,
        beam_size=st.none() | st.integers(1, 16),
        length_penalty=st.none() | st.floats(0, 5),
    ),
    model=st.none() | named,
    metadata=metadata,
)


def message(**changes: object) -> bytes:
    return json.dumps(FIELDS | changes).encode()


def refusal(value: bytes | None) -> UndecodableMessageError:
    with pytest.raises(UndecodableMessageError) as caught:
        decode_job(value)
    return caught.value


@UNHURRIED
@given(jobs)
def test_job_comes_back_equal_when_it_is_encoded_and_decoded(job: TranslationJob) -> None:
    assert decode_job(encode(job)) == job


@UNHURRIED
@given(st.binary() | st.none())
def test_arbitrary_bytes_are_refused_and_kept(value: bytes | None) -> None:
    assert refusal(value).raw == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@UNHURRIED
@given(
    st.sampled_from(["schema_version", "job_id", "submitted_at", "options", "metadata", "lane", "model"]),
    json_values,
)
def test_nothing_but_our_error_is_raised_when_a_field_holds_anything(field: str, value: object) -> None:
    with contextlib.suppress(UndecodableMessageError):
        job = decode_job(message(**{field: value}))
        assert decode_job(encode(job)) == job


def test_unknown_fields_are_ignored_when_a_later_client_sends_them() -> None:
    assert decode_job(message(tone="formal", options={"beam_size": 2, "n_best": 3})).options.beam_size == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY_MESSAGE),
        (b"", Reason.EMPTY_MESSAGE),
        (b"x" * (LARGEST_JOB_BYTES + 1), Reason.MESSAGE_TOO_LARGE),
        (b'{"a": "\xff"}', Reason.NOT_UTF8),
        (b"Hello.", Reason.NOT_JSON),
        (b'{"schema_version": 1', Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b'{"a":' * 500 + b"1" + b"}" * 500, Reason.NOT_JSON),
        (b'{"a": ' + b"9" * 5_000 + b"}", Reason.NOT_JSON),
        (b"[1, 2]", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.WRONG_SCHEMA_VERSION),
        (message(schema_version=2, source_text=""), Reason.WRONG_SCHEMA_VERSION),
        (message(schema_version="1"), Reason.WRONG_SCHEMA_VERSION),
        (message(source_text=""), Reason.EMPTY_TEXT),
        (message(source_text=" \t\u00a0\n"), Reason.EMPTY_TEXT),
        (message(source_text="é" * 100_001), Reason.TEXT_TOO_LARGE),
        (message(source_text="a" * 2_000_000), Reason.TEXT_TOO_LARGE),
        (message(source_text="a\x00b"), Reason.NUL_CHARACTER),
        (message(metadata={"k": "\x00"}), Reason.NUL_CHARACTER),
        (message(source_text="\ud800"), Reason.LONE_SURROGATE),
        (message(client_id="\udfff"), Reason.LONE_SURROGATE),
        (message(source_language="english"), Reason.UNKNOWN_LANGUAGE),
        (message(target_language=""), Reason.UNKNOWN_LANGUAGE),
        (message(lane="fast"), Reason.INVALID_JOB),
        (message(job_id="7"), Reason.INVALID_JOB),
        (message(source_text=7), Reason.INVALID_JOB),
        (message(submitted_at="yesterday"), Reason.INVALID_JOB),
        (message(submitted_at="2025-06-01T12:00:00"), Reason.INVALID_JOB),
        (message(options={"beam_size": 0}), Reason.INVALID_JOB),
        (message(options={"beam_size": "4"}), Reason.INVALID_JOB),
        (message(metadata={"k": 1}), Reason.INVALID_JOB),
    ],
    ids=lambda value: value if isinstance(value, Reason) else repr(value)[:40],
)
def test_reason_names_what_is_wrong_when_a_message_is_no_job(value: bytes | None, reason: Reason) -> None:
    assert refusal(value).reason == reason


@pytest.mark.parametrize("field", ["schema_version", "job_id", "submitted_at"])
def test_message_is_refused_when_a_field_is_missing_that_has_a_default_in_python(field: str) -> None:
    # With the default, each redelivery would be another job.
    value = json.dumps({name: value for name, value in FIELDS.items() if name != field}).encode()

    assert field in str(refusal(value))


def test_job_id_and_client_are_salvaged_when_the_rest_is_bad() -> None:
    error = refusal(message(schema_version=2))

    assert (error.job_id, error.client_id) == (JOB_ID, "shop")


def test_job_id_is_salvaged_when_the_text_holds_a_lone_surrogate() -> None:
    assert refusal(message(source_text="\ud800")).job_id == JOB_ID


@pytest.mark.parametrize("job_id", ["", "x", 7, None, "00000000-0000-4000-8000-000000000000"])
def test_no_job_id_is_salvaged_when_it_is_none(job_id: object) -> None:
    assert refusal(message(job_id=job_id)).job_id is None


@pytest.mark.parametrize(
    "field",
    ["job_id", "source_text", "source_language", "lane", "submitted_at", "metadata", "model"],
)
def test_sentence_never_quotes_the_message(field: str) -> None:
    bad = "canary\x00" if field in ("source_text", "model") else {"canary": ["canary"]}

    assert "canary" not in str(refusal(message(**{field: bad})))


def test_sentence_counts_the_faults_when_there_are_many() -> None:
    error = refusal(message(lane=1, client_id=1, submitted_at=1, metadata=1, options=1))

    assert str(error).endswith("and 2 more")


def test_result_comes_back_equal_when_it_is_encoded_and_decoded() -> None:
    result = TranslationResult(
        job_id=JOB_ID, status=ResultStatus.FAILED, reason=Reason.TRANSLATION_FAILED, finished_at=NOW
    )

    assert decode_result(encode(result)) == result


def test_result_is_read_when_its_reason_is_one_we_do_not_know() -> None:
    fields = {"schema_version": 1, "job_id": str(JOB_ID), "event_id": str(JOB_ID), "status": "rejected"}
    later = fields | {"reason": "too_rude", "finished_at": "2025-06-01T12:00:00Z", "submitted_at": None}

    assert decode_result(json.dumps(later).encode()).reason == "too_rude"


@UNHURRIED
@given(
    st.binary() | st.none(),
    st.lists(st.tuples(st.text(st.characters()), st.none() | st.binary()), max_size=4),
)
def test_dead_letter_comes_back_equal_whatever_the_message_held(
    value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    letter = bury(
        OriginalMessage("jobs.bulk", 0, 0, b"\xff", value, headers, NOW),
        Rejection(new_job_id(), Reason.NOT_UTF8, "the message is not UTF-8", 1, NOW),
    )

    assert decode_dead_letter(encode(letter)) == letter


def test_dead_letter_is_refused_when_its_bytes_are_not_base64() -> None:
    letter = bury(
        OriginalMessage("jobs.bulk", 0, 0, None, b"abc", (), NOW),
        Rejection(new_job_id(), Reason.NOT_JSON, "the message is not JSON", 1, NOW),
    )
    damaged = json.loads(encode(letter)) | {"original_value": "?"}

    with pytest.raises(UndecodableMessageError, match="original_value"):
        decode_dead_letter(json.dumps(damaged).encode())
