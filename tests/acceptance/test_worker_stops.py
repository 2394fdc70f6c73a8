"""A worker told to stop stops, also while a service is away; what it has not recorded is done by the next one."""

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.producer import TranslationProducer
from dragoman.tests.acceptance.installation import Installation, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


def submit(installation: Installation, count: int) -> None:
    with TranslationProducer(installation.settings) as producer:
        producer.submit_many([f"This is sentence number {n}." for n in range(count)], source="en", target="fr")


@pytest.mark.parametrize("service", ["kafka", "postgres"])
def test_a_worker_exits_by_itself_when_it_is_terminated_while_a_service_is_frozen(
    installation: Installation, stack: LocalStack, service: str
) -> None:
    worker = installation.start_worker(DRAGOMAN_DRAIN_SECONDS="3")
    worker.wait_ready()
    submit(installation, 300)
    wait_until(lambda: installation.count() >= 20, "the worker is in the middle")
    getattr(stack, service).pause()
    try:
        code = worker.terminate()
    finally:
        getattr(stack, service).resume()
    assert code == 0

    installation.start_worker()
    wait_until(lambda: installation.count() == 300, "the next worker finishes")


def test_a_worker_goes_on_by_itself_when_postgres_was_restarted(installation: Installation, stack: LocalStack) -> None:
    worker = installation.start_worker()
    worker.wait_ready()
    submit(installation, 100)
    wait_until(lambda: installation.count() >= 20, "the worker is in the middle")
    stack.postgres.restart()
    submit(installation, 100)
    wait_until(lambda: installation.count() == 200, "everything is recorded")
    assert worker.terminate() == 0


def test_a_worker_goes_on_by_itself_when_the_broker_was_killed(installation: Installation, stack: LocalStack) -> None:
    worker = installation.start_worker()
    worker.wait_ready()
    submit(installation, 100)
    stack.kafka.kill()
    stack.kafka.start()
    submit(installation, 100)
    wait_until(lambda: installation.count() == 200, "everything is recorded")
    assert worker.terminate() == 0
