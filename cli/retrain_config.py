"""What a retraining is told: a TOML file read into frozen values. Knows the sections of a training config.

Paths are relative to the folder of the file, after `~` and environment variables are put in.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigurationError
from ..model.source_side import SourceSide
from ..model.training.config import (
    CardConfig,
    CorpusConfig,
    DevConfig,
    LanguagePair,
    OptimiserConfig,
    RunConfig,
    TrainConfig,
    faults,
    read_config,
    resolve,
)
from ..storage.models import Pair
from .retrain_corpus import Corpus

# As fine as a model is tuned that has learned already: far below the rate of a first training.
GENTLY = OptimiserConfig(learning_rate=1e-4, warmup_steps=20)


class Replay(BaseModel):
    """A corpus that the model learned from before, so that it forgets nothing; `weight` of it an epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    weight: float = Field(1.0, gt=0)


class RetrainConfig(BaseModel):
    """One pair that is retrained again and again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: LanguagePair
    # A folder with train, dev and test; without it, the corrections in the database.
    corpus: str | None = None
    corpus_weight: float = Field(1.0, gt=0)
    fewest_segments: int = Field(100, ge=1)
    replay: tuple[Replay, ...] = ()
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    max_pieces: int = Field(100, ge=1)
    optimiser: OptimiserConfig = GENTLY
    run: RunConfig
    card: CardConfig

    @property
    def languages(self) -> Pair:
        """`pair` as (source, target)."""
        source, _, target = self.pair.partition("-")
        return source, target

    def training(self, corpus: Corpus, begin: Path, folder: Path, output: Path) -> TrainConfig:
        """The training that goes on from the checkpoint in `begin`; `folder` is the one of the config's file."""
        languages = self.languages
        corpora = [CorpusConfig(path=str(corpus.train), languages=languages, weight=self.corpus_weight)]
        corpora += [
            CorpusConfig(path=str(resolve(one.path, folder).absolute()), languages=languages, weight=one.weight)
            for one in self.replay
        ]
        dev = [corpus.dev, *(resolve(path, folder).absolute() for path in self.dev)]
        plain: dict[str, Any] = {
            "name": begin_name(begin),
            "pairs": [self.pair],
            "output": str(output.absolute()),
            "data": {
                "corpora": [one.model_dump() for one in corpora],
                "dev": [DevConfig(path=str(path), languages=languages).model_dump() for path in dev],
                "max_pieces": self.max_pieces,
            },
            "optimiser": self.optimiser.model_dump(),
            "run": self.run.model_dump(),
            "start": {"checkpoint": str(begin)},
            "card": self.card.model_dump(),
        }
        try:
            return TrainConfig.model_validate(plain)
        except ValidationError as error:
            raise ConfigurationError(f"the retraining cannot be trained: {faults(error)}") from None


def begin_name(checkpoint: Path) -> str:
    """What the checkpoint in a folder calls itself: its successor is called the same."""
    return SourceSide.load(checkpoint).version.partition("@")[0]


def load_retrain_config(path: Path) -> tuple[RetrainConfig, Path]:
    """Read a config file; returns it with the folder its paths are relative to."""
    return read_config(path, RetrainConfig, "the config"), path.parent
