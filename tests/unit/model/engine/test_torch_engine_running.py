"""The running batch of the torch engine: arrivals, neighbours, cancelling, closing, memory."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.recurrent import RecurrentConfig, RecurrentNetwork
from dragoman.model.decoding import Hypothesis, Sampling, SearchOptions
from dragoman.model.engine.device.running_batch import RunningBatch
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.device.streams import Mark
from dragoman.model.engine.torch_engine import TorchEngine
from dragoman.model.engine.turns import DeviceTurns

GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=4, n_best=2)


def pieces(found: Any) -> list[list[tuple[int, ...]]]:
    return [[one.pieces for one in many] for many in found]


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not holds():
        pause.wait(0.001)


@pytest.mark.parametrize(("runs_in_flight", "steps_per_run"), [(1, 1), (2, 3), (3, 5)])
def test_refilled_slots_find_what_a_segment_finds_alone(
    random_network: Any, torch_engine: Any, ask: Any, alone: Any, runs_in_flight: Any, steps_per_run: Any
) -> None:
    network, requests = random_network(), ask([GREEDY, BEAM, GREEDY] * 8)
    engine = torch_engine(network, rows=8, runs_in_flight=runs_in_flight, steps_per_run=steps_per_run)
    order = random.Random(steps_per_run).sample(requests, len(requests))
    for first in range(0, len(order), 5):
        engine.submit(order[first : first + 5])
    found = [request.future.result(timeout=60) for request in requests]
    assert pieces(found) == pieces(alone(network, requests))


def test_results_are_bit_for_bit_the_same_in_any_order_when_shapes_are_fixed(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any
) -> None:
    requests, again = ask([GREEDY, BEAM] * 6), ask([GREEDY, BEAM] * 6)
    engine = torch_engine(random_network(), shapes="fixed", encoder_rows=8)
    together = answers(engine, requests)
    one_by_one = {id(one): answers(engine, [one])[0] for one in random.Random(1).sample(again, len(again))}
    assert [one_by_one[id(one)] for one in again] == together


def test_segments_join_when_nothing_runs_though_their_sources_are_late(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, monkeypatch: Any
) -> None:
    # On a CPU every mark is reached at once; so they are not on a device that encodes beside the decoding.
    monkeypatch.setattr(Mark, "is_reached", False)
    network, requests = random_network(), ask([GREEDY, BEAM] * 6)
    assert pieces(answers(torch_engine(network, rows=8), requests)) == pieces(alone(network, requests))


@pytest.mark.parametrize("runs_in_flight", [1, 2])
@pytest.mark.parametrize("options", [GREEDY, BEAM])
def test_running_segments_move_to_low_slots_when_most_have_finished(
    random_network: Any, ask: Any, alone: Any, options: Any, runs_in_flight: Any
) -> None:
    network = random_network()
    endless = replace(options, min_pieces=30)
    requests = ask([endless] * 12, limit=2) + ask([endless] * 6, limit=30)
    size = options.beam_size
    settings = DeviceSettings(rows=18 * size, beam_sizes=(size,), steps_per_run=2, runs_in_flight=runs_in_flight)
    batch, found = RunningBatch(network, torch.device("cpu"), settings), dict[int, list[Hypothesis]]()
    with torch.inference_mode(), batch.ordered():
        batch.admit(requests)
        found |= {id(request): hypotheses for request, hypotheses in batch.advance()}
        before = {segment.slot for segment in batch.lanes[0].live}
        while not batch.is_empty:
            after = {segment.slot for segment in batch.lanes[0].live}
            found |= {id(request): hypotheses for request, hypotheses in batch.advance()}
    assert max(before) >= 8 > max(after)
    assert pieces([found[id(request)] for request in requests]) == pieces(alone(network, requests))


def test_a_cancelled_segment_frees_its_slot_while_others_run_on(
    random_network: Any, torch_engine: Any, ask: Any, alone: Any
) -> None:
    network, requests = random_network(), ask([SearchOptions(beam_size=1, min_pieces=60)] * 12, limit=60)
    engine = torch_engine(network, rows=1)
    engine.submit(requests)
    cancelled = [request for request in requests[:-1] if request.future.cancel()]
    assert cancelled
    assert pieces([requests[-1].future.result(timeout=60)]) == pieces(alone(network, requests[-1:]))
    assert all(request.future.cancelled() for request in cancelled)


def test_a_cancelled_segment_leaves_the_running_batch_within_a_run(random_network: Any, ask: Any) -> None:
    [request] = ask([SearchOptions(beam_size=1, min_pieces=60)], limit=60)
    batch = RunningBatch(random_network(), torch.device("cpu"), DeviceSettings(rows=2, beam_sizes=(1,)))
    with torch.inference_mode(), batch.ordered():
        batch.admit([request])
        assert (list(batch.advance()), batch.lanes[0].free, batch.is_empty) == ([], 1, False)
        request.future.cancel()
        assert batch.drop_cancelled() == [request]
    assert (batch.lanes[0].free, batch.is_empty) == (2, True)


def test_close_fails_what_runs_and_what_waits_and_refuses_more(
    random_network: Any, torch_engine: Any, ask: Any
) -> None:
    requests = ask([SearchOptions(beam_size=1, min_pieces=60)] * 40, limit=60)
    engine = torch_engine(random_network(), rows=1)
    engine.submit(requests)
    engine.close()
    errors = [request.future.exception(timeout=0) for request in requests]
    assert isinstance(errors[-1], ConfigurationError)
    assert engine.cache_bytes == 0
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(ask([GREEDY]))


def test_close_twice_is_close_once(random_network: Any, torch_engine: Any) -> None:
    engine = torch_engine(random_network())
    engine.close()
    engine.close()
    assert not engine._thread.is_alive()


def test_buffers_do_not_grow_over_many_segments(random_network: Any, torch_engine: Any, ask: Any, answers: Any) -> None:
    engine = torch_engine(random_network(), rows=8)
    answers(engine, ask([GREEDY, BEAM]))
    before = engine.cache_bytes
    answers(engine, ask([GREEDY, BEAM] * 15))
    assert engine.cache_bytes == before <= engine.settings.cache_bytes


def test_submit_times_out_while_too_many_wait(random_network: Any, torch_engine: Any, ask: Any) -> None:
    release = threading.Event()
    engine = torch_engine(random_network(), rows=1, waiting_segments=1)
    blocking = ask([GREEDY] * 6)
    held = [type(one)(one.source, one.options, one.limit, lambda _: release.wait(60)) for one in blocking]
    with pytest.raises(TimeoutError, match="more slowly"):
        engine.submit(held, timeout_seconds=0.2)
    release.set()


def test_a_failing_conversion_is_the_answer_of_its_segment_only(
    random_network: Any, torch_engine: Any, ask: Any
) -> None:
    good, bad = ask([GREEDY, GREEDY])

    def fail(found: Any) -> None:
        raise ValueError("no such text")

    failing = type(bad)(bad.source, bad.options, bad.limit, fail)
    torch_engine(random_network()).submit([failing, good])
    assert good.future.result(timeout=60)
    with pytest.raises(ValueError, match="no such text"):
        failing.future.result(timeout=60)


@pytest.mark.parametrize(
    ("options", "limit", "settings", "why"),
    [
        (SearchOptions(beam_size=5), 10, {}, "too wide.*widest has 4"),
        (GREEDY, 64, {}, "up to 64 pieces does not fit, there is room for 63.*target_pieces"),
        (GREEDY, 10, {"source_pieces": 3}, "split it into sentences, or raise source_pieces"),
        (BEAM, 10, {"cache_bytes": 1 << 16}, "MiB of keys and values.*raise cache_bytes"),
        (SearchOptions(beam_size=1, prefix=(9, 9, 9)), 2, {}, "prefix of 3 pieces"),
        (SearchOptions(sampling=Sampling()), 10, {}, "take the reference engine"),
        (SearchOptions(beam_size=1, no_repeat_ngram=2), 10, {}, "take the reference engine"),
        (SearchOptions(beam_size=1, alignment="hard"), 10, {}, "take the reference engine"),
    ],
)
def test_a_segment_that_can_never_be_decoded_is_refused_in_its_future(
    random_network: Any, torch_engine: Any, ask: Any, options: Any, limit: Any, settings: Any, why: Any
) -> None:
    longest = max(ask([options] * 20, limit), key=lambda request: len(request.source))
    torch_engine(random_network(), **settings).submit([longest])
    with pytest.raises(ConfigurationError, match=why):
        longest.future.result(timeout=60)


def test_a_segment_is_refused_with_what_to_lower_when_the_device_has_no_room(
    random_network: Any, torch_engine: Any, ask: Any, monkeypatch: Any
) -> None:
    def full(*size: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = torch_engine(random_network())
    monkeypatch.setattr(torch, "zeros", full)
    [request] = ask([GREEDY])
    engine.submit([request])
    with pytest.raises(ConfigurationError, match=r"no room for .* GiB .* lower cache_bytes"):
        request.future.result(timeout=60)


def test_everybody_gets_the_error_that_ends_the_engine(
    random_network: Any, torch_engine: Any, ask: Any, monkeypatch: Any
) -> None:
    engine = torch_engine(random_network())
    requests = ask([GREEDY] * 30)
    failure = RuntimeError("the device is lost")

    def lose(*args: Any) -> None:
        raise failure

    monkeypatch.setattr(engine._batch._streams, "launch", lose)
    engine.submit(requests[:1])
    assert requests[0].future.exception(timeout=60) is failure
    engine._thread.join(60)
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(requests[1:])


def test_engine_steps_only_in_its_turn_of_the_device(random_network: Any, ask: Any) -> None:
    turns, requests = DeviceTurns(), ask([GREEDY])
    with turns.turn("another model"):
        engine = TorchEngine(random_network(), torch.device("cpu"), DeviceSettings(rows=4), turns)
        engine.submit(requests)
        until(lambda: engine in turns._waiting)
        assert engine.occupancy.steps == 0
    assert requests[0].future.result(timeout=60)
    engine.close()
    assert turns._used_seconds.keys() == {"another model"}


def test_occupancy_counts_the_rows_of_all_lanes_that_run(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any
) -> None:
    # Beams of 4 take all 8 rows of their lane, greedy segments 3 of another 8.
    engine = torch_engine(random_network(), rows=8)
    long = [replace(options, min_pieces=60) for options in (GREEDY, GREEDY, GREEDY, BEAM, BEAM)]
    answers(engine, ask(long, limit=60))

    assert engine.occupancy.segments == 5
    assert 0 < engine.occupancy.share <= 1


def test_two_models_on_one_device_are_both_answered(random_network: Any, ask: Any, alone: Any) -> None:
    turns, networks = DeviceTurns(), [random_network(), random_network(decoder_layers=1)]
    asked = [ask([GREEDY, BEAM] * 4) for _ in networks]
    expected = [pieces(alone(network, requests)) for network, requests in zip(networks, asked, strict=True)]
    engines = [TorchEngine(one, torch.device("cpu"), DeviceSettings(rows=4), turns) for one in networks]
    for engine, requests in zip(engines, asked, strict=True):
        engine.submit(requests)
    found = [pieces(request.future.result(timeout=60) for request in requests) for requests in asked]
    for engine in engines:
        engine.close()
    assert found == expected


def test_another_architecture_is_refused() -> None:
    network = RecurrentNetwork(RecurrentConfig(300))
    with pytest.raises(ConfigurationError, match="take the reference engine"):
        TorchEngine(network, torch.device("cpu"), DeviceSettings())
