"""The folder that holds a stack's data, used by one stack at a time. Knows no service."""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ...errors import ConfigurationError

# How long the services of a stack that crashed may take to stop, before we give up on its folder.
HANDOVER_TIMEOUT_SECONDS = 60.0
ASK_AGAIN_SECONDS = 0.1


class DataDirectory:
    """A folder of the user's, locked and kept; or a temporary one, removed by `release`.

    Every process of the stack inherits the lock, so it is held until the last one has ended.
    """

    def __init__(self, path: Path | None) -> None:
        self.is_temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="dragoman-")) if path is None else _made(path.absolute())
        if self.is_temporary:
            self.path.chmod(0o711)  # PostgreSQL, which runs as another user where we are root, must get through
        self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire()
        except ConfigurationError:
            os.close(self.lock)
            raise

    def release(self) -> None:
        """Give the lock back; removes a temporary folder with everything in it."""
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)

    def _acquire(self) -> None:
        deadline = time.monotonic() + HANDOVER_TIMEOUT_SECONDS
        while not self._try_lock():
            owner = self._owner()
            if owner is None or psutil.pid_exists(owner) or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the data folder {self.path} is in use by another local stack "
                    f"(process {owner or 'unknown'}): stop that one, or choose another folder with --data-dir"
                )
            time.sleep(ASK_AGAIN_SECONDS)  # its owner is gone, its services are being stopped
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)

    def _try_lock(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _owner(self) -> int | None:
        text = os.pread(self.lock, 32, 0).decode().strip()
        return int(text) if text.isdigit() else None


def _made(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {path} cannot be created ({error.strerror}): choose another with --data-dir"
        ) from error
    return path
