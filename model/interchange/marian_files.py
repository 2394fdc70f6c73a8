"""Reads a Marian model in Hugging Face folder form, all but its weights. Knows files and JSON; no tensors.

config.json       shape, and the numbers of the marks
source.spm        SentencePiece model of the source, target.spm of the target
vocab.json        piece -> number
target_vocab.json the same for the target, where source and target share no pieces
generation_config.json, tokenizer_config.json, special_tokens_map.json if they are there
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError

NAMES_OF_MARKS = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}


@dataclass(frozen=True, slots=True)
class MarianFiles:
    """What a folder holds, as it is written there; `target_vocabulary` is None where the source's holds for both."""

    name: str
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    models: tuple[bytes, bytes]
    vocabulary: Mapping[str, int]
    target_vocabulary: Mapping[str, int] | None

    def number(self, key: str) -> int:
        """The whole number that the config gives for `key`; raises `ConfigurationError` without one."""
        value = self.config.get(key)
        if isinstance(value, list) and len(value) == 1:  # several ends may be listed
            value = value[0]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigurationError(f"config.json must give a whole number for {key}, not {value!r}")
        return value

    def name_of(self, mark: str) -> str:
        """How the tokenizer writes `pad_token`, `unk_token` or `eos_token`."""
        written = self.tokenizer.get(mark, NAMES_OF_MARKS[mark])
        return str(written["content"] if isinstance(written, dict) else written)


def read_marian_files(folder: Path) -> MarianFiles:
    """Read `folder`; raises `ConfigurationError` naming the file that is missing or damaged."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: name one with a Marian model in Hugging Face form")
    config = {**_read_json(folder / "config.json"), **_read_optional(folder / "generation_config.json")}
    tokenizer = {
        **_read_optional(folder / "special_tokens_map.json"),
        **_read_optional(folder / "tokenizer_config.json"),
    }
    shared = config.get("share_encoder_decoder_embeddings", True)
    return MarianFiles(
        name=folder.resolve().name,
        config=config,
        tokenizer=tokenizer,
        models=(_read_bytes(folder / "source.spm"), _read_bytes(folder / "target.spm")),
        vocabulary=_read_vocabulary(folder / "vocab.json"),
        target_vocabulary=None if shared else _read_vocabulary(folder / "target_vocab.json"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_bytes(path))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: copy it again") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} does not hold a JSON object: copy it again")
    return content


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.exists() else {}


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path.parent} is not a Marian model: it has no {path.name}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _read_vocabulary(path: Path) -> dict[str, int]:
    numbers = _read_json(path)
    if {*map(repr, numbers.values())} != {*map(repr, range(len(numbers)))}:
        raise ConfigurationError(f"{path} must number its {len(numbers)} pieces from 0 on, each once: copy it again")
    return numbers
