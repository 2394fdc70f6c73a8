"""How translations get to standard output: a part at a time, or not at all."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from dragoman.cli.translate_output import write_out
from dragoman.tests.tiny_checkpoints import save_tiny, tiny_vocabulary


class Sluggish(io.BytesIO):
    """Takes two bytes at a time, as an unbuffered stream may when the disk is nearly full."""

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        return super().write(data[:2])


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny", tiny_vocabulary())


def translated_into(output: int, folder: Path, unbuffered: str = "") -> tuple[int, str]:
    """Exit code and standard error of the real process: what the interpreter says at its exit is a part of it."""
    command = ["-m", "dragoman", "translate", "-s", "en", "-t", "fr", "--device", "cpu", "--model", str(folder)]
    ended = subprocess.run(
        [sys.executable, *command],
        input="Yes.\n",
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    return ended.returncode, ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_one_sentence_says_so_when_the_disk_is_full(checkpoint_folder: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = translated_into(full.fileno(), checkpoint_folder, unbuffered)

    assert ended == (1, "dragoman: the translations cannot be written: No space left on device\n")


def test_nothing_is_said_when_the_reader_has_closed_the_pipe(checkpoint_folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = translated_into(writer, checkpoint_folder)
    os.close(writer)

    assert ended == (1, "")


def test_everything_is_written_when_the_stream_takes_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sluggish = Sluggish()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sluggish))
    write_out("déjà vu\n")

    assert sluggish.getvalue().decode() == "déjà vu\n"
