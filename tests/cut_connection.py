"""Stands before a service and breaks each connection off after so many bytes of answers."""

import socket
import threading
from types import TracebackType
from typing import Self

from dragoman.compose.local.ports import HOST

BLOCK_BYTES = 4096


class CutConnections:
    """Listens on `port`; `count` connections were broken off."""

    def __init__(self, target: int, answer_bytes: int) -> None:
        self._target = target
        self._answer_bytes = answer_bytes
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.count = 0
        self._thread = threading.Thread(target=self._serve, name="cut-connections")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        carriers = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            server = socket.create_connection((HOST, self._target))
            carriers += [
                threading.Thread(target=self._carry, args=(client, server, None)),
                threading.Thread(target=self._carry, args=(server, client, self._answer_bytes)),
            ]
            for carrier in carriers[-2:]:
                carrier.start()
        for carrier in carriers:
            carrier.join()

    def _carry(self, source: socket.socket, target: socket.socket, most_bytes: int | None) -> None:
        carried = 0
        try:
            while data := source.recv(BLOCK_BYTES):
                carried += len(data)
                if most_bytes is not None and carried > most_bytes:
                    self.count += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                _end(end)


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    end.close()
