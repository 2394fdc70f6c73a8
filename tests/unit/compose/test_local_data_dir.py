import os
from pathlib import Path

import pytest
from dragoman.compose.local.data_dir import DataDirectory
from dragoman.errors import ConfigurationError


def test_temporary_folder_is_gone_when_released() -> None:
    folder = DataDirectory(None)
    (folder.path / "data").touch()
    folder.release()
    assert not folder.path.exists()


def test_given_folder_stays_when_released(tmp_path: Path) -> None:
    folder = DataDirectory(tmp_path / "new" / "data")
    folder.release()
    assert folder.path.is_dir()


def test_second_stack_is_refused_with_the_process_to_stop_when_the_folder_is_in_use(tmp_path: Path) -> None:
    folder = DataDirectory(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"in use by another local stack \(process {os.getpid()}\)"):
        DataDirectory(tmp_path)
    folder.release()


def test_folder_can_be_used_again_when_released(tmp_path: Path) -> None:
    DataDirectory(tmp_path).release()
    DataDirectory(tmp_path).release()


def test_folder_that_cannot_be_made_is_refused_with_the_option_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be created .*--data-dir"):
        DataDirectory(tmp_path / "file" / "data")
