"""Imports Marian models (OPUS-MT), in Hugging Face folder form or Marian's own: a checkpoint that translates alike.

Marian: Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020; OPUS-MT: Tiedemann and Thottingal 2020,
https://aclanthology.org/2020.eamt-1.61. Knows the keys of config.json and what they mean for our Transformer; what is
in Marian's own form `marian_native` knows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ...errors import ConfigurationError
from ..architectures.transformer import Transformer, TransformerConfig
from ..checkpoint import Checkpoint
from ..vocabularies.language_codes import short_code
from ..vocabularies.marian import MarianVocabulary
from .marian_files import MarianFiles, read_marian_files
from .marian_native import read_native
from .marian_native_files import is_native, read_native_files
from .marian_pieces import MarianPieces, renumber
from .marian_weights import fill

Pairs = tuple[tuple[str, str], ...]

WEIGHTS = "model.safetensors"
OLD_WEIGHTS = "pytorch_model.bin"
# Keys that must have this value where they are given: our Transformer has nothing for another.
ONLY = {
    "model_type": "marian",
    "is_encoder_decoder": True,
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "static_position_embeddings": True,
    "forced_bos_token_id": None,
}
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}


def import_marian(folder: Path, pairs: Pairs = ()) -> Checkpoint:
    """The checkpoint of the Marian model in `folder`, for `pairs` of languages (those that its tokenizer names).

    Marian's own form names no languages. Raises `ConfigurationError` for files that are missing or damaged or do not
    fit each other, and for a config that our Transformer cannot follow.
    """
    network, pieces, tokenizer = (_read_native if is_native(folder) else _read_converted)(folder)
    vocabulary, name = pieces.vocabulary, folder.resolve().name
    pairs = _checked(pairs, vocabulary) if pairs else _named_pairs(tokenizer, vocabulary)
    network.eval().requires_grad_(requires_grad=False)
    return Checkpoint(name, pairs, network, vocabulary, _card(folder, name))


def _read_native(folder: Path) -> tuple[Transformer, MarianPieces, Mapping[str, Any]]:
    return *read_native(read_native_files(folder)), {}


def _read_converted(folder: Path) -> tuple[Transformer, MarianPieces, Mapping[str, Any]]:
    files = read_marian_files(folder)
    _check_config(files)
    pieces = renumber(files)
    _check_sizes(files)
    network = _network(files, pieces)
    fill(network, _read_weights(folder), pieces)
    return network, pieces, files.tokenizer


def _check_config(files: MarianFiles) -> None:
    for key, value in ONLY.items():
        if files.config.get(key, value) != value:
            raise ConfigurationError(
                f"the Marian model has {key} = {files.config[key]!r} in its config: only {value!r} can be imported"
            )
    activation = files.config.get("activation_function")
    if activation not in ACTIVATIONS:
        raise ConfigurationError(
            f"the Marian model has activation_function = {activation!r} in its config: "
            f"only {', '.join(ACTIVATIONS)} can be imported"
        )


def _check_sizes(files: MarianFiles) -> None:
    expected = [("vocab_size", "vocab.json", files.vocabulary)]
    if files.target_vocabulary is not None:
        expected.append(("decoder_vocab_size", "target_vocab.json", files.target_vocabulary))
    for key, name, vocabulary in expected:
        if files.number(key) != len(vocabulary):
            raise ConfigurationError(
                f"{name} has {len(vocabulary)} pieces, config.json says {key} = {files.number(key)}: "
                "take both from one model"
            )


def _network(files: MarianFiles, pieces: MarianPieces) -> Transformer:
    try:
        return Transformer(TransformerConfig(**_shape(files, pieces)))
    except ValueError as error:
        raise ConfigurationError(f"config.json describes no network of ours: {error}") from error


def _shape(files: MarianFiles, pieces: MarianPieces) -> dict[str, Any]:
    return {
        "vocabulary_size": len(pieces.vocabulary),
        "source_vocabulary_size": None if pieces.vocabulary.is_shared else pieces.vocabulary.source_size,
        "width": files.number("d_model"),
        "heads": files.number("encoder_attention_heads"),
        "decoder_heads": files.number("decoder_attention_heads"),
        "feed_forward": files.number("encoder_ffn_dim"),
        "decoder_feed_forward": files.number("decoder_ffn_dim"),
        "encoder_layers": files.number("encoder_layers"),
        "decoder_layers": files.number("decoder_layers"),
        "dropout": float(files.config.get("dropout", 0.1)),
        "max_positions": files.number("max_position_embeddings"),
        "norm": "post",
        "positions": "sinusoidal-halves",
        "activation": ACTIVATIONS[files.config["activation_function"]],
        "embeddings": _embeddings(files),
        "embedding_scale": "root-width" if files.config.get("scale_embedding", False) else "none",
        "output_bias": "learned",
    }


def _embeddings(files: MarianFiles) -> str:
    if not files.config.get("tie_word_embeddings", True):
        return "separate"
    return "tied" if files.config.get("share_encoder_decoder_embeddings", True) else "tied-target"


def _checked(pairs: Pairs, vocabulary: MarianVocabulary) -> Pairs:
    for _, target in pairs if vocabulary.languages else ():
        vocabulary.language_piece(target)
    return pairs


def _named_pairs(tokenizer: Mapping[str, Any], vocabulary: MarianVocabulary) -> Pairs:
    source, target = (tokenizer.get(key) for key in ("source_lang", "target_lang"))
    targets: Sequence[Any] = vocabulary.languages or (target,)
    if not source or not all(targets):
        raise ConfigurationError(
            "the Marian model does not say which languages it translates: name them, --pairs en-fr"
        )
    return tuple((short_code(str(source)), short_code(str(target))) for target in targets)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    if (folder / WEIGHTS).exists():
        weights = _read_safetensors(folder / WEIGHTS)
    elif (folder / OLD_WEIGHTS).exists():
        weights = _read_pickled(folder / OLD_WEIGHTS)
    else:
        raise ConfigurationError(f"{folder} is not a Marian model: it has neither {WEIGHTS} nor {OLD_WEIGHTS}")
    return {name: weight.float() for name, weight in weights.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ConfigurationError(f"{path} is truncated or damaged: {error}") from error


def _read_pickled(path: Path) -> dict[str, Tensor]:
    """The one place that may open a pickled file: `weights_only` makes tensors and plain values, and runs no code."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, EOFError, RuntimeError, OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{path} is truncated, damaged or holds more than weights") from error
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise ConfigurationError(f"{path} does not hold weights by name: copy it again")
    return weights


def _card(folder: Path, name: str) -> str:
    original = folder / "README.md"
    text = original.read_text(encoding="utf-8", errors="replace") if original.is_file() else "It came without one.\n"
    return f"""# {name}

Imported by `dragoman models import-marian` from a Marian model. Data, licence and quality are those of the original.

## Card of the original

{text}"""
