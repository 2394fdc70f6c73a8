"""Takes together what several put into a queue one after the other. Knows nothing of what it is."""

import contextlib
import queue
from typing import TypeVar

Item = TypeVar("Item")


def gathered(waiting: "queue.Queue[list[Item]]", most: int, timeout_seconds: float) -> list[Item]:
    """What waits now, list by list until there are `most` or more; blocks for the first list, at most so long."""
    items: list[Item] = []
    with contextlib.suppress(queue.Empty):
        items += waiting.get(timeout=timeout_seconds)
        while len(items) < most:
            items += waiting.get_nowait()
    return items
