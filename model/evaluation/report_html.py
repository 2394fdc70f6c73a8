"""An evaluation as one self-contained HTML page: no scripts, nothing from the net, light and dark. Measures nothing."""

from collections.abc import Iterable, Sequence
from html import escape

from .differences import Span, differing_spans
from .report import Segment, SetReport
from .report_tables import Table, buckets_table, paired_table, scores_table, signatures

STYLE = """
:root { color-scheme: light dark; --line: #d5d5da; --soft: #f4f4f7; --mark: #ffdf9e; --text: #1b1b1f; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #44444c; --soft: #26262c; --mark: #6b4e00; --text: #e6e6ea; --page: #18181b; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
.wide { overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
thead th, caption { background: var(--soft); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.segment { width: 100%; }
.segment th { width: 7rem; font-weight: normal; background: var(--soft); }
.segment caption { text-align: left; padding: .3rem .6rem; border: 1px solid var(--line); border-bottom: 0; }
mark { background: var(--mark); color: inherit; border-radius: .2rem; }
code { font-size: .85em; overflow-wrap: anywhere; }
summary { cursor: pointer; font-size: 1.2rem; font-weight: bold; margin: .5rem 0; }
"""


def as_html(reports: Sequence[SetReport]) -> str:
    """The whole page; words with a coloured ground are those that differ from the nearest reference."""
    body = "\n".join(_test(report) for report in reports)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Evaluation</h1>
{body}
</body>
</html>
"""


def _test(report: SetReport) -> str:
    title = f"<h2>{escape(report.name)}, {escape(report.source)} to {escape(report.target)}</h2>"
    parts = [title, _table(scores_table(report))]
    if report.paired:
        parts += ["<h3>Paired bootstrap (Koehn 2004, two-sided)</h3>", _table(paired_table(report))]
    items = (f"<li>{escape(name)}: <code>{escape(signature)}</code></li>" for name, signature in signatures(report))
    parts.append(f"<ul>{''.join(items)}</ul>")
    parts += ["<h3>By source length</h3>", _table(buckets_table(report))]
    parts.append(_segments("Worst segments by chrF", report.worst, report))
    if report.baseline:
        parts.append(_segments("Largest gains over the baseline", report.gains, report))
        parts.append(_segments("Largest losses against the baseline", report.losses, report))
    return "\n".join(parts)


def _segments(title: str, segments: Sequence[Segment], report: SetReport) -> str:
    shown = "\n".join(_segment(segment, report) for segment in segments) or "<p>None.</p>"
    return f"<details open><summary>{title}</summary>{shown}</details>"


def _segment(segment: Segment, report: SetReport) -> str:
    translation, reference = differing_spans(segment.translation, segment.reference)
    head = f"no. {segment.number}: chrF {segment.chrf:.1f}"
    rows = [
        ("source", report.source, escape(segment.source)),
        ("reference", report.target, _marked(reference)),
        ("translation", report.target, _marked(translation)),
    ]
    if segment.baseline is not None:
        head += f", baseline {segment.baseline_chrf:.1f}"
        rows.append(("baseline", report.target, _marked(differing_spans(segment.baseline, segment.reference)[0])))
    body = "".join(
        f'<tr><th scope="row">{name}</th><td lang="{escape(language)}" dir="auto">{text}</td></tr>'
        for name, language, text in rows
    )
    return f'<table class="segment"><caption>{head}</caption><tbody>{body}</tbody></table>'


def _marked(spans: Iterable[Span]) -> str:
    return "".join(f"<mark>{escape(span.text)}</mark>" if span.differs else escape(span.text) for span in spans)


def _table(table: Table) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    number = ' class="number"' if text[:1].isdigit() or text[:1] in "+-" else ""
    return f"<td{number}>{escape(text)}</td>"
