"""Starts a worker with a model that echoes at a set pace and misbehaves where a text says so.

`python -m dragoman.tests.faults.entry`, told by DRAGOMAN_TEST_WORKER what to be like. The fault suite's only file that
reaches into the worker: everything else treats it as a process.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dragoman.cli.worker import worker
from dragoman.model.decoding import SearchOptions
from dragoman.model.translation import Translation
from dragoman.tests.faults.mutants import MUTANTS
from dragoman.worker import kafka_broker, kafka_config
from dragoman.worker.devices.echo import EchoTranslator

VARIABLE = "DRAGOMAN_TEST_WORKER"
# A model that hangs looks whether it still should so often.
STALL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Temper:
    """What a worker under test is like."""

    seconds_per_row: float = 0.002
    stall_file: str = ""  # the model hangs while this file is there
    max_poll_seconds: float = 0.0  # 0 = the worker's own
    mutant: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Poison:
    """Words that a text may hold for the model to choke on."""

    RAISE = "poison-raise"
    NOT_A_NUMBER = "poison-nan"
    CRASH = "poison-crash"
    ALL = (RAISE, NOT_A_NUMBER)


def misbehaving(temper: Temper) -> Any:
    """An echo with that temper, in place of `EchoTranslator.translate_pieces`."""
    stall = Path(temper.stall_file) if temper.stall_file else None

    def translate_pieces(
        _: EchoTranslator,
        sources: Sequence[Sequence[int]],
        options: SearchOptions,
    ) -> list[Translation]:
        time.sleep(temper.seconds_per_row * len(sources))
        while stall and stall.exists():
            time.sleep(STALL_SECONDS)
        texts = ["".join(map(chr, source)) for source in sources]
        return [_translation(text) for text in texts]

    return translate_pieces


def _translation(text: str) -> Translation:
    if Poison.RAISE in text:
        raise RuntimeError("a poisoned text")
    if Poison.CRASH in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    score = float("nan") if Poison.NOT_A_NUMBER in text else 0.0
    return Translation(text, score, len(text), len(text))


def _poll_within(seconds: float) -> None:
    plain = kafka_config.consumer_config

    def impatient(*arguments: Any) -> dict[str, Any]:
        return plain(*arguments) | {"max.poll.interval.ms": round(seconds * 1000)}

    setattr(kafka_broker, "consumer_config", impatient)  # noqa: B010 - the type checker is right: not for others


def main() -> None:
    temper = Temper(**json.loads(os.environ.get(VARIABLE, "{}")))
    setattr(EchoTranslator, "translate_pieces", misbehaving(temper))  # noqa: B010 - mypy is right: not for others
    if temper.max_poll_seconds:
        _poll_within(temper.max_poll_seconds)
    if temper.mutant:
        MUTANTS[temper.mutant]()
    worker.main(["--echo"], standalone_mode=False)


if __name__ == "__main__":
    sys.exit(main())
