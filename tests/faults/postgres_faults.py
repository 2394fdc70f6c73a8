"""Faults 31-41: the database, and the network before it."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
from dragoman.storage.engine import transaction
from dragoman.storage.maintenance import make_partitions
from dragoman.storage.partitions import REST, Month
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.conditions import CLEAR, Charge, Conditions
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.fleet import wait_until
from dragoman.tests.faults.process_faults import pause
from sqlalchemy.exc import DBAPIError

BY_PROXY = Setup(database_by_proxy=True)
# SQLAlchemy's dialect in a URL is nothing that libpq knows.
DIALECT = "+psycopg2"
TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM (
  SELECT pid FROM pg_stat_activity WHERE application_name = 'dragoman-worker' AND datname = current_database()
  ORDER BY random() LIMIT 2) AS victims
"""
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF random() < {share} THEN RAISE EXCEPTION 'refused on purpose' USING ERRCODE = '{state}'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON translation FOR EACH STATEMENT EXECUTE FUNCTION refuse()
"""


# The month's rows are somewhere else for a moment; the suite's triggers must not see them come back.
DROP_MONTH = """
ALTER TABLE translation DISABLE TRIGGER USER;
CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM {month};
DROP TABLE {month};
INSERT INTO translation SELECT * FROM kept;
ALTER TABLE translation ENABLE TRIGGER USER
"""


def failures(arena: Arena) -> float:
    """Transactions that the workers had to repeat."""
    return arena.fleet.metric("dragoman_settle_failures_total")


def terminate_backends(arena: Arena) -> None:
    for _ in range(50):
        arena.bite("backends terminated", arena.query(TERMINATE)[0][0])
        pause(0.2)
    arena.bite("transactions repeated", failures(arena))


def crash_postgres(arena: Arena) -> None:
    for _ in range(2):
        arena.ground.stack.postgres.kill()
        pause(0.5)
        arena.ground.stack.postgres.start()
        arena.bite("PostgreSQL killed")
        took = arena.wait_rows(50)
        arena.saw(f"50 more rows {took:.1f} s after it answered")


def freeze_postgres(arena: Arena) -> None:
    arena.ground.stack.postgres.pause()
    pause(30)
    assert all(worker.get("/livez") for worker in arena.fleet.running), "liveness failed because of PostgreSQL"
    arena.ground.stack.postgres.resume()
    arena.bite("PostgreSQL frozen for 30 s")
    took = arena.wait_rows(50)
    arena.saw(f"50 more rows {took:.1f} s after, {failures(arena):.0f} transactions repeated")


def lose_commit_replies(arena: Arena) -> None:
    _lose_commits(arena, Charge.LOSE_COMMIT_REPLY, "replies to COMMIT lost")


def lose_commits(arena: Arena) -> None:
    _lose_commits(arena, Charge.LOSE_COMMIT, "COMMITs lost")


def _lose_commits(arena: Arena, charge: Charge, what: str) -> None:
    proxy = arena.ground.postgres_proxy
    for _ in range(15):
        proxy.arm(charge)
        pause(0.3)
    arena.bite(what, proxy.counts[charge])
    arena.bite("transactions repeated", failures(arena))


def refuse_as_disk_full(arena: Arena) -> None:
    _refuse(arena, "53100", 1.0, "transactions refused for a full disk")


def refuse_as_serialization(arena: Arena) -> None:
    _refuse(arena, "40001", 0.5, "transactions that could not be serialised")


def _refuse(arena: Arena, state: str, share: float, what: str) -> None:
    arena.execute(REFUSE.format(state=state, share=share))
    pause(6)
    bites = failures(arena)
    arena.execute("DROP TRIGGER refuse ON translation")
    arena.bite(what, bites)
    took = arena.wait_rows(50)
    arena.saw(f"50 more rows {took:.1f} s after")


def exhaust_connections(arena: Arena) -> None:
    name = arena.query("SELECT current_database()")[0][0]
    arena.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 8")
    with hogs(arena, 12):
        for _ in range(20):
            arena.query(TERMINATE)  # so that pools must connect anew
            pause(0.2)
        pause(2)
        alive = [worker.get("/livez") for worker in arena.fleet.running]
        bites = arena.fleet.events("settlement_to_be_repeated") + arena.fleet.events("history_not_reachable")
    assert all(alive), "liveness failed because of PostgreSQL"
    arena.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    arena.bite("transactions and questions repeated", bites)


@contextmanager
def hogs(arena: Arena, count: int) -> Iterator[None]:
    """So many connections, or as many as the database gives."""
    held = []
    for _ in range(count):
        with suppress(psycopg2.OperationalError):
            held.append(psycopg2.connect(arena.database_url.replace(DIALECT, "")))
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def lock_leases(arena: Arena) -> None:
    _hold(arena, "SELECT 1 FROM ingest_lease FOR UPDATE")


def lock_history(arena: Arena) -> None:
    _hold(arena, "LOCK TABLE translation IN ACCESS EXCLUSIVE MODE")


def _hold(arena: Arena, statement: str) -> None:
    with arena.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(statement)
        pause(8)
        waited = failures(arena) + arena.fleet.events("history_not_reachable")
    arena.bite("statements that gave up waiting", waited)
    took = arena.wait_rows(50)
    arena.saw(f"50 more rows {took:.1f} s after the lock was released")


def deadlock(arena: Arena) -> None:
    """Maintenance that locks the leases in the opposite order, one by one."""
    ended = threading.Event()
    lost: list[str] = []

    def maintain() -> None:
        while not ended.is_set():
            _lock_backwards(arena, lost)

    thread = threading.Thread(target=maintain)
    thread.start()
    pause(15)
    ended.set()
    thread.join()
    arena.bite("transactions of the workers repeated", failures(arena))
    arena.bite("deadlocks that the maintenance lost", len(lost))


def _lock_backwards(arena: Arena, lost: list[str]) -> None:
    keys = arena.query("SELECT topic, partition FROM ingest_lease ORDER BY topic DESC, partition DESC")
    try:
        with arena.engine.connect() as connection, connection.begin():
            for topic, partition in keys:
                statement = "SELECT 1 FROM ingest_lease WHERE topic = %s AND partition = %s FOR UPDATE"
                connection.exec_driver_sql(statement, (topic, partition))
                pause(0.1)
    except DBAPIError as error:
        lost.append(type(error.orig).__name__)


def month_without_partition(arena: Arena) -> None:
    month = Month.of(datetime.now(UTC)).partition
    with transaction(arena.engine) as connection:
        connection.exec_driver_sql(DROP_MONTH.format(month=month))
    arena.wait_rows(200)
    arena.bite("rows of a month without a partition", arena.query(f"SELECT count(*) FROM {REST}")[0][0])
    made = make_partitions(arena.engine)
    assert month in made, f"upkeep made {made}"
    arena.wait_rows(200)
    arena.saw(f"upkeep made the partition; {arena.query(f'SELECT count(*) FROM {REST}')[0][0]} rows are left outside")


def migrate_under_load(arena: Arena) -> None:
    before = failures(arena)
    for statement in (
        "ALTER TABLE translation ADD COLUMN note text",
        "CREATE INDEX note_at ON translation (note)",
        "ALTER TABLE ingest_lease ADD COLUMN note text DEFAULT ''",
        "DROP INDEX note_at",
        "ALTER TABLE translation DROP COLUMN note",
        "ALTER TABLE ingest_lease DROP COLUMN note",
    ):
        arena.execute(statement)
        arena.bite("changes of the schema")
        arena.wait_rows(20)
    arena.saw(f"{failures(arena) - before:.0f} transactions had to be repeated")


def restore_backup(arena: Arena) -> None:
    data, copy = arena.ground.stack.postgres.directory / "data", arena.folder / "backup"
    _while_stopped(arena, lambda: shutil.copytree(data, copy))
    _own(copy, data)
    arena.wait_rows(300)
    kept, ahead = arena.rows(), arena.leases()

    def restore() -> None:
        shutil.rmtree(data)
        shutil.move(copy, data)

    _while_stopped(arena, restore)
    arena.rewound = True
    gone = kept - arena.rows()
    assert gone > 0, "the backup held everything"
    arena.bite("rows lost with the restored backup", gone)
    behind = sum((ahead[key] or 0) - (offset or 0) for key, offset in arena.leases().items())
    arena.saw(f"{gone} rows and {behind} offsets were gone")
    for worker in list(arena.fleet.running):  # as the runbook says
        worker.terminate()
    arena.fleet.start_ready(arena.setup.workers)
    took = wait_until(lambda: arena.rows() > kept, "what was lost is translated again")
    arena.saw(f"all of it was there again after {took:.1f} s")


def _while_stopped(arena: Arena, act: Callable[[], object]) -> None:
    arena.ground.stack.postgres.stop()
    arena.engine.dispose()  # whose connections are no more
    act()
    arena.ground.stack.postgres.start()


def _own(copy: Path, like: Path) -> None:
    """A copy keeps modes, not owners, and PostgreSQL insists on its own."""
    owner = like.stat()
    for path in (copy, *copy.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def slow_network(arena: Arena) -> None:
    proxy = arena.ground.postgres_proxy
    proxy.set(Conditions(latency_seconds=0.05, jitter_seconds=0.05))
    arena.wait_rows(500)  # and now it has settled down
    took = arena.wait_rows(1_500)
    arena.saw(f"{1_500 / took:.0f} rows/s at 50 ms one way, of {arena.setup.mix.jobs_per_second:.0f} sent")
    arena.bite("chunks delayed", proxy.counts["delayed"])


def black_hole(arena: Arena) -> None:
    proxy = arena.ground.postgres_proxy
    proxy.set(Conditions(silent=True))
    pause(15)
    assert all(worker.get("/livez") for worker in arena.fleet.running), "liveness failed because of PostgreSQL"
    arena.bite("chunks held", proxy.counts["held"])
    proxy.reset_all()  # what the keepalive of a real network would do
    proxy.set(CLEAR)
    took = arena.wait_rows(50)
    arena.saw(f"silent for 15 s: 50 more rows {took:.1f} s after")


def reset_connections(arena: Arena) -> None:
    proxy = arena.ground.postgres_proxy
    for _ in range(10):
        proxy.arm(Charge.RESET_MID_FRAME)
        pause(0.5)
        arena.bite("connections reset", proxy.reset_all())
    arena.bite("answers cut in the middle", proxy.counts[Charge.RESET_MID_FRAME])


POSTGRES_FAULTS = (
    Fault("28d", "connections to PostgreSQL reset", "proxy: RST, also inside an answer", reset_connections, BY_PROXY),
    Fault("28e", "PostgreSQL silent", "proxy: black hole", black_hole, BY_PROXY),
    Fault("25b", "slow network to PostgreSQL", "proxy: 50 ms, jitter", slow_network, BY_PROXY),
    Fault("31", "backends terminated", "pg_terminate_backend every 200 ms", terminate_backends),
    Fault("32", "PostgreSQL crashed", "SIGKILL of all backends, start: crash recovery", crash_postgres),
    Fault("33", "PostgreSQL frozen", "SIGSTOP of all backends for 30 s", freeze_postgres),
    Fault("34", "reply to COMMIT lost", "proxy: RST after PostgreSQL committed", lose_commit_replies, BY_PROXY),
    Fault("34b", "COMMIT lost", "proxy: RST instead of the COMMIT", lose_commits, BY_PROXY),
    Fault("35", "disk full, as PostgreSQL says it", "a trigger raises SQLSTATE 53100", refuse_as_disk_full),
    Fault("36", "no connection free", "connection limit of the database, hogs, terminated pools", exhaust_connections),
    Fault("37", "leases locked by somebody", "SELECT FOR UPDATE for 8 s", lock_leases),
    Fault("37b", "history locked by somebody", "ACCESS EXCLUSIVE for 8 s", lock_history),
    Fault("38", "deadlocks with maintenance", "locks the leases in the opposite order", deadlock),
    Fault("38b", "serialization failures", "a trigger raises SQLSTATE 40001 for half of all", refuse_as_serialization),
    Fault("39", "no partition for this month", "dropped, its rows kept", month_without_partition),
    Fault("40", "schema changed under load", "columns and an index come and go", migrate_under_load),
    Fault("41", "database restored from a backup", "data folder of before put back", restore_backup),
)
