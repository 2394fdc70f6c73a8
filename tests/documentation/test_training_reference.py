"""docs/training.md against `TrainConfig`: every key of a training config, with its default and its choices."""

import re
from pathlib import Path
from typing import get_args

import dragoman
import pytest
from dragoman.model.training import config
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

PAGE = Path(dragoman.__file__).parent / "docs" / "training.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "": config.TrainConfig,
    "data.": config.DataConfig,
    "vocabulary.": config.VocabularyConfig,
    "optimiser.": config.OptimiserConfig,
    "run.": config.RunConfig,
    "start.": config.StartConfig,
    "shortlist.": config.ShortlistConfig,
    "card.": config.CardConfig,
}
TABLES = {"data", "vocabulary", "network", "optimiser", "run", "start", "shortlist", "card"}
ROW = re.compile(r"^\| `([a-z_.]+)` \| (?:`?)([^|`]*)(?:`?) \| ([^|]*) \| [^|]{5,} \|$", re.M)


def _default(field: FieldInfo) -> str:
    return "" if field.default in (None, PydanticUndefined) else f"{field.default}"


def _choices(field: FieldInfo) -> str:
    kinds = (field.annotation, *get_args(field.annotation))
    choices = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    return ", ".join(f"`{choice}`" for choice in dict.fromkeys(choices))


def _expected(prefix: str) -> dict[str, tuple[str, str]]:
    fields = SECTIONS[prefix].model_fields.items()
    return {prefix + name: (_default(field), _choices(field)) for name, field in fields if name not in TABLES}


@pytest.mark.parametrize("prefix", SECTIONS)
def test_keys_in_the_document_are_those_of_the_code(prefix: str) -> None:
    rows = {key: (value, choices) for key, value, choices in ROW.findall(PAGE.read_text("utf-8"))}
    documented = {key: row for key, row in rows.items() if key.rpartition(".")[0] == prefix.rstrip(".")}

    assert documented == _expected(prefix)
