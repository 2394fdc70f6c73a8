"""Which URLs make an engine, and what the engine promises before it ever connects."""

import pytest
from dragoman.errors import ConfigurationError
from dragoman.storage.engine import create_database_engine


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgresql", "postgres"])
def test_an_engine_is_made_when_the_url_names_postgresql(scheme: str) -> None:
    assert create_database_engine(f"{scheme}://someone@localhost/history").dialect.driver == "psycopg2"


@pytest.mark.parametrize("url", ["", "no url", "mysql://someone:secret@localhost/history", "postgresql://host:port/x"])
def test_a_sentence_without_the_password_is_raised_when_the_url_is_unusable(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write postgresql\+psycopg2://") as caught:
        create_database_engine(url)
    assert "secret" not in str(caught.value)


def test_parameters_are_hidden_when_a_statement_fails() -> None:
    assert create_database_engine("postgresql://localhost/history").hide_parameters
