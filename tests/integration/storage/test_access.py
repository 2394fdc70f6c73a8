"""Roles on a real PostgreSQL: each logs in itself, reads what it was granted, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.compose.local import LocalStack, StackOptions, postgres
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.storage import search_index
from dragoman.storage.access import Access, grant_access, revoke_access
from dragoman.storage.audit import last_events
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.history import search, stats
from dragoman.storage.maintenance import maintain
from dragoman.storage.migrate import downgrade, upgrade
from dragoman.storage.partitions import partitions_of
from dragoman.storage.settlement import settle
from dragoman.tests.integration.storage.conftest import Workbench
from sqlalchemy import Engine, text

pytestmark = pytest.mark.services

ODD = 'o\'brien; 100% "shop"'


@pytest.fixture(scope="module")
def role_server() -> Iterator[str]:
    """A server of our own, on which everybody may log in and our role may make others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "ACCESS_RULES", "host all all 127.0.0.1/32 trust\n")
        first = [statement.replace("CREATEDB", "CREATEDB CREATEROLE") for statement in postgres.FIRST_STATEMENTS]
        patch.setattr(postgres, "FIRST_STATEMENTS", tuple(first))
        with LocalStack(StackOptions(kafka_bootstrap_servers="none:1")) as running:
            yield running.database_url


@pytest.fixture
def shared(role_server: str) -> Iterator[Workbench]:
    """Rows of the clients shop (2), bank (1) and an oddly named one (1), half of them summed up; a role `anna`."""
    upgrade(role_server)
    engine = create_database_engine(role_server)
    bench = Workbench(engine)
    with transaction(engine) as connection:
        connection.execute(text('CREATE ROLE anna LOGIN; CREATE ROLE "Bob; --" LOGIN'))
    bench.take(0)
    settle(engine, bench.settlement(bench.row(1, client_id="shop"), bench.row(2, client_id="bank")))
    maintain(engine)
    settle(engine, bench.settlement(bench.row(3, client_id="shop"), bench.row(4, client_id=ODD)))
    yield bench
    downgrade(role_server, "base")
    with transaction(engine) as connection:
        connection.execute(text('DROP ROLE anna; DROP ROLE "Bob; --"'))
    engine.dispose()


def grant(bench: Workbench, role: str = "anna", **access: Any) -> None:
    with transaction(bench.engine) as connection:
        grant_access(connection, role, Access(**access), "someone")


def as_role(bench: Workbench, statement: str, role: str = "anna") -> list[Any]:
    """What the role itself gets when it logs in and asks."""
    engine: Engine = create_database_engine(bench.engine.url.set(username=role).render_as_string(hide_password=False))
    try:
        with transaction(engine) as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


REFUSED_TO_ANALYSTS = [
    "SELECT source_text FROM translation",
    "SELECT metadata FROM translation",
    "SELECT * FROM translation",
    "SELECT * FROM search_document",
    "SELECT * FROM search_word",
    "SELECT * FROM outbox",
    "SELECT * FROM audit_event",
    "SELECT * FROM client",
    "UPDATE translation SET client_id = 'x'",
    "DELETE FROM usage",
    "SELECT * FROM translation_other",
]


def test_an_analyst_reads_figures_of_all_and_no_text(shared: Workbench) -> None:
    grant(shared)
    assert as_role(shared, "SELECT sum(rows)::int FROM daily_volume") == [(4,)]
    assert as_role(shared, "SELECT count(*) FROM translation") == [(4,)]
    assert as_role(shared, "SELECT count(*) FROM daily_cost") == [(0,)]
    assert as_role(shared, "SELECT count(*) FROM pg_stats WHERE attname = 'source_text'") == [(0,)]


@pytest.mark.parametrize("statement", REFUSED_TO_ANALYSTS)
def test_an_analyst_is_refused(shared: Workbench, statement: str) -> None:
    grant(shared)
    with pytest.raises(ConfigurationError, match="permission denied"):
        as_role(shared, statement)


def test_the_figures_of_the_command_line_are_an_analysts_too(shared: Workbench) -> None:
    grant(shared)
    engine = create_database_engine(shared.engine.url.set(username="anna").render_as_string(hide_password=False))
    with transaction(engine) as connection:
        assert stats(connection).rows == 4
    engine.dispose()


def test_texts_are_read_where_they_were_granted(shared: Workbench) -> None:
    grant(shared, texts=True)
    assert as_role(shared, "SELECT count(source_text) FROM translation") == [(4,)]
    assert as_role(shared, "SELECT count(*) > 0 FROM search_word") == [(True,)]


def test_an_analyst_with_texts_searches_them_in_every_run_of_documents(shared: Workbench) -> None:
    grant(shared, texts=True)
    # The next document is the first of a run that is made after the grant.
    with transaction(shared.engine) as connection:
        last = "UPDATE search_document SET number = :last WHERE number = (SELECT max(number) FROM search_document)"
        connection.execute(text(last), {"last": search_index.RUN - 1})
    settle(shared.engine, shared.settlement(*(shared.row(number) for number in range(5, 9))))
    maintain(shared.engine)
    engine = create_database_engine(shared.engine.url.set(username="anna").render_as_string(hide_password=False))
    with transaction(engine) as connection:
        assert len(partitions_of(connection, "search_document")) > 1
        assert [row.row.job_id.int for row in search(connection, ["sentence"])] == [8, 7, 6, 5, 4, 3, 2, 1]
    engine.dispose()
    with transaction(shared.engine) as connection:
        revoke_access(connection, "anna", "someone")
    with pytest.raises(DragomanError, match="permission denied"):
        as_role(shared, f"SELECT * FROM {search_index.partition_of(search_index.RUN)}")


@pytest.mark.parametrize(("clients", "rows"), [(("shop",), 2), (("shop", "bank"), 3), ((ODD,), 1), (("nobody",), 0)])
def test_a_role_that_is_bound_to_clients_sees_their_rows_alone(
    shared: Workbench, clients: tuple[str, ...], rows: int
) -> None:
    grant(shared, texts=True, clients=clients)
    assert as_role(shared, "SELECT count(source_text) FROM translation") == [(rows,)]
    assert as_role(shared, "SELECT coalesce(sum(rows), 0)::int FROM daily_volume") == [(rows,)]
    assert as_role(shared, "SELECT DISTINCT client_id FROM usage_by_hour WHERE client_id NOT IN ('shop', 'bank')") == [
        (client,) for client in clients if client == ODD
    ]
    assert as_role(shared, "SELECT name FROM watermark") == [("usage",)]


@pytest.mark.parametrize("relation", ["search_word", "search_document", "batch", "batch_usage", "daily_cost", "client"])
def test_a_role_that_is_bound_to_a_client_reads_nothing_that_tells_of_others(shared: Workbench, relation: str) -> None:
    grant(shared, texts=True, clients=("shop",))
    with pytest.raises(ConfigurationError, match="permission denied"):
        as_role(shared, f"SELECT * FROM {relation}")


def test_a_member_of_a_bound_role_is_bound_too(shared: Workbench) -> None:
    grant(shared, clients=("shop",))
    with transaction(shared.engine) as connection:
        connection.execute(text('GRANT anna TO "Bob; --"'))
    assert as_role(shared, "SELECT count(*) FROM translation", "Bob; --") == [(2,)]


def test_others_and_the_worker_go_on_when_a_role_is_bound(shared: Workbench) -> None:
    grant(shared, clients=("shop",))
    grant(shared, "Bob; --")
    assert as_role(shared, "SELECT count(*) FROM translation", "Bob; --") == [(4,)]
    settle(shared.engine, shared.settlement(shared.row(5, client_id="shop")))
    assert as_role(shared, "SELECT count(*) FROM translation") == [(3,)]
    assert shared.value("SELECT count(*) FROM translation") == 5


def test_the_last_grant_counts_and_a_revoked_role_reads_nothing(shared: Workbench) -> None:
    grant(shared, texts=True, clients=("shop",))
    grant(shared, clients=("bank",))
    assert as_role(shared, "SELECT count(*) FROM translation") == [(1,)]
    with pytest.raises(ConfigurationError, match="permission denied"):
        as_role(shared, "SELECT source_text FROM translation")
    with transaction(shared.engine) as connection:
        revoke_access(connection, "anna", "someone")
        assert [event.action for event in last_events(connection, 2)] == ["access_granted", "access_revoked"]
    with pytest.raises(ConfigurationError, match="permission denied"):
        as_role(shared, "SELECT count(*) FROM translation")


@pytest.mark.parametrize(
    ("role", "sentence"), [("nobody", "no role nobody"), ("dragoman", "reads everything"), ("x" * 63, "no role")]
)
def test_a_role_is_refused_that_cannot_be_bound(shared: Workbench, role: str, sentence: str) -> None:
    with pytest.raises(DragomanError, match=sentence):
        grant(shared, role, clients=("shop",))


def test_a_bound_role_reads_nothing_when_the_database_was_downgraded(shared: Workbench, role_server: str) -> None:
    grant(shared, clients=("shop",))
    downgrade(role_server, "0004")
    with pytest.raises(ConfigurationError, match="permission denied"):
        as_role(shared, "SELECT count(*) FROM translation")
    upgrade(role_server)
    grant(shared, clients=("shop",))
    assert as_role(shared, "SELECT count(*) FROM translation") == [(2,)]


def test_a_person_grants_looks_and_revokes(
    shared: Workbench, role_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", role_server)

    def run(*arguments: str) -> str:
        return CliRunner().invoke(dragoman, ("db", "access", *arguments), catch_exceptions=False).output

    assert "nobody" in run("list")
    assert "rows of shop, without texts" in run("grant", "anna", "--client", "shop")
    assert "anna  no texts  rows where (client_id = ANY" in run("list")
    assert "nothing" in run("revoke", "anna")
    assert "nobody" in run("list")
