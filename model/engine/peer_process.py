"""A peer in a process of its own, where its libraries meet none of ours: JSON over its standard input and output."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ...errors import ConfigurationError
from . import ctranslate2_process
from .measuring import Batch

CTRANSLATE2_SCRIPT = Path(ctranslate2_process.__file__)


@dataclass(frozen=True, slots=True)
class CTranslate2Settings:
    """How the peer runs an exported model; `batch_rows` are segments that it cuts its batches to (0: as they come)."""

    folder: str
    device: str
    precision: str
    threads: int
    batch_rows: int = 0
    use_vmap: bool = False


class PeerSide:
    """A script that answers `{"batches": ..., "beam_size": ...}` with `{"seconds": ...}`; see `measuring.Side`."""

    def __init__(self, name: str, script: Path, settings: object) -> None:
        """Start it and wait until it says that it is ready; it gets `settings` as JSON.

        Raises `ConfigurationError` if it ends instead.
        """
        self.name = name
        # -P: without it, modules that lie beside the script would hide libraries of the same name.
        command = [sys.executable, "-P", str(script), json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    @classmethod
    def ctranslate2(cls, settings: CTranslate2Settings) -> Self:
        """CTranslate2 with one exported model."""
        return cls(f"ctranslate2 {settings.precision}", CTRANSLATE2_SCRIPT, asdict(settings))

    def seconds(self, batches: Sequence[Batch], beam_size: int) -> float:
        """How long it took, by its own clock: without what passes between the processes."""
        told = {"batches": [asdict(batch) for batch in batches], "beam_size": beam_size}
        return float(self.ask(told)["seconds"])

    def ask(self, question: object) -> dict[str, Any]:
        """Send a question and wait for the answer; raises `ConfigurationError` if the peer has ended."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, by its start
        if self._process.returncode is not None:
            raise self._ended()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._answer()

    def close(self) -> None:
        """End the process and wait for it; a second call does nothing."""
        if self._process.returncode is None:
            self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, by its start
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> ConfigurationError:
        self.close()
        return ConfigurationError(
            f"the peer {self.name} ended with exit status {self._process.returncode}: its own message stands above"
        )
