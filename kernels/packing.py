"""The kernel of a convolution, in the order in which a tile reads it.

A tile of V vectors of columns (output channels) reads, for each tap and each input channel, V vectors. A *panel* holds
the columns of one tile; a *slice* of it the channels of all taps that fit into a part of the second-level cache::

    packed (panels, slices, taps, slice_run, V * L)

Kernels come as OIHW or HWIO, and for the input gradient with input and output channels exchanged. Where the columns
lie side by side, whole vectors are copied; else what does lie side by side is a *line* (channels of a tap, taps of a
channel, or both), and blocks of L lines by L numbers are transposed in registers.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
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
    taps, channels = w.shape[0] * w.shape[1] * w.shape[2], w.shape[3]
    size = w.itemsize
    if not (w.flags.aligned and w.dtype.isnative):
        w = contiguous(w, w.dtype.newbyteorder("="))
    tap_strides = [stride for stride, length in zip(w.strides[:3], w.shape[:3]) if length > 1]
    at = _offsets(w.shape[:3], w.strides[:3])
    run, column = w.strides[3], w.strides[4]
    if channels == 1:
        run = 0
    if column != size and w.shape[4] > 1 and run != size:
        smallest, span = int(at.min(initial=0)), int(at.max(initial=0)) // size + 1
        if smallest == 0 and span <= 4 * taps and all(stride % size == 0 for stride in tap_strides):
            slots = np.full(span, -1, np.int64)
            slots[at // size] = np.arange(taps)
            if run == span * size:
                return Lines(w.ctypes.data, column, np.zeros(1, np.int64), slots, _BOTH), w
            return Lines(w.ctypes.data, column, np.arange(channels) * run, slots, _TAPS), w
        w = np.ascontiguousarray(w)
        at, run, column = _offsets(w.shape[:3], w.strides[:3]), w.strides[3], size
    no_taps = np.zeros(1, np.int64)
    if column == size or w.shape[4] == 1:
        where = (np.arange(channels)[:, None] * run + at).ravel()
        return Lines(w.ctypes.data, column, where, no_taps, _COLUMNS), w
    return Lines(w.ctypes.data, column, at, no_taps, _CHANNELS), w


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
                    scatter(
                        source + line_at[q] + p * itemsize, column, inside, count, places.ctypes.data, goal, check
                    )

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


def pack_kernel(w: Array, groups: int, shape: Shape, slice_run: int) -> tuple[Array, bool]:
    """Return the kernel in panels of as many columns as a tile has.

    Parameters
    ----------
    w : ndarray, shape (KD, KH, KW, run, G * O')
        Any strides.
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
    described, alive = lines(w)
    parallel_for(
        PACKERS[shape.itemsize][1], panels, *described, packed, checks, run, outputs // groups, panels // groups,
        nanoseconds=packed.size / NUMBERS_PER_NANOSECOND,
    )  # fmt: skip
    del alive
    return packed, not checks.any()
