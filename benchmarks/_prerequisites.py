"""What a benchmark needs of the machine it runs on, each missing thing told in a sentence. Knows no models."""

import importlib.util
import os
import sys
from pathlib import Path


def require(*modules: str) -> None:
    """End the program with a sentence if a peer is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} must be installed for this comparison: pip install 'dragoman[bench]'")


def corpus(name: str) -> Path:
    """The file `name` of the corpora; ends the program with a sentence if it is not there."""
    folder = os.environ.get("DRAGOMAN_CORPORA")
    if not folder:
        sys.exit(f"set DRAGOMAN_CORPORA to the folder of the corpora: {name} of it is needed")
    path = Path(folder) / name
    if not path.is_file():
        sys.exit(f"{path} is needed and is not there: check DRAGOMAN_CORPORA")
    return path
