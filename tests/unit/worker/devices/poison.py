"""Translators whose texts do harm, for processes of devices: named by import path, as `package.module:name`.

They echo, but for texts with a magic character. Knows no model; faults, a hang and a lack of memory are real.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Sequence

from dragoman.model.decoding import SearchOptions
from dragoman.model.translation import Translation
from dragoman.worker.devices.echo import EchoTranslator

KILL, SEGFAULT, EXIT, HANG, RAISE, HUNGRY = "☠", "⚡", "⏏", "⏳", "✖", "♨"
# So many hungry texts fit the memory at once.
HUNGRY_TEXTS = 2
MODULE = "dragoman.tests.unit.worker.devices.poison"


class PoisonTranslator(EchoTranslator):
    """Does what the magic characters in its batch say."""

    version = "poison@0"

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        together = {piece for source in sources for piece in source}
        if ord(KILL) in together:
            os.kill(os.getpid(), signal.SIGKILL)
        if ord(SEGFAULT) in together:
            ctypes.string_at(0)
        if ord(EXIT) in together:
            os._exit(3)
        if ord(HANG) in together:
            threading.Event().wait()
        if ord(RAISE) in together:
            raise RuntimeError("a device-side assertion")
        if sum(ord(HUNGRY) in source for source in sources) > HUNGRY_TEXTS:
            raise MemoryError
        return super().translate_pieces(sources, options)


class Second(PoisonTranslator):
    """Another version, for another pair."""

    version = "second@0"
    pairs: tuple[tuple[str, str], ...] = (("en", "de"),)


class Broken(EchoTranslator):
    """Fails on every text."""

    version = "broken@0"

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        raise RuntimeError("a device-side assertion")


class Deadly(EchoTranslator):
    """Takes its process down whatever the text."""

    version = "deadly@0"

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        os._exit(4)


class Frozen(EchoTranslator):
    """Never answers."""

    version = "frozen@0"

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        threading.Event().wait()
        raise AssertionError
