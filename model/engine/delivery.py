"""Answers and errors to the futures of requests. Knows nothing else."""

from collections.abc import Iterable, Sequence

from ..decoding import Hypothesis
from .request import Request


def deliver(request: Request, found: Sequence[Hypothesis]) -> None:
    """Give a request its hypotheses, unless it was cancelled; an error of its conversion goes to it alone."""
    if not request.future.set_running_or_notify_cancel():
        return
    try:
        answer = request.convert(found)
    except Exception as error:  # noqa: BLE001 - it is the caller's, and goes to the caller
        request.future.set_exception(error)
    else:
        request.future.set_result(answer)


def fail(requests: Iterable[Request], error: BaseException) -> None:
    """Give the requests that were not cancelled an error for an answer."""
    for request in requests:
        if request.future.set_running_or_notify_cancel():
            request.future.set_exception(error)
