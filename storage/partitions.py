"""The months of the history: a partition for each, named after it. Knows how to make them; moves no row but strays.

A job id is a UUIDv7 (RFC 9562), whose first 48 bits are milliseconds since 1970, so a month is a range of ids.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

# The month we are in and so many after it.
MONTHS_AHEAD = 3
# Where rows go whose month has no partition: a client's clock may be years off.
REST = "translation_other"
NAME = re.compile(r"translation_(\d{4})_(\d{2})")
# So many rows of one month in the rest are worth a partition.
STRAYS = 1_000
STRAY_MONTHS = f"""
SELECT date_trunc('month', to_timestamp(milliseconds / 1000.0), 'UTC') AS month
FROM (SELECT ('x' || left(translate(job_id::text, '-', ''), 12))::bit(48)::bigint AS milliseconds FROM {REST}) AS stray
GROUP BY 1 HAVING count(*) >= {STRAYS} ORDER BY 1
"""  # noqa: S608 - our own words
PARTITIONS = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = CAST(:table AS regclass) ORDER BY child.relname
"""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of the calendar in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, when: datetime) -> "Month":
        """The month of a moment."""
        moment = when.astimezone(UTC)
        return cls(moment.year, moment.month)

    @property
    def after(self) -> "Month":
        """The next one."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @classmethod
    def named(cls, partition: str) -> "Month | None":
        """The month of a partition; None for the rest, which is of no month."""
        found = NAME.fullmatch(partition)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def before(self) -> "Month":
        """The previous one."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    @property
    def first_id(self) -> UUID:
        """The least id of a job that was submitted in this month, or later."""
        milliseconds = int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp() * 1000)
        return UUID(int=milliseconds << 80)

    @property
    def partition(self) -> str:
        """The name of its table."""
        return f"translation_{self.year:04}_{self.number:02}"


def months(first: Month, count: int) -> Iterator[Month]:
    """So many months, one after the other."""
    for _ in range(count):
        yield first
        first = first.after


def partitions_of(connection: Connection, table: str) -> list[str]:
    """The names of a table's partitions, in order."""
    return list(connection.execute(text(PARTITIONS), {"table": table}).scalars())


def missing_months(connection: Connection, now: datetime, ahead: int = MONTHS_AHEAD) -> list[Month]:
    """Of the month of `now`, those after it and those of many strays, the ones that have no partition yet."""
    present = partitions_of(connection, "translation")
    strays = {Month.of(found) for found in connection.execute(text(STRAY_MONTHS)).scalars()}
    wanted = strays | {*months(Month.of(now), 1 + ahead)}
    return sorted(month for month in wanted if month.partition not in present)


def make_partition(connection: Connection, month: Month) -> int:
    """Make the partition of a month; returns how many rows it took over from the rest.

    Waits at most two seconds for those who are writing, then raises (`TransientError` inside `transaction(engine)`).
    """
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    bounds = {"low": month.first_id, "high": month.after.first_id}
    connection.execute(
        text(f"CREATE TABLE {month.partition} (LIKE translation INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    )
    # Nobody may add a stray while we move those that there are.
    connection.execute(text(f"LOCK TABLE {REST} IN SHARE ROW EXCLUSIVE MODE"))
    moved = connection.execute(
        text(
            f"WITH strays AS (DELETE FROM {REST} WHERE job_id >= :low AND job_id < :high RETURNING *) "  # noqa: S608
            f"INSERT INTO {month.partition} SELECT * FROM strays"
        ),
        bounds,
    ).rowcount
    connection.execute(
        text(
            f"ALTER TABLE translation ATTACH PARTITION {month.partition} "
            f"FOR VALUES FROM ('{bounds['low']}') TO ('{bounds['high']}')"
        )
    )
    return moved
