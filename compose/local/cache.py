"""Where this user's downloads are kept. Knows nothing of what is downloaded."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder for downloads: DRAGOMAN_CACHE_DIR, else the system's own place for caches."""
    variables = os.environ if environment is None else environment
    if named := variables.get("DRAGOMAN_CACHE_DIR"):
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dragoman"
    xdg = variables.get("XDG_CACHE_HOME", "")
    base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return base / "dragoman"
