from dragoman.tests.imported_libraries import libraries_of

HEAVY = {"torch", "numpy", "sqlalchemy", "alembic", "psycopg2", "sentencepiece", "prometheus_client"}


def test_client_needs_only_the_base_install_when_it_is_imported() -> None:
    commands = ("dragoman.cli.main", "dragoman.cli.publish", "dragoman.cli.submit", "dragoman.cli.topics")
    imported = libraries_of("dragoman.producer", *commands)

    assert "confluent_kafka" in imported
    assert not HEAVY & imported
