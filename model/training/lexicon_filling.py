"""Gives a network that has a lexicon what the corpus says. Knows streams of pairs, a vocabulary and the lexicon."""

from collections.abc import Callable

import torch

from ..architectures.network import Network
from ..architectures.recurrent import RecurrentNetwork
from .encoding import EncodedPairs
from .lexicon import learn_lexicon

# Passes of expectation maximisation, as for shortlists.
ITERATIONS = 5


def fill_lexicon(network: Network, sample: Callable[[], EncodedPairs]) -> None:
    """Set p(target piece | source piece) in a network that asks for it; `sample` gives the pairs to learn them from.

    The same pairs give the same lexicon, so a resumed run and every process of a run have the same one.
    """
    if not isinstance(network, RecurrentNetwork) or network.lexicon is None:
        return
    learned = learn_lexicon(sample(), network.lexicon.shape[1], ITERATIONS)
    sources, targets = (torch.from_numpy(part).long() for part in (learned.sources, learned.targets))
    network.lexicon.zero_()
    network.lexicon[sources, targets] = torch.from_numpy(learned.probabilities).to(network.lexicon)
