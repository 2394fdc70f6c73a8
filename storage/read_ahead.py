"""Lets a database write on while its last answer is worked on: a thread with one item ahead. Knows no database.

The thread that asked stays free to hear Ctrl-C, also while nothing has come yet.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Give = Callable[[Item], None]

# How often a thread that was told to end is asked whether it has.
LOOK_SECONDS = 0.05


class _AbandonedError(Exception):
    """Nobody wants what is produced any more."""


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def read_ahead(produce: Callable[[Give[Item]], None], cancel: Callable[[], None]) -> Iterator[Iterator[Item]]:
    """What `produce` gives, run in a thread; its error is raised where its items are taken.

    When the block ends before the items do, `cancel` (from any thread, at any time) must make `produce` return soon.
    """
    items: Queue[Item | _End] = Queue(maxsize=1)
    abandoned = Event()

    def give(item: Item) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        items.put(item)

    def run() -> None:
        try:
            produce(give)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
            items.put(_End(error))
        else:
            items.put(_End())

    thread = Thread(target=run, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _taken(items)
    finally:
        abandoned.set()
        if thread.is_alive():
            cancel()
        _wait_for(thread, items)


def _taken(items: "Queue[Item | _End]") -> Iterator[Item]:
    while True:
        item = items.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        yield item


def _wait_for(thread: Thread, items: "Queue[Item | _End]") -> None:
    while thread.is_alive():
        try:
            items.get(timeout=LOOK_SECONDS)
        except Empty:
            continue
