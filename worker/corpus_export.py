"""A training corpus out of the history and its corrections: `storage` gives pairs, `model.corpora` makes files of them.

Here because only the worker's package may know both; no running worker does this.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from .. import __version__
from ..errors import ConfigurationError, DragomanError
from ..model.corpora.corpus_card import CARD, CorpusNote, write_card
from ..model.corpora.harvest import Harvest, HarvestRules, Origin, harvest
from ..model.replacement import replacing
from ..storage.corpus_corrections import current_corrections
from ..storage.corpus_pairs import StoredPair, translated_pairs
from ..storage.engine import transaction
from ..storage.export_log import ExportNote, begin_export, finish_export, noted_filters
from ..storage.history import HistoryFilter

# Both queries see one moment of the history.
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class CorpusOrder:
    """Which pairs, what they must be like, and what the card and the export log say of them."""

    filters: HistoryFilter
    rules: HarvestRules
    origins: tuple[Origin, ...] = ("correction", "model")
    who: str = "?"
    licence: str = "not stated"


def export_corpus(engine: Engine, order: CorpusOrder, folder: Path) -> Harvest:
    """Write the corpus with its card into `folder`, whole or not at all, in the place of what was there.

    Raises `ConfigurationError` when no pair is left, `DragomanError` when the disk refuses, and what the database has.
    """
    told = noted_filters(order.filters) | {"origins": list(order.origins)}
    number = begin_export(engine, ExportNote(order.who, "corpus", told, str(folder.absolute())))
    note = CorpusNote(datetime.now(UTC), __version__, order.licence, told)
    try:
        with replacing(folder, folder.with_name(f".{folder.name}-former")) as fresh:
            result = _harvested(engine, order, fresh)
            write_card(fresh, order.rules, result, note)
            digest = hashlib.sha256((fresh / CARD).read_bytes()).hexdigest()
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise DragomanError(f"{folder} could not be written ({said}): nothing of it is left") from error
    finish_export(engine, number, sum(result.kept.values()), digest)
    return result


def _harvested(engine: Engine, order: CorpusOrder, folder: Path) -> Harvest:
    with transaction(engine) as connection:
        connection.exec_driver_sql(ONE_MOMENT)
        result = harvest(_pairs(connection, order), order.rules, folder)
    if not result.kept:
        raise ConfigurationError(
            f"no pair is left for a corpus: {sum(result.dropped.values()):,} were found and dropped "
            f"({_reasons(result)}); take wider filters"
        )
    return result


def _pairs(connection: Connection, order: CorpusOrder) -> Iterator[StoredPair]:
    """Corrections first: nothing that a model wrote takes the place of one."""
    sources: dict[Origin, Any] = {"correction": current_corrections, "model": translated_pairs}
    return chain.from_iterable(sources[o](connection, order.filters) for o in sources if o in order.origins)


def _reasons(result: Harvest) -> str:
    return ", ".join(f"{origin}: {pairs:,} {reason}" for (origin, reason), pairs in result.dropped.items()) or "none"
