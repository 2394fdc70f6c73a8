"""What a worker imports at its start: each library more is time in which nobody works."""

import subprocess
import sys

PROGRAM = """
import sys
import dragoman.cli.worker
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_a_worker_starts_without_the_library_of_migrations() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "confluent_kafka" in imported
    assert not imported & {"alembic", "mako", "pyarrow", "matplotlib"}
