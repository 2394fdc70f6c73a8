"""A registered version as a worker loads it. Knows where it is kept; loads no weights."""

from dataclasses import dataclass
from pathlib import Path

from ...storage.models import Pair, RegisteredVersion
from ..devices.model_source import CheckpointSource, Described, EngineChoice
from .artifacts import ArtifactError, fetch


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where models of other machines are cached, and how they are run."""

    cache: Path
    choice: EngineChoice


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A version whose files were verified: how it is loaded, and what it is."""

    source: CheckpointSource
    described: Described


def deployed_model(version: RegisteredVersion, pairs: frozenset[Pair], keeping: Keeping) -> DeployedModel:
    """Fetch and verify a version for these pairs.

    Raises `DragomanError` with what is wrong: its files are away, damaged or other ones, or it has not these pairs.
    """
    source = CheckpointSource(fetch(version.artifact_url, version.content_sha256, keeping.cache), keeping.choice)
    described = source.describe()
    missing = pairs - set(described.side.pairs)
    if missing:
        raise ArtifactError(
            f"the model {version.id} is deployed for {', '.join(map('-'.join, sorted(missing)))}, "
            "which it does not translate: promote another"
        )
    if described.side.version != version.id:
        raise ArtifactError(f"the checkpoint of {version.id} calls itself {described.side.version}: register it anew")
    return DeployedModel(source, described)
