"""From scores of the next piece to translations. Knows no network: it decodes over a step callable."""

from .search import Hypothesis, Rows, SearchOptions, search

__all__ = ["Hypothesis", "Rows", "SearchOptions", "search"]
