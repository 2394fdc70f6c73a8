"""What a training run is told: a TOML file read into frozen values. Knows no tensors.

Paths in the file are relative to the folder of the file, after `~` and environment variables are put in.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import ConfigurationError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Section):
    """Corpus files (source, target columns) and the development set that quality is measured on."""

    train: list[str] = Field(min_length=1)
    dev: str
    max_characters: int = Field(400, ge=1)
    max_pieces: int = Field(100, ge=1)


class ShapeConfig(_Section):
    """Shape of the Transformer and size of its vocabulary; `width` is even and divides by `heads`."""

    vocabulary_size: int = Field(8000, ge=300)
    width: int = Field(256, ge=2)
    heads: int = Field(4, ge=1)
    feed_forward: int = Field(1024, ge=1)
    encoder_layers: int = Field(4, ge=1)
    decoder_layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    max_positions: int = Field(512, ge=16)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and divide by heads {self.heads}")
        return self


class OptimiserConfig(_Section):
    """AdamW; the learning rate rises linearly for `warmup_steps`, then falls to 0 along a cosine."""

    method: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    muon_learning_rate: float = Field(0.02, gt=0)
    warmup_steps: int = Field(400, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)


class RunConfig(_Section):
    """When to stop and how often to look: whichever of `max_steps` and `max_minutes` comes first ends the run."""

    batch_tokens: int = Field(2000, ge=16)
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    evaluate_minutes: float = Field(10.0, gt=0)
    evaluate_segments: int = Field(500, ge=1)
    average_decay: float = Field(0.998, ge=0, lt=1)
    threads: int = Field(0, ge=0)
    seed: int = 1


class CardConfig(_Section):
    """What the model card says that no measurement tells."""

    licence: str
    attribution: str
    note: str = ""


class TrainConfig(_Section):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    source: str
    target: str
    output: str
    data: DataConfig
    shape: ShapeConfig = ShapeConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    run: RunConfig = RunConfig()
    card: CardConfig

    @model_validator(mode="after")
    def _positions_are_enough(self) -> Self:
        if self.data.max_pieces >= self.shape.max_positions:
            raise ValueError(
                f"data.max_pieces {self.data.max_pieces} and an end mark do not fit into "
                f"shape.max_positions {self.shape.max_positions}"
            )
        return self


def load_train_config(path: Path) -> tuple[TrainConfig, Path]:
    """Read a config file; returns it with the folder its paths are relative to."""
    try:
        config = TrainConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"the training config {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the training config {path} is not TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, [".".join(map(str, fault["loc"])), fault["msg"]])) for fault in error.errors()
        )
        raise ConfigurationError(f"the training config {path} is not usable: {faults}") from None
    if config.run.max_steps is None and config.run.max_minutes is None:
        raise ConfigurationError(f"the training config {path} never ends: set run.max_steps or run.max_minutes")
    return config, path.parent


def resolve(path: str, folder: Path) -> Path:
    """A path of the config file as a real one."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise ConfigurationError(f"the path {path} names an environment variable that is not set")
    return folder / expanded
