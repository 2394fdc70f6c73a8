"""HTTP for operators: /metrics, /livez, /readyz. Knows the checks as functions, nothing of what they check.

Liveness never asks whether Kafka or Postgres can be reached: restarting every worker would not help them.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from ..errors import ConfigurationError

# How long a client may take to send its request.
REQUEST_SECONDS = 5.0
# A check's answer: None when all is well, else what is not.
Check = Callable[[], str | None]


class HealthServer:
    """Serves metrics and checks on a thread of its own."""

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
        """Bind `address`, port 0 = any free one; raises `ConfigurationError` when the port is taken."""
        self._metrics = make_wsgi_app(registry)
        self._checks = checks
        host, port = address
        try:
            self._server = make_server(host, port, self._answer, _Server, _QuietHandler)
        except OSError as error:
            raise ConfigurationError(
                f"the health address {host}:{port} cannot be used ({error.strerror}): another worker on this machine? "
                "Set DRAGOMAN_HEALTH_PORT to another port, or 0 for any free one"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is really used."""
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = self._metrics(environ, start_response)
            return page
        if path not in self._checks:
            return _plain(start_response, "404 Not Found", "try /metrics, /livez or /readyz")
        fault = self._checks[path]()
        status = "200 OK" if fault is None else "503 Service Unavailable"
        return _plain(start_response, status, fault or "ok")


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request: somebody who connects and says nothing must not make a probe fail."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Probes come every few seconds: not a line each."""


def _plain(start_response: Any, status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
