"""The torch engine with shortlists: what the reference finds, whatever runs beside it; free where there is none."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import Hypothesis, SearchOptions
from dragoman.model.engine.device.running_batch import RunningBatch
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.request import Request
from dragoman.model.vocabularies.vocabulary import END, UNKNOWN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

VOCABULARY_SIZE = 300
GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=4, n_best=4)
FEW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def shortlist(*pieces: int) -> NDArray[np.int32]:
    return np.array(sorted({END, *pieces}), np.int32)


def listed(requests: Sequence[Request], seed: int, pieces: int = 40) -> list[Request]:
    """The same requests, each with a random shortlist of its own."""
    numbers = random.Random(seed)
    return [
        again(one, shortlist(*one.options.prefix, *numbers.sample(range(4, VOCABULARY_SIZE), pieces)))
        for one in requests
    ]


def again(one: Request, allowed: NDArray[np.int32] | None) -> Request:
    return Request(one.source, one.options, one.limit, one.convert, one.priority, shortlist=allowed)


def any_sort(numbers: random.Random) -> Request:
    """A request with any options that the running batch knows, with a shortlist or without one."""
    beam_size, limit = numbers.choice((1, 1, 2, 3, 4)), numbers.randrange(1, 12)
    options = SearchOptions(
        beam_size=beam_size,
        n_best=numbers.randrange(1, beam_size + 1),
        min_pieces=numbers.choice((0, 0, 2, 8)),
        length_penalty=numbers.choice((0.0, 0.6, 1.0, 2.0)),
        prefix=tuple(numbers.sample((UNKNOWN, 6, 7), numbers.choice((0, 0, 0, 1, min(limit, 3))))),
    )
    source = (*numbers.sample(range(4, VOCABULARY_SIZE), numbers.randrange(14)), END)
    pieces = numbers.sample(range(4, VOCABULARY_SIZE), numbers.choice((0, 1, 3, 30, 200)))
    allowed = shortlist(*options.prefix, *pieces) if numbers.random() < 0.6 else None
    return Request(source, options, limit, tuple, numbers.randrange(3), shortlist=allowed)


def same(found: Sequence[Sequence[Hypothesis]], expected: Sequence[Sequence[Hypothesis]]) -> None:
    assert [[one.pieces for one in many] for many in found] == [[one.pieces for one in many] for many in expected]
    assert _numbers(found) == pytest.approx(_numbers(expected), abs=1e-4)


def _numbers(found: Sequence[Sequence[Hypothesis]]) -> list[float]:
    return [number for many in found for one in many for number in (one.score, *one.piece_scores)]


@FEW
@given(seed=st.integers(0, 10**6), steps_per_run=st.integers(1, 5), runs_in_flight=st.integers(1, 3))
def test_hypotheses_are_the_references_for_any_arrivals(
    random_network: Any, torch_engine: Any, alone: Any, seed: int, steps_per_run: int, runs_in_flight: int
) -> None:
    numbers, network = random.Random(seed), random_network(output_bias="learned")
    asked = [any_sort(numbers) for _ in range(24)]
    engine = torch_engine(
        network, rows=numbers.randrange(4, 20), steps_per_run=steps_per_run, runs_in_flight=runs_in_flight
    )
    # Three callers, one segment at a time: they come while others run.
    with ThreadPoolExecutor(3) as callers:
        for one in asked:
            callers.submit(engine.submit, [one])
    same([one.future.result(timeout=60) for one in asked], alone(network, asked))


@FEW
@given(seed=st.integers(0, 10**6))
def test_hypotheses_are_the_same_bits_with_any_neighbours_when_shapes_are_fixed(
    random_network: Any, torch_engine: Any, answers: Any, seed: int
) -> None:
    numbers = random.Random(seed)
    asked = [any_sort(numbers) for _ in range(16)]
    engine = torch_engine(random_network(), shapes="fixed", encoder_rows=4, rows=8)
    together = answers(engine, [again(one, one.shortlist) for one in asked])
    one_by_one = [answers(engine, [one])[0] for one in asked]

    assert together == one_by_one


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_translation_is_made_of_its_own_shortlist(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, options: Any
) -> None:
    lists = [shortlist(*range(first, first + 20)) for first in range(4, 244, 20)]
    requests = [again(one, allowed) for one, allowed in zip(ask([options] * 12), lists, strict=True)]
    found = answers(torch_engine(random_network()), requests)

    strangers = [
        {*one.pieces} - {*allowed.tolist()} for allowed, many in zip(lists, found, strict=True) for one in many
    ]
    assert strangers == [set()] * len(strangers)


@pytest.mark.parametrize("options", [GREEDY, replace(BEAM, n_best=1)], ids=["greedy", "beam"])
@pytest.mark.parametrize("pieces", [(), (44,), (44, 45)])
def test_a_beam_wider_than_the_shortlist_finds_what_the_reference_finds(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, options: Any, pieces: Any
) -> None:
    network = random_network()
    requests = [again(one, shortlist(*pieces)) for one in ask([options, replace(options, min_pieces=3)] * 2)]

    same(answers(torch_engine(network), requests), alone(network, requests))


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_shortlist_moves_with_its_segment(random_network: Any, ask: Any, alone: Any, options: Any) -> None:
    network, endless = random_network(), replace(options, min_pieces=30)
    requests = listed(ask([endless] * 12, limit=2) + ask([endless] * 6, limit=30), seed=3)
    size = options.beam_size
    batch = RunningBatch(network, torch.device("cpu"), DeviceSettings(rows=18 * size, beam_sizes=(size,)))
    found: dict[int, list[Hypothesis]] = {}
    slots: list[int] = []
    with torch.inference_mode(), batch.ordered():
        batch.admit(requests)
        while not batch.is_empty:
            found |= {id(request): hypotheses for request, hypotheses in batch.advance()}
            slots += [max((segment.slot for segment in batch.lanes[0].live), default=0)]

    assert slots[0] >= 8 > slots[-2]
    same([found[id(request)] for request in requests], alone(network, requests))


def launched(monkeypatch: pytest.MonkeyPatch, batch: RunningBatch, requests: Sequence[Request]) -> list[bool]:
    """Of each run that the requests took, whether its steps looked at shortlists."""
    looked: list[bool] = []
    launch: Callable[..., None] = batch._streams.launch

    def note(shape: Any, step: Any, times: int) -> None:
        looked.append(shape[1].shortlists)
        launch(shape, step, times)

    monkeypatch.setattr(batch._streams, "launch", note)
    with torch.inference_mode(), batch.ordered():
        batch.admit(requests)
        while not batch.is_empty:
            list(batch.advance())
    return looked


def test_steps_look_at_shortlists_only_while_a_segment_has_one(
    random_network: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = replace(GREEDY, min_pieces=60)
    batch = RunningBatch(random_network(), torch.device("cpu"), DeviceSettings(rows=8, beam_sizes=(1,)))
    requests = [*listed(ask([endless], limit=8), seed=2), *ask([endless], limit=30)]
    looked = launched(monkeypatch, batch, requests)

    assert looked == sorted(looked, reverse=True)
    assert {*looked} == {True, False}


def test_no_step_looks_at_shortlists_when_there_is_none(
    random_network: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = RunningBatch(random_network(), torch.device("cpu"), DeviceSettings(rows=16))

    assert {*launched(monkeypatch, batch, ask([GREEDY, BEAM] * 4))} == {False}


@pytest.mark.parametrize(
    ("allowed", "prefix", "why"),
    [
        ([], (), "empty"),
        ([-1, END], (), "names a piece that the network does not have: it has 300"),
        ([END, 300], (), "names a piece that the network does not have: it has 300"),
        ([9, 12], (), r"lacks \[3\], which END or the prefix needs"),
        ([END, 9], (9, 12), r"lacks \[12\], which END or the prefix needs"),
    ],
)
def test_a_shortlist_that_cannot_be_is_refused_in_its_future(
    random_network: Any, torch_engine: Any, ask: Any, allowed: Any, prefix: Any, why: Any
) -> None:
    [plain] = ask([replace(GREEDY, prefix=prefix)])
    request = again(plain, np.array(allowed, np.int32))
    torch_engine(random_network()).submit([request])

    with pytest.raises(ConfigurationError, match=why):
        request.future.result(timeout=60)
