"""Makes the next value in a thread while the last one is used. Knows nothing of what the values are."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import TypeVar

Value = TypeVar("Value")


def prefetched(values: Generator[Value, None, None], stopped: Event) -> Generator[Value, None, None]:
    """The same values in the same order, one of them made ahead; what `values` raises is raised here.

    Closing it sets `stopped`, which `values` may heed, waits for the value in the making, closes `values` and leaves
    no thread behind.
    """
    with closing(values), ThreadPoolExecutor(1, thread_name_prefix="prefetch") as maker:
        try:
            upcoming = maker.submit(lambda: next(values, None))
            while (value := upcoming.result()) is not None:
                upcoming = maker.submit(lambda: next(values, None))
                yield value
        finally:
            stopped.set()
