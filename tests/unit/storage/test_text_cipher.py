"""Texts are encrypted and come back; what was changed, moved or has no key does not."""

from base64 import b64encode
from uuid import UUID

import pytest
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.storage.records import OutboxEvent
from dragoman.storage.text_cipher import TextCipher, cipher_of, required
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

ONE, TWO = UUID(int=1), UUID(int=2)
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
CIPHER = TextCipher({"new": NEW, "old": OLD})
texts = st.text(st.characters(exclude_categories=["Cs"]))


def written(name: str, key: bytes) -> str:
    return f"{name}:{b64encode(key).decode()}"


@given(source=texts, metadata=st.dictionaries(texts, texts))
def test_what_was_encrypted_comes_back(source: str, metadata: dict[str, str]) -> None:
    values = {"source_text": source, "metadata": metadata, "target_text": None}
    sealed = CIPHER.seal_values(ONE, values)
    assert CIPHER.open_values("new", ONE, sealed) == values


def test_the_same_text_never_looks_the_same() -> None:
    values = {"source_text": "Good morning."}
    assert CIPHER.seal_values(ONE, values) != CIPHER.seal_values(ONE, values)


def test_an_event_comes_back_as_it_was() -> None:
    event = OutboxEvent(ONE, TWO, "results", None, (), b"payload")
    sealed = CIPHER.seal_event(event)
    assert (sealed.text_key, b"payload" in sealed.payload) == ("new", False)
    assert CIPHER.open_event(sealed) == event
    assert CIPHER.open_event(event) == event


@pytest.mark.parametrize(("row", "column"), [(TWO, "source_text"), (ONE, "target_text")])
def test_a_text_is_refused_when_it_was_moved_to_another_place(row: UUID, column: str) -> None:
    sealed = CIPHER.seal_values(ONE, {"source_text": "Good morning."})["source_text"]
    with pytest.raises(DragomanError, match="was changed"):
        CIPHER.open_values("new", row, {column: sealed})


@pytest.mark.parametrize("held", ["Good morning.", "AAAA", "A"])
def test_a_text_is_refused_when_it_is_not_what_encryption_writes(held: str) -> None:
    with pytest.raises(DragomanError, match="was changed"):
        CIPHER.open_values("new", ONE, {"source_text": held})


def test_a_text_is_refused_when_the_key_is_another_of_the_same_name() -> None:
    sealed = CIPHER.seal_values(ONE, {"source_text": "Good morning."})
    with pytest.raises(DragomanError, match="was changed, or the key new"):
        TextCipher({"new": OLD}).open_values("new", ONE, sealed)


def test_the_key_is_named_when_it_is_missing() -> None:
    with pytest.raises(DragomanError, match="key gone"):
        CIPHER.open_values("gone", ONE, CIPHER.seal_values(ONE, {"source_text": "x"}))
    with pytest.raises(DragomanError, match="key gone"):
        required(None, "gone")


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    cipher = TextCipher.of_setting(f"{written('new', NEW)}, {written('old', OLD)}")
    before = TextCipher({"old": OLD}).seal_values(ONE, {"source_text": "Good morning."})
    assert cipher.key_name == "new"
    assert cipher.open_values("old", ONE, before) == {"source_text": "Good morning."}
    assert cipher_of(None) is None
    assert cipher_of(SecretStr(written("new", NEW))) is not None


@pytest.mark.parametrize(
    "setting",
    ["", "new", "new:", "new:%%%", written("new", b"short"), written("a b", NEW), f"{written('n', NEW)}," * 2],
)
def test_a_setting_is_refused_without_being_quoted(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="DRAGOMAN_TEXT_KEYS") as refused:
        TextCipher.of_setting(setting)
    assert b64encode(NEW).decode() not in str(refused.value)
