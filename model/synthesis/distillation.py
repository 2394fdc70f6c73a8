"""Sequence-level knowledge distillation (Kim and Rush 2016, arXiv:1606.07947): the teacher writes the student's corpus.

Knows a training config and a teacher; how the student trains is none of its business.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigurationError
from ..corpora.stream import PairStream
from ..training.config import CorpusConfig, TrainConfig
from ..training.run import corpus_stream
from ..translator import Translation, Translator
from .chunk_translation import ChunkTranslation, Work

# Where in the student's run folder the corpora lie.
FOLDER = "distilled"


@dataclass(frozen=True, slots=True)
class Distilled:
    """The corpora that a teacher wrote, and how many segments were kept and left out."""

    corpora: tuple[CorpusConfig, ...]
    counts: Counter[str]
    teacher: str

    def alone(self, config: TrainConfig) -> TrainConfig:
        """The student's config with these corpora instead of its own."""
        return self._with(config, self.corpora)

    def beside_originals(self, config: TrainConfig) -> TrainConfig:
        """The student's config with these corpora and its own."""
        return self._with(config, (*config.data.corpora, *self.corpora))

    def _with(self, config: TrainConfig, corpora: tuple[CorpusConfig, ...]) -> TrainConfig:
        note = (
            f"Distilled (Kim and Rush 2016, arXiv:1606.07947): {self.teacher} translated the training sources "
            f"(`dragoman distill TEACHER {config.name}.toml`)."
        )
        card = config.card.model_copy(update={"note": f"{note} {config.card.note}".strip()})
        return config.model_copy(update={"data": config.data.model_copy(update={"corpora": corpora}), "card": card})


def distil(config: TrainConfig, folder: Path, run_folder: Path, translation: ChunkTranslation) -> Distilled:
    """Have the teacher translate the sources of every corpus of `config`, in every direction that it serves.

    `folder` is what the paths of `config` are relative to. The new files (source, translation, score) lie in
    `run_folder`; what is there already is not made again. A source is translated once a corpus, however many
    translations the corpus has. Raises `ConfigurationError` for a pair that the teacher lacks.
    """
    check_teacher(config, translation.translator)
    corpora: list[CorpusConfig] = []
    counts: Counter[str] = Counter()
    for number, corpus in enumerate(config.data.corpora, 1):
        for direction in config.directions:
            if corpus.serves(*direction):
                output = run_folder.absolute() / FOLDER / f"{number:02d}.{'-'.join(direction)}.tsv.gz"
                counts += _distil_corpus(_sources(corpus, direction, config, folder), output, translation)
                corpora.append(corpus.model_copy(update=_taught(output, direction)))
    return Distilled(tuple(corpora), counts, translation.translator.version)


def _taught(output: Path, direction: tuple[str, str]) -> dict[str, object]:
    """What a distilled corpus has otherwise than the one it comes from: it teaches one direction."""
    return {"path": str(output), "languages": direction, "direction": "forward"}


def check_teacher(config: TrainConfig, teacher: Translator) -> None:
    """Raise `ConfigurationError` if the teacher cannot teach what the student is to learn."""
    missing = ["-".join(pair) for pair in config.directions if pair not in teacher.pairs]
    if missing:
        known = ", ".join(map("-".join, teacher.pairs))
        raise ConfigurationError(f"the teacher {teacher.version} does not translate {', '.join(missing)}, only {known}")


def _sources(corpus: CorpusConfig, direction: tuple[str, str], config: TrainConfig, folder: Path) -> PairStream:
    """The clean pairs of one corpus, each once, whatever its weight."""
    data = config.data.model_copy(update={"corpora": (corpus.model_copy(update={"weight": 1.0}),)})
    return corpus_stream(config.model_copy(update={"data": data, "pairs": ("-".join(direction),)}), folder)


def _distil_corpus(stream: PairStream, output: Path, translation: ChunkTranslation) -> Counter[str]:
    def texts() -> Iterator[str]:
        return (pair.source for pair in stream.epoch(0))

    [file], [(source, target)] = stream.files, stream.pairs
    work = Work(f"{file.short_name} {source}-{target}", target, texts, _columns)
    return translation.run(work, output, {"corpus": file.short_name, "content": stream.fingerprint}).counts


def _columns(source: str, translation: Translation) -> tuple[str, ...]:
    return source, translation.text, f"{translation.score:.4f}"
