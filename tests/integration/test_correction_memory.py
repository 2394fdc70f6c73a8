"""The translation memory of a worker on a real PostgreSQL."""

from collections.abc import Callable
from typing import Any

import pytest
from dragoman.errors import TransientError
from dragoman.model.batching import BatchLimits
from dragoman.model.decoding import SearchOptions
from dragoman.model.translation import Translation
from dragoman.schemas.codec import encode
from dragoman.schemas.corrections import Correction, Signature
from dragoman.schemas.jobs import TranslationJob
from dragoman.storage.corrections import record_corrections, withdraw
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.known_jobs import known_jobs
from dragoman.worker import correction_memory
from dragoman.worker.admission import Admission
from dragoman.worker.admitter import Admitter
from dragoman.worker.correction_memory import CorrectionMemory
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import ServedModels
from dragoman.worker.message import Message
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.scheduling.translation_cache import TranslationCache
from dragoman.worker.scheduling.waiting_room import WaitingRoom
from dragoman.worker.translation_memory import Found
from dragoman.worker.work import Identity
from sqlalchemy import Engine, event, make_url, text

pytestmark = pytest.mark.services

ADA = Signature(author="Ada")


def job(source: str = "Hello.", **changes: Any) -> TranslationJob:
    plain = {"client_id": "shop", "source_text": source, "source_language": "en", "target_language": "fr"}
    return TranslationJob(**{**plain, **changes})


def correct(database: Engine, target: str, source: str = "Hello.", client_id: str | None = None) -> Any:
    one = Correction(
        source_text=source,
        target_text=target,
        source_language="en",
        target_language="fr",
        author="Ada",
        client_id=client_id,
    )
    with transaction(database) as connection:
        return record_corrections(connection, [one])[0].id


def texts(memory: CorrectionMemory, *jobs: TranslationJob) -> list[str | None]:
    return [found.text if found else None for found in find(memory, *jobs)]


def find(memory: CorrectionMemory, *jobs: TranslationJob) -> list[Found | None]:
    """As the admitter asks: it has just heard which correction is the newest."""
    return memory.find(jobs, known_jobs(memory._engine, ()).newest_correction)


def test_the_same_text_is_answered_from_the_next_call_on_in_every_worker(database: Engine) -> None:
    here, there = CorrectionMemory(database), CorrectionMemory(database)
    assert texts(here, job()) == texts(there, job()) == [None]
    correction_id = correct(database, "Bonjour.")
    assert [found and found.correction_id for found in find(here, job(), job("Hello"))] == [correction_id, None]
    assert texts(there, job()) == ["Bonjour."]


def test_the_newer_one_answers_when_there_are_two_and_none_when_it_is_withdrawn(database: Engine) -> None:
    memory = CorrectionMemory(database)
    correct(database, "Bonjour.")
    assert texts(memory, job()) == ["Bonjour."]
    newer = correct(database, "Salut.")
    assert texts(memory, job()) == ["Salut."]
    with transaction(database) as connection:
        withdraw(connection, newer, ADA)
    assert texts(memory, job()) == [None]


def test_a_client_s_own_correction_comes_before_that_for_all_and_reaches_no_other(database: Engine) -> None:
    memory = CorrectionMemory(database)
    own = correct(database, "Salut.", client_id="shop")
    assert texts(memory, job(), job(client_id="bank")) == ["Salut.", None]
    correct(database, "Bonjour.")
    assert texts(memory, job(), job(client_id="bank")) == ["Salut.", "Bonjour."]
    with transaction(database) as connection:
        withdraw(connection, own, ADA)
    assert texts(memory, job()) == ["Bonjour."]


def test_the_model_is_heard_when_the_job_names_its_version_and_no_other_pair_is_answered(database: Engine) -> None:
    correct(database, "Bonjour.")
    memory = CorrectionMemory(database)
    assert texts(memory, job(model="echo@0"), job(target_language="de"), job()) == [None, None, "Bonjour."]


def test_every_correction_is_found_while_the_keys_are_still_being_read(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction_memory, "KEYS_AT_ONCE", 2)
    for number in range(5):
        correct(database, f"Texte {number}.", f"Text {number}.")
    memory = CorrectionMemory(database)
    jobs = [job(f"Text {number}.") for number in (4, 0, 5)]
    expected = ["Texte 4.", "Texte 0.", None]
    assert [texts(memory, *jobs) for _ in range(8)] == [expected] * 8


@pytest.mark.parametrize("corrections", [0, 1])
def test_nothing_is_asked_when_no_text_has_a_correction_and_none_is_new(database: Engine, corrections: int) -> None:
    for _ in range(corrections):
        correct(database, "Bonjour.")
    memory = CorrectionMemory(database)
    newest = known_jobs(database, ()).newest_correction
    memory.find([job()], newest)
    statements: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert memory.find([job("Other."), job("More.")], newest) == [None, None]
    assert statements == []


def test_the_memory_begins_anew_when_the_database_was_set_back(database: Engine) -> None:
    memory = CorrectionMemory(database)
    correct(database, "Bonjour.")
    correct(database, "Au revoir.", "Bye.")
    assert texts(memory, job(), job("Bye.")) == ["Bonjour.", "Au revoir."]
    with transaction(database) as connection:
        connection.execute(text("TRUNCATE correction RESTART IDENTITY"))
    correct(database, "Bonne nuit.", "Good night.")
    correct(database, "Merci.", "Thanks.")
    assert texts(memory, job(), job("Good night."), job("Thanks.")) == [None, "Bonne nuit.", "Merci."]


def test_a_transient_error_is_raised_and_nothing_forgotten_when_the_database_does_not_answer(
    database: Engine, database_url: str
) -> None:
    correct(database, "Bonjour.")
    short = make_url(database_url).update_query_dict({"options": "-c statement_timeout=200"})
    impatient = create_database_engine(short.render_as_string(hide_password=False))
    memory = CorrectionMemory(impatient)
    newest = known_jobs(database, ()).newest_correction
    with transaction(database) as holder:
        holder.execute(text("LOCK TABLE correction IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(TransientError):
            memory.find([job()], newest)
    assert texts(memory, job()) == ["Bonjour."]
    impatient.dispose()


@pytest.fixture
def pipeline(database: Engine) -> Pipeline:
    """A worker's, with one partition and a cache."""
    policy = Policy(BatchLimits(4096, 256), {"interactive": 0.0, "bulk": 0.0})
    pipeline = Pipeline(Identity("worker", "group", ""), WaitingRoom(Scheduler(policy), TranslationCache(1_000_000)))
    pipeline.assignments.add(("jobs.bulk", 0), 1, 0)
    return pipeline


def test_a_job_that_nobody_knows_is_admitted_with_one_statement(database: Engine, pipeline: Pipeline) -> None:
    correct(database, "Bonjour.")
    admit = admitting(database, pipeline)
    admit(0, "Other.")
    statements: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *told: statements.append(told[2]))
    admit(1, "More.")
    assert pipeline.waiting_room.take(0) is not None
    assert len(statements) == 1


def admitting(database: Engine, pipeline: Pipeline) -> Callable[[int, str], None]:
    """Puts a text at an offset through an admitter."""
    admission = Admission(pipeline.identity, ServedModels([EchoTranslator()]), SearchOptions())
    admitter = Admitter(pipeline, admission, database, fuse=10, memory=CorrectionMemory(database))

    def admit(offset: int, source: str) -> None:
        message = Message("jobs.bulk", 0, offset, None, encode(job(source)), (), 0.0)
        pipeline.inbox.put([delivery for delivery in [pipeline.assignments.receive(message)] if delivery])
        admitter.work()

    return admit


def test_a_correction_comes_before_what_the_worker_has_in_its_cache(database: Engine, pipeline: Pipeline) -> None:
    admit = admitting(database, pipeline)

    def answer() -> Any:
        (outcome,) = pipeline.finished.bulk.gather(1, 0.0)
        assert outcome.row is not None
        return outcome.row.target_text, outcome.row.answered_by, outcome.row.correction_id

    admit(0, "Hello.")
    batch = pipeline.waiting_room.take(0)
    assert batch is not None
    pipeline.waiting_room.answered(batch.pool, [(batch.segments[0], Translation("Hallo.", 0.0, 6, 6))])
    admit(1, "Hello.")
    assert answer() == ("Hallo.", "cache", None)
    correction_id = correct(database, "Bonjour.")
    admit(2, "Hello.")
    assert answer() == ("Bonjour.", "memory", correction_id)
