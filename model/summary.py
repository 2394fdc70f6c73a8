"""What a checkpoint says of itself, without loading it: its config, its card, its sizes. Knows files, no tensors."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors

from .checkpoint_config import SHORTLIST, WEIGHTS, CheckpointConfig, read_config
from .manifest import CARD, CheckpointError, Manifest, read_manifest
from .shortlist_file import ShortlistSize, shortlist_size
from .weights import is_weight


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    """Config, manifest and card of one folder; `parameters` counts by part of the network."""

    folder: Path
    config: CheckpointConfig
    manifest: Manifest
    card: str
    parameters: Mapping[str, int]
    shortlist: ShortlistSize | None = None

    @property
    def version(self) -> str:
        """Name and content hash, as the manifest says it."""
        return f"{self.config.name}@{self.manifest.sha256[:12]}"

    @property
    def pairs(self) -> list[str]:
        """The language pairs, as en-fr."""
        return [f"{source}-{target}" for source, target in self.config.language_pairs]

    @property
    def parameter_count(self) -> int:
        """Numbers in the network; one that two parts share counts once for each."""
        return sum(self.parameters.values())


def summarise(folder: Path) -> CheckpointSummary:
    """Read what `folder` says of itself; its files are not hashed, that is `load_checkpoint`'s.

    Raises `CheckpointError` for a folder that says nothing usable.
    """
    try:
        manifest = read_manifest(folder)
        config = read_config(folder, manifest)
        card = (folder / CARD).read_text(encoding="utf-8")
        shortlist = shortlist_size(folder / SHORTLIST) if SHORTLIST in manifest.files else None
        return CheckpointSummary(folder, config, manifest, card, _count_parameters(folder / WEIGHTS), shortlist)
    except (OSError, UnicodeDecodeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be read: {error}") from error


def _count_parameters(weights: Path) -> dict[str, int]:
    counts: Counter[str] = Counter()
    with safetensors.safe_open(weights, "pt") as file:
        for name in filter(is_weight, file.keys()):
            counts[name.partition(".")[0]] += math.prod(file.get_slice(name).get_shape())
    return dict(sorted(counts.items()))
