"""Dragoman: translation jobs in through Kafka, translations and their history out through Kafka and Postgres.

The public face of the package. Names are resolved on first use, so that a backend service which only
publishes jobs imports neither torch nor SQLAlchemy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DragomanError as DragomanError
    from .producer.producer import TranslationProducer as TranslationProducer
    from .schemas.jobs import TranslationJob as TranslationJob
    from .schemas.results import TranslationResult as TranslationResult
    from .settings import Settings as Settings

__version__ = "0.1.0"

_PUBLIC = {
    "DragomanError": ".errors",
    "Settings": ".settings",
    "TranslationJob": ".schemas.jobs",
    "TranslationProducer": ".producer.producer",
    "TranslationResult": ".schemas.results",
}
__all__ = [
    "DragomanError",
    "Settings",
    "TranslationJob",
    "TranslationProducer",
    "TranslationResult",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)
