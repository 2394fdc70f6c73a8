"""The catalog: every architecture by name.

To add one, write its file, with a frozen dataclass of its shape and a `Network` made from it, and its line here:

    "my-architecture": (MyConfig, MyNetwork),

`dragoman train` then takes `architecture = "my-architecture"`, checkpoints hold it, and every way of decoding works
with it. The contract every architecture keeps is tests/unit/model/architectures/test_architecture_contract.py: a line
with a small shape there runs it.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ...errors import ConfigurationError
from .character_lstm import CharacterLstm, CharacterLstmConfig
from .network import Network, NetworkConfig
from .recurrent import RecurrentConfig, RecurrentNetwork
from .transformer import Transformer, TransformerConfig

# name -> (shape, network)
ARCHITECTURES: dict[str, tuple[type[Any], type[Network]]] = {
    "transformer": (TransformerConfig, Transformer),
    "recurrent": (RecurrentConfig, RecurrentNetwork),
    "character-lstm": (CharacterLstmConfig, CharacterLstm),
}


def build(architecture: str, shape: Mapping[str, Any]) -> Network:
    """A freshly initialised network; raises `ConfigurationError` for an unknown name or an impossible shape."""
    try:
        config = shaped(architecture, shape)
        return ARCHITECTURES[architecture][1](config)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    except (MemoryError, OverflowError, RuntimeError, TypeError) as error:
        # Torch has an error of its own for each way of being too large, some of them a page long.
        raise ConfigurationError(
            f"a network of this shape does not fit into memory: lower {_largest_number(shape)}"
        ) from error


def shaped(architecture: str, shape: Mapping[str, Any]) -> NetworkConfig:
    """The shape of an architecture; raises `ValueError` for an unknown name or field, or an impossible shape."""
    if architecture not in ARCHITECTURES:
        raise ValueError(f"there is no architecture {architecture!r}: take one of {', '.join(ARCHITECTURES)}")
    make_shape = ARCHITECTURES[architecture][0]
    try:
        _check_fields(make_shape, shape)
        config: NetworkConfig = make_shape(**shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not a shape of the architecture {architecture}: {error}") from error
    return config


def describe(network: Network) -> tuple[str, dict[str, Any]]:
    """Name and shape of a network: what `build` makes it from."""
    for name, (_, make_network) in ARCHITECTURES.items():
        if type(network) is make_network:
            return name, asdict(network.config)
    raise ConfigurationError(f"{type(network).__name__} is not in the catalog")


def _check_fields(make_shape: type[Any], shape: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(make_shape)]
    unknown = [name for name in shape if name not in known]
    if unknown:
        # The sizes are the vocabulary's: nobody chooses them here.
        free = [name for name in known if not name.endswith("vocabulary_size")]
        raise ValueError(f"it has no field {', '.join(unknown)}, only {', '.join(free)}")


def _largest_number(shape: Mapping[str, Any]) -> str:
    """The field that most likely makes a network too large."""
    number, name = max((value, name) for name, value in shape.items() if isinstance(value, int))
    return f"{name} = {number}"
