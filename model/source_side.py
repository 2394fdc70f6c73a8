"""What is known of a checkpoint without its weights: its version, its language pairs, how texts become source pieces.

Needs no PyTorch: the process that serves a broker reads this, and the process of the device reads the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import safe_open

from ..errors import ConfigurationError
from .checkpoint_config import CONFIG, WEIGHTS, CheckpointConfig, read_config
from .manifest import CARD, CheckpointError, read_manifest, verify_files
from .vocabularies.catalog import load_vocabulary
from .vocabularies.vocabulary import Vocabulary

# The translation of a segment has at most this many times its pieces, and some for very short ones.
TARGET_PIECES_PER_SOURCE_PIECE = 2
TARGET_PIECES_FREE = 10


@dataclass(frozen=True, slots=True)
class SourceSide:
    """A checkpoint as far as its source texts go; `weights` counts the numbers in its network. Thread-safe."""

    version: str
    pairs: tuple[tuple[str, str], ...]
    max_source_pieces: int
    vocabulary: Vocabulary
    card: str
    sha256: str
    weights: int

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a checkpoint folder and verify every file; raises `CheckpointError` with what is wrong with which."""
        try:
            manifest = read_manifest(folder)
            verify_files(folder, manifest)
            config = read_config(folder, manifest)
            return cls(
                version=version_of(config.name, manifest.sha256),
                pairs=config.language_pairs,
                max_source_pieces=longest_source(_max_positions(folder, config)),
                vocabulary=_vocabulary(folder, config),
                card=(folder / CARD).read_text(encoding="utf-8"),
                sha256=manifest.sha256,
                weights=_count_weights(folder / WEIGHTS),
            )
        except OSError as error:
            raise CheckpointError(f"the checkpoint {folder} cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{folder / CARD} is not UTF-8: convert it, and save the checkpoint again") from error

    def encode(self, texts: Sequence[str], target: str | None = None) -> list[list[int]]:
        """Source pieces of each text, as `Translator.encode` gives them."""
        return encode_sources(self.vocabulary, texts, target or self.pairs[0][1])


def version_of(name: str, sha256: str) -> str:
    """Name and content hash: what the history calls the model version."""
    return f"{name}@{sha256[:12]}"


def longest_source(max_positions: int) -> int:
    """Longest segment of a network with so many positions: it must have room for the longest translation too."""
    return (max_positions - TARGET_PIECES_FREE) // TARGET_PIECES_PER_SOURCE_PIECE - 1


def encode_sources(vocabulary: Vocabulary, texts: Sequence[str], target: str) -> list[list[int]]:
    """Source pieces; a model of several target languages has the piece of `target` first."""
    sources = vocabulary.encode(texts)
    if not vocabulary.languages:
        return sources
    first = vocabulary.language_piece(target)
    return [[first, *source] for source in sources]


def _max_positions(folder: Path, config: CheckpointConfig) -> int:
    positions = config.shape.get("max_positions")
    if not isinstance(positions, int):
        raise CheckpointError(f"{folder / CONFIG} does not say max_positions: save the checkpoint again")
    return positions


def _vocabulary(folder: Path, config: CheckpointConfig) -> Vocabulary:
    files = {name: (folder / name).read_bytes() for name in config.vocabulary.files}
    try:
        return load_vocabulary(config.vocabulary.kind, files)
    except ConfigurationError as error:
        raise CheckpointError(f"the checkpoint {folder} does not fit this version of Dragoman: {error}") from error


def _count_weights(path: Path) -> int:
    with safe_open(path, framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
