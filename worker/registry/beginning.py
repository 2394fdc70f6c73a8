"""What a worker begins with when it serves what is deployed. Reads tables and checkpoints; loads no weights."""

from collections.abc import Mapping

import structlog
from sqlalchemy import Connection, Engine

from ...errors import ConfigurationError, DragomanError, TransientError
from ...settings import Settings
from ...storage.deployments import Deployment, chain, open_deployments
from ...storage.engine import transaction
from ...storage.models import Pair, RegisteredVersion, registered_versions
from ..devices.served_models import Route
from ..devices.serving import Serving, engine_choice, process_devices
from .deployed_model import DeployedModel, Keeping, deployed_model

log = structlog.get_logger(__name__)


def keeping_as_set(settings: Settings) -> Keeping:
    """As the settings say."""
    return Keeping(settings.artifacts_cache, engine_choice(settings))


def serving_as_deployed(settings: Settings, database: Engine) -> Serving:
    """The versions in production; where one cannot be read, the one before it. Canaries and shadows come later.

    Raises `ConfigurationError` if nothing is deployed, or a pair has no version that can be read.
    """
    with transaction(database) as connection:
        versions = {version.id: version for version in registered_versions(connection)}
        chains = _chains(connection)
    if not chains:
        raise ConfigurationError("no model is deployed: `dragoman models promote` deploys one that is registered")
    models: dict[str, DeployedModel] = {}
    routes: dict[Pair, Route] = {}
    for pair, deployments in chains.items():
        model = _first_readable(deployments, versions, models, keeping_as_set(settings))
        models[model.described.side.version] = model
        routes[pair] = Route(model.described.side)
    devices = process_devices(settings, tuple((version, model.source) for version, model in models.items()))
    return Serving(tuple(model.described for model in models.values()), devices, routes)


def _chains(connection: Connection) -> dict[Pair, list[Deployment]]:
    """The deployments of each pair, the current one first."""
    current = [one for one in open_deployments(connection) if one.role == "production"]
    return {one.pair: list(chain(connection, one)) for one in current}


def _first_readable(
    deployments: list[Deployment],
    versions: Mapping[str, RegisteredVersion],
    known: Mapping[str, DeployedModel],
    keeping: Keeping,
) -> DeployedModel:
    refusals = []
    for one in deployments:
        if one.model_version_id in known and one.pair in known[one.model_version_id].described.side.pairs:
            return known[one.model_version_id]
        try:
            return deployed_model(versions[one.model_version_id], frozenset({one.pair}), keeping)
        except TransientError:
            raise
        except DragomanError as error:
            log.error("model_refused", model=one.model_version_id, reason=str(error))
            refusals.append(str(error))
    raise ConfigurationError(
        f"no version that was deployed for {'-'.join(deployments[0].pair)} can be read: {'; '.join(refusals)}"
    )
