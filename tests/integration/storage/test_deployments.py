"""Deployments on a real PostgreSQL: rows are added and ended, and a rollback goes back one step at a time."""

import threading
from collections.abc import Callable

import pytest
from dragoman.errors import ConfigurationError
from dragoman.storage.deployments import (
    Deployment,
    Reason,
    all_deployments,
    chain,
    end_beside,
    find_open,
    open_deployments,
    promote,
    roll_back,
    set_beside,
)
from dragoman.storage.engine import transaction
from dragoman.storage.models import (
    ModelVersion,
    add_metrics,
    find_version,
    mark_used,
    refuse_version,
    register_artifact,
    register_model_version,
    registered_versions,
)
from sqlalchemy import Connection, Engine, text

pytestmark = pytest.mark.services

PAIR = ("en", "fr")
WHY = Reason("someone", "because")
VERSIONS = ("a@1", "b@2", "c@3")


@pytest.fixture
def registered(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        for name in VERSIONS:
            version = ModelVersion(name, ("en",), ("fr",), name * 3, {})
            register_artifact(connection, version, [PAIR], f"file:///models/{name}")
    return engine


@pytest.fixture
def change(registered: Engine) -> Callable[..., Deployment]:
    """One change in a transaction of its own."""

    def run(what: Callable[..., Deployment], *arguments: object) -> Deployment:
        with transaction(registered) as connection:
            return what(connection, PAIR, *arguments)

    return run


def in_production(engine: Engine) -> str | None:
    with transaction(engine) as connection:
        found = find_open(connection, PAIR, "production")
    return found.model_version_id if found else None


def test_a_promotion_ends_the_one_before(registered: Engine, change: Callable[..., Deployment]) -> None:
    first, second = change(promote, "a@1", WHY), change(promote, "b@2", WHY)
    with transaction(registered) as connection:
        assert [one.id for one in open_deployments(connection)] == [second.id]
        ended = all_deployments(connection, 10)[1]
    assert (ended.id, ended.ended_why, second.previous_id) == (first.id, "replaced by b@2", first.id)


def test_rollbacks_go_back_step_by_step(registered: Engine, change: Callable[..., Deployment]) -> None:
    for version in VERSIONS:
        change(promote, version, WHY)
    found = [change(roll_back, WHY).model_version_id, change(roll_back, WHY).model_version_id]

    assert found == ["b@2", "a@1"]
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        change(roll_back, WHY)
    assert in_production(registered) == "a@1"


def test_a_promotion_after_a_rollback_goes_back_to_what_the_rollback_brought(
    registered: Engine, change: Callable[..., Deployment]
) -> None:
    for version in ("a@1", "b@2"):
        change(promote, version, WHY)
    change(roll_back, WHY)
    latest = change(promote, "c@3", WHY)
    with transaction(registered) as connection:
        assert [one.model_version_id for one in chain(connection, latest)] == ["c@3", "a@1"]


@pytest.mark.parametrize("percent", [None, 5.0])
def test_a_version_beside_ends_when_it_is_promoted(
    registered: Engine, change: Callable[..., Deployment], percent: float | None
) -> None:
    change(promote, "a@1", WHY)
    change(set_beside, "b@2", WHY, percent)
    change(promote, "b@2", WHY)
    with transaction(registered) as connection:
        assert [(one.role, one.model_version_id) for one in open_deployments(connection)] == [("production", "b@2")]


def test_a_second_canary_takes_the_place_of_the_first(registered: Engine, change: Callable[..., Deployment]) -> None:
    change(promote, "a@1", WHY)
    change(set_beside, "b@2", WHY, 5.0)
    change(set_beside, "b@2", WHY, 20.0)
    change(end_beside, "canary", "enough")
    with transaction(registered) as connection:
        ended = [(one.percent, one.ended_why) for one in all_deployments(connection, 2)]
    assert ended == [(20.0, "enough"), (5.0, "replaced by b@2")]


@pytest.mark.parametrize(
    ("what", "arguments", "sentence"),
    [
        (promote, ("a@1", WHY), "already"),
        (set_beside, ("a@1", WHY, 5.0), "already"),
        (end_beside, ("canary", "why"), "has no canary"),
        (roll_back, (WHY,), "nothing to go back to"),
    ],
)
def test_a_change_is_refused_with_a_sentence(
    change: Callable[..., Deployment], what: Callable[..., Deployment], arguments: tuple[object, ...], sentence: str
) -> None:
    change(promote, "a@1", WHY)
    with pytest.raises(ConfigurationError, match=sentence):
        change(what, *arguments)


def test_a_canary_is_refused_when_nothing_is_in_production(change: Callable[..., Deployment]) -> None:
    with pytest.raises(ConfigurationError, match="promote one first"):
        change(set_beside, "a@1", WHY, 5.0)


def test_one_version_is_in_production_when_all_are_promoted_at_once(
    registered: Engine, change: Callable[..., Deployment]
) -> None:
    threads = [threading.Thread(target=change, args=(promote, version, WHY)) for version in VERSIONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with transaction(registered) as connection:
        assert len(open_deployments(connection)) == 1
        assert len(all_deployments(connection, 10)) == len(VERSIONS)


def test_a_version_is_found_by_the_beginning_of_its_id(registered: Engine) -> None:
    with transaction(registered) as connection:
        assert find_version(connection, "b").id == "b@2"
        with pytest.raises(ConfigurationError, match="`dragoman models register`"):
            find_version(connection, "nobody")
        with pytest.raises(ConfigurationError, match="name one of them"):
            find_version(connection, "")


def test_a_registered_version_is_used_when_a_worker_says_so(registered: Engine) -> None:
    with transaction(registered) as connection:
        assert find_version(connection, "a@1").first_used_at is None
        mark_used(connection, "a@1")
        assert find_version(connection, "a@1").first_used_at is not None


def test_a_version_that_has_translated_before_can_be_registered(registered: Engine) -> None:
    version = ModelVersion("old@1", ("en",), ("fr",), "00", {})
    with transaction(registered) as connection:
        register_model_version(connection, version)
        assert "old@1" not in {one.id for one in registered_versions(connection)}
        register_artifact(connection, version, [PAIR], "file:///models/old")
        assert find_version(connection, "old@1").first_used_at is not None


def test_figures_are_kept_by_what_measured_them(registered: Engine) -> None:
    with transaction(registered) as connection:
        for name, bleu in (("gate en-fr", 30.0), ("training", 31.0), ("gate en-fr", 32.0)):
            add_metrics(connection, "a@1", name, {"bleu": bleu})
        assert find_version(connection, "a@1").metrics == {"gate en-fr": {"bleu": 32.0}, "training": {"bleu": 31.0}}


def test_a_refusal_is_kept_with_its_reason(registered: Engine) -> None:
    with transaction(registered) as connection:
        refuse_version(connection, "a@1", "worker-1", "its files are gone")
        assert _refusals(connection) == [("a@1", "worker-1", "its files are gone")]


def _refusals(connection: Connection) -> list[tuple[str, ...]]:
    rows = connection.execute(text("SELECT model_version_id, worker_id, reason FROM model_refusal"))
    return [tuple(row) for row in rows]
