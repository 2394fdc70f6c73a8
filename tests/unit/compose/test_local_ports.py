import socket
from collections.abc import Iterator

import pytest
from dragoman.compose.local import ports
from dragoman.errors import ConfigurationError


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server((ports.HOST, 0)) as server:
        yield int(server.getsockname()[1])


def test_free_port_lies_below_those_of_outgoing_connections() -> None:
    assert ports.free_port() in range(1024, 32_768)


def test_free_port_can_be_listened_on() -> None:
    with socket.create_server((ports.HOST, ports.free_port())) as server:
        assert server.getsockname()[0] == ports.HOST


def test_port_is_not_free_when_a_program_listens(busy_port: int) -> None:
    assert not ports.is_free(busy_port)


def test_port_answers_when_a_program_listens(busy_port: int) -> None:
    assert ports.answers(busy_port)


def test_port_does_not_answer_when_nobody_listens() -> None:
    assert not ports.answers(ports.free_port())


def test_chosen_port_is_refused_with_the_option_to_change_when_it_is_busy(busy_port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"port {busy_port} is in use: choose another with --kafka-port"):
        ports.chosen_or_free(busy_port, "--kafka-port")


def test_chosen_port_is_taken_when_it_is_free() -> None:
    port = ports.free_port()
    assert ports.chosen_or_free(port, "--kafka-port") == port
