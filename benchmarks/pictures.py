"""The figures as pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .contenders import NCHW, SUBJECT
from .errors import BenchmarkError
from .growth import series
from .report import OPERATIONS, Report, compared, rates, title

# Told apart by everybody, on paper too (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = {"forward": "o", "gx": "s", "gw": "^"}


def check_matplotlib() -> None:
    """Raise BenchmarkError if no picture can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError("pictures need matplotlib: pip install 'autograd-conv[bench]', or leave out --pictures")


def _figure(report: Report, width: float, height: float, what: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    machine = report["machine"]
    figure.suptitle(
        f"{what}\n{machine['cpu']}, threads: {machine['threads']}, float32, {machine['date']}", fontsize="medium"
    )
    return figure


def _logarithmic(axis: Any) -> None:
    """Number a logarithmic axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


# ---------------------------------------------------------------- layers


def _layers(report: Report) -> Any:
    """One panel for each peer and order of memory that computes the full layers, one group of bars for each layer."""
    rows = compared(report["layers"])
    full = [row for row in rows if not row["reduced"]] or rows
    panels = list(dict.fromkeys((row["peer"], row["layout"]) for row in full))
    panels.sort(key=lambda panel: list(report["peers"]).index(panel[0]))
    layers = list(dict.fromkeys(row["layer"] for row in full))
    found = {(row["layer"], row["peer"], row["layout"], row["operation"]): row for row in full}
    thickness = 0.8 / len(OPERATIONS)
    figure = _figure(
        report, 2.0 + 2.6 * len(panels), 2.2 + 0.42 * len(layers),
        f"Convolutions: time of the other / time of {title(report, report['subject'])}",
    )  # fmt: skip
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (peer, layout) in zip(axes, panels):
        for k, operation in enumerate(OPERATIONS):
            here = [
                (i, found[layer, peer, layout, operation])
                for i, layer in enumerate(layers)
                if (layer, peer, layout, operation) in found
            ]
            axis.barh(
                [i + (k - 1) * thickness for i, _ in here],
                [row["ratio"] - 1 for _, row in here],
                left=1,
                height=thickness,
                xerr=(
                    [row["ratio"] - row["low"] for _, row in here],
                    [row["high"] - row["ratio"] for _, row in here],
                ),
                error_kw={"elinewidth": 0.8},
                color=COLOURS[k],
                label=operation,
            )
        axis.set_xscale("log")
        _logarithmic(axis.xaxis)
        axis.tick_params(axis="x", labelrotation=60, labelsize="small")
        axis.axvline(1, color="black", linewidth=1)
        axis.grid(axis="x", which="major", alpha=0.3)
        axis.set_title(f"{title(report, peer)}, {layout}", fontsize="medium")
        axis.set_xlabel("ratio of times")
    axes[0].set_yticks(range(len(layers)), layers)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(OPERATIONS))
    return figure


# ---------------------------------------------------------------- training


def _training(report: Report) -> Any:
    """A group of bars for each network: milliseconds of a step."""
    rows = report["training"]
    networks = {row["network"]: row["title"] for row in rows}
    who = [(SUBJECT, NCHW), *dict.fromkeys((row["peer"], row["layout"]) for row in rows)]
    figure = _figure(report, 9.0, 1.8 + 0.9 * len(networks), "Training steps")
    axis = figure.subplots()
    thickness = 0.85 / len(who)
    for k, (peer, layout) in enumerate(who):
        places, values = [], []
        for i, network in enumerate(networks):
            here = [row for row in rows if row["network"] == network]
            if peer == SUBJECT:
                taken = [row["seconds_a"] for row in here]
            else:
                taken = [row["seconds_b"] for row in here if (row["peer"], row["layout"]) == (peer, layout)]
            if taken:
                places.append(i + (k - (len(who) - 1) / 2) * thickness)
                values.append(1e3 * sorted(taken)[len(taken) // 2])
        name = title(report, peer)
        bars = axis.barh(places, values, thickness, color=COLOURS[k % len(COLOURS)], label=f"{name}, {layout}")
        shown = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values]
        axis.bar_label(bars, shown, padding=2, fontsize="x-small")
    axis.set_xscale("log")
    _logarithmic(axis.xaxis)
    axis.set_xlabel("milliseconds for a step (median)")
    axis.margins(x=0.12)
    axis.set_yticks(range(len(networks)), [text.replace(", ", "\n", 1) for text in networks.values()])
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    axis.legend(loc="best", fontsize="small")
    return figure


# ---------------------------------------------------------------- growth


_LABELS = {"batch": "batch (images)", "channels": "channels", "size": "height and width (pixels)", "threads": "threads"}


def _growth(report: Report) -> Any:
    """Small multiples: operations per second against what grows."""
    rows = report["growth"]
    panels = list(series(rows))
    figure = _figure(
        report, 2.0 + 2.9 * len(panels), 4.0,
        "3×3 convolution, forward and both gradients, NCHW (otherwise batch 8, 64 channels, 28×28)",
    )  # fmt: skip
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines = (("seconds", title(report, SUBJECT), "o"), ("peer_seconds", title(report, "torch"), "s"))
    for axis, (name, here) in zip(axes, panels):
        for k, (key, label, marker) in enumerate(lines):
            points = [(row["value"], row["flop"] / row[key] / 1e9) for row in here if row[key] is not None]
            axis.plot([x for x, _ in points], [y for _, y in points], marker=marker, color=COLOURS[k], label=label)
        axis.set_xscale("log", base=2)
        axis.set_xticks([row["value"] for row in here], [str(row["value"]) for row in here])
        axis.minorticks_off()
        axis.set_xlabel(_LABELS[name])
        axis.grid(alpha=0.3)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("GFLOP/s, by the definition")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


# ---------------------------------------------------------------- roofline


def _roofline(report: Report) -> Any:
    """Operations per second against operations per byte, below what memory and arithmetic allow."""
    import numpy as np

    peak, rows = report["roofline"], [row for row in report.get("layers", []) if "flop" in row]
    rows = [row for row in rows if not row["reduced"]] or rows
    layouts = list(dict.fromkeys(row["layout"] for row in rows)) or [NCHW]
    figure = _figure(
        report, 1.5 + 5.2 * len(layouts), 6.2, "Roofline: what each layer reaches of what the machine can do"
    )
    axes = figure.subplots(1, len(layouts), sharey=True, squeeze=False)[0]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    intensities = [row["flop"] / row["bytes"] for row in rows] or [0.1, 100.0]
    x = np.geomspace(min(intensities) / 2, max(intensities) * 2, 200)
    roof = np.minimum(peak["flop_per_second"], x * peak["read_bytes_per_second"]) / 1e9
    who = [SUBJECT, *(["torch"] if any(row["peer"] == "torch" for row in rows) else [])]
    for axis, layout in zip(axes, layouts):
        axis.plot(x, roof, color="black", linewidth=1.5)
        for k, peer in enumerate(who):
            for operation in OPERATIONS:
                points = []
                for layer in layers:
                    rate = rates(rows, layer, peer, layout, operation)
                    if rate is not None:
                        intensity = next(r["flop"] / r["bytes"] for r in rows if r["layer"] == layer)
                        points.append((intensity, rate / 1e9))
                axis.scatter(
                    [a for a, _ in points], [b for _, b in points], marker=MARKERS[operation], s=34,
                    edgecolors=COLOURS[k], facecolors=COLOURS[k] if peer == SUBJECT else "none",
                    label=f"{title(report, peer)}: {operation}", zorder=3 - k,
                )  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        _logarithmic(axis.xaxis)
        _logarithmic(axis.yaxis)
        axis.set_xlim(x[0], x[-1])
        axis.set_ylim(top=float(roof.max()) * 20)
        _name_columns(axis, {r["layer"]: r["flop"] / r["bytes"] for r in rows if r["layout"] == layout})
        axis.grid(alpha=0.3)
        limits = f"{peak['flop_per_second'] / 1e9:.0f} GFLOP/s, {peak['read_bytes_per_second'] / 1e9:.0f} GB/s"
        axis.set_title(f"{layout} (line: {limits})", fontsize="medium")
        axis.set_xlabel("flop for each byte of input, kernel and output")
    axes[0].set_ylabel("GFLOP/s, by the definition (Winograd does fewer)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _name_columns(axis: Any, places: dict[str, float]) -> None:
    """Write names at the top of a logarithmic axis, above where they belong, side by side where those are close."""
    low, high = axis.get_xlim()
    gap = (high / low) ** 0.035
    last = low
    for name, place in sorted(places.items(), key=lambda pair: pair[1]):
        last = max(place, last * gap)
        axis.annotate(
            name, (place, 0.72), (last, 0.985), xycoords=axis.get_xaxis_transform(),
            textcoords=axis.get_xaxis_transform(),
            rotation=90, ha="center", va="top", fontsize="x-small",
            arrowprops={"arrowstyle": "-", "color": "#BBBBBB", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


# By section: what draws it, and what the picture shows, in words.
PICTURES: dict[str, tuple[Callable[[Report], Any], str]] = {
    "layers": (_layers, "Ratios of times, layer by layer and peer by peer"),
    "roofline": (
        _roofline,
        "Operations per second of each layer against operations per byte, and the machine's limits",
    ),
    "training": (_training, "Milliseconds of training steps of four networks"),
    "growth": (_growth, "Operations per second against batch, channels, image size and threads"),
}


def write_pictures(report: Report, directory: Path) -> dict[str, Path]:
    """Draw what was measured, each section into a file of its own in `directory`; return the paths by section."""
    check_matplotlib()
    paths = {}
    for section, (draw, _) in PICTURES.items():
        if report.get(section):
            paths[section] = directory / f"{section}.png"
            draw(report).savefig(paths[section], format="png", dpi=110)
    return paths
