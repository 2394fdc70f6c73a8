"""What waits for a shadow is bounded, and of pairs that have one."""

from typing import Any

from dragoman.worker.registry.shadowing import MOST_WAITING, ShadowQueue


def test_nothing_waits_when_no_pair_has_a_shadow(build: Any) -> None:
    queue = ShadowQueue()
    queue.offer([build.segment()])
    assert queue.take(10, 0.0) == []
    assert queue.dropped() == 0


def test_segments_are_taken_by_pair_the_oldest_first(build: Any) -> None:
    queue = ShadowQueue()
    queue.watch([("en", "fr"), ("en", "de")])
    french = [build.segment(job=build.job(str(number))) for number in range(3)]
    german = [build.segment(job=build.job("a", target_language="de"))]
    queue.offer([french[0], *german, *french[1:]])

    assert [queue.take(2, 0.0), queue.take(2, 0.0), queue.take(2, 0.0)] == [french[:2], german, french[2:]]


def test_what_is_too_much_is_dropped_and_counted_once(build: Any) -> None:
    queue = ShadowQueue()
    queue.watch([("en", "fr")])
    queue.offer(build.segment() for _ in range(MOST_WAITING + 5))
    assert (queue.dropped(), queue.dropped()) == (5, 0)


def test_what_waits_goes_when_its_pair_has_no_shadow_any_more(build: Any) -> None:
    queue = ShadowQueue()
    queue.watch([("en", "fr")])
    queue.offer([build.segment()])
    queue.watch([])
    assert queue.take(1, 0.0) == []
