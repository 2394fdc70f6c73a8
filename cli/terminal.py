"""How commands show stored values on a terminal or in a log. Knows no table of the database."""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Where there is no terminal to ask: wide enough for two short sentences side by side in a log.
LOG_WIDTH = 160
# Joiners change how Arabic and Indic letters are drawn; other invisible characters can only mislead.
KEPT_INVISIBLE = "\u200c\u200d"
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


def pairs_table(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values, one below the other."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, one_line(json_text(value) if isinstance(value, dict) else value))
    return table


def one_line(value: object) -> Text:
    """A stored text as one harmless line: no markup, no control characters, no bidirectional overrides."""
    if value is None:
        return Text("-")
    spaced = " ".join(str(value).split())
    return Text("".join(c if c.isprintable() or c in KEPT_INVISIBLE else "\N{REPLACEMENT CHARACTER}" for c in spaced))


def json_text(value: Any) -> str:
    """A value as JSON; what JSON has no word for as its usual text."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def console() -> Console:
    """The terminal; where there is none, lines of a log."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)
