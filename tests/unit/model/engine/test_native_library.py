"""The compiled library: which compiler, where it is kept, and the sentences where it cannot be had."""

import ctypes
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.engine import native_library as module

MakeCompiler = Callable[..., Path]


def load() -> ctypes.CDLL:
    """As in a process that has not done so yet."""
    return module.native_library.__wrapped__()


@pytest.fixture(scope="session")
def real() -> list[str]:
    """The compiler of this machine, found before the tests hide it."""
    return module._compiler()


@pytest.fixture(autouse=True)
def cache(real: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, and no compiler named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache" / "dragoman"


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MakeCompiler:
    """Makes a C compiler out of shell commands, where $2 is what it shall write; its calls are counted in a file."""

    def make(commands: str, version: str = "1") -> Path:
        path = tmp_path / "compiler"
        path.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit 0\n'
            f'echo "$*" >> {tmp_path}/calls\nwhile [ "$1" != -o ]; do shift; done\n{commands}\n'
        )
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))
        return tmp_path / "calls"

    return make


@pytest.fixture
def stub(real: list[str], tmp_path: Path) -> Callable[[int], str]:
    """Shell commands that compile a library with all functions, whose check finds so many errors."""

    def commands(wrong: int) -> str:
        functions = "".join(f"int {name}(void) {{ return {wrong}; }}\n" for name in module._FUNCTIONS)
        (tmp_path / "stub.c").write_text(functions)
        return f'exec {" ".join(real)} -shared -fPIC -o "$2" {tmp_path}/stub.c'

    return commands


def test_library_is_compiled_once_and_kept(compiler: MakeCompiler, stub: Callable[[int], str], cache: Path) -> None:
    calls = compiler(stub(0))
    load()
    load()

    assert len(calls.read_text().splitlines()) == 1
    assert [path.name.startswith("native-") for path in cache.iterdir()] == [True]


def test_library_is_compiled_again_for_another_compiler(
    compiler: MakeCompiler, stub: Callable[[int], str], cache: Path
) -> None:
    commands = stub(0)
    compiler(commands)
    load()
    calls = compiler(commands, version="2")
    load()

    assert len(calls.read_text().splitlines()) == 2
    assert len(list(cache.iterdir())) == 2


def test_every_source_is_compiled_for_this_machine(compiler: MakeCompiler, stub: Callable[[int], str]) -> None:
    words = set()
    calls = compiler(stub(0))
    load()
    words.update(calls.read_text().split())

    assert {str(source) for source in module.SOURCES.glob("*.c")} < words
    assert "-march=native" in words
    assert not {"-ffast-math", "-Ofast"} & words


def test_wrong_arithmetic_is_refused(compiler: MakeCompiler, stub: Callable[[int], str]) -> None:
    compiler(stub(3))

    with pytest.raises(ConfigurationError, match="compiled wrongly on this machine: take the engine torch"):
        load()


def test_failing_compiler_is_quoted_and_leaves_nothing(compiler: MakeCompiler, cache: Path) -> None:
    compiler('echo "no such instruction" >&2; exit 1')

    with pytest.raises(ConfigurationError, match="compiler cannot compile the native engine: no such instruction"):
        load()
    assert list(cache.iterdir()) == []


def test_file_that_is_no_library_is_refused_with_what_to_do(compiler: MakeCompiler) -> None:
    compiler('echo nonsense > "$2"')

    with pytest.raises(ConfigurationError, match=r"native-\w+\.so cannot be loaded: .*; delete that file"):
        load()


def test_compiler_that_does_not_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch, compiler: MakeCompiler, cache: Path
) -> None:
    compiler("exec tail -f /dev/null")
    monkeypatch.setattr(module, "COMPILE_SECONDS", 0.2)

    with pytest.raises(ConfigurationError, match=r"cannot compile the native engine: .* timed out"):
        load()
    assert list(cache.iterdir()) == []


def test_compiler_that_cannot_be_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, compiler: MakeCompiler, tmp_path: Path
) -> None:
    compiler("exit 0")
    (tmp_path / "compiler").write_bytes(b"\x00")

    with pytest.raises(ConfigurationError, match="compiler cannot compile the native engine"):
        load()


def test_no_compiler_is_a_sentence_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(
        ConfigurationError, match=r"no C compiler is here \(cc, gcc, clang\): install one .* engine torch"
    ):
        load()


def test_named_compiler_that_is_not_there_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --flag")

    with pytest.raises(ConfigurationError, match=r"no C compiler is here \(no-such-compiler\)"):
        load()


def test_compiler_of_pip_is_taken_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "ziglang" else None)

    assert module._compiler() == [sys.executable, "-m", "ziglang", "cc"]


def test_named_compiler_keeps_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setenv("CC", "ccache gcc -m64")

    assert module._compiler() == ["/bin/ccache", "gcc", "-m64"]


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(os, "name", "nt")
        with pytest.raises(ConfigurationError, match="needs Linux or macOS: take the engine torch"):
            load()


def test_temporary_folder_serves_where_no_cache_folder_can_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: MakeCompiler, stub: Callable[[int], str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    compiler(stub(0))
    load()

    assert len(list((tmp_path / "temporary").glob("dragoman-*/native-*.so"))) == 1


def test_temporary_folder_serves_where_the_cache_folder_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: MakeCompiler, stub: Callable[[int], str], cache: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache and access(path, mode))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    compiler(stub(0))
    load()

    assert list(cache.iterdir()) == []
    assert len(list((tmp_path / "temporary").glob("dragoman-*/native-*.so"))) == 1


def test_cache_folder_is_the_users_own(cache: Path) -> None:
    assert module._cache_folder() == cache
    assert cache.stat().st_mode & 0o077 == 0


def test_full_disk_is_a_sentence_and_not_a_crash(
    compiler: MakeCompiler, stub: Callable[[int], str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(stub(0))

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigurationError, match=f"cannot be compiled into {cache}: No space left on device"):
        load()


def test_libraries_that_nobody_loads_any_more_are_removed(
    compiler: MakeCompiler, stub: Callable[[int], str], cache: Path
) -> None:
    cache.mkdir(parents=True)
    old, recent = cache / "native-old.so", cache / "native-recent.so"
    for file in (old, recent):
        file.touch()
    os.utime(old, (0, 0))
    compiler(stub(0))
    load()

    assert not old.exists()
    assert recent.exists()
