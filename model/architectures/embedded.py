"""What architectures with embeddings share: a matrix row for each piece, and which of the matrices are one.

Knows tensors only. Letters: D width, V vocabulary.
"""

from abc import ABC
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vocabularies.vocabulary import PAD
from .network import Network

# Which matrices are one (Press and Wolf 2017, arXiv:1608.05859). "tied": source, target and output; "tied-inputs":
# source and target, the output has its own; "tied-target": target and output, the source has its own; "separate": none.
Embeddings = Literal["tied", "tied-inputs", "tied-target", "separate"]
OWN_SOURCE: tuple[Embeddings, ...] = ("tied-target", "separate")
OWN_OUTPUT: tuple[Embeddings, ...] = ("tied-inputs", "separate")


@dataclass(frozen=True, slots=True)
class EmbeddingShape:
    """The matrices of a network: their sizes in pieces, their width, which are one, whether the output has a bias."""

    vocabulary_size: int
    source_vocabulary_size: int | None
    width: int
    embeddings: Embeddings
    output_bias: Literal["none", "learned"]

    def __post_init__(self) -> None:
        if self.source_vocabulary_size not in (None, self.vocabulary_size) and self.embeddings not in OWN_SOURCE:
            raise ValueError(
                f"a source vocabulary of {self.source_vocabulary_size} pieces and a target vocabulary of "
                f"{self.vocabulary_size} cannot share a matrix: take embeddings {' or '.join(OWN_SOURCE)}"
            )


class EmbeddedNetwork(Network, ABC):
    """A network whose pieces are rows of matrices: `embedding` of the target, and of what is tied to it."""

    source_embedding: nn.Embedding | None
    output: nn.Linear | None
    output_bias: nn.Parameter | None

    def __init__(self, shape: EmbeddingShape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary_size, shape.width, padding_idx=PAD)
        self.source_embedding = None
        self.output = None
        self.output_bias = None
        if shape.embeddings in OWN_SOURCE:
            source_size = shape.source_vocabulary_size or shape.vocabulary_size
            self.source_embedding = nn.Embedding(source_size, shape.width, padding_idx=PAD)
        if shape.embeddings in OWN_OUTPUT:
            self.output = nn.Linear(shape.width, shape.vocabulary_size, bias=False)
        if shape.output_bias == "learned":
            self.output_bias = nn.Parameter(torch.zeros(shape.vocabulary_size))

    @property
    def embedding_of_source(self) -> nn.Embedding:
        """The matrix (V, D) of the source, the target's own where they are one."""
        return self.source_embedding or self.embedding

    @property
    def output_weight(self) -> Tensor:
        """The matrix (V, D) that scores the pieces, the target's own where they are one."""
        return self.embedding.weight if self.output is None else self.output.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Decoder output (..., D) -> scores of every piece (..., V)."""
        return F.linear(hidden, self.output_weight, self.output_bias)

    def initialise_embeddings(self) -> None:
        """Normal with deviation D**-0.5, as fairseq's Transformer: scores begin near 0; padding is 0."""
        for embedding in (self.embedding, self.source_embedding):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=embedding.embedding_dim**-0.5)
                with torch.no_grad():
                    embedding.weight[PAD].zero_()
