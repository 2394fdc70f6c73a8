"""The catalog: every architecture by name.

To add one, write its file, with a frozen dataclass of its shape and a `Network` made from it, and its line here:

    "my-architecture": (MyConfig, MyNetwork),

`dragoman train` then takes `architecture = "my-architecture"`, checkpoints hold it, and every way of decoding works
with it. The contract every architecture keeps is tests/unit/model/architectures/test_architecture_contract.py: a line
with a small shape there runs it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...errors import ConfigurationError
from .character_lstm import CharacterLstm, CharacterLstmConfig
from .network import Network
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
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(f"there is no architecture {architecture!r}: take one of {', '.join(ARCHITECTURES)}")
    make_shape, make_network = ARCHITECTURES[architecture]
    try:
        return make_network(make_shape(**shape))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"not a shape of the architecture {architecture}: {error}") from error


def describe(network: Network) -> tuple[str, dict[str, Any]]:
    """Name and shape of a network: what `build` makes it from."""
    for name, (_, make_network) in ARCHITECTURES.items():
        if type(network) is make_network:
            return name, asdict(network.config)
    raise ConfigurationError(f"{type(network).__name__} is not in the catalog")
