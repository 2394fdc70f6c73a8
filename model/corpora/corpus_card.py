"""The card of a harvested corpus: what is in it, what was left out and why, as JSON and as a page. Knows no texts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .harvest import DROP_REASONS, Harvest, HarvestRules
from .split import DEV_PERMILLE, TEST_PERMILLE

CARD, PAGE = "card.json", "README.md"
# How often an epoch takes what people wrote, beside once what a model wrote.
CORRECTION_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class CorpusNote:
    """What the texts do not tell."""

    made_at: datetime
    version: str
    licence: str
    filters: Mapping[str, Any]


def write_card(folder: Path, rules: HarvestRules, harvest: Harvest, note: CorpusNote) -> dict[str, Any]:
    """Write both files beside the corpus; returns what is in the JSON. Raises OSError."""
    card = as_json(rules, harvest, note)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(as_page(card), encoding="utf-8")
    return card


def as_json(rules: HarvestRules, harvest: Harvest, note: CorpusNote) -> dict[str, Any]:
    """All that is known of the corpus."""
    cleaning = asdict(rules.cleaning)
    return {
        "languages": list(rules.languages),
        "made_at": note.made_at.isoformat(),
        "dragoman": note.version,
        "licence": note.licence,
        "filters": dict(note.filters),
        "rules": cleaning | {"min_score": rules.min_score, "language_check": rules.check is not None},
        "split": {"by": "words of the source", "test_permille": TEST_PERMILLE, "dev_permille": DEV_PERMILLE},
        "pairs": sum(harvest.kept.values()),
        "files": [asdict(file) for file in harvest.files],
        "dropped": _dropped(harvest),
        "made_by": dict(sorted(harvest.made_by.items())),
    }


def _dropped(harvest: Harvest) -> dict[str, dict[str, int]]:
    """By origin and reason, in the order in which they are asked."""
    origins = sorted({origin for origin, _ in harvest.dropped})
    return {
        origin: {reason: harvest.dropped[origin, reason] for reason in DROP_REASONS if harvest.dropped[origin, reason]}
        for origin in origins
    }


def as_page(card: Mapping[str, Any]) -> str:
    """The card for people, with the lines that a training config needs."""
    source, target = card["languages"]
    lines = [
        f"# Corpus {source}-{target}",
        "",
        f"{card['pairs']:,} pairs, made {card['made_at']} by Dragoman {card['dragoman']}. Licence: {card['licence']}",
        "",
        "| file | pairs | bytes | SHA-256 |",
        "|---|---|---|---|",
        *(f"| `{f['name']}` | {f['pairs']:,} | {f['size_bytes']:,} | `{f['sha256']}` |" for f in card["files"]),
        "",
        "`correction`: written by people. `model`: written by a model; its dev and test files measure agreement with",
        "that model, not quality.",
        "",
        "## Left out",
        "",
        "| origin | reason | pairs |",
        "|---|---|---|",
        *(
            f"| {origin} | {reason} | {n:,} |"
            for origin, found in card["dropped"].items()
            for reason, n in found.items()
        ),
        "",
        "## Made by",
        "",
        *(f"- `{version}`: {pairs:,} pairs" for version, pairs in card["made_by"].items()),
        "",
        "## Filters and rules",
        "",
        *(f"- {name}: {value}" for name, value in {**card["filters"], **card["rules"]}.items()),
        "",
        "## To train on it",
        "",
        "```toml",
        *_config(card),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _config(card: Mapping[str, Any]) -> list[str]:
    languages = json.dumps(card["languages"])
    trained, measured = [], []
    for file in card["files"]:
        if file["part"] == "train":
            weight = CORRECTION_WEIGHT if file["origin"] == "correction" else 1.0
            extra = f'weight = {weight}, direction = "forward"'
            trained.append(f'  {{ path = "{file["name"]}", languages = {languages}, {extra} }},')
        elif file["part"] == "dev":
            measured.append(f'  {{ path = "{file["name"]}", languages = {languages} }},')
    return ["[data]", "corpora = [", *trained, "]", "dev = [", *measured, "]"]
