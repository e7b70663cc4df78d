"""The rectifier and its gradient, in one pass over memory each, on all cores.

Elements are taken in the order in which they lie in memory, so that a result has the memory order of its argument.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous, empty_apart
from .jit import kernel
from .order import memory_order
from .threads import parallel_for

Array = NDArray[Any]

# Elements of an item of work: some microseconds.
BLOCK = 16384

BYTES_PER_NANOSECOND = 10.0


@kernel
def _rectify(start: int, stop: int, x: Array, y: Array, block: int) -> None:
    """Compute blocks ``start <= item < stop`` of `y`: max(x, 0), and NaN where `x` is."""
    zero = y.dtype.type(0)
    # Slices, counted from 0: an index that the compiler cannot prove not to be negative costs a branch.
    source, target = x[start * block : stop * block], y[start * block : stop * block]
    for i in range(source.size):
        value = source[i]
        target[i] = zero if value <= zero else value


@kernel
def _rectify_in_place(start: int, stop: int, y: Array, block: int) -> None:
    """Put 0 into blocks ``start <= item < stop`` of `y` where it is 0 or less."""
    zero = y.dtype.type(0)
    target = y[start * block : stop * block]
    for i in range(target.size):
        value = target[i]
        target[i] = zero if value <= zero else value


@kernel
def _gate(start: int, stop: int, g: Array, y: Array, gx: Array, block: int) -> None:
    """Compute blocks ``start <= item < stop`` of `gx`: `g` where `y` is not 0, else 0."""
    zero = gx.dtype.type(0)
    first, last = start * block, stop * block
    source, output, target = g[first:last], y[first:last], gx[first:last]
    for i in range(source.size):
        # Both are read in any case, so that the loop becomes vector code without branches.
        value, positive = source[i], output[i]
        target[i] = zero if positive == zero else value


@kernel
def _gate_in_place(start: int, stop: int, y: Array, g: Array, block: int) -> None:
    """Put 0 into blocks ``start <= item < stop`` of `g` where `y` is 0."""
    zero = g.dtype.type(0)
    first, last = start * block, stop * block
    output, target = y[first:last], g[first:last]
    for i in range(target.size):
        value, positive = target[i], output[i]
        target[i] = zero if positive == zero else value


def _lines(*arrays: Array) -> tuple[Array, ...] | None:
    """The arrays as one line each, element for element in the same order; None if they do not lie so in memory."""
    order = memory_order(arrays[0])
    turned = [array.transpose(order) for array in arrays]
    if not all(array.flags.c_contiguous for array in turned):
        return None
    return tuple([array.reshape(-1) for array in turned])


def _run(loop: Any, *arrays: Array, over: Array | None = None) -> Array | None:
    """What `loop` makes of `arrays`, in `over` or else fresh; None if they are not alike."""
    given = arrays if over is None else (*arrays, over)
    lines, dtype = _lines(*given), given[0].dtype
    if lines is None or dtype.kind != "f" or dtype.itemsize not in (4, 8) or any(a.dtype != dtype for a in given):
        return None
    sources = [contiguous(line, dtype) for line in lines[: len(arrays)]]
    target = empty_apart((arrays[0].size,), dtype, arrays[0]) if over is None else lines[-1]
    parallel_for(
        loop, -(-target.size // BLOCK), *sources, target, BLOCK,
        nanoseconds=(len(arrays) + 1) * target.nbytes / BYTES_PER_NANOSECOND,
    )  # fmt: skip
    if over is not None:
        return over
    order = memory_order(arrays[0])
    shape = [arrays[0].shape[axis] for axis in order]
    return target.reshape(shape).transpose(sorted(range(len(order)), key=order.__getitem__))


def rectify(x: Array, over: bool = False) -> Array:
    """Return max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : ndarray
        Of any shape, strides and real dtype.
    over : bool
        Whether the result may take the place of `x`, which nobody needs any more.

    Returns
    -------
    ndarray
        In the memory order of `x`.
    """
    result = _run(_rectify_in_place, over=x) if over else _run(_rectify, x)
    return np.maximum(x, 0) if result is None else result


def gate(g: Array, y: Array, over: bool = False) -> Array:
    """Return `g` where `y` is not 0, elsewhere 0: the gradient of :func:`rectify`, whose result is `y`.

    Parameters
    ----------
    g, y : ndarray, same shape
        Of any strides and real dtypes.
    over : bool
        Whether the result may take the place of `g`, which nobody needs any more: half the time, where both lie in
        memory in the same order.

    Returns
    -------
    ndarray, dtype of `g`
        In the memory order of `g`. Exactly 0 where `y` is, also next to infinity and NaN.
    """
    result = _run(_gate_in_place, y, over=g) if over else _run(_gate, g, y)
    return np.where(y == 0, g.dtype.type(0), g) if result is None else result
