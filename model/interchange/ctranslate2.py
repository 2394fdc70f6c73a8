"""Writes a checkpoint as a model of CTranslate2, the C++ engine (https://github.com/OpenNMT/CTranslate2).

Only the "transformer" architecture: CTranslate2 says no recurrent network. Knows the parameters of our Transformer
and the names that CTranslate2's specification gives them; nothing of decoding.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from ctranslate2.specs import common_spec, transformer_spec
from torch import Tensor, nn

from ...errors import ConfigurationError
from ..architectures.attention import Attention
from ..architectures.transformer import Transformer, TransformerConfig
from ..architectures.transformer_layers import FeedForward
from ..checkpoint import Checkpoint
from ..replacement import replacing
from ..vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from .piece_names import SPECIAL_PIECES, piece_names

Quantization = Literal["float32", "float16", "int8"]
ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "swish": common_spec.Activation.SWISH,
}
# Our search never takes these pieces; the exported model must not either, whatever options it runs with.
FORBIDDEN = [PAD, UNKNOWN, BEGIN]
# The bias that sees to it: no other score is so low, and a 16-bit float can hold it.
NEVER = -1e4


def export_ctranslate2(checkpoint: Checkpoint, folder: Path, quantization: Quantization = "float32") -> None:
    """Write `folder`: weights, config, the pieces in their order, and the files that cut text into pieces.

    A source for it is [language piece, if the vocabulary has them] + pieces, by name; CTranslate2 adds END. Raises
    `ConfigurationError` for a network that CTranslate2 cannot run, and for a folder that is not empty.
    """
    folder = folder.resolve()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigurationError(f"{folder} exists already: remove it, or name another folder")
    spec = _spec(checkpoint)
    spec.validate()
    spec.optimize(quantization)
    try:
        with replacing(folder, folder.with_name(f".{folder.name}-replaced")) as fresh:
            spec.save(str(fresh))
            for name, content in checkpoint.vocabulary.files().items():
                (fresh / name).write_bytes(content)
            (fresh / "README.md").write_text(checkpoint.card, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the CTranslate2 model {folder} cannot be written: {error}") from error


def _spec(checkpoint: Checkpoint) -> Any:
    network = checkpoint.network
    if not isinstance(network, Transformer):
        raise ConfigurationError(
            f"CTranslate2 runs only the architecture transformer, {checkpoint.name} is a {type(network).__name__}"
        )
    spec = _empty_spec(network.config)
    source, target = piece_names(checkpoint.vocabulary)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.unk_token, spec.config.eos_token = SPECIAL_PIECES[UNKNOWN], SPECIAL_PIECES[END]
    spec.config.bos_token = spec.config.decoder_start_token = SPECIAL_PIECES[BEGIN]
    spec.config.add_source_eos = True
    with torch.no_grad():
        _fill_encoder(spec.encoder, network)
        _fill_decoder(spec.decoder, network)
    return spec


def _empty_spec(config: TransformerConfig) -> Any:
    options: dict[str, Any] = {
        "pre_norm": config.norm == "pre",
        "activation": ACTIVATIONS[config.activation],
        "layernorm_embedding": config.embedding_norm == "layer",
    }
    if config.positions == "rotary":
        # 0: the whole head turns; neighbouring features are a pair.
        options |= {"rotary_dim": 0, "rotary_interleave": True}
    encoder = transformer_spec.TransformerEncoderSpec(config.encoder_layers, config.encoder_layer.heads, **options)
    decoder = transformer_spec.TransformerDecoderSpec(config.decoder_layers, config.decoder_layer.heads, **options)
    return transformer_spec.TransformerSpec(encoder, decoder)


def _fill_encoder(spec: Any, network: Transformer) -> None:
    spec.embeddings[0].weight = _stored(network.embedding_of_source.weight)
    spec.scale_embeddings = network.scale
    _set_positions(spec, network, network.encoder_positions)
    layers: list[Any] = [*network.encoder]
    for layer_spec, layer in zip(spec.layer, layers, strict=True):
        _set_self_attention(layer_spec.self_attention, layer.attention, layer.attention_norm)
        _set_feed_forward(layer_spec.ffn, layer.feed_forward, layer.feed_forward_norm)
    _set_outer_norms(spec, network.encoder_norm, network.encoder_embedding_norm)


def _fill_decoder(spec: Any, network: Transformer) -> None:
    spec.embeddings.weight = _stored(network.embedding.weight)
    spec.scale_embeddings = network.scale
    _set_positions(spec, network, network.decoder_positions)
    layers: list[Any] = [*network.decoder]
    for layer_spec, layer in zip(spec.layer, layers, strict=True):
        _set_self_attention(layer_spec.self_attention, layer.attention, layer.attention_norm)
        _set_cross_attention(layer_spec.attention, layer.cross, layer.cross_norm)
        _set_feed_forward(layer_spec.ffn, layer.feed_forward, layer.feed_forward_norm)
    _set_outer_norms(spec, network.decoder_norm, network.decoder_embedding_norm)
    bias = torch.zeros(network.config.vocabulary_size) if network.output_bias is None else _stored(network.output_bias)
    bias[FORBIDDEN] = NEVER
    spec.projection.weight, spec.projection.bias = _stored(network.output_weight), bias


def _set_positions(spec: Any, network: Transformer, learned: Tensor | None) -> None:
    codes = network.positions if learned is None else learned
    if codes is not None and network.config.positions != "rotary":
        spec.position_encodings.encodings = _stored(codes)


def _set_outer_norms(spec: Any, last: nn.Module, embedding: nn.Module) -> None:
    for name, norm in (("layer_norm", last), ("layernorm_embedding", embedding)):
        if isinstance(norm, nn.LayerNorm):
            _set_norm(getattr(spec, name), norm)


def _set_self_attention(spec: Any, attention: Attention, norm: nn.LayerNorm) -> None:
    query, key_value = attention.query, attention.key_value
    spec.linear[0].weight = torch.cat([_stored(query.weight), _stored(key_value.weight)])
    spec.linear[0].bias = torch.cat([_stored(query.bias), _stored(key_value.bias)])
    _set_linear(spec.linear[1], attention.output)
    _set_norm(spec.layer_norm, norm)


def _set_cross_attention(spec: Any, attention: Attention, norm: nn.LayerNorm) -> None:
    for linear_spec, linear in zip(spec.linear, (attention.query, attention.key_value, attention.output), strict=True):
        _set_linear(linear_spec, linear)
    _set_norm(spec.layer_norm, norm)


def _set_feed_forward(spec: Any, feed_forward: FeedForward, norm: nn.LayerNorm) -> None:
    _set_linear(spec.linear_0, feed_forward[0])
    _set_linear(spec.linear_1, feed_forward[2])
    _set_norm(spec.layer_norm, norm)


def _set_linear(spec: Any, linear: Any) -> None:
    spec.weight, spec.bias = _stored(linear.weight), _stored(linear.bias)


def _set_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _stored(norm.weight), _stored(norm.bias)


def _stored(weight: Tensor) -> Tensor:
    """A copy: CTranslate2 scales weights in place when it stores them as 8-bit integers."""
    return weight.detach().float().cpu().clone()
