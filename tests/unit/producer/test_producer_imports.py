import subprocess
import sys

HEAVY = {"torch", "numpy", "sqlalchemy", "alembic", "psycopg2", "sentencepiece", "prometheus_client"}
PROGRAM = """
import sys
import dragoman.producer, dragoman.cli.main, dragoman.cli.publish, dragoman.cli.submit, dragoman.cli.topics
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_client_needs_only_the_base_install_when_it_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())

    assert "confluent_kafka" in imported
    assert not HEAVY & imported
