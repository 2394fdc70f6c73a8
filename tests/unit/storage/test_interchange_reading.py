"""Readers of TMX, XLIFF, JSONL and TSV: what is sound comes, what is not is named, nothing unfolds."""

import io
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.storage.interchange import markup
from dragoman.storage.interchange.entries import Entry, Fault, Languages, Passed, Unit
from dragoman.storage.interchange.lines import read_jsonl, read_tsv
from dragoman.storage.interchange.tmx import read_tmx
from dragoman.storage.interchange.xliff import read_xliff

FRENCH = Languages("en", "fr")


def tmx(*units: str, prolog: str = '<?xml version="1.0"?>') -> bytes:
    return f'{prolog}<tmx version="1.4"><header srclang="en"/><body>{"".join(units)}</body></tmx>'.encode()


def tu(source: str, target: str, attributes: str = "", inside: str = "") -> str:
    return (
        f'<tu {attributes}>{inside}<tuv xml:lang="en"><seg>{source}</seg></tuv>'
        f'<tuv xml:lang="fr"><seg>{target}</seg></tuv></tu>\n'
    )


def xliff_1(*units: str, languages: str = 'source-language="en" target-language="fr"') -> bytes:
    return f'<xliff version="1.2"><file {languages}><body>{"".join(units)}</body></file></xliff>'.encode()


def xliff_2(*units: str, languages: str = 'srcLang="en" trgLang="fr"') -> bytes:
    return f'<xliff version="2.1" {languages}><file id="f">{"".join(units)}</file></xliff>'.encode()


def read(reader: Any, content: bytes, languages: Languages = FRENCH) -> list[Entry]:
    return list(reader(io.BytesIO(content), languages))


def texts(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    return [(entry.source_text, entry.target_text) for entry in entries if isinstance(entry, Unit)]


def faults(entries: Iterable[Entry]) -> list[int]:
    return [entry.number for entry in entries if isinstance(entry, Fault)]


def test_a_unit_comes_with_its_author_and_note() -> None:
    content = tmx(tu("A &amp; <hi>b</hi>&#13;", " Ç ", 'creationid="ada"', "<note>Wrong word.</note>"))
    assert read(read_tmx, content) == [Unit(1, "A & b\r", " Ç ", "en", "fr", "ada", "Wrong word.")]


def test_the_same_language_comes_before_a_regional_form_and_others_are_passed() -> None:
    content = tmx(
        '<tu><tuv xml:lang="en-GB"><seg>Colour</seg></tuv><tuv lang="EN_us"><seg>Color</seg></tuv>'
        '<tuv xml:lang="fr"><seg>Couleur</seg></tuv></tu>',
        '<tu><tuv xml:lang="en-GB"><seg>Colour</seg></tuv><tuv lang="EN"><seg>Color</seg></tuv>'
        '<tuv xml:lang="fr-CA"><seg>Couleur</seg></tuv></tu>',
        '<tu><tuv xml:lang="de"><seg>Farbe</seg></tuv><tuv xml:lang="fr"><seg>Couleur</seg></tuv></tu>',
    )
    entries = read(read_tmx, content)
    assert texts(entries) == [("Colour", "Couleur"), ("Color", "Couleur")]
    assert entries[2] == Passed(3, "of other languages")


BROKEN = {
    "a bare ampersand": tu("Fish & chips", "x"),
    "an unknown entity": tu("&secret;", "x"),
    "a NUL character": tu("&#0;", "x"),
    "a tag that is not closed": tu("<hi>x", "x"),
    "an end tag too many": tu("x</hi>", "x"),
    "no end": '<tu><tuv xml:lang="en"><seg>x</seg></tuv>',
    "no segment": '<tu><tuv xml:lang="en"/><tuv xml:lang="fr"><seg>x</seg></tuv></tu>',
    "no language": "<tu><tuv><seg>x</seg></tuv></tu>",
    "no variant": "<tu/>",
    "a code of a document": tu('Press <ph x="1"/> now', "x"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_only_the_broken_unit_is_left_out_and_it_is_named(broken: str) -> None:
    entries = read(read_tmx, tmx(tu("First.", "Un."), "\n\n" + broken, tu("Last.<!-- -->", "Fin.")))
    assert texts(entries) == [("First.", "Un."), ("Last.", "Fin.")]
    fault = next(entry for entry in entries if isinstance(entry, Fault))
    assert (fault.number, fault.line) == (2, 4)
    assert str(fault).startswith("unit 2, line 4: ")


def test_units_in_comments_are_no_units() -> None:
    content = tmx("<!-- " + tu("No.", "Non.") + " -->", tu("<![CDATA[</tu><tu>]]>", "Oui."))
    assert texts(read(read_tmx, content)) == [("</tu><tu>", "Oui.")]


def test_damaged_utf_8_is_the_fault_of_its_unit_alone() -> None:
    content = tmx(tu("First.", "Un."), tu("Caf@", "x"), tu("Last.", "Fin.")).replace(b"@", b"\xe9")
    entries = read(read_tmx, content)
    assert texts(entries) == [("First.", "Un."), ("Last.", "Fin.")]
    assert faults(entries) == [2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_the_byte_order_mark_tells_the_encoding(encoding: str) -> None:
    content = tmx(tu("Été", "Œuvre")).decode().encode(encoding)
    assert texts(read(read_tmx, content)) == [("Été", "Œuvre")]


def test_the_declaration_tells_the_encoding() -> None:
    content = tmx(tu("Été", "Là"), prolog='<?xml version="1.0" encoding="ISO-8859-1"?>').decode().encode("latin-1")
    assert texts(read(read_tmx, content)) == [("Été", "Là")]


BOMB = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE tmx [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE tmx [<!ENTITY % more SYSTEM "file:///etc/passwd"> %more;]>'


@pytest.mark.parametrize("prolog", [BOMB, EXTERNAL, PARAMETER], ids=["bomb", "external", "parameter"])
@pytest.mark.parametrize(("reader", "content"), [(read_tmx, tmx(tu("&b;", "x"))), (read_xliff, xliff_1())])
def test_a_file_is_refused_when_it_declares_entities(prolog: str, reader: Any, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="declares entities"):
        read(reader, prolog.encode() + content)


def test_a_document_type_is_not_opened() -> None:
    content = tmx(tu("A", "B"), prolog='<!DOCTYPE tmx SYSTEM "file:///nowhere/tmx14.dtd">')
    assert texts(read(read_tmx, content)) == [("A", "B")]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html></html>", b"A\tB\n"])
def test_a_file_of_another_format_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no element <tmx>"):
        read(read_tmx, content)


@pytest.mark.parametrize("encoding", ["base64", "undefined", "nothing", "hex"])
def test_an_encoding_nobody_knows_is_refused(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match="encoding"):
        read(read_tmx, tmx(prolog=f'<?xml version="1.0" encoding="{encoding}"?>'))


def test_what_came_before_is_read_and_the_cut_named_when_a_file_is_cut_off() -> None:
    content = tmx(tu("First.", "Un."), tu("Last.", "Fin."))
    entries = read(read_tmx, content[: content.rindex(b"<seg>")])
    assert texts(entries) == [("First.", "Un.")]
    assert faults(entries) == [2, 2]


def test_a_unit_is_found_wherever_the_file_is_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "CHUNK_BYTES", 1)
    content = tmx("<!-- <tu> -->", *(tu(f"{n} <![CDATA[</tu>]]>", "É") for n in range(4)))
    assert texts(read(read_tmx, content)) == [(f"{n} </tu>", "É") for n in range(4)]


def test_memory_is_flat_when_a_file_is_large() -> None:
    class Endless(io.RawIOBase):
        """200 MB: units, then a unit that does not end."""

        left_bytes = 200_000_000

        def read(self, size: int = -1) -> bytes:
            self.left_bytes -= size
            if self.left_bytes > 190_000_000:
                return tu("x" * 30_000, "y").encode()
            return b"<tu><seg>" + b"x" * (size - 9) if self.left_bytes > 0 else b""

    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="no element"):
        for _ in read_tmx(Endless(), FRENCH):
            pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 40_000_000


def test_xliff_1_gives_what_is_translated_and_confirmed() -> None:
    content = xliff_1(
        "<trans-unit id='1'><source>One</source><target>Un</target><note>Why.</note></trans-unit>",
        "<trans-unit id='2'><source>Two</source></trans-unit>",
        "<trans-unit id='3'><source>Three</source><target/></trans-unit>",
        "<trans-unit id='4'><source>4</source><target state='needs-review-translation'>x</target></trans-unit>",
        "<trans-unit id='5'><source>5</source><target state='final'>cinq</target>"
        "<alt-trans><target>x</target></alt-trans></trans-unit>",
        "<trans-unit id='6'><source>a <g id='1'>b</g></source><target>x</target></trans-unit>",
        "<trans-unit id='7'><target>x</target></trans-unit>",
    )
    entries = read(read_xliff, content, Languages())
    assert entries[0] == Unit(1, "One", "Un", "en", "fr", None, "Why.")
    assert texts(entries) == [("One", "Un"), ("5", "cinq")]
    assert [entry.reason for entry in entries if isinstance(entry, Passed)] == [
        "without a translation",
        "without a translation",
        "not confirmed",
    ]
    assert faults(entries) == [6, 7]


def test_xliff_2_gives_each_segment() -> None:
    content = xliff_2(
        "<unit id='1'><notes><note>Why.</note></notes><segment><source>One</source><target>Un</target></segment>"
        "<ignorable><source> </source></ignorable>"
        "<segment state='initial'><source>2</source><target>x</target></segment>"
        "<segment state='final'><source>3</source><target>trois</target></segment></unit>"
    )
    entries = read(read_xliff, content, Languages())
    assert texts(entries) == [("One", "Un"), ("3", "trois")]
    assert entries[0] == Unit(1, "One", "Un", "en", "fr", None, "Why.")


def test_prefixed_names_are_read_as_others() -> None:
    content = (
        b'<x:xliff xmlns:x="urn:oasis:names:tc:xliff:document:1.2"><x:file source-language="en" target-language="fr">'
        b"<x:trans-unit><x:source>A</x:source><x:target>B</x:target></x:trans-unit></x:file></x:xliff>"
    )
    assert texts(read(read_xliff, content)) == [("A", "B")]


def test_the_pair_that_is_asked_for_stands_for_its_regional_forms_and_others_are_passed() -> None:
    unit = "<trans-unit><source>A</source><target>B</target></trans-unit>"
    regional = xliff_1(unit, languages='source-language="en-US" target-language="fr-FR"')
    german = xliff_1(unit, languages='source-language="en" target-language="de"')
    nothing = xliff_1(unit, languages='source-language="nonsense"')
    assert read(read_xliff, regional) == [Unit(1, "A", "B", "en", "fr")]
    assert read(read_xliff, regional, Languages()) == [Unit(1, "A", "B", "en-US", "fr-FR")]
    assert read(read_xliff, german) == [Passed(1, "of other languages")]
    assert faults(read(read_xliff, nothing, Languages())) == [1]


def test_sound_lines_of_json_come_and_the_others_are_named() -> None:
    lines = [
        '\ufeff{"source_text": "A", "target_text": "B", "author": "ada", "reason": null}',
        "",
        '{"source_text": "A"}',
        "[1]",
        '{"source_text": 1, "target_text": "B"}',
        "{" * 100_000,
        '{"source_text": "C", "target_text": "D", "source_language": "de"}',
    ]
    entries = read(read_jsonl, "\n".join(lines).encode() + b'\n{"source_text": "\xe9"}', Languages(target="fr"))
    assert entries[0] == Unit(1, "A", "B", None, "fr", "ada", None)
    assert entries[-2] == Unit(7, "C", "D", "de", "fr", None, None)
    assert faults(entries) == [3, 4, 5, 6, 8]


def test_sound_lines_of_columns_come_and_the_others_are_named() -> None:
    huge = b"x" * 9_000_000
    content = b"A\tB\r\nno tab\n" + huge + b"\nC\tD\tWhy.\na\tb\tc\td\n"
    entries = read(read_tsv, content)
    assert entries[0] == Unit(1, "A", "B", "en", "fr")
    assert entries[3] == Unit(4, "C", "D", "en", "fr", None, "Why.")
    assert faults(entries) == [2, 3, 5]


@pytest.mark.parametrize("reader", [read_tmx, read_tsv])
def test_the_languages_are_asked_for_when_the_file_cannot_name_them(reader: Any) -> None:
    with pytest.raises(ConfigurationError, match="give --source and --target"):
        read(reader, b"", Languages("en", None))
