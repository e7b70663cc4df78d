"""Sums over all axes but that of the channels, and affine maps with numbers for each channel: batch normalization.

Each function touches every array that it is given once, in the order of the first one's memory. Two forms of loops
are enough for all layouts. Where channels lie last in memory, an array is a table of *rows*, vectors of channels
below each other; rows of few channels are taken several at a time, so that vectors stay long. Else it consists of
*lines*, the neighbouring elements of one channel.

Sums are taken in blocks of fixed size, which then are added up in double precision and in their order: neither
the number of threads nor the size of the batch spoils them. Moments of a block are taken in two passes while it lies
in a cache, so that a mean that is large beside the deviations does no harm; blocks are joined by

    mean = sum(n_b mean_b) / n        squares = sum(squares_b + n_b (mean_b - mean)^2)

(Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983)).
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, contiguous, empty_apart
from .jit import SUM_FLAGS, kernel
from .order import memory_order
from .threads import parallel_for
from .transposition import channels_last

Array = NDArray[Any]

# A core moves about so many bytes in a nanosecond: only to tell small work from large.
BYTES_PER_NANOSECOND = 10.0

# Rows of a table are at least so many numbers long, if the shape allows it: the loop along a row costs some
# instructions of its own.
ROW_ELEMENTS = 256

# Rows of one block: few enough that it stays in the second-level cache between two passes.
BLOCK_BYTES = 128 * 1024

# Elements of a line that are added up at once.
LINE_ELEMENTS = 2048


class _Table(NamedTuple):
    """How arrays of one shape and memory order lie in memory, as their channels see it.

    Attributes
    ----------
    order : tuple of int
        The axes, from the longest strides to the shortest.
    back : tuple of int
        The inverse permutation.
    extents : tuple of int
        In that order.
    shape : tuple of int
        (rows, columns) of the table, or (lines, elements of each).
    channels : int
    folds : int
        How many rows of channels are taken as one; 0 for lines.
    """

    order: tuple[int, ...]
    back: tuple[int, ...]
    extents: tuple[int, ...]
    shape: tuple[int, int]
    channels: int
    folds: int

    def lay(self, array: Array, dtype: Any) -> Array:
        """`array` as a table or as lines; a copy if it lies otherwise."""
        turned = array.transpose(self.order)
        if turned.dtype == dtype and turned.flags.carray:
            return turned.reshape(self.shape)
        if self.folds and self.order[0] == 0:
            turned = channels_last(turned, dtype)
        return contiguous(turned, dtype).reshape(self.shape)

    def restore(self, laid: Array) -> Array:
        """The inverse of `lay`."""
        return laid.reshape(self.extents).transpose(self.back)

    def vectors(self, dtype: Any, *vectors: Array) -> Array:
        """Vectors of numbers for each channel, one below the other, as long as a row of the table."""
        laid = np.empty((len(vectors), max(self.folds, 1), self.channels), dtype)
        for target, vector in zip(laid, vectors):
            target[:] = vector
        return laid.reshape(len(vectors), -1)


@functools.lru_cache(maxsize=256)
def _arrange(order: tuple[int, ...], shape: tuple[int, ...], axis: int) -> _Table:
    back = tuple(np.argsort(order).tolist())
    extents = tuple([shape[k] for k in order])
    place = back[axis]
    before, channels, behind = math.prod(extents[:place]), shape[axis], math.prod(extents[place + 1 :])
    if behind != 1:
        return _Table(order, back, extents, (before * channels, behind), channels, 0)
    folds = 1
    while 2 * folds * channels <= ROW_ELEMENTS and before % (2 * folds) == 0 and before:
        folds *= 2
    return _Table(order, back, extents, (before // folds, folds * channels), channels, folds)


def _table(array: Array, axis: int) -> _Table:
    return _arrange(memory_order(array), array.shape, axis)


def _block(rows: Array) -> int:
    return max(4, BLOCK_BYTES // max(1, rows.shape[1] * rows.itemsize))


# ---------------------------------------------------------------- moments


@kernel(fastmath=SUM_FLAGS)
def _row_moments(start: int, stop: int, x: Array, block: int, found: Array) -> None:
    """Moments of each column in blocks ``start <= b < stop`` of rows.

    ``found[0, b]`` is the mean, ``found[1, b]`` the sum of the deviations from it, which is not 0 because of rounding,
    and ``found[2, b]`` that of their squares.
    """
    columns = x.shape[1]
    for item in range(start, stop):
        rows = x[item * block : min((item + 1) * block, x.shape[0])]
        m, t, s = found[0, item], found[1, item], found[2, item]
        m[:] = 0
        t[:] = 0
        s[:] = 0
        count = rows.shape[0]
        fours = count - count % 4
        for r in range(0, fours, 4):
            x0, x1, x2, x3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
            for k in range(columns):
                m[k] += (x0[k] + x1[k]) + (x2[k] + x3[k])
        for r in range(fours, count):
            x0 = rows[r]
            for k in range(columns):
                m[k] += x0[k]
        share = x.dtype.type(1) / x.dtype.type(count)
        for k in range(columns):
            m[k] *= share
        for r in range(0, fours, 4):
            x0, x1, x2, x3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
            for k in range(columns):
                d0, d1, d2, d3 = x0[k] - m[k], x1[k] - m[k], x2[k] - m[k], x3[k] - m[k]
                t[k] += (d0 + d1) + (d2 + d3)
                s[k] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        for r in range(fours, count):
            x0 = rows[r]
            for k in range(columns):
                d0 = x0[k] - m[k]
                t[k] += d0
                s[k] += d0 * d0


@kernel(fastmath=SUM_FLAGS)
def _line_moments(start: int, stop: int, x: Array, block: int, found: Array) -> None:
    """The same of lines ``start <= line < stop``, in blocks that are added up: ``found`` has shape (3, lines)."""
    zero, size = x.dtype.type(0), x.shape[1]
    for line in range(start, stop):
        m = zero
        for first in range(0, size, block):
            values = x[line, first : min(first + block, size)]
            total = zero
            for i in range(values.size):
                total += values[i]
            m += total
        m /= x.dtype.type(size)
        t, s = zero, zero
        for first in range(0, size, block):
            values = x[line, first : min(first + block, size)]
            rest, squares = zero, zero
            for i in range(values.size):
                d = values[i] - m
                rest += d
                squares += d * d
            t += rest
            s += squares
        found[0, line], found[1, line], found[2, line] = m, t, s


@kernel
def _join(found: Array, count: int, last: int, mean: Array, variance: Array) -> None:
    """Join the moments of blocks, ``found[:, b, :, c]``, of `count` numbers each (in the last row, of `last`)."""
    rows, columns, channels = found.shape[1:]
    total = columns * ((rows - 1) * count + last)
    for b in range(rows):
        size = float(last if b == rows - 1 else count)
        for f in range(columns):
            m, t = found[0, b, f], found[1, b, f]
            for c in range(channels):
                mean[c] += size * m[c] + t[c]
    for c in range(channels):
        mean[c] /= total
    for b in range(rows):
        size = float(last if b == rows - 1 else count)
        share = 1.0 / size
        for f in range(columns):
            m, t, s = found[0, b, f], found[1, b, f], found[2, b, f]
            for c in range(channels):
                rest = float(t[c])
                distance = m[c] + rest * share - mean[c]
                variance[c] += s[c] - rest * rest * share + size * distance * distance
    for c in range(channels):
        variance[c] /= total


def moments(x: Array, axis: int) -> tuple[Array, Array]:
    """Return mean and (biased) variance of each channel.

    Parameters
    ----------
    x : ndarray, shape (..., C, ...)
        Any strides; floating-point. (Of nothing, the moments are 0 here.)
    axis : int
        That of the channels, not negative.

    Returns
    -------
    mean, variance : ndarray of float64, shape (C,)

    Notes
    -----
    One pass over memory.
    """
    inner = compute_dtype(x.dtype, "moments", integers=False)
    if not x.size:
        return np.zeros(x.shape[axis]), np.zeros(x.shape[axis])
    table = _table(x, axis)
    laid = table.lay(x, inner)
    nanoseconds = 2 * laid.nbytes / BYTES_PER_NANOSECOND
    if table.folds:
        block = _block(laid)
        blocks = -(-laid.shape[0] // block)
        found = np.empty((3, blocks, laid.shape[1]), inner)
        parallel_for(_row_moments, blocks, laid, block, found, nanoseconds=nanoseconds)
        count, last = block, laid.shape[0] - (blocks - 1) * block
    else:
        found = np.empty((3, 1, laid.shape[0]), inner)
        parallel_for(_line_moments, laid.shape[0], laid, LINE_ELEMENTS, found[:, 0], nanoseconds=nanoseconds)
        count = last = laid.shape[1]
    mean, variance = np.zeros((2, table.channels))
    _join(found.reshape(3, found.shape[1], -1, table.channels), count, last, mean, variance)
    return mean, variance


# ---------------------------------------------------------------- sums


# Gradients of a rectified affine map, max(x * scale + shift, 0), are gated: an element counts only where the map is
# positive (or NaN). It is computed once more, with the same roundings: no licence to reorder or to fuse here. No gate
# is one with scale 0 and shift 1.


@kernel
def _row_sums(start: int, stop: int, g: Array, x: Array, vectors: Array, block: int, total: Array, dot: Array) -> None:
    """Gated sums of g and of g * (x - mean) of each column in blocks ``start <= b < stop`` of rows."""
    columns = g.shape[1]
    mean, scale, shift = vectors[0], vectors[1], vectors[2]
    zero = g.dtype.type(0)
    for item in range(start, stop):
        first, last = item * block, min((item + 1) * block, g.shape[0])
        rows, others = g[first:last], x[first:last]
        t, s = total[item], dot[item]
        t[:] = 0
        s[:] = 0
        fours = rows.shape[0] - rows.shape[0] % 4
        for r in range(0, fours, 4):
            g0, g1, g2, g3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
            x0, x1, x2, x3 = others[r], others[r + 1], others[r + 2], others[r + 3]
            for k in range(columns):
                m, a, b = mean[k], scale[k], shift[k]
                d0, d1, d2, d3 = x0[k] - m, x1[k] - m, x2[k] - m, x3[k] - m
                # Both are read in any case, so that the loop becomes vector code without branches.
                v0, v1, v2, v3 = g0[k], g1[k], g2[k], g3[k]
                v0 = zero if d0 * a + b <= zero else v0
                v1 = zero if d1 * a + b <= zero else v1
                v2 = zero if d2 * a + b <= zero else v2
                v3 = zero if d3 * a + b <= zero else v3
                t[k] += (v0 + v1) + (v2 + v3)
                s[k] += (v0 * d0 + v1 * d1) + (v2 * d2 + v3 * d3)
        for r in range(fours, rows.shape[0]):
            g0, x0 = rows[r], others[r]
            for k in range(columns):
                d0 = x0[k] - mean[k]
                v0 = g0[k]
                v0 = zero if d0 * scale[k] + shift[k] <= zero else v0
                t[k] += v0
                s[k] += v0 * d0


# Sums along a line must be split into lanes, which takes the licence to reorder; it is taken after the gate.
@kernel
def _gate_line(g: Array, d: Array, mean: float, scale: float, shift: float, gated: Array) -> None:
    """Write ``d - mean`` over `d`, and `g` to `gated`, 0 where the gate is shut."""
    zero = g.dtype.type(0)
    for i in range(g.size):
        distance, value = d[i] - mean, g[i]
        d[i] = distance
        gated[i] = zero if distance * scale + shift <= zero else value


@kernel(fastmath=SUM_FLAGS)
def _dot_line(g: Array, d: Array) -> tuple[float, float]:
    """The sums of `g` and of ``g * d``."""
    t, s = g.dtype.type(0), g.dtype.type(0)
    for i in range(g.size):
        t += g[i]
        s += g[i] * d[i]
    return t, s


@kernel
def _line_sums(start: int, stop: int, g: Array, x: Array, vectors: Array, block: int, total: Array, dot: Array) -> None:
    """Gated sums of g and of g * (x - mean) of lines ``start <= line < stop``, in blocks that are added up."""
    size = g.shape[1]
    distances, gated = np.empty(block, g.dtype), np.empty(block, g.dtype)
    for line in range(start, stop):
        c = line % vectors.shape[1]
        m, a, b = vectors[0, c], vectors[1, c], vectors[2, c]
        total[line] = dot[line] = 0
        for first in range(0, size, block):
            count = min(block, size - first)
            distances[:count] = x[line, first : first + count]
            _gate_line(g[line, first : first + count], distances[:count], m, a, b, gated[:count])
            t, s = _dot_line(gated[:count], distances[:count])
            total[line] += t
            dot[line] += s


Gate = tuple[Array, Array]  # scale and shift of a rectified affine map, for each channel


def sums(g: Array, x: Array, mean: Array, axis: int, gate: Gate | None = None) -> tuple[Array, Array]:
    """Return the sum of g, and that of g * (x - mean), in each channel.

    Parameters
    ----------
    g, x : ndarray, shape (..., C, ...)
        Any strides; floating-point. Best if both lie in memory in the same order.
    mean : ndarray, shape (C,)
    axis : int
    gate : (scale, shift), ndarrays, shape (C,), optional
        `g` counts as 0 where ``affine(x, mean, scale, shift, axis)`` is 0 or less.

    Returns
    -------
    total, dot : ndarray of float64, shape (C,)

    Notes
    -----
    One pass over memory.
    """
    inner = compute_dtype(np.result_type(g, x), "sums", integers=False)
    if not x.size:
        return np.zeros(x.shape[axis]), np.zeros(x.shape[axis])
    table = _table(x, axis)
    laid, others = table.lay(g, inner), table.lay(x, inner)
    nanoseconds = 2 * laid.nbytes / BYTES_PER_NANOSECOND
    vectors = table.vectors(inner, mean, *(gate or _OPEN))
    if table.folds:
        loop, block, count = _row_sums, _block(laid), -(-laid.shape[0] // _block(laid))
        found = np.empty((2, count, laid.shape[1]), inner)
        total, dot = found
    else:
        loop, block, count = _line_sums, LINE_ELEMENTS, laid.shape[0]
        found = np.empty((2, 1, count), inner)
        total, dot = found[:, 0]
    parallel_for(loop, count, laid, others, vectors, block, total, dot, nanoseconds=nanoseconds)
    with np.errstate(invalid="ignore"):  # infinities of both signs give NaN
        total, dot = found.reshape(2, -1, table.channels).sum(axis=1, dtype=np.float64)
    return total, dot


_OPEN = (np.zeros(1), np.ones(1))


@kernel(fastmath=SUM_FLAGS)
def _row_totals(start: int, stop: int, g: Array, block: int, total: Array) -> None:
    """Sums of each column in blocks ``start <= b < stop`` of rows."""
    columns = g.shape[1]
    for item in range(start, stop):
        rows = g[item * block : min((item + 1) * block, g.shape[0])]
        t = total[item]
        t[:] = 0
        eights = rows.shape[0] - rows.shape[0] % 8
        for r in range(0, eights, 8):
            g0, g1, g2, g3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
            g4, g5, g6, g7 = rows[r + 4], rows[r + 5], rows[r + 6], rows[r + 7]
            for k in range(columns):
                t[k] += ((g0[k] + g1[k]) + (g2[k] + g3[k])) + ((g4[k] + g5[k]) + (g6[k] + g7[k]))
        for r in range(eights, rows.shape[0]):
            g0 = rows[r]
            for k in range(columns):
                t[k] += g0[k]


def totals(g: Array, axis: int) -> Array:
    """Return the sum of each channel.

    Parameters
    ----------
    g : ndarray, shape (..., C, ...)
        Any strides; floating-point.
    axis : int

    Returns
    -------
    ndarray of float64, shape (C,)

    Notes
    -----
    One pass over memory.
    """
    inner = compute_dtype(g.dtype, "totals", integers=False)
    table = _table(g, axis)
    if not table.folds or not g.size:
        return sums(g, g, np.zeros(g.shape[axis]), axis)[0]
    laid = table.lay(g, inner)
    block = _block(laid)
    found = np.empty((-(-laid.shape[0] // block), laid.shape[1]), inner)
    parallel_for(_row_totals, len(found), laid, block, found, nanoseconds=laid.nbytes / BYTES_PER_NANOSECOND)
    return _joined(found, table.channels)


@kernel
def _row_gate(start: int, stop: int, y: Array, block: int, total: Array, g: Array) -> None:
    """Put 0 into `g` where `y` is 0, and add up its columns, in blocks ``start <= b < stop`` of rows."""
    columns = g.shape[1]
    zero = g.dtype.type(0)
    for item in range(start, stop):
        first, last = item * block, min((item + 1) * block, g.shape[0])
        rows, outputs = g[first:last], y[first:last]
        t = total[item]
        t[:] = 0
        for r in range(rows.shape[0]):
            target, output = rows[r], outputs[r]
            for k in range(columns):
                value, positive = target[k], output[k]
                value = zero if positive == zero else value
                target[k] = value
                t[k] += value


def gate_over(g: Array, y: Array, axis: int) -> Array | None:
    """Put 0 into `g` where `y` is 0, and return the sum of each channel of what is left; None if nothing was done.

    Parameters
    ----------
    g, y : ndarray, shape (..., C, ...)
        Served are float32 and float64, both alike, densely in memory in one order with channels last.
    axis : int

    Returns
    -------
    ndarray of float64, shape (C,), or None

    Notes
    -----
    One pass over memory for :func:`.rectifier.gate` and :func:`totals`.
    """
    table = _table(g, axis)
    turned, outputs = g.transpose(table.order), y.transpose(table.order)
    if not (
        table.folds and g.size and g.dtype == y.dtype and g.dtype.char in "fd"
        and turned.flags.carray and outputs.flags.c_contiguous
    ):  # fmt: skip
        return None
    laid = turned.reshape(table.shape)
    block = _block(laid)
    found = np.empty((-(-laid.shape[0] // block), laid.shape[1]), g.dtype)
    parallel_for(
        _row_gate, len(found), contiguous(outputs, g.dtype).reshape(table.shape), block, found, laid,
        nanoseconds=3 * laid.nbytes / BYTES_PER_NANOSECOND,
    )  # fmt: skip
    return _joined(found, table.channels)


def _joined(found: Array, channels: int) -> Array:
    """Add up sums of blocks, ``found[b, c]`` with channels repeated along c, in double precision."""
    with np.errstate(invalid="ignore"):  # infinities of both signs give NaN
        total: Array = found.reshape(-1, channels).sum(axis=0, dtype=np.float64)
    return total


# ---------------------------------------------------------------- affine maps


@kernel
def _row_affine(start: int, stop: int, x: Array, vectors: Array, y: Array, floor: float) -> None:
    """Rows ``start <= r < stop`` of ``y = (x - mean) * scale + shift``, but at least `floor`, or NaN."""
    columns = x.shape[1]
    mean, scale, shift = vectors[0], vectors[1], vectors[2]
    for r in range(start, stop):
        values, target = x[r], y[r]
        for k in range(columns):
            value = (values[k] - mean[k]) * scale[k] + shift[k]
            target[k] = floor if value <= floor else value


@kernel
def _line_affine(start: int, stop: int, x: Array, vectors: Array, y: Array, floor: float) -> None:
    """Lines ``start <= line < stop`` of ``y = (x - mean) * scale + shift``, but at least `floor`, or NaN."""
    for line in range(start, stop):
        c = line % vectors.shape[1]
        values, target, m, a, b = x[line], y[line], vectors[0, c], vectors[1, c], vectors[2, c]
        for i in range(values.size):
            value = (values[i] - m) * a + b
            target[i] = floor if value <= floor else value


def affine(x: Array, mean: Array, scale: Array, shift: Array, axis: int, rectify: bool = False) -> Array:
    """Return ``(x - mean) * scale + shift``, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (..., C, ...)
        Any strides; floating-point.
    mean, scale, shift : ndarray, shape (C,)
    axis : int
    rectify : bool
        Whether to put 0 in place of what is 0 or less; NaN stays NaN.

    Returns
    -------
    ndarray, shape and dtype of `x`
        Fresh, in the memory order of `x`.

    Notes
    -----
    One pass over memory.
    """
    inner = compute_dtype(x.dtype, "affine", integers=False)
    table = _table(x, axis)
    laid = table.lay(x, inner)
    y = empty_apart(laid.shape, inner, laid)
    if y.size:
        vectors = table.vectors(inner, mean, scale, shift)
        loop = _row_affine if table.folds else _line_affine
        floor = inner.type(0 if rectify else -np.inf)
        parallel_for(loop, len(laid), laid, vectors, y, floor, nanoseconds=2 * laid.nbytes / BYTES_PER_NANOSECOND)
    return table.restore(y).astype(x.dtype.newbyteorder("="), copy=False)


@kernel
def _row_blend(start: int, stop: int, g: Array, x: Array, vectors: Array, y: Array) -> None:
    """Rows ``start <= r < stop`` of ``y = g * a + (x - mean) * b + shift``, with `g` gated."""
    columns = g.shape[1]
    mean, a, b, shift, scale, offset = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], vectors[5]
    zero = g.dtype.type(0)
    for r in range(start, stop):
        values, others, target = g[r], x[r], y[r]
        for k in range(columns):
            distance, value = others[k] - mean[k], values[k]
            value = zero if distance * scale[k] + offset[k] <= zero else value
            target[k] = value * a[k] + (distance * b[k] + shift[k])


@kernel
def _line_blend(start: int, stop: int, g: Array, x: Array, vectors: Array, y: Array) -> None:
    """Lines ``start <= line < stop`` of ``y = g * a + (x - mean) * b + shift``, with `g` gated."""
    zero = g.dtype.type(0)
    for line in range(start, stop):
        c = line % vectors.shape[1]
        values, others, target = g[line], x[line], y[line]
        m, a, b, constant = vectors[0, c], vectors[1, c], vectors[2, c], vectors[3, c]
        scale, offset = vectors[4, c], vectors[5, c]
        for i in range(values.size):
            distance, value = others[i] - m, values[i]
            value = zero if distance * scale + offset <= zero else value
            target[i] = value * a + (distance * b + constant)


def blend(
    g: Array, x: Array, mean: Array, a: Array, b: Array, shift: Array, axis: int, gate: Gate | None = None
) -> Array:
    """Return ``g * a + (x - mean) * b + shift``, channel by channel.

    Parameters
    ----------
    g, x : ndarray, shape (..., C, ...)
        Any strides; floating-point. Best if both lie in memory in the same order.
    mean, a, b, shift : ndarray, shape (C,)
    axis : int
    gate : (scale, shift), optional
        As in :func:`sums`.

    Returns
    -------
    ndarray, shape (..., C, ...), of the dtype to which NumPy promotes `g` and `x`
        Fresh, in the memory order of `x`.

    Notes
    -----
    One pass over memory.
    """
    dtype = np.result_type(g, x)
    inner = compute_dtype(dtype, "blend", integers=False)
    table = _table(x, axis)
    laid, others = table.lay(g, inner), table.lay(x, inner)
    y = empty_apart(laid.shape, inner, laid)
    if y.size:
        vectors = table.vectors(inner, mean, a, b, shift, *(gate or _OPEN))
        loop = _row_blend if table.folds else _line_blend
        parallel_for(loop, len(laid), laid, others, vectors, y, nanoseconds=3 * laid.nbytes / BYTES_PER_NANOSECOND)
    return table.restore(y).astype(dtype, copy=False)
