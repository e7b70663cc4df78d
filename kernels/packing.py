"""The kernel of a convolution, in the order in which a tile reads it.

A tile of V vectors of columns (output channels) reads, for each tap and each input channel, V vectors. A *panel* holds
the columns of one tile; a *slice* of it the channels of all taps that fit into a part of the second-level cache::

    packed (panels, slices, taps, slice_run, V * L)

Kernels come as OIHW or HWIO, and for the input gradient with input and output channels exchanged. Where the columns
lie side by side, whole vectors are copied; else what does lie side by side is a *line* (channels of a tap, taps of a
channel, or both), and blocks of L lines by L numbers are transposed in registers.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .emitter import Shape, lanes
from .jit import kernel
from .threads import parallel_for
from .tile import copy_tile, scatter_tile

Array = NDArray[Any]

# How many numbers are packed in a nanosecond: only to tell small work from large.
NUMBERS_PER_NANOSECOND = 2.0


class Lines(NamedTuple):
    """Where the numbers of a kernel ``w[tap, c, o]`` lie, for compiled code; distances in bytes.

    Attributes
    ----------
    address : int
    column : int
        Distance of neighbouring columns ``o``.
    lines : ndarray, shape (Q,)
        Where line q begins.
    taps : ndarray, shape (span,)
        Number p of a line belongs to tap ``taps[p % span]``; none if that is negative.
    kind : int
        What a line is: 0, the columns of channel ``q // T`` at tap ``q % T``, T taps in all; 1, the channels of tap q;
        2, taps and channels, taps running faster; 3, the taps of channel q.
    """

    address: int
    column: int
    lines: Array
    taps: Array
    kind: int


_COLUMNS, _CHANNELS, _BOTH, _TAPS = range(4)


def lines(w: Array) -> tuple[Lines, Array]:
    """Describe a kernel.

    Parameters
    ----------
    w : ndarray, shape (KD, KH, KW, C, O)
        Any strides, of the dtype that is computed in.

    Returns
    -------
    Lines
    ndarray
        What must be kept alive: `w`, or a copy if it lies in no order that packing knows.
    """
    described = _lines(w.shape, w.strides, w.itemsize) if w.flags.aligned and w.dtype.isnative else None
    if described is None:
        w = np.array(w, w.dtype.newbyteorder("="), order="C")
        described = _lines(w.shape, w.strides, w.itemsize)
        assert described is not None
    return Lines(w.ctypes.data, *described), w


@functools.lru_cache(maxsize=256)
def _lines(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> tuple[int, Array, Array, int] | None:
    """The fields of `Lines` but the first, for a kernel of such shape and strides; None if it must be copied."""
    taps, channels = shape[0] * shape[1] * shape[2], shape[3]
    at = _offsets(shape[:3], strides[:3])
    run, column = strides[3] if channels > 1 else 0, strides[4]
    no_taps = np.zeros(1, np.int64)
    if column == size or shape[4] == 1:
        return column, (np.arange(channels)[:, None] * run + at).ravel(), no_taps, _COLUMNS
    if run == size:
        return column, at, no_taps, _CHANNELS
    span = int(at.max()) // size + 1
    if at.min() < 0 or span > 4 * taps or (at % size).any():
        return None
    slots = np.full(span, -1, np.int64)
    slots[at // size] = np.arange(taps)
    if run == span * size:
        return column, np.zeros(1, np.int64), slots, _BOTH
    return column, np.arange(channels) * run, slots, _TAPS


def _offsets(shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Where the taps lie, in bytes, in row-major order of the taps."""
    axes = [np.arange(length) * stride for length, stride in zip(shape, strides)]
    return (axes[0][:, None, None] + axes[1][:, None] + axes[2]).ravel()


def _make(itemsize: int) -> Any:
    scatter, copy, length = scatter_tile(itemsize), copy_tile(itemsize), lanes(itemsize)

    @kernel
    def pack_slice(
        address: int, column: int, line_at: Array, line_taps: Array, kind: int, present: int, first: int, last: int,
        taps: int, target: int, columns: int, slice_run: int, places: Array, check: int,
    ) -> None:  # fmt: skip
        """Write channels ``first <= c < last`` of all taps to `target`, the address of (taps, slice_run, columns).

        `address`: of the panel's first column, of which there are `present`; `places`: scratch, L integers. Columns
        from `present` on hold zeros or repeat others.
        """
        row = columns * itemsize
        span = line_taps.size
        for low in range(0, present, length):
            inside = min(length, present - low)
            source = address + low * column
            goal = target + low * itemsize
            if kind == 0:
                for c in range(first, last):
                    for tap in range(taps):
                        copy(
                            source + line_at[c * taps + tap], goal + (tap * slice_run + c - first) * row, inside, check
                        )
                continue
            start, stop = 0, 1
            begin, end = first, last
            if kind == 1:
                stop = taps
            elif kind == 2:
                begin, end = first * span, last * span
            else:
                start, stop = first, last
                begin, end = 0, span
            for q in range(start, stop):
                tap = begin % span if kind == 2 else 0
                c = first
                for p in range(begin, end, length):
                    count = min(length, end - p)
                    for j in range(length):
                        if kind == 1:
                            places[j] = (q * slice_run + p + j - first) * row
                        elif kind == 2:
                            slot = line_taps[tap]
                            places[j] = (slot * slice_run + c - first) * row if slot >= 0 else -1
                            tap += 1
                            if tap == span:
                                tap = 0
                                c += 1
                        elif p + j < span:
                            slot = line_taps[p + j]
                            places[j] = (slot * slice_run + q - first) * row if slot >= 0 else -1
                        if j >= count:
                            places[j] = -1
                    scatter(source + line_at[q] + p * itemsize, column, inside, count, places.ctypes.data, goal, check)

    @kernel
    def pack_panels(
        start: int, stop: int, address: int, column: int, line_at: Array, line_taps: Array, kind: int, packed: Array,
        checks: Array, run: int, group_columns: int, group_panels: int,
    ) -> None:  # fmt: skip
        """Pack panels ``start <= item < stop``; zero times each of their numbers is added up in `checks`."""
        slices, taps, slice_run, columns = packed.shape[1:]
        places = np.empty(length, np.int64)
        for item in range(start, stop):
            left = item % group_panels * columns
            present = min(columns, group_columns - left)
            base = address + (item // group_panels * group_columns + left) * column
            checks[item, :] = 0
            for part in range(slices):
                pack_slice(
                    base, column, line_at, line_taps, kind, present, part * slice_run,
                    min(run, (part + 1) * slice_run), taps, packed[item, part].ctypes.data, columns, slice_run,
                    places, checks[item].ctypes.data,
                )  # fmt: skip

    return pack_slice, pack_panels


PACKERS = {itemsize: _make(itemsize) for itemsize in (4, 8)}


def pack_kernel(described: Lines, w: Array, groups: int, shape: Shape, slice_run: int) -> tuple[Array, bool]:
    """Return the kernel in panels of as many columns as a tile has.

    Parameters
    ----------
    described : Lines
    w : ndarray, shape (KD, KH, KW, run, G * O')
        What `described` describes.
    groups : int
        ``G``.
    shape : Shape
    slice_run : int
        Channels of a slice.

    Returns
    -------
    packed : ndarray, shape (G * panels, slices, taps, slice_run, columns)
        C-contiguous; ``panels = ceil(O' / columns)``. What is beyond the channels of the last slice is not set; columns
        beyond the last are 0, or repeat others.
    finite : bool
        Whether `w` holds neither infinity nor NaN.
    """
    run, outputs = w.shape[3:]
    taps = w.shape[0] * w.shape[1] * w.shape[2]
    panels = groups * -(-(outputs // groups) // shape.columns)
    # Columns that no panel has are multiplied too: zeros, because denormal numbers would take their time.
    empty = np.zeros if (outputs // groups) % shape.columns else np.empty
    packed = empty((panels, -(-run // slice_run), taps, slice_run, shape.columns), w.dtype)
    checks = np.empty((panels, lanes(shape.itemsize)), w.dtype)
    parallel_for(
        PACKERS[shape.itemsize][1], panels, *described, packed, checks, run, outputs // groups, panels // groups,
        nanoseconds=packed.size / NUMBERS_PER_NANOSECOND,
    )  # fmt: skip
    return packed, not checks.any()
