"""The files that a run writes while it goes."""

import json
from pathlib import Path

import pytest
from dragoman.model.training.development import DevQuality
from dragoman.model.training.reports import Pace, RunFiles, TrainReport, draw_curve

PNG = b"\x89PNG"


def report(step: int, *qualities: DevQuality) -> TrainReport:
    return TrainReport(step, 0, step / 10, 60.0, Pace(4.0 / step, 0.001, 900.0, 0.05), qualities)


def quality(chrf: float) -> DevQuality:
    return DevQuality("en-fr dev.tsv", 20, 1, 12.0, chrf, "bleu", "chrf")


def points(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def written(folder: Path, from_step: int, *reports: TrainReport) -> None:
    files = RunFiles(folder, from_step)
    for one in reports:
        files(one)
    files.close()


def test_every_report_is_a_line(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1), report(2, quality(30.0)))

    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["pace"]["loss"], last["qualities"][0]["chrf"]) == (2, 2.0, 30.0)


def test_report_before_the_first_step_has_no_pace(tmp_path: Path) -> None:
    written(tmp_path, 0, TrainReport(0, 0, 0.0, 0.0, None))

    assert json.loads((tmp_path / "metrics.jsonl").read_text())["pace"] is None


def test_events_are_written_for_tensorboard(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1, quality(30.0)))

    [events] = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert events.name.startswith("events.out.tfevents")
    assert b"train/loss" in content
    assert b"dev/en-fr_dev.tsv/chrF" in content


def test_lines_after_the_step_of_a_resume_are_cut_off(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1), report(2), report(3))
    written(tmp_path, 2, report(3), report(4))

    assert points(tmp_path) == [1, 2, 3, 4]


def test_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1), report(2))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "ep')
    written(tmp_path, 2)

    assert points(tmp_path) == [1, 2]


def test_curve_is_drawn_after_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 0, report(1))
    before = (tmp_path / "curve.png").exists()
    written(tmp_path, 1, report(2, quality(30.0)))

    assert (before, (tmp_path / "curve.png").exists()) == (False, True)


@pytest.mark.parametrize("scores", [(), (30.0, 35.0)])
def test_curve_is_a_picture(tmp_path: Path, scores: tuple[float, ...]) -> None:
    measured = [{"name": "en-fr", "chrf": score, "beam_size": 1} for score in scores]
    draw_curve(
        [{"step": 1, "pace": None, "qualities": []}, {"step": 2, "pace": {"loss": 3.0}, "qualities": measured}],
        tmp_path / "curve.png",
    )

    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


def test_time_left_is_told_from_the_progress() -> None:
    assert (report(2).seconds_left, TrainReport(0, 0, 0.0, 5.0, None).seconds_left) == (240.0, None)
