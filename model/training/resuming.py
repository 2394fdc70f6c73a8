"""What a resumed run takes from its state, and what must not have changed since. Knows configs and vocabularies."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigurationError
from ..architectures.catalog import build, describe
from ..vocabularies.catalog import load_vocabulary
from ..vocabularies.vocabulary import Vocabulary
from .config import TrainConfig
from .distributed import Processes
from .starting import Beginning
from .state import State, named

# What may change between two parts of a run: when it ends, how often it looks, where it runs, what is shipped with it.
FREE_TO_CHANGE = (
    "card",
    "output",
    "storage",
    "run.compile",
    "run.device",
    "run.evaluate_minutes",
    "run.evaluate_segments",
    "run.evaluate_steps",
    "run.max_epochs",
    "run.max_minutes",
    "run.max_steps",
    "run.patience",
    "run.save_minutes",
    "run.threads",
    "shortlist",
)


def unchanging_state(config: TrainConfig, beginning: Beginning, corpus: str) -> State:
    """What every state of a run holds beside what changes; `corpus` is the fingerprint of its pairs."""
    architecture, shape = describe(beginning.network)
    facts = {"config": config.model_dump(mode="json"), "corpus": corpus, "architecture": architecture, "shape": shape}
    return State(facts, named("vocabulary", vocabulary_tensors(beginning.vocabulary)))


def beginning_of(state: State) -> Beginning:
    """The network (its weights are not restored yet) and the vocabulary of a state."""
    vocabulary = vocabulary_from(state.part("vocabulary"))
    return Beginning(build(state.facts["architecture"], state.facts["shape"]), vocabulary)


def check_same_config(state: State, config: TrainConfig) -> None:
    """Raise `ConfigurationError`, naming the keys, if more than limits have changed."""
    before, now = _flat(state.facts["config"]), _flat(config.model_dump(mode="json"))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    held = [key for key in changed if not any(key == free or key.startswith(f"{free}.") for free in FREE_TO_CHANGE)]
    if held:
        raise ConfigurationError(
            f"the config has changed since the run began: {', '.join(held)}; put back what was there, or begin a new "
            "run in another --run-folder (only limits, output and card may change)"
        )


def check_same_circumstances(state: State, corpus: str, group: Processes) -> None:
    """Raise `ConfigurationError` if the corpus has changed, or if another number of processes goes on."""
    if state.facts["corpus"] != corpus:
        raise ConfigurationError(
            "the corpus has changed since the run began: put back the files that were there, or begin a new run in "
            "another --run-folder"
        )
    count = len(state.facts["processes"])
    if count != group.count:
        raise ConfigurationError(
            f"the run was made by {count} processes, not {group.count}: go on with torchrun --nproc-per-node {count}"
        )


def vocabulary_tensors(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """The files of a vocabulary as tensors of bytes, by "kind/file"."""
    return {
        f"{vocabulary.kind}/{name}": torch.frombuffer(bytearray(content), dtype=torch.uint8)
        for name, content in vocabulary.files().items()
    }


def vocabulary_from(tensors: Mapping[str, Tensor]) -> Vocabulary:
    """The vocabulary that `vocabulary_tensors` gave."""
    kinds = {name.split("/", 1)[0] for name in tensors}
    files = {name.split("/", 1)[1]: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return load_vocabulary(kinds.pop() if kinds else "", files)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
