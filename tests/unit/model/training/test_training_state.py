"""The file that a run goes on from."""

import os
import random
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.training.state import (
    STATE,
    State,
    StateError,
    has_state,
    load_state,
    named,
    random_state,
    restore_random_state,
    save_state,
)

CPU = torch.device("cpu")


def state(step: int, size: int = 3) -> State:
    return State({"step": step}, {"network/weight": torch.full((size,), float(step)), "optimiser/0/1": torch.tensor(2)})


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save_state(state(7), tmp_path / "run")
    loaded = load_state(tmp_path / "run")

    assert loaded.facts["step"] == 7
    assert loaded.tensors.keys() == state(7).tensors.keys()
    assert torch.equal(loaded.tensors["network/weight"], torch.full((3,), 7.0))
    assert loaded.tensors["optimiser/0/1"].shape == ()


def test_part_is_what_was_named() -> None:
    tensors = {"a": torch.ones(1), "b/c": torch.zeros(1)}

    assert State({}, named("network", tensors) | named("net", tensors)).part("network") == tensors


def test_later_state_replaces_the_one_before(tmp_path: Path) -> None:
    save_state(state(1), tmp_path)
    save_state(state(2), tmp_path)

    assert (load_state(tmp_path).facts["step"], os.listdir(tmp_path)) == (2, [STATE])


def test_state_before_survives_when_the_disk_is_full(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    save_state(state(1), tmp_path)

    refused = pytest.raises(StateError, match=r"cannot be written to .*, the one before is untouched: ")
    with refused, full_disk():
        save_state(state(2, size=100_000), tmp_path)
    assert (load_state(tmp_path).facts["step"], os.listdir(tmp_path)) == (1, [STATE])


def test_state_before_survives_when_the_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(state(1), tmp_path)

    def fail(_path: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StateError, match="No space left on device"):
        save_state(state(2), tmp_path)
    assert load_state(tmp_path).facts["step"] == 1


def test_state_can_be_read_by_whoever_may_read_new_files(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    save_state(state(1), tmp_path)

    assert stat.S_IMODE((tmp_path / STATE).stat().st_mode) == stat.S_IMODE((tmp_path / "new").stat().st_mode)


def test_folder_without_state_is_refused(tmp_path: Path) -> None:
    assert not has_state(tmp_path)
    with pytest.raises(ConfigurationError, match="holds no state to resume"):
        load_state(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"not a state"])
def test_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"state\.safetensors is damaged"):
        load_state(tmp_path)


def test_truncated_state_is_refused(tmp_path: Path) -> None:
    save_state(state(1), tmp_path)
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole[:-1])

    with pytest.raises(ConfigurationError, match=r"state\.safetensors is damaged"):
        load_state(tmp_path)


def test_state_of_another_format_is_refused(tmp_path: Path) -> None:
    save_state(State({"format_version": 99}), tmp_path)

    with pytest.raises(ConfigurationError, match="has format version 99, this version of Dragoman reads 1"):
        load_state(tmp_path)


def test_random_numbers_go_on_where_they_were() -> None:
    stored = random_state(CPU)
    first = random.random(), torch.rand(3)
    restore_random_state(stored, CPU)
    second = random.random(), torch.rand(3)

    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
