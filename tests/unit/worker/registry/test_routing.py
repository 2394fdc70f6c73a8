"""What is served follows from what is deployed and what is ready."""

from datetime import UTC, datetime

import pytest
from dragoman.storage.deployments import Deployment, Role
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import Route
from dragoman.worker.registry.routing import Wanted, routes, serving, wanted

PAIR = ("en", "fr")


class Model(EchoTranslator):
    def __init__(self, version: str) -> None:
        self.version = version


A, B, C = Model("a@1"), Model("b@2"), Model("c@3")


def deployment(role: Role, version: str, percent: float | None = None) -> Deployment:
    return Deployment(1, PAIR, version, role, percent, datetime.now(UTC), "someone", "why", None, None, None)


def test_the_roles_of_a_pair_become_one_plan() -> None:
    found = wanted([deployment("production", "a@1"), deployment("canary", "b@2", 5.0), deployment("shadow", "c@3")])
    assert found == {PAIR: Wanted("a@1", "b@2", 5.0, "c@3")}


@pytest.mark.parametrize(
    ("plan", "ready", "current", "expected"),
    [
        (Wanted("a@1"), [A], None, Route(A)),
        (Wanted("b@2"), [A], Route(A), Route(A)),
        (Wanted("b@2"), [A, B], Route(A), Route(B)),
        (Wanted("a@1", "b@2", 5.0), [A], Route(A), Route(A)),
        (Wanted("a@1", "b@2", 5.0), [A, B], Route(A), Route(A, B, 5.0)),
        (Wanted("a@1"), [A, B], Route(A, B, 5.0), Route(A)),
        (Wanted("b@2", "b@2", 5.0), [A, B], Route(A), Route(B)),
        (Wanted(), [A], Route(A), Route(A)),
    ],
    ids=[
        "the first version",
        "the old one while the new one is not ready",
        "the new one when it is",
        "no canary that is not ready",
        "a canary",
        "no canary that has ended",
        "no canary of itself",
        "the old one when nothing is deployed any more",
    ],
)
def test_a_pair_is_served_by(plan: Wanted, ready: list[Model], current: Route | None, expected: Route) -> None:
    before = {} if current is None else {PAIR: current}
    assert routes({PAIR: plan}, {model.version: model for model in ready}, before) == {PAIR: expected}


def test_a_pair_without_any_version_is_not_served() -> None:
    assert routes({PAIR: Wanted("a@1")}, {}, {}) == {}


def test_every_version_that_answers_is_serving() -> None:
    assert serving({PAIR: Route(A, B, 1.0), ("en", "de"): Route(C)}) == {"a@1", "b@2", "c@3"}
