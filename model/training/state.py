"""Everything a run needs to go on as if it had never stopped, as one file. Knows bytes and files, no training.

`state.safetensors` holds tensors by name and, in its header, facts as JSON. One file is replaced by one rename, so
whatever kills the process, an old or a new state is there, whole.
"""

import base64
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ...errors import ConfigurationError, DragomanError
from ..replacement import flush, replacing_file

STATE = "state.safetensors"
FORMAT_VERSION = 1


class StateError(DragomanError):
    """The state of a run cannot be written; the one before is still there."""


@dataclass(frozen=True, slots=True)
class State:
    """Tensors by name ("network/...", "optimiser/0/3/exp_avg") and facts that JSON can say."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with `prefix/`, without it."""
        return {
            name.removeprefix(f"{prefix}/"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}/")
        }


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with `prefix/` before their names; `State.part` undoes it."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def has_state(folder: Path) -> bool:
    """Whether a run in `folder` could be resumed."""
    return (folder / STATE).is_file()


def save_state(state: State, folder: Path) -> None:
    """Replace the state in `folder` as a whole or not at all; raises `StateError` when the disk refuses."""
    facts = json.dumps({"format_version": FORMAT_VERSION} | state.facts)
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing_file(folder / STATE) as fresh:
            safetensors.torch.save_file(tensors, fresh, {"facts": facts})
            # The library makes files that only their owner may read.
            fresh.chmod(0o666 & ~_umask())
        flush(folder)  # so that the rename itself survives a power cut
    except (OSError, safetensors.SafetensorError) as error:
        raise StateError(
            f"the state of the run cannot be written to {folder}, the one before is untouched: {error}"
        ) from error


def load_state(folder: Path) -> State:
    """Read the state in `folder`; raises `ConfigurationError` if there is none or it is damaged."""
    path = folder / STATE
    if not path.is_file():
        raise ConfigurationError(f"{folder} holds no state to resume: leave out --resume, or name another --run-folder")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{path} is damaged: remove it and start afresh ({error})") from error
    if facts.get("format_version") != FORMAT_VERSION:
        raise ConfigurationError(
            f"{path} has format version {facts.get('format_version')}, this version of Dragoman reads {FORMAT_VERSION}"
        )
    return State(facts, tensors)


def random_state(device: torch.device) -> dict[str, Any]:
    """The random number generators of this process, as JSON can say it."""
    return {
        "python": random.getstate(),
        "cpu": _as_text(torch.get_rng_state()),
        "cuda": _as_text(torch.cuda.get_rng_state(device)) if device.type == "cuda" else None,
    }


def restore_random_state(stored: Mapping[str, Any], device: torch.device) -> None:
    """Put the generators back to where `random_state` saw them."""
    version, numbers, gauss = stored["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(_as_tensor(stored["cpu"]))
    if device.type == "cuda" and stored["cuda"]:
        torch.cuda.set_rng_state(_as_tensor(stored["cuda"]), device)


def _as_text(generator: Tensor) -> str:
    return base64.b64encode(generator.cpu().numpy().tobytes()).decode()


def _as_tensor(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask
