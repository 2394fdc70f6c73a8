"""Services of the suite's own: faults kill them, freeze them and put proxies before them."""

from collections.abc import Iterator

import pytest
from dragoman.tests.faults.ground import Ground


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """Kafka, PostgreSQL and their proxies, shared by the tests of this folder."""
    with Ground() as running:
        yield running
