"""The Python and SQL of the documents run as they are, on a real Kafka and a real PostgreSQL."""

import re
from pathlib import Path

import dragoman
import pytest
from dragoman.settings import Settings
from dragoman.storage.engine import create_database_engine
from dragoman.worker.worker import Worker

pytestmark = pytest.mark.services

ROOT = Path(dragoman.__file__).parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(language: str) -> list[tuple[str, int, str]]:
    """(Document, line, code) of every block in the language."""
    return [
        (path.name, text.count("\n", 0, found.start(1)), found[1])
        for path in DOCUMENTS
        if (text := path.read_text("utf-8"))
        for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    ]


@pytest.mark.parametrize(("document", "line", "code"), _blocks("python"))
def test_python_of_the_document_runs(document: str, line: int, code: str, echoing_worker: Worker) -> None:
    # Blank lines before it, so that a failure shows the line of the document.
    exec(compile("\n" * line + code, document, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documents


@pytest.mark.parametrize(("document", "line", "code"), _blocks("sql"))
def test_sql_of_the_document_runs(document: str, line: int, code: str, installation: Settings) -> None:
    engine = create_database_engine(installation.database_url.get_secret_value(), pool_size=1)

    with engine.connect() as connection:
        assert connection.exec_driver_sql(code.replace("%", "%%"))
    engine.dispose()
