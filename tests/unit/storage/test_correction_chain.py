"""Names of chains under keys: found by whoever has a key, guessed by nobody else."""

from dragoman.storage.correction_chain import CHAIN_BYTES, ChainNames
from dragoman.storage.text_cipher import TextCipher

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
TEXT = (None, "en", "fr", "Hello.")


def test_a_chain_has_its_plain_name_alone_without_keys() -> None:
    assert len(ChainNames().of(*TEXT)) == 1


def test_a_new_chain_is_named_under_the_first_key_and_looked_for_under_every_key_and_without() -> None:
    (plain,) = ChainNames().of(*TEXT)
    old, _ = ChainNames(TextCipher({"old": OLD})).of(*TEXT)
    new, _ = ChainNames(TextCipher({"new": NEW})).of(*TEXT)

    assert ChainNames(TextCipher({"new": NEW, "old": OLD})).of(*TEXT) == (new, old, plain)
    assert len({plain, old, new}) == 3
    assert {len(plain), len(old)} == {CHAIN_BYTES}


def test_the_key_of_names_is_not_the_key_of_texts() -> None:
    (derived,) = TextCipher({"old": OLD}).name_keys
    assert OLD not in derived
    assert derived != OLD
