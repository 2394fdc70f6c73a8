"""Builds a network whose weights are yet to come, without computing any. Knows the catalog of architectures.

Not on PyTorch's meta device: arithmetic there imports half of its compiler, 1.8 s of a start.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

from .architectures.catalog import build
from .architectures.network import Network

# What random initialisation comes down to where it does not go through the functions of `torch.nn.init`.
_FILLS = frozenset({"normal_", "uniform_"})


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves tensors as they are where they should be filled; most of their memory is never touched."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or getattr(func, "__name__", "") in _FILLS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def build_weightless(architecture: str, shape: Mapping[str, Any]) -> Network:
    """A network on the CPU with nothing in its weights: give it some by `load_state_dict(..., assign=True)`.

    Raises `ConfigurationError` for an unknown name or an impossible shape.
    """
    with _WithoutInitialisation():
        return build(architecture, shape)
