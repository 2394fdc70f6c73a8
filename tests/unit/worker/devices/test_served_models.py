"""Which model translates a job: the one in production, the canary for its share, the one that it names."""

from typing import Any

import pytest
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import Route, ServedModels, takes
from hypothesis import given
from hypothesis import strategies as st


class Newer(EchoTranslator):
    version = "newer@1"


OLD, NEW = EchoTranslator(), Newer()
PAIR = ("en", "fr")
TEXTS = [f"Text {number}." for number in range(4_000)]


def version_of(served: ServedModels, job: Any) -> str | None:
    model = served.of_job(job)
    return None if model is None else model.version


@pytest.mark.parametrize("percent", [0.5, 5.0, 50.0, 99.0])
def test_a_canary_takes_about_its_share(percent: float) -> None:
    taken = sum(takes(percent, "shop", text) for text in TEXTS)
    assert taken / len(TEXTS) * 100 == pytest.approx(percent, abs=3.0)


@given(st.text(), st.text(), st.floats(0.01, 99.0), st.floats(0.0, 1.0))
def test_a_canary_that_grows_keeps_its_texts(client: str, text: str, percent: float, more: float) -> None:
    assert takes(percent + more * (100 - percent), client, text) >= takes(percent, client, text)


def test_two_clients_do_not_share_their_fate() -> None:
    assert [takes(50, "one", text) for text in TEXTS] != [takes(50, "two", text) for text in TEXTS]


def test_a_job_that_names_a_version_is_not_given_to_the_canary(build: Any) -> None:
    served = ServedModels.routed({PAIR: Route(OLD, NEW, 99.999)})
    assert version_of(served, build.job(model="echo@0")) == "echo@0"
    assert version_of(served, build.job(model="newer@1")) == "newer@1"
    assert version_of(served, build.job(model="other@1")) is None


def test_a_model_serves_only_the_pairs_that_it_is_deployed_for(build: Any) -> None:
    served = ServedModels.routed({("en", "de"): Route(OLD)})
    assert served.pairs == (("en", "de"),)
    assert version_of(served, build.job()) is None
