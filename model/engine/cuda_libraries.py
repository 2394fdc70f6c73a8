"""CUDA libraries that pip has put where no loader looks for them. Knows their files, nothing of Dragoman.

CTranslate2's wheels open cuBLAS 12 by its name, which PyTorch brings only with its builds for CUDA 12; others have
`pip install nvidia-cublas-cu12`. What a process has loaded is found by that name.
"""

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path

# The second needs the first.
CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")


def load_cublas() -> None:
    """Load cuBLAS 12 if pip has installed it; where it has not, the system's own is left to be found."""
    for name in CUBLAS:
        for file in _files(name):
            ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
            break


def _files(name: str) -> Iterator[Path]:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob(f"*/lib/{name}"))
