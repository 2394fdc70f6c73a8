"""Checkpoints of small networks with random weights: another name, other weights, other translations."""

from collections.abc import Callable
from pathlib import Path

import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import END
from torch import nn

SENTENCES = (
    "The baker sells warm bread in the morning.",
    "Le boulanger vend du pain chaud le matin.",
    "My sister reads a long book near the window.",
    "Ma sœur lit un long livre près de la fenêtre.",
)
TinyCheckpoint = Callable[..., Path]


def tiny_vocabulary() -> SubwordVocabulary:
    return SubwordVocabulary.train(SENTENCES, 300)


def save_tiny(
    folder: Path, vocabulary: SubwordVocabulary, pair: tuple[str, str] = ("en", "fr"), *, is_stuck: bool = False
) -> Path:
    """A checkpoint called like its folder; its weights follow from that name.

    One that is stuck says one piece again and again, whatever it reads.
    """
    torch.manual_seed(sum(map(ord, folder.name)))
    shape = TransformerConfig(len(vocabulary), 16, 2, 32, 1, 1, max_positions=128)
    network = Transformer(shape).eval().requires_grad_(requires_grad=False)
    if is_stuck:
        assert isinstance(network.decoder_norm, nn.LayerNorm)
        longest = network.embedding.weight.norm(dim=1)[END + 1 :].argmax() + END + 1
        network.decoder_norm.weight.zero_()
        network.decoder_norm.bias.copy_(100 * network.embedding.weight[longest])
    save_checkpoint(Checkpoint(folder.name, (pair,), network, vocabulary, "# small\n"), folder)
    return folder
