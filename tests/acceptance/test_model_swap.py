"""A loaded worker changes over to another version: nothing is lost, nothing twice, and no row names the wrong one."""

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from dragoman.cli.models_registry import register_folder
from dragoman.model.decoding import SearchOptions
from dragoman.model.translator import Translator
from dragoman.producer.producer import TranslationProducer
from dragoman.settings import Settings
from dragoman.storage.deployments import Reason, promote, roll_back, set_beside
from dragoman.storage.engine import transaction
from dragoman.tests.acceptance.installation import Installation, WorkerProcess, wait_until
from dragoman.tests.tiny_checkpoints import save_tiny, tiny_vocabulary

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PAIR = ("en", "fr")
WHY = Reason("a test", "to see it happen")
TEXTS = "SELECT source_text, target_text FROM translation WHERE model_version_id = '{}'"


class Load:
    """Submits a text after the other until it is stopped; no text comes twice."""

    def __init__(self, settings: Settings) -> None:
        self.submitted = 0
        self._settings = settings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """How many were submitted in all."""
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.submitted

    def _run(self) -> None:
        with TranslationProducer(self._settings) as producer:
            for number in count():
                if self._stopped.wait(0.01):
                    return
                texts = [f"The baker reads book number {number} near window {part}." for part in range(4)]
                producer.submit_many(texts, source="en", target="fr")
                self.submitted += len(texts)


@pytest.fixture
def registered(installation: Installation, tmp_path: Path) -> tuple[str, str]:
    """The versions of two small checkpoints; the first is in production."""
    settings = installation.settings.model_copy(update={"artifacts_url": str(tmp_path / "artifacts")})
    vocabulary = tiny_vocabulary()
    first, second = (register_folder(settings, save_tiny(tmp_path / name, vocabulary)) for name in ("old", "new"))
    with transaction(installation.engine) as connection:
        promote(connection, PAIR, first, WHY)
    return first, second


@pytest.fixture
def worker(installation: Installation, registered: tuple[str, str]) -> WorkerProcess:
    worker = installation.start_worker("--registry", DRAGOMAN_REGISTRY_SECONDS="0.2", DRAGOMAN_THREADS="1")
    worker.wait_ready()
    return worker


@pytest.fixture
def load(installation: Installation, worker: WorkerProcess) -> Iterator[Load]:
    load = Load(installation.settings)
    yield load
    load.stop()


def rows_of(installation: Installation, version: str) -> int:
    return installation.count(f"SELECT count(*) FROM translation WHERE model_version_id = '{version}'")


def expected(folder: Path, texts: list[str]) -> list[str]:
    translator = Translator.load(folder, "cpu")
    found = [one.text for one in translator.translate(texts, SearchOptions(1))]
    translator.close()
    return found


def test_nothing_is_lost_or_mixed_when_versions_change_under_load(
    installation: Installation, registered: tuple[str, str], worker: WorkerProcess, load: Load, tmp_path: Path
) -> None:
    first, second = registered
    wait_until(lambda: rows_of(installation, first) > 100, "the first version translates")
    with transaction(installation.engine) as connection:
        promote(connection, PAIR, second, WHY)
    wait_until(lambda: rows_of(installation, second) > 100, "the second version translates")
    with transaction(installation.engine) as connection:
        roll_back(connection, PAIR, WHY)
    wait_until(lambda: len(worker.events("model_swapped")) == 2, "the worker goes back")
    submitted = load.stop()
    wait_until(lambda: installation.count() >= submitted, "every job has its row")

    assert Counter(dict(installation.query("SELECT status, count(*) FROM translation GROUP BY 1"))) == {
        "translated": submitted
    }
    assert installation.count("SELECT count(*) FROM batch JOIN model_version m ON m.id = model_version_id") > 0
    for folder, version in ((tmp_path / "old", first), (tmp_path / "new", second)):
        rows = installation.query(TEXTS.format(version))
        assert [target for _, target in rows] == expected(folder, [str(source) for source, _ in rows])
    assert worker.metric("dragoman_rework_pieces_total") == 0
    assert worker.terminate() == 0


def test_the_version_in_production_stays_when_the_files_of_the_next_are_damaged(
    installation: Installation, registered: tuple[str, str], worker: WorkerProcess, load: Load, tmp_path: Path
) -> None:
    first, second = registered
    url = installation.query(f"SELECT artifact_url FROM model_version WHERE id = '{second}'")[0][0]
    weights = Path(str(url).removeprefix("file://")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with transaction(installation.engine) as connection:
        promote(connection, PAIR, second, WHY)
    refusals = "SELECT reason FROM model_refusal WHERE model_version_id = '" + second + "'"
    wait_until(lambda: installation.query(refusals), "the version is refused")
    submitted = load.stop()
    wait_until(lambda: installation.count() >= submitted, "every job has its row")

    assert "model.safetensors is truncated or was changed" in str(installation.query(refusals)[0][0])
    assert rows_of(installation, first) == submitted
    assert worker.metric("dragoman_model_refusals_total") == 1


def test_a_worker_begins_with_the_version_before_when_the_files_of_the_current_are_gone(
    installation: Installation, registered: tuple[str, str], tmp_path: Path
) -> None:
    first, second = registered
    with transaction(installation.engine) as connection:
        promote(connection, PAIR, second, WHY)
    url = installation.query(f"SELECT artifact_url FROM model_version WHERE id = '{second}'")[0][0]
    (Path(str(url).removeprefix("file://")) / "manifest.json").unlink()
    worker = installation.start_worker("--registry")
    worker.wait_ready()
    with TranslationProducer(installation.settings) as producer:
        producer.submit_many(["The baker sells bread."], source="en", target="fr")
    wait_until(lambda: installation.count() == 1, "the job has its row")

    assert rows_of(installation, first) == 1


def test_a_canary_takes_its_share_and_the_same_texts_again(
    installation: Installation, registered: tuple[str, str], worker: WorkerProcess
) -> None:
    _, second = registered
    with transaction(installation.engine) as connection:
        set_beside(connection, PAIR, second, WHY, percent=30.0)
    wait_until(lambda: worker.events("model_swapped"), "the canary has come")
    texts = [f"The baker sells bread number {number}." for number in range(300)]
    with TranslationProducer(installation.settings) as producer:
        producer.submit_many([*texts, *texts], source="en", target="fr")
    wait_until(lambda: installation.count() == 600, "every job has its row")

    versions = installation.query(
        "SELECT source_text, count(DISTINCT model_version_id), min(model_version_id) FROM translation GROUP BY 1"
    )
    assert {count for _, count, _ in versions} == {1}
    assert 60 < sum(version == second for _, _, version in versions) < 120


def test_a_worker_says_what_to_do_when_nothing_is_deployed(installation: Installation) -> None:
    worker = installation.start_worker("--registry")
    assert worker.process.wait(120) == 1
    assert "dragoman models promote" in worker.log_path.read_text()


def test_a_shadow_translates_what_production_answers(
    installation: Installation, registered: tuple[str, str], worker: WorkerProcess, tmp_path: Path
) -> None:
    first, second = registered
    with transaction(installation.engine) as connection:
        set_beside(connection, PAIR, second, WHY)
    wait_until(lambda: worker.events("shadow_ready"), "the shadow is there")
    texts = [f"The baker reads book number {number}." for number in range(40)]
    with TranslationProducer(installation.settings) as producer:
        producer.submit_many(texts, source="en", target="fr")
    shadows = "SELECT count(*) FROM shadow_translation"
    wait_until(lambda: installation.count(shadows) == len(texts), "the shadow has translated them too")

    wait_until(lambda: rows_of(installation, first) == len(texts), "production has recorded them")
    joined = installation.query(
        "SELECT t.source_text, s.target_text FROM shadow_translation s JOIN translation t USING (job_id) "
        f"WHERE s.model_version_id = '{second}'"
    )
    assert [target for _, target in joined] == expected(tmp_path / "new", [str(source) for source, _ in joined])
    assert worker.terminate() == 0
