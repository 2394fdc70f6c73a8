"""`dragoman up`: a local Kafka and PostgreSQL, ready for jobs, until Ctrl-C."""

import re
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from ..compose.local import LocalStack, StackOptions
from ..compose.local.ports import is_free
from ..compose.local.stack import DATABASE_VARIABLE, ENV_FILE_NAME, KAFKA_VARIABLE
from ..settings import DEFAULT_ENV_FILE, load_settings

LOOK_AGAIN_SECONDS = 1.0
# Where the services are looked for by default; taken when free, so that other tools find them too.
KAFKA_PORT, DATABASE_PORT = 9092, 5432
PASSWORD = re.compile(r"(?<=[^/]):[^:@/]*@")


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_ENV_FILE.parent,
    show_default=True,
    help="Where data and logs are kept from one run to the next.",
)
@click.option("--kafka-port", type=click.IntRange(1, 65_535), help="Port of Kafka; default: 9092, or a free one.")
@click.option(
    "--database-port",
    type=click.IntRange(1, 65_535),
    help="Port of PostgreSQL; default: 5432, or a free one.",
)
def up(data_dir: Path, kafka_port: int | None, database_port: int | None) -> None:
    """Run a local Kafka and PostgreSQL until Ctrl-C.

    What DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS or DRAGOMAN_DATABASE_URL names is used instead of a local service.
    """
    options = StackOptions(
        data_dir=data_dir,
        kafka_port=kafka_port or _if_free(KAFKA_PORT),
        database_port=database_port or _if_free(DATABASE_PORT),
    ).with_given_services()
    with _sigterm_interrupts():
        click.echo("starting Kafka and PostgreSQL ...")
        with LocalStack(options) as stack:
            prepare(stack)
            with _env_file(stack):
                click.echo(_welcome(stack))
                _watch(stack)
                click.echo("stopping Kafka and PostgreSQL ...")


def prepare(stack: LocalStack) -> None:
    """Create what is missing: the topics in Kafka, the tables in the database."""
    from ..producer.topics import ensure_topics
    from ..storage.migrate import upgrade

    servers, url = stack.kafka_bootstrap_servers, stack.database_url
    ensure_topics(load_settings(kafka_bootstrap_servers=servers, database_url=url))
    upgrade(url)


def _watch(stack: LocalStack) -> None:
    """Return on Ctrl-C or SIGTERM; raises `ServiceFailedError` when a service ends by itself."""
    never = threading.Event()
    with suppress(KeyboardInterrupt):
        while not never.wait(LOOK_AGAIN_SECONDS):
            stack.raise_if_ended()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _env_file(stack: LocalStack) -> Iterator[None]:
    """Tell every `dragoman` command started in this folder where the services are."""
    path = stack.data_dir / ENV_FILE_NAME
    path.touch(mode=0o600)  # a database given by its URL can carry a password
    path.write_text(f"{KAFKA_VARIABLE}={stack.kafka_bootstrap_servers}\n{DATABASE_VARIABLE}={stack.database_url}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _if_free(port: int) -> int | None:
    return port if is_free(port) else None


def _welcome(stack: LocalStack) -> str:
    env_file = stack.data_dir / ENV_FILE_NAME
    found_by_default = env_file == DEFAULT_ENV_FILE.absolute()
    prefix = "" if found_by_default else f"DRAGOMAN_ENV_FILE={shlex.quote(str(env_file))} "
    return (
        f"Kafka       {stack.kafka_bootstrap_servers}\n"
        f"PostgreSQL  {PASSWORD.sub(':***@', stack.database_url)}\n"
        f"data, logs  {stack.data_dir}\n"
        "In another terminal, in this folder:\n"
        f"  {prefix}dragoman worker\n"
        f"  {prefix}dragoman submit 'Good morning' -s en -t fr --wait\n"
        "Ctrl-C stops both services and keeps their data."
    )
