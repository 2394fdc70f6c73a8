"""What becomes of a message before anything is translated."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dragoman.model.decoding import SearchOptions
from dragoman.schemas.codec import decode_dead_letter
from dragoman.schemas.jobs import TranslationJob, TranslationOptions
from dragoman.worker.admission import Admission
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import ServedModels
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.work import Outcome, Segment

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def admission(build: Any) -> Admission:
    return Admission(build.identity, ServedModels([EchoTranslator()]), SearchOptions(beam_size=4, length_penalty=1.0))


def pool(build: Any, admission: Admission, **changes: Any) -> Pool:
    """The pool in which a job waits."""
    job = build.job(**changes)
    (segment,) = admission.tokenise([(build.delivery(build.job_message(job)), job)], now_seconds=0.0)
    assert isinstance(segment, Segment)
    return admission.pool(segment)


def reason(outcome: TranslationJob | Outcome) -> str | None:
    assert isinstance(outcome, Outcome)
    assert outcome.row is not None
    assert decode_dead_letter(outcome.events[1].payload).reason == outcome.row.reason
    return outcome.row.reason


def test_a_good_job_comes_back_as_it_was_sent(build: Any, admission: Admission) -> None:
    job = build.job(deadline=TOMORROW, model="echo@0")
    assert admission.decode(build.delivery(build.job_message(job))) == job


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty_message"),
        (b"", "empty_message"),
        (b"not json", "not_json"),
        (b"[1]", "not_an_object"),
        (b"\xff\xfe", "not_utf8"),
        (b"{}", "wrong_schema_version"),
        (b'{"schema_version": 1}', "invalid_job"),
        (b"[" * 100_000, "not_json"),
        (b" " * (4 * 1024 * 1024 + 1), "message_too_large"),
    ],
)
def test_a_message_is_rejected_when_it_is_no_job(
    build: Any, admission: Admission, value: bytes | None, expected: str
) -> None:
    assert reason(admission.decode(build.delivery(build.message(0, value)))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target_language": "de"}, "unknown_language_pair"),
        ({"source_language": "fr", "target_language": "en"}, "unknown_language_pair"),
        ({"model": "another@1"}, "unknown_model"),
        ({"deadline": YESTERDAY}, "deadline_passed"),
    ],
)
def test_a_job_is_rejected_when_this_worker_cannot_do_it(
    build: Any, admission: Admission, changes: dict[str, Any], expected: str
) -> None:
    assert reason(admission.decode(build.delivery(build.job_message(build.job(**changes))))) == expected


def test_a_job_becomes_a_segment_with_its_pieces(build: Any, admission: Admission) -> None:
    job = build.job("abc")
    (segment,) = admission.tokenise([(build.delivery(build.job_message(job)), job)], now_seconds=7.0)
    assert isinstance(segment, Segment)
    assert (segment.pieces, segment.length, segment.waiting_since_seconds) == ((97, 98, 99), 4, 7.0)


def test_a_text_is_rejected_when_the_model_cannot_read_all_of_it(build: Any, admission: Admission) -> None:
    jobs = [build.job("a" * 400), build.job("a" * 401)]
    fits, too_long = admission.tokenise([(build.delivery(build.job_message(job)), job) for job in jobs], 0.0)
    assert isinstance(fits, Segment)
    assert isinstance(too_long, Outcome)
    assert reason(too_long) == "too_many_pieces"


def test_jobs_share_a_pool_when_they_ask_for_what_is_default(build: Any, admission: Admission) -> None:
    explicit = TranslationOptions(beam_size=4, length_penalty=1.0)
    assert pool(build, admission) == pool(build, admission, options=explicit) == Pool("en", "fr", "echo@0", 4, 1.0)


def test_a_length_penalty_of_zero_is_not_the_default(build: Any, admission: Admission) -> None:
    options = TranslationOptions(length_penalty=0.0)
    assert pool(build, admission, options=options) == Pool("en", "fr", "echo@0", 4, 0.0)


class NamingTranslator(EchoTranslator):
    """Puts the first letter of the target language before every text, as multilingual models do with a piece."""

    pairs: tuple[tuple[str, str], ...] = (("en", "fr"), ("en", "de"))

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]:
        return [[ord(target[0]), *row] for row in super().encode(texts, target)]


def test_each_job_is_encoded_for_its_target_language(build: Any) -> None:
    admission = Admission(build.identity, ServedModels([NamingTranslator()]), SearchOptions())
    jobs = [build.job(target_language=target, source_text="x") for target in ("fr", "de", "fr")]
    deliveries = [build.delivery(build.job_message(job)) for job in jobs]

    segments = admission.tokenise(list(zip(deliveries, jobs, strict=True)), now_seconds=0.0)

    assert [segment.pieces for segment in segments if isinstance(segment, Segment)] == [
        (ord("f"), ord("x")),
        (ord("d"), ord("x")),
        (ord("f"), ord("x")),
    ]


class Later(NamingTranslator):
    """Another model, that comes second."""

    version = "later@1"


@pytest.fixture
def both(build: Any) -> Admission:
    return Admission(build.identity, ServedModels([EchoTranslator(), Later()]), SearchOptions())


@pytest.mark.parametrize(
    ("changes", "version"),
    [({}, "echo@0"), ({"target_language": "de"}, "later@1"), ({"model": "later@1"}, "later@1")],
    ids=["the first that translates the pair", "the only one", "the one it asks for"],
)
def test_a_job_goes_to_the_model_that_serves_it(
    build: Any, both: Admission, changes: dict[str, Any], version: str
) -> None:
    assert pool(build, both, **changes).model_version == version


def test_a_job_is_rejected_when_the_model_it_asks_for_has_not_its_pair(build: Any, both: Admission) -> None:
    job = build.job(target_language="de", model="echo@0")
    assert reason(both.decode(build.delivery(build.job_message(job)))) == "unknown_model"
