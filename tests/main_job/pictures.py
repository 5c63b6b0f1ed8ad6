"""The two pictures: loss over steps with the kill and the resume, and replicas, load and latency over time."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import itertools

import matplotlib.pyplot as plt


@dataclass(frozen=True)
class Step:
    """One optimizer step as rank 0 told it."""

    attempt: int
    step: int
    loss: float


@dataclass(frozen=True)
class Moment:
    """Serving at one second: replicas wanted, ready and wanted by the signal; in flight and latency as clients saw."""

    at_s: float
    wanted: int
    ready: int
    signal: float | None
    in_flight: float | None
    latency_s: float | None


def draw_loss(steps: list[Step], checkpoints: list[int], path: Path) -> None:
    """Loss over steps, one colour per attempt, a dashed line per checkpoint, the kill and the resume named."""
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    attempts = sorted({step.attempt for step in steps})
    for attempt in attempts:
        mine = [step for step in steps if step.attempt == attempt]
        axes.plot([s.step for s in mine], [s.loss for s in mine], linewidth=1, label=f"attempt {attempt}")
    for step in checkpoints:
        axes.axvline(step, color="0.85", linewidth=0.8, zorder=0)
    for before, after in itertools.pairwise(attempts):
        killed = max(s.step for s in steps if s.attempt == before)
        resumed = min(s.step for s in steps if s.attempt == after)
        axes.axvline(killed, color="tab:red", linestyle="--", linewidth=1)
        axes.annotate(
            f" worker killed at {killed}",
            (killed, 0.95),
            xycoords=("data", "axes fraction"),
            color="tab:red",
            ha="left",
        )
        axes.axvline(resumed, color="tab:green", linestyle=":", linewidth=1)
        axes.annotate(
            f" resumed at {resumed}", (killed, 0.88), xycoords=("data", "axes fraction"), color="tab:green", ha="left"
        )
    axes.set(xlabel="step", ylabel="loss", yscale="log", title="Training loss; grey lines are checkpoints")
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_scaling(moments: list[Moment], path: Path) -> None:
    """Replicas, requests in flight and median latency over time, one above the other."""
    figure, (top, middle, bottom) = plt.subplots(3, 1, sharex=True, figsize=(9, 7), layout="constrained")
    at = [moment.at_s for moment in moments]
    top.step(at, [m.wanted for m in moments], where="post", label="wanted")
    top.step(at, [m.ready for m in moments], where="post", label="ready")
    wishes = [m.signal if m.signal is not None else float("nan") for m in moments]
    top.plot(at, wishes, linestyle=":", color="0.4", label="wanted by the signal")
    top.yaxis.get_major_locator().set_params(integer=True)
    top.set(ylabel="replicas", title="Serving under load")
    top.legend()
    middle.plot(at, [m.in_flight if m.in_flight is not None else float("nan") for m in moments])
    middle.set(ylabel="in flight")
    bottom.plot(at, [m.latency_s if m.latency_s is not None else float("nan") for m in moments])
    bottom.set(ylabel="median latency, s", xlabel="seconds")
    figure.savefig(path, dpi=110)
    plt.close(figure)
