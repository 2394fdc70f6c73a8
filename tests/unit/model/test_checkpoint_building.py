"""Building a network whose weights are yet to come: quick, and the same as any other."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.catalog import build
from dragoman.model.weightless import build_weightless

SHAPE = {"vocabulary_size": 40, "width": 16, "heads": 2, "feed_forward": 32, "encoder_layers": 1, "decoder_layers": 1}
# Half of PyTorch's compiler: seconds that a start should not spend.
SLOW_LIBRARIES = ("torch._dynamo", "torch._inductor", "sympy")
LOAD = """
import sys, pathlib, torch
from dragoman.model.checkpoint import load_checkpoint
load_checkpoint(pathlib.Path(sys.argv[1]), torch.device("cpu"))
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


def test_network_has_the_weights_and_buffers_of_a_built_one() -> None:
    built, weightless = build("transformer", SHAPE), build_weightless("transformer", SHAPE)

    assert {name: tensor.shape for name, tensor in weightless.state_dict().items()} == {
        name: tensor.shape for name, tensor in built.state_dict().items()
    }
    buffers = dict(weightless.named_buffers())
    assert all(torch.equal(buffers[name], buffer) for name, buffer in built.named_buffers())


def test_no_random_number_is_drawn() -> None:
    torch.manual_seed(3)
    build_weightless("transformer", SHAPE)
    after = torch.rand(1)
    torch.manual_seed(3)

    assert torch.equal(torch.rand(1), after)


def test_networks_are_initialised_again_afterwards() -> None:
    build_weightless("transformer", SHAPE)

    assert torch.nn.Linear(64, 64).weight.std() > 0.01


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no architecture 'abacus'"):
        build_weightless("abacus", SHAPE)


def test_loading_does_not_import_the_compiler(checkpoint_folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, str(checkpoint_folder), *SLOW_LIBRARIES],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.split() == []
