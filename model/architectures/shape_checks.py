"""Checks the shape of a network by the types of its fields. Knows dataclasses only."""

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_shape(shape: Any) -> None:
    """Raise `ValueError` for a field of the dataclass `shape` that no network can have.

    A Literal must hold one of its values, an int must be at least 1 (or None, where that is allowed), a float is a
    dropout in [0, 1), a bool is a bool.
    """
    for name, kind in get_type_hints(type(shape)).items():
        _check(name, kind, getattr(shape, name))


def _check(name: str, kind: Any, value: Any) -> None:
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise ValueError(f"{name} is {value!r}: take one of {', '.join(choices)}")
    elif kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}: take true or false")
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 or math.isnan(value):
            raise ValueError(f"{name} is {value!r}: take a number from 0 to below 1")
    elif not (value is None and type(None) in get_args(kind)):
        _check_count(name, value)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}: take a whole number of at least 1")
