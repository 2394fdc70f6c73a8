"""docs/models.md against the catalog: every architecture with the fields of its shape and their defaults."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import dragoman
import pytest
from dragoman.model.architectures.catalog import ARCHITECTURES

PAGE = (Path(dragoman.__file__).parent / "docs" / "models.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\|", re.M)


def test_documented_architectures_are_those_of_the_catalog() -> None:
    assert re.findall(r"^### `([\w-]+)`$", PAGE, re.M) == list(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_documented_fields_are_those_of_the_shape(name: str) -> None:
    section = PAGE.partition(f"### `{name}`")[2].partition("\n#")[0]
    shape = [field for field in fields(ARCHITECTURES[name][0]) if field.default is not MISSING]

    assert ROW.findall(section) == [(f.name, "" if f.default is None else str(f.default)) for f in shape]
