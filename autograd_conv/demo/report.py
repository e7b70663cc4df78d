"""What came out of a training run: a confusion table as text, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["confusion_matrix", "confusion_table", "draw", "mosaic"]

HARD_DIGITS = 10
TRAIN_COLOR, TEST_COLOR, WRONG_COLOR, GRAY = "#8a8f98", "#c2410c", "#b91c1c", "#555b66"


# --- text -------------------------------------------------------------------------------------------------


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int = 10) -> np.ndarray:
    """How often each class, by row, was taken for which, by column.

    Examples
    --------
    >>> import numpy as np
    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), classes=2)
    array([[1, 0],
           [1, 1]])
    """
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confusion_table(labels: np.ndarray, predicted: np.ndarray, classes: int = 10) -> str:
    """The confusion matrix for readers, with a dot for nothing and the share of each class that was read rightly.

    Examples
    --------
    >>> import numpy as np
    >>> print(confusion_table(np.array([0, 1, 1]), np.array([0, 0, 1]), classes=2))
          | read as
    shown |   0   1 | right
        0 |   1   . | 100.0%
        1 |   1   1 |  50.0%
    """
    counts = confusion_matrix(labels, predicted, classes)
    lines = ["      | read as", "shown | " + " ".join(f"{k:3}" for k in range(classes)) + " | right"]
    for k, row in enumerate(counts):
        cells = " ".join(f"{n or '.':>3}" for n in row)
        share = f"{row[k] / row.sum():.1%}" if row.any() else "-"
        lines.append(f"{k:5} | {cells} | {share:>6}")
    return "\n".join(lines)


# --- picture ----------------------------------------------------------------------------------------------


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side in one, row by row, with a pixel of nothing (NaN) between them.

    Parameters
    ----------
    images : ndarray, shape (N, H, W)
    columns : int

    Returns
    -------
    ndarray, shape (rows * (H + 1) - 1, columns * (W + 1) - 1)

    Examples
    --------
    >>> import numpy as np
    >>> mosaic(np.arange(3.0).reshape(3, 1, 1), columns=2)
    array([[ 0., nan,  1.],
           [nan, nan, nan],
           [ 2., nan, nan]])
    """
    count, height, width = images.shape
    rows = -(-count // columns)
    result = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, image in enumerate(images):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        result[top : top + height, left : left + width] = image
    return result


def draw(
    path: Path,
    *,
    curves: Mapping[str, Sequence[float]],
    kernels: np.ndarray,
    digit: np.ndarray,
    maps: Sequence[np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Draw learning curves, kernels, feature maps and wrongly read digits to a PNG file.

    Parameters
    ----------
    path : Path
    curves : mapping of str to sequence of float
        ``epoch``, ``train_loss``, ``test_loss``, ``train_accuracy`` and ``test_accuracy``.
    kernels : ndarray, shape (O, KH, KW)
        Of the first layer.
    digit : ndarray, shape (H, W)
        An image.
    maps : sequence of ndarray, shape (C, H, W) each
        What the layers made of it.
    images, labels, probabilities : ndarray, shapes (N, H, W), (N,) and (N, 10)
        The test images, what they show, and what the network thinks that they show.
    """
    # A figure of its own, without pyplot: it needs no display and leaves nothing behind.
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(12, 9), dpi=110, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08, wspace=0.03)
    curve_row, map_row, digit_row = figure.subfigures(3, 1, height_ratios=[1.5, 1.3, 0.75])

    loss_axes, accuracy_axes, kernel_axes = curve_row.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
    _draw_curves(loss_axes, curves, "loss")
    _show_decades(loss_axes, curves)
    _draw_curves(accuracy_axes, curves, "accuracy")
    _show_accuracies(accuracy_axes, curves)
    largest = float(np.abs(kernels).max()) or 1.0
    _show(kernel_axes, mosaic(kernels, 4), "", "RdBu_r", -largest, largest)
    kernel_axes.set_title(f"the {len(kernels)} kernels of the first layer", fontsize=10, fontweight="bold")
    kernel_axes.set_xlabel("red: positive, blue: negative", color=GRAY, fontsize=8)

    pictures = [mosaic(_scaled(m), 4 if len(m) <= 16 else 8) for m in maps]
    # Widths that make all pictures of the row equally high.
    axes = map_row.subplots(1, 1 + len(maps), width_ratios=[1, *(p.shape[1] / p.shape[0] for p in pictures)])
    map_row.suptitle("what the network makes of a digit (each map scaled by itself)", fontsize=10, fontweight="bold")
    _show(axes[0], digit, f"a digit, {labels[0]}", "gray_r", 0, 1)
    for k, (ax, layer, picture) in enumerate(zip(axes[1:], maps, pictures), start=1):
        channels, height, width = layer.shape
        _show(ax, picture, f"layer {k}: {channels} maps of {height}x{width}", "magma", 0, 1)

    _draw_hard(digit_row, images, labels, probabilities)
    figure.savefig(path)


def _draw_curves(ax: Any, curves: Mapping[str, Sequence[float]], what: str) -> None:
    """Training and test, over the epochs."""
    for part, color in (("train", TRAIN_COLOR), ("test", TEST_COLOR)):
        ax.plot(curves["epoch"], curves[f"{part}_{what}"], color=color, marker="o", markersize=3, label=part)
    ax.set_title(what, fontsize=10, fontweight="bold")
    ax.set_xlabel("epoch", color=GRAY, fontsize=9)
    ax.set_xlim(0, 1.03 * curves["epoch"][-1])
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.tick_params(colors=GRAY, labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e5e7eb")
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=9)


def _show_decades(ax: Any, curves: Mapping[str, Sequence[float]]) -> None:
    """Whole powers of ten: a loss falls by factors."""
    losses = np.maximum([*curves["train_loss"], *curves["test_loss"]], 1e-9)
    ax.set_yscale("log")
    ax.set_ylim(10 ** np.floor(np.log10(losses.min())), 10 ** (np.floor(np.log10(losses.max())) + 1))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _show_accuracies(ax: Any, curves: Mapping[str, Sequence[float]]) -> None:
    """Look closely at where the curves end: how they began is of less interest."""
    ends = [curves[name][-1] for name in ("train_accuracy", "test_accuracy")]
    lowest = max(0.0, 1 - 4 * max(1 - min(ends), 0.01))
    ax.set_ylim(lowest, 1 + 0.04 * (1 - lowest))
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    handles, names = ax.get_legend_handles_labels()
    names = [f"{name} {end:.2%}" for name, end in zip(names, ends)]
    ax.legend(handles, names, frameon=False, fontsize=9, loc="lower right")


def _show(ax: Any, image: np.ndarray, title: str, colors: str, low: float, high: float) -> None:
    ax.imshow(image, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color("#d1d5db" if colors == "gray_r" else "none")


def _scaled(maps: np.ndarray) -> np.ndarray:
    """Each map divided by its largest value, unless it is empty."""
    largest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def _draw_hard(figure: Any, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """The wrongly read digits, surest mistakes first; in the places left, those read rightly with the most doubt."""
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = predicted != labels
    order = np.lexsort((np.where(wrong, -confidence, confidence), ~wrong))
    title = f"wrongly read: {wrong.sum()} of {len(labels)} test digits"
    if wrong.sum() > HARD_DIGITS:
        title += f" (the {HARD_DIGITS} with the least doubt)"
    elif wrong.sum() < HARD_DIGITS:
        title += " (in gray: rightly read, with the most doubt)"
    figure.suptitle(title, fontsize=10, fontweight="bold")
    for ax, n in zip(figure.subplots(1, HARD_DIGITS), order):
        says = f"read {predicted[n]}, is {labels[n]}" if wrong[n] else f"read {predicted[n]}"
        _show(ax, images[n], f"{says}\n{confidence[n]:.0%} sure", "gray_r", 0, 1)
        ax.title.set_color(WRONG_COLOR if wrong[n] else GRAY)
