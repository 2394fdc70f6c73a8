"""From the averaged network of a run to a checkpoint with its card. Knows development sets and checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..architectures.network import Network
from ..checkpoint import Checkpoint, save_checkpoint
from ..model_card import CardFacts, model_card
from ..shortlist import Shortlist
from ..translator import Translator
from ..vocabularies.vocabulary import Vocabulary
from .config import TrainConfig
from .development import FINAL, WATCHING, DevQuality, DevSet, check_dev_sets, measured, sampled
from .precision import chosen_precision, hardware
from .trainer import Trainer


@dataclass(frozen=True, slots=True)
class Goods:
    """What goes into the checkpoint beside the weights: vocabulary, report of the corpus, shortlist; and where it goes.

    `learn_shortlist` is called before the first saving; it gives None where none is wanted.
    """

    vocabulary: Vocabulary
    corpus: tuple[str, ...]
    learn_shortlist: Callable[[], Shortlist | None]
    output: Path


class Shipping:
    """Measures and saves the averaged network of a trainer."""

    def __init__(self, config: TrainConfig, trainer: Trainer, dev_sets: list[DevSet], goods: Goods) -> None:
        self._config = config
        self._trainer = trainer
        self._dev_sets = dev_sets
        self._samples = sampled(dev_sets, config.run.evaluate_segments)
        self._goods = goods

    def check(self) -> None:
        """Refuse at once development sets that the network could not translate at the end."""
        check_dev_sets(self._translator(), self._dev_sets)

    def measure_samples(self) -> tuple[DevQuality, ...]:
        """Scores of a sample of each set, greedily: quick."""
        return measured(self._translator(), self._samples, WATCHING)

    def measure_all(self) -> tuple[DevQuality, ...]:
        """Scores of the whole sets, by beam search."""
        return measured(self._translator(), self._dev_sets, FINAL)

    def save(self, qualities: tuple[DevQuality, ...], run: str) -> None:
        """Replace the checkpoint by the averaged network; `run` says how it went."""
        facts = CardFacts(
            corpus=self._goods.corpus,
            run=f"{run}, {chosen_precision(self._config.run.precision, self._trainer.device)}",
            hardware=hardware(self._trainer.device, self._trainer.processes.count),
            qualities=qualities,
        )
        card = model_card(self._config, self._trainer.average.network, facts)
        shipped = replace(self._checkpoint(card), shortlist=self._shortlist)
        save_checkpoint(shipped, self._goods.output, self._config.storage)

    @cached_property
    def _shortlist(self) -> Shortlist | None:
        return self._goods.learn_shortlist()

    def _translator(self) -> Translator:
        return Translator(self._checkpoint(""), self._trainer.device)

    def _checkpoint(self, card: str) -> Checkpoint:
        network: Network = self._trainer.average.network
        return Checkpoint(self._config.name, self._config.directions, network, self._goods.vocabulary, card)
