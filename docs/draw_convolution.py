"""Draw docs/convolution.png: one convolution and its gradients in the five ways of docs/convolution.md.

Run ``python docs/draw_convolution.py`` after a change here; needs matplotlib. Every number in the picture comes from
`autograd_conv.explain`.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import autograd_conv as ac

# A colour for each tap of the kernel, by which it can be followed through all forms of it.
TAPS = [
    "#f4a6a0", "#f7c98b", "#f5e58a",
    "#bfe09a", "#9adcc0", "#98d3ea",
    "#a3b8ee", "#c5aeea", "#eaaed6",
]  # fmt: skip
PLAIN, INSERTED, INK, LINE = "#ffffff", "#e9e9e9", "#222222", "#8a8a8a"
WINDOW = "#c0392b"


def grid(
    axes: Axes, left: float, top: float, values: Any, colours: Any = None, cell: float = 1.0, title: str = ""
) -> tuple[float, float]:
    """Draw a matrix with its upper left corner at (left, top); return its right end and its middle."""
    values = np.asarray(values)
    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            face = PLAIN if colours is None else colours[i][j]
            corner = (left + j * cell, top - (i + 1) * cell)
            axes.add_patch(Rectangle(corner, cell, cell, facecolor=face, edgecolor=LINE, linewidth=0.6))
            axes.text(
                left + (j + 0.5) * cell, top - (i + 0.52) * cell, str(values[i, j]),
                ha="center", va="center", fontsize=8.5 * cell**0.5, color=INK,
            )  # fmt: skip
    axes.text(left + columns * cell / 2, top + 0.25, title, ha="center", va="bottom", fontsize=10, color=INK)
    return left + columns * cell, top - rows * cell / 2


def between(axes: Axes, at: tuple[float, float], sign: str) -> float:
    """Write a sign to the right of a matrix; return where the next one may start."""
    axes.text(at[0] + 0.65, at[1], sign, ha="center", va="center", fontsize=14, color=INK)
    return at[0] + 1.3


def heading(axes: Axes, top: float, text: str, formula: str) -> None:
    axes.text(0, top, text, ha="left", va="bottom", fontsize=12, fontweight="bold", color=INK)
    axes.text(0, top - 0.2, formula, ha="left", va="top", fontsize=10, color=INK, family="monospace")


def outline(axes: Axes, left: float, top: float, rows: int, columns: int, cell: float = 1.0) -> None:
    """A frame around what belongs to the first output."""
    axes.add_patch(
        Rectangle(
            (left, top - rows * cell),
            columns * cell,
            rows * cell,
            fill=False,
            edgecolor=WINDOW,
            linewidth=2.4,
            zorder=5,
        )
    )


def draw() -> Any:
    """Return the figure."""
    x = np.arange(25).reshape(5, 5) % 7
    w = np.array([[1, 2, 0], [-1, 3, 1], [2, -2, 1]])
    page = ac.explain.conv2d(x, w, stride=2)
    taps = np.array(TAPS).reshape(3, 3)
    figure, axes = plt.subplots(figsize=(12, 15.4), dpi=110)

    top = 0.0
    heading(axes, top, "The definition", "y[i,j] = sum over u,v of w[u,v] * x[2*i + u, 2*j + v]          stride 2")
    top -= 1.8
    at = grid(axes, 0, top, x, title="x")
    outline(axes, 0, top, 3, 3)
    left = between(axes, at, "*")
    at = grid(axes, left, top - 1, w, taps, title="w")
    left = between(axes, (at[0], at[1]), "=")
    at = grid(axes, left, top - 1.5, page.y[0], title="y")
    outline(axes, left, top - 1.5, 1, 1)
    left = at[0] + 2.2
    at = grid(axes, left, top - 1.5, page.gy[0], title="gy")
    axes.text(left + 1, top - 4.0, "the gradient that\ncomes back", ha="center", va="top", fontsize=9, color=INK)

    top -= 7.2
    heading(
        axes,
        top,
        "im2col (sources 000, 003)",
        "Y = im2col(x) @ W        gW = im2col(x).T @ gY        gx = col2im(gY @ W.T)",
    )
    top -= 1.8
    columns = [taps.ravel().tolist()] * 4
    at = grid(axes, 0, top - 2.5, page.im2col, columns, title="im2col(x): a row for each window")
    outline(axes, 0, top - 2.5, 1, 9)
    left = between(axes, at, "@")
    at = grid(axes, left, top, page.W, taps.reshape(9, 1), title="W")
    left = between(axes, (at[0], top - 4.5), "=")
    grid(axes, left, top - 2.5, page.y.reshape(4, 1), title="Y")
    outline(axes, left, top - 2.5, 1, 1)

    # To the right of the first two: the table of source 004
    symbols = np.array(page.table)
    colours = [
        [INSERTED if entry == "0" else taps[int(entry[1]) - 1, int(entry[3]) - 1] for entry in row] for row in symbols
    ]
    texts = np.where(symbols == "0", "", np.char.replace(symbols, "k", ""))
    axes.text(24.2, 0, "The Jacobian", ha="left", va="bottom", fontsize=12, fontweight="bold", color=INK)
    axes.text(24.2, -0.2, "gx = table @ gy", ha="left", va="top", fontsize=10, color=INK, family="monospace")
    axes.text(24.2, -0.95, "(source 004): u,v of the tap\nbetween x and y", ha="left", va="top", fontsize=9, color=INK)
    table_left, table_top, cell = 25.2, -3.2, 0.78
    grid(axes, table_left, table_top, texts, colours, cell)
    for k, (i, j) in enumerate(np.ndindex(5, 5)):
        axes.text(
            table_left - 0.15, table_top - (k + 0.55) * cell, f"x{i + 1},{j + 1}", ha="right", va="center", fontsize=7
        )
    for k, (i, j) in enumerate(np.ndindex(2, 2)):
        axes.text(
            table_left + (k + 0.5) * cell, table_top + 0.1, f"y{i + 1},{j + 1}", ha="center", va="bottom", fontsize=7
        )

    top -= 11.0
    heading(
        axes,
        top,
        "padpad (source 001): grey zeros are inserted",
        "gx = padpad(gy) * rot180(w)                    gw = padpad(rot180(gy)) * rot180(x)",
    )
    top -= 1.8
    given = np.zeros((7, 7), bool)
    given[2:5:2, 2:5:2] = True
    shade = np.where(given, PLAIN, INSERTED)
    at = grid(axes, 0, top, np.where(given, page.padpad[0], 0), shade, 0.8, "padpad(gy)")
    outline(axes, 0, top, 3, 3, 0.8)
    left = between(axes, at, "*")
    at = grid(axes, left, top - 1.6, page.rotated[0, 0], taps[::-1, ::-1], 0.8, "rot180(w)")
    left = between(axes, at, "=")
    at = grid(axes, left, top - 0.8, page.gx[0], None, 0.8, "gx")
    outline(axes, left, top - 0.8, 1, 1, 0.8)
    left = at[0] + 1.6
    at = grid(axes, left, top, np.where(given, page.padpad_rotated[0], 0), shade, 0.8, "padpad(rot180(gy))")
    outline(axes, left, top, 5, 5, 0.8)
    left = between(axes, at, "*")
    at = grid(axes, left, top - 0.8, page.x_rotated[0], None, 0.8, "rot180(x)")
    left = between(axes, at, "=")
    at = grid(axes, left, top - 1.6, page.gw[0, 0], taps, 0.8, "gw")
    outline(axes, left, top - 1.6, 1, 1, 0.8)

    top -= 8.6
    heading(
        axes,
        top,
        "vec and Kronecker (source 002)",
        "vec(y) = (I kron phi(x)) vec(C)        vec(phi(x)) = M vec(x)        vec(gx) = M.T vec(gy C.T)",
    )
    top -= 1.8
    column_taps = taps.T.ravel()
    at = grid(axes, 0, top - 1.5, page.phi, [column_taps.tolist()] * 4, 0.8, "phi(x): counted column by column")
    outline(axes, 0, top - 1.5, 1, 9, 0.8)
    left = between(axes, (at[0], at[1]), "@")
    at = grid(axes, left, top + 0.3, page.C, column_taps.reshape(9, 1), 0.62, "vec(C)")
    left = between(axes, (at[0], top - 3.1), "=")
    at = grid(axes, left, top - 1.5, page.y[0].T.reshape(4, 1), None, 0.8, "vec(y)")
    outline(axes, left, top - 1.5, 1, 1, 0.8)
    left = at[0] + 2.4
    routing = axes.inset_axes((left, top - 5.3, 9.2, 5.7), transform=axes.transData)
    routing.imshow(1 - page.M, cmap="gray", aspect="auto", interpolation="nearest")
    routing.set_xticks([0, 24], ["x1,1", "x5,5"], fontsize=7)
    routing.set_yticks([])
    routing.set_title("M: a single 1 (black) in each of its 36 rows", fontsize=10, color=INK)

    axes.set_xlim(-0.6, 32)
    axes.set_ylim(top - 6.4, 1.2)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("convolution.png")
    draw().savefig(target)
    print(f"wrote {target}")
