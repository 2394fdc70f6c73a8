"""From scores of the next piece to translations. Knows no network: it decodes over a step callable."""

from .hypothesis import Hypothesis
from .options import Sampling, SearchOptions
from .search import search
from .stepping import Rows

__all__ = ["Hypothesis", "Rows", "Sampling", "SearchOptions", "search"]
