"""`dragoman bench engine`."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli import bench_engine
from dragoman.cli.bench import bench
from dragoman.errors import ConfigurationError
from dragoman.model.engine import measuring
from dragoman.model.engine.survey import Plan


@pytest.fixture(autouse=True)
def small_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_engine, "PLAN", Plan((1, 2), 4, 2, (3, 5), 1, (0.5,), 6))
    monkeypatch.setattr(measuring, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a library look as if it was not installed."""
    find = importlib.util.find_spec

    def hidden(name: str) -> None:
        def without(wanted: str, package: str | None = None) -> Any:
            return None if wanted == name else find(wanted, package)

        monkeypatch.setattr(importlib.util, "find_spec", without)

    return hidden


def run(*arguments: object) -> Result:
    before = torch.get_num_threads()
    try:
        told = ["engine", "--device", "cpu", "--threads", "1", *map(str, arguments)]
        return CliRunner().invoke(bench, told, catch_exceptions=False)
    finally:
        torch.set_num_threads(before)


def test_table_file_and_plot_show_both_sides(tmp_path: Path) -> None:
    result = run("--json", tmp_path / "figures.json", "--plot", tmp_path / "plot.png")

    rows = json.loads((tmp_path / "figures.json").read_text())
    names = ["batch-size-1", "batch-size-2", "length-3", "length-5", "latency-p95-load-50"]
    assert [row["name"] for row in rows] == names
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert "beside ctranslate2 int8" in result.stdout
    assert "measuring length 5" in result.stderr
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_without_ctranslate2_ours_is_measured_alone(hide: Callable[[str], None], tmp_path: Path) -> None:
    hide("ctranslate2")

    result = run("--json", tmp_path / "figures.json", "--plot", tmp_path / "plot.svg")

    assert "pip install 'dragoman[ctranslate2]'" in result.stderr
    assert (result.exit_code, "ratio" in result.stdout) == (0, False)
    assert json.loads((tmp_path / "figures.json").read_text())[0]["peer"] is None


def test_plot_without_matplotlib_is_refused_before_anything_is_measured(hide: Callable[[str], None]) -> None:
    hide("matplotlib")

    with pytest.raises(ConfigurationError, match=r"pip install 'dragoman\[train\]'"):
        run("--plot", "plot.png")


def test_plot_in_an_unknown_form_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run("--plot", tmp_path / "plot.nothing")
