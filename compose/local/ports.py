"""TCP ports of this machine: which are free. Knows no service."""

import random
import socket

from ...errors import ConfigurationError

HOST = "127.0.0.1"
# Below the ports that systems hand to outgoing connections (Linux: from 32768, macOS: from 49152). A client
# that keeps trying to reach a stopped service could otherwise be given the service's own port, and keep it.
FREE_PORTS = range(20_000, 32_000)
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Tell whether a service could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Tell whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Find a port nobody listens on; raises `ConfigurationError` when there is none."""
    for port in random.sample(FREE_PORTS, ATTEMPTS):
        if is_free(port):
            return port
    raise ConfigurationError(f"no free port found between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def chosen_or_free(chosen: int | None, option: str) -> int:
    """Return the chosen port, else a free one; raises `ConfigurationError` if the chosen one is busy."""
    if chosen is None:
        return free_port()
    if not is_free(chosen):
        raise ConfigurationError(
            f"port {chosen} is in use: choose another with {option}, or stop the program that listens on it"
        )
    return chosen
