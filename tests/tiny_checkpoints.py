"""Checkpoints of small networks with random weights: another name, other weights, other translations."""

from collections.abc import Callable
from pathlib import Path

import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.vocabularies.subwords import SubwordVocabulary

SENTENCES = (
    "The baker sells warm bread in the morning.",
    "Le boulanger vend du pain chaud le matin.",
    "My sister reads a long book near the window.",
    "Ma sœur lit un long livre près de la fenêtre.",
)
TinyCheckpoint = Callable[..., Path]


def tiny_vocabulary() -> SubwordVocabulary:
    return SubwordVocabulary.train(SENTENCES, 300)


def save_tiny(folder: Path, vocabulary: SubwordVocabulary, pair: tuple[str, str] = ("en", "fr")) -> Path:
    """A checkpoint called like its folder; its weights follow from that name."""
    torch.manual_seed(sum(map(ord, folder.name)))
    shape = TransformerConfig(len(vocabulary), 16, 2, 32, 1, 1, max_positions=128)
    network = Transformer(shape).eval().requires_grad_(requires_grad=False)
    save_checkpoint(Checkpoint(folder.name, (pair,), network, vocabulary, "# small\n"), folder)
    return folder
