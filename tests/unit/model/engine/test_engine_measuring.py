"""What is measured: the segments, turns that alternate, full load, latencies under load, and a peer in a process."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import Hypothesis
from dragoman.model.engine import measuring
from dragoman.model.engine.continuous import Occupancy
from dragoman.model.engine.engine import Engine
from dragoman.model.engine.measuring import Batch, EngineSide, OpenEngineSide, batch_of, compare, sorted_batches
from dragoman.model.engine.measuring_load import Segment, StaticBatches, full_load, segments, under_load
from dragoman.model.engine.peer_process import CTranslate2Settings, PeerSide
from dragoman.model.engine.request import Request
from dragoman.model.engine.static_engine import StaticEngine
from dragoman.model.engine.survey import Plan, Surveyor
from dragoman.model.interchange.ctranslate2 import export_ctranslate2
from dragoman.model.translator import ReferenceSearch
from dragoman.model.vocabularies.vocabulary import END

PIECES = 300


class EchoEngine(Engine):
    """Answers with up to 9 pieces at once, on the thread of the caller, and remembers the lengths it was asked for."""

    name = "echo"
    has_own_weights = True
    takes_shortlists = True

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.occupancy = Occupancy()

    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        self.asked += [(len(request.source), request.limit) for request in requests]
        for request in requests:
            self.occupancy.rows += 3
            self.occupancy.places += 4
            request.future.set_result(request.convert([Hypothesis((5,) * min(request.limit, 9), 0.0)]))

    def close(self) -> None:
        pass


class FixedSide:
    """Takes as long as it is told."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self._seconds, self._log = name, seconds, log

    def seconds(self, batches: Sequence[Batch], beam_size: int) -> float:
        self._log.append(self.name)
        return self._seconds


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def reference(tiny_network: Callable[[int, int], Transformer]) -> Iterator[StaticEngine]:
    engine = StaticEngine(ReferenceSearch(tiny_network(PIECES, 1), torch.device("cpu")), 1000)
    yield engine
    engine.close()


def test_sorted_batches_have_one_length_each_and_grow() -> None:
    batches = sorted_batches(4, 3, PIECES)

    found = [{len(source) for source in batch.sources} for batch in batches]
    assert found == [{batch.target_pieces} for batch in batches]
    assert [batch.target_pieces for batch in batches] == sorted({batch.target_pieces for batch in batches})


def test_sources_end_with_end_and_hold_pieces_of_text() -> None:
    batch = batch_of(5, 12, PIECES)

    assert {source[-1] for source in batch.sources} == {END}
    assert all(END < piece < PIECES for source in batch.sources for piece in source[:-1])
    assert (len({*batch.sources}), batch.pieces) == (5, 60)


def test_segments_are_the_same_in_every_run() -> None:
    assert segments(9, PIECES, 4) == segments(9, PIECES, 4) != segments(9, PIECES, 5)


def test_sides_take_turns_and_the_first_does_not_count() -> None:
    log: list[str] = []
    sides = [FixedSide("ours", 0.5, log), FixedSide("peer", 1.0, log)]

    compared = compare(sides, [batch_of(2, 10, PIECES)], 1, turns=2)

    assert log == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert compared.speeds == {"ours": (40.0, 40.0), "peer": (20.0, 20.0)}
    assert (compared.median("ours"), compared.ratios("ours", "peer")) == (40.0, [2.0, 2.0])


def test_translations_are_as_long_as_they_are_forced_to_be(reference: StaticEngine) -> None:
    lengths: list[int] = []
    options = measuring.forced(1)
    requests = [
        Request(batch_of(1, 5, PIECES).sources[0], options, limit, lambda found: lengths.append(len(found[0].pieces)))
        for limit in (3, 7)
    ]

    reference.submit(requests)

    assert [request.future.result(timeout=60) for request in requests] == [None, None]
    assert sorted(lengths) == [3, 7]


def test_engine_gets_every_segment_of_every_batch() -> None:
    engine = EchoEngine()

    assert EngineSide(engine).seconds([batch_of(2, 5, PIECES), batch_of(1, 9, PIECES)], 1) > 0

    assert engine.asked == [(5, 5), (5, 5), (9, 9)]


def test_engine_that_does_not_keep_to_the_forced_length_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="echo gave 9 pieces where 10 are forced"):
        EngineSide(EchoEngine()).seconds([batch_of(1, 10, PIECES)], 1)


def test_engine_that_gets_all_at_once_gets_the_longest_first() -> None:
    engine = EchoEngine()

    OpenEngineSide(engine).seconds([batch_of(2, 5, PIECES), batch_of(1, 9, PIECES)], 1)

    assert engine.asked == [(9, 9), (5, 5), (5, 5)]


def test_full_load_counts_how_many_rows_were_in_use() -> None:
    found = full_load(EchoEngine(), segments(20, PIECES, 1), rows=4)

    assert found.segments_per_second > 0
    assert found.occupancy == 0.75


def test_full_load_begins_when_as_many_are_done_as_are_left_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class OneASecond(EchoEngine):
        def __init__(self) -> None:
            super().__init__()
            self.occupancy = None  # type: ignore[assignment]

        def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
            now[0] += 100.0  # until the batch is full
            for request in requests:
                now[0] += 1.0
                request.future.set_result(request.limit)

    monkeypatch.setattr("dragoman.model.engine.measuring_load.time.perf_counter", lambda: now[0])
    work = [Segment((5, END), 3)] * 20

    assert full_load(OneASecond(), work, rows=4).segments_per_second == pytest.approx(1.0)


def test_static_batches_answer_through_the_other_engine() -> None:
    engine = EchoEngine()
    static = StaticBatches(engine, 1000)

    work = segments(300, PIECES, 1)  # three batches

    found = full_load(static, work, rows=100)

    static.close()
    assert found.occupancy is not None
    assert sorted(engine.asked) == sorted((len(one.source), one.target_pieces) for one in work)


def test_latency_counts_from_the_arrival_even_if_the_engine_took_the_segment_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = random.Random(1)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    class SlowEngine(EchoEngine):
        def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
            now[0] += 10.0
            super().submit(requests, timeout_seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    found = under_load(SlowEngine(), segments(3, PIECES, 1), 1.0, seed=1)

    arrivals, arrival = [], 0.0
    for _ in range(3):
        arrival += clock.expovariate(1.0)
        arrivals.append(arrival)
    done = [arrivals[0] + 10 * number for number in (1, 2, 3)]
    assert found.seconds == pytest.approx(sorted(end - came for end, came in zip(done, arrivals, strict=True)))
    assert (found.share(0.95), found.median) == pytest.approx((found.seconds[2], found.seconds[1]))


def test_error_of_a_segment_under_load_is_not_a_latency() -> None:
    class BrokenEngine(EchoEngine):
        def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
            for request in requests:
                request.future.set_exception(ConfigurationError("broken"))

    with pytest.raises(ConfigurationError, match="broken"):
        under_load(BrokenEngine(), segments(2, PIECES, 1), 1000.0, seed=1)


def test_ctranslate2_in_a_process_translates_to_the_forced_lengths(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_ctranslate2(tiny_checkpoint, tmp_path / "model")
    settings = CTranslate2Settings(str(tmp_path / "model"), "cpu", "float32", 1)

    with PeerSide.ctranslate2(settings) as peer:
        seconds = peer.seconds([batch_of(2, 5, len(tiny_checkpoint.vocabulary))], 2)
        told = peer.ask({"texts": ["A long book."], "first": "", "beam_size": 1, "most_pieces": 9})

    assert seconds > 0
    assert (peer.name, len(told["texts"])) == ("ctranslate2 float32", 1)


def test_peer_that_cannot_start_is_a_sentence(tmp_path: Path) -> None:
    settings = CTranslate2Settings(str(tmp_path), "cpu", "float32", 1)

    with pytest.raises(ConfigurationError, match="ctranslate2 float32 ended with exit status 1"):
        PeerSide.ctranslate2(settings)


def test_peer_that_ends_over_a_question_is_a_sentence(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_ctranslate2(tiny_checkpoint, tmp_path / "model")
    peer = PeerSide.ctranslate2(CTranslate2Settings(str(tmp_path / "model"), "cpu", "float32", 1))

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="ended with exit status 1"):
            peer.seconds([batch_of(1, 1000, len(tiny_checkpoint.vocabulary))], 1)


def test_survey_measures_every_point_of_its_plan() -> None:
    told: list[str] = []
    plan = Plan((1, 2), 5, 2, (3, 4), 1, (0.5,), 6)

    found = Surveyor(EchoEngine(), FixedSide("peer", 1.0, []), plan, told.append).survey(PIECES)

    points = [(point.kind, point.at) for point in found.speeds]
    assert points == [("batch size", 1), ("batch size", 2), ("length", 3), ("length", 4)]
    assert (found.ours, found.peer, [point.share for point in found.loads]) == ("echo", "peer", [0.5])
    assert told == ["batch size 1", "batch size 2", "length 3", "length 4", "full load", "load 50%"]
