"""What an evaluation found, ready to be shown: by test set, by length, by segment. Knows no files and no markup."""

from dataclasses import asdict, dataclass
from typing import Any

from .comparison import PairedScore, compare
from .measuring import Bucket, Measurement, length_buckets
from .scores import TestSet, sentence_chrf

# Segments shown side by side in a report, of each kind (worst, largest gains, largest losses).
SHOWN_SEGMENTS = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; `reference` is the one nearest to the translation, `baseline` the other checkpoint's translation."""

    number: int
    source: str
    reference: str
    translation: str
    chrf: float
    baseline: str | None = None
    baseline_chrf: float = 0.0

    @property
    def gain(self) -> float:
        return self.chrf - self.baseline_chrf


@dataclass(frozen=True, slots=True)
class SetReport:
    """One checkpoint on one test set, and in a comparison the baseline on the same."""

    name: str
    source: str
    target: str
    measured: Measurement
    buckets: tuple[Bucket, ...]
    segments: tuple[Segment, ...]
    baseline: Measurement | None = None
    paired: tuple[PairedScore, ...] = ()

    @property
    def worst(self) -> tuple[Segment, ...]:
        """The segments with the lowest chrF, the lowest first."""
        return tuple(sorted(self.segments, key=lambda segment: segment.chrf)[:SHOWN_SEGMENTS])

    @property
    def gains(self) -> tuple[Segment, ...]:
        """The segments that the candidate translates better than the baseline, the largest gain first."""
        better = [segment for segment in self.segments if segment.baseline is not None and segment.gain > 0]
        return tuple(sorted(better, key=lambda segment: -segment.gain)[:SHOWN_SEGMENTS])

    @property
    def losses(self) -> tuple[Segment, ...]:
        """The segments that the candidate translates worse than the baseline, the largest loss first."""
        worse = [segment for segment in self.segments if segment.baseline is not None and segment.gain < 0]
        return tuple(sorted(worse, key=lambda segment: segment.gain)[:SHOWN_SEGMENTS])


@dataclass(frozen=True, slots=True)
class Subject:
    """Which test set, in which direction."""

    name: str
    source: str
    target: str
    test_set: TestSet


def examine(subject: Subject, measured: Measurement, baseline: Measurement | None = None) -> SetReport:
    """Everything a report says of one test set."""
    test_set = subject.test_set
    paired = compare(baseline.translations, measured.translations, test_set.references) if baseline else ()
    return SetReport(
        subject.name,
        subject.source,
        subject.target,
        measured,
        length_buckets(measured, test_set),
        _segments(test_set, measured, baseline),
        baseline,
        paired,
    )


def as_json(reports: list[SetReport]) -> dict[str, Any]:
    """The figures of all reports as plain values, without the segments."""
    return {"tests": [_test_as_json(report) for report in reports]}


def _test_as_json(report: SetReport) -> dict[str, Any]:
    found = {
        "test_set": report.name,
        "source": report.source,
        "target": report.target,
        **_measurement_as_json(report.measured),
        "buckets": [asdict(bucket) for bucket in report.buckets],
    }
    if report.baseline:
        found["baseline"] = _measurement_as_json(report.baseline)
        found["paired_bootstrap"] = [
            {**asdict(paired), "gain": paired.gain, "verdict": paired.verdict} for paired in report.paired
        ]
    return found


def _measurement_as_json(measured: Measurement) -> dict[str, Any]:
    speed = measured.speed
    return {
        "model_version": measured.version,
        "segments": len(measured.translations),
        "segments_too_long": measured.too_long,
        "quality": asdict(measured.quality),
        "speed": asdict(speed)
        | {
            "segments_per_second": speed.segments_per_second,
            "target_pieces_per_second": speed.target_pieces_per_second,
        },
    }


def _segments(test_set: TestSet, measured: Measurement, baseline: Measurement | None) -> tuple[Segment, ...]:
    others = baseline.translations if baseline else [None] * len(measured.translations)
    rows = zip(test_set.sources, test_set.references, measured.translations, others, strict=True)
    return tuple(_segment(number, *row) for number, row in enumerate(rows, 1))


def _segment(number: int, source: str, references: tuple[str, ...], translation: str, baseline: str | None) -> Segment:
    nearest = max(references, key=lambda reference: sentence_chrf(translation, [reference]))
    chrf = sentence_chrf(translation, references)
    baseline_chrf = sentence_chrf(baseline, references) if baseline is not None else 0.0
    return Segment(number, source, nearest, translation, chrf, baseline, baseline_chrf)
