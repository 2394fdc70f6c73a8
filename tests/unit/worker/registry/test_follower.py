"""The follower goes on with what is served while the registry does not answer, and says so once."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from dragoman.model.decoding import SearchOptions
from dragoman.storage.engine import create_database_engine
from dragoman.worker.admission import Admission
from dragoman.worker.devices.device_models import DeviceOrder
from dragoman.worker.devices.device_room import RoomPolicy
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.engine_stage import EngineStage
from dragoman.worker.devices.keeper import DevicePolicy
from dragoman.worker.devices.local_device import LocalDevice
from dragoman.worker.devices.model_source import EngineChoice
from dragoman.worker.devices.served_models import Route, ServedModels
from dragoman.worker.registry.deployed_model import Keeping
from dragoman.worker.registry.follower import RegistryFollower, Served
from dragoman.worker.registry.shadow_stage import ShadowStage

POLICY = DevicePolicy(RoomPolicy(8, 4096, usual_beam=1), silent_seconds=60.0, attempts=1)


@pytest.fixture
def follower(build: Any, tmp_path: Path) -> RegistryFollower:
    """One whose database nobody serves."""
    pipeline, echo = build.pipeline(), EchoTranslator()
    nowhere = create_database_engine("postgresql+psycopg2://x@127.0.0.1:1/none")
    routes = {("en", "fr"): Route(echo)}
    admission = Admission(build.identity, ServedModels.routed(routes), SearchOptions())
    engine = EngineStage(pipeline, [LocalDevice(echo)], POLICY)
    shadow = ShadowStage(pipeline, nowhere, DeviceOrder("cpu", ()), beam_size=1)
    served = Served(admission, engine, shadow, routes, poll_seconds=0.001)
    return RegistryFollower(pipeline, nowhere, served, Keeping(tmp_path, EngineChoice()))


def test_what_is_served_is_served_on_while_the_database_is_away(follower: RegistryFollower) -> None:
    with structlog.testing.capture_logs() as logs:
        follower.work()
        follower.work()

    assert [entry["event"] for entry in logs] == ["registry_not_reachable"]
    assert not follower.database_answers
    assert follower._routes[("en", "fr")].production.version == "echo@0"
