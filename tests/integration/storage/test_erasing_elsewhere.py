"""Erasing what goes with its text: corrections, and what shadows wrote."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.schemas.corrections import Correction
from dragoman.storage.corrections import record_corrections
from dragoman.storage.engine import transaction
from dragoman.storage.erasure import find
from dragoman.storage.erasure_request import Request, carry_out
from dragoman.storage.erasure_scope import Scope
from dragoman.storage.settlement import settle
from dragoman.storage.shadows import ShadowTranslation, record_shadows
from dragoman.tests.database_scan import tables_holding
from sqlalchemy import text

pytestmark = pytest.mark.services

CANARY = "Zanzibarcanary"


def correct(bench: Any, source: str, target: str, **changes: Any) -> None:
    plain = {"source_language": "en", "target_language": "fr", "author": "Ada"}
    with transaction(bench.engine) as connection:
        record_corrections(
            connection, [Correction(**{**plain, "source_text": source, "target_text": target, **changes})]
        )


@pytest.fixture
def everywhere(bench: Any) -> Any:
    """The canary in a former revision, in a correction for all clients, and in what a shadow wrote of job 1."""
    settle(bench.engine, bench.settlement(bench.row(1, client_id="shop"), bench.row(2, client_id="bank")))
    correct(bench, "Hello.", CANARY, client_id="shop")
    correct(bench, "Hello.", "Bonjour.", client_id="shop")
    correct(bench, f"A {CANARY.upper()}.", "Un oiseau.", job_id=UUID(int=1))
    correct(bench, "Bye.", "Salut.", client_id="bank")
    with transaction(bench.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO model_version (id, source_languages, target_languages, content_sha256, card) "
                "VALUES ('new@1', '{en}', '{fr}', 'x', '{}') ON CONFLICT DO NOTHING"
            )
        )
        record_shadows(
            connection,
            [
                ShadowTranslation(UUID(int=1), "new@1", f"Le {CANARY}", 0.0, 3),
                ShadowTranslation(UUID(int=2), "new@1", "Salut", 0.0, 3),
            ],
        )
    return bench


def erased(bench: Any, **scope: Any) -> dict[str, int]:
    return dict(carry_out(bench.engine, Request(Scope(**scope), "anna"), lambda _: None).rows)


def left(bench: Any) -> tuple[int, int]:
    return bench.value("SELECT count(*) FROM correction"), bench.value("SELECT count(*) FROM shadow_translation")


def test_whole_chains_and_shadows_go_that_hold_a_text(everywhere: Any) -> None:
    assert {"correction", "shadow_translation"} <= set(tables_holding(everywhere.engine, CANARY))
    counted = {done.table: done.meant for done in find(everywhere.engine, Scope(containing=CANARY))}
    assert (counted["correction"], counted["shadow_translation"]) == (2, 1)
    rows = erased(everywhere, containing=CANARY.lower())
    assert (rows["correction"], rows["shadow_translation"]) == (3, 1)
    assert tables_holding(everywhere.engine, CANARY) == []
    assert left(everywhere) == (1, 1)


def test_a_client_takes_its_corrections_along_and_those_that_its_jobs_gave_rise_to(everywhere: Any) -> None:
    erased(everywhere, client_id="shop")
    assert left(everywhere) == (1, 1)
    assert everywhere.value("SELECT client_id FROM correction") == "bank"
    assert everywhere.value("SELECT job_id FROM shadow_translation") == UUID(int=2)


def test_the_planner_s_statistics_quote_no_erased_correction(bench: Any) -> None:
    for number in range(20):
        correct(bench, f"Text {number}.", CANARY)
    quoting = f"SELECT count(*) FROM pg_stats WHERE most_common_vals::text LIKE '%{CANARY}%'"
    with transaction(bench.engine) as connection:
        connection.execute(text("ANALYZE correction"))
    assert bench.value(quoting) == 1
    erased(bench, containing=CANARY)
    assert bench.value(quoting) == 0


def test_a_job_takes_only_its_own_along(everywhere: Any) -> None:
    erased(everywhere, job_id=UUID(int=1))
    assert left(everywhere) == (3, 1)


def test_an_erasure_of_another_touches_nothing(everywhere: Any) -> None:
    erased(everywhere, client_id="nobody")
    assert left(everywhere) == (4, 2)
