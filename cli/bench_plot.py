"""Draws what `dragoman bench engine` measured. Knows matplotlib and the figures."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import ConfigurationError
from ..model.engine.survey import Survey

WIDTH_INCHES, HEIGHT_INCHES = 12, 4


def draw(survey: Survey, path: Path) -> None:
    """Write three panels: tokens a second by batch size and by length, latency by load.

    Raises `ConfigurationError` if the file cannot be written.
    """
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    kinds = list(dict.fromkeys(point.kind for point in survey.speeds))
    panels = figure.subplots(1, len(kinds) + 1, squeeze=False)[0]
    for kind, panel in zip(kinds, panels, strict=False):
        _draw_speeds(survey, kind, panel)
    _draw_loads(survey, panels[-1])
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the plot {path} cannot be written: {error}") from error


def _draw_speeds(survey: Survey, kind: str, panel: Axes) -> None:
    points = [point for point in survey.speeds if point.kind == kind]
    places = [point.at for point in points]
    for name in [survey.ours, *([survey.peer] if survey.peer else [])]:
        panel.plot(places, [point.compared.median(name) for point in points], marker="o", label=name)
    panel.set_xscale("log", base=2)
    panel.set_xticks(places, [str(place) for place in places])
    panel.set_xlabel("segments in a batch" if kind == "batch size" else "pieces of a segment")
    panel.set_ylabel("tokens/s")
    panel.set_ylim(bottom=0)
    panel.legend()


def _draw_loads(survey: Survey, panel: Axes) -> None:
    shares = [100 * point.share for point in survey.loads]
    for name, sides in (
        ("running batch", [point.continuous for point in survey.loads]),
        ("static batches", [point.static for point in survey.loads]),
    ):
        panel.plot(shares, [1000 * side.share(0.95) for side in sides], marker="o", label=f"{name}, 95 %")
    panel.plot(shares, [1000 * point.continuous.median for point in survey.loads], "--", label="running batch, median")
    panel.set_xlabel("load, % of full load")
    panel.set_ylabel("latency, ms")
    panel.set_ylim(bottom=0)
    panel.legend()
