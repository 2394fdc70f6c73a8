"""The files that a run writes while it goes."""

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import structlog
from dragoman.errors import ConfigurationError
from dragoman.model.training import reports
from dragoman.model.training.development import DevQuality
from dragoman.model.training.reports import Pace, RunFiles, TrainReport, draw_curve
from tensorboardX import record_writer

PNG = b"\x89PNG"
# Takes no byte: ENOSPC, as a full disk says it.
FULL = Path("/dev/full")


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


def told(folder: Path, from_step: int, *reports: TrainReport) -> list[str]:
    """The warnings while these were written."""
    with structlog.testing.capture_logs() as entries:
        written(folder, from_step, *reports)
    return [entry["reason"] for entry in entries if entry["event"] == "run_file_given_up"]


def leave_no_room_for(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(FULL)


def given_up(path: Path, why: str = "No space left on device") -> str:
    return f"{path} cannot be written, the run goes on without it: {why}"


def open_full(_path: str) -> BinaryIO:
    return FULL.open("wb")


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


def test_metrics_are_given_up_with_one_sentence_when_the_disk_is_full(tmp_path: Path) -> None:
    files = RunFiles(tmp_path, 0)
    leave_no_room_for(tmp_path / "metrics.jsonl")
    with structlog.testing.capture_logs() as entries:
        for step in (1, 2, 3):
            files(report(step, quality(30.0)))
    files.close()

    assert [entry.get("reason") for entry in entries] == [given_up(tmp_path / "metrics.jsonl")]
    assert (tmp_path / "curve.png").is_file()


def test_history_is_kept_when_the_disk_is_full_at_a_resume(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1), report(2), report(3))
    leave_no_room_for(tmp_path / ".metrics.jsonl-fresh")
    sentences = told(tmp_path, 2, report(3))

    assert sentences == [given_up(tmp_path / "metrics.jsonl")]
    assert points(tmp_path) == [1, 2, 3]
    assert not (tmp_path / ".metrics.jsonl-fresh").is_symlink()


def test_metrics_that_cannot_be_read_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 0, report(1), report(2))
    monkeypatch.setattr(reports, "_read", refused)
    sentences = told(tmp_path, 2, report(3))

    assert (len(sentences), points(tmp_path)) == (1, [1, 2])


def test_events_are_given_up_with_one_sentence_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_writer, "open_file", open_full)
    many = [report(step) for step in range(1, 200)]

    assert told(tmp_path, 0, *many, report(200, quality(30.0))) == [given_up(tmp_path / "tensorboard")]
    assert points(tmp_path) == list(range(1, 201))


def test_events_are_given_up_when_the_disk_is_full_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "open_file", open_full)

    assert told(tmp_path, 0, report(1)) == [given_up(tmp_path / "tensorboard")]


def test_events_are_given_up_when_they_have_no_folder(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("")

    assert told(tmp_path, 0, report(1), report(2)) == [given_up(tmp_path / "tensorboard", "File exists")]


def test_events_of_an_earlier_part_are_kept_when_a_run_is_resumed(tmp_path: Path) -> None:
    written(tmp_path, 0, report(1))
    written(tmp_path, 1, report(2))

    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_curve_is_given_up_and_the_one_before_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "draw_curve", draw_curve)
    (tmp_path / "curve.png").write_bytes(PNG)
    leave_no_room_for(tmp_path / ".curve.png-fresh")
    sentences = told(tmp_path, 0, report(1, quality(30.0)), report(2, quality(31.0)))

    assert sentences == [given_up(tmp_path / "curve.png")]
    assert (tmp_path / "curve.png").read_bytes() == PNG
    assert {path.name for path in tmp_path.iterdir()} == {"curve.png", "metrics.jsonl", "tensorboard"}


def test_run_goes_on_when_the_log_is_on_the_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorboard").write_text("")
    monkeypatch.setattr(reports.log, "warning", refused, raising=False)
    written(tmp_path, 0, report(1))

    assert points(tmp_path) == [1]


def test_run_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")

    with pytest.raises(ConfigurationError, match=r"the run folder .*/runs/tiny cannot be made: Not a directory; name"):
        RunFiles(tmp_path / "runs" / "tiny", 0)


def refused(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")
