"""`dragoman distill TEACHER CONFIG.toml`: a teacher translates the corpus, a student learns from that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..model.batching import BatchLimits
from ..model.decoding import SearchOptions
from ..model.synthesis.chunk_translation import ChunkTranslation, SynthesisOptions
from ..model.synthesis.distillation import Distilled, check_teacher, distil
from ..model.training.config import TrainConfig, load_train_config
from ..model.training.loop import TrainingInterruptedError
from ..model.training.run import default_run_folder, resume, train
from ..model.training.state import has_state
from .loading import load_translator
from .synthesis_display import SynthesisDisplay, counts_line
from .training_display import TrainingDisplay

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    teacher: Path
    config: Path
    run_folder: Path | None
    beam_size: int
    min_score: float | None
    keep_original: bool
    translate_only: bool
    device: str | None
    batch_tokens: int | None

    @property
    def options(self) -> SynthesisOptions:
        limits = BatchLimits(self.batch_tokens, rows=self.batch_tokens) if self.batch_tokens else None
        return SynthesisOptions(SearchOptions(beam_size=self.beam_size), limits, min_score=self.min_score)


@click.command()
@click.argument("teacher", type=click.Path(path_type=Path))
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--run-folder", type=click.Path(path_type=Path), help="Corpora, state and curve.  [default: runs/NAME]")
@click.option("--beam-size", type=click.IntRange(1, 64), default=4, show_default=True, help="1 is greedy search.")
@click.option("--min-score", type=float, help="Leave out translations with a lower score, such as -0.5.")
@click.option("--keep-original", is_flag=True, help="The student learns from the original pairs too.")
@click.option("--translate-only", is_flag=True, help="Write the corpora, train no student.")
@click.option("--device", help="Where the teacher works: cpu, cuda:N or auto.")
@click.option("--batch-tokens", type=click.IntRange(16), help="Padded source tokens of a batch of the teacher.")
def distill(**options: Any) -> None:
    """Have the checkpoint TEACHER translate the sources of CONFIG's corpora, and train CONFIG's model on that.

    Sequence-level knowledge distillation (Kim and Rush 2016). The corpora (source, translation, score) lie in the
    run folder. Ctrl-C keeps what is finished; the same command goes on with it.
    """
    request = Request(**options)
    config, folder = load_train_config(request.config)
    run_folder = request.run_folder or default_run_folder(config)
    try:
        distilled = _distilled(request, config, (folder, run_folder))
        if not request.translate_only:
            student = distilled.beside_originals(config) if request.keep_original else distilled.alone(config)
            _train(student, folder, run_folder)
    except (KeyboardInterrupt, TrainingInterruptedError):
        click.echo(f"\ninterrupted; what is finished is kept in {run_folder}: run the same command to go on", err=True)
        raise SystemExit(INTERRUPTED) from None


def _distilled(request: Request, config: TrainConfig, folders: tuple[Path, Path]) -> Distilled:
    translator = load_translator(request.teacher, request.device)
    check_teacher(config, translator)
    click.echo(f"{translator.version} translates the corpora of {config.name}")
    distilled = distil(config, *folders, ChunkTranslation(translator, request.options, SynthesisDisplay().show))
    click.echo(counts_line(distilled.counts))
    for corpus in distilled.corpora:
        click.echo(f"wrote {corpus.path}")
    return distilled


def _train(student: TrainConfig, folder: Path, run_folder: Path) -> None:
    go = resume if has_state(run_folder) else train
    click.echo(f"{len(student.data.corpora)} corpora to learn from")
    with TrainingDisplay(student) as display:
        output = go(student, folder, display.show, run_folder)
    click.echo(f"saved {output}")
