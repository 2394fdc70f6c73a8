"""The errors a caller of Dragoman can meet. Knows nothing else of ours.

Each error's message is a sentence for the person who sees it: what is wrong and what to do about it.
"""


class DragomanError(Exception):
    """Something Dragoman was asked to do cannot be done."""


class TransientError(DragomanError):
    """A service is away or overloaded: the same call may succeed later. Nothing was lost."""


class RejectedJobError(DragomanError):
    """A job or message is given up for good; it becomes a dead letter.

    `reason` is a stable word for programs (see `schemas.reasons`), the message a sentence for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ConfigurationError(DragomanError):
    """A setting, file or argument is missing or contradicts another."""
