"""What an error of a model means. Knows errors, no model."""

from ...errors import ConfigurationError
from .events import Fault

# PyTorch's own, without importing it.
_OUT_OF_MEMORY = "OutOfMemoryError"


def fault_of(error: BaseException) -> tuple[Fault, str]:
    """The fault and what to say of it: the engine's own sentence where it refuses, else the name of the error.

    The text of any other error may quote what was translated, so it is not repeated.
    """
    if isinstance(error, ConfigurationError):
        return Fault.REFUSED, str(error)
    named = any(kind.__name__ == _OUT_OF_MEMORY for kind in type(error).__mro__)
    fault = Fault.MEMORY if named or isinstance(error, MemoryError) else Fault.ERROR
    return fault, type(error).__name__
