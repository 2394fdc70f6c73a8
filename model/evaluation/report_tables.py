"""The tables of a report, as texts in rows: the same in Markdown and HTML. Knows no markup."""

from dataclasses import dataclass

from .measuring import Measurement
from .report import SetReport

SCORES = ("BLEU", "chrF", "TER")


@dataclass(frozen=True, slots=True)
class Table:
    """A head and rows of as many cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def scores_table(report: SetReport) -> Table:
    """Quality and speed of the checkpoint and, in a comparison, of the baseline."""
    head = ("checkpoint", *SCORES, "segments", "too long", "segments/s", "target pieces/s", "padding", "on")
    measured = [report.measured, *([report.baseline] if report.baseline else [])]
    return Table(head, tuple(map(_score_row, measured)))


def paired_table(report: SetReport) -> Table:
    """The paired bootstrap, a row a metric."""
    rows = tuple(
        (one.metric, str(one.candidate), str(one.baseline), f"{one.gain:+.1f}", f"{one.p_value:.3f}", one.verdict)
        for one in report.paired
    )
    return Table(("metric", "candidate", "baseline", "gain", "p", "candidate is"), rows)


def buckets_table(report: SetReport) -> Table:
    """Quality by source length."""
    rows = tuple(
        (one.name, str(one.segments), *(f"{x:.1f}" for x in (one.quality.bleu, one.quality.chrf, one.quality.ter)))
        for one in report.buckets
    )
    return Table(("source pieces", "segments", *SCORES), rows)


def signatures(report: SetReport) -> tuple[tuple[str, str], ...]:
    """(metric, sacrebleu signature) of every score of a report."""
    quality = report.measured.quality
    found = (quality.bleu_signature, quality.chrf_signature, quality.ter_signature)
    paired = tuple((f"{one.metric}, paired bootstrap", one.signature) for one in report.paired)
    return (*zip(SCORES, found, strict=True), *paired)


def _score_row(measured: Measurement) -> tuple[str, ...]:
    quality, speed = measured.quality, measured.speed
    return (
        measured.version,
        *(f"{score:.1f}" for score in (quality.bleu, quality.chrf, quality.ter)),
        str(len(measured.translations)),
        str(measured.too_long),
        f"{speed.segments_per_second:,.1f}",
        f"{speed.target_pieces_per_second:,.0f}",
        f"{speed.padding_ratio:.1%}",
        f"{speed.device}, {speed.threads} threads",
    )
