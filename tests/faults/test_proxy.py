"""The proxy does to a connection what it is told, and counts it."""

import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from dragoman.compose.local.ports import HOST, free_port
from dragoman.tests.faults.conditions import CLEAR, Charge, Conditions
from dragoman.tests.faults.kafka_frames import Api
from dragoman.tests.faults.proxy import Proxy


class EchoServer:
    """Sends back what it gets, in a thread a connection."""

    def __init__(self) -> None:
        self.socket = socket.create_server((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                self.received += data
                connection.sendall(data)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    running = EchoServer()
    yield running
    running.close()


@pytest.fixture
def kafka(server: EchoServer) -> Iterator[Proxy]:
    with Proxy(free_port(), server.port, "kafka") as proxy:
        yield proxy


@pytest.fixture
def postgres(server: EchoServer) -> Iterator[Proxy]:
    with Proxy(free_port(), server.port, "postgres") as proxy:
        yield proxy


@pytest.fixture
def connect() -> Iterator[Callable[[Proxy], socket.socket]]:
    opened: list[socket.socket] = []

    def dial(proxy: Proxy) -> socket.socket:
        opened.append(socket.create_connection((HOST, proxy.port), timeout=10))
        return opened[-1]

    yield dial
    for connection in opened:
        connection.close()


def request(api: int, number: int, body: bytes = b"") -> bytes:
    """A request frame; echoed, its api key and version are the correlation id of an answer."""
    content = struct.pack(">hhi", api, 0, number) + body
    return struct.pack(">i", len(content)) + content


def answer(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


START = struct.pack(">ii", 8, 196608)
COMMIT = b"Q" + struct.pack(">i", 11) + b"COMMIT\0"
SELECT = b"Q" + struct.pack(">i", 13) + b"SELECT 1\0"

Dial = Callable[[Proxy], socket.socket]


def test_bytes_pass_unchanged_when_the_network_is_good(kafka: Proxy, connect: Dial) -> None:
    frame = request(Api.FETCH, 1, b"x" * 100_000)
    connection = connect(kafka)
    connection.sendall(frame)

    assert answer(connection, len(frame)) == frame


def test_only_requests_of_the_dropped_kind_are_missing(kafka: Proxy, server: EchoServer, connect: Dial) -> None:
    kafka.set(Conditions(drop_requests=frozenset({Api.OFFSET_COMMIT})))
    connection = connect(kafka)
    kept = request(Api.FETCH, 2)
    connection.sendall(request(Api.OFFSET_COMMIT, 1) + kept)

    assert answer(connection, len(kept)) == kept
    assert server.received == kept
    assert kafka.counts[f"dropped_request_{Api.OFFSET_COMMIT}"] == 1


def test_the_request_arrives_and_its_answer_does_not_when_answers_are_dropped(
    kafka: Proxy, server: EchoServer, connect: Dial
) -> None:
    kafka.set(Conditions(drop_answers=frozenset({Api.PRODUCE})))
    connection = connect(kafka)
    # The echo of a request reads as the answer to number (api << 16), so this one answers itself.
    lost, kept = request(Api.PRODUCE, 0), request(Api.FETCH, 5)
    connection.sendall(lost + kept)

    assert answer(connection, len(kept)) == kept
    assert server.received == lost + kept
    assert kafka.counts[f"dropped_answer_{Api.PRODUCE}"] == 1


def test_an_answer_takes_the_latency_of_both_ways(kafka: Proxy, connect: Dial) -> None:
    kafka.set(Conditions(latency_seconds=0.1))
    connection = connect(kafka)
    start = time.monotonic()
    connection.sendall(request(Api.FETCH, 1))
    answer(connection, 12)

    assert time.monotonic() - start >= 0.2


def test_nothing_passes_until_the_silence_ends(kafka: Proxy, connect: Dial) -> None:
    kafka.set(Conditions(silent=True))
    connection = connect(kafka)
    connection.sendall(request(Api.FETCH, 1))
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(10)
    kafka.set(CLEAR)

    assert len(answer(connection, 12)) == 12


def test_a_client_is_refused_until_the_proxy_accepts_again(kafka: Proxy, connect: Dial) -> None:
    kafka.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(kafka)
    kafka.accept()

    connect(kafka)


def test_half_a_frame_and_a_reset_arrive_when_that_is_armed(kafka: Proxy, connect: Dial) -> None:
    kafka.arm(Charge.RESET_MID_FRAME)
    connection = connect(kafka)
    connection.sendall(request(Api.FETCH, 1))
    with pytest.raises(ConnectionResetError):
        answer(connection, 12)
    assert kafka.counts[Charge.RESET_MID_FRAME] == 1


def test_the_server_gets_the_commit_and_the_client_a_reset_when_its_reply_is_lost(
    postgres: Proxy, server: EchoServer, connect: Dial
) -> None:
    connection = connect(postgres)
    connection.sendall(START + SELECT)
    answer(connection, len(START + SELECT))
    postgres.arm(Charge.LOSE_COMMIT_REPLY)
    connection.sendall(COMMIT)
    with pytest.raises(ConnectionResetError):
        answer(connection, 1)

    assert server.received.endswith(COMMIT)


def test_the_server_never_gets_a_commit_that_is_lost(postgres: Proxy, server: EchoServer, connect: Dial) -> None:
    connection = connect(postgres)
    connection.sendall(START + SELECT)
    answer(connection, len(START + SELECT))
    postgres.arm(Charge.LOSE_COMMIT)
    connection.sendall(COMMIT)
    with pytest.raises(ConnectionResetError):
        answer(connection, 1)

    assert server.received == START + SELECT


def test_no_socket_stays_open_when_a_proxy_closes_on_connections_it_just_got(server: EchoServer) -> None:
    for _ in range(20):
        with Proxy(free_port(), server.port, "kafka") as proxy:
            connections = [socket.create_connection((HOST, proxy.port), timeout=10) for _ in range(3)]
        for connection in connections:
            connection.close()
    gc.collect()  # what is left open warns here, and a warning fails the test
