"""The tables as an entity diagram in Mermaid, from the metadata. Knows what refers to what, foreign key or not.

Sixty lines of our own: eralchemy and sqlalchemy_schemadisplay need Graphviz, paracelsus wants a declarative base,
names no types of PostgreSQL and knows no reference without a foreign key, which are most of ours.
"""

import re
from collections.abc import Iterator

from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

# (table, column) -> the table whose key it holds, where a foreign key would cost too much or rows may be gone.
REFERENCES = {
    ("translation", "batch_id"): "batch",
    ("translation", "model_version_id"): "model_version",
    ("search_document", "job_id"): "translation",
    ("outbox", "job_id"): "translation",
    ("attempt", "job_id"): "translation",
    ("usage", "model_version_id"): "model_version",
    ("usage_day", "model_version_id"): "model_version",
    ("latency_day", "model_version_id"): "model_version",
    ("batch_usage", "model_version_id"): "model_version",
}


def diagram(metadata: MetaData) -> str:
    """An `erDiagram`; `doc` of a column is its comment."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    lines = ["erDiagram"]
    for table in tables:
        lines += [f"  {table.name} {{", *(f"    {_column(table, column)}" for column in table.columns), "  }"]
    return "\n".join([*lines, *(f"  {relation}" for table in tables for relation in _relations(table))]) + "\n"


def page(metadata: MetaData) -> str:
    """The diagram as docs/schema.md holds it."""
    return (
        "# The tables\n\n"
        "Made by `dragoman db diagram > docs/schema.md` from `storage/tables.py`; a test says when it is stale. Solid\n"
        "lines are foreign keys, dotted ones are references that nothing holds.\n\n"
        f"```mermaid\n{diagram(metadata)}```\n"
    )


def _column(table: Table, column: Column[object]) -> str:
    # Mermaid takes no spaces and few signs in a type.
    name = str(column.type.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    kind = re.sub(r"\W+", "_", name.lower().replace("[]", "_array"))
    keys = ",".join(_keys(table, column))
    comment = "; ".join(filter(None, ("may be null" if column.nullable else "", column.doc)))
    return " ".join(filter(None, (kind, column.name, keys, f'"{comment}"' if comment else "")))


def _keys(table: Table, column: Column[object]) -> Iterator[str]:
    if column.primary_key:
        yield "PK"
    if column.foreign_keys or (table.name, column.name) in REFERENCES:
        yield "FK"
    if any(isinstance(one, UniqueConstraint) and list(one.columns) == [column] for one in table.constraints):
        yield "UK"


def _relations(table: Table) -> Iterator[str]:
    held = [one for one in table.constraints if isinstance(one, ForeignKeyConstraint)]
    for one in sorted(held, key=lambda constraint: str(constraint.name)):
        yield f"{one.referred_table.name} ||--o{{ {table.name} : {','.join(one.column_keys)}"
    for (name, column), referred in REFERENCES.items():
        if name == table.name:
            yield f"{referred} |o..o{{ {name} : {column}"
