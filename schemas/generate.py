"""`python -m dragoman.schemas.generate [--check]`: write the JSON Schema files that the models imply.

Knows the contracts and this folder. With --check nothing is written, and stale files make the exit code 1.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .codec import NEVER_LEFT_OUT
from .dead_letters import DeadLetter
from .jobs import TranslationJob
from .results import TranslationResult

FOLDER = Path(__file__).parent / "json"

CONTRACTS: dict[str, type[BaseModel]] = {
    "translation-job.v1": TranslationJob,
    "translation-result.v1": TranslationResult,
    "dead-letter.v1": DeadLetter,
}


def schema_text(name: str) -> str:
    """Return the JSON Schema of a contract as the text of its file."""
    contract = CONTRACTS[name]
    # A job's schema is for writers: what has a default may be left out. The others' are for readers: a field
    # that they do not know is to be ignored.
    for_writers = contract is TranslationJob
    schema: dict[str, Any] = contract.model_json_schema(mode="validation" if for_writers else "serialization")
    if not for_writers:
        schema.pop("additionalProperties")
    schema["required"] = sorted({*schema["required"], *NEVER_LEFT_OUT} & {*schema["properties"]})
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:dragoman:{name}"}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def stale_files() -> list[Path]:
    """Return the schema files that are missing or differ from what the models imply."""
    paths = {FOLDER / f"{name}.schema.json": schema_text(name) for name in CONTRACTS}
    return [path for path, text in paths.items() if not path.is_file() or path.read_text("utf-8") != text]


def main() -> int:
    """Write, or with --check only compare, the schema files; return the exit code."""
    stale = stale_files()
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} is stale: run python -m dragoman.schemas.generate", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    for path in stale:
        path.write_text(schema_text(path.name.removesuffix(".schema.json")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
