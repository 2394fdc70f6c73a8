"""Translations that are kept for the next job with the same pieces."""

from dragoman.model.translator import Translation
from dragoman.tests.unit.worker.scheduling.simulation import FRENCH
from dragoman.worker.scheduling.translation_cache import TranslationCache
from hypothesis import given, settings
from hypothesis import strategies as st

OUI = Translation("oui", -0.5, 4, 2, piece_scores=(-0.1, -0.4))


def test_a_kept_translation_is_found_without_what_jobs_do_not_ask_for() -> None:
    cache = TranslationCache(10_000)
    cache.keep(FRENCH, (1, 2), OUI)
    assert cache.find(FRENCH, (1, 2)) == Translation("oui", -0.5, 4, 2)


def test_nothing_is_found_for_another_model_version_or_other_options() -> None:
    cache = TranslationCache(10_000)
    cache.keep(FRENCH, (1, 2), OUI)
    assert cache.find(FRENCH._replace(model_version="echo@1"), (1, 2)) is None
    assert cache.find(FRENCH._replace(beam_size=1), (1, 2)) is None
    assert cache.find(FRENCH, (1,)) is None


def test_nothing_is_kept_when_there_is_no_memory_for_it() -> None:
    cache = TranslationCache(0)
    cache.keep(FRENCH, (1, 2), OUI)
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_what_was_not_asked_for_longest_leaves_first() -> None:
    cache = TranslationCache(2_500)
    for piece in (1, 2, 3):
        cache.keep(FRENCH, (piece,), OUI)
    cache.find(FRENCH, (1,))
    cache.keep(FRENCH, (4,), OUI)
    assert [piece for piece in (1, 2, 3, 4) if cache.find(FRENCH, (piece,))] == [1, 3, 4]


@given(texts=st.lists(st.text(max_size=2_000), max_size=40), limit=st.integers(0, 20_000))
@settings(deadline=None)
def test_the_cache_never_takes_more_than_its_bytes(texts: list[str], limit: int) -> None:
    cache = TranslationCache(limit)
    for number, text in enumerate(texts):
        cache.keep(FRENCH, (number % 7, number), Translation(text, 0.0, 1, 1))
        assert 0 <= cache.size_bytes <= limit
