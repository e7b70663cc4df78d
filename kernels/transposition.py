"""From channels-first to channels-last memory and back, in blocks that fit into vector registers.

Copying element by element reads or writes one number of each cache line at a time. Transposing blocks of L by L
numbers in registers (`tile.transpose_tile`) reads and writes whole vectors.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from .arrays import contiguous, empty_apart
from .emitter import lanes
from .jit import kernel
from .threads import parallel_for
from .tile import transpose_tile

Array = NDArray[Any]

# A core moves about so many bytes in a nanosecond: only to tell small work from large.
BYTES_PER_NANOSECOND = 8.0

# Blocks of pixels for which the same channels are transposed before the next ones: what they fill of the result, with
# some hundreds of channels, fits into a second-level cache.
BLOCKS_TOGETHER = 32

_TILES = {4: transpose_tile(4), 8: transpose_tile(8)}


def _make(itemsize: int) -> Any:
    tile, length = _TILES[itemsize], lanes(itemsize)

    @kernel
    def transpose_rows(start: int, stop: int, source: Array, target: Array, blocks: int) -> None:
        """Write blocks ``start <= item < stop`` of `target` (N, P, C), from `source` (N, C, P).

        Item ``n * blocks + block`` is the block of up to L pixels from ``block * L`` of image n, all channels.
        """
        channels, pixels = source.shape[1], source.shape[2]
        whole = channels - channels % length
        item = start
        while item < stop:
            # Several blocks of an image for the same L channels, one after another: L streams of memory, which are
            # fetched ahead, instead of a line of each channel.
            n, first = item // blocks, item % blocks * length
            count = min(stop - item, blocks - item % blocks, BLOCKS_TOGETHER)
            last = min(first + count * length, pixels)
            full = (last - first) // length
            for c in range(0, whole, length):
                block, goal = source[n, c:, first:].ctypes.data, target[n, first:, c:].ctypes.data
                for k in range(full):
                    tile(block + k * length * itemsize, pixels, goal + k * length * channels * itemsize, channels)
            for c in range(whole, channels):
                for p in range(first, first + full * length):
                    target[n, p, c] = source[n, c, p]
            for p in range(first + full * length, last):
                for c in range(channels):
                    target[n, p, c] = source[n, c, p]
            item += count

    return transpose_rows


_TRANSPOSE_ROWS = {itemsize: _make(itemsize) for itemsize in (4, 8)}


def _make_kernel(itemsize: int) -> Any:
    tile, length = _TILES[itemsize], lanes(itemsize)

    @kernel
    def transpose_kernel(start: int, stop: int, source: Array, target: Array) -> None:
        """Write rows ``start <= item < stop`` of `target` (O, C, taps), L at a time, from `source` (taps, C, O)."""
        taps, channels, outputs = source.shape
        blocks = np.empty((taps, length, length), source.dtype)
        for item in range(start, stop):
            first = item * length
            rows = min(length, outputs - first)
            for low in range(0, channels, length):
                columns = min(length, channels - low)
                for tap in range(taps):
                    if rows == length and columns == length:
                        tile(source[tap, low:, first:].ctypes.data, outputs, blocks[tap].ctypes.data, length)
                    else:
                        for c in range(columns):
                            for o in range(rows):
                                blocks[tap, o, c] = source[tap, low + c, first + o]
                for o in range(rows):
                    for c in range(columns):
                        for tap in range(taps):
                            target[first + o, low + c, tap] = blocks[tap, o, c]

    return transpose_kernel


_TRANSPOSE_KERNEL = {itemsize: _make_kernel(itemsize) for itemsize in (4, 8)}


def outputs_first(w: Array) -> Array:
    """Return a kernel (KD, KH, KW, C, O) as a C-contiguous array (O, C, KD, KH, KW).

    Parameters
    ----------
    w : ndarray, any strides

    Returns
    -------
    ndarray, C-contiguous
        Fresh, but if `w` lies in that order already: then the view.
    """
    outputs, channels = w.shape[4], w.shape[3]
    if w.transpose(4, 3, 0, 1, 2).flags.c_contiguous:
        return w.transpose(4, 3, 0, 1, 2)
    if w.dtype.kind != "f" or w.itemsize not in _TRANSPOSE_KERNEL or not w.flags.c_contiguous or config.DISABLE_JIT:
        return np.array(w.transpose(4, 3, 0, 1, 2), order="C")
    target = np.empty((outputs, channels, *w.shape[:3]), w.dtype)
    if w.size:
        taps = w.shape[0] * w.shape[1] * w.shape[2]
        parallel_for(
            _TRANSPOSE_KERNEL[w.itemsize], -(-outputs // lanes(w.itemsize)),
            contiguous(w, w.dtype).reshape(taps, channels, outputs), target.reshape(outputs, channels, taps),
            nanoseconds=w.size,
        )  # fmt: skip
    return target


def channels_last(array: Array, dtype: Any) -> Array:
    """Return an array (N, ..., C) as a C-contiguous one of `dtype`, to be read only.

    Parameters
    ----------
    array : ndarray, shape (N, ..., C)
        Any strides. Fast if it is C-contiguous already, or the view of an array (N, C, ...) that is.
    dtype : dtype

    Returns
    -------
    ndarray, shape (N, ..., C)

    Notes
    -----
    At most one pass over memory.
    """
    plan = _plan(array.shape, array.strides, array.dtype, dtype)
    if plan is None:
        return contiguous(array, dtype)
    return _transposed(array.transpose(plan.order).reshape(plan.source)).reshape(array.shape)


def channels_second(array: Array) -> Array:
    """The view of an array (N, ..., C) as (N, C, ...)."""
    return array.transpose(0, -1, *range(1, array.ndim - 1))


class _Plan(NamedTuple):
    """How `channels_last` turns arrays of some shape and strides."""

    order: tuple[int, ...]
    source: tuple[int, int, int]


@functools.lru_cache(maxsize=512)
def _plan(
    shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any], wanted: np.dtype[Any]
) -> _Plan | None:
    """How to turn such an array, or None if it is to be copied, or lies as it should."""
    if (
        dtype != wanted or dtype.kind != "f" or dtype.itemsize not in _TRANSPOSE_ROWS or config.DISABLE_JIT
        or len(shape) < 3 or 0 in shape or 1 in (shape[-1], math.prod(shape))
    ):  # fmt: skip
        return None
    order = (0, len(shape) - 1, *range(1, len(shape) - 1))
    if _lies(shape, strides, range(len(shape)), dtype.itemsize) or not _lies(shape, strides, order, dtype.itemsize):
        return None
    return _Plan(order, (shape[0], shape[-1], math.prod(shape[1:-1])))


def _lies(shape: tuple[int, ...], strides: tuple[int, ...], order: Sequence[int], itemsize: int) -> bool:
    """Whether an array is C-contiguous with its axes in this order."""
    step = itemsize
    for axis in reversed(order):
        if shape[axis] > 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True


def channels_first(array: Array) -> Array:
    """Return an array (N, C, ...) in row-major order.

    Parameters
    ----------
    array : ndarray, shape (N, C, ...)
        Any strides. Fast if it is the view of an array (N, ..., C) that is C-contiguous.

    Returns
    -------
    ndarray, shape (N, C, ...), C-contiguous
        The array itself if it lies so, else a copy.

    Notes
    -----
    At most one pass over memory.
    """
    if array.ndim < 3 or array.flags.c_contiguous or not _has_tiles(array):
        return np.ascontiguousarray(array)
    last = array.transpose(0, *range(2, array.ndim), 1)
    if not last.flags.c_contiguous:
        return np.ascontiguousarray(array)
    return _transposed(last.reshape(array.shape[0], -1, array.shape[1])).reshape(array.shape)


def _has_tiles(array: Array) -> bool:
    dtype = array.dtype
    served = dtype.kind == "f" and dtype.itemsize in _TRANSPOSE_ROWS and dtype.isnative
    return served and array.size > 0 and not config.DISABLE_JIT


def _transposed(array: Array) -> Array:
    """The last two axes of `array` (N, A, B), C-contiguous, exchanged: a fresh array (N, B, A)."""
    images, rows, columns = array.shape
    source = contiguous(array, array.dtype)
    target = empty_apart((images, columns, rows), source.dtype, source)
    blocks = -(-columns // lanes(source.itemsize))
    parallel_for(
        _TRANSPOSE_ROWS[source.itemsize], images * blocks, source, target, blocks,
        nanoseconds=2 * target.nbytes / BYTES_PER_NANOSECOND,
    )  # fmt: skip
    return target
