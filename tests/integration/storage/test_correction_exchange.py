"""`dragoman corrections`, as a person runs it: files in and out, one at a time, lists."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError, DragomanError, TransientError
from dragoman.schemas.corrections import Correction
from dragoman.storage import correction_import
from dragoman.storage.correction_import import ImportTerms, import_corrections
from dragoman.storage.corrections import record_corrections
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.interchange.entries import Unit
from dragoman.storage.settlement import settle
from sqlalchemy import Engine, text

pytestmark = pytest.mark.services

ENGLISH_FRENCH = ("-s", "en", "-t", "fr")
STRANGE = ["plain", "<b>&amp;</b> \"'", " two\r\nlines\t", "é\u202e\U0001f600", "]]> --> <tu>", "\\N %s {x}"]


@pytest.fixture(autouse=True)
def database(engine: Engine, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    return engine


def run(*arguments: object) -> Result:
    return CliRunner().invoke(dragoman, ["corrections", *map(str, arguments)], catch_exceptions=False)


def listed(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("list", "-n", 1_000, "--json", *arguments).output.splitlines()]


def texts(*arguments: str) -> list[tuple[str, str]]:
    return sorted((one["source_text"], one["target_text"]) for one in listed(*arguments))


def written_rows(engine: Engine) -> int:
    with transaction(engine) as connection:
        count: int = connection.execute(text("SELECT count(*) FROM correction")).scalar_one()
    return count


def add(engine: Engine, *sources: str, **changes: Any) -> None:
    plain = {"source_language": "en", "target_language": "fr", "author": "Ada & <Co>", "reason": "It's <better>."}
    with transaction(engine) as connection:
        record_corrections(
            connection,
            [Correction(source_text=one, target_text=f"{one}!", **{**plain, **changes}) for one in sources],
        )


@pytest.mark.parametrize(
    ("name", "form"),
    [("all.tmx", "tmx"), ("all.xlf", "xliff"), ("all.xliff", "xliff-1.2"), ("all.jsonl", "jsonl")],
)
def test_every_character_comes_back_when_a_file_is_written_and_read(
    engine: Engine, tmp_path: Path, name: str, form: str
) -> None:
    add(engine, *STRANGE)
    before = texts()
    assert f"written: {len(STRANGE)}" in run("export", tmp_path / name, "--format", form, *ENGLISH_FRENCH).output
    with transaction(engine) as connection:
        connection.execute(text("TRUNCATE correction"))
    assert f"added: {len(STRANGE)}" in run("import", tmp_path / name, *ENGLISH_FRENCH).output
    assert texts() == before
    assert {one["reason"] for one in listed()} == {"It's <better>."}


def test_nothing_changes_when_the_same_file_is_imported_twice(engine: Engine, tmp_path: Path) -> None:
    """Also where the file contradicts itself, and across transactions."""
    file = tmp_path / "file.tsv"
    file.write_text("".join(f"Text {n % 2_500}.\tTexte {n}.\n" for n in range(6_000)))
    first = run("import", file, *ENGLISH_FRENCH)
    assert "added: 2,500; so already: 0" in first.output
    assert "whose text the file had before: 3,500" in first.output
    assert "added: 0; so already: 2,500" in run("import", file, *ENGLISH_FRENCH).output
    assert written_rows(engine) == 2_500
    assert ("Text 7.", "Texte 7.") in texts("--containing", "Text 7.")


def test_the_rest_is_imported_and_the_faults_named_when_some_units_are_broken(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    lines = [
        {"source_text": "A", "target_text": "B"},
        {"source_text": "Secret\x00", "target_text": "B"},
        {"source_text": "Secret\ud800", "target_text": "B"},
        {"source_text": "Secret" * 20_000, "target_text": "B"},
        {"source_text": "Secret", "target_text": "  "},
        {"source_text": "Secret", "target_text": "B", "source_language": "Secret"},
    ]
    file.write_text("".join(json.dumps({"source_language": "en", **line}) + "\n" for line in lines))
    with pytest.raises(DragomanError, match="left out: 5"):
        run("import", file, "-t", "fr")
    assert texts() == [("A", "B")]
    done = CliRunner().invoke(dragoman, ["corrections", "import", str(file), "-t", "fr"])
    assert re.findall(r"^unit (\d)", done.stderr, re.M) == ["2", "3", "4", "5", "6"]
    assert "Secret" not in done.output


def test_one_bad_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><tmx/>")
    (tmp_path / "a.docx").write_text("")
    with pytest.raises(ConfigurationError, match="declares entities"):
        run("import", tmp_path / "a.tmx", *ENGLISH_FRENCH)
    with pytest.raises(ConfigurationError, match="no known format"):
        run("import", tmp_path / "a.docx", *ENGLISH_FRENCH)
    with pytest.raises(ConfigurationError, match="use a BCP-47 tag"):
        run("import", tmp_path / "a.tmx", "-s", "qq", "-t", "fr")


def test_what_was_reported_stays_when_the_connection_is_lost_in_the_middle(
    engine: Engine, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction_import, "UNITS_AT_ONCE", 10)
    kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'victim'"

    def units(count: int) -> Any:
        for number in range(30):
            if number == count:
                with transaction(engine) as killer:
                    killer.execute(text(kill))
            yield Unit(number, f"Text {number}.", "Texte.", "en", "fr")

    victim = create_database_engine(history_url, application_name="victim")
    with pytest.raises(TransientError, match=r"20 units are done: import the same file again"):
        import_corrections(victim, units(25), ImportTerms("tmx", "Ada"), [].append)
    assert written_rows(engine) == 20
    report = import_corrections(victim, units(-1), ImportTerms("tmx", "Ada"), [].append)
    assert (report.added, report.unchanged) == (10, 20)
    victim.dispose()


def test_a_client_s_corrections_are_in_no_file_but_its_own(engine: Engine, tmp_path: Path) -> None:
    add(engine, "For all.")
    add(engine, "Private.", client_id="shop")
    run("export", tmp_path / "all.tmx")
    run("export", tmp_path / "shop.tmx", "--client", "shop")
    assert "Private." not in (tmp_path / "all.tmx").read_text()
    assert "For all." not in (tmp_path / "shop.tmx").read_text()
    run("import", tmp_path / "all.tmx", *ENGLISH_FRENCH, "--client", "bank")
    assert texts("--client", "bank") == [("For all.", "For all.!")]


def test_those_are_left_out_and_counted_that_the_format_cannot_hold(engine: Engine, tmp_path: Path) -> None:
    add(engine, "Bell \x07.", "Plain.")
    output = run("export", tmp_path / "all.tmx").output
    assert "corrections written: 1; left out, because XML has no way to write a character of them: 1" in output
    assert "corrections written: 2\n" in run("export", tmp_path / "all.jsonl").output


def test_the_former_file_stays_when_a_new_one_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    add(engine, "Plain.")
    file = tmp_path / "all.xlf"
    file.write_text("former")
    with pytest.raises(ConfigurationError, match="give --source and --target"):
        run("export", file)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former"]
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run("export", tmp_path / "nowhere" / "all.tmx")


def test_a_correction_is_added_shown_superseded_and_withdrawn(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1, client_id="shop")))
    first = run("add", "Mieux.", "--job", UUID(int=1), "--author", "Ada", "--reason", "Wrong.").output.split()[-1]
    second = run(
        "add", "Encore.", "--text", "Sentence 1.", *ENGLISH_FRENCH, "--client", "shop", "--author", "Bob"
    ).output.split()[-1]
    assert "it is so already" in run("add", "Encore.", "--job", UUID(int=1), "--author", "Eve").output
    assert "withdrawn by" in run("withdraw", second, "--author", "Ada").output
    chain = [json.loads(line) for line in run("show", first, "--json").output.splitlines()]
    assert [(one["target_text"], one["author"], one["supersedes"]) for one in chain] == [
        ("Mieux.", "Ada", None),
        ("Encore.", "Bob", first),
        (None, "Ada", second),
    ]
    assert "[withdrawn]" in run("show", first).output
    assert run("list").output == "no such correction\n"


@pytest.mark.parametrize("option", ["--containing", "--client"])
def test_a_sentence_is_raised_when_no_text_can_hold_what_is_searched(option: str) -> None:
    with pytest.raises(DragomanError, match="lone surrogate"):
        run("list", option, "\ud800")


def test_a_line_of_the_list_is_harmless_when_a_text_is_not(engine: Engine) -> None:
    add(engine, "[bold]a\x1b[31m\u202eb\nc")
    assert "[bold]a\ufffd[31m\ufffdb c" in run("list").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["x"],
        ["x", "--text", "y", "-s", "en"],
        ["x", "--job", UUID(int=1), "--text", "y"],
        ["x", "--job", UUID(int=1), "--client", "shop"],
        ["x", "--text", "y", *ENGLISH_FRENCH, "--for-all-clients"],
    ],
)
def test_usage_is_said_when_options_contradict_each_other(arguments: list[object]) -> None:
    assert run("add", *arguments).exit_code == 2


def test_a_correction_is_refused_without_quoting_it() -> None:
    with pytest.raises(ConfigurationError, match=r"target_text: the text is empty"):
        run("add", " ", "--text", "Secret", *ENGLISH_FRENCH)
    with pytest.raises(ConfigurationError) as refused:
        run("add", "Secret", "--text", "Secret", "-s", "Secret", "-t", "fr")
    assert "Secret" not in str(refused.value)
