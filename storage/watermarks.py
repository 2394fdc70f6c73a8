"""How far maintenance has come. Knows when rows can no longer appear behind a moment.

`recorded_at` is the time at which its transaction began, and the row shows when that commits: so rows recorded before
the oldest transaction that still runs are all there, and no others will come.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

# Of others in this database; one that has written nothing for minutes reads. Of other users' sessions one sees
# nothing without the role pg_read_all_stats: then the longest that a commit transaction lasts is waited out.
CLOSED = """
SELECT least(
  clock_timestamp(),
  min(xact_start) FILTER (WHERE backend_xid IS NOT NULL OR xact_start > clock_timestamp() - interval '5 minutes'),
  CASE WHEN bool_or(state IS NULL) THEN clock_timestamp() - interval '2 minutes' END
)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, 'client backend') = 'client backend'
"""
# Long before any row.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# Rows recorded at one moment stay together.
STRIDE_END = """
SELECT recorded_at FROM translation WHERE recorded_at > :since AND recorded_at < :closed
ORDER BY recorded_at OFFSET :rows LIMIT 1
"""
READ = "SELECT until FROM watermark WHERE name = :name"
WRITE = """
INSERT INTO watermark (name, until) VALUES (:name, :until)
ON CONFLICT (name) DO UPDATE SET until = excluded.until
"""


@dataclass(frozen=True, slots=True)
class Stride:
    """Rows of the history from `since` to before `until`; `is_last` = there are no others yet."""

    since: datetime
    until: datetime
    is_last: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """So many rows were dealt with; `is_last` = none is left, but those that are just recorded."""

    rows: int
    is_last: bool


def next_stride(connection: Connection, name: str, rows: int) -> Stride:
    """What this kind of maintenance has to do next, of about so many rows; empty where `until` is `since`."""
    since, closed = watermark(connection, name), closed_until(connection)
    if closed <= since:
        return Stride(since, since, is_last=True)
    bounds = {"since": since, "closed": closed, "rows": rows}
    end: datetime | None = connection.execute(text(STRIDE_END), bounds).scalar_one_or_none()
    return Stride(since, end or closed, is_last=end is None)


def closed_until(connection: Connection) -> datetime:
    """The moment before which no further row will be recorded."""
    moment: datetime = connection.execute(text(CLOSED)).scalar_one()
    return moment


def watermark(connection: Connection, name: str) -> datetime:
    """How far this kind of maintenance has come; before the first row if it never began."""
    return connection.execute(text(READ), {"name": name}).scalar_one_or_none() or BEGINNING


def set_watermark(connection: Connection, name: str, until: datetime) -> None:
    """Note how far it has come now."""
    connection.execute(text(WRITE), {"name": name, "until": until})
