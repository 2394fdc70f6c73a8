"""`dragoman worker`: consumes jobs, translates them, records and publishes the results."""

import os
from collections.abc import Iterable

import click
import structlog

from ..errors import DragomanError
from ..model.shipped import DEFAULT
from ..settings import Settings, load_settings
from ..storage.models import ModelVersion, register_model_version
from ..storage.revision import require_current
from ..worker.devices.echo import EchoTranslator
from ..worker.devices.model_source import Described
from ..worker.devices.serving import Serving
from ..worker.logs import configure_logging
from ..worker.registry.beginning import serving_as_deployed
from ..worker.worker import Worker, run_worker
from .database import database_engine, database_transaction

log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    help=f"Folder of a checkpoint or of several, or shipped name; may be given again. Default: {DEFAULT}.",
)
@click.option("--devices", "--device", help="cpu, auto, or CUDA devices, a process each: cuda:0,cuda:1.")
@click.option("--echo", is_flag=True, help="Answer with the source text: measures the pipeline without a model.")
@click.option("--registry", is_flag=True, default=None, help="Serve what is deployed: see `dragoman models promote`.")
def worker(models: tuple[str, ...], devices: str | None, registry: bool | None, *, echo: bool) -> None:
    """Consume jobs until SIGTERM or Ctrl-C, then finish what has begun and leave."""
    if registry and models:
        raise click.UsageError("--registry serves what is deployed, --model names it: give one of them")
    given = {
        "checkpoint": ",".join(models) or None,
        "devices": devices,
        # A model that is named here counts, whatever the environment says.
        "registry": False if models else registry,
    }
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    serving = Serving.in_process(EchoTranslator()) if echo else _serving(settings)
    _register(settings, serving.models)
    code = 0
    try:
        run_worker(settings, serving, _say_started)
    except DragomanError as error:
        click.echo(f"dragoman: {error}", err=True)
        code = 1
    # Libraries may leave threads behind that wait for brokers which are away; everything of ours is done.
    os._exit(code)


def _serving(settings: Settings) -> Serving:
    if not settings.registry:
        return Serving.as_set(settings)
    with database_engine(settings) as engine:
        require_current(engine)
        return serving_as_deployed(settings, engine)


def _register(settings: Settings, models: Iterable[Described]) -> None:
    with database_transaction(settings) as connection:
        for model in models:
            register_model_version(connection, _version(model))


def _version(model: Described) -> ModelVersion:
    sources, targets = (tuple(sorted(set(languages))) for languages in zip(*model.side.pairs, strict=True))
    return ModelVersion(model.side.version, sources, targets, model.sha256, model.card)


def _say_started(running: Worker, health_port: int) -> None:
    log.info(
        "worker_started",
        worker_id=running.pipeline.identity.worker_id,
        group=running.settings.consumer_group,
        health_port=health_port,
    )
