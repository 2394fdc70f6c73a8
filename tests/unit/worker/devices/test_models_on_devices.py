"""Checkpoints on devices in processes of their own: what they answer, and which of them are loaded."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import SearchOptions
from dragoman.model.source_side import SourceSide
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.tests.tiny_checkpoints import SENTENCES, save_tiny, tiny_vocabulary
from dragoman.tests.unit.worker.devices.poison import MODULE
from dragoman.worker.devices.device import DeviceLostError
from dragoman.worker.devices.model_source import (
    CheckpointSource,
    EngineChoice,
    ImportedSource,
    ModelSource,
    model_sources,
)

FLOAT32 = EngineChoice("native", "float32", threads=1)


@pytest.fixture(scope="module")
def vocabulary() -> SubwordVocabulary:
    return tiny_vocabulary()


@pytest.fixture
def checkpoint(vocabulary: SubwordVocabulary, tmp_path: Path) -> Callable[..., Path]:
    """Saves a small network with random weights."""
    return lambda name, pair=("en", "fr"): save_tiny(tmp_path / name, vocabulary, pair)


def wait_for(bench: Any, side: SourceSide, texts: list[str]) -> dict[str, tuple[str, float]]:
    """Translations and scores of texts from a running stage."""
    bench.wait(texts, side.version, side.pairs[0], encode=side.encode)
    rows = [outcome.row for outcome in bench.outcomes(len(texts))]
    assert {row.status for row in rows} == {"translated"}
    return {row.source_text: (row.target_text, row.score) for row in rows}


def test_a_device_gives_what_the_translator_gives(bench: Any, checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("small")
    texts = [*SENTENCES, "bread", "The window."]
    bench.start(CheckpointSource(folder, FLOAT32)).start()
    translator = Translator.load(folder, "cpu", "native", "float32")
    expected = translator.translate(texts, SearchOptions(1))
    translator.close()

    found = wait_for(bench, SourceSide.load(folder), texts)

    assert found == {text: (one.text, one.score) for text, one in zip(texts, expected, strict=True)}


def test_the_least_recently_used_model_leaves_when_memory_is_short(bench: Any, checkpoint: Callable[..., Path]) -> None:
    folders = [checkpoint("one"), checkpoint("second", ("en", "de")), checkpoint("thirdly", ("en", "es"))]
    sides = [SourceSide.load(folder) for folder in folders]
    # Two of the three fit, in float32.
    bench.start(*(CheckpointSource(folder, FLOAT32) for folder in folders), memory_bytes=4 * 2 * sides[0].weights + 8)
    bench.stage.start()
    for side in (sides[0], sides[1], sides[0], sides[2], sides[0], sides[1]):
        wait_for(bench, side, ["bread"])

    # Two at the start; the third, which put out the second; the second again, which put out the third.
    assert bench.metric("model_loads_total") == 4
    assert bench.metric("model_evictions_total") == 2


@pytest.fixture
def beside(bench: Any, checkpoint: Callable[..., Path], until: Callable[..., None]) -> tuple[SourceSide, SourceSide]:
    """A stage that runs with one model, and was given another."""
    old, new = checkpoint("one"), checkpoint("second")
    bench.start(CheckpointSource(old, FLOAT32)).start()
    wait_for(bench, SourceSide.load(old), ["bread"])
    side = SourceSide.load(new)
    bench.stage.load_beside(side.version, CheckpointSource(new, FLOAT32))
    until(lambda: bench.stage.has(side.version), "the other model is there")
    return SourceSide.load(old), side


def test_a_model_that_comes_beside_another_translates(bench: Any, beside: tuple[SourceSide, SourceSide]) -> None:
    assert wait_for(bench, beside[1], ["bread"]) != wait_for(bench, beside[0], ["bread"])


def test_a_model_that_was_unloaded_comes_back_for_a_late_segment(
    bench: Any, beside: tuple[SourceSide, SourceSide], until: Callable[..., None]
) -> None:
    before = wait_for(bench, beside[0], ["bread"])
    until(lambda: bench.stage.unload(beside[0].version), "the first model is gone")
    loads = bench.metric("model_loads_total")

    assert wait_for(bench, beside[0], ["bread"]) == before
    assert bench.metric("model_loads_total") == loads + 1


def test_both_models_are_there_again_when_the_device_was_killed(
    bench: Any, beside: tuple[SourceSide, SourceSide], until: Callable[..., None]
) -> None:
    os.kill(bench.devices[0].process_id, signal.SIGKILL)
    until(lambda: bench.metric("device_restarts_total", fault="exited"), "the device has died")
    until(lambda: bench.stage.has(beside[1].version), "it has come back")

    assert wait_for(bench, beside[1], ["bread"])
    assert wait_for(bench, beside[0], ["bread"])


def test_a_late_segment_is_translated_when_its_device_was_killed_after_its_model_had_left(
    bench: Any, beside: tuple[SourceSide, SourceSide], until: Callable[..., None]
) -> None:
    until(lambda: bench.stage.unload(beside[0].version), "the first model is gone")
    os.kill(bench.devices[0].process_id, signal.SIGKILL)
    until(lambda: bench.metric("device_restarts_total", fault="exited"), "the device has died")

    assert wait_for(bench, beside[0], ["bread"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (ImportedSource(f"{MODULE}:Broken"), "fails on every text"),
        (ImportedSource("dragoman.nowhere:Model"), "cannot be imported"),
        (CheckpointSource(Path("nowhere"), FLOAT32), "no checkpoint folder"),
        (ImportedSource(f"{MODULE}:Deadly"), "the device died while it loaded"),
    ],
    ids=["broken", "not importable", "gone", "lethal"],
)
def test_a_model_that_cannot_be_loaded_is_refused_and_the_others_go_on(
    bench: Any, checkpoint: Callable[..., Path], until: Callable[..., None], source: ModelSource, reason: str
) -> None:
    folder = checkpoint("one")
    side = SourceSide.load(folder)
    bench.start(CheckpointSource(folder, FLOAT32)).start()
    wait_for(bench, side, ["bread"])
    bench.stage.load_beside("new@1", source)
    until(lambda: bench.stage.refusal("new@1"), "it is refused")

    assert reason in bench.stage.refusal("new@1")
    assert wait_for(bench, side, ["window"])


def test_a_model_that_does_not_fit_beside_the_others_is_refused(
    bench: Any, checkpoint: Callable[..., Path], until: Callable[..., None]
) -> None:
    folders = [checkpoint("one"), checkpoint("second")]
    side = SourceSide.load(folders[0])
    bench.start(CheckpointSource(folders[0], FLOAT32), memory_bytes=4 * side.weights + 8).start()
    wait_for(bench, side, ["bread"])
    bench.stage.load_beside("new@1", CheckpointSource(folders[1], FLOAT32))
    until(lambda: bench.stage.refusal("new@1"), "it is refused")

    assert "DRAGOMAN_MODEL_MEMORY_BYTES" in bench.stage.refusal("new@1")
    assert bench.metric("model_evictions_total") == 0


def test_the_stage_fails_when_a_model_does_not_fit_the_memory_at_all(
    bench: Any, checkpoint: Callable[..., Path]
) -> None:
    with pytest.raises(DeviceLostError, match="DRAGOMAN_MODEL_MEMORY_BYTES"):
        bench.start(CheckpointSource(checkpoint("small"), FLOAT32), memory_bytes=100).prepare()


def test_the_source_side_is_that_of_the_translator(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("small")
    side, translator = SourceSide.load(folder), Translator.load(folder, "cpu", "reference")

    assert side.version == translator.version
    assert side.pairs == translator.pairs
    assert side.max_source_pieces == translator.max_source_pieces
    assert side.encode(SENTENCES) == translator.encode(SENTENCES)
    assert side.weights == sum(one.numel() for one in translator.checkpoint.network.parameters())


def test_a_folder_of_checkpoints_is_all_of_them(checkpoint: Callable[..., Path]) -> None:
    folders = [checkpoint("one"), checkpoint("second")]

    assert model_sources(str(folders[0].parent), FLOAT32) == tuple(CheckpointSource(one, FLOAT32) for one in folders)


def test_models_are_named_in_the_order_of_preference(checkpoint: Callable[..., Path]) -> None:
    folder, imported = checkpoint("one"), f"{MODULE}:PoisonTranslator"

    found = model_sources(f"{imported}, {folder}", FLOAT32)

    assert found == (ImportedSource(imported), CheckpointSource(folder, FLOAT32))


def test_a_model_that_cannot_be_imported_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        ImportedSource("dragoman.nowhere:Model").describe()


def test_the_worker_loads_no_pytorch_for_reading_models(checkpoint: Callable[..., Path]) -> None:
    program = (
        "import sys; from dragoman.settings import Settings; import dragoman.worker.worker; "
        "from dragoman.worker.devices.serving import Serving; "
        f"served = Serving.as_set(Settings(checkpoint={str(checkpoint('small'))!r})).served; "
        "served.serving('en', 'fr', None).encode(['bread'], 'fr'); "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
