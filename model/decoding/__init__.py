"""From scores of the next piece to translations. Knows no network: it decodes over a step callable.

`search` and `Rows` load PyTorch when they are first asked for; options and hypotheses do without it.
"""

from typing import TYPE_CHECKING, Any

from .hypothesis import Hypothesis
from .options import Sampling, SearchOptions

if TYPE_CHECKING:
    from .searching import search
    from .stepping import Rows

__all__ = ["Hypothesis", "Rows", "Sampling", "SearchOptions", "search"]


def __getattr__(name: str) -> Any:
    if name == "Rows":
        from .stepping import Rows

        return Rows
    if name == "search":
        from .searching import search

        return search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
