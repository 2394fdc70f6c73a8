"""docs/settings.md against `Settings`. To bring it up to date, paste the table that the failing test prints."""

import re
from pathlib import Path
from typing import get_args

import dragoman
from dragoman.settings import PREFIX, Settings
from pydantic import SecretStr
from pydantic.fields import FieldInfo

PAGE = Path(dragoman.__file__).parent / "docs" / "settings.md"
LIMITS = {"ge": "{:,} or more", "gt": "more than {:,}", "le": "at most {:,}", "max_length": "at most {} characters"}


def _default(field: FieldInfo) -> str:
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if value in (None, "") else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """What the type says beyond text or number: choices, or limits."""
    kinds = (field.annotation, *get_args(field.annotation))
    choices = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    limits = [
        text.format(getattr(limit, name))
        for limit in field.metadata
        for name, text in LIMITS.items()
        if hasattr(limit, name)
    ]
    return ", ".join(dict.fromkeys(f"`{choice}`" for choice in choices)) or ", ".join(limits)


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_allowed(field)} | {field.description} |"


def test_settings_in_the_document_are_those_of_the_code() -> None:
    expected = [_row(name, field) for name, field in Settings.model_fields.items()]
    documented = re.findall(r"^\| `.*", PAGE.read_text("utf-8"), re.M)

    assert documented == expected, "the table of docs/settings.md should be:\n" + "\n".join(expected)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
