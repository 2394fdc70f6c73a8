"""The commands of the model registry, with the shipped model and a real PostgreSQL."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.model.shipped import DEFAULT
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.tests.tiny_checkpoints import save_tiny, tiny_vocabulary
from sqlalchemy import text

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

TEST_SET = """I am hungry.\tJ'ai faim.
Where is the station?\tOù est la gare ?
She reads a book.\tElle lit un livre.
We have no time.\tNous n'avons pas le temps.
He is my brother.\tC'est mon frère.
They live in Paris.\tIls vivent à Paris.
I do not understand.\tJe ne comprends pas.
The house is big.\tLa maison est grande.
Open the door.\tOuvre la porte.
It is raining today.\tIl pleut aujourd'hui.
"""
Command = Callable[..., Result]


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `dragoman models ...` in a folder of its own."""
    upgrade(database_url)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "plain.en-fr.tsv").write_text(TEST_SET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)
    monkeypatch.setenv("DRAGOMAN_TEST_SETS", "tests")
    monkeypatch.setenv("DRAGOMAN_BEAM_SIZE", "1")
    return lambda *words: CliRunner().invoke(dragoman, ["models", *words])


@pytest.fixture
def shipped(run: Command, tmp_path: Path) -> Command:
    """The shipped model is in production, one of random weights is registered."""
    save_tiny(tmp_path / "random", tiny_vocabulary())
    assert [run("register", name).exit_code for name in (DEFAULT, "random")] == [0, 0]
    assert "translates en-fr now" in run("promote", DEFAULT).output
    return run


def test_a_worse_version_is_kept_out_and_what_was_found_is_kept(shipped: Command, database_url: str) -> None:
    refused = shipped("promote", "random")
    told = shipped("deployments", "--open").output

    assert "BLEU on plain.en-fr.tsv" in str(refused.exception)
    assert "promote --force --because overrules that" in str(refused.exception)
    assert "random@" not in told
    engine = create_database_engine(database_url)
    with transaction(engine) as connection:
        statement = text("SELECT metrics FROM model_version WHERE id LIKE 'random@%'")
        gate = connection.execute(statement).scalar_one()["gate en-fr"]
    engine.dispose()
    assert gate["tests"][0]["paired_bootstrap"][0]["verdict"] == "worse"
    assert json.dumps(gate["objections"])


def test_a_worse_version_is_promoted_by_force_and_rolled_back_by_one_command(shipped: Command) -> None:
    assert shipped("promote", "random", "--force").exit_code == 2
    forced = shipped("promote", "random", "--force", "--because", "to see what happens", "--by", "me")
    back = shipped("rollback", "en-fr")
    told = shipped("deployments").output

    assert "although" in forced.output
    assert "BLEU on plain.en-fr.tsv" in forced.output
    assert f"{DEFAULT}@" in back.output
    assert "by me: to see what happens" in told
    assert "(rolled back: rolled back by hand)" in told


def test_a_version_is_not_compared_without_a_test_set(shipped: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_TEST_SETS")
    assert "DRAGOMAN_TEST_SETS" in str(shipped("promote", "random").exception)


def test_a_canary_and_a_shadow_begin_and_end(shipped: Command) -> None:
    unchecked = ("--unchecked", "to see it fail")
    begun = [shipped("canary", "random", "--percent", "5", *unchecked), shipped("shadow", "random")]
    told = shipped("deployments", "--open").output
    ended = [shipped("canary", "random", "--end"), shipped("shadow", "random", "--end")]

    assert [result.exit_code for result in (*begun, *ended)] == [0, 0, 0, 0]
    assert "canary 5 %" in told
    assert "tried by hand; not checked by the gate: to see it fail" in told
    assert "shadow" in told
    assert "random@" not in shipped("deployments", "--open").output


def test_a_pair_that_the_version_has_not_is_refused(shipped: Command) -> None:
    assert "does not translate en-de" in str(shipped("canary", "random", "--percent", "5", "--pair", "en-de").exception)
    assert shipped("rollback", "english").exit_code == 2


def test_a_version_is_no_canary_before_the_gate_let_it_pass(shipped: Command) -> None:
    unknown = shipped("canary", "random", "--percent", "5")
    kept_out = shipped("gate", "random")
    refused = shipped("canary", "random", "--percent", "5")

    assert "it has not been through the gate: run `dragoman models gate random@" in str(unknown.exception)
    assert "does not pass the gate for en-fr: " in str(kept_out.exception)
    assert "the gate kept it out: " in str(refused.exception)
    assert shipped("canary", "random", "--percent", "5", "--unchecked", " ").exit_code == 2
    assert "random@" not in shipped("deployments", "--open").output


def test_a_version_is_a_canary_once_it_has_passed_against_what_is_in_production(run: Command, tmp_path: Path) -> None:
    save_tiny(tmp_path / "random", tiny_vocabulary())
    save_tiny(tmp_path / "stuck", tiny_vocabulary(), is_stuck=True)
    assert [run("register", name).exit_code for name in ("random", "stuck")] == [0, 0]
    assert run("promote", "random").exit_code == 0
    assert run("promote", "stuck", "--force", "--because", "to have a worse one before").exit_code == 0
    stale = run("canary", "random", "--percent", "5")
    passed = run("gate", "random")
    begun = run("canary", "random", "--percent", "5")

    assert "the gate compared it with no other version, not with stuck@" in str(stale.exception)
    assert "passes the gate for en-fr" in passed.output
    assert (begun.exit_code, "canary of en-fr with 5 %" in begun.output) == (0, True)
    assert "production  stuck@" in run("deployments", "--open").output


def test_a_version_is_not_compared_with_itself_where_it_is_in_production(run: Command) -> None:
    assert run("register", DEFAULT).exit_code == 0
    first = run("promote", DEFAULT, "--pair", "en-de")
    rest = run("promote", DEFAULT)
    nothing = [run(command, DEFAULT) for command in ("promote", "gate")]

    assert "translates en-de now" in first.output
    assert "translates en-de already" in rest.output
    assert all(f"translates {pair} now" in rest.output for pair in ("en-es", "en-fr"))
    assert ["no other version" in str(result.exception) for result in nothing] == [True, True]


def test_to_register_again_does_nothing(shipped: Command) -> None:
    before = shipped("registered").output
    assert shipped("register", DEFAULT).exit_code == 0
    assert shipped("registered").output == before
    assert before.count(f"{DEFAULT}@") == 1
