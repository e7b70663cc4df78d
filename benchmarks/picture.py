"""The ratios as bars on a logarithmic axis."""

import importlib.util
from pathlib import Path

from .errors import BenchmarkError
from .report import Report, columns

# Told apart by everybody, on paper too (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def check_matplotlib() -> None:
    """Raise BenchmarkError if no picture can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError(
            "the picture needs matplotlib: pip install 'autograd-conv[bench]', or leave it out with --print-only"
        )


def write_png(report: Report, path: Path) -> None:
    """Draw one panel for each peer, one group of bars for each layer, and write the picture to `path`."""
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = columns(report)
    peers = list(dict.fromkeys(peer for peer, _ in pairs))
    operations = list(dict.fromkeys(operation for _, operation in pairs))
    rows = {(row["layer"], row["peer"], row["operation"]): row for row in report["rows"]}
    layers = list(dict.fromkeys(row["layer"] for row in report["rows"]))
    thickness = 0.8 / len(operations)

    figure = Figure(figsize=(1.5 + 4.5 * len(peers), 1.6 + 0.45 * len(layers)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(peers), sharey=True, squeeze=False)[0]
    for panel, peer in zip(panels, peers):
        for k, operation in enumerate(operations):
            here = [
                (i, rows[layer, peer, operation]) for i, layer in enumerate(layers) if (layer, peer, operation) in rows
            ]
            panel.barh(
                [i + (k - (len(operations) - 1) / 2) * thickness for i, _ in here],
                [row["ratio"] - 1 for _, row in here],
                left=1,
                height=thickness,
                xerr=(
                    [row["ratio"] - row["low"] for _, row in here],
                    [row["high"] - row["ratio"] for _, row in here],
                ),
                error_kw={"elinewidth": 0.8},
                color=COLOURS[k % len(COLOURS)],
                label=operation,
            )
        panel.set_xscale("log")
        panel.axvline(1, color="black", linewidth=1)
        panel.grid(axis="x", which="major", alpha=0.3)
        panel.set_title(report["peers"][peer]["title"])
        panel.set_xlabel(f"time / time of {report['subject']['title']}")
    panels[0].set_yticks(range(len(layers)), layers)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(operations))
    machine = report["machine"]
    figure.suptitle(f"{machine['cpu']}, threads: {machine['threads']}, {machine['date']}", fontsize="medium")
    figure.savefig(path, format="png", dpi=110)
