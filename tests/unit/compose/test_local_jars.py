import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dragoman.compose.local.jars import KAFKA_VERSION, DownloadError, Jar, JarCache, locked_jars

CONTENT = b"the bytes of a jar"


def jar(name: str, content: bytes = CONTENT) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))


class Repository:
    """Serves CONTENT for every jar; counts, and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.requests: list[str] = []
        self._failures = failures
        self._lock = threading.Lock()

    def fetch(self, wanted: Jar, staging: Path) -> Path:
        with self._lock:
            self.requests.append(wanted.filename)
            failing = len(self.requests) <= self._failures
        if failing:
            raise ConnectionError("no route to host")
        staging.mkdir(parents=True, exist_ok=True)
        path = staging / wanted.filename
        path.write_bytes(CONTENT)
        return path


def test_every_jar_is_in_the_folder_when_the_cache_was_empty(tmp_path: Path) -> None:
    folder = JarCache(tmp_path, [jar("a"), jar("b")], Repository().fetch).complete()
    assert sorted(path.name for path in folder.iterdir()) == ["a-1.0.jar", "b-1.0.jar"]


def test_nothing_is_requested_when_all_jars_are_there(tmp_path: Path) -> None:
    JarCache(tmp_path, [jar("a")], Repository().fetch).complete()
    second = Repository()
    JarCache(tmp_path, [jar("a")], second.fetch).complete()
    assert second.requests == []


def test_only_the_damaged_jar_is_downloaded_again(tmp_path: Path) -> None:
    folder = JarCache(tmp_path, [jar("a"), jar("b")], Repository().fetch).complete()
    (folder / "a-1.0.jar").write_bytes(CONTENT[:-1])
    second = Repository()
    JarCache(tmp_path, [jar("a"), jar("b")], second.fetch).complete()
    assert second.requests == ["a-1.0.jar"]
    assert (folder / "a-1.0.jar").read_bytes() == CONTENT


def test_jar_that_arrives_changed_is_refused(tmp_path: Path) -> None:
    cache = JarCache(tmp_path, [jar("a", b"what was reviewed")], Repository().fetch)
    with pytest.raises(DownloadError, match=r"a-1\.0\.jar arrived damaged or changed"):
        cache.complete()
    assert list(tmp_path.glob("**/*.jar")) == []


def test_download_is_tried_again_when_the_connection_breaks_once(tmp_path: Path) -> None:
    repository = Repository(failures=1)
    JarCache(tmp_path, [jar("a")], repository.fetch).complete()
    assert repository.requests == ["a-1.0.jar", "a-1.0.jar"]


def test_download_fails_with_a_sentence_that_says_what_to_do_when_there_is_no_network(tmp_path: Path) -> None:
    cache = JarCache(tmp_path, [jar("a")], Repository(failures=1_000).fetch)
    with pytest.raises(
        DownloadError, match=r"could not be downloaded .*no route to host.*DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS"
    ):
        cache.complete()


def test_staging_is_removed_when_the_download_fails(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        JarCache(tmp_path, [jar("a")], Repository(failures=1_000).fetch).complete()
    assert list(tmp_path.glob("downloading-*")) == []


def test_jars_are_downloaded_once_when_two_first_starts_race(tmp_path: Path) -> None:
    repository = Repository()
    with ThreadPoolExecutor(2) as pool:
        folders = pool.map(lambda _: JarCache(tmp_path, [jar("a")], repository.fetch).complete(), range(2))
    assert len(set(folders)) == 1
    assert repository.requests == ["a-1.0.jar"]


def test_cache_that_cannot_be_written_is_named_with_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = JarCache(tmp_path / "file", [jar("a")], Repository().fetch)
    with pytest.raises(DownloadError, match="set DRAGOMAN_CACHE_DIR"):
        cache.complete()


def test_lock_file_pins_the_broker_of_the_version_we_name() -> None:
    assert ("kafka_2.13", KAFKA_VERSION) in {(locked.artifact, locked.version) for locked in locked_jars()}


def test_lock_file_names_every_jar_once() -> None:
    names = [locked.filename for locked in locked_jars()]
    assert len(names) == len(set(names))
