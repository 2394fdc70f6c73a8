"""What a database error means, by SQLSTATE and by the state of the connection."""

import psycopg2
import pytest
from dragoman.errors import ConfigurationError, DragomanError, TransientError
from dragoman.storage.engine import create_database_engine
from dragoman.storage.errors import address, classify, database_errors, explain
from sqlalchemy import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

URL = make_url("postgresql+psycopg2://someone:secret@database.example:5433/history")


def error(code: str | None, message: str = "", *, invalidated: bool = False) -> DBAPIError:
    # libpq fills pgcode in; a class attribute stands in for it here.
    kind = type("AnOperationalError", (psycopg2.OperationalError,), {"pgcode": code})
    return OperationalError("SELECT", {}, kind(message), hide_parameters=True, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "code",
    [
        "08006",
        "40001",
        "40P01",
        "53100",
        "53300",
        "55P03",
        "57014",
        "57P01",
        "57P02",
        "57P03",
        "25P03",
        "25006",
    ],
)
def test_a_state_is_transient_when_repeating_can_help(code: str) -> None:
    assert classify(error(code)) == "transient"


@pytest.mark.parametrize("code", ["22P05", "22P02", "23505", "23514", "42P01", "42501", "54000"])
def test_a_state_is_permanent_when_repeating_cannot_help_though_its_class_is_operational(code: str) -> None:
    assert classify(error(code)) == "permanent"


def test_a_lost_connection_is_transient_when_it_carries_no_state() -> None:
    assert classify(error(None, "server closed the connection unexpectedly", invalidated=True)) == "transient"


def test_an_error_that_the_driver_cannot_explain_is_a_lost_connection() -> None:
    said = psycopg2.DatabaseError("error with status PGRES_COPY_OUT and no message from the libpq")
    assert classify(DatabaseError("COPY", {}, said)) == "transient"


def test_an_error_that_the_driver_raises_itself_is_permanent() -> None:
    assert classify(DatabaseError("SELECT", {}, psycopg2.ProgrammingError("no results to fetch"))) == "permanent"


def test_a_refused_connection_is_transient_when_the_server_is_away() -> None:
    assert classify(error(None, "connection to server failed: Connection refused")) == "transient"


@pytest.mark.parametrize(
    "said",
    ['FATAL:  password authentication failed for user "someone"', "fe_sendauth: no password supplied"],
)
def test_a_refused_login_is_permanent_when_the_password_is_wrong(said: str) -> None:
    assert classify(error(None, f"connection to server failed: {said}")) == "permanent"


def test_a_refused_login_names_the_setting_when_explained() -> None:
    ours = explain(error(None, 'connection failed: FATAL:  database "history" does not exist'), URL)
    assert isinstance(ours, ConfigurationError)
    assert "DRAGOMAN_DATABASE_URL" in str(ours)


def test_the_sentence_names_host_and_port_and_no_password_when_the_server_is_away() -> None:
    ours = explain(error(None, "connection refused"), URL)
    assert isinstance(ours, TransientError)
    assert "database.example:5433" in str(ours)
    assert "secret" not in str(ours)


def test_a_driver_error_without_state_is_permanent_when_it_is_not_about_the_connection() -> None:
    wrong = DBAPIError("SELECT", {}, psycopg2.ProgrammingError("can't adapt type 'object'"))
    assert classify(wrong) == "permanent"
    assert not isinstance(explain(wrong, URL), TransientError)


def test_a_missing_table_asks_for_the_upgrade_when_explained() -> None:
    assert "dragoman db upgrade" in str(explain(error("42P01"), URL))


def test_a_full_pool_is_transient_when_explained() -> None:
    assert isinstance(explain(PoolTimeoutError("QueuePool limit"), URL), TransientError)


def test_an_error_quotes_no_detail_when_it_is_permanent() -> None:
    ours = explain(error("23514", "violates check\nDETAIL:  Failing row contains (canary)"), URL)
    assert isinstance(ours, DragomanError)
    assert "canary" not in str(ours)


def test_the_address_is_the_socket_folder_when_the_url_names_one() -> None:
    assert address(make_url("postgresql://someone@/history?host=/run/postgresql")) == "/run/postgresql"


def test_a_connection_that_the_pool_loses_while_it_takes_it_back_is_transient() -> None:
    engine = create_database_engine(URL.render_as_string(hide_password=False))
    lost = psycopg2.OperationalError("server closed the connection unexpectedly")

    with pytest.raises(TransientError, match=r"database\.example:5433 was lost"), database_errors(engine):
        raise lost
