"""HTTP for operators."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from dragoman.errors import ConfigurationError
from dragoman.worker.health import REQUEST_SECONDS, HealthServer
from dragoman.worker.metrics import Metrics

# Less than a silent client is given, so that a probe which waits for one fails.
PATIENCE_SECONDS = REQUEST_SECONDS - 1.0


@pytest.fixture
def faults() -> dict[str, str | None]:
    return {"/livez": None, "/readyz": "no partition is assigned yet"}


@pytest.fixture
def server(faults: dict[str, str | None]) -> Iterator[HealthServer]:
    metrics = Metrics()
    metrics.polled.inc(3)
    checks = {"/livez": lambda: faults["/livez"], "/readyz": lambda: faults["/readyz"]}
    server = HealthServer(("127.0.0.1", 0), metrics.registry, checks)
    yield server
    server.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_check_answers_200_when_all_is_well(server: HealthServer) -> None:
    assert get(server, "/livez") == (200, "ok\n")


def test_a_check_answers_503_and_says_why_when_it_is_not(server: HealthServer) -> None:
    assert get(server, "/readyz") == (503, "no partition is assigned yet\n")


def test_a_check_is_asked_anew_each_time(server: HealthServer, faults: dict[str, str | None]) -> None:
    faults["/readyz"] = None
    assert get(server, "/readyz")[0] == 200


def test_metrics_are_served_in_the_text_of_prometheus(server: HealthServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "dragoman_messages_polled_total 3.0" in text.splitlines()


def test_any_other_path_is_unknown(server: HealthServer) -> None:
    status, text = get(server, "/")
    assert status == 404
    assert "/livez" in text


def test_a_probe_is_answered_while_somebody_else_is_connected_and_silent(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/livez")[0] == 200


def test_a_sentence_says_what_to_do_when_the_port_is_taken(server: HealthServer) -> None:
    with pytest.raises(ConfigurationError, match="Set DRAGOMAN_HEALTH_PORT to another port"):
        HealthServer(("127.0.0.1", server.port), Metrics().registry, {})
