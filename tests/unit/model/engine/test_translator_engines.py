"""The translator with an engine: which one, what it refuses, what goes to the reference, what it keeps in memory."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.recurrent import RecurrentConfig, RecurrentNetwork
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.decoding import Sampling, SearchOptions
from dragoman.model.engine import choosing, native_core, torch_engine
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.turns import turns_on
from dragoman.model.shortlist import Shortlist
from dragoman.model.translator import Translation, Translator
from dragoman.model.vocabularies.vocabulary import END

TEXTS = ["My sister sells warm bread.", "", "The old bridge crosses the river.", "Yes.", "Yes."]
Load = Callable[..., Translator]


@pytest.fixture
def load(checkpoint_folder: Path) -> Iterator[Load]:
    """Loads the tiny checkpoint, or the one of a folder; translators are closed after the test."""
    loaded: list[Translator] = []

    def make(engine: Any = "native", precision: Any = "float32", **more: Any) -> Translator:
        folder = more.pop("folder", checkpoint_folder)
        loaded.append(Translator.load(folder, "cpu", engine, precision, more.pop("limits", None)))
        return loaded[-1]

    yield make
    for translator in loaded:
        translator.close()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise ConfigurationError("no C compiler is here")

    monkeypatch.setattr(native_core, "native_library", fail)


@pytest.fixture
def shortlisted(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """The tiny checkpoint with a shortlist: every piece becomes one of the next three."""
    size = len(tiny_checkpoint.vocabulary)
    starts = np.clip(3 * (np.arange(size + 1) - 4), 0, 3 * (size - 7)).astype(np.int32)
    pieces = np.concatenate([np.arange(first, first + 3) for first in range(5, size - 2)]).astype(np.int32)
    shortlist = Shortlist(starts, pieces, np.array([END, 7, 9], np.int32))
    save_checkpoint(replace(tiny_checkpoint, shortlist=shortlist), tmp_path / "short")
    return tmp_path / "short"


@pytest.fixture
def recurrent(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    size = len(tiny_checkpoint.vocabulary)
    network = RecurrentNetwork(RecurrentConfig(size, width=8, state=8)).eval()
    save_checkpoint(replace(tiny_checkpoint, network=network), tmp_path / "recurrent")
    return tmp_path / "recurrent"


def assert_equal(found: list[Translation], expected: list[Translation]) -> None:
    assert [one.text for one in found] == [one.text for one in expected]
    assert [one.target_pieces for one in found] == [one.target_pieces for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.piece_scores == pytest.approx(other.piece_scores, abs=1e-5)
        assert [more.text for more in one.alternatives] == [more.text for more in other.alternatives]


@pytest.mark.parametrize("options", [SearchOptions(1), SearchOptions(4, n_best=3), SearchOptions(2, max_pieces=0)])
def test_native_engine_translates_as_the_reference(load: Load, options: SearchOptions) -> None:
    assert_equal(load().translate(TEXTS, options), load("reference").translate(TEXTS, options))


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_engine_takes_the_shortlist_of_each_segment(load: Load, shortlisted: Path, engine: str, beam_size: int) -> None:
    options = SearchOptions(beam_size, vocabulary="shortlist")
    translator = load(engine, folder=shortlisted)
    found = translator.translate(TEXTS, options)

    assert_equal(found, load("reference", folder=shortlisted).translate(TEXTS, options))
    assert translator.occupancy.steps > 0  # type: ignore[union-attr]


def test_shortlist_of_a_model_without_one_is_refused(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="has no shortlist: learn one with"):
        load().submit(TEXTS, SearchOptions(1, vocabulary="shortlist"))


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(sampling=Sampling(seed=3), n_best=2),
        SearchOptions(2, alignment="soft"),
        SearchOptions(1, alignment="hard"),
        SearchOptions(3, coverage_penalty=0.4),
        SearchOptions(2, no_repeat_ngram=2),
    ],
    ids=["sampling", "soft", "hard", "coverage", "ngram"],
)
def test_what_the_engine_does_not_know_is_the_references(load: Load, options: SearchOptions) -> None:
    translator, reference = load(), load("reference")
    submitted = [future.result(timeout=60) for future in translator.submit(TEXTS, options)]

    assert submitted == reference.translate(TEXTS, options)
    assert translator.translate(TEXTS, options) == submitted
    assert translator.engine_name == "native float32"


def test_submitted_texts_are_translated_by_the_reference_too(load: Load) -> None:
    reference = load("reference")
    futures = reference.submit(TEXTS, SearchOptions(2))

    assert [future.result(timeout=60) for future in futures] == reference.translate(TEXTS, SearchOptions(2))


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_threads_that_submit_at_once_get_their_own_translations(load: Load, engine: str) -> None:
    translator = load(engine, limits=EngineLimits(rows=4, waiting=8))
    texts = [f"{text} {number}" for number in range(6) for text in TEXTS]
    with ThreadPoolExecutor(4) as callers:
        futures = [callers.submit(translator.submit, texts[first::4], SearchOptions(2)) for first in range(4)]
    found = [[one.result(timeout=60) for one in future.result(timeout=60)] for future in futures]
    expected = translator.translate(texts, SearchOptions(2))

    assert found == [expected[first::4] for first in range(4)]


def test_urgent_texts_and_plain_ones_are_the_same(load: Load) -> None:
    translator = load()
    futures = [translator.submit(TEXTS, SearchOptions(1), priority=priority) for priority in (2, -1, 0)]
    first, *others = [[one.result(timeout=60) for one in some] for some in futures]

    assert others == [first, first]


def test_too_long_text_is_refused_before_anything_is_submitted(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"text 2 has .* pieces, the model takes"):
        load().submit(["Yes.", "violin " * 90])


@pytest.mark.parametrize("piece", [-1, 340])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_prefix_piece_that_the_model_does_not_have_is_refused(load: Load, engine: str, piece: int) -> None:
    translator = load(engine)
    size = len(translator.checkpoint.vocabulary)

    with pytest.raises(ConfigurationError, match=f"a piece of the prefix is none of the model's {size}"):
        translator.translate(["Yes."], SearchOptions(1, prefix=(5, piece)))


@pytest.mark.parametrize("beam_size", [1, 2])
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_segment_with_nothing_but_end_ends_as_in_the_reference(
    load: Load, tiny_checkpoint: Checkpoint, tmp_path: Path, engine: str, beam_size: int
) -> None:
    size = len(tiny_checkpoint.vocabulary)
    only_end = Shortlist(np.zeros(size + 1, np.int32), np.zeros(0, np.int32), np.array([END], np.int32))
    save_checkpoint(replace(tiny_checkpoint, shortlist=only_end), tmp_path / "end")
    options = SearchOptions(beam_size, min_pieces=2, vocabulary="shortlist")
    expected = load("reference", folder=tmp_path / "end").translate(["Yes."], options)

    assert_equal(load(engine, folder=tmp_path / "end").translate(["Yes."], options), expected)


@pytest.mark.parametrize(
    ("engine", "precision", "sentence"),
    [
        ("onnx", "auto", "there is no engine 'onnx': take native, torch, ctranslate2, reference, or auto"),
        ("onnx", "float32", "there is no engine 'onnx'"),
        ("native", "bfloat16", "the engine native has no precision bfloat16: take int8, int8-exact, float32"),
        ("torch", "int8", "the engine torch has no precision int8: take bfloat16, float16, float32"),
        ("reference", "int8", "the engine reference has no precision int8: take float32"),
        ("auto", "float16", "on cpu the precision float16 is not to be had: take int8, int8-exact, float32"),
    ],
)
def test_engine_and_precision_that_do_not_fit_are_refused(
    load: Load, engine: str, precision: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load(engine, precision)


@pytest.mark.parametrize(
    ("precision", "name"),
    [
        ("auto", "native int8-exact"),
        ("int8", "native int8"),
        ("int8-exact", "native int8-exact"),
        ("float32", "native float32"),
    ],
)
def test_automatic_engine_is_the_native_one(load: Load, precision: str, name: str) -> None:
    assert load("auto", precision).engine_name == name


def test_automatic_precision_is_the_fastest_where_the_network_is_wide_enough(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "NARROW", 8)
    assert load("auto", "auto").engine_name == "native int8"


def test_automatic_engine_of_another_architecture_is_the_reference(load: Load, recurrent: Path) -> None:
    translator = load("auto", "auto", folder=recurrent)

    assert (translator.engine, translator.engine_name) == (None, "reference float32")
    with pytest.raises(ConfigurationError, match="on cpu the precision int8 is not to be had: take float32"):
        load("auto", "int8", folder=recurrent)


def test_native_engine_refuses_another_architecture(load: Load, recurrent: Path) -> None:
    with pytest.raises(ConfigurationError, match="only the architecture transformer, this is a RecurrentNetwork"):
        load("native", "auto", folder=recurrent)


@pytest.mark.usefixtures("no_compiler")
def test_automatic_engine_is_the_reference_where_there_is_no_compiler(load: Load) -> None:
    with structlog.testing.capture_logs() as logs:
        translator = load("auto", "auto")

    assert translator.engine_name == "reference float32"
    assert [(log["event"], log["log_level"], log["reason"]) for log in logs] == [
        ("native_engine_unavailable", "warning", "no C compiler is here")
    ]
    assert len(translator.translate(TEXTS)) == len(TEXTS)


@pytest.mark.usefixtures("no_compiler")
def test_native_engine_is_refused_where_there_is_no_compiler(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="no C compiler is here"):
        load("native")


def test_weights_are_not_kept_twice_and_come_back_for_the_reference(load: Load) -> None:
    translator = load()
    before = {parameter.is_meta for parameter in translator.checkpoint.network.parameters()}
    translator.translate(TEXTS, SearchOptions(2))
    still = {parameter.is_meta for parameter in translator.checkpoint.network.parameters()}
    translator.translate(TEXTS, SearchOptions(2, alignment="hard"))

    assert (before, still) == ({True}, {True})
    assert {parameter.is_meta for parameter in translator.checkpoint.network.parameters()} == {False}


def test_closed_translator_refuses_and_closes_twice(load: Load) -> None:
    translator = load()
    translator.close()
    translator.close()

    with pytest.raises(ConfigurationError, match="the translator is closed: load it again"):
        translator.submit(TEXTS)


def test_closed_translator_of_the_reference_refuses(load: Load) -> None:
    translator = load("reference")
    translator.submit(TEXTS)
    translator.close()

    with pytest.raises(ConfigurationError, match="the translator is closed: load it again"):
        translator.submit(TEXTS)


@pytest.mark.parametrize("options", [SearchOptions(1), SearchOptions(1, alignment="hard")], ids=["engine", "reference"])
def test_translator_that_nobody_holds_stops_its_threads(checkpoint_folder: Path, options: SearchOptions) -> None:
    before = set(threading.enumerate())
    translator = Translator.load(checkpoint_folder, "cpu", "native", "float32")
    [future, *_] = translator.submit(TEXTS, options)
    future.result(timeout=60)
    started = set(threading.enumerate()) - before
    gone = weakref.ref(translator)
    del translator, future
    gc.collect()
    for thread in started:
        thread.join(timeout=60)

    assert gone() is None
    assert started
    assert {thread.is_alive() for thread in started} == {False}


def test_torch_engine_gives_the_same_bits_in_any_batch_where_shapes_are_fixed(load: Load) -> None:
    translator = load("torch", limits=EngineLimits(rows=4, shapes="fixed"))
    together = translator.translate(TEXTS, SearchOptions(1))

    assert [translator.translate([text], SearchOptions(1))[0] for text in TEXTS] == together
    assert translator.engine.settings.shapes == "fixed"  # type: ignore[union-attr]


def test_shapes_that_there_are_not_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="take fitting or fixed"):
        EngineLimits(shapes="round")


@pytest.mark.parametrize(("name", "device"), [("cpu", "cpu"), ("cuda:0", "cuda"), ("cuda:0", "cuda:0")])
def test_torch_engine_takes_the_turns_of_its_device(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint, name: str, device: str
) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(torch_engine, "TorchEngine", lambda *given: taken.append(given[-1]))
    monkeypatch.setattr(DeviceSettings, "of", lambda *_: DeviceSettings())
    choosing.choose_engine(tiny_checkpoint, torch.device(device), ("torch", "float32"), EngineLimits())

    assert taken == [turns_on(name)]


def test_two_translators_of_one_device_share_it(load: Load) -> None:
    first, second = load(), load("native", "int8")
    futures = [one.submit(TEXTS * 10, SearchOptions(2)) for one in (first, second)]
    found = [[future.result(timeout=60) for future in some] for some in futures]

    assert first.engine._turns is second.engine._turns  # type: ignore[union-attr]
    assert found[0] == first.translate(TEXTS, SearchOptions(2)) * 10
    assert found[1] == second.translate(TEXTS, SearchOptions(2)) * 10


def test_nothing_is_padded_by_the_native_engine(load: Load) -> None:
    sources = [[5], [5] * 30]

    assert load().padding_ratio(sources) == 0
    assert load("reference").padding_ratio(sources) > 0
