"""`dragoman history export`: every text exactly, in every format; whole files or none; written down."""

import errno
import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError, DragomanError, TransientError
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.history import HistoryFilter
from dragoman.storage.history_export import ExportFormat, ExportOrder, estimated_rows, export_history
from dragoman.storage.new_file import new_file
from dragoman.storage.settlement import settle
from sqlalchemy import make_url, text

pytestmark = pytest.mark.services

TEXTS = (
    "",
    " a space at either end ",
    "quoted \"twice\", 'once', and, commas",
    "lines\nof\r\nall\rkinds\u2028here\x85\x0b",
    "\t tab \\t \\N \\. \\",
    "\\.",
    "\\N",
    "NULL",
    "\u202eright to left\u202c \u2066isolated\u2069 \u200b\ufeff",
    "\x01\x02\x1b[31m\x7f",
    "e\u0301 \u00e9 \U0001f469\u200d\U0001f680 \U0010ffff",
    "=HYPERLINK(1)",
    "x" * 10_000_000,
)
# More than goes through any buffer on the way.
MANY = """
INSERT INTO translation (job_id, status, source_text, options, metadata, attempt, submitted_at, admitted_at,
  kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id)
SELECT gen_random_uuid(), 'failed', repeat(md5(n::text), 40), '{}', '{}', 1, now(), now(), 'jobs', 0, n, 1, 'w'
FROM generate_series(1, :rows) AS n
"""
FORMATS: list[ExportFormat] = ["csv", "jsonl", "parquet"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(dragoman, ["history", "export", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def told(history_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)


@pytest.fixture
def recorded(bench: Any, told: None) -> Any:
    rows = [bench.row(1, status="rejected", reason="empty_text", target_text=None, lane="interactive")]
    rows += [bench.row(2, client_id="o'neill", metadata={"page": 'the "4th"'}, answered_by="cache")]
    settle(bench.engine, bench.settlement(*rows))
    return bench


def read_csv(path: Path) -> list[dict[str, Any]]:
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(("source_text", "target_text", "client_id", "recorded_at"), pyarrow.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    whole = pyarrow.csv.ReadOptions(block_size=1 << 28)
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert, read_options=whole).to_pylist()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


READ: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_text_comes_out_as_it_went_in_when_it_is_read_again(
    bench: Any, told: None, tmp_path: Path, name: ExportFormat
) -> None:
    rows = [bench.row(n, source_text=held, target_text=held) for n, held in enumerate(TEXTS, 1)]
    settle(bench.engine, bench.settlement(*rows, bench.row(99, source_text=None, target_text=None)))
    path = tmp_path / f"rows.{name}"

    run(path)

    read = {UUID(str(row["job_id"])).int: (row["source_text"], row["target_text"]) for row in READ[name](path)}
    assert read == {n: (held, held) for n, held in enumerate(TEXTS, 1)} | {99: (None, None)}


@pytest.mark.parametrize("name", FORMATS)
def test_every_column_is_there_when_rows_are_exported(recorded: Any, tmp_path: Path, name: ExportFormat) -> None:
    path = tmp_path / f"rows.{name}"

    run(path, "--client", "o'neill")

    (row,) = READ[name](path)
    columns = recorded.values(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'translation'::regclass AND attnum > 0"
    )
    assert set(row) == set(columns)
    metadata = row["metadata"] if name == "jsonl" else json.loads(row["metadata"])
    assert (metadata, row["score"], row["answered_by"], row["kafka_offset"]) == (
        {"page": 'the "4th"'},
        -1.5,
        "cache",
        2,
    )


@pytest.mark.parametrize("name", FORMATS)
def test_times_are_told_in_utc_when_the_session_has_another_zone(
    recorded: Any, history_url: str, tmp_path: Path, name: ExportFormat
) -> None:
    elsewhere = make_url(history_url).update_query_dict({"options": "-c timezone=Asia/Kathmandu"})
    engine = create_database_engine(elsewhere.render_as_string(hide_password=False))

    with new_file(tmp_path / "rows") as file:
        export_history(engine, ExportOrder(name), file, lambda _: None)
    engine.dispose()

    told = str(READ[name](tmp_path / "rows")[0]["submitted_at"]).replace("T", " ").removesuffix(":00")
    assert told == "2026-01-01 12:00:00+00"


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        (("--client", "o'neill"), [2]),
        (("--client", "' OR '1' = '1"), []),
        (("--client", "%"), []),
        (("--status", "rejected"), [1]),
        (("--lane", "interactive"), [1]),
        (("--answered-by", "cache"), [2]),
        (("--model", "another"), []),
        (("-s", "en", "-t", "fr"), [1, 2]),
        (("-s", "fr"), []),
        (("--from", "2000-01-01"), [1, 2]),
        (("--to", "2000-01-01T12:30"), []),
    ],
)
def test_only_those_rows_are_written_when_filters_are_given(
    recorded: Any, options: tuple[str, ...], jobs: list[int]
) -> None:
    lines = run("-", "--format", "jsonl", *options).stdout.splitlines()

    assert sorted(UUID(json.loads(line)["job_id"]).int for line in lines) == jobs


def test_a_row_at_the_first_moment_is_in_and_one_at_the_last_is_not_when_times_are_given(
    recorded: Any, tmp_path: Path
) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    with transaction(recorded.engine) as connection:
        connection.execute(text("UPDATE translation SET recorded_at = :moment"), {"moment": moment})

    run(tmp_path / "from.csv", "--from", "2026-03-01")
    run(tmp_path / "to.csv", "--to", "2026-03-01")

    assert (len(read_csv(tmp_path / "from.csv")), len(read_csv(tmp_path / "to.csv"))) == (2, 0)


def test_the_file_is_whole_when_nothing_matches(recorded: Any, tmp_path: Path) -> None:
    run(tmp_path / "rows.parquet", "--client", "nobody")
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").num_rows == 0


def test_a_file_stays_as_it_is_when_force_is_not_given(recorded: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")

    with pytest.raises(ConfigurationError, match="--force"):
        run(path)

    assert path.read_text() == "mine"
    run(path, "--force")
    assert len(read_csv(path)) == 2


@pytest.mark.parametrize("arguments", [("rows.txt",), ("-",), ("-", "--format", "parquet"), ("gone/rows.csv",)])
def test_a_sentence_is_raised_when_the_file_cannot_be(
    recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError):
        run(*arguments)

    assert list(tmp_path.iterdir()) == []
    assert recorded.value("SELECT count(*) FROM export_log") == 0


def test_it_is_written_down_when_an_export_is_done(recorded: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"

    printed = run(path, "--status", "rejected", "--from", "2000-01-01").stderr

    with transaction(recorded.engine) as connection:
        noted = connection.execute(text("SELECT * FROM export_log")).one()
    assert (noted.kind, noted.path, noted.rows) == ("history", str(path), 1)
    assert noted.filters == {"status": "rejected", "since": "2000-01-01T00:00:00+00:00"}
    assert noted.sha256 in printed
    assert noted.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_and_the_export_is_written_down_when_the_database_goes_midway(
    recorded: Any, kill_backend: Callable[[int], None], tmp_path: Path, name: ExportFormat, monkeypatch: Any
) -> None:
    with transaction(recorded.engine) as connection:
        connection.execute(text(MANY), {"rows": 40_000})
    backends = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%COPY%translation%' AND pid <> pg_backend_pid()"

    def killed(_: int) -> None:
        for pid in recorded.values(f"{backends} AND datname = current_database() AND state = 'active'"):
            kill_backend(pid)

    monkeypatch.setattr("dragoman.cli.history_export._bar", lambda _: nullcontext(killed))

    with pytest.raises(TransientError):
        run(tmp_path / f"rows.{name}")

    assert list(tmp_path.iterdir()) == []
    assert recorded.values("SELECT sha256 FROM export_log") == [None]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_when_the_export_is_interrupted(recorded: Any, tmp_path: Path, name: ExportFormat) -> None:
    with transaction(recorded.engine) as connection:
        connection.execute(text(MANY), {"rows": 40_000})

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    def export() -> None:
        with new_file(tmp_path / "rows") as file:
            export_history(recorded.engine, ExportOrder(name), file, interrupted)

    with pytest.raises(KeyboardInterrupt):
        export()

    assert list(tmp_path.iterdir()) == []


def test_a_sentence_is_raised_when_the_disk_refuses(tmp_path: Path) -> None:
    def fill() -> None:
        with new_file(tmp_path / "rows") as file:
            file.write(b"begun")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DragomanError, match="No space left on device"):
        fill()

    assert list(tmp_path.iterdir()) == []


def test_an_export_is_refused_when_it_cannot_be_written_down(recorded: Any, tmp_path: Path) -> None:
    with pytest.raises(DragomanError, match="not UTF-8"):
        run(tmp_path / "rows\udcff.csv")

    assert list(tmp_path.iterdir()) == []


def test_the_planners_expectation_is_near_when_the_table_was_analysed(recorded: Any) -> None:
    with transaction(recorded.engine) as connection:
        connection.execute(text("ANALYZE translation"))

    assert estimated_rows(recorded.engine, HistoryFilter(status="translated")) >= 1
