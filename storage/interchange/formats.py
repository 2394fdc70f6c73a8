"""Which reader and writer a file has, by its name: the one table of formats."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import ConfigurationError
from ...schemas.corrections import Origin
from ..correction_queries import KeptCorrection
from .entries import Languages, Reader
from .jsonl_output import jsonl
from .lines import read_jsonl, read_tsv
from .tmx import read_tmx
from .tmx_output import tmx
from .xliff import read_xliff
from .xliff_output import xliff_1, xliff_2
from .xml_output import is_writable

READERS: dict[str, tuple[Origin, Reader]] = {
    ".tmx": ("tmx", read_tmx),
    ".xlf": ("xliff", read_xliff),
    ".xliff": ("xliff", read_xliff),
    ".jsonl": ("jsonl", read_jsonl),
    ".tsv": ("tsv", read_tsv),
}
# XLIFF is written in version 2.0, unless 1.2 is asked for.
WRITTEN = {".tmx": "tmx", ".xlf": "xliff", ".xliff": "xliff", ".jsonl": "jsonl"}
FORMATS = ("tmx", "xliff", "xliff-1.2", "jsonl")


def reader_of(path: Path) -> tuple[Origin, Reader]:
    """What the file is and what reads it; raises `ConfigurationError` for a name of no known format."""
    found = READERS.get(path.suffix.lower())
    if found is None:
        raise ConfigurationError(f"{path.name} is of no known format: its name must end in {', '.join(READERS)}")
    return found


def format_of(path: Path) -> str:
    """The format that a file is written in; raises `ConfigurationError` for a name of no known format."""
    found = WRITTEN.get(path.suffix.lower())
    if found is None:
        raise ConfigurationError(f"{path.name} is of no known format: its name must end in {', '.join(WRITTEN)}")
    return found


def written(corrections: Iterable[KeptCorrection], form: str, languages: Languages) -> Iterator[str]:
    """The parts of a file of that format; raises `ConfigurationError` for XLIFF without languages."""
    if form == "tmx":
        return tmx(corrections)
    if form == "jsonl":
        return jsonl(corrections)
    if languages.source is None or languages.target is None:
        raise ConfigurationError("an XLIFF file has one pair of languages: give --source and --target")
    return (xliff_1 if form == "xliff-1.2" else xliff_2)(corrections, languages.source, languages.target)


def can_hold(form: str, one: KeptCorrection) -> bool:
    """Whether the format has a way to write every character of the correction."""
    return form == "jsonl" or is_writable(one.source_text, one.target_text, one.author, one.reason)
