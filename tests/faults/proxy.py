"""A TCP proxy that makes a network bad on purpose, in a thread of its own. Counts what it did.

Every connection through it is under the same `Conditions`; a `Charge` strikes once for each time it was armed.
"""

import asyncio
import random
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from dragoman.compose.local.ports import HOST
from dragoman.tests.faults.conditions import CLEAR, Charge, Conditions
from dragoman.tests.faults.link import Link

ANSWER_SECONDS = 20.0
BACKLOG = 128
Protocol = Literal["kafka", "postgres"]
T = TypeVar("T")


class Proxy:
    """Listens on `port`, forwards to `target`: ports of this machine."""

    def __init__(self, port: int, target: int, protocol: Protocol, seed: int = 0) -> None:
        self.port = port
        self.target = target
        self.protocol = protocol
        self.conditions = CLEAR
        self.counts: Counter[str] = Counter()
        self.random = random.Random(seed)
        self._charges: Counter[Charge] = Counter()
        self._links: set[Link] = set()
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{protocol}-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

    def set(self, conditions: Conditions) -> None:
        """From now on, everything that passes is under these conditions."""
        self.conditions = conditions

    def clear(self) -> None:
        """A good network again, connections kept, charges taken back."""
        self.conditions = CLEAR
        self._charges.clear()
        self.accept()

    def arm(self, charge: Charge, times: int = 1) -> None:
        """Let this happen to the next so many things of its kind."""
        self._charges[charge] += times

    def strikes(self, charge: Charge) -> bool:
        """Whether a charge is armed; uses it up."""
        if self._charges[charge] <= 0:
            return False
        self._charges[charge] -= 1
        self.counts[charge] += 1
        return True

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._run(self._refuse())

    def accept(self) -> None:
        """Take new connections; does nothing where that is so."""
        self._run(self._accept())

    def reset_all(self) -> int:
        """RST to both ends of every connection; returns how many."""
        return self._run(self._reset_all())

    async def _accept(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=BACKLOG)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._take, self._listener)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _take(self, listener: socket.socket) -> None:
        """Accept one connection. By hand: an asyncio.Server loses, unclosed, what it accepts while it closes."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            task = self._loop.create_task(self._connected(listener.accept()[0]))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _reset_all(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        self.counts["reset"] += len(links)
        return len(links)

    async def _connected(self, connection: socket.socket) -> None:
        self.counts["connections"] += 1
        client = await asyncio.open_connection(sock=connection)
        try:
            server = await asyncio.open_connection(HOST, self.target)
        except OSError:
            self.counts["target_away"] += 1
            client[1].close()
            return
        link = Link(self, client, server)
        if self._closing:
            link.reset()
            return
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _close(self) -> None:
        self._closing = True
        await self._refuse()
        for link in list(self._links):
            link.reset()
        if self._connections:
            await asyncio.wait(self._connections)
        await asyncio.sleep(0)  # a transport that was aborted closes its socket in the loop's next turn

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)
