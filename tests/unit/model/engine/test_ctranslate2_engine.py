"""CTranslate2 behind the face of an engine finds what the reference finds, with scores that can be compared."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.catalog import build
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.decoding.options import Sampling
from dragoman.model.engine.ctranslate2 import CTranslate2Engine, Precision
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.request import Request
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN

CPU = torch.device("cpu")
GREEDY = SearchOptions(beam_size=1)
LIMIT = 12
Start = Callable[..., CTranslate2Engine]


@pytest.fixture(scope="module")
def checkpoint(tokenizer: SubwordVocabulary) -> Checkpoint:
    """Random weights; marks are as unlikely as in a trained network, so that it does not matter who may have them."""
    torch.manual_seed(5)
    shape = TransformerConfig(
        len(tokenizer), width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1, output_bias="learned"
    )
    network = Transformer(shape)
    for parameter in network.parameters():
        parameter.data += torch.randn(parameter.shape) * 0.5
    bias = network.output_bias
    assert bias is not None
    bias.data[[PAD, UNKNOWN, BEGIN]] = -30.0
    bias.data[END] = 4.0  # some translations end before the limit
    return Checkpoint("tiny", (("en", "fr"),), network.eval().requires_grad_(False), tokenizer, "# tiny\n")


@pytest.fixture
def start(checkpoint: Checkpoint) -> Iterator[Start]:
    """Starts engines in a precision; they are closed after the test."""
    started: list[CTranslate2Engine] = []

    def make(precision: Precision = "float32", **limits: int) -> CTranslate2Engine:
        started.append(CTranslate2Engine(checkpoint, CPU, precision, EngineLimits(threads=1, **limits)))
        return started[-1]

    yield make
    for engine in started:
        engine.close()


def ask(sources: Sequence[Sequence[int]], options: SearchOptions, limit: int = LIMIT) -> list[Request]:
    return [Request((*source, END), options, limit, tuple) for source in sources]


def answers(engine: CTranslate2Engine, requests: Sequence[Request]) -> list[Sequence[Hypothesis]]:
    engine.submit(requests)
    return [request.future.result(timeout=60) for request in requests]


def alone(checkpoint: Checkpoint, requests: Sequence[Request]) -> list[list[Hypothesis]]:
    """What the reference finds for each request by itself."""
    found = []
    for request in requests:
        with torch.inference_mode():
            state = checkpoint.network.start(torch.tensor([request.source]))
        found += search(checkpoint.network.step, state, Rows((request.limit,), CPU), request.options)
    return found


def reference_score(checkpoint: Checkpoint, request: Request, pieces: Sequence[int]) -> float:
    """The score that the reference gives to just these pieces."""
    forced = replace(request.options, beam_size=1, n_best=1, prefix=tuple(pieces), max_pieces=len(pieces))
    if len(pieces) < request.limit:  # END was chosen: it counts
        forced = replace(forced, max_pieces=None)
        network = checkpoint.network
        target = torch.tensor([[BEGIN, *pieces]])
        scores = network.logits(network(torch.tensor([request.source]), target))[0].log_softmax(-1)
        total = float(scores.gather(1, torch.tensor([[*pieces, END]]).T).sum())
        return request.options.finished_score(total, len(pieces))
    return alone(checkpoint, [Request(request.source, forced, len(pieces), tuple)])[0][0].score


def encoded(checkpoint: Checkpoint, sentences: Sequence[str]) -> list[list[int]]:
    return checkpoint.vocabulary.encode(sentences)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_greedy_pieces_and_scores_are_those_of_the_reference(
    start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...], penalty: float
) -> None:
    requests = ask(encoded(checkpoint, sentences), replace(GREEDY, length_penalty=penalty))

    found, expected = answers(start(), requests), alone(checkpoint, requests)

    assert [one.pieces for [one] in found] == [one.pieces for [one] in expected]
    assert [one.score for [one] in found] == pytest.approx([one.score for [one] in expected], abs=1e-3)
    assert {len(one.pieces) == LIMIT for [one] in found} == {True, False}


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_hypotheses_of_a_beam_have_the_scores_that_the_reference_gives_them(
    start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...], penalty: float
) -> None:
    options = SearchOptions(beam_size=4, n_best=3, length_penalty=penalty)
    requests = ask(encoded(checkpoint, sentences), options)

    found = answers(start(), requests)

    for request, hypotheses in zip(requests, found, strict=True):
        scores = [one.score for one in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx(
            [reference_score(checkpoint, request, one.pieces) for one in hypotheses], abs=1e-3
        )


def test_prefix_counts_in_pieces_and_scores(start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...]) -> None:
    prefix = tuple(checkpoint.vocabulary.encode_target(["Le pain"])[0])
    requests = ask(encoded(checkpoint, sentences), replace(GREEDY, prefix=prefix))

    found, expected = answers(start(), requests), alone(checkpoint, requests)

    assert [one.pieces for [one] in found] == [one.pieces for [one] in expected]
    for [one], [other] in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert one.piece_scores == pytest.approx(other.piece_scores, abs=1e-3)


def test_no_translation_is_shorter_than_the_fewest_pieces(
    start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...]
) -> None:
    requests = ask(encoded(checkpoint, sentences), replace(GREEDY, min_pieces=9))

    found, expected = answers(start(), requests), alone(checkpoint, requests)

    assert [one.pieces for [one] in found] == [one.pieces for [one] in expected]


@pytest.mark.parametrize("options", [GREEDY, replace(GREEDY, min_pieces=50)], ids=["free", "forced"])
def test_every_segment_keeps_its_own_limit_in_one_batch(
    start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...], options: SearchOptions
) -> None:
    sources = encoded(checkpoint, sentences)
    requests = [Request((*source, END), options, limit, tuple) for limit, source in enumerate(sources)]

    found, expected = answers(start(), requests), alone(checkpoint, requests)

    assert [one.pieces for [one] in found] == [one.pieces for [one] in expected]


def test_segment_without_pieces_has_an_empty_translation(start: Start) -> None:
    requests = ask([()], replace(GREEDY, length_penalty=-1.0)) + ask([()], replace(GREEDY, prefix=(7,)))

    assert [hypotheses[0].pieces for hypotheses in answers(start(), requests)] == [(), (7,)]


def test_different_options_are_answered_beside_each_other(
    start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...]
) -> None:
    sources = encoded(checkpoint, sentences)
    options = [replace(GREEDY, beam_size=1 + place % 3, n_best=1 + place % 3) for place in range(len(sources))]
    requests = [ask([source], one)[0] for source, one in zip(sources, options, strict=True)]

    found = answers(start(), requests)

    assert [len(hypotheses) for hypotheses in found] == [one.n_best for one in options]


def test_8_bit_weights_translate_too(start: Start, checkpoint: Checkpoint, sentences: tuple[str, ...]) -> None:
    engine = start("int8")

    found = answers(engine, ask(encoded(checkpoint, sentences), GREEDY))

    assert engine.name == "ctranslate2 int8"
    assert all(hypotheses[0].score < 0 for hypotheses in found)


def test_export_leaves_no_file_behind(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    engine = start()

    assert not list(tmp_path.iterdir())
    assert answers(engine, ask([[5, 6]], GREEDY))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sampling": Sampling()}, "sampling"),
        ({"coverage_penalty": 0.2}, "coverage penalty"),
        ({"alignment": "hard"}, "alignment"),
        ({"vocabulary": "shortlist"}, "shortlist"),
        ({"prefix": (7,) * (LIMIT + 1)}, "does not fit"),
    ],
)
def test_what_it_cannot_do_is_refused_alone(start: Start, change: dict[str, Any], named: str) -> None:
    refused, possible = ask([[5, 6]], replace(GREEDY, **change)) + ask([[5, 6]], GREEDY)

    start().submit([refused, possible])

    assert possible.future.result(timeout=60)
    with pytest.raises(ConfigurationError, match=named):
        refused.future.result(timeout=60)


def test_batch_that_fails_leaves_the_engine_running(start: Start, checkpoint: Checkpoint) -> None:
    engine = start()
    broken = ask([[len(checkpoint.vocabulary) + 1]], GREEDY)
    engine.submit(broken)

    with pytest.raises(IndexError):
        broken[0].future.result(timeout=60)
    assert answers(engine, ask([[5, 6]], GREEDY))


def busy(engine: CTranslate2Engine) -> tuple[Request, threading.Event]:
    """Has the engine's thread wait in a conversion until the event; returns once it does."""
    reached, free = threading.Event(), threading.Event()

    def convert(found: Sequence[Hypothesis]) -> Sequence[Hypothesis]:
        reached.set()
        free.wait(60)
        return found

    first = Request((5, END), GREEDY, LIMIT, convert)
    engine.submit([first])
    assert reached.wait(60)
    return first, free


def test_cancelled_segment_gets_no_answer(start: Start) -> None:
    engine = start()
    _, free = busy(engine)
    converted: list[object] = []
    cancelled = Request((6, END), GREEDY, LIMIT, converted.append)
    engine.submit([cancelled])

    assert cancelled.future.cancel()
    free.set()
    answers(engine, ask([[7]], GREEDY))
    assert not converted


def test_closing_fails_what_waits(start: Start) -> None:
    engine = start()
    first, free = busy(engine)
    waiting = ask([[6], [7]], GREEDY)
    engine.submit(waiting)

    closing = threading.Thread(target=engine.close)
    closing.start()
    for request in waiting:
        with pytest.raises(ConfigurationError, match="closed"):
            request.future.result(timeout=60)
    free.set()
    closing.join()
    assert first.future.result(timeout=60)
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(ask([[6]], GREEDY))


def test_full_queue_refuses_after_the_time_given(start: Start) -> None:
    engine = start(waiting=1)
    _, free = busy(engine)
    engine.submit(ask([[6]], GREEDY))

    with pytest.raises(TimeoutError):
        engine.submit(ask([[7]], GREEDY), timeout_seconds=0.01)
    free.set()


def test_other_architecture_is_refused(tokenizer: SubwordVocabulary) -> None:
    network = build("recurrent", {"vocabulary_size": len(tokenizer)})

    with pytest.raises(ConfigurationError, match="only the architecture transformer"):
        CTranslate2Engine(Checkpoint("r", (("en", "fr"),), network, tokenizer, ""), CPU, "float32")


@pytest.mark.parametrize(("device", "precision"), [("cpu", "float16"), ("cuda:63", "float32")])
def test_device_or_precision_that_is_not_there_is_a_sentence(
    checkpoint: Checkpoint, device: str, precision: Precision
) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot run {precision} on {device}"):
        CTranslate2Engine(checkpoint, torch.device(device), precision)


def test_missing_package_is_named_with_its_extra(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)

    with pytest.raises(ConfigurationError, match=r"ctranslate2: pip install 'dragoman\[ctranslate2\]'"):
        CTranslate2Engine(checkpoint, CPU, "float32")
