"""A shipped model made as large as OPUS-MT's base models, without changing what it says. Knows no measuring.

As wide and deep as those, with its own vocabulary: every feature and head stands twice, and layers are added that pass
on what they get (Chen et al. 2016, "Net2Net", arXiv:1511.05641). So it takes a large model's time for translations of
real lengths, which no random weights give.
"""

from dataclasses import replace
from pathlib import Path

import torch
from dragoman.model.architectures.positions import sinusoids
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import load_checkpoint, save_checkpoint
from torch import Tensor

LAYERS = 6


def widen(checkpoint_folder: Path, output: Path) -> None:
    """Write the checkpoint, a pre-norm Transformer with tied embeddings, twice as wide and with six layers a side."""
    checkpoint = load_checkpoint(checkpoint_folder, torch.device("cpu"))
    small = checkpoint.network
    assert isinstance(small, Transformer)
    assert (small.config.norm, small.config.positions, small.config.embeddings) == ("pre", "sinusoidal", "tied")
    config = replace(
        small.config,
        width=2 * small.config.width,
        heads=2 * small.config.heads,
        feed_forward=2 * small.config.feed_forward,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        positions="learned",  # those of the small width, twice: the formula has others for the large one
    )
    large = Transformer(config)
    weights = {name: torch.zeros_like(tensor) for name, tensor in large.state_dict().items()}
    for name, tensor in small.state_dict().items():
        weights[name] = _twice(name, tensor)
    for name, tensor in weights.items():
        if name.endswith("norm.weight") and not tensor.any():
            tensor.fill_(1)
    codes = sinusoids(small.config.max_positions, small.config.width)
    weights["encoder_positions"] = weights["decoder_positions"] = codes.repeat(1, 2)
    large.load_state_dict(weights)
    large.eval().requires_grad_(requires_grad=False)
    save_checkpoint(replace(checkpoint, name="widened", network=large), output, "float32")


def _twice(name: str, tensor: Tensor) -> Tensor:
    """Each output twice; each input twice and with half the weight."""
    if name == "embedding.weight":
        # The network multiplies by the root of its width, which has grown by the root of two.
        return tensor.repeat(1, 2) / 2**0.5
    if "key_value" in name:
        return torch.cat([_twice("", half) for half in tensor.chunk(2)])
    return tensor.repeat(2, 2) / 2 if tensor.ndim == 2 else tensor.repeat(2)
