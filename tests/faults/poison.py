"""Messages that no worker can translate, each with why; seeded. Knows the contract of a job, no broker."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dragoman.schemas.ids import new_job_id
from dragoman.tests.faults.entry import Poison

CANARY = "Kanarienvogel"


def fields(text: str, **changed: Any) -> dict[str, Any]:
    """A job as it travels."""
    return {
        "schema_version": 1,
        "job_id": str(new_job_id()),
        "client_id": "faults",
        "source_text": text,
        "source_language": "en",
        "target_language": "fr",
        "submitted_at": datetime.now(UTC).isoformat(),
    } | changed


def job(text: str, **changed: Any) -> bytes:
    return json.dumps(fields(text, **changed)).encode()


def _deep() -> bytes:
    return b'{"a":' * 5_000 + b"1" + b"}" * 5_000


BAD_MESSAGES: dict[str, Callable[[], bytes | None]] = {
    "not JSON": lambda: f"{CANARY} is not JSON".encode(),
    "invalid UTF-8": lambda: b'{"source_text": "caf\xe9"}',
    "truncated JSON": lambda: job(f"{CANARY} cut")[:-20],
    "deep JSON": _deep,
    "wrong schema": lambda: job(f"{CANARY} old", schema_version=99),
    "NUL": lambda: job(f"{CANARY}\x00"),
    "lone surrogate": lambda: job(f"{CANARY}\ud800"),
    "empty": lambda: job("   "),
    "too many pieces": lambda: job(CANARY * 200),
    "10 MB line": lambda: job(CANARY * 60_000),
    "unknown pair": lambda: job(f"{CANARY} pair", target_language="de"),
    "null value": lambda: None,
    "bad id": lambda: job(f"{CANARY} id", job_id="12"),
}
# Good jobs that look strange: they are translated.
STRANGE_TEXTS = [f"{CANARY} \u202emirrored\u202c", f"\ufeff{CANARY} zero\u200bwidth\u200d", f"{CANARY} \U0001f98a", "."]


def bad_message(source: random.Random) -> tuple[str, bytes | None]:
    """A message for the dead letters, and why."""
    name = source.choice(sorted(BAD_MESSAGES))
    return name, BAD_MESSAGES[name]()


def choking_text(source: random.Random) -> tuple[str, str]:
    """A well-formed text that the model under test fails on, and why."""
    word = source.choice(Poison.ALL)
    return word, f"{CANARY} {word} {source.random():.6f}"
