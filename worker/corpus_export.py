"""A training corpus out of the history and its corrections: `storage` gives pairs, `model.corpora` makes files of them.

Here because only the worker's package may know both; no running worker does this.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from .. import __version__
from ..errors import ConfigurationError, DragomanError
from ..model.corpora.cleaning import CleaningRules
from ..model.corpora.corpus_card import CARD, CorpusNote, write_card
from ..model.corpora.harvest import Harvest, HarvestRules, Origin, harvest
from ..model.corpora.language_check import LanguageCheck
from ..model.replacement import replacing
from ..storage.corpus_corrections import current_corrections
from ..storage.corpus_pairs import StoredPair, translated_pairs
from ..storage.engine import transaction
from ..storage.export_log import ExportNote, begin_export, finish_export, noted_filters
from ..storage.history import HistoryFilter
from ..storage.text_cipher import TextCipher

# Of the letters of a text, in the script of its language, where that is known.
MIN_SCRIPT_SHARE = 0.5
# Both queries see one moment of the history.
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


class EmptyCorpusError(ConfigurationError):
    """Nothing is left to make a corpus of."""


@dataclass(frozen=True, slots=True)
class CorpusOrder:
    """Which pairs, what they must be like, and what the card and the export log say of them."""

    filters: HistoryFilter
    rules: HarvestRules
    origins: tuple[Origin, ...] = ("correction", "model")
    who: str = "?"
    licence: str = "not stated"


def corrections_order(languages: tuple[str, str], who: str) -> CorpusOrder:
    """Every correction of a pair, cleaned as `dragoman corpus export` cleans by default."""
    filters = HistoryFilter(source_language=languages[0], target_language=languages[1])
    rules = HarvestRules(languages, CleaningRules(min_script_share=MIN_SCRIPT_SHARE), None, LanguageCheck())
    return CorpusOrder(filters, rules, ("correction",), who)


def export_corpus(engine: Engine, order: CorpusOrder, folder: Path, cipher: TextCipher | None = None) -> Harvest:
    """Write the corpus with its card into `folder`, whole or not at all, in the place of what was there.

    Raises `EmptyCorpusError` when no pair is left, `DragomanError` when the disk refuses, and what the database has.
    """
    told = noted_filters(order.filters) | {"origins": list(order.origins)}
    number = begin_export(engine, ExportNote(order.who, "corpus", told, str(folder.absolute())))
    note = CorpusNote(datetime.now(UTC), __version__, order.licence, told)
    try:
        with replacing(folder, folder.with_name(f".{folder.name}-former")) as fresh:
            result = _harvested(engine, order, fresh, cipher)
            write_card(fresh, order.rules, result, note)
            digest = hashlib.sha256((fresh / CARD).read_bytes()).hexdigest()
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise DragomanError(f"{folder} could not be written ({said}): nothing of it is left") from error
    finish_export(engine, number, sum(result.kept.values()), digest)
    return result


def _harvested(engine: Engine, order: CorpusOrder, folder: Path, cipher: TextCipher | None) -> Harvest:
    with transaction(engine) as connection:
        connection.exec_driver_sql(ONE_MOMENT)
        result = harvest(_pairs(connection, order, cipher), order.rules, folder)
    if not result.kept:
        raise EmptyCorpusError(
            f"no pair is left for a corpus: {sum(result.dropped.values()):,} were found and dropped "
            f"({_reasons(result)}); take wider filters"
        )
    return result


def _pairs(connection: Connection, order: CorpusOrder, cipher: TextCipher | None) -> Iterator[StoredPair]:
    """Corrections first: nothing that a model wrote takes the place of one."""
    if "correction" in order.origins:
        yield from current_corrections(connection, order.filters, cipher)
    if "model" in order.origins:
        yield from translated_pairs(connection, order.filters, cipher)


def _reasons(result: Harvest) -> str:
    return ", ".join(f"{origin}: {pairs:,} {reason}" for (origin, reason), pairs in result.dropped.items()) or "none"
