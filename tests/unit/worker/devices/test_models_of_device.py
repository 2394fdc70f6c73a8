"""What a device is asked to take, and what becomes of that when it refuses or dies."""

import pytest
from dragoman.tests.unit.worker.devices.test_keeper import ScriptedDevice
from dragoman.worker.devices.events import ModelFacts, ModelLoaded
from dragoman.worker.devices.model_source import ImportedSource
from dragoman.worker.devices.models_of_device import ModelsOfDevice
from dragoman.worker.metrics import Metrics

SOURCE = ImportedSource("somewhere:Model")


def loaded(version: str, *evicted: str) -> ModelLoaded:
    return ModelLoaded(ModelFacts(version, "cpu", 8, pads=True), 0.1, evicted)


@pytest.fixture
def device() -> ScriptedDevice:
    return ScriptedDevice()


@pytest.fixture
def models(device: ScriptedDevice) -> ModelsOfDevice:
    models = ModelsOfDevice(device, Metrics())
    models.loaded(loaded("one@1"))
    models.load("two@2", SOURCE)
    return models


def test_a_model_is_there_when_the_device_says_so(models: ModelsOfDevice) -> None:
    assert not models.has("two@2")
    models.loaded(loaded("two@2"))
    assert models.has("two@2")
    assert models.has("one@1")


def test_a_model_is_gone_when_it_was_evicted_or_has_left(models: ModelsOfDevice) -> None:
    models.loaded(loaded("two@2", "one@1"))
    models.left("two@2")
    assert (models.has("one@1"), models.has("two@2")) == (False, False)


def test_a_refused_model_is_not_loaded_at_the_next_start(models: ModelsOfDevice, device: ScriptedDevice) -> None:
    models.refused("two@2", "it is broken")
    assert models.refusal("two@2") == "it is broken"
    assert device.asked == [("load", "two@2"), ("forget", "two@2")]


def test_a_model_that_was_loading_when_the_device_died_is_refused(
    models: ModelsOfDevice, device: ScriptedDevice
) -> None:
    models.died("signal 9")
    assert "died while it loaded the model two@2 (signal 9)" in (models.refusal("two@2") or "")
    assert device.asked[-1] == ("forget", "two@2")
    assert models.refusal("one@1") is None
    assert not models.has("one@1")


def test_a_refusal_is_forgotten_when_the_model_is_asked_for_again(models: ModelsOfDevice) -> None:
    models.refused("two@2", "it is broken")
    models.load("two@2", SOURCE)
    assert models.refusal("two@2") is None
