"""Ctrl-C and SIGTERM during a run."""

import signal
import threading

import pytest
from dragoman.model.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_request_is_remembered(number: signal.Signals) -> None:
    with Interruption().heard() as interruption:
        before = interruption.requested
        signal.raise_signal(number)
        after = interruption.requested

    assert (before, after) == (False, True)


def test_second_request_stops_at_once() -> None:
    with Interruption().heard(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_request_stops_at_once_where_nothing_is_half_done() -> None:
    interruption = Interruption()

    with interruption.heard(), pytest.raises(KeyboardInterrupt), interruption.at_once():
        signal.raise_signal(signal.SIGTERM)


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption().heard():
        during = signal.getsignal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before
    assert during is not before


def test_signals_stay_where_they_are_in_another_thread() -> None:
    before, during = signal.getsignal(signal.SIGINT), []

    def hear() -> None:
        with Interruption().heard():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hear)
    thread.start()
    thread.join()
    assert during == [before]
