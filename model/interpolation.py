"""Weights between those of a model and of the same model trained further. Knows checkpoints; measures nothing.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (arXiv:2109.01903): what further training on some data
wins stays for the most part, and what it lost elsewhere comes back.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .architectures.catalog import describe
from .checkpoint import Checkpoint


@torch.no_grad()
def between(first: Checkpoint, second: Checkpoint, share: float) -> Checkpoint:
    """`share` of each weight of `first` and the rest of `second`, with the name, pairs and shortlist of `first`.

    The network of `first` is changed. Raises `ConfigurationError` where one is not the other trained further: another
    shape, another vocabulary.
    """
    _require_same_kind(first, second)
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    mixed = {name: _mixed(ours[name], tensor, share) for name, tensor in theirs.items()}
    first.network.load_state_dict(mixed)
    said = (
        f"Each weight is {share:g} of that of {first.version}, whose card this is, and {1 - share:g} of that of "
        f"{second.version}: measure again with `dragoman evaluate`."
    )
    card = f"{first.card.rstrip()}\n\n## Average\n\n{said}\n"
    return replace(first, card=card, sha256="")


def _mixed(ours: Tensor, theirs: Tensor, share: float) -> Tensor:
    return torch.lerp(theirs, ours, share) if theirs.is_floating_point() else theirs


def _shape(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """Dropout changes no weight."""
    architecture, shape = describe(checkpoint.network)
    return architecture, {name: value for name, value in shape.items() if name != "dropout"}


def _require_same_kind(first: Checkpoint, second: Checkpoint) -> None:
    if _shape(first) != _shape(second):
        raise ConfigurationError(
            f"{first.version} and {second.version} are not of one shape: only a model and the same model trained "
            "further have an average (`dragoman models show` says their shapes)"
        )
    if first.vocabulary.files() != second.vocabulary.files():
        raise ConfigurationError(f"{first.version} and {second.version} have different vocabularies, so no average")
