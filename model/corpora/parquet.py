"""Parquet, read a batch of rows at a time. Knows columns, not what stands in them.

Columns `source` and `target`, or named like the languages, or one struct `translation` with a field a language.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from .language_tags import matching_tag
from .lines import named_faults

ROWS_AT_ONCE = 8192


def read_parquet(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The pair of each row, a missing text as an empty one.

    Raises `ConfigurationError` for a damaged file, for columns that are not there or no text, or without pyarrow.
    """
    arrow, parquet = _pyarrow(path)
    try:
        with named_faults(path), parquet.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow, languages)
            for name in columns:
                _check_text(path, name, file.schema_arrow, arrow.types)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                sources, targets = (_texts(batch, name) for name in columns)
                yield from zip(sources, targets, strict=True)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the corpus file {path} is not readable Parquet: {error}") from error


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types
    except ImportError as error:
        raise ConfigurationError(f"{path} needs pyarrow: pip install 'dragoman[train]'") from error
    return pyarrow, pyarrow.parquet


def _columns(path: Path, schema: Any, languages: tuple[str, str]) -> tuple[str, str]:
    """The two columns, a field of a struct as `translation.en`."""
    names: list[str] = schema.names
    if "source" in names and "target" in names:
        return "source", "target"
    fields = _fields(schema, "translation")
    for prefix, candidates in (("", names), ("translation.", fields)):
        source, target = (matching_tag(candidates, language) for language in languages)
        if source is not None and target is not None:
            return prefix + source, prefix + target
    first, second = languages
    raise ConfigurationError(
        f"{path} has neither columns 'source' and 'target' nor {first!r} and {second!r}; "
        f"its columns: {', '.join(names + [f'translation.{field}' for field in fields])}"
    )


def _fields(schema: Any, name: str) -> list[str]:
    if name not in schema.names:
        return []
    struct = schema.field(name).type
    return [struct.field(i).name for i in range(struct.num_fields)]


def _check_text(path: Path, name: str, schema: Any, types: Any) -> None:
    column, _, field = name.partition(".") if name not in schema.names else (name, "", "")
    kind = schema.field(column).type
    kind = kind.field(field).type if field else kind
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind)):
        raise ConfigurationError(f"the column {name} of {path} holds {kind}, not text")


def _texts(batch: Any, name: str) -> Iterator[str]:
    column, _, field = name.partition(".") if name not in batch.schema.names else (name, "", "")
    values: list[Any] = batch.column(column).to_pylist()
    return ((value[field] if field and value else value) or "" for value in values)
