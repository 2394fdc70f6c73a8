"""Corrections on a real PostgreSQL: the last one holds, the chain is a line, nothing is changed."""

import threading
from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import DragomanError
from dragoman.schemas.corrections import Correction, Signature
from dragoman.storage.correction_queries import (
    CorrectionFilter,
    get_correction,
    list_corrections,
    revisions,
    stream_corrections,
)
from dragoman.storage.corrections import Written, correct_job, record_corrections, withdraw
from dragoman.storage.engine import transaction
from dragoman.storage.settlement import settle
from pydantic import ValidationError
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

pytestmark = pytest.mark.services

PEOPLE = 8
ANY = CorrectionFilter()
ADA = Signature(author="Ada")


def correction(source: str = "Good night.", target: str = "Bonne nuit.", **changes: Any) -> Correction:
    plain = {
        "source_text": source,
        "target_text": target,
        "source_language": "en",
        "target_language": "fr",
        "author": "Ada",
    }
    return Correction(**{**plain, **changes})


def write(engine: Engine, *corrections: Correction) -> list[Written]:
    with transaction(engine) as connection:
        return record_corrections(connection, corrections)


def holding(engine: Engine, filters: CorrectionFilter = ANY) -> list[tuple[str, str | None]]:
    with transaction(engine) as connection:
        return [(one.source_text, one.target_text) for one in list_corrections(connection, filters, 100)]


def chain_of_one(engine: Engine, correction_id: UUID) -> list[tuple[int, str | None, UUID | None]]:
    with transaction(engine) as connection:
        found = get_correction(connection, correction_id)
        assert found is not None
        return [(one.revision, one.target_text, one.supersedes) for one in revisions(connection, found)]


def test_the_later_one_holds_and_the_former_stays_when_a_text_is_corrected_twice(engine: Engine) -> None:
    (first,) = write(engine, correction(target="Bonne nuit."))
    (second,) = write(engine, correction(target="Bonsoir.", author="Grace"))
    assert holding(engine) == [("Good night.", "Bonsoir.")]
    assert chain_of_one(engine, first.id) == [(1, "Bonne nuit.", None), (2, "Bonsoir.", first.id)]
    assert second.is_new


def test_nothing_is_written_when_the_text_is_already_so(engine: Engine) -> None:
    (first,) = write(engine, correction())
    (again,) = write(engine, correction(author="Grace"))
    assert again == (first.id, False)
    assert len(chain_of_one(engine, first.id)) == 1


def test_the_last_of_a_call_holds_when_it_corrects_a_text_twice(engine: Engine) -> None:
    first, second = write(engine, correction(target="Un."), correction(target="Deux."))
    assert chain_of_one(engine, second.id) == [(1, "Un.", None), (2, "Deux.", first.id)]


def test_clients_and_pairs_have_corrections_of_their_own(engine: Engine) -> None:
    write(
        engine,
        correction(target="For all."),
        correction(target="For a shop.", client_id="shop"),
        correction(target="Buenas noches.", target_language="es"),
    )
    assert holding(engine, CorrectionFilter(for_all_clients=True, target_language="fr")) == [
        ("Good night.", "For all.")
    ]
    assert holding(engine, CorrectionFilter(client_id="shop")) == [("Good night.", "For a shop.")]
    assert len(holding(engine)) == 3


def test_the_chain_is_a_line_when_many_correct_the_same_text_at_once(engine: Engine) -> None:
    together = threading.Barrier(PEOPLE)

    def correct(person: int) -> None:
        together.wait()
        write(engine, correction(target=f"Bonne nuit {person}.", author=f"person {person}"))

    threads = [threading.Thread(target=correct, args=(person,)) for person in range(PEOPLE)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with transaction(engine) as connection:
        (last,) = list_corrections(connection, ANY, 10)
        chain = revisions(connection, last)
    assert [one.revision for one in chain] == list(range(1, PEOPLE + 1))
    assert [one.supersedes for one in chain] == [None, *(one.id for one in chain[:-1])]
    assert [one.number for one in chain] == sorted(one.number for one in chain)
    assert chain[-1] == last


def test_numbers_grow_in_the_order_of_the_commits_when_a_writer_is_slow(engine: Engine) -> None:
    """Whoever has seen a number has seen all before it: no later commit brings a smaller one."""
    second_is_in = threading.Event()

    def second() -> None:
        write(engine, correction("Second."))
        second_is_in.set()

    with transaction(engine) as connection:
        record_corrections(connection, [correction("First.")])
        thread = threading.Thread(target=second)
        thread.start()
        assert not second_is_in.wait(0.3)
    thread.join()
    assert holding(engine) == [("Second.", "Bonne nuit."), ("First.", "Bonne nuit.")]


def test_a_fork_is_refused_when_somebody_writes_past_us(engine: Engine) -> None:
    write(engine, correction())
    copy = (
        "INSERT INTO correction (id, chain, revision, source_language, target_language, source_text, author, origin) "
        "SELECT gen_random_uuid(), chain, revision, 'en', 'fr', 'x', 'x', 'cli' FROM correction"
    )
    with pytest.raises(IntegrityError, match="uq_correction_chain"), engine.begin() as connection:
        connection.execute(text(copy))


def test_it_holds_no_longer_when_it_is_withdrawn(engine: Engine) -> None:
    (written,) = write(engine, correction())
    with transaction(engine) as connection:
        row = withdraw(connection, written.id, Signature(author="Grace", reason="It was right before."))
    assert holding(engine) == []
    assert (row.revision, row.target_text, row.supersedes, row.author) == (2, None, written.id, "Grace")
    (again,) = write(engine, correction())
    assert again.is_new
    assert holding(engine) == [("Good night.", "Bonne nuit.")]


def test_a_sentence_is_raised_when_there_is_nothing_to_withdraw(engine: Engine) -> None:
    (first,), (second,) = write(engine, correction(target="Un.")), write(engine, correction(target="Deux."))
    with transaction(engine) as connection:
        with pytest.raises(DragomanError, match=f"superseded by {second.id}"):
            withdraw(connection, first.id, ADA)
        withdraw(connection, second.id, ADA)
        with pytest.raises(DragomanError, match="withdrawn already"):
            withdraw(connection, second.id, ADA)
        with pytest.raises(DragomanError, match="there is no correction"):
            withdraw(connection, UUID(int=9), ADA)


def test_the_job_s_client_and_languages_are_taken_when_a_job_is_corrected(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1, client_id="shop")))
    with transaction(bench.engine) as connection:
        own = correct_job(connection, UUID(int=1), "Mieux.", Signature(author="Ada", reason="Wrong word."))
        general = correct_job(connection, UUID(int=1), "Mieux.", ADA, for_all_clients=True)
        kept = [get_correction(connection, one.id) for one in (own, general)]
    assert [(one.client_id, one.source_text, one.job_id, one.reason) for one in kept if one] == [
        ("shop", "Sentence 1.", UUID(int=1), "Wrong word."),
        (None, "Sentence 1.", UUID(int=1), None),
    ]


def test_a_sentence_is_raised_when_the_job_cannot_be_corrected(bench: Any) -> None:
    rejected = bench.row(1, status="rejected", reason="not_json", source_text=None, target_text=None)
    settle(bench.engine, bench.settlement(rejected))
    with transaction(bench.engine) as connection:
        with pytest.raises(DragomanError, match="no source text"):
            correct_job(connection, UUID(int=1), "Mieux.", ADA)
        with pytest.raises(DragomanError, match="has no job"):
            correct_job(connection, UUID(int=2), "Mieux.", ADA)


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE correction; --", '{"},{"', "%s %(x)s", "\\", "é\u202e\U0001f600\r\n\t"]
)
def test_a_text_comes_back_as_it_was_when_it_is_hostile(engine: Engine, hostile: str) -> None:
    write(engine, correction(hostile, hostile, author="x", reason=hostile, client_id="x'); --"))
    assert holding(engine) == [(hostile, hostile)]
    assert holding(engine, CorrectionFilter(client_id="x'); --", containing=hostile)) == [(hostile, hostile)]


def test_a_percent_sign_means_itself_when_texts_are_searched(engine: Engine) -> None:
    write(engine, correction("100 % wool", "100 % laine"), correction("100 wool", "100 laine"))
    assert holding(engine, CorrectionFilter(containing="100 %")) == [("100 % wool", "100 % laine")]


@pytest.mark.parametrize("field", ["source_text", "target_text", "author", "reason", "client_id"])
@pytest.mark.parametrize("character", ["\x00", "\ud800"])
def test_a_correction_is_refused_and_not_quoted_when_it_cannot_be_stored(field: str, character: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Correction(**{**correction().model_dump(), field: f"Secret{character}"})
    assert "Secret" not in str(refused.value)


def test_those_that_hold_are_streamed_in_the_order_of_writing(engine: Engine) -> None:
    write(engine, *(correction(f"Text {n}.") for n in range(5_000)))
    write(engine, correction("Text 7.", "Autre."))
    with transaction(engine) as connection:
        texts = [one.source_text for one in stream_corrections(connection, ANY)]
    assert len(texts) == 5_000
    assert texts[:9] == [f"Text {n}." for n in (0, 1, 2, 3, 4, 5, 6, 8, 9)]
    assert texts[-1] == "Text 7."
