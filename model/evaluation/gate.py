"""May a version take the place of another? On a test set and on bad inputs. Knows two translators and no registry."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..decoding import SearchOptions
from ..text_faults import is_copy, is_loop
from ..translator import Translator
from .bad_inputs import RAISED, BadInputReport, try_bad_inputs
from .comparison import PairedScore, compare
from .measuring import Measurement, MeasuringOptions, measure
from .test_set import TestSet

# More of its translations than of the other's may be loops or copies, as a share of the test set.
MOST_MORE_FAULTY = 0.002


@dataclass(frozen=True, slots=True)
class Exam:
    """A test set by its name, for a language pair."""

    name: str
    pair: tuple[str, str]
    test_set: TestSet


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found; `objections` are sentences, none of them = the version may pass."""

    objections: tuple[str, ...]
    figures: dict[str, Any]

    @property
    def passed(self) -> bool:
        return not self.objections


def judge(candidate: Translator, baseline: Translator | None, pair: tuple[str, str], exams: Sequence[Exam]) -> Verdict:
    """Compare a version with the one it is to replace; without one, it must only raise no error on a bad input.

    Worse in BLEU or chrF by paired bootstrap, more loops or copies, and bad inputs that only the candidate fails on
    are objections.
    """
    objections, figures = _on_bad_inputs(candidate, baseline, pair)
    tests = []
    for exam in exams:
        more, measured = _on_test_set(candidate, baseline, exam)
        objections += more
        tests.append(measured)
    versions = {"version": candidate.version, "against": baseline.version if baseline else None}
    return Verdict(tuple(objections), {**versions, "objections": objections, **figures, "tests": tests})


def _on_bad_inputs(
    candidate: Translator, baseline: Translator | None, pair: tuple[str, str]
) -> tuple[list[str], dict[str, Any]]:
    found = try_bad_inputs(candidate, pair).found
    known = (try_bad_inputs(baseline, pair) if baseline else BadInputReport({})).found
    objections = [
        f"on the bad input '{name}' it {fault}"
        for name, fault in found.items()
        if name not in known and (baseline is not None or fault.startswith(RAISED))
    ]
    return objections, {"bad_inputs": {"faults": found, "faults_before": known}}


def _on_test_set(candidate: Translator, baseline: Translator | None, exam: Exam) -> tuple[list[str], dict[str, Any]]:
    measured = _measured(candidate, exam)
    figures: dict[str, Any] = {
        "test_set": exam.name,
        "segments": len(exam.test_set.sources),
        "quality": asdict(measured.quality),
    }
    if baseline is None:
        return [], figures
    before = _measured(baseline, exam)
    paired = compare(before.translations, measured.translations, exam.test_set.references)
    objections = [_worse(one, exam) for one in paired if one.verdict == "worse"]
    for what, is_fault in (("loops", is_loop), ("copies of the source", is_copy)):
        counts = [
            sum(map(is_fault, exam.test_set.sources, translations))
            for translations in (before.translations, measured.translations)
        ]
        figures[what] = {"before": counts[0], "now": counts[1]}
        if counts[1] - counts[0] > MOST_MORE_FAULTY * len(exam.test_set.sources):
            objections.append(f"{counts[1]} of its translations of {exam.name} are {what}, {counts[0]} were before")
    figures["paired_bootstrap"] = [{**asdict(one), "gain": one.gain, "verdict": one.verdict} for one in paired]
    return objections, figures


def _measured(translator: Translator, exam: Exam) -> Measurement:
    return measure(translator, exam.test_set, exam.pair[1], MeasuringOptions(SearchOptions(4)), lambda *_: None)


def _worse(paired: PairedScore, exam: Exam) -> str:
    return (
        f"{paired.metric} on {exam.name} is {paired.candidate.score:.1f}, {paired.baseline.score:.1f} before "
        f"(p = {paired.p_value:.3f})"
    )
