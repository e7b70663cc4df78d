"""Ways to cut a weight gradient into tiles, and which of them is the best.

The rows (or columns) that `x` gives are those of *runs*: numbers that lie side by side for each pixel. A run is the
channels of a tap; or, since neighbouring taps read neighbouring pixels, the channels of a whole kernel row; or, where
channels are first, the taps of a kernel row in one channel. Runs are filled up to whole groups of rows (or vectors of
columns) with whatever lies behind them: sums that nobody looks at. What a way costs is how many sums it computes, and
how much has to be copied or transposed for it.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .emitter import Shape, lanes, register_count, side
from .geometry import Window

# Blocks have at least so many pixels, so that loading and storing a tile is a small part.
LEAST_BLOCK_PIXELS = 64

# Rows and vectors of a tile. Rows come from few addresses, so that there are registers for more sums than in
# `emitter.tile_shape`.
_SHAPES = {
    32: ((12, 2), (8, 3), (24, 1), (28, 1), (4, 5), (27, 1), (30, 1), (8, 2)),
    16: ((6, 2), (4, 3), (12, 1), (9, 1), (10, 1)),
}

# Addresses of rows that are kept in registers at most.
_MOST_PLACES = 9

# What it takes to transpose, and to copy, a number, in sums that are computed meanwhile.
_TRANSPOSE_SUMS, _COPY_SUMS = 16, 2

# Rows with an address each, of planes that are far apart, take so many times as long.
_SCATTERED = 1.1

# Of ways to cut that take up to so many times as long as the best, the one is chosen whose shape comes first in the
# list: with fewer shapes there is less to compile.
_NEARLY = 1.01


class Form(NamedTuple):
    """What is compiled for.

    Attributes
    ----------
    shape : Shape
    beside : int
        Rows of a tile that lie side by side; see `tile.outer_tile`.
    swapped : bool
        Whether rows are output channels, and columns are taps and input channels.
    """

    shape: Shape
    beside: int
    swapped: bool


class Cut(NamedTuple):
    """A way to cut the rows or columns that `x` gives: `form`, and what it depends on.

    Attributes
    ----------
    form : Form
    direct : bool
        Whether the tile reads `x` itself.
    planes : bool
        Whether channels are first there: a run has taps, but one channel only.
    pixel : int
        Distance of neighbouring pixels, in numbers.
    merged : bool
        Whether a run has all taps of a kernel row.
    whole : int
        Numbers of a run, with those that fill it up.
    gy_direct : bool
        Whether the tile reads `gy` itself.
    cost : float
        For each pixel; in sums.
    """

    form: Form
    direct: bool
    planes: bool
    pixel: int
    merged: bool
    whole: int
    gy_direct: bool
    cost: float


def up(value: int, multiple: int) -> int:
    """Return the next multiple of `multiple` from `value` on."""
    return -(-value // multiple) * multiple


def _sides(rows: int) -> list[int]:
    """How many rows of a tile may lie side by side: what is usual comes first."""
    found = [q for q in range(1, rows + 1) if rows % q == 0 and rows // q <= _MOST_PLACES]
    return sorted(found, key=lambda q: (q != side(rows), q))


def cuts(
    itemsize: int, channels: int, outputs: int, window: Window, mergeable: bool, x_first: bool, gy_first: bool,
    direct: bool, planes: bool, pixel: int, gy_crowds: bool,
) -> Iterator[Cut]:  # fmt: skip
    """Yield the ways to cut for one way to read `x`.

    Parameters
    ----------
    itemsize : int
    channels, outputs : int
        Of a group.
    window : Window
    mergeable : bool
        Whether neighbouring taps read neighbouring pixels.
    x_first, gy_first : bool
        Whether the arrays are channels-first.
    direct, planes, pixel
        See `Cut`.
    gy_crowds : bool
        Whether pixels of `gy` lie so that they would crowd a few sets of the caches.
    """
    length, taps = lanes(itemsize), window.kernel
    beside_each_other = 1 if planes else channels
    reading = 0 if direct else (_TRANSPOSE_SUMS if x_first and not planes else _COPY_SUMS)
    reading *= channels * math.prod(min(s, k) for s, k in zip(window.stride, taps))
    packing = outputs * (_TRANSPOSE_SUMS if gy_first else _COPY_SUMS)
    large = math.prod(window.out) >= LEAST_BLOCK_PIXELS
    for merged in (False, True) if mergeable else (False,):
        run = (taps[2] - 1) * pixel + beside_each_other if merged else beside_each_other
        runs = window.taps * channels // (beside_each_other * (taps[2] if merged else 1))
        for rows, vectors in _SHAPES[register_count()]:
            shape = Shape(itemsize, rows, vectors)
            slow = 1 + 2 / (rows * vectors)  # fewer sums share what is loaded
            for beside in _sides(rows):
                whole = up(run, beside)
                if direct and whole > run:
                    continue
                gy_direct = not gy_first and outputs == shape.columns
                area = up(runs * whole, rows) * up(outputs, shape.columns)
                yield Cut(
                    Form(shape, beside, False), direct, planes, pixel, merged, whole, gy_direct,
                    area * slow * (_SCATTERED if beside == 1 else 1) + reading + (0 if gy_direct else packing),
                )  # fmt: skip
            whole = up(run, shape.columns)
            # Rows are planes of gy, if those are first: then each has its own address.
            gy_planes = gy_first and large and rows <= _MOST_PLACES
            if planes or (direct and whole > run) or not (gy_planes or outputs < length):
                continue
            gy_direct = gy_planes or not (gy_first or outputs % rows or gy_crowds)
            area = runs * whole * up(outputs, rows)
            yield Cut(
                Form(shape, 1 if gy_planes else side(rows), True), direct, planes, pixel, merged, whole, gy_direct,
                area * slow + reading + (0 if gy_direct else packing),
            )  # fmt: skip


def best(found: Iterable[Cut]) -> Cut:
    found = list(found)
    least = min(cut.cost for cut in found)
    shapes = _SHAPES[register_count()]

    def order(cut: Cut) -> tuple[int, float, bool, int]:
        rows, vectors, beside = cut.form.shape.rows, cut.form.shape.vectors, cut.form.beside
        return shapes.index((rows, vectors)), cut.cost, beside != side(rows), rows // beside

    return min((cut for cut in found if cut.cost <= _NEARLY * least), key=order)
