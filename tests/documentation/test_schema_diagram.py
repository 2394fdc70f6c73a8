"""docs/schema.md against the metadata. To bring it up to date: `dragoman db diagram > docs/schema.md`."""

from pathlib import Path

import dragoman
from dragoman.storage.diagram import REFERENCES, diagram, page
from dragoman.storage.tables import metadata
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

PAGE = Path(dragoman.__file__).parent / "docs" / "schema.md"


def test_the_diagram_in_the_document_is_that_of_the_tables() -> None:
    assert PAGE.read_text("utf-8") == page(metadata), "stale: `dragoman db diagram > docs/schema.md`"


def test_every_reference_names_columns_and_tables_that_there_are() -> None:
    named = {f"{table}.{column}" for table, column in REFERENCES}
    assert named <= {str(column) for table in metadata.tables.values() for column in table.columns}
    assert set(REFERENCES.values()) <= set(metadata.tables)


def test_columns_keys_and_comments_are_drawn_when_tables_are_given() -> None:
    tables = MetaData()
    Table("parent", tables, Column("id", Integer, primary_key=True))
    Table(
        "child",
        tables,
        Column("parent_id", ForeignKey("parent.id"), nullable=False),
        Column("names", ARRAY(Text), doc="what it is called"),
        Column("code", Text, unique=True, nullable=False),
    )
    assert diagram(tables).splitlines() == [
        "erDiagram",
        "  child {",
        "    integer parent_id FK",
        '    text_array names "may be null; what it is called"',
        "    text code UK",
        "  }",
        "  parent {",
        "    integer id PK",
        "  }",
        "  parent ||--o{ child : parent_id",
    ]
