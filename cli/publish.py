"""`dragoman publish FILE`: every segment of a file as a job, with a progress bar, resumable."""

from pathlib import Path

import click

from ..errors import DragomanError
from ..producer.file_publisher import FilePublisher, PublishRequest, PublishSummary, open_run
from ..producer.journal import journal_path
from ..producer.segments import Form
from ..schemas.jobs import Lane
from ..settings import load_settings


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-s", "--source", metavar="LANGUAGE", help="Language of the segments, e.g. en.")
@click.option("-t", "--target", metavar="LANGUAGE", help="Language to translate to, e.g. fr.")
@click.option("--lane", type=click.Choice(["interactive", "bulk"]), default="bulk", show_default=True)
@click.option("--format", "form", type=click.Choice(["lines", "jsonl"]), help="Default: by the file's ending.")
@click.option("--no-trace", is_flag=True, help="Keep no text of its jobs anywhere but on Kafka.")
@click.option("--restart", is_flag=True, help="Forget earlier runs: publish everything, as new jobs.")
def publish(
    file: Path,
    source: str | None,
    target: str | None,
    lane: Lane,
    form: Form | None,
    no_trace: bool,
    restart: bool,
) -> None:
    """Publish FILE: one segment a line, or JSONL.

    A JSONL line is {"text": ..., "source": ..., "target": ..., "metadata": {...}}; only text is required.
    Blank lines are skipped. Interrupted, the same command resumes: FILE.dragoman-progress keeps its progress.
    """
    form = form or ("jsonl" if file.suffix == ".jsonl" else "lines")
    if form == "lines" and not (source and target):
        raise click.UsageError("lines name no language: give --source and --target, e.g. -s en -t fr")
    if restart:
        journal_path(file).unlink(missing_ok=True)
    request = PublishRequest(file, form, source, target, lane, no_trace)
    run = open_run(request)
    with click.progressbar(length=run.identity.line_count, label=f"publishing {file.name}") as bar:
        summary = FilePublisher(request, run, lambda _number: bar.update(1)).run(load_settings())
    _report(summary)


def _report(summary: PublishSummary) -> None:
    if summary.already_complete:
        click.echo(f"all {summary.resumed_after} lines are published already; --restart publishes them again")
        return
    resumed = f"; resumed after line {summary.resumed_after}" if summary.resumed_after else ""
    blank = f"; blank lines skipped: {summary.blank}" if summary.blank else ""
    click.echo(f"segments published: {summary.published}{resumed}{blank}")
    for line in summary.bad_lines:
        click.echo(f"line {line.line_number}: {line.sentence}", err=True)
    if summary.bad:
        raise DragomanError(
            f"bad lines, not published: {summary.bad}; correct them and publish them as a file of their own"
        )
