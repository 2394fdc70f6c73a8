"""Which weight of `transformers`' MarianMTModel is which parameter of our Transformer. Knows names and shapes only."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...errors import ConfigurationError
from ..architectures.positions import sinusoids_in_halves
from ..architectures.transformer import Transformer
from ..vocabularies.vocabulary import BEGIN
from .marian_pieces import MarianPieces

# BEGIN repeats the row of the piece that Marian begins with, which is among the scores already: this bias keeps it
# from being counted twice. No other score is so low, and a 16-bit float can hold it.
NEVER = -1e4
_ATTENTION = {"query": ("q_proj",), "key_value": ("k_proj", "v_proj"), "output": ("out_proj",)}
_COMMON_PARTS = {
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.0": "fc1",
    "feed_forward.2": "fc2",
    "feed_forward_norm": "final_layer_norm",
}
_SHARED, _OUTPUT = "model.shared.weight", "lm_head.weight"
_SOURCE, _TARGET = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
_LOGITS_BIAS = "final_logits_bias"
_POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
_NOT_IN_LAYERS = {_SHARED, _OUTPUT, _SOURCE, _TARGET, _LOGITS_BIAS, *_POSITIONS}
# Stored codes of positions are ours but for rounding: some files hold 16-bit floats.
POSITION_TOLERANCE = 2e-3


def fill(network: Transformer, weights: Mapping[str, Tensor], pieces: MarianPieces) -> None:
    """Give `network` the `weights`; raises `ConfigurationError` naming one that is missing, left over or misshapen."""
    parts = dict(_layer_parts(network))
    unknown = {*weights} - _NOT_IN_LAYERS - {name for names in parts.values() for name in names}
    if unknown:
        raise ConfigurationError(
            f"the Marian model has weights that no network of ours has: {', '.join(sorted(unknown))}"
        )
    _check_positions(weights)
    shapes = {name: parameter.shape for name, parameter in network.state_dict().items()}
    filled = {ours: _stacked(weights, names, shapes[ours]) for ours, names in parts.items()}
    network.load_state_dict(filled | _matrices(network, weights, pieces))


def _stacked(weights: Mapping[str, Tensor], names: Sequence[str], shape: Sequence[int]) -> Tensor:
    """The weights of `names` one below the other, each with its share of the rows in `shape`."""
    rows = shape[0] // len(names)
    return torch.cat([_find(weights, (name,), (rows, *shape[1:])) for name in names])


def _find(weights: Mapping[str, Tensor], names: Sequence[str], shape: Sequence[int]) -> Tensor:
    """The first of `names` that is there."""
    name = next((name for name in names if name in weights), None)
    if name is None:
        raise ConfigurationError(f"the Marian model lacks the weight {names[0]}: copy its files again")
    if [*weights[name].shape] != [*shape]:
        raise ConfigurationError(
            f"the weight {name} has the shape {[*weights[name].shape]}, by config.json it must have {[*shape]}: "
            "take both from one model"
        )
    return weights[name]


def _check_positions(weights: Mapping[str, Tensor]) -> None:
    for name in _POSITIONS:
        codes = weights.get(name)
        if codes is not None and not _are_computed(codes):
            raise ConfigurationError(
                f"{name} does not hold sine and cosine codes: learned positions cannot be imported"
            )


def _are_computed(codes: Tensor) -> bool:
    return codes.dim() == 2 and torch.allclose(codes, sinusoids_in_halves(*codes.shape), atol=POSITION_TOLERANCE)


def _layer_parts(network: Transformer) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(Our parameter, names of the weights that are stacked in it)."""
    sides = (
        ("encoder", len(network.encoder), ("attention",)),
        ("decoder", len(network.decoder), ("attention", "cross")),
    )
    for side, layers, attentions in sides:
        for number in range(layers):
            for ours, theirs in _parts_of_layer(attentions):
                for kind in ("weight", "bias"):
                    names = tuple(f"model.{side}.layers.{number}.{name}.{kind}" for name in theirs)
                    yield f"{side}.{number}.{ours}.{kind}", names


def _parts_of_layer(attentions: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for attention in attentions:
        scope = "self_attn" if attention == "attention" else "encoder_attn"
        for ours, theirs in _ATTENTION.items():
            yield f"{attention}.{ours}", tuple(f"{scope}.{name}" for name in theirs)
    for ours, name in _COMMON_PARTS.items():
        yield ours, (name,)
    if "cross" in attentions:
        yield "cross_norm", ("encoder_attn_layer_norm",)


def _matrices(network: Transformer, weights: Mapping[str, Tensor], pieces: MarianPieces) -> dict[str, Tensor]:
    target, width = list(pieces.target_numbers), network.config.width
    # Each number occurs once, but for that of BEGIN, which is another piece's too.
    size = len({*target})
    bias = weights.get(_LOGITS_BIAS, torch.zeros(1, size))
    bias = _find({_LOGITS_BIAS: bias}, (_LOGITS_BIAS,), (1, size))[0, target]
    bias[BEGIN] = NEVER
    if network.config.embeddings == "tied":
        shared = _find(weights, (_SHARED, _TARGET, _SOURCE, _OUTPUT), (size, width))
        return {"embedding.weight": shared[target], "output_bias": bias}
    source = list(pieces.source_numbers)
    matrices = {
        "embedding.weight": _find(weights, (_TARGET, _SHARED), (size, width))[target],
        "source_embedding.weight": _find(weights, (_SOURCE, _SHARED), (len({*source}), width))[source],
        "output_bias": bias,
    }
    if network.output is not None:
        matrices["output.weight"] = _find(weights, (_OUTPUT,), (size, width))[target]
    return matrices
