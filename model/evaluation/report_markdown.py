"""An evaluation as a Markdown document. Knows markup, measures nothing."""

import re
from collections.abc import Iterable, Sequence

from .differences import Span, differing_spans
from .report import Segment, SetReport
from .report_tables import Table, buckets_table, paired_table, scores_table, signatures

# Signs that mean something in Markdown, a table or HTML.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$!])")


def as_markdown(reports: Sequence[SetReport]) -> str:
    """The whole report; words in bold are those that differ from the nearest reference."""
    return "# Evaluation\n\n" + "\n".join(map(_test, reports))


def _test(report: SetReport) -> str:
    parts = [f"## {_plain(report.name)}, {report.source} to {report.target}\n", _table(scores_table(report))]
    if report.paired:
        parts += ["### Paired bootstrap (Koehn 2004, two-sided)\n", _table(paired_table(report))]
    parts += [f"- {name}: `{signature}`" for name, signature in signatures(report)]
    parts += ["\n### By source length\n", _table(buckets_table(report))]
    parts.append(_segments("Worst segments by chrF", report.worst))
    if report.baseline:
        parts += [_segments("Largest gains", report.gains), _segments("Largest losses", report.losses)]
    return "\n".join(parts)


def _segments(title: str, segments: Sequence[Segment]) -> str:
    return f"### {title}\n\n" + ("\n".join(map(_segment, segments)) or "None.\n")


def _segment(segment: Segment) -> str:
    translation, reference = differing_spans(segment.translation, segment.reference)
    head = f"chrF {segment.chrf:.1f}"
    rows = [
        ("source", _plain(segment.source)),
        ("reference", _marked(reference)),
        ("translation", _marked(translation)),
    ]
    if segment.baseline is not None:
        head += f", baseline {segment.baseline_chrf:.1f}"
        rows.append(("baseline", _marked(differing_spans(segment.baseline, segment.reference)[0])))
    return _rows((f"no. {segment.number}", head), rows)


def _marked(spans: Iterable[Span]) -> str:
    return "".join(_bold(span.text) if span.differs else _plain(span.text) for span in spans)


def _bold(text: str) -> str:
    """White space at the ends stays outside the stars: Markdown sees no bold text otherwise."""
    core = text.strip()
    before, _, after = text.partition(core)
    return f"{before}**{_plain(core)}**{after}"


def _plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text)


def _table(table: Table) -> str:
    return _rows(table.head, [tuple(map(_plain, row)) for row in table.rows])


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
