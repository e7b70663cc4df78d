"""Pools over regions that are given by tables: adaptive, global and fractional pooling; channels-last.

A region is a box of the input. Along each axis a table says where each begins and ends, so that sizes need not
be equal nor steps regular, as those of a sliding window (:mod:`.pooling`) must be.

Shapes::

    x, gx  (N, D, H, W, C)        y, gy, place  (N, OD, OH, OW, C)

The maximum of each region is known by its flat index (:mod:`.places`, which has the gradients). The average over
a box is taken axis by axis: sums of runs along one axis are one loop, and *its transpose is the same loop with the
two sizes exchanged* (see `adaptive_run` in :mod:`.geometry`).
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import by_memory, compute_dtype, contiguous, empty_apart
from .emitter import lanes
from .geometry import AXES, Axes, adaptive_run
from .jit import SUM_FLAGS, kernel
from .places import place_dtype
from .threads import parallel_for
from .transposition import channels_last

Array = NDArray[Any]

# Tables of one array of int64 for each axis, shape (1 or N * C, OUT, 2): begin and end of each region.
Tables = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

# Comparisons or additions that these loops do in a nanosecond on one core: only to tell small work from large.
ELEMENTS_PER_NANOSECOND = 2.0

# Rows of fewer elements than this are summed faster with channels last, if there is a vector of them.
SHORT_ROW = 24


# ---------------------------------------------------------------- tables


@functools.lru_cache(maxsize=256)
def adaptive_table(size: int, out: int) -> NDArray[np.int64]:
    """Return begin and end of `out` runs that cover `size` elements, as adaptive pooling has them.

    Returns
    -------
    ndarray of int64, shape (out, 2)
        Read-only: tables are made once.

    Examples
    --------
    >>> adaptive_table(5, 3).tolist(), adaptive_table(3, 5).tolist()
    ([[0, 2], [1, 4], [3, 5]], [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]])
    """
    table = np.array([adaptive_run(i, size, out) for i in range(out)], np.int64).reshape(out, 2)
    table.flags.writeable = False
    return table


def adaptive_tables(size: Axes, out: Axes) -> Tables:
    """Return the tables of adaptive pooling from `size` to `out`, the same for all images and channels."""
    depth, height, width = (adaptive_table(n, o)[None] for n, o in zip(size, out))
    return depth, height, width


def fractional_table(samples: Array, size: int, out: int, taps: int) -> NDArray[np.int64]:
    """Return begin and end of the regions of fractional pooling along one axis.

    Parameters
    ----------
    samples : ndarray of float32 or float64, shape (planes,)
        From 0 to 1: where in its step each sequence begins. Steps are computed in its dtype.
    size, out, taps : int
        Input elements, regions, and elements of each region; ``out + taps - 1 <= size``.

    Returns
    -------
    ndarray of int64, shape (planes, out, 2)

    Notes
    -----
    With ``alpha = (size - taps) / (out - 1)`` region i begins at ``int((i + u) * alpha) - int(u * alpha)``, and the
    last one at ``size - taps``: the pseudo-random sequence of B. Graham, "Fractional max-pooling" (2014), in the
    form that PyTorch gives it.

    Examples
    --------
    >>> fractional_table(np.array([0.3, 0.9]), 9, 4, 2)[:, :, 0]
    array([[0, 3, 5, 7],
           [0, 2, 4, 7]])
    """
    begins = np.zeros((samples.shape[0], out), np.int64)
    if out > 1:
        real = samples.dtype.type
        alpha = real(size - taps) / real(out - 1)
        steps = np.arange(out - 1).astype(samples.dtype)
        begins[:, :-1] = ((steps + samples[:, None]) * alpha).astype(np.int64)
        begins[:, :-1] -= (samples[:, None] * alpha).astype(np.int64)
        # Of more elements than float32 can count, rounding must not lead outside.
        np.minimum(begins, size - taps, out=begins)
    if out:
        begins[:, -1] = size - taps
    return np.stack([begins, begins + taps], axis=2)


def _check_tables(function: str, tables: Tables, size: tuple[int, ...], planes: int) -> bool:
    """Check all entries, and return whether each plane has regions of its own."""
    own = False
    for axis, (table, n) in enumerate(zip(tables, size)):
        if table.ndim != 3 or table.shape[0] not in (1, planes) or table.shape[2] != 2:
            raise ValueError(
                f"{function}: table {axis} must have shape (1, OUT, 2) or ({planes}, OUT, 2), got {table.shape}"
            )
        begin, end = table[..., 0], table[..., 1]
        if table.size and (begin.min() < 0 or end.max() > n or (begin >= end).any()):
            raise ValueError(f"{function}: table {axis} must hold regions that are not empty, within {n} elements")
        own |= table.shape[0] != 1
    return own


# ---------------------------------------------------------------- maximum


@kernel
def _max_regions_rows(
    start: int, stop: int, x: Array, depth: Array, height: Array, width: Array, y: Array, place: Array
) -> None:
    """Compute the rows ``start <= row < stop`` of `y` and `place`, row ``(n * OD + od) * OH + oh``, in place."""
    size_h, size_w, channels = x.shape[2], x.shape[3], x.shape[4]
    out_d, out_h, out_w = y.shape[1], y.shape[2], y.shape[3]
    for row in range(start, stop):
        oh = row % out_h
        od = row // out_h % out_d
        n = row // out_h // out_d
        # A table of one entry holds for every image.
        at_d, at_h, at_w = n % depth.shape[0], n % height.shape[0], n % width.shape[0]
        for ow in range(out_w):
            if channels == 1:  # a loop of one step costs more than what it does
                best = x[n, depth[at_d, od, 0], height[at_h, oh, 0], width[at_w, ow, 0], 0]
                where = (depth[at_d, od, 0] * size_h + height[at_h, oh, 0]) * size_w + width[at_w, ow, 0]
                for d in range(depth[at_d, od, 0], depth[at_d, od, 1]):
                    for h in range(height[at_h, oh, 0], height[at_h, oh, 1]):
                        for w in range(width[at_w, ow, 0], width[at_w, ow, 1]):
                            candidate = x[n, d, h, w, 0]
                            if candidate > best or candidate != candidate:
                                best = candidate
                                where = (d * size_h + h) * size_w + w
                y[n, od, oh, ow, 0] = best
                place[n, od, oh, ow, 0] = where
                continue
            largest = y[n, od, oh, ow]
            winner = place[n, od, oh, ow]
            found = False
            for d in range(depth[at_d, od, 0], depth[at_d, od, 1]):
                for h in range(height[at_h, oh, 0], height[at_h, oh, 1]):
                    for w in range(width[at_w, ow, 0], width[at_w, ow, 1]):
                        here = (d * size_h + h) * size_w + w
                        values = x[n, d, h, w]
                        if not found:
                            found = True
                            for c in range(channels):
                                largest[c] = values[c]
                                winner[c] = here
                            continue
                        for c in range(channels):
                            value, old = values[c], largest[c]
                            # NaN wins, and of several the last one; of equals, the first. Without branches and
                            # with both stores in any case, so that the loop becomes vector code.
                            wins = (value > old) | (value != value)
                            largest[c] = value if wins else old
                            winner[c] = here if wins else winner[c]


def max_regions(x: Array, tables: Tables) -> tuple[Array, Array]:
    """Return the largest element of each region, and where it is.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    tables : three ndarrays of int64, shape (1, OUT, 2) or (N * C, OUT, 2)
        For each axis begin and end of its regions, which must not be empty: the same for all planes, or for
        each plane, number ``n * C + c``, its own.

    Returns
    -------
    y : ndarray, shape (N, OD, OH, OW, C), dtype of `x`
        A NaN in a region wins.
    place : ndarray, shape (N, OD, OH, OW, C), dtype of `place_dtype`
        The flat index ``(d * H + h) * W + w`` of the winner: of equal elements the first, of several NaN the
        last, row by row.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If `x` does not have five axes, or a table does not fit it.

    Notes
    -----
    Cost: one comparison for each element of each region. Planes with regions of their own are computed as
    images of one channel.
    """
    function = "max_regions"
    x = np.asarray(x)
    if x.ndim != 5:
        raise ValueError(f"{function}: x must have shape (N, D, H, W, C), got {x.shape}")
    batch, channels = x.shape[0], x.shape[4]
    own = _check_tables(function, tables, x.shape[1:4], batch * channels)
    out = tuple(table.shape[1] for table in tables)
    if own:
        x = np.moveaxis(x, 4, 1).reshape(batch * channels, *x.shape[1:4], 1)
    # int64 would not keep the order of large uint64
    inner = np.dtype(np.uint64) if x.dtype.kind == "u" and x.dtype.itemsize == 8 else compute_dtype(x.dtype, function)
    shape = (x.shape[0], *out, x.shape[4])
    y, place = np.empty(shape, inner), np.empty(shape, place_dtype(math.prod(x.shape[1:4])))
    if y.size:
        taps = x.size / max(1, x.shape[0] * x.shape[4]) / math.prod(out)  # of a mean region, or somewhat more
        parallel_for(
            _max_regions_rows, shape[0] * shape[1] * shape[2], contiguous(x, inner),
            *(contiguous(table, np.dtype(np.int64)) for table in tables), y, place,
            nanoseconds=y.size * max(taps, 1.0) / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    if own:
        y, place = (
            np.ascontiguousarray(np.moveaxis(array.reshape(batch, channels, *out), 1, 4)) for array in (y, place)
        )
    return y.astype(x.dtype.newbyteorder("="), copy=False), place


# ---------------------------------------------------------------- average


@kernel(fastmath=SUM_FLAGS)
def _sum_runs(start: int, stop: int, x: Array, runs: Array, y: Array, size: int, behind: int) -> None:
    """Sum runs of `x` (A, size, B), flat, into `y` (A, out, B), flat, modified in place: items ``a * out + i``.

    ``behind`` is B. The flat arrays tell the compiler that a run of B = 1 lies side by side in memory.
    """
    out = runs.shape[0]
    a = start // out
    i = start - a * out - 1
    for item in range(start, stop):
        i += 1
        if i == out:
            a, i = a + 1, 0
        first, last = runs[i, 0], runs[i, 1]
        if behind == 1:
            if last - first == 1:
                y[item] = x[a * size + first]
                continue
            values = x[a * size + first : a * size + last]
            whole = x.dtype.type(0)
            for k in range(values.size):
                whole += values[k]
            y[item] = whole
            continue
        total = y[item * behind : (item + 1) * behind]
        begin = (a * size + first) * behind
        one = x[begin : begin + behind]
        for b in range(behind):
            total[b] = one[b]
        k = first + 1
        while k + 4 <= last:
            begin = (a * size + k) * behind
            one, two = x[begin : begin + behind], x[begin + behind : begin + 2 * behind]
            three, four = x[begin + 2 * behind : begin + 3 * behind], x[begin + 3 * behind : begin + 4 * behind]
            for b in range(behind):
                total[b] += (one[b] + two[b]) + (three[b] + four[b])
            k += 4
        while k < last:
            begin = (a * size + k) * behind
            one = x[begin : begin + behind]
            for b in range(behind):
                total[b] += one[b]
            k += 1


@kernel
def _repeat_rows(start: int, stop: int, x: Array, y: Array, size: int, behind: int) -> None:
    """Write rows ``start <= a < stop`` of `x` (A, B), flat, `size` times each into `y` (A, size, B), flat."""
    for a in range(start, stop):
        target = y[a * size * behind : (a + 1) * size * behind]
        if behind == 1:
            value = x[a]
            for i in range(target.size):
                target[i] = value
            continue
        values = x[a * behind : (a + 1) * behind]
        for k in range(size):
            for b in range(behind):
                target[k * behind + b] = values[b]


class _Step(NamedTuple):
    """Sums along one axis, or several as one: (outside, size, inside) -> (outside, runs, inside), per image."""

    outside: int
    size: int
    inside: int
    runs: NDArray[np.int64]


@functools.lru_cache(maxsize=256)
def _steps(size: Axes, out: Axes) -> list[_Step]:
    """What takes sums over the regions of adaptive pooling, axis by axis.

    The axis that shrinks most is summed first, so that the others have the least to do. Short sums of short sums are
    also more exact than one long one. Neighbours that shrink to, or grow from, one element are one axis.
    """
    merged: list[tuple[int, int]] = []
    for n, o in zip(size, out):
        if merged and (o == 1 == merged[-1][1] or n == 1 == merged[-1][0]):
            merged[-1] = (merged[-1][0] * n, merged[-1][1] * o)
        else:
            merged.append((n, o))
    shape, found = [n for n, _ in merged], []
    for axis in sorted(range(len(merged)), key=lambda axis: merged[axis][1] / merged[axis][0]):
        n, o = merged[axis]
        if n != o:  # else every run is one element
            runs = contiguous(adaptive_table(n, o), np.dtype(np.int64))
            found.append(_Step(math.prod(shape[:axis]), n, math.prod(shape[axis + 1 :]), runs))
        shape[axis] = o
    return found


def _adaptive_sums(x: Array, out: Axes, first: int) -> Array:
    """Return the sums over all regions of adaptive pooling from the size of `x` to `out`.

    `x` is in memory order, with its spatial axes from axis `first` on.
    """
    before, behind = x.shape[:first], x.shape[first + AXES :]
    images, channels = math.prod(before), math.prod(behind)
    for step in _steps((x.shape[first], x.shape[first + 1], x.shape[first + 2]), out):
        outside, target, inside = images * step.outside, len(step.runs), step.inside * channels
        y = empty_apart((outside * target * inside,), x.dtype, x)
        nanoseconds = (x.size + y.size) / ELEMENTS_PER_NANOSECOND
        if step.size == 1:
            parallel_for(_repeat_rows, outside, x.reshape(-1), y, target, inside, nanoseconds=nanoseconds)
        else:
            parallel_for(
                _sum_runs, outside * target, x.reshape(-1), step.runs, y, step.size, inside, nanoseconds=nanoseconds
            )  # fmt: skip
        x = y
    return x.reshape(*before, *out, *behind)


@functools.lru_cache(maxsize=256)
def _volumes(size: Axes, out: Axes, dtype: np.dtype[Any], first: int) -> Array:
    """Return how many elements each region has, to be broadcast against arrays with spatial axes from `first` on."""
    lengths = [(table[:, 1] - table[:, 0]).astype(dtype) for table in map(adaptive_table, size, out)]
    volumes: Array = lengths[0][:, None, None] * lengths[1][:, None] * lengths[2]
    return volumes if first == 2 else volumes[..., None]


def _lay(array: Array, inner: np.dtype[Any], size: Axes, out: Axes) -> tuple[Array, int]:
    """Return `array` as it lies in memory, and its first spatial axis; with channels last if its rows are short."""
    laid, first = by_memory(array)
    if first == 2 and out[2] > 1 and size[2] < SHORT_ROW and array.shape[4] >= lanes(inner.itemsize):
        return channels_last(array, inner), 1
    return contiguous(laid, inner), first


def _check_average(function: str, argument: str, array: Array) -> np.dtype[Any]:
    if array.ndim != 5:
        raise ValueError(f"{function}: {argument} must have five axes, channels last, got shape {array.shape}")
    return compute_dtype(array.dtype, function, integers=False)


def adaptive_average(x: Array, out: Axes) -> Array:
    """Return the averages over the regions of adaptive pooling.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point; at least one element on each axis on which `out` has one.
    out : three int
        How many regions.

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, C), dtype of `x`
        Fresh.

    Raises
    ------
    TypeError
        If `x` is not floating-point.
    ValueError
        If it does not have five axes, or an axis has regions but no elements.

    Notes
    -----
    Axis by axis: about one addition for each element of `x`, however many lie in a region.
    """
    function = "adaptive_average"
    x = np.asarray(x)
    inner = _check_average(function, "x", x)
    size = x.shape[1:4]
    if any(o and not n for n, o in zip(size, out)):
        raise ValueError(f"{function}: an axis without elements has no averages: size {size}, out {out}")
    shape = (x.shape[0], *out, x.shape[4])
    if 0 in shape:
        return np.zeros(shape, x.dtype.newbyteorder("="))
    array, first = _lay(x, inner, (size[0], size[1], size[2]), out)
    sums = _adaptive_sums(array, out, first)
    y = (sums / _volumes(size, out, inner, first)).astype(x.dtype.newbyteorder("="), copy=False)
    return y if first == 1 else np.moveaxis(y, 1, 4)


def adaptive_average_input_gradient(gy: Array, size: Axes) -> Array:
    """Return the gradient of :func:`adaptive_average` with respect to `x`: each region's share to all its elements.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, C)
        Any strides, read-only or not; floating-point.
    size : three int
        The spatial shape of the result.

    Returns
    -------
    ndarray, shape (N, D, H, W, C), dtype of `gy`
        Fresh.

    Raises
    ------
    TypeError
        If `gy` is not floating-point.
    ValueError
        If it does not have five axes.

    Notes
    -----
    The regions that hold element k of n are the elements of region k of n among the o outputs. So what is left
    after dividing is the loop of the forward with the two sizes exchanged.
    """
    function = "adaptive_average_input_gradient"
    gy = np.asarray(gy)
    inner = _check_average(function, "gy", gy)
    out = gy.shape[1:4]
    shape = (gy.shape[0], *size, gy.shape[4])
    if 0 in gy.shape or 0 in shape:
        return np.zeros(shape, gy.dtype.newbyteorder("="))
    array, first = _lay(gy, inner, size, (out[0], out[1], out[2]))
    shares = np.divide(array, _volumes(size, (out[0], out[1], out[2]), inner, first), dtype=inner, order="C")
    gx = _adaptive_sums(shares, size, first).astype(gy.dtype.newbyteorder("="), copy=False)
    return gx if first == 1 else np.moveaxis(gx, 1, 4)
