"""The same two pairs out of every format, and what is wrong with files that are none."""

import gzip
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.corpora.formats import READERS, read_pairs

EN_FR = ("en", "fr")
PAIRS = [("A red boat.", "Un bateau rouge."), ("Two oars.", "Deux rames.")]
SOURCES, TARGETS = map(list, zip(*PAIRS, strict=True))
TSV = "".join(f"{source}\t{target}\tmore\n" for source, target in PAIRS).encode()
TMX = (
    '<?xml version="1.0"?><tmx version="1.4"><header srclang="en"/><body>'
    + "".join(
        f'<tu><tuv xml:lang="en"><seg>{a}</seg></tuv><tuv xml:lang="fr"><seg>{b}</seg></tuv></tu>' for a, b in PAIRS
    )
    + "</body></tmx>"
).encode()
JSONL = "".join(json.dumps({"source": a, "target": b}) + "\n\n" for a, b in PAIRS).encode()


def tables() -> dict[str, dict[str, list[Any]]]:
    structs = [{"fr": target, "en": source} for source, target in PAIRS]
    return {
        "named": {"id": [1, 2], "target": TARGETS, "source": SOURCES},
        "languages": {"fr_FR": TARGETS, "en": SOURCES, "de": SOURCES},
        "struct": {"id": ["1", "2"], "translation": structs},
    }


def write_table(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "corpus.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=1)
    return path


@pytest.mark.parametrize(
    "pack", [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)], ids=["plain", "gz", "xz"]
)
@pytest.mark.parametrize(("ending", "content"), [(".tsv", TSV), (".tmx", TMX), (".jsonl", JSONL)])
def test_pairs_are_read_by_the_name_of_the_file(
    tmp_path: Path, ending: str, content: bytes, pack: tuple[str, Callable[[bytes], bytes]]
) -> None:
    path = tmp_path / f"corpus{ending}{pack[0]}"
    path.write_bytes(pack[1](content))

    assert list(read_pairs(path, EN_FR)) == PAIRS


@pytest.mark.parametrize("kind", ["named", "languages", "struct"])
def test_pairs_are_read_from_parquet_however_its_columns_are_named(tmp_path: Path, kind: str) -> None:
    assert list(read_pairs(write_table(tmp_path, tables()[kind]), EN_FR)) == PAIRS


@pytest.mark.parametrize("kind", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())])
def test_pairs_are_read_from_parquet_however_its_text_is_stored(tmp_path: Path, kind: Any) -> None:
    columns = {"source": pyarrow.array(SOURCES).cast(kind), "target": pyarrow.array(TARGETS).cast(kind)}

    assert list(read_pairs(write_table(tmp_path, columns), EN_FR)) == PAIRS


def test_text_that_is_missing_in_parquet_is_empty(tmp_path: Path) -> None:
    columns = {"translation": [{"en": None, "fr": "Un."}, None, {"en": "Two.", "fr": "Deux."}]}

    assert list(read_pairs(write_table(tmp_path, columns), EN_FR)) == [("", "Un."), ("", ""), ("Two.", "Deux.")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [""], "de": [""]}, "neither columns 'source' and 'target' nor 'en' and 'fr'; its columns: a, de$"),
        ({"translation": [{"en": "x", "de": "x"}]}, "its columns: translation, translation.en, translation.de$"),
        ({"source": [1], "target": ["x"]}, r"the column source of .* holds int64, not text"),
        ({"translation": [{"en": "x", "fr": [1]}]}, r"the column translation\.fr of .* holds list<.*>, not text"),
    ],
    ids=["no columns", "no field", "numbers", "lists"],
)
def test_parquet_without_two_columns_of_text_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        list(read_pairs(write_table(tmp_path, columns), EN_FR))


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"PAR1" + data[100:], lambda _data: b"none"])
def test_damaged_parquet_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_table(tmp_path, tables()["named"])
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ConfigurationError, match=r"corpus\.parquet (is not readable Parquet|cannot be read): "):
        list(read_pairs(path, EN_FR))


def test_line_without_tab_is_named(tmp_path: Path) -> None:
    path = tmp_path / "corpus.tsv"
    path.write_bytes(b"one\tun\ntwo deux\n")

    with pytest.raises(ConfigurationError, match=r"corpus\.tsv, line 2: no tab between source and target"):
        list(read_pairs(path, EN_FR))


@pytest.mark.parametrize(
    "line",
    [
        {"en": "One.", "fr": "Un.", "de": "Eins."},
        {"fr-CA": "Un.", "en_GB": "One.", "source": "web"},
        {"translation": {"en": "One.", "fr": "Un."}, "id": 7},
    ],
    ids=["languages", "regions", "translation"],
)
def test_pairs_are_read_from_json_lines_however_they_are_named(tmp_path: Path, line: dict[str, Any]) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps(line), encoding="utf-8")

    assert list(read_pairs(path, EN_FR)) == [("One.", "Un.")]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('["one", "un"]', """a JSON object is wanted, this is '\\["one", "un"\\]'"""),
        ("one", "not JSON: "),
        ('{"source": "one", "target": ', "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"source": "one", "target": 1}', "no texts under 'source' and 'target', 'en' and 'fr', or the same within"),
        ('{"source": "one", "target": null}', "no texts under"),
        ('{"en": "one", "de": "eins"}', "no texts under"),
        ('{"translation": "un"}', "no texts under"),
    ],
    ids=["list", "word", "cut", "deep", "number", "null", "other language", "no object"],
)
def test_json_line_that_is_no_pair_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(f'{{"source": "one", "target": "un"}}\n{line}\n', encoding="utf-8")

    with pytest.raises(ConfigurationError, match=rf"corpus\.jsonl, line 2: {sentence}"):
        list(read_pairs(path, EN_FR))


def write_sides(folder: Path, sources: str, targets: str) -> Path:
    (folder / "corpus.en.gz").write_bytes(gzip.compress(sources.encode()))
    (folder / "corpus.fr.gz").write_bytes(gzip.compress(targets.encode()))
    return folder / "corpus.{}.gz"


def test_pairs_are_read_from_two_files(tmp_path: Path) -> None:
    path = write_sides(tmp_path, "A red boat.\nTwo oars.\n", "Un bateau rouge.\nDeux rames.")

    assert list(read_pairs(path, EN_FR)) == PAIRS


@pytest.mark.parametrize(("sources", "targets"), [("a\nb\nc\n", "a\n"), ("a\nb\nc\n", "")])
def test_files_of_different_length_are_refused_with_both_counts(tmp_path: Path, sources: str, targets: str) -> None:
    path = write_sides(tmp_path, sources, targets)
    lines = targets.count("\n")

    with pytest.raises(
        ConfigurationError, match=rf"corpus\.en\.gz has 3 lines and .*corpus\.fr\.gz has {lines}: they are not aligned"
    ):
        list(read_pairs(path, EN_FR))


def test_missing_side_is_named(tmp_path: Path) -> None:
    path = write_sides(tmp_path, "a\n", "b\n")

    with pytest.raises(ConfigurationError, match=r"corpus\.de\.gz cannot be read"):
        list(read_pairs(path, ("en", "de")))


def test_name_of_no_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"corpus\.docx is of no known format: .*\.tsv, .*\.parquet, or have {}"
    ):
        read_pairs(tmp_path / "corpus.docx", EN_FR)


@pytest.mark.parametrize("ending", READERS)
def test_every_format_names_a_missing_file(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"absent{ending} cannot be read"):
        list(read_pairs(tmp_path / f"absent{ending}", EN_FR))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path, tables()["named"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"corpus\.parquet needs pyarrow: pip install 'dragoman\[train\]'"):
        list(read_pairs(path, EN_FR))
