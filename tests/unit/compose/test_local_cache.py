import sys
from pathlib import Path

import pytest
from dragoman.compose.local.cache import cache_directory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_named_folder_wins(home: Path) -> None:
    assert cache_directory({"DRAGOMAN_CACHE_DIR": "~/mine", "XDG_CACHE_HOME": "/x"}) == home / "mine"


def test_xdg_folder_is_used_when_set_on_linux(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory({"XDG_CACHE_HOME": "/x"}) == Path("/x/dragoman")


def test_relative_xdg_folder_is_ignored_as_its_specification_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory({"XDG_CACHE_HOME": "x"}) == home / ".cache" / "dragoman"


def test_library_folder_is_used_on_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_directory({}) == home / "Library" / "Caches" / "dragoman"
