import json
from pathlib import Path

import pytest
from dragoman.benchmarks._table import row, show


def test_ratio_is_the_median_and_has_its_spread() -> None:
    found = row("speed", [2.0, 1.0], [1.9, 2.5, 2.0], ("s", ">= 1"))

    assert (found.low, found.ratio, found.high) == (1.9, 2.0, 2.5)


def test_json_holds_what_the_table_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show([row("speed", [2.0, 1.0], [2.0], ("s", ">= 1"))], tmp_path / "rows.json")

    expected = {"name": "speed", "ours": 2, "peer": 1, "unit": "s", "ratio": 2, "low": 2, "high": 2, "goal": ">= 1"}
    assert json.loads((tmp_path / "rows.json").read_text()) == [expected]
    assert "speed" in capsys.readouterr().out
