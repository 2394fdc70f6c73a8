"""What a training run is told: a TOML file read into frozen values. Knows shapes by name, and no data.

Paths in the file are relative to the folder of the file, after `~` and environment variables are put in.
"""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ...errors import ConfigurationError
from ..architectures.catalog import shaped
from ..corpora.corpus_file import Direction

# Beyond so many target pieces the output layer is worth shortening without being asked.
LARGE_VOCABULARY = 8000
# More than any machine has cores; torch cannot start so many as an int can say.
MAX_THREADS = 1024
# Torch takes 64 bits; each process adds its rank.
SEED_END = 2**63
Config = TypeVar("Config", bound=BaseModel)
LanguagePair = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*-[A-Za-z][A-Za-z0-9_]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusConfig(_Section):
    """A corpus file and the languages of its columns; its pairs come `weight` times an epoch."""

    path: str
    languages: tuple[str, str]
    weight: float = Field(1.0, gt=0)
    direction: Direction = "both"

    def serves(self, source: str, target: str) -> bool:
        """Whether `target` can be learned from `source` on it."""
        wanted = (source, target)
        return wanted == self.languages or (self.direction == "both" and wanted[::-1] == self.languages)


class DevConfig(_Section):
    """A development set; it measures every direction of `pairs` between the languages of its columns."""

    path: str
    languages: tuple[str, ...] = Field(min_length=2)

    def serves(self, source: str, target: str) -> bool:
        """Whether it has both languages, in whatever order."""
        return {source, target} <= set(self.languages)


class DataConfig(_Section):
    """Corpora to learn from, development sets to measure on, and what is left out (corpora/cleaning.py)."""

    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    dev: tuple[DevConfig, ...] = Field(min_length=1)
    max_characters: int = Field(400, ge=1)
    max_pieces: int = Field(100, ge=1)
    max_length_ratio: float = Field(3.0, ge=1)
    min_letter_share: float = Field(0.0, ge=0, le=1)
    min_script_share: float = Field(0.0, ge=0, le=1)
    duplicates: Literal["drop", "keep"] = "drop"
    pool_pairs: int | None = Field(None, ge=1)


class VocabularyConfig(_Section):
    """How text is cut into pieces; `sampling_alpha` > 0 cuts training sources at random (subwords only)."""

    kind: Literal["subwords", "characters"] = "subwords"
    algorithm: Literal["unigram", "bpe"] = "unigram"
    size: int = Field(8000, ge=8)
    sampling_alpha: float = Field(0.0, ge=0, le=1)


class NetworkConfig(BaseModel):
    """An architecture of the catalog and its shape; what is not given is the architecture's own default."""

    model_config = ConfigDict(frozen=True, extra="allow")

    architecture: str = "transformer"

    @property
    def shape(self) -> dict[str, Any]:
        """The shape as given, without the size of the vocabulary."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if "vocabulary_size" in self.shape:
            raise ValueError("vocabulary_size is set by vocabulary.size")
        if "source_vocabulary_size" in self.shape:
            raise ValueError(
                "source_vocabulary_size is set by vocabulary.size: only an imported model has pieces of its own for "
                "the source"
            )
        self.max_positions  # noqa: B018 - raises for an impossible shape
        return self

    @property
    def max_positions(self) -> int:
        """Longest source or target in pieces, marks included."""
        return shaped(self.architecture, {"vocabulary_size": 1000} | self.shape).max_positions


class OptimiserConfig(_Section):
    """AdamW or Muon; the learning rate rises linearly for `warmup_steps`, then follows `schedule`."""

    method: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    muon_learning_rate: float = Field(0.02, gt=0)
    schedule: Literal["cosine", "inverse-sqrt", "linear"] = "cosine"
    warmup_steps: int = Field(400, ge=1)
    decay_share: float = Field(0.3, gt=0, le=1)
    weight_decay: float = Field(0.01, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    accumulation: int = Field(1, ge=1)


class RunConfig(_Section):
    """How a run goes and when it ends: at the first limit that it meets, or after `patience` evaluations in vain.

    A run of several processes takes `batch_tokens` in each of them.
    """

    batch_tokens: int = Field(2000, ge=16)
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    max_epochs: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=1)
    evaluate_minutes: float = Field(10.0, gt=0)
    evaluate_steps: int | None = Field(None, ge=1)
    evaluate_segments: int = Field(500, ge=1)
    save_minutes: float = Field(10.0, gt=0)
    average: Literal["ema", "last", "none"] = "ema"
    average_decay: float = Field(0.998, ge=0, lt=1)
    average_last: int = Field(5, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "never"] = "auto"
    device: str = "auto"
    threads: int = Field(0, ge=0, le=MAX_THREADS)
    seed: int = Field(1, ge=0, lt=SEED_END)


class StartConfig(_Section):
    """A checkpoint to begin from: with all its pieces, or with a new vocabulary that shares some spellings."""

    checkpoint: str
    pieces: Literal["all", "same-spelling"] = "all"


class ShortlistConfig(_Section):
    """What shortlist the checkpoint gets; `auto` learns one for more than `LARGE_VOCABULARY` pieces."""

    learn: Literal["auto", "always", "never"] = "auto"
    best: int = Field(50, ge=1)
    frequent: int = Field(100, ge=0)

    def is_wanted(self, target_size: int) -> bool:
        """Whether a vocabulary of so many target pieces gets one."""
        return self.learn == "always" or (self.learn == "auto" and target_size > LARGE_VOCABULARY)


class CardConfig(_Section):
    """What the model card says that no measurement tells."""

    licence: str
    attribution: str
    note: str = ""


class TrainConfig(_Section):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    pairs: tuple[LanguagePair, ...] = Field(min_length=1)
    output: str
    storage: Literal["float16", "float32", "int8"] = "float16"
    data: DataConfig
    vocabulary: VocabularyConfig = VocabularyConfig()
    network: NetworkConfig = NetworkConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    run: RunConfig = RunConfig()
    start: StartConfig | None = None
    shortlist: ShortlistConfig = ShortlistConfig()
    card: CardConfig

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """`pairs` as (source, target)."""
        return tuple((source, target) for source, target in (pair.split("-") for pair in self.pairs))

    @property
    def target_languages(self) -> tuple[str, ...]:
        """What needs a language piece: the targets, where there is more than one."""
        targets = tuple(dict.fromkeys(target for _, target in self.directions))
        return targets if len(targets) > 1 else ()

    @model_validator(mode="after")
    def _positions_are_enough(self) -> Self:
        # A language piece and the end mark come with the pieces; a checkpoint's own shape is checked when it is read.
        if self.start is None and self.data.max_pieces + 2 > self.network.max_positions:
            raise ValueError(
                f"data.max_pieces {self.data.max_pieces}, a language piece and an end mark do not fit into "
                f"network.max_positions {self.network.max_positions}"
            )
        return self

    @model_validator(mode="after")
    def _every_pair_has_its_files(self) -> Self:
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError("pairs names a pair twice")
        for part, files in (("corpora", self.data.corpora), ("dev", self.data.dev)):
            _check_served(self.directions, part, files)
        return self

    @model_validator(mode="after")
    def _ends(self) -> Self:
        run = self.run
        if run.max_steps is None and run.max_minutes is None and run.max_epochs is None and run.patience is None:
            raise ValueError("the run never ends: set run.max_steps, max_minutes, max_epochs or patience")
        if self.optimiser.schedule != "inverse-sqrt" and run.max_steps is None and run.max_minutes is None:
            raise ValueError(
                f"the schedule {self.optimiser.schedule} falls to the end of the run: set run.max_steps or "
                'run.max_minutes, or take optimiser.schedule = "inverse-sqrt"'
            )
        return self


def _check_served(
    directions: tuple[tuple[str, str], ...], part: str, files: Sequence[CorpusConfig | DevConfig]
) -> None:
    for source, target in directions:
        if not any(file.serves(source, target) for file in files):
            raise ValueError(f"no file of data.{part} has the languages of the pair {source}-{target}")
    for file in files:
        if not any(file.serves(*direction) for direction in directions):
            raise ValueError(f"no pair is between the languages {'-'.join(file.languages)} of {file.path}")


def load_train_config(path: Path) -> tuple[TrainConfig, Path]:
    """Read a config file; returns it with the folder its paths are relative to."""
    return read_config(path, TrainConfig, "the training config"), path.parent


def read_config(path: Path, kind: type[Config], name: str) -> Config:
    """Read a TOML file into its values; raises `ConfigurationError`, which calls the file by this name."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{name} {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} {path} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{name} {path} is not usable: {faults(error)}") from None


def with_limits(config: TrainConfig, max_steps: int | None, max_minutes: float | None) -> TrainConfig:
    """The config with other limits, where they are given."""
    limits = {name: value for name, value in (("max_steps", max_steps), ("max_minutes", max_minutes)) if value}
    try:
        run = RunConfig.model_validate(config.run.model_dump() | limits)
    except ValidationError as error:
        raise ConfigurationError(f"not a limit: {faults(error)}") from None
    return config.model_copy(update={"run": run})


def faults(error: ValidationError) -> str:
    """What pydantic found, each fault with its place, as one line."""
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, fault["loc"])), fault["msg"]])) for fault in error.errors()
    )


def resolve(path: str, folder: Path) -> Path:
    """A path of the config file as a real one."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise ConfigurationError(f"the path {path} names an environment variable that is not set")
    return folder / expanded
