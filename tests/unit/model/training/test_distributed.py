"""One process that is alone; several of them are tested as processes (tests/integration)."""

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.training.distributed import Processes, processes

ALONE = Processes(0, 1, torch.device("cpu"))


def test_process_is_alone_when_the_environment_says_nothing() -> None:
    with processes("cpu", {}) as group:
        assert group == ALONE


def test_sum_of_one_process_is_its_own() -> None:
    assert ALONE.sums([1.5, 2.0]) == [1.5, 2.0]


def test_leader_alone_hears_itself() -> None:
    assert (ALONE.leads, ALONE.from_leader(b"pieces"), ALONE.gathered(b"mine")) == (True, b"pieces", [b"mine"])


def test_module_of_one_process_stays_as_it_is() -> None:
    module = torch.nn.Linear(2, 2)

    assert ALONE.wrapped(module) is module


def test_several_processes_cannot_share_a_device() -> None:
    with (
        pytest.raises(ConfigurationError, match=r"several processes cannot share cuda:0: set run\.device to"),
        processes("cuda:0", {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}),
    ):
        pytest.fail("no group should be joined")
