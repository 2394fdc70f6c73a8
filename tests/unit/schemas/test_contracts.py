from datetime import UTC, datetime
from uuid import uuid4

import pytest
from dragoman.schemas.dead_letters import (
    LONGEST_KEPT_HEADERS_BYTES,
    LONGEST_KEPT_VALUE_BYTES,
    Headers,
    OriginalMessage,
    Rejection,
    bury,
)
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.jobs import TranslationJob
from dragoman.schemas.results import ResultStatus, TranslationResult
from pydantic import ValidationError

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def a_job(**changes: object) -> TranslationJob:
    fields = {"client_id": "c", "source_text": "Hi.", "source_language": "en", "target_language": "fr"}
    return TranslationJob.model_validate(fields | changes)


def a_result(**changes: object) -> TranslationResult:
    fields = {"job_id": new_job_id(), "status": "translated", "translation": "Salut.", "finished_at": NOW}
    return TranslationResult.model_validate(fields | changes)


def original(value: bytes | None, headers: Headers = ()) -> OriginalMessage:
    return OriginalMessage("jobs.bulk", 3, 17, b"key", value, headers, NOW)


REJECTION = Rejection(new_job_id(), "not_json", "the message is not JSON", 1, NOW)


def test_job_is_refused_when_a_field_is_unknown() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        a_job(sourc_language="en")


def test_job_is_refused_when_its_id_is_not_version_7() -> None:
    with pytest.raises(ValidationError, match="version 7"):
        a_job(job_id=uuid4())


def test_job_is_refused_when_the_clock_of_its_id_is_far_off() -> None:
    with pytest.raises(ValidationError, match="outside 2020-2100"):
        a_job(job_id="ffffffff-ffff-7fff-bfff-ffffffffffff")


def test_job_is_refused_when_a_time_has_no_zone() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        a_job(deadline=datetime(2025, 6, 1))


def test_languages_are_normalised_when_a_job_is_made() -> None:
    job = a_job(source_language="EN", target_language="pt_br")

    assert (job.source_language, job.target_language) == ("en", "pt-BR")


@pytest.mark.parametrize("metadata", [{str(n): "" for n in range(33)}, {"k": "é" * 2_000}], ids=["entries", "bytes"])
def test_metadata_is_refused_when_it_is_too_large(metadata: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="at most 32 of 4000 are allowed"):
        a_job(metadata=metadata)


def test_error_of_a_job_never_quotes_its_text() -> None:
    with pytest.raises(ValidationError) as caught:
        a_job(source_text="canary\x00", lane="canary", metadata={"k": 1})

    assert "canary" not in str(caught.value)


def test_result_must_have_a_translation_when_it_is_translated() -> None:
    with pytest.raises(ValidationError, match="a translation belongs to"):
        a_result(translation=None)


def test_result_must_have_a_reason_when_it_is_rejected() -> None:
    with pytest.raises(ValidationError, match="a reason belongs to"):
        a_result(status=ResultStatus.REJECTED, translation=None)


def test_result_has_the_same_event_id_when_it_is_made_again() -> None:
    job_id = new_job_id()

    assert a_result(job_id=job_id).event_id == a_result(job_id=job_id, attempt=2).event_id


def test_dead_letter_keeps_the_original_bytes_when_they_are_not_text() -> None:
    letter = bury(original(b"\xff\x00", [("h", b"\xfe"), ("empty", None)]), REJECTION)

    assert letter.original_value == b"\xff\x00"
    assert letter.original_headers == (("h", b"\xfe"), ("empty", None))
    assert not letter.truncated


def test_dead_letter_tells_no_value_from_an_empty_one() -> None:
    assert bury(original(None), REJECTION).original_value is None
    assert bury(original(b""), REJECTION).original_value == b""


def test_dead_letter_is_cut_and_says_so_when_the_value_is_huge() -> None:
    letter = bury(original(b"x" * (LONGEST_KEPT_VALUE_BYTES + 1)), REJECTION)

    assert letter.truncated
    assert len(letter.original_value or b"") == LONGEST_KEPT_VALUE_BYTES
    assert letter.original_size_bytes == LONGEST_KEPT_VALUE_BYTES + 1


def test_dead_letter_is_cut_and_says_so_when_the_headers_are_huge() -> None:
    letter = bury(original(b"", [("small", b"1"), ("huge", b"x" * LONGEST_KEPT_HEADERS_BYTES)]), REJECTION)

    assert letter.truncated
    assert letter.original_headers == (("small", b"1"),)
