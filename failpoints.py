"""Places where a test makes this process die, freeze, wait or fail. Knows no worker.

Nothing happens unless DRAGOMAN_FAILPOINT says `NAME:kill`, `NAME:stop`, `NAME:sleep:SECONDS` or `NAME:raise`, each
followed by `:N` where it is the Nth time that counts. It is no setting: nobody but the fault suite sets it.
"""

import json
import os
import signal
import threading
import time
from dataclasses import dataclass

from .errors import ConfigurationError

VARIABLE = "DRAGOMAN_FAILPOINT"
ACTIONS = ("kill", "stop", "sleep", "raise")


class FailpointError(Exception):
    """What the action `raise` raises: no error of ours, so nothing handles it."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """What happens where, at which time of being reached."""

    name: str
    action: str
    seconds: float = 0.0
    nth: int = 1

    @classmethod
    def parse(cls, text: str) -> "Failpoint":
        """Read what DRAGOMAN_FAILPOINT holds; raises `ConfigurationError`."""
        name, _, rest = text.partition(":")
        action, *numbers = rest.split(":")
        try:
            seconds = float(numbers.pop(0)) if action == "sleep" else 0.0
            nth = int(numbers.pop(0)) if numbers else 1
        except (IndexError, ValueError):
            raise _unusable(text) from None
        if not name or action not in ACTIONS or numbers or nth < 1:
            raise _unusable(text)
        return cls(name, action, seconds, nth)

    def act(self) -> None:
        """Say so on standard error, then do it."""
        line = {"event": "failpoint_reached", "failpoint": self.name, "action": self.action}
        os.write(2, f"{json.dumps(line)}\n".encode())
        if self.action == "sleep":
            time.sleep(self.seconds)
        elif self.action == "raise":
            raise FailpointError(self.name)
        else:
            # To this thread: another might stop the process milliseconds later, and this one would go on meanwhile.
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL if self.action == "kill" else signal.SIGSTOP)


class _Armed:
    """Counts how often the one failpoint was reached; safe to reach from several threads."""

    def __init__(self, failpoint: Failpoint) -> None:
        self._failpoint = failpoint
        self._lock = threading.Lock()
        self._times = 0

    def reached(self, name: str) -> None:
        if name != self._failpoint.name:
            return
        with self._lock:
            self._times += 1
            due = self._times == self._failpoint.nth
        if due:
            self._failpoint.act()


def reached(name: str) -> None:
    """Mark a place; does nothing but in a test that has armed it."""
    if _armed is not None:
        _armed.reached(name)


def _unusable(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{VARIABLE} holds {text!r}: write NAME:kill, NAME:stop, NAME:sleep:SECONDS or NAME:raise, with :N behind it "
        "for the Nth time, or unset it"
    )


def arm() -> None:
    """Read DRAGOMAN_FAILPOINT; raises `ConfigurationError`. Done at import, and by a test after a fork."""
    global _armed
    text = os.environ.get(VARIABLE)
    _armed = _Armed(Failpoint.parse(text)) if text else None


_armed: _Armed | None = None
arm()
