"""Encrypted corrections on a real PostgreSQL: nowhere readable, used with the key, mixed with plain ones, rotated."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.schemas.corrections import Correction, Signature
from dragoman.schemas.jobs import TranslationJob
from dragoman.storage import correction_reencryption
from dragoman.storage.corpus_corrections import current_corrections
from dragoman.storage.correction_queries import (
    CorrectionFilter,
    count_corrections,
    get_correction,
    list_corrections,
    revisions,
    stream_corrections,
)
from dragoman.storage.correction_reencryption import corrections_to_reencrypt, reencrypt_corrections
from dragoman.storage.corrections import Written, correct_job, record_corrections, withdraw
from dragoman.storage.engine import transaction
from dragoman.storage.erasure import find
from dragoman.storage.erasure_request import Request, carry_out
from dragoman.storage.erasure_scope import Scope
from dragoman.storage.history import HistoryFilter
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.migrate import downgrade
from dragoman.storage.settlement import settle
from dragoman.storage.text_cipher import TextCipher
from dragoman.tests.database_scan import tables_holding
from dragoman.worker.correction_memory import CorrectionMemory
from sqlalchemy import Engine

pytestmark = pytest.mark.services

CANARY = "Zanzibarcanary"
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
FIRST, SECOND, ONLY_NEW = TextCipher({"old": OLD}), TextCipher({"new": NEW, "old": OLD}), TextCipher({"new": NEW})
ANY = CorrectionFilter()
ADA = Signature(author="Ada", reason=f"because of {CANARY}")


def correct(engine: Engine, number: int, cipher: TextCipher | None, target: str = CANARY) -> Written:
    one = Correction(
        source_text=f"{CANARY} {number}",
        target_text=f"{target} {number}",
        source_language="en",
        target_language="fr",
        **ADA.model_dump(),
    )
    with transaction(engine) as connection:
        return record_corrections(connection, [one], cipher)[0]


def answers(memory: CorrectionMemory, *numbers: int) -> list[str | None]:
    jobs = [
        TranslationJob(client_id="shop", source_text=f"{CANARY} {n}", source_language="en", target_language="fr")
        for n in numbers
    ]
    newest = known_jobs(memory._engine, ()).newest_correction
    return [found.text if found else None for found in memory.find(jobs, newest)]


def held(engine: Engine, cipher: TextCipher | None, filters: CorrectionFilter = ANY) -> list[tuple[str, str | None]]:
    with transaction(engine) as connection:
        return [(one.source_text, one.target_text) for one in stream_corrections(connection, filters, cipher)]


def encrypt(engine: Engine, cipher: TextCipher) -> int:
    return sum(reencrypt_corrections(engine, cipher))


@pytest.fixture
def mixed(engine: Engine) -> Engine:
    """Plain, with the old key, with the new one; and a plain chain whose second revision is encrypted."""
    correct(engine, 1, None)
    correct(engine, 4, None, "Former")
    correct(engine, 2, FIRST)
    correct(engine, 4, FIRST)
    correct(engine, 3, SECOND)
    return engine


MIXED = [(f"{CANARY} {number}", f"{CANARY} {number}") for number in (1, 2, 4, 3)]


def test_no_table_holds_the_canary_and_the_key_brings_it_back(engine: Engine) -> None:
    correct(engine, 1, FIRST)
    assert tables_holding(engine, CANARY) == []
    with transaction(engine) as connection:
        (one,) = list_corrections(connection, ANY, 10, FIRST)
    assert (one.source_text, one.target_text, one.reason) == (f"{CANARY} 1", f"{CANARY} 1", f"because of {CANARY}")


def test_mixed_rows_are_listed_found_and_counted(mixed: Engine) -> None:
    assert held(mixed, SECOND) == MIXED
    words = CorrectionFilter(containing=f"{CANARY.upper()} 2")
    with transaction(mixed) as connection:
        assert [one.source_text for one in list_corrections(connection, words, 1, SECOND)] == [f"{CANARY} 2"]
        assert (count_corrections(connection, words, SECOND), count_corrections(connection, ANY, SECOND)) == (1, 4)


def test_texts_are_not_read_without_their_key(mixed: Engine) -> None:
    with pytest.raises(DragomanError, match="key old, which DRAGOMAN_TEXT_KEYS lacks"):
        held(mixed, None)
    with pytest.raises(DragomanError, match="key new, which DRAGOMAN_TEXT_KEYS lacks"):
        held(mixed, FIRST)


def test_a_correction_of_an_encrypted_one_goes_on_with_its_chain(engine: Engine) -> None:
    first = correct(engine, 1, FIRST)
    assert correct(engine, 1, SECOND) == Written(first.id, is_new=False)
    second = correct(engine, 1, SECOND, "Other")
    with transaction(engine) as connection:
        kept = get_correction(connection, first.id, SECOND)
        assert kept is not None
        assert [one.id for one in revisions(connection, kept, SECOND)] == [first.id, second.id]


@pytest.mark.parametrize("cipher", [None, ONLY_NEW])
def test_nobody_writes_who_lacks_a_key_and_would_begin_a_second_chain(engine: Engine, cipher: Any) -> None:
    written = correct(engine, 1, FIRST)
    with pytest.raises(DragomanError, match="key old"):
        correct(engine, 1, cipher)
    with transaction(engine) as connection, pytest.raises(DragomanError, match="key old"):
        withdraw(connection, written.id, ADA, cipher)


def test_workers_answer_with_mixed_rows_and_stop_when_they_lack_a_key(mixed: Engine) -> None:
    assert answers(CorrectionMemory(mixed, SECOND), 1, 2, 3, 4, 5) == [f"{CANARY} {n}" for n in (1, 2, 3, 4)] + [None]
    with pytest.raises(DragomanError, match="key new"):
        answers(CorrectionMemory(mixed, FIRST), 1)


def test_a_withdrawal_of_an_encrypted_one_is_encrypted_too(engine: Engine) -> None:
    written = correct(engine, 1, FIRST)
    with transaction(engine) as connection:
        row = withdraw(connection, written.id, ADA, FIRST)
    assert (row.source_text, row.target_text) == (f"{CANARY} 1", None)
    assert tables_holding(engine, CANARY) == []
    assert answers(CorrectionMemory(engine, FIRST), 1) == [None]


def test_the_translation_of_an_encrypted_job_is_corrected(bench: Any) -> None:
    row = bench.row(1, source_text=CANARY)
    settle(bench.engine, FIRST.seal(bench.settlement(row)))
    with transaction(bench.engine) as connection:
        correct_job(connection, row.job_id, "Mieux.", ADA, FIRST)
    assert held(bench.engine, FIRST) == [(CANARY, "Mieux.")]


def test_every_row_gets_the_first_key_although_it_was_cut_off(mixed: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction_reencryption, "NEXT", correction_reencryption.NEXT.replace("LIMIT 1000", "LIMIT 2"))
    with transaction(mixed) as connection:
        assert corrections_to_reencrypt(connection, SECOND) == 4
    # Both plain ones, with the encrypted revision of one of them.
    assert next(reencrypt_corrections(mixed, SECOND)) == 3
    assert (encrypt(mixed, SECOND), encrypt(mixed, SECOND)) == (1, 0)
    assert tables_holding(mixed, CANARY) == []
    assert held(mixed, ONLY_NEW) == MIXED
    assert answers(CorrectionMemory(mixed, ONLY_NEW), 1, 2, 3, 4) == [f"{CANARY} {n}" for n in (1, 2, 3, 4)]


def test_a_running_worker_misses_no_correction_while_they_are_encrypted_again(
    mixed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction_reencryption, "NEXT", correction_reencryption.NEXT.replace("LIMIT 1000", "LIMIT 1"))
    # One sees each batch; one sees what it asked for last and then the end.
    watching, asleep = CorrectionMemory(mixed, SECOND), CorrectionMemory(mixed, SECOND)
    expected = [f"{CANARY} {n}" for n in (1, 2, 3, 4)]
    assert answers(asleep, 1, 2, 3, 4) == expected
    seen = [answers(watching, 1, 2, 3, 4) for _ in reencrypt_corrections(mixed, SECOND)]
    assert seen == [expected] * 3
    assert answers(asleep, 1, 2, 3, 4) == expected


def test_a_correction_is_found_that_gets_its_new_name_while_it_is_asked_for(
    mixed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = CorrectionMemory(mixed, SECOND)
    answers(memory, 1)
    catch_up = memory._catch_up

    def then_encrypt(connection: Any) -> None:
        catch_up(connection)
        encrypt(mixed, SECOND)

    monkeypatch.setattr(memory, "_catch_up", then_encrypt)
    assert answers(memory, 1, 2) == [f"{CANARY} 1", f"{CANARY} 2"]


def test_a_corpus_has_those_whose_key_is_there(mixed: Engine) -> None:
    pair = HistoryFilter(source_language="en", target_language="fr")

    def sources(cipher: TextCipher | None) -> list[str]:
        with transaction(mixed) as connection:
            return sorted(one.source_text[-1] for one in current_corrections(connection, pair, cipher))

    assert [sources(cipher) for cipher in (None, FIRST, SECOND)] == [["1"], ["1", "2", "4"], ["1", "2", "3", "4"]]


def test_whole_chains_are_erased_by_what_encrypted_rows_hold_and_none_is_passed_over(mixed: Engine) -> None:
    scope = Scope(containing=f"{CANARY} 4")
    with pytest.raises(DragomanError, match="key old"):
        list(find(mixed, scope))
    assert carry_out(mixed, Request(scope, "anna"), lambda _: None, SECOND).rows["correction"] == 2
    assert held(mixed, SECOND) == [pair for pair in MIXED if "4" not in pair[0]]


def test_a_downgrade_is_refused_while_corrections_are_encrypted(engine: Engine) -> None:
    correct(engine, 1, FIRST)
    with pytest.raises(ConfigurationError, match="texts of correction are encrypted"):
        downgrade(engine.url.render_as_string(hide_password=False), "0008")


@pytest.fixture
def run(history_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command with the old key."""
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    monkeypatch.setenv("DRAGOMAN_TEXT_KEYS", f"old:{b64encode(OLD).decode()}")
    return lambda *words: CliRunner().invoke(dragoman, words)


def test_a_person_corrects_imports_lists_and_exports_with_the_key(
    run: Callable[..., Result], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tsv").write_text(f"{CANARY} 1\t{CANARY} eins\n{CANARY} 1\tAgain.\n")
    pair = ("-s", "en", "-t", "fr")
    steps = [
        run("corrections", "add", "Un.", "--text", f"{CANARY} 2", *pair),
        run("corrections", "import", str(tmp_path / "a.tsv"), *pair),
        run("corrections", "export", str(tmp_path / "b.jsonl"), *pair),
    ]
    assert [step.exit_code for step in steps] == [0, 0, 0], [step.output for step in steps]
    assert tables_holding(engine, CANARY) == []
    assert (tmp_path / "b.jsonl").read_text().count(CANARY) == 3
    assert f"{CANARY} eins" in run("corrections", "list", "--containing", "EINS", "--json").output
    monkeypatch.delenv("DRAGOMAN_TEXT_KEYS")
    assert "key old" in str(run("corrections", "list").exception)


def test_plain_corrections_are_encrypted_by_the_command_that_encrypts_the_history(
    run: Callable[..., Result], engine: Engine
) -> None:
    correct(engine, 1, None)
    assert "encrypted with the key old" in run("db", "reencrypt").output
    assert tables_holding(engine, CANARY) == []
    assert held(engine, FIRST) == [(f"{CANARY} 1", f"{CANARY} 1")]
