"""A network of OPUS-MT's shape with random weights, and the forms in which peers read it. Knows no measuring."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.interchange.piece_names import piece_names
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from safetensors.torch import save_file
from torch import Tensor

OPUS_BASE = TransformerConfig(
    58_101,
    width=512,
    heads=8,
    feed_forward=2048,
    encoder_layers=6,
    decoder_layers=6,
    norm="post",
    positions="sinusoidal-halves",
    activation="swish",
    output_bias="learned",
)
# Runs everything in seconds; its figures mean nothing.
TINY = replace(OPUS_BASE, vocabulary_size=501, width=32, heads=2, feed_forward=64, encoder_layers=1, decoder_layers=1)
# A plane of Unicode with room for any vocabulary: each piece is named by a character of its own.
FIRST_CHARACTER = 0x20000
BIAS_DEVIATION = 0.02
# No peer may choose these; neither may ours. No other score is so low.
FORBIDDEN, NEVER = (PAD, UNKNOWN, BEGIN), -1e4
_COMMON = {
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.0": "fc1",
    "feed_forward.2": "fc2",
    "feed_forward_norm": "final_layer_norm",
}


def random_checkpoint(config: TransformerConfig) -> Checkpoint:
    """Seeded normal weights, scaled so that numbers keep their size from layer to layer."""
    torch.manual_seed(7)
    network = Transformer(config)
    generator = torch.Generator().manual_seed(11)
    for name, parameter in sorted(network.named_parameters()):
        if "norm" not in name:
            deviation = parameter.shape[1] ** -0.5 if parameter.ndim == 2 else BIAS_DEVIATION
            parameter.data.normal_(0, deviation, generator=generator)
    characters = "".join(chr(FIRST_CHARACTER + number) for number in range(config.vocabulary_size - END - 1))
    network.eval().requires_grad_(requires_grad=False)
    return Checkpoint("random", (("en", "fr"),), network, CharacterVocabulary(characters), "# random\n")


def write_vmap(checkpoint: Checkpoint, folder: Path, pieces: Sequence[int]) -> None:
    """Let the exported model in `folder` choose among `pieces` only, whatever the source.

    The form is CTranslate2's: source pieces, a tab, target pieces; what stands behind nothing may always come.
    """
    _, names = piece_names(checkpoint.vocabulary)
    line = "\t" + " ".join(names[piece] for piece in pieces)
    (folder / "vmap.txt").write_text(line + "\n", encoding="utf-8")


def write_marian(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the network as the MarianMTModel of `transformers`."""
    network = checkpoint.network
    assert isinstance(network, Transformer)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_marian_config(network.config)))
    weights = {name: tensor.contiguous().clone() for name, tensor in _marian_weights(network).items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _marian_config(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["MarianMTModel"], "model_type": "marian",
        "vocab_size": config.vocabulary_size, "decoder_vocab_size": config.vocabulary_size, "d_model": config.width,
        "encoder_layers": config.encoder_layers, "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.heads, "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.feed_forward, "decoder_ffn_dim": config.feed_forward,
        "activation_function": config.activation, "scale_embedding": True, "dropout": 0.0,
        "max_position_embeddings": config.max_positions, "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True, "pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END,
        "decoder_start_token_id": BEGIN, "forced_eos_token_id": None,
    }  # fmt: skip


def _marian_weights(network: Transformer) -> dict[str, Tensor]:
    parameters = network.state_dict()
    bias = parameters["output_bias"].clone()
    bias[list(FORBIDDEN)] = NEVER
    weights = {"model.shared.weight": parameters["embedding.weight"], "final_logits_bias": bias[None]}
    for side in ("encoder", "decoder"):
        weights[f"model.{side}.embed_positions.weight"] = network.get_buffer("positions")
        for number in range(len(getattr(network, side))):
            weights |= _marian_layer(parameters, f"{side}.{number}", f"model.{side}.layers.{number}")
    return weights


def _marian_layer(parameters: dict[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    attentions = {"attention": "self_attn"}
    norms = {**_COMMON}
    if ours.startswith("decoder"):
        attentions["cross"] = "encoder_attn"
        norms["cross_norm"] = "encoder_attn_layer_norm"
    weights = {}
    for kind in ("weight", "bias"):
        for part, name in norms.items():
            weights[f"{theirs}.{name}.{kind}"] = parameters[f"{ours}.{part}.{kind}"]
        for part, name in attentions.items():
            keys, values = parameters[f"{ours}.{part}.key_value.{kind}"].chunk(2)
            weights |= {
                f"{theirs}.{name}.q_proj.{kind}": parameters[f"{ours}.{part}.query.{kind}"],
                f"{theirs}.{name}.k_proj.{kind}": keys,
                f"{theirs}.{name}.v_proj.{kind}": values,
                f"{theirs}.{name}.out_proj.{kind}": parameters[f"{ours}.{part}.output.{kind}"],
            }
    return weights
