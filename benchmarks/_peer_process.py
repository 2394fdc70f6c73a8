"""A peer in a process of its own, asked line by line: JSON over its standard input and output. Knows no models."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self


class PeerProcess:
    """Runs a script of benchmarks/peers/ until the block ends; it says something once it is ready."""

    def __init__(self, script: Path, *arguments: str) -> None:
        self._script = script
        command = [sys.executable, str(script), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def ask(self, question: str) -> dict[str, float]:
        """Send a line and wait for the answer; ends the program if the peer has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            sys.exit(f"the peer {self._script.name} ended with exit status {status}: its own message stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer
