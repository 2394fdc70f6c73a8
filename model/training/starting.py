"""The network and vocabulary that a run begins with: new ones, or those of a checkpoint. Knows no data but lines.

Keeping the embeddings of pieces that two vocabularies spell the same: Kocmi and Bojar 2018, arXiv:1809.00357.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch

from ...errors import ConfigurationError
from ..architectures.catalog import build, describe
from ..architectures.network import Network
from ..checkpoint import Checkpoint, load_checkpoint
from ..vocabularies.characters import CharacterVocabulary
from ..vocabularies.subwords import SubwordVocabulary
from ..vocabularies.vocabulary import END, Vocabulary
from ..weightless import build_weightless
from .config import TrainConfig, resolve

# What may be set differently from the checkpoint that a run begins with: it changes no weight.
FREE_IN_SHAPE = frozenset({"dropout"})


@dataclass(frozen=True, slots=True)
class Beginning:
    """A network on the CPU and the vocabulary it is for."""

    network: Network
    vocabulary: Vocabulary


def begin(config: TrainConfig, folder: Path, learn: Callable[[], Vocabulary]) -> Beginning:
    """Begin as configured; `learn` is called for a vocabulary that no checkpoint brings.

    Raises `ConfigurationError` where a checkpoint contradicts the config.
    """
    if config.start is None:
        vocabulary = learn()
        return Beginning(new_network(config, len(vocabulary)), vocabulary)
    checkpoint = load_checkpoint(resolve(config.start.checkpoint, folder), torch.device("cpu"))
    shape = _shape_like(checkpoint, config)
    if config.start.pieces == "same-spelling":
        vocabulary = learn()
        return Beginning(_respelled(checkpoint, shape, vocabulary), vocabulary)
    _check_vocabulary(checkpoint.vocabulary, config)
    network = build(describe(checkpoint.network)[0], shape)
    network.load_state_dict(checkpoint.network.state_dict())
    return Beginning(network, checkpoint.vocabulary)


def new_network(config: TrainConfig, vocabulary_size: int) -> Network:
    """A freshly initialised network of the shape that the config names."""
    return build(config.network.architecture, config.network.shape | {"vocabulary_size": vocabulary_size})


def learn_vocabulary(config: TrainConfig, lines: Iterable[str]) -> Vocabulary:
    """Learn the vocabulary that the config asks for from lines of all languages."""
    asked = config.vocabulary
    if asked.kind == "characters":
        return CharacterVocabulary.train(lines, asked.size, config.target_languages)
    return SubwordVocabulary.train(lines, asked.size, config.target_languages, asked.algorithm)


def _shape_like(checkpoint: Checkpoint, config: TrainConfig) -> dict[str, Any]:
    """The checkpoint's shape; what the config sets must be the same, or free."""
    architecture, shape = describe(checkpoint.network)
    wanted: dict[str, Any] = dict(config.network.shape)
    if "architecture" in config.network.model_fields_set:
        wanted["architecture"] = config.network.architecture
    different = [
        f"{name} = {value!r} (the checkpoint has {known!r})"
        for name, value in wanted.items()
        if (known := (shape | {"architecture": architecture}).get(name)) != value and name not in FREE_IN_SHAPE
    ]
    if different:
        raise ConfigurationError(
            f"the network of {checkpoint.name} is not the one of the config: {', '.join(different)}; "
            "leave out the section network, its shape comes from start.checkpoint"
        )
    if config.data.max_pieces + 2 > shape["max_positions"]:
        raise ConfigurationError(
            f"data.max_pieces {config.data.max_pieces}, a language piece and an end mark do not fit into the "
            f"{shape['max_positions']} positions of {checkpoint.name}: lower it"
        )
    return shape | {name: value for name, value in wanted.items() if name in FREE_IN_SHAPE}


def _check_vocabulary(vocabulary: Vocabulary, config: TrainConfig) -> None:
    asked = config.vocabulary
    faults = []
    if "kind" in asked.model_fields_set and asked.kind != vocabulary.kind:
        faults.append(f"its vocabulary is of the kind {vocabulary.kind}, not {asked.kind}")
    if "size" in asked.model_fields_set and asked.size != len(vocabulary):
        faults.append(f"its vocabulary has {len(vocabulary)} pieces, not {asked.size}")
    missing = [language for language in config.target_languages if language not in vocabulary.languages]
    if missing:
        faults.append(f"its vocabulary has no piece for the target language {', '.join(missing)}")
    if faults:
        raise ConfigurationError(
            f"start.checkpoint does not match the config: {'; '.join(faults)}; leave out the section vocabulary, "
            'or set start.pieces = "same-spelling" to learn a new one'
        )


@torch.no_grad()
def _respelled(checkpoint: Checkpoint, shape: dict[str, Any], vocabulary: Vocabulary) -> Network:
    """A network for `vocabulary`: rows of pieces are kept where the spelling is, everything else as it was."""
    old, new = _spellings(checkpoint.vocabulary), _spellings(vocabulary)
    shared = [(old[spelling], piece) for spelling, piece in new.items() if spelling in old]
    # The marks keep their numbers, however they are spelled.
    shared = [(piece, piece) for piece in range(END + 1)] + [pair for pair in shared if min(pair) > END]
    before, after = (torch.tensor(places) for places in zip(*shared, strict=True))
    architecture = describe(checkpoint.network)[0]
    network = build(architecture, shape | {"vocabulary_size": len(vocabulary)})
    # What changes its shape with the vocabulary, (V, ...), has a row for each piece; the sizes may well be equal here.
    larger = build_weightless(architecture, shape | {"vocabulary_size": len(checkpoint.vocabulary) + 1})
    for name, parameter in network.named_parameters():
        known = checkpoint.network.get_parameter(name)
        if larger.get_parameter(name).shape == known.shape:
            parameter.copy_(known)
        else:
            parameter[after] = known[before]
    return network


def _spellings(vocabulary: Vocabulary) -> dict[str, int]:
    if not isinstance(vocabulary, SubwordVocabulary):
        raise ConfigurationError(
            f'start.pieces = "same-spelling" needs vocabularies of subwords, not of {vocabulary.kind}'
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.serialized)
    return {processor.id_to_piece(piece): piece for piece in range(len(vocabulary))}
