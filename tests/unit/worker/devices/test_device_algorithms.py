"""The pure parts of devices: what is loaded, what is offered, what is tried, when to give up."""

from math import ceil, log2
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.worker.devices.device import DeviceLostError
from dragoman.worker.devices.device_models import DeviceOrder
from dragoman.worker.devices.device_room import DeviceRoom, RoomPolicy
from dragoman.worker.devices.entry import Entry
from dragoman.worker.devices.events import Fault, ModelFacts
from dragoman.worker.devices.faults import fault_of
from dragoman.worker.devices.loaded_models import LoadedModels
from dragoman.worker.devices.model_source import ImportedSource
from dragoman.worker.devices.restarts import MOST_FAILED_STARTS, Restarts
from dragoman.worker.devices.row_limit import GROUPS_TO_RECOVER, RowLimit
from dragoman.worker.devices.trials import Trials
from dragoman.worker.devices.watch import LOADING_SECONDS, Watch
from dragoman.worker.scheduling.pool import Pool
from hypothesis import given
from hypothesis import strategies as st

POOL = Pool("en", "fr", "one@1", 4, 1.0)
NAMES = st.sampled_from("abcdef")


@given(uses=st.lists(NAMES, max_size=40), budget=st.integers(3, 12), sizes=st.dictionaries(NAMES, st.integers(1, 3)))
def test_models_never_take_more_than_their_budget(uses: list[str], budget: int, sizes: dict[str, int]) -> None:
    models: LoadedModels[str] = LoadedModels(budget)
    for name in uses:
        if name not in models:
            for leaving in models.leaving_for(sizes.get(name, 1)):
                models.remove(leaving)
            models.add(name, name, sizes.get(name, 1))
        assert models.use(name) == name
        assert models.size_bytes <= budget


def test_the_least_recently_used_leaves_first() -> None:
    models: LoadedModels[str] = LoadedModels(3)
    for name in "abc":
        models.add(name, name, 1)
    models.use("a")
    assert models.leaving_for(2) == ["b", "c"]


def test_a_model_that_is_asked_to_leave_twice_is_still_there_for_late_groups() -> None:
    source = ImportedSource("dragoman.nowhere:Model")
    order = DeviceOrder("cpu", (("one@1", source), ("two@1", source)))
    once = order.with_spare("one@1")
    assert (once.models, once.spare) == ((("two@1", source),), (("one@1", source),))
    assert once.with_spare("one@1") == once
    assert once.with_model("one@1", source).spare == ()


def test_no_model_leaves_when_there_is_no_budget() -> None:
    models: LoadedModels[str] = LoadedModels(0)
    models.add("a", "a", 10**12)
    assert models.has_room(10**12)
    assert models.leaving_for(10**12) == []


def test_a_model_that_does_not_fit_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DRAGOMAN_MODEL_MEMORY_BYTES"):
        LoadedModels[str](3).leaving_for(4)


def test_the_limit_halves_at_once_and_grows_back_slowly() -> None:
    limit = RowLimit()
    limit.halve()
    limit.halve()
    assert limit.of(64) == 16
    limit.grow()
    assert limit.of(64) == 17
    for _ in range(GROUPS_TO_RECOVER):
        limit.grow()
    assert limit.of(64) == 64


def test_a_limit_always_leaves_one_row() -> None:
    limit = RowLimit()
    for _ in range(100):
        limit.halve()
    assert limit.of(64) == 1


def room(models: int = 1, rows: int = 64) -> DeviceRoom:
    offered = DeviceRoom(RoomPolicy(segments=100, pieces=2048, usual_beam=4, models=models), answers_at_once=False)
    offered.loaded({"one@1": ModelFacts("one@1", "cpu", rows, pads=False)}, now_seconds=0.0)
    return offered


@pytest.mark.parametrize(("open_rows", "segments"), [(0, 32), (64, 16), (96, 8), (97, None), (128, None)], ids=str)
def test_about_two_groups_are_in_the_hands_of_a_device(open_rows: int, segments: int | None) -> None:
    offered = room().now(open_rows, 1.0)
    assert (offered.rows if offered else None) == segments


def test_a_device_is_offered_less_when_it_ran_out_of_memory() -> None:
    offered = room()
    offered.halve()
    now = offered.now(0, 1.0)
    assert now is not None
    assert (now.rows, now.pieces) == (16, 1024)


def test_a_device_stays_with_its_models_while_they_have_work() -> None:
    other = Pool("en", "de", "other@1", 4, 1.0)
    offered = room(models=2)
    answers = []
    for step in ("has work", "had none", "once more"):
        if step == "had none":
            offered.nothing_waited()
        now = offered.now(0, 1.0)
        assert now is not None
        answers.append((now.serves(POOL), now.serves(other)))
    assert answers == [(True, False), (True, True), (True, False)]


def test_another_model_gets_its_turn_after_a_while() -> None:
    now = room(models=2).now(0, 11.0)
    assert now is not None
    assert now.serves(Pool("en", "de", "other@1", 4, 1.0))


def entries(build: Any, count: int) -> list[Entry]:
    return [Entry(build.segment(number + 1)) for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 200])
@pytest.mark.parametrize("deadly", [False, True], ids=["error", "death"])
def test_one_poison_is_found_within_a_few_passes(build: Any, count: int, deadly: bool) -> None:
    all_entries, trials, passes, tried = entries(build, count), Trials(), 0, 0
    poison = all_entries[count // 3]
    add = trials.add_quarters if deadly else trials.add_halves
    add(POOL, all_entries)
    while len(trials):
        trial = trials.next()
        passes += 1
        tried += len(trial.entries)
        if poison in trial.entries and len(trial.entries) > 1:
            add(POOL, trial.entries)
    # Beside the poison itself, and the rounding of parts.
    assert passes <= 2 * ceil(log2(max(2, count))) + 4
    assert tried >= count


def test_parts_of_the_latest_failure_come_first_and_in_order(build: Any) -> None:
    trials, all_entries = Trials(), entries(build, 4)
    trials.add_halves(POOL, all_entries[2:])
    trials.add_halves(POOL, all_entries[:2])
    assert [trials.next().entries[0] for _ in range(4)] == all_entries


def test_a_device_that_does_not_come_up_is_given_up_after_longer_and_longer_waits() -> None:
    restarts, waits = Restarts("cpu"), []
    for _ in range(MOST_FAILED_STARTS - 1):
        restarts.failed("signal 9")
        waits.append(restarts.wait_seconds)
    assert waits == [0.5, 1.0, 2.0, 4.0]
    with pytest.raises(DeviceLostError, match=r"the device cpu did not come up 5 times in a row \(signal 9\)"):
        restarts.failed("signal 9")


def test_failed_starts_are_forgotten_when_the_device_came_up() -> None:
    restarts = Restarts("cpu")
    restarts.failed("signal 9")
    restarts.succeeded()
    assert restarts.wait_seconds == 0.0


def test_a_device_hangs_when_it_beats_and_does_not_move() -> None:
    watch = Watch(10.0, 0.0)
    for second in range(12):
        watch.beat(7, float(second), is_loading=False, is_busy=True)
    assert watch.is_overdue(11.0)


def test_a_device_does_not_hang_while_it_is_idle_or_moves() -> None:
    watch = Watch(10.0, 0.0)
    watch.beat(7, 20.0, is_loading=False, is_busy=False)
    assert not watch.is_overdue(29.0)
    watch.beat(8, 29.0, is_loading=False, is_busy=True)
    assert not watch.is_overdue(38.0)


def test_a_device_hangs_when_it_says_nothing_at_all() -> None:
    assert Watch(10.0, 0.0).is_overdue(10.5)


def test_a_device_may_load_for_long_but_not_for_ever() -> None:
    watch = Watch(10.0, 1.0)
    seconds = [float(second) for second in range(2, int(LOADING_SECONDS) + 20)]
    overdue = []
    for second in seconds:
        watch.beat(0, second, is_loading=True, is_busy=True)
        overdue.append(watch.is_overdue(second))
    assert not any(overdue[: int(LOADING_SECONDS)])
    assert overdue[-1]


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


@pytest.mark.parametrize(
    ("error", "fault", "detail"),
    [
        (MemoryError(), Fault.MEMORY, "MemoryError"),
        (OutOfMemoryError("CUDA out of memory"), Fault.MEMORY, "OutOfMemoryError"),
        (ConfigurationError("a beam of 99 does not fit"), Fault.REFUSED, "a beam of 99 does not fit"),
        (ValueError("the secret text"), Fault.ERROR, "ValueError"),
    ],
)
def test_an_error_becomes_a_fault_without_its_text(error: Exception, fault: Fault, detail: str) -> None:
    assert fault_of(error) == (fault, detail)
