"""Translation memories: which segments are taken, and which files are refused."""

from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.corpora import tmx
from dragoman.model.corpora.tmx import read_tmx

BOMB = """<?xml version="1.0"?>
<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>
<tmx><body><tu><tuv xml:lang="en"><seg>&c;</seg></tuv><tuv xml:lang="fr"><seg>&c;</seg></tuv></tu></body></tmx>"""


def unit(*variants: tuple[str, str]) -> str:
    return "<tu>" + "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in variants) + "</tu>"


def file_of(folder: Path, body: str, encoding: str = "utf-8") -> Path:
    path = folder / "memory.tmx"
    document = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'
        f'<tmx version="1.4">\n<header srclang="*all*"><note>one</note></header><body>{body}</body></tmx>'
    )
    path.write_bytes(document.encode(encoding))
    return path


@pytest.mark.parametrize("tag", ["es", "ES", "es-419", "es_MX"])
def test_regional_form_counts_as_the_language(tmp_path: Path, tag: str) -> None:
    path = file_of(tmp_path, unit(("en-GB", "One."), (tag, "Uno."), ("est", "Üks.")))

    assert list(read_tmx(path, ("en", "es"))) == [("One.", "Uno.")]


def test_the_language_itself_is_taken_before_a_regional_form(tmp_path: Path) -> None:
    path = file_of(tmp_path, unit(("fr-CA", "Un char."), ("en", "A car."), ("fr", "Une voiture."), ("fr", "Une auto.")))

    assert list(read_tmx(path, ("en", "fr"))) == [("A car.", "Une voiture.")]


def test_a_language_with_its_region_is_not_served_by_another_region(tmp_path: Path) -> None:
    body = unit(("en", "Bus."), ("pt-PT", "Autocarro.")) + unit(("en", "Bus."), ("pt-br", "Ônibus."))

    assert list(read_tmx(file_of(tmp_path, body), ("en", "pt-BR"))) == [("Bus.", "Ônibus.")]


def test_the_old_language_attribute_is_read(tmp_path: Path) -> None:
    body = '<tu><tuv lang="EN"><seg>One.</seg></tuv><tuv lang="FR"><seg>Un.</seg></tuv></tu>'

    assert list(read_tmx(file_of(tmp_path, body), ("en", "fr"))) == [("One.", "Un.")]


def test_codes_are_dropped_and_marked_text_is_kept(tmp_path: Path) -> None:
    marked = (
        '<bpt i="1">&lt;b&gt;</bpt>Press<ept i="1">&lt;/b&gt;</ept> <hi>the<ph x="1">{0}<sub>tip</sub></ph></hi>'
        " key &amp; wait<it pos='end'>&lt;br&gt;</it>."
    )
    path = file_of(tmp_path, unit(("en", marked), ("fr", "Un.")))

    assert list(read_tmx(path, ("en", "fr"))) == [("Press the key & wait.", "Un.")]


def test_text_outside_segments_is_not_taken(tmp_path: Path) -> None:
    body = (
        '<tu><note>n</note><tuv xml:lang="en"><prop type="x">p</prop><seg>One.</seg></tuv>'
        '<tuv xml:lang="fr"><seg>Un.</seg></tuv></tu>'
    )

    assert list(read_tmx(file_of(tmp_path, body), ("en", "fr"))) == [("One.", "Un.")]


def test_unit_without_both_languages_is_passed_over(tmp_path: Path) -> None:
    body = unit(("en", "One."), ("de", "Eins.")) + unit(("en", "Two."), ("fr", "Deux."))

    assert list(read_tmx(file_of(tmp_path, body), ("en", "fr"))) == [("Two.", "Deux.")]


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_encoding_is_the_one_the_file_declares(tmp_path: Path, encoding: str) -> None:
    path = file_of(tmp_path, unit(("en", "Summer."), ("fr", "Été.")), encoding)

    assert list(read_tmx(path, ("en", "fr"))) == [("Summer.", "Été.")]


def test_units_are_given_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmx, "CHUNK_BYTES", 64)
    path = file_of(tmp_path, unit(("en", "One."), ("fr", "Un.")) + " " * 99 + "<broken")

    assert next(read_tmx(path, ("en", "fr"))) == ("One.", "Un.")


def test_file_that_declares_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tmx"
    path.write_text(BOMB, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"bomb\.tmx declares the entity 'a': such files are refused"):
        list(read_tmx(path, ("en", "fr")))


def test_file_that_asks_for_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outside.tmx"
    path.write_text(BOMB.replace('<!ENTITY a "ha">', '<!ENTITY a SYSTEM "other.txt">'), encoding="utf-8")

    with pytest.raises(ConfigurationError, match="declares the entity 'a'"):
        list(read_tmx(path, ("en", "fr")))


@pytest.mark.parametrize(
    "content",
    [
        b"<tmx><body><tu></body></tmx>",
        b"<tmx><body>",
        b"",
        b"one\tun\n",
        b'<?xml version="1.0" encoding="none"?><tmx/>',
    ],
    ids=["nested wrongly", "cut off", "empty", "no XML", "unknown encoding"],
)
def test_file_that_is_not_well_formed_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tmx"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"broken\.tmx is not well-formed XML: "):
        list(read_tmx(path, ("en", "fr")))


def test_file_of_other_languages_is_refused_with_those_it_has(tmp_path: Path) -> None:
    path = file_of(tmp_path, unit(("en", "One."), ("de-AT", "Eins.")))

    with pytest.raises(ConfigurationError, match=r"no translation unit with en and fr; its languages: de-AT, en$"):
        list(read_tmx(path, ("en", "fr")))
