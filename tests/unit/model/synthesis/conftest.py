"""A tiny translator, and ways to look at the files that are made."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.translator import Translator


@pytest.fixture(scope="session")
def translator(tiny_checkpoint: Checkpoint) -> Translator:
    return Translator(tiny_checkpoint, torch.device("cpu"))


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[list[str]]]:
    """Reads the rows of a `.tsv.gz`."""

    def read(path: Path) -> list[list[str]]:
        content = gzip.decompress(path.read_bytes()).decode()
        return [line.split("\t") for line in content.split("\n")[:-1]]

    return read
