"""The curves of a training run: loss, AP and learning rate over the optimizer steps, drawn by matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simplepose.io.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]
"""One line of log.jsonl by name."""

LOSS_PREFIX = "loss_stride"
TOTAL_COLOR, GRID_COLOR = "#1f2933", "#d9dee5"
AP_COLORS = {"AP": "#1b7f4b", "AP50": "#7cc29a"}
RATE_COLOR = "#b4531a"
MAX_MARKERS = 60
"""Curves of more points than this are drawn without markers."""


def has_matplotlib() -> bool:
    """Whether matplotlib, the optional extra ``plot``, is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_curves(records: Sequence[Record], path: Path) -> None:
    """Write `plot_curves` of a run's log records to a PNG file, atomically.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = plot_curves(records)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def plot_curves(records: Sequence[Record]) -> Figure:
    """One panel each for the loss, the AP and the learning rate; panels without values are left out.

    Args:
        records: what `simplepose.training.log.read_log` returns.

    Returns:
        A figure without a window: the total loss and the loss of each scale on a logarithmic axis; AP and AP50; the
        learning rate.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    panels = [
        (name, draw, height)
        for name, draw, height in (("loss", _draw_loss, 3.2), ("AP", _draw_ap, 2.4), ("lr", _draw_rate, 1.6))
        if _points(records, name)[0]
    ]
    heights = [height for _, _, height in panels] or [1.0]
    figure = Figure(figsize=(9, sum(heights) + 0.6), layout="constrained", facecolor="white")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for ax, (_, draw, _) in zip(axes, panels, strict=False):
        _style(ax)
        draw(ax, records)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel("optimizer step")
    axes[-1].set_xlim(0, max((r["step"] for r in records), default=1))
    return figure


def _points(records: Sequence[Record], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the records that hold a finite ``name`` (non-finite values are logged as null)."""
    pairs = [(r["step"], float(r[name])) for r in records if r.get(name) is not None]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _draw_loss(ax: Axes, records: Sequence[Record]) -> None:
    from matplotlib import colormaps

    suffixes = {name.removeprefix(LOSS_PREFIX) for record in records for name in record if name.startswith(LOSS_PREFIX)}
    strides = sorted(int(suffix) for suffix in suffixes if suffix.isdecimal())
    for index, stride in enumerate(strides):
        color = colormaps["viridis"](0.1 + 0.8 * index / max(len(strides) - 1, 1))
        ax.plot(*_points(records, f"{LOSS_PREFIX}{stride}"), color=color, linewidth=1.2, label=f"stride {stride}")
    ax.plot(*_points(records, "loss"), color=TOTAL_COLOR, linewidth=2.0, label="total (weighted)")
    ax.set_yscale("log")
    ax.set_ylabel("loss")
    ax.set_title("loss per image: total, and sum over the maps of each scale", loc="left", fontsize=10)
    _legend(ax)


def _draw_ap(ax: Axes, records: Sequence[Record]) -> None:
    for name, color in AP_COLORS.items():
        steps, values = _points(records, name)
        marker = "o" if len(steps) <= MAX_MARKERS else ""
        ax.plot(steps, values, color=color, linewidth=1.6, marker=marker, markersize=3.5, label=name)
    steps, values = _points(records, "AP")
    best = max(range(len(values)), key=values.__getitem__)
    ax.axhline(values[best], color=AP_COLORS["AP"], linewidth=0.8, linestyle=":")
    ax.set_ylim(0, 1)
    ax.set_ylabel("OKS AP")
    ax.set_title(f"AP of the EMA weights: best {values[best]:.3f} at step {steps[best]}", loc="left", fontsize=10)
    _legend(ax)


def _draw_rate(ax: Axes, records: Sequence[Record]) -> None:
    ax.plot(*_points(records, "lr"), color=RATE_COLOR, linewidth=1.6)
    ax.set_ylim(bottom=0)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    ax.set_ylabel("learning rate")


def _style(ax: Axes) -> None:
    ax.grid(color=GRID_COLOR, linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _legend(ax: Axes) -> None:
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
