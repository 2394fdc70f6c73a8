"""Keeping freed memory where the C library allows it."""

import ctypes
import sys

import pytest
from dragoman.model.memory import keep_freed_memory


def test_nothing_is_asked_for_when_the_system_is_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert keep_freed_memory() is False


def test_nothing_is_asked_for_when_the_c_library_has_no_mallopt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())

    assert keep_freed_memory() is False
