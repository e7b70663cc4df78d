"""Linear maps along axes, applied: one loop for every :class:`.tables.Table`, forwards and backwards.

An array of any number of axes is, for maps along two of them that are neighbours in memory, of shape (L, H, W, M):
what stands before the axes, the axes, what stands behind them. Each output is a sum in the order of the table, so
results do not depend on the number of threads.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, empty_apart
from .jit import kernel
from .order import memory_order
from .tables import Table
from .threads import parallel_for
from .transposition import channels_last

Array = NDArray[Any]

# Products that the loop makes in a nanosecond on one core: only to tell small work from large.
PRODUCTS_PER_NANOSECOND = 1.0

# From so many channels on, it pays to bring them behind the axes that are mapped.
VECTOR = 8


@kernel
def _apply_rows(
    begin: int, stop: int, x: Array, y: Array, rows: Any, columns: Any, extents: Any, pairs: Any, copies: bool
) -> None:
    """Compute rows ``begin <= item < stop`` of `y` (L, OH, OW, M), item ``l * OH + i``; `y` is modified in place.

    `x` (L, H, W, M) and `y` are flat; `rows` and `columns` are starts, places and weights of the maps along H and W.
    The rows that a row of the result is made of are added up first, in memory that stays in a cache, then the sum is
    mapped. `copies`: along W every output is one input element, with weight 1. `pairs`: those from the first of these
    two numbers to the second are made of two elements each.
    """
    height, width, many = extents
    row_starts, row_places, row_weights = rows
    starts, places, weights = columns
    out_h, out_w = row_starts.size - 1, starts.size - 1
    line = np.empty(width * many, x.dtype)
    l = begin // out_h
    i = begin - l * out_h
    for item in range(begin, stop):
        if i == out_h:
            l, i = l + 1, 0
        first, last = row_starts[i], row_starts[i + 1]
        i += 1
        total = y[item * out_w * many : (item + 1) * out_w * many]
        if first == last:
            for m in range(total.size):
                total[m] = 0
            continue
        place, factor = row_places[first], row_weights[first]
        again = item > begin and i > 1 and last - first == 1 and first - row_starts[i - 2] == 1
        if again and row_places[first - 1] == place and row_weights[first - 1] == factor:
            above = y[(item - 1) * out_w * many : item * out_w * many]
            for m in range(total.size):
                total[m] = above[m]
            continue
        source = x[(l * height + place) * width * many : (l * height + place + 1) * width * many]
        if last - first > 1 or factor != 1:
            if last - first == 1:
                for m in range(line.size):
                    line[m] = factor * source[m]
            else:
                place, other = row_places[first + 1], row_weights[first + 1]
                second = x[(l * height + place) * width * many : (l * height + place + 1) * width * many]
                for m in range(line.size):
                    line[m] = factor * source[m] + other * second[m]
            for k in range(first + 2, last):
                place, factor = row_places[k], row_weights[k]
                source = x[(l * height + place) * width * many : (l * height + place + 1) * width * many]
                for m in range(line.size):
                    line[m] += factor * source[m]
            source = line
        if many == 1:
            if copies:
                for j in range(out_w):
                    total[j] = source[places[j]]
                continue
            low, high = pairs
            for j in range(high - low):
                k = starts[low] + 2 * j
                total[low + j] = weights[k] * source[places[k]] + weights[k + 1] * source[places[k + 1]]
            for end in range(low + out_w - high):
                j = end if end < low else end + high - low
                first, last = starts[j], starts[j + 1]
                value = x.dtype.type(0)
                if first < last:
                    value = weights[first] * source[places[first]]
                for k in range(first + 1, last):
                    value += weights[k] * source[places[k]]
                total[j] = value
            continue
        for j in range(out_w):
            first, last = starts[j], starts[j + 1]
            target = total[j * many : (j + 1) * many]
            if first == last:
                for m in range(many):
                    target[m] = 0
                continue
            one, factor = source[places[first] * many : (places[first] + 1) * many], weights[first]
            if last - first == 1:
                for m in range(many):
                    target[m] = factor * one[m]
                continue
            two, other = source[places[first + 1] * many : (places[first + 1] + 1) * many], weights[first + 1]
            for m in range(many):
                target[m] = factor * one[m] + other * two[m]
            for k in range(first + 2, last):
                one, factor = source[places[k] * many : (places[k] + 1) * many], weights[k]
                for m in range(many):
                    target[m] += factor * one[m]


def _pattern(table: Table) -> tuple[tuple[int, int], bool]:
    """The longest run of outputs with two entries, as begin and end, and whether all outputs are copies."""
    counts = np.diff(table.starts)
    copies = bool((counts == 1).all() and (table.weights == 1).all())
    ends = np.flatnonzero(np.diff(np.concatenate([[False], counts == 2, [False]])))
    if not ends.size:
        return (0, 0), copies
    runs = ends.reshape(-1, 2)
    low, high = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return (int(low), int(high)), copies


_NO_MAP = Table(1, np.array([0, 1]), np.array([0]), np.array([1.0]))


def _apply(x: Array, at: int, rows: Table, columns: Table, axes: int) -> Array:
    """Map the `axes` axes of `x`, C-contiguous, that end with axis `at`: by `columns`, or by `rows` and `columns`."""
    before, behind = x.shape[: at + 1 - axes], x.shape[at + 1 :]
    outside, many = math.prod(before), math.prod(behind)
    shape = (*before, *(() if axes == 1 else (rows.out,)), columns.out, *behind)
    y = empty_apart(shape, x.dtype, x)
    if y.size:
        entries, others = (
            (table.starts, table.places, table.weights.astype(x.dtype)) for table in (rows, columns)
        )  # fmt: skip
        products = rows.places.size * columns.size + rows.out * columns.places.size
        parallel_for(
            _apply_rows, outside * rows.out, x.reshape(-1), y.reshape(-1), entries, others,
            (rows.size, columns.size, many), *_pattern(columns),
            nanoseconds=outside * many * products / PRODUCTS_PER_NANOSECOND,
        )  # fmt: skip
    return y


def apply_tables(x: Array, steps: Sequence[tuple[int, Table]]) -> Array:
    """Return `x` after linear maps along some of its axes.

    Parameters
    ----------
    x : ndarray
        Any strides, read-only or not; floating-point, or integer if all weights are integers.
    steps : sequence of (int, Table)
        Axes, not negative, and what is done along them, from the first axis to the last one.

    Returns
    -------
    ndarray, dtype of `x`
        Never `x` itself. Its axes lie in memory in the order of those of `x`; but if the last of them is mapped and
        the first two are not, the second one may have come to the end.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If a table is for another size than that of its axis.

    Notes
    -----
    Cost, for each step: one product for each entry of the table and each element of the other axes. float16 is
    computed in float32, over all steps.

    Examples
    --------
    >>> from .tables import linear_map
    >>> apply_tables(np.array([[0.0, 4.0]]), [(1, linear_map(2, 4, None, False).forward)])
    array([[0., 1., 3., 4.]])
    """
    function = "apply_tables"
    x = np.asarray(x)
    inner = compute_dtype(x.dtype, function)
    order = memory_order(x)
    mapped = {axis for axis, _ in steps}
    if order[-1] in mapped and x.ndim > 2 and not mapped & set(order[:2]) and x.shape[order[1]] >= VECTOR:
        # Elements of a row are mapped one by one; those of a vector of channels behind them, all at once.
        order = (order[0], *order[2:], order[1])
    inverse = tuple(np.argsort(order).tolist())
    y = channels_last(x.transpose(order), inner)
    # Maps along different axes commute, but for rounding: from the first axis to the last one, however they lie in
    # memory. Two that are neighbours there are mapped in one pass.
    left = sorted(steps, key=lambda step: step[0])
    while left:
        axis, table = left.pop(0)
        at = inverse[axis]
        if y.shape[at] != table.size:
            raise ValueError(f"{function}: axis {axis} has length {y.shape[at]}, its table is for {table.size}")
        if left and inverse[left[0][0]] == at + 1 and y.shape[at + 1] == left[0][1].size:
            y = _apply(y, at + 1, table, left.pop(0)[1], 2)
        else:
            y = _apply(y, at, _NO_MAP, table, 1)
    if not steps or y.dtype != x.dtype:
        y = y.astype(x.dtype.newbyteorder("="))
    return y.transpose(inverse)
