"""The jars of Apache Kafka in the user's cache, downloaded once. Knows files and checksums, starts nothing.

Which jars, and their SHA-256 sums, is reviewed data: `kafka_jars.json`, written by `lock_jars.py`.
"""

import fcntl
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...errors import DragomanError
from .cache import cache_directory

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("kafka_jars.json")
PARALLEL_DOWNLOADS = 4
DOWNLOAD_ATTEMPTS = 3
DOWNLOAD_TIMEOUT_SECONDS = 30


class DownloadError(DragomanError):
    """The jars of Apache Kafka could not be downloaded."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file of a Maven repository."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


Fetch = Callable[[Jar, Path], Path]


def locked_jars() -> tuple[Jar, ...]:
    """Return the pinned jars of Apache Kafka and everything it needs."""
    return tuple(Jar(**fields) for fields in json.loads(LOCK_FILE.read_text()))


def kafka_jars() -> Path:
    """Return the folder that holds exactly the pinned jars; blocks while they are downloaded.

    A jar that is missing or damaged is downloaded again. Raises `DownloadError`.
    """
    return JarCache(cache_directory(), locked_jars(), fetch_from_repository).complete()


class JarCache:
    """A folder of pinned jars, safe to complete from several processes at once."""

    def __init__(self, root: Path, jars: Sequence[Jar], fetch: Fetch) -> None:
        self._root = root
        self._jars = jars
        self._fetch = fetch
        self._folder = root / f"kafka-{KAFKA_VERSION}-{_fingerprint(jars)}"

    def complete(self) -> Path:
        """Download what is missing or damaged; returns the folder. Raises `DownloadError`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked():  # whoever comes second waits, and finds everything there
                missing = [jar for jar in self._jars if not self._is_intact(jar)]
                if missing:
                    self._download(missing)
        except OSError as error:
            raise DownloadError(
                f"the jars of Apache Kafka {KAFKA_VERSION} cannot be kept in {self._folder} ({error}): "
                "set DRAGOMAN_CACHE_DIR to a folder you can write to"
            ) from error
        return self._folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / "kafka.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _is_intact(self, jar: Jar) -> bool:
        try:
            return _sha256(self._folder / jar.filename) == jar.sha256
        except FileNotFoundError:
            return False

    def _download(self, jars: Sequence[Jar]) -> None:
        size_bytes = sum(jar.size_bytes for jar in jars)
        label = f"downloading Apache Kafka {KAFKA_VERSION}, once, about {max(1, round(size_bytes / 1e6))} MB"
        staging = Path(tempfile.mkdtemp(prefix="downloading-", dir=self._root))
        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
        try:
            with click.progressbar(length=size_bytes, label=label, file=sys.stderr) as progress:
                waiting = {pool.submit(self._download_one, jar, staging): jar for jar in jars}
                for done in as_completed(waiting):
                    done.result()
                    progress.update(waiting[done].size_bytes)
        finally:
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(staging, ignore_errors=True)

    def _download_one(self, jar: Jar, staging: Path) -> None:
        arrived = self._fetched(jar, staging)
        digest = _sha256(arrived)
        if digest != jar.sha256:
            raise DownloadError(
                f"{jar.filename} arrived damaged or changed: its SHA-256 is {digest}, expected {jar.sha256}. "
                "Try again; if that stays, the Maven repository or a proxy on the way serves another file."
            )
        arrived.replace(self._folder / jar.filename)

    def _fetched(self, jar: Jar, staging: Path) -> Path:
        attempt = 1
        while True:
            try:
                return self._fetch(jar, staging / str(attempt))  # apart from what a failed attempt has left
            except (OSError, RuntimeError) as error:  # the first from requests, the second from jgo itself
                if attempt == DOWNLOAD_ATTEMPTS:
                    raise _unreachable(jar, error) from error
            attempt += 1


def fetch_from_repository(jar: Jar, staging: Path) -> Path:
    """Download one jar below `staging` from the Maven repositories that jgo knows."""
    artifact = maven_context(staging).project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())


def maven_context(repository_cache: Path) -> Any:
    """Return jgo's view of the Maven repositories, those that the user's jgo.conf names first.

    Only jgo's Maven layer is used: its environments would fetch a second Java to look into the jars.
    """
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    repositories = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    return MavenContext(repo_cache=repository_cache, remote_repos=repositories, timeout=DOWNLOAD_TIMEOUT_SECONDS)


def _unreachable(jar: Jar, error: Exception) -> DownloadError:
    return DownloadError(
        f"Apache Kafka {KAFKA_VERSION} could not be downloaded ({jar.filename}: {error}): check the network "
        "and try again, or name another Kafka with DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(jars: Sequence[Jar]) -> str:
    return hashlib.sha256("".join(sorted(jar.sha256 for jar in jars)).encode()).hexdigest()[:8]
