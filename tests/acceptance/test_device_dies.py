"""A text takes the device down: the worker goes on, the others are translated, and only that job is failed."""

from collections import Counter

import pytest
from dragoman.producer.producer import TranslationProducer
from dragoman.tests.acceptance.installation import Installation, wait_until
from dragoman.tests.unit.worker.devices.poison import KILL, MODULE

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

MODEL = ("--model", f"{MODULE}:PoisonTranslator")
TEXTS = [f"This is sentence number {number}." for number in range(60)]
SUSPECTS = "SELECT count(*) FROM attempt"


def submit(installation: Installation, texts: list[str]) -> None:
    with TranslationProducer(installation.settings) as producer:
        producer.submit_many(texts, source="en", target="fr")


def ended(installation: Installation) -> Counter[tuple[object, bool]]:
    """How many jobs ended how, with the poison apart."""
    rows = installation.query("SELECT status, source_text FROM translation")
    return Counter((status, text == KILL) for status, text in rows)


def test_only_the_poison_is_failed_and_the_worker_lives_on(installation: Installation) -> None:
    worker = installation.start_worker(*MODEL)
    worker.wait_ready()
    submit(installation, [*TEXTS[:30], KILL, *TEXTS[30:]])
    wait_until(lambda: installation.count() == 61, "every job has its row")

    assert ended(installation) == {("translated", False): 60, ("failed", True): 1}
    assert installation.count(SUSPECTS) == 0
    assert worker.events("device_died")
    assert worker.terminate() == 0


def test_only_the_poison_is_failed_when_the_worker_is_killed_with_its_device(installation: Installation) -> None:
    first = installation.start_worker(*MODEL)
    first.wait_ready()
    submit(installation, [*TEXTS[:30], KILL, *TEXTS[30:]])
    wait_until(lambda: first.events("device_died") and installation.count(SUSPECTS), "suspects are written down")
    first.kill()

    second = installation.start_worker(*MODEL)
    wait_until(lambda: installation.count() == 61, "every job has its row")

    assert ended(installation) == {("translated", False): 60, ("failed", True): 1}
    assert installation.count(SUSPECTS) == 0
    assert second.terminate() == 0
