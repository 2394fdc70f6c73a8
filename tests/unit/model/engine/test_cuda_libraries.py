"""Where CTranslate2's cuBLAS comes from."""

import ctypes
import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from dragoman.model.engine.cuda_libraries import load_cublas


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were loaded."""
    files: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: files.append(f"{Path(path).name} {mode}"))
    return files


def packages_in(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the packages of NVIDIA lie in `folder`, or nowhere."""
    spec = ModuleSpec("nvidia", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec if folder else None)


def test_cublas_of_pip_is_loaded_for_all_with_what_it_needs_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[str]
) -> None:
    for file in ("cublas/lib/libcublas.so.12", "cublas/lib/libcublasLt.so.12", "cu13/lib/libcublas.so.13"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    packages_in(tmp_path, monkeypatch)
    load_cublas()

    assert loaded == [f"libcublasLt.so.12 {ctypes.RTLD_GLOBAL}", f"libcublas.so.12 {ctypes.RTLD_GLOBAL}"]


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_loaded_where_pip_has_installed_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[str], is_there: bool
) -> None:
    packages_in(tmp_path if is_there else None, monkeypatch)
    load_cublas()

    assert loaded == []
