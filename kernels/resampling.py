"""Linear maps along axes, applied: one loop for every :class:`.tables.Table`, forwards and backwards.

An array of any number of axes is, for a map along one of them, of shape (L, size, M): what stands before the axis, the
axis, what stands behind it. Each output is a sum in the order of the table, so results depend neither on the number of
threads nor on how the array lies in memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, contiguous
from .jit import kernel
from .order import memory_order
from .tables import Table
from .threads import parallel_for

Array = NDArray[Any]

# Products that the loop makes in a nanosecond on one core: only to tell small work from large.
PRODUCTS_PER_NANOSECOND = 1.0


@kernel
def _apply_rows(
    begin: int, stop: int, x: Array, y: Array, starts: Array, places: Array, weights: Array, copies: bool
) -> None:
    """Compute the rows ``begin <= row < stop`` of `y` (L, out, M), row ``l * out + i``; `y` is modified in place.

    `copies`: every output is one input element, with weight 1.
    """
    out, width = y.shape[1], y.shape[2]
    row = begin
    while row < stop:
        l, low = row // out, row % out
        high = min(out, low + stop - row)
        row += high - low
        if width == 1:
            source, target = x[l, :, 0], y[l, :, 0]
            if copies:
                for i in range(low, high):
                    target[i] = source[places[i]]
                continue
            for i in range(low, high):
                first, last = starts[i], starts[i + 1]
                total = x.dtype.type(0)
                if first < last:
                    total = weights[first] * source[places[first]]
                for k in range(first + 1, last):
                    total += weights[k] * source[places[k]]
                target[i] = total
            continue
        for i in range(low, high):
            first, last = starts[i], starts[i + 1]
            many = y[l, i]
            if first == last:
                many[:] = 0
            else:
                one, factor = x[l, places[first]], weights[first]
                for m in range(width):
                    many[m] = factor * one[m]
            for k in range(first + 1, last):
                one, factor = x[l, places[k]], weights[k]
                for m in range(width):
                    many[m] += factor * one[m]


def apply_tables(x: Array, steps: Sequence[tuple[int, Table]]) -> Array:
    """Return `x` after linear maps along some of its axes.

    Parameters
    ----------
    x : ndarray
        Any strides, read-only or not; floating-point, or integer if all weights are integers.
    steps : sequence of (int, Table)
        Axes, not negative, and what is done along them, in this order.

    Returns
    -------
    ndarray, dtype of `x`
        Its axes lie in memory in the order of those of `x`. Never `x` itself.

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
    inverse = tuple(np.argsort(order).tolist())
    y = contiguous(x.transpose(order), inner)
    for axis, table in steps:
        if x.shape[axis] != table.size:
            raise ValueError(f"{function}: axis {axis} has length {x.shape[axis]}, its table is for {table.size}")
        at = inverse[axis]
        shape = y.shape
        source = y.reshape(int(np.prod(shape[:at])), table.size, int(np.prod(shape[at + 1 :])))
        target = np.empty((source.shape[0], table.out, source.shape[2]), inner)
        if target.size:
            copies = bool((np.diff(table.starts) == 1).all() and (table.weights == 1).all())
            parallel_for(
                _apply_rows, target.shape[0] * table.out, source, target, table.starts, table.places,
                table.weights.astype(inner), copies,
                nanoseconds=source.shape[0] * source.shape[2] * table.places.size / PRODUCTS_PER_NANOSECOND,
            )  # fmt: skip
        y = target.reshape(*shape[:at], table.out, *shape[at + 1 :])
    if not steps or y.dtype != x.dtype:
        y = y.astype(x.dtype.newbyteorder("="))
    return y.transpose(inverse)
