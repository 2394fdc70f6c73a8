"""Which engine runs a checkpoint. Knows the engines by name; imports each only when it is chosen."""

from dataclasses import replace
from typing import Literal

import structlog
import torch

from ...errors import ConfigurationError
from ..architectures.transformer import Transformer
from ..checkpoint import Checkpoint
from ..memory import keep_freed_memory
from .engine import Engine
from .limits import EngineLimits

EngineName = Literal["auto", "native", "torch", "ctranslate2", "reference"]
Precision = Literal["auto", "float32", "bfloat16", "float16", "int8", "int8-exact"]
log = structlog.get_logger(__name__)

# Networks of less width have exact sums unless they are asked for others.
NARROW = 64
# The first is what "auto" takes.
PRECISIONS: dict[str, tuple[str, ...]] = {
    "native": ("int8", "int8-exact", "float32"),
    "torch": ("bfloat16", "float16", "float32"),
    "ctranslate2": ("int8", "float16", "float32"),
    "reference": ("float32",),
}


def choose_engine(
    checkpoint: Checkpoint, device: torch.device, wanted: tuple[EngineName, Precision], limits: EngineLimits
) -> Engine | None:
    """The engine for a checkpoint on a device; None is the reference: plain PyTorch, one padded batch at a time.

    "auto" takes `native` for a Transformer on the CPU, `torch` on CUDA, the reference for other architectures and
    where there is no C compiler. Raises `ConfigurationError` for an engine that cannot run this checkpoint, device or
    precision.
    """
    name, precision = wanted
    if name not in ("auto", *PRECISIONS):
        raise ConfigurationError(f"there is no engine {name!r}: take {', '.join(PRECISIONS)}, or auto")
    automatic = name == "auto"
    chosen = _automatic(checkpoint, device) if automatic else name
    if automatic and precision not in ("auto", *PRECISIONS[chosen]):
        raise ConfigurationError(
            f"on {device} the precision {precision} is not to be had: take {', '.join(PRECISIONS[chosen])}"
        )
    if precision not in ("auto", *PRECISIONS[chosen]):
        raise ConfigurationError(
            f"the engine {chosen} has no precision {precision}: take {', '.join(PRECISIONS[chosen])}"
        )
    if chosen != "native" or not automatic:
        return _engine(chosen, checkpoint, device, (precision, limits))
    try:
        return _engine(chosen, checkpoint, device, (precision, limits))
    except ConfigurationError as error:
        # Slower, and the same translations.
        log.warning("native_engine_unavailable", reason=str(error))
        return None


def _automatic(checkpoint: Checkpoint, device: torch.device) -> str:
    if not isinstance(checkpoint.network, Transformer):
        return "reference"
    return "torch" if device.type == "cuda" else "native"


def _engine(
    name: str, checkpoint: Checkpoint, device: torch.device, how: tuple[Precision, EngineLimits]
) -> Engine | None:
    precision, limits = how
    if name == "reference":
        return None
    taken = _automatic_precision(name, checkpoint) if precision == "auto" else precision
    match name:
        case "native":
            return _native(checkpoint, device, taken, limits)
        case "torch":
            return _torch(checkpoint, device, taken, limits)
        case _:
            from .ctranslate2 import CTranslate2Engine

            return CTranslate2Engine(checkpoint, device, taken, limits)  # type: ignore[arg-type]


def _automatic_precision(name: str, checkpoint: Checkpoint) -> str:
    # Rows of 7 bits are too coarse where few products add up: log-probabilities were up to 0.7 apart.
    if name == "native" and checkpoint.network.config.width < NARROW:
        return "int8-exact"
    return PRECISIONS[name][0]


def _native(checkpoint: Checkpoint, device: torch.device, precision: str, limits: EngineLimits) -> Engine:
    from .continuous import ContinuousEngine
    from .native_core import NativeCore
    from .turns import turns_on

    if device.type != "cpu":
        raise ConfigurationError(f"the native engine computes on the CPU, not on {device}: take the engine torch")
    keep_freed_memory()
    core = NativeCore(checkpoint.network, precision, limits.threads or torch.get_num_threads())  # type: ignore[arg-type]
    return ContinuousEngine(core, turns_on("cpu"), limits)


def _torch(checkpoint: Checkpoint, device: torch.device, precision: str, limits: EngineLimits) -> Engine:
    from .device.settings import DeviceSettings
    from .torch_engine import TorchEngine
    from .turns import turns_on

    suited = DeviceSettings.of(device, precision)  # type: ignore[arg-type]
    bounds = limits.suited(suited.rows, suited.cache_bytes)
    settings = replace(
        suited,
        rows=bounds.rows,
        cache_bytes=bounds.cache_bytes,
        waiting_segments=bounds.waiting,
        shapes=bounds.shapes,
    )
    # cuda is cuda:0.
    place = "cpu" if device.type == "cpu" else f"{device.type}:{device.index or 0}"
    return TorchEngine(checkpoint.network, device, settings, turns_on(place))
