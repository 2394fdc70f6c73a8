"""One connection through a proxy: two directions, each read, judged, delayed and written in order."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from random import Random
from typing import Protocol

from dragoman.tests.faults import kafka_frames, postgres_frames
from dragoman.tests.faults.conditions import Charge, Conditions

CHUNK_BYTES = 64 * 1024
# How much may be under way in one direction, as in a network's own buffers: beyond it the sender waits.
UNDER_WAY_CHUNKS = 64
# How often a black hole is looked at again.
SILENCE_SECONDS = 0.05
# Close with RST instead of FIN: on, after 0 seconds.
ABORTIVE = struct.pack("ii", 1, 0)

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Authority(Protocol):
    """What a link asks of its proxy."""

    @property
    def protocol(self) -> str: ...

    @property
    def conditions(self) -> Conditions: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def random(self) -> Random: ...

    def strikes(self, charge: Charge) -> bool: ...


class Link:
    """Client and server, and what passes between them."""

    def __init__(self, proxy: Authority, client: Ends, server: Ends) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._judge = KafkaJudge(self._proxy) if self._proxy.protocol == "kafka" else PostgresJudge(self._proxy)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Carry both directions until both have ended, or one was reset."""
        for _, writer in (self._client, self._server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tasks = [
            asyncio.ensure_future(self._carry(self._client[0], self._server[1], self._judge.request)),
            asyncio.ensure_future(self._carry(self._server[0], self._client[1], self._judge.answer)),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, writer in (self._client, self._server):
            writer.close()

    def reset(self) -> None:
        """RST to both ends."""
        for _, writer in (self._client, self._server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE)
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, judge: "Verdict") -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY_CHUNKS)
        delivery = asyncio.ensure_future(self._deliver(under_way, writer))
        self._tasks.append(delivery)
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                for piece in judge(data):
                    await under_way.put((self._arrival(), piece))
                if self._judge.doomed:
                    await self._doom(under_way)
                    return
        await under_way.put((self._arrival(), b""))
        await delivery

    async def _doom(self, under_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        """Let what was let through arrive, then reset; a server is given the time to act on it."""
        while not under_way.empty():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        if not self._judge.waits_for_answer:
            self.reset()

    def _arrival(self) -> float:
        conditions = self._proxy.conditions
        delay = conditions.latency_seconds
        if conditions.jitter_seconds:
            delay += self._proxy.random.uniform(0, conditions.jitter_seconds)
        return asyncio.get_running_loop().time() + delay

    async def _deliver(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, data = await under_way.get()
                if due > loop.time():
                    self._proxy.counts["delayed"] += 1
                    await asyncio.sleep(due - loop.time())
                await self._silence()
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                await self._write(writer, data)

    async def _silence(self) -> None:
        if self._proxy.conditions.silent:
            self._proxy.counts["held"] += 1
        while self._proxy.conditions.silent:
            await asyncio.sleep(SILENCE_SECONDS)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer is self._client[1] and len(data) > 1 and self._proxy.strikes(Charge.RESET_MID_FRAME):
            writer.write(data[: len(data) // 2])
            await writer.drain()
            self.reset()
            return
        size = self._proxy.conditions.slice_bytes or len(data)
        self._proxy.counts["sliced"] += size < len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if limit := self._proxy.conditions.bytes_per_second:
                self._proxy.counts["throttled"] += 1
                await asyncio.sleep(len(piece) / limit)
            writer.write(piece)
            await writer.drain()


class Verdict(Protocol):
    """Bytes that arrived in, those that go on out."""

    def __call__(self, data: bytes, /) -> list[bytes]: ...


class KafkaJudge:
    """Takes out requests, or answers, of chosen kinds."""

    doomed = False
    waits_for_answer = False

    def __init__(self, proxy: Authority) -> None:
        self._proxy = proxy
        self._requests = kafka_frames.FrameBuffer()
        self._answers = kafka_frames.FrameBuffer()
        self._asked: dict[int, int] = {}

    def request(self, data: bytes) -> list[bytes]:
        passing = []
        for frame in self._requests.feed(data):
            api = kafka_frames.api_of(frame)
            if api in self._proxy.conditions.drop_requests:
                self._proxy.counts[f"dropped_request_{api}"] += 1
                continue
            if self._proxy.conditions.drop_answers:
                self._asked[kafka_frames.correlation_of_request(frame)] = api
            passing.append(frame)
        return passing

    def answer(self, data: bytes) -> list[bytes]:
        passing = []
        for frame in self._answers.feed(data):
            api = self._asked.pop(kafka_frames.correlation_of_answer(frame), None)
            if api in self._proxy.conditions.drop_answers:
                self._proxy.counts[f"dropped_answer_{api}"] += 1
            else:
                passing.append(frame)
        return passing


class PostgresJudge:
    """Loses a COMMIT, or the reply to one, and dooms its connection."""

    def __init__(self, proxy: Authority) -> None:
        self._proxy = proxy
        self._messages = postgres_frames.MessageBuffer()
        self.doomed = False
        self.waits_for_answer = False

    def request(self, data: bytes) -> list[bytes]:
        passing: list[bytes] = []
        for message in self._messages.feed(data):
            if postgres_frames.is_commit(message):
                if self._proxy.strikes(Charge.LOSE_COMMIT):
                    self.doomed = True
                    return passing
                if self._proxy.strikes(Charge.LOSE_COMMIT_REPLY):
                    self.doomed = self.waits_for_answer = True
            passing.append(message)
        return passing

    def answer(self, data: bytes) -> list[bytes]:
        if self.waits_for_answer:  # the server has committed: this was its word for it
            self.waits_for_answer = False
            return []
        return [data]
