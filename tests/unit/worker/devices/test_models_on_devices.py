"""Checkpoints on devices in processes of their own: what they answer, and which of them are loaded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.source_side import SourceSide
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.tests.unit.worker.devices.poison import MODULE
from dragoman.worker.devices.device import DeviceLostError
from dragoman.worker.devices.model_source import CheckpointSource, EngineChoice, ImportedSource, model_sources

SENTENCES = (
    "The baker sells warm bread in the morning.",
    "Le boulanger vend du pain chaud le matin.",
    "My sister reads a long book near the window.",
    "Ma sœur lit un long livre près de la fenêtre.",
)
FLOAT32 = EngineChoice("native", "float32", threads=1)


@pytest.fixture(scope="module")
def vocabulary() -> SubwordVocabulary:
    return SubwordVocabulary.train(SENTENCES, 300)


@pytest.fixture
def checkpoint(vocabulary: SubwordVocabulary, tmp_path: Path) -> Callable[..., Path]:
    """Saves a small network with random weights."""

    def save(name: str, pair: tuple[str, str] = ("en", "fr")) -> Path:
        torch.manual_seed(len(name))
        shape = TransformerConfig(len(vocabulary), 16, 2, 32, 1, 1, max_positions=128)
        network = Transformer(shape).eval().requires_grad_(requires_grad=False)
        save_checkpoint(Checkpoint(name, (pair,), network, vocabulary, "# small\n"), tmp_path / name)
        return tmp_path / name

    return save


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
