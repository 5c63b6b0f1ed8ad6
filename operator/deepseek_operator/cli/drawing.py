"""Draws a curve or a course: in characters by plotext, as PNG by matplotlib. Both come with `pip install deepseek-operator[plot]`."""

import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepseek_operator.cli.shown.curve import Curve, thinned
from deepseek_operator.cli.shown.series import Course

_HEIGHT = 22
_CELLS = 4
"""Points of a drawing in characters for each column: more can't be seen in braille's two, and plotext takes time for each."""
_MARKERS = ("braille", "+", "*", "#")
"""Lines are told apart without colours."""
_INSTALL = "pip install 'deepseek-operator[plot]' has it"


def in_characters(told: Curve | Course, width: int, *, coloured: bool) -> str:
    """For a terminal of so many columns. Raises ValueError: plotext is not installed."""
    parts = [_curve_text(told, width)] if isinstance(told, Curve) else _course_texts(told, width)
    if coloured:
        return "".join(parts)
    plotter = _library("plotext")
    return "".join(plotter.uncolorize(part) for part in parts)


def _curve_text(told: Curve, width: int) -> str:
    plotter = _fresh(width)
    for index, one in enumerate(told.attempts):
        points = list(thinned(one.points, width * _CELLS))
        if points:
            marker = _MARKERS[index % len(_MARKERS)] if len(points) > 1 else "x"
            plotter.plot(
                [p.step for p in points], [p.loss for p in points], label=_label(one.number, one.source), marker=marker
            )
        if one.held_out:
            steps, losses = [p.step for p in one.held_out], [p.loss for p in one.held_out]
            plotter.scatter(steps, losses, label=f"attempt {one.number}, held-out", marker="o")
    for step, why in told.restarts:
        plotter.vline(step, "red")
        plotter.text(f"↻ {why}", step, _lowest(told), color="red")
    plotter.title(f"{told.name}: training loss, nats per token")
    plotter.xlabel("step")
    return str(plotter.build()) + "\n"


def _course_texts(told: Course, width: int) -> list[str]:
    texts = []
    for panel in told.panels:
        plotter = _fresh(width)
        begin = min(line.times[0] for line in panel.lines)
        for index, line in enumerate(panel.lines):
            minutes, marker = [(at - begin) / 60 for at in line.times], _MARKERS[index % len(_MARKERS)]
            plotter.plot(minutes, list(line.values), label=line.name, marker=marker)
        plotter.title(f"{told.name}: {panel.heading}")
        plotter.xlabel(f"minutes since {datetime.fromtimestamp(begin, UTC):%Y-%m-%d %H:%M:%SZ}")
        texts.append(str(plotter.build()) + "\n")
    return texts


def _fresh(width: int) -> Any:
    plotter = _library("plotext")
    plotter.clear_figure()
    plotter.limit_size(False, False)
    plotter.plot_size(width, _HEIGHT)
    plotter.theme("clear")
    return plotter


def as_png(told: Curve | Course, path: Path) -> None:
    """Writes a picture. Raises ValueError: matplotlib is not installed; OSError: the file can't be written."""
    library = _library("matplotlib")
    library.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    count = max(1, len(told.panels)) if isinstance(told, Course) else 1
    figure, found = pyplot.subplots(count, 1, figsize=(9, 4.5 * count), layout="constrained", squeeze=False)
    if isinstance(told, Curve):
        _curve_axes(told, found[0][0])
    else:
        for panel, axes in zip(told.panels, (row[0] for row in found), strict=False):
            for line in panel.lines:
                axes.plot([datetime.fromtimestamp(at, UTC) for at in line.times], line.values, label=line.name)
            axes.set(title=f"{told.name}: {panel.heading}", xlabel="UTC")
            axes.legend()
    figure.savefig(path, format="png", dpi=120)
    pyplot.close(figure)


def _curve_axes(told: Curve, axes: Any) -> None:
    for one in told.attempts:
        steps, losses = [p.step for p in one.points], [p.loss for p in one.points]
        style = "-" if len(steps) > 1 else "x"
        axes.plot(steps, losses, style, linewidth=1, label=_label(one.number, one.source))
        if one.held_out:
            axes.plot(
                [p.step for p in one.held_out],
                [p.loss for p in one.held_out],
                "o",
                label=f"attempt {one.number}, held-out",
            )
        for step in one.saved:
            axes.axvline(step, color="0.9", linewidth=0.8, zorder=0)
    for step, why in told.restarts:
        axes.axvline(step, color="tab:red", linestyle="--", linewidth=1)
        axes.annotate(f" {why}", (step, 0.95), xycoords=("data", "axes fraction"), color="tab:red")
    axes.set(title=f"{told.name}: training loss; grey lines are checkpoints", xlabel="step", ylabel="nats per token")
    axes.legend()


def _label(number: int, source: str) -> str:
    return f"attempt {number}" if source != "status" else f"attempt {number}, its last loss alone"


def _lowest(told: Curve) -> float:
    """Where the marks' words stand: losses fall, and the legend is above."""
    return min((point.loss for one in told.attempts for point in one.points), default=0.0)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} is not installed: {_INSTALL}") from error
