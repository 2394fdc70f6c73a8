"""The filter of known keys: never wrong about one that was added, seldom about others."""

from dragoman.storage.correction_chain import CHAIN_BYTES, ChainNames
from dragoman.worker.key_filter import KeyFilter

NAMES = ChainNames()


def key(number: int) -> bytes:
    return NAMES.of(None, "en", "fr", f"Text {number}.")[0]


def test_every_key_that_was_added_may_be_known_and_hardly_any_other() -> None:
    known = KeyFilter(bits=1 << 17)
    for number in range(10_000):
        known.add(key(number))
    assert all(key(number) in known for number in range(10_000))
    assert sum(key(number) in known for number in range(10_000, 20_000)) < 100


def test_a_chain_has_another_name_when_client_pair_or_text_is_another() -> None:
    names = {
        *NAMES.of(None, "en", "fr", "Hello."),
        *NAMES.of("shop", "en", "fr", "Hello."),
        *NAMES.of(None, "fr", "en", "Hello."),
        *NAMES.of(None, "en", "fr", "Hello. "),
        *NAMES.of(None, "en", "frH", "ello."),
    }
    assert len(names) == 5
    assert {len(name) for name in names} == {CHAIN_BYTES}
