"""Reports in Markdown, HTML and JSON."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from dragoman.model.evaluation import scores
from dragoman.model.evaluation.measuring import Measurement, Speed
from dragoman.model.evaluation.report import SHOWN_SEGMENTS, SetReport, Subject, as_json, examine
from dragoman.model.evaluation.report_html import as_html
from dragoman.model.evaluation.report_markdown import as_markdown
from dragoman.model.evaluation.scores import score

SOURCES = ("A boat <b>crosses</b> the lake.", "The wind | turns.", "Two oars lie on the sand.")
REFERENCES = (
    ("Un bateau <b>traverse</b> le lac.", "Une barque <b>passe</b> le lac."),
    ("Le vent | tourne.",),
    ("Deux rames sont sur le sable.",),
)
GOOD = ("Une barque <b>passe</b> le lac.", "Le vent | tourne.", "Deux rames sont là.")
BAD = ("Un lac <script>alert(1)</script>.", "Le vent | tourne.", "Deux rames sont sur le sable.")
SPEED = Speed(seconds=2.0, segments=3, target_pieces=30, padding_ratio=0.125, device="cpu", threads=2)
VOID = {"meta"}


def measurement(version: str, translations: tuple[str, ...]) -> Measurement:
    return Measurement(version, translations, (7, 4, 6), 1, score(translations, REFERENCES), SPEED)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("tatoeba/dev_set.tsv", "en", "fr", scores.TestSet(SOURCES, REFERENCES))


@pytest.fixture(scope="module")
def report(subject: Subject) -> SetReport:
    return examine(subject, measurement("good@1", GOOD))


@pytest.fixture(scope="module")
def comparison(subject: Subject) -> SetReport:
    return examine(subject, measurement("good@1", GOOD), measurement("bad@2", BAD))


class Balanced(HTMLParser):
    """Raises for a tag that closes what is not open; knows which tags and text there were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    return parser


def test_worst_segment_comes_first(report: SetReport) -> None:
    assert [segment.number for segment in report.worst] == [3, 1, 2]


def test_segment_shows_the_reference_that_is_nearest(report: SetReport) -> None:
    assert report.segments[0].reference == "Une barque <b>passe</b> le lac."


def test_gains_and_losses_are_told_apart(comparison: SetReport) -> None:
    gains, losses = ([segment.number for segment in part] for part in (comparison.gains, comparison.losses))

    assert (gains, losses) == ([1], [3])


def test_there_are_no_gains_without_a_baseline(report: SetReport) -> None:
    assert (report.gains, report.losses, report.paired) == ((), (), ())


def test_no_more_segments_are_shown_than_one_can_read(report: SetReport) -> None:
    assert len(replace(report, segments=report.segments * 20).worst) == SHOWN_SEGMENTS


def test_page_is_well_formed_and_holds_no_script(comparison: SetReport) -> None:
    page = parsed(as_html([comparison]))

    assert page.open == []
    assert page.tags.isdisjoint({"script", "b", "link", "img", "iframe"})


def test_page_takes_nothing_from_the_net(comparison: SetReport) -> None:
    assert not any(word in as_html([comparison]) for word in ("http", "src=", "url(", "@import"))


def test_page_is_readable_in_dark_and_light(report: SetReport) -> None:
    assert "prefers-color-scheme: dark" in as_html([report])


def test_page_shows_the_texts_as_they_are(comparison: SetReport) -> None:
    text = parsed(as_html([comparison])).text

    assert [one in text for one in (SOURCES[0], GOOD[0], BAD[0])] == [True, True, True]


def test_page_marks_the_words_that_differ_from_the_reference(report: SetReport) -> None:
    assert "Deux rames sont <mark>là</mark>." in as_html([report])


@pytest.mark.parametrize("shown", [as_html, as_markdown])
def test_report_has_every_figure(shown: object, comparison: SetReport) -> None:
    text = shown([comparison])  # type: ignore[operator]
    quality = comparison.measured.quality
    wanted = [f"{figure:.1f}" for figure in (quality.bleu, quality.chrf, quality.ter)]
    wanted += [quality.ter_signature, "12.5%", "1.5", "cpu, 2 threads", "Paired bootstrap", "6-10", "bad@2"]

    assert [figure for figure in wanted if figure not in text] == []


def test_markdown_escapes_what_would_break_a_table(report: SetReport) -> None:
    text = as_markdown([report])

    assert "The wind \\| turns." in text
    assert "<b>" not in text


def test_markdown_sets_differing_words_in_bold(report: SetReport) -> None:
    assert "| translation | Deux rames sont **là**. |" in as_markdown([report])


def test_one_report_holds_all_test_sets(report: SetReport) -> None:
    assert as_markdown([report, replace(report, name="other.tsv")]).count("## By source length".lstrip()) == 2


def test_json_holds_the_figures(comparison: SetReport) -> None:
    [test] = json.loads(json.dumps(as_json([comparison])))["tests"]

    assert (test["test_set"], test["segments"], test["segments_too_long"]) == ("tatoeba/dev_set.tsv", 3, 1)
    assert test["quality"]["ter"] == comparison.measured.quality.ter
    assert test["speed"]["segments_per_second"] == 1.5
    assert [paired["metric"] for paired in test["paired_bootstrap"]] == ["BLEU", "chrF"]
    assert test["baseline"]["model_version"] == "bad@2"
