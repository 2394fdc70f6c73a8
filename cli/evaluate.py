"""`dragoman evaluate`: how good a checkpoint translates test sets, and whether another does it better."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from ..model.decoding import SearchOptions
from ..model.evaluation.measuring import Measurement, MeasuringOptions, measure
from ..model.evaluation.report import SetReport, Subject, as_json, examine
from ..model.evaluation.report_html import as_html
from ..model.evaluation.report_markdown import as_markdown
from ..model.evaluation.test_set import named_languages, read_direction
from ..model.translator import Translator
from .loading import load_translator


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    checkpoint: Path
    test_files: tuple[Path, ...]
    source: str | None
    target: str | None
    against: Path | None
    beam_size: int
    limit: int | None
    seed: int
    device: str | None
    output: Path | None
    json_file: Path | None


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("test_files", metavar="TEST_FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-s", "--source", help="Source language. Default: by the file's name or the checkpoint's only pair.")
@click.option("-t", "--target", help="Target language. Default: likewise.")
@click.option("--against", type=click.Path(path_type=Path), help="Checkpoint to compare with: the baseline.")
@click.option("--beam-size", type=click.IntRange(1, 64), default=4, show_default=True, help="1 is greedy search.")
@click.option("--limit", type=click.IntRange(1), help="Translate at most so many segments of a file, drawn at random.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which segments --limit draws.")
@click.option("--device", help="cpu, cuda:N or auto.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for report.md, report.html and translations.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File for all figures.")
def evaluate(**options: Any) -> None:
    """Translate each TEST_FILE with CHECKPOINT and print BLEU, chrF and TER, speed and padding.

    A test file holds a segment a line: source, reference and, parted by ` ||| ` in a third column, further references.
    A file named like dev.en-fr.tsv.gz serves both directions. A segment too long for the model counts with an empty
    translation.
    """
    request = Request(**options)
    _check_outputs(request)
    translator = load_translator(request.checkpoint, request.device)
    baseline = load_translator(request.against, request.device) if request.against else None
    subjects = [_subject(path, request, [translator, *([baseline] if baseline else [])]) for path in request.test_files]
    reports = []
    for subject in subjects:
        report = _examined(subject, request, translator, baseline)
        _show(report)
        reports.append(report)
    _write(reports, request)


def _check_outputs(request: Request) -> None:
    """Refuse, before anything is translated, places that the report cannot be written to; creates nothing."""
    try:
        if request.output:
            folder = request.output.resolve()
            _check_folder(next(path for path in (folder, *folder.parents) if path.exists()))
        if request.json_file:
            _check_file(request.json_file)
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"the report cannot be written: {error}") from error


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise ConfigurationError(f"the report cannot be written: {file} is a folder, name a file")
    if not file.exists():
        _check_folder(file.resolve().parent)
    elif not os.access(file, os.W_OK):
        raise ConfigurationError(f"the report cannot be written: {file} is protected from writing, name another file")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = "is not a folder, name another" if folder.exists() else "does not exist, make it first"
        raise ConfigurationError(f"the report cannot be written: {folder} {problem}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the report cannot be written: {folder} is protected from writing, name another")


def _subject(path: Path, request: Request, translators: Sequence[Translator]) -> Subject:
    source, target = _pair(path, request, translators[0])
    for translator in translators:
        translator.require_pair(source, target)
    test_set = read_direction(path, source, target)
    if request.limit:
        test_set = test_set.sample(request.limit, request.seed)
    return Subject("/".join(path.absolute().parts[-2:]), source, target, test_set)


def _pair(path: Path, request: Request, translator: Translator) -> tuple[str, str]:
    """The language pair: as asked for, else the only one that the options, the file's name and the checkpoint allow."""
    languages = named_languages(path)
    allowed = [
        pair
        for pair in translator.pairs
        if request.source in (None, pair[0])
        and request.target in (None, pair[1])
        and set(pair) <= set(languages or pair)
    ]
    if request.source and request.target:
        return request.source, request.target
    if len(allowed) != 1:
        known = ", ".join("-".join(pair) for pair in allowed or translator.pairs)
        raise ConfigurationError(f"which way is {path} to be translated? Name it with -s and -t; there is {known}")
    return allowed[0]


def _examined(subject: Subject, request: Request, translator: Translator, baseline: Translator | None) -> SetReport:
    options = MeasuringOptions(SearchOptions(beam_size=request.beam_size))
    measured = _measured(translator, subject, options)
    return examine(subject, measured, _measured(baseline, subject, options) if baseline else None)


def _measured(translator: Translator, subject: Subject, options: MeasuringOptions) -> Measurement:
    measured = measure(translator, subject.test_set, subject.target, options, _progress)
    if measured.too_long:
        click.echo(
            f"{subject.name}: {measured.too_long} of {len(measured.translations)} segments have more than the "
            f"{translator.max_source_pieces} pieces that {translator.version} takes: "
            "they count with an empty translation",
            err=True,
        )
    return measured


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done}/{total} segments" + ("\r\033[K" if done == total else ""), nl=False, err=True)


def _show(report: SetReport) -> None:
    click.echo(f"{report.name}, {report.source} to {report.target}, {len(report.segments)} segments")
    for measured in filter(None, (report.measured, report.baseline)):
        quality, speed = measured.quality, measured.speed
        click.echo(f"  {measured.version}")
        click.echo(f"    BLEU {quality.bleu:.1f}  chrF {quality.chrf:.1f}  TER {quality.ter:.1f}")
        click.echo(
            f"    {speed.segments_per_second:,.1f} segments/s, {speed.target_pieces_per_second:,.0f} target pieces/s, "
            f"padding {speed.padding_ratio:.1%}, on {speed.device} with {speed.threads} threads"
        )
    for bucket in report.buckets:
        quality = bucket.quality
        click.echo(
            f"  {bucket.name:>10} source pieces: {bucket.segments:>5} segments  "
            f"BLEU {quality.bleu:.1f}  chrF {quality.chrf:.1f}  TER {quality.ter:.1f}"
        )
    for paired in report.paired:
        click.echo(
            f"  {paired.metric} {paired.candidate} against {paired.baseline}: "
            f"{paired.verdict} (p = {paired.p_value:.3f})"
        )
    quality = report.measured.quality
    click.echo(f"  sacrebleu {quality.bleu_signature}; {quality.chrf_signature}; {quality.ter_signature}")


def _write(reports: list[SetReport], request: Request) -> None:
    try:
        if request.json_file:
            request.json_file.write_text(json.dumps(as_json(reports), indent=2, ensure_ascii=False) + "\n", "utf-8")
        if request.output:
            _write_report(reports, request.output)
    except OSError as error:
        raise ConfigurationError(f"the report cannot be written: {error}") from error


def _write_report(reports: list[SetReport], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(as_markdown(reports), encoding="utf-8")
    (folder / "report.html").write_text(as_html(reports), encoding="utf-8")
    for number, report in enumerate(reports, 1):
        lines = (
            f"{segment.source}\t{segment.reference}\t{segment.translation}\t{segment.chrf:.2f}\n"
            for segment in report.segments
        )
        name = f"translations-{number}.{report.source}-{report.target}.tsv"
        (folder / name).write_text("".join(lines), encoding="utf-8")
    click.echo(f"report: {folder / 'report.html'}, {folder / 'report.md'}")
