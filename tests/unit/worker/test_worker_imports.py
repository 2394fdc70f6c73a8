"""What a worker imports at its start: each library more is time in which nobody works."""

from dragoman.tests.imported_libraries import libraries_of


def test_a_worker_starts_without_the_library_of_migrations() -> None:
    imported = libraries_of("dragoman.cli.worker")
    assert "confluent_kafka" in imported
    assert not imported & {"alembic", "mako", "pyarrow", "matplotlib"}
