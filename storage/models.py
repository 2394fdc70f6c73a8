"""Which models have written to the history. Knows no network and no checkpoint file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from ..errors import DragomanError
from .tables import model_version


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model as it was loaded; `id` is its name and the first digits of its content."""

    id: str
    source_languages: tuple[str, ...]
    target_languages: tuple[str, ...]
    content_sha256: str
    card: Mapping[str, Any]


def register_model_version(connection: Connection, version: ModelVersion) -> None:
    """Make the version known, once; a worker does so before it records its first row.

    Raises `DragomanError` when the id is taken by other content.
    """
    values = asdict(version) | {
        "source_languages": list(version.source_languages),
        "target_languages": list(version.target_languages),
    }
    connection.execute(insert(model_version).values(values).on_conflict_do_nothing())
    known = select(model_version.c.content_sha256).where(model_version.c.id == version.id)
    if connection.execute(known).scalar_one() != version.content_sha256:
        raise DragomanError(f"the model version {version.id} is in the history with other content: rename the model")
