"""The running batch over a scripted core: who comes when, who leaves, who fails with whom."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, wait
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import Hypothesis, SearchOptions
from dragoman.model.engine.core import NewSegment, StepRows
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.request import Request
from dragoman.model.vocabularies.vocabulary import END
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Start = Callable[..., Any]
LIMIT = 6
GREEDY = SearchOptions(beam_size=1)


def request(name: int, options: SearchOptions = GREEDY, limit: int = LIMIT, **more: Any) -> Request:
    """A segment whose source says which it is."""
    return Request((name, END), options, limit, tuple, **more)


def endless(name: int, limit: int, **more: Any) -> Request:
    """A segment whose translation is as long as its limit."""
    return request(name, SearchOptions(beam_size=1, min_pieces=limit), limit, **more)


def result(one: Request) -> Any:
    return one.future.result(timeout=60)


def is_refused(one: Request, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        result(one)


@pytest.fixture
def core(scripted_core: type[Any]) -> Any:
    return scripted_core()


@pytest.fixture
def held(core: Any, continuous_engine: Start) -> Callable[..., Any]:
    """Starts an engine with this request in the middle of its first step, until the core's gate opens."""

    def start(running: Request, **limits: int) -> Any:
        core.gate.clear()
        engine = continuous_engine(core, **limits)
        engine.submit([running])
        assert core.stepping.wait(timeout=60)
        return engine

    return start


def test_segments_come_by_priority_then_by_arrival(core: Any, held: Callable[..., Any]) -> None:
    engine = held(request(1), rows=1)
    asked = [request(name, priority=priority) for name, priority in ((2, 1), (3, 0), (4, 1), (5, -1), (6, 0))]
    engine.submit(asked)
    core.gate.set()
    for one in asked:
        result(one)

    assert [sources[0][0] for sources in core.opened] == [1, 5, 3, 6, 2, 4]


def test_segment_takes_the_place_of_one_that_finished_before_the_others(core: Any, held: Callable[..., Any]) -> None:
    long = endless(1, 50)
    engine = held(long, rows=2)
    short = [request(name, limit=2) for name in range(2, 12)]
    engine.submit(short)
    core.gate.set()
    result(long)

    assert all(one.future.done() for one in short)
    assert len(core.row_counts) == 50


def test_cancelled_segment_never_comes(core: Any, held: Callable[..., Any]) -> None:
    engine = held(request(1), rows=1)
    unwanted, wanted = request(2), request(3)
    engine.submit([unwanted, wanted])
    assert unwanted.future.cancel()
    core.gate.set()
    result(wanted)

    assert [sources[0][0] for sources in core.opened] == [1, 3]
    assert wait([unwanted.future], timeout=60).done == {unwanted.future}


def test_segment_cancelled_in_the_batch_frees_its_rows_and_bytes(core: Any, held: Callable[..., Any]) -> None:
    endless_one = endless(1, 400)
    engine = held(endless_one, rows=1, cache_bytes=500)
    next_one = endless(2, 300)
    engine.submit([next_one])
    assert endless_one.future.cancel()
    core.gate.set()
    result(next_one)

    assert core.sources == {}
    assert len(core.row_counts) < 400
    with pytest.raises(CancelledError):
        result(endless_one)


def test_cancelled_segment_leaves_its_neighbours_as_they_are(core: Any, held: Callable[..., Any]) -> None:
    unwanted, neighbour = endless(1, 40), endless(2, 40)
    engine = held(unwanted, rows=2)
    engine.submit([neighbour])
    unwanted.future.cancel()
    core.gate.set()
    found = result(neighbour)
    alone = endless(2, 40)
    engine.submit([alone])

    assert found == result(alone)


def test_full_queue_refuses_in_time_and_loses_nothing(core: Any, held: Callable[..., Any]) -> None:
    running, waiting = request(1), [request(2), request(3)]
    engine = held(running, rows=1, waiting=2)
    engine.submit(waiting)
    with pytest.raises(TimeoutError, match="2 segments wait already: submit more slowly"):
        engine.submit([request(4)], timeout_seconds=0.0)
    core.gate.set()

    assert [len(result(one)) for one in (running, *waiting)] == [1, 1, 1]


def test_submitting_to_a_full_queue_waits_for_room(core: Any, held: Callable[..., Any]) -> None:
    engine, late = held(request(1), rows=1, waiting=1), [request(name) for name in range(2, 8)]
    thread = threading.Thread(target=engine.submit, args=(late,), daemon=True)
    thread.start()
    core.gate.set()
    thread.join(timeout=60)

    assert not thread.is_alive()
    assert [len(result(one)) for one in late] == [1] * 6


def test_beam_wider_than_the_batch_is_refused_with_the_reason(core: Any, continuous_engine: Start) -> None:
    wide, fitting = request(1, SearchOptions(beam_size=5)), request(2, SearchOptions(beam_size=4))
    continuous_engine(core, rows=4).submit([wide, fitting])

    is_refused(wide, "a beam of 5 does not fit a batch of 4 rows: narrow the beam")
    assert result(fitting)


def test_segment_larger_than_the_cache_is_refused_and_one_as_large_is_not(core: Any, continuous_engine: Start) -> None:
    # Two source pieces, and positions for the limit and BEGIN.
    large, fitting = request(1, limit=8), request(2, limit=7)
    continuous_engine(core, cache_bytes=10).submit([large, fitting])

    is_refused(large, "2 source and up to 8 target pieces with a beam of 1 needs .* lower its longest translation")
    assert result(fitting)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    beams=st.lists(st.integers(1, 4), min_size=1, max_size=15),
    rows=st.integers(4, 9),
    cache_bytes=st.integers(30, 80),
    encode_pieces=st.integers(1, 9),
)
def test_running_batch_stays_within_its_limits(
    scripted_core: type[Any],
    continuous_engine: Start,
    beams: list[int],
    rows: int,
    cache_bytes: int,
    encode_pieces: int,
) -> None:
    core = scripted_core()
    asked = [request(name, SearchOptions(beam)) for name, beam in enumerate(beams)]
    engine = continuous_engine(core, rows=rows, cache_bytes=cache_bytes, encode_pieces=encode_pieces)
    engine.submit(asked)

    assert all(result(one) for one in asked)
    assert max(core.row_counts) <= rows
    assert core.most_bytes <= cache_bytes
    # Each has two pieces, and one alone may have more than the limit.
    assert max(sum(map(len, sources)) for sources in core.opened) <= max(encode_pieces, 2)
    assert engine.occupancy.segments == len(beams)


def test_occupancy_is_the_share_of_rows_in_use(core: Any, held: Callable[..., Any]) -> None:
    engine = held(endless(1, 4), rows=4)
    core.gate.set()
    engine.close()

    assert (engine.occupancy.rows, engine.occupancy.places) == (engine.occupancy.steps, 4 * engine.occupancy.steps)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_segment_that_cannot_be_opened_fails_alone(
    core: Any, continuous_engine: Start, scripted_core: type[Any], place: int
) -> None:
    asked = [request(1), request(2)]
    asked.insert(place, request(scripted_core.REFUSED))
    continuous_engine(core).submit(asked)

    with pytest.raises(MemoryError, match="no room for that one"):
        result(asked.pop(place))
    assert [len(result(one)) for one in asked] == [1, 1]


def broken(core: Any, method: str) -> None:
    """From now on this method of the core raises."""

    def fail(*_: Any) -> Any:
        raise OSError("the device is gone")

    setattr(core, method, fail)


@pytest.mark.parametrize("method", ["open", "step", "release"])
def test_error_of_the_core_reaches_all_who_wait_and_those_who_come_later(
    core: Any, held: Callable[..., Any], method: str
) -> None:
    running = endless(1, 3)
    engine, waiting = held(running, rows=2), [request(name) for name in (2, 3, 4)]
    engine.submit(waiting)
    broken(core, method)
    core.gate.set()

    for one in (running, *waiting):
        with pytest.raises(OSError, match="the device is gone"):
            result(one)
    engine._thread.join(timeout=60)
    assert core.is_closed
    with pytest.raises(ConfigurationError, match="the translator is closed: load it again"):
        engine.submit([request(9)])


def test_error_of_a_conversion_reaches_its_own_future_alone(core: Any, continuous_engine: Start) -> None:
    def fail(_: Sequence[Hypothesis]) -> Any:
        raise KeyError("not that one")

    bad, good = Request((5, END), GREEDY, LIMIT, fail), request(6)
    continuous_engine(core).submit([bad, good])

    with pytest.raises(KeyError, match="not that one"):
        result(bad)
    assert result(good)


def test_closed_engine_fails_what_waits_and_what_runs_and_stops_its_thread(core: Any, held: Callable[..., Any]) -> None:
    running, waiting = endless(1, 10_000), request(2)
    engine = held(running, rows=1)
    engine.submit([waiting])
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    is_refused(waiting, "the translator was closed before this segment was translated")
    core.gate.set()
    closing.join(timeout=60)

    is_refused(running, "the translator was closed before this segment was translated")
    assert not engine._thread.is_alive()
    assert core.is_closed


def test_second_close_does_nothing(core: Any, continuous_engine: Start) -> None:
    engine = continuous_engine(core)
    engine.close()
    engine.close()

    assert core.is_closed


def test_engine_can_be_closed_from_its_own_thread(core: Any, continuous_engine: Start) -> None:
    engine = continuous_engine(core)
    last = Request((5, END), GREEDY, LIMIT, lambda _: engine.close())
    engine.submit([last])

    assert result(last) is None
    engine._thread.join(timeout=60)
    assert core.is_closed


def test_many_threads_get_their_own_answers(core: Any, continuous_engine: Start) -> None:
    engine, asked = continuous_engine(core, rows=8, waiting=4), [request(name) for name in range(80)]
    threads = [threading.Thread(target=engine.submit, args=(asked[first::4],), daemon=True) for first in range(4)]
    for thread in threads:
        thread.start()
    found = [result(one)[0].pieces for one in asked]
    again = [request(name) for name in range(80)]
    engine.submit(again)

    assert found == [result(one)[0].pieces for one in again]
    assert len(set(found)) > 20


def test_nothing_stays_open_after_many_segments(core: Any, continuous_engine: Start) -> None:
    engine = continuous_engine(core, rows=16)
    asked = [request(name, limit=2) for name in range(1500)]
    engine.submit(asked)
    for one in asked:
        result(one)
    engine.close()

    assert core.sources == {}
    assert (engine._used_bytes, engine._bytes, engine._running) == (0, {}, [])
    assert engine.occupancy.segments == 1500


@pytest.mark.parametrize("name", ["rows", "cache_bytes", "threads"])
def test_limit_below_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"limit {name} is -1: take 0 \(automatic\) or more"):
        EngineLimits(**{name: -1})


@pytest.mark.parametrize("name", ["waiting", "encode_pieces"])
def test_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"limit {name} is 0: take 1 or more"):
        EngineLimits(**{name: 0})


def test_limits_that_are_not_set_are_those_that_suit() -> None:
    assert EngineLimits(rows=3).suited(64, 1000) == EngineLimits(rows=3, cache_bytes=1000)


def test_widest_beam_decides_how_many_candidates_a_step_gives(
    scripted_core: type[Any], continuous_engine: Start
) -> None:
    widths: list[int] = []

    class Noting(scripted_core):  # type: ignore[misc]
        def step(self, rows: StepRows, width: int) -> Any:
            widths.append(width)
            return super().step(rows, width)

        def open(self, segments: Sequence[NewSegment]) -> list[int]:
            assert [one.positions for one in segments] == [LIMIT + 1] * len(segments)
            numbers: list[int] = super().open(segments)
            return numbers

    asked = [request(1), request(2, SearchOptions(3))]
    continuous_engine(Noting(), encode_pieces=100).submit(asked)
    for one in asked:
        result(one)

    assert set(widths) <= {1, 6}
    assert 6 in widths
