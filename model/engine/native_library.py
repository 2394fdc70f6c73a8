"""The engine's C code as a loaded library: compiled once for this machine where there is a C compiler.

Knows compilers, the cache folder and the functions' types; knows no networks. The code is in `native/`.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from ctypes import POINTER, c_float, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path

from ...errors import ConfigurationError

SOURCES = Path(__file__).parent / "native"
# Tried in this order, after what the environment variable CC names.
COMPILERS = ("cc", "gcc", "clang")
# Multiply-and-add is one instruction; but no fast-math: infinities mean something here.
FLAGS = (
    "-std=c11",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
    "-w",
)
COMPILE_SECONDS = 120
# A library that nobody has loaded for so long is of a version that is gone.
KEPT_SECONDS = 30 * 86_400
# Codes of matrix.h.
KINDS = {"float32": 0, "int8-exact": 1, "int8": 2}
ACTIVATIONS = {"none": 0, "relu": 1, "swish": 2, "gelu": 3}


class Shape(ctypes.Structure):
    """`dragoman_shape`."""

    _fields_ = [
        *((name, c_int32) for name in ("width", "max_positions", "vocabulary", "pre_norm", "activation", "threads")),
        *((name, c_int32) for name in ("encoder_layers", "encoder_heads", "encoder_inner")),
        *((name, c_int32) for name in ("decoder_layers", "decoder_heads", "decoder_inner")),
        ("scale", c_float),
    ]


class Matrix(ctypes.Structure):
    """`dragoman_matrix`."""

    _fields_ = [
        ("kind", c_int32),
        *((name, c_void_p) for name in ("codes", "scales", "floats", "bias")),
        ("outputs", c_int32),
        ("inputs", c_int32),
    ]


class Layer(ctypes.Structure):
    """`dragoman_layer`."""

    _fields_ = [
        *((name, Matrix) for name in ("self_in", "self_out", "cross_query", "cross_memory", "cross_out")),
        *((name, Matrix) for name in ("inner", "outer")),
        *((f"{place}_{name}", c_void_p) for place in ("self", "cross", "outer") for name in ("gamma", "beta")),
    ]


class Side(ctypes.Structure):
    """`dragoman_side`."""

    _fields_ = [
        *((name, c_void_p) for name in ("codes", "scales", "floats", "positions")),
        *((f"{place}_{name}", c_void_p) for place in ("embedding", "last") for name in ("gamma", "beta")),
    ]


_FUNCTIONS = {
    "dragoman_open": (c_void_p, [POINTER(Shape), c_void_p]),
    "dragoman_set_side": (None, [c_void_p, c_int, POINTER(Side)]),
    "dragoman_set_layer": (c_int, [c_void_p, c_int, c_int, POINTER(Layer)]),
    "dragoman_set_output": (c_int, [c_void_p, POINTER(Matrix)]),
    "dragoman_close": (None, [c_void_p]),
    "dragoman_encode": (c_int, [c_void_p, c_int, *[c_void_p] * 7]),
    "dragoman_release": (None, [c_void_p, c_int, c_void_p]),
    "dragoman_step": (c_int, [c_void_p, c_int, *[c_void_p] * 7, c_int, c_void_p, c_void_p]),
    "dragoman_check": (c_int, [c_int]),
    "dragoman_lanes": (c_int, []),
}


@cache
def native_library() -> ctypes.CDLL:
    """The library, compiled first if that has not been done for this machine.

    Raises `ConfigurationError` where no compiler is found, where it fails, and where the arithmetic of what it made is
    wrong. Takes seconds the first time, milliseconds later.
    """
    if os.name != "posix":
        raise ConfigurationError("the native engine needs Linux or macOS: take the engine torch")
    compiler = _compiler()
    target = _cache_folder() / f"native-{_fingerprint(compiler)}.so"
    if not target.exists():
        _compile(compiler, target)
        _remove_old(target.parent)
    library = _load(target)
    if library.dragoman_check(2):
        raise ConfigurationError("the native engine was compiled wrongly on this machine: take the engine torch")
    return library


def _compiler() -> list[str]:
    """The command that compiles: what CC names, else one of `COMPILERS`, else Clang as pip brings it."""
    named = os.environ.get("CC", "").split()
    for name in named[:1] or COMPILERS:
        found = shutil.which(name)
        if found:
            return [found, *named[1:]]
    if not named and importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise ConfigurationError(
        f"the native engine is compiled where it runs, no C compiler is here ({', '.join(named[:1] or COMPILERS)}): "
        "install one (Debian: apt-get install gcc libc6-dev; or by pip: dragoman[compiler]), or take the engine torch"
    )


def _fingerprint(compiler: list[str]) -> str:
    """What the compiled library depends on: the code, the compiler, the machine's instructions."""
    digest = hashlib.sha256(" ".join((*compiler, *FLAGS, platform.machine(), _instructions())).encode())
    digest.update(_run([*compiler, "--version"]).encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _instructions() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _cache_folder() -> Path:
    """A folder of this user alone; a temporary one where there is no other."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "dragoman"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="dragoman-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="dragoman-"))


def _compile(compiler: list[str], target: Path) -> None:
    sources = [str(source) for source in sorted(SOURCES.glob("*.c"))]
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / "library.so"
            _run([*compiler, *FLAGS, "-o", str(made), *sources, "-lm"])
            # Two processes may do this at once: the last one wins, and both files are the same.
            made.replace(target)
    except OSError as error:
        raise ConfigurationError(
            f"the native engine cannot be compiled into {target.parent}: {error.strerror}; make room there, or name "
            "another folder in XDG_CACHE_HOME"
        ) from error


def _remove_old(folder: Path) -> None:
    """What other versions compiled long ago; one that still runs keeps its file open."""
    oldest = time.time() - KEPT_SECONDS
    for file in folder.glob("native-*.so"):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < oldest:
                file.unlink()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"{command[0]} cannot compile the native engine: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{command[0]} cannot compile the native engine: {error}") from error
    return done.stdout


def _load(path: Path) -> ctypes.CDLL:
    with contextlib.suppress(OSError):
        path.touch()  # it is in use
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ConfigurationError(f"the native engine {path} cannot be loaded: {error}; delete that file") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
