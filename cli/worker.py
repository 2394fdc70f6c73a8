"""`dragoman worker`: consumes jobs, translates them, records and publishes the results."""

import os
from pathlib import Path

import click
import structlog

from ..errors import DragomanError
from ..model.shipped import default_checkpoint, find_checkpoint
from ..settings import Settings, load_settings
from ..storage.engine import create_database_engine, transaction
from ..storage.models import ModelVersion, register_model_version
from ..worker.logs import configure_logging
from ..worker.translating import EchoTranslator
from ..worker.worker import Model, Worker, run_worker
from .loading import load_as_set

log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Folder or shipped name. Default: tatoeba-en-fr.",
)
@click.option("--device", help="cpu, cuda:N or auto.")
@click.option("--echo", is_flag=True, help="Answer with the source text: measures the pipeline without a model.")
def worker(model: Path | None, device: str | None, *, echo: bool) -> None:
    """Consume jobs until SIGTERM or Ctrl-C, then finish what has begun and leave."""
    given = {"checkpoint": model, "device": device}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    loaded = _echo(settings) if echo else _load(settings)
    code = 0
    try:
        run_worker(settings, loaded, _say_started)
    except DragomanError as error:
        click.echo(f"dragoman: {error}", err=True)
        code = 1
    # Libraries may leave threads behind that wait for brokers which are away; everything of ours is done.
    os._exit(code)


def _load(settings: Settings) -> Model:
    folder = find_checkpoint(str(settings.checkpoint)) if settings.checkpoint else default_checkpoint()
    translator = load_as_set(folder, settings)
    checkpoint = translator.checkpoint
    version = ModelVersion(
        translator.version,
        tuple(sorted({source for source, _ in checkpoint.pairs})),
        tuple(sorted({target for _, target in checkpoint.pairs})),
        checkpoint.sha256,
        {"markdown": checkpoint.card},
    )
    _register(settings, version)
    return Model(translator, f"{translator.device} {translator.engine_name}")


def _echo(settings: Settings) -> Model:
    translator = EchoTranslator()
    _register(settings, ModelVersion(translator.version, ("en",), ("fr",), "0" * 64, {}))
    return Model(translator, "none")


def _register(settings: Settings, version: ModelVersion) -> None:
    engine = create_database_engine(settings.database_url.get_secret_value())
    try:
        with transaction(engine) as connection:
            register_model_version(connection, version)
    finally:
        engine.dispose()


def _say_started(running: Worker, health_port: int) -> None:
    log.info(
        "worker_started",
        worker_id=running.pipeline.identity.worker_id,
        group=running.settings.consumer_group,
        health_port=health_port,
    )
