"""Sums of matrix products whose terms are few enough to list: for sources of few channels.

`pixels` gives its tile a table of addresses: one for each tap and pixel. Where a tap has few channels, making the table
takes longer than the products. Here a pixel has one address, and each term, a channel at a tap, one distance from it,
which is the same for all pixels::

    y[pixel, :] = bias + sum over k of  number at (address[pixel] + distance[k]) * B[k, :]

The source may have any order in memory, channels-last or channels-first: only the distances differ. Padding would
make ends of rows and images different from the rest. So if there is any, the rows that a block of output pixels reads
are copied, with zeros at their ends, to memory that stays in the second-level cache, row by row as they lie. Rows of
the kernel that read padding only are left out, for a tile all of whose pixels agree on it.

An item of work is a block of output rows, or of pieces of long ones. Items own their outputs; every output is summed in
an order that depends on shapes alone.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from .emitter import lanes, register_count
from .gather import Gather, reaches
from .jit import kernel
from .moving import copy_padded
from .threads import parallel_for
from .tile import ramp, terms_tile
from .transposition import channels_last
from .workspace import scratch

Array = NDArray[Any]

FLOP_PER_NANOSECOND = 50.0

# Pixels of a block: so few that there are blocks for all threads, so many that the rows of the source which two blocks
# read are a small part of it.
BLOCK_PIXELS = 512

# A row of more pixels is computed in pieces.
MOST_PIECE_PIXELS = 512

# So many channels of the source at most; and so many if a tile has all columns of the result. Beyond, a table of
# addresses costs less than what the wider tiles of `pixels` save.
MOST_CHANNELS, MOST_CHANNELS_ONE_PANEL = 16, 24

# The same, if channels lie first, because `pixels` would take another pass over the source: so many terms, or channels.
MOST_TERMS_FIRST, MOST_CHANNELS_ONE_PANEL_FIRST = 288, 64


def serves(source: Array, dtype: np.dtype[Any], outputs: int, taps: int, groups: int) -> bool:
    """Whether results of so many channels, from `source` (N, D, H, W, C) and so many taps, are best computed here.

    That is, if tables of addresses would cost more than they give: the source has few channels; or if the result's
    would waste half of a vector.
    """
    if dtype.kind != "f" or groups > 1 or config.DISABLE_JIT:
        return False
    channels, length = source.shape[4], lanes(dtype.itemsize)
    if channels <= MOST_CHANNELS or outputs <= length // 2:
        return True
    one_panel = outputs <= 2 * length
    if source.strides[4] == source.itemsize:
        return one_panel and channels <= MOST_CHANNELS_ONE_PANEL
    return channels * taps <= MOST_TERMS_FIRST or (one_panel and channels <= MOST_CHANNELS_ONE_PANEL_FIRST)


@functools.cache
def _shape(itemsize: int, columns: int) -> tuple[int, tuple[int, ...]]:
    """Rows of the tile for so many columns, and the lanes of its vectors: those that waste the fewest.

    Half a vector takes half the time of a whole one, or less time than two of them, on all machines. Sums, a vector for
    each row's number, and those of the kernel fit into the registers together: LLVM loads all numbers of a step before
    it multiplies.
    """
    full = lanes(itemsize)
    half = max(4, full // 2)
    if columns <= half < full:
        lengths: tuple[int, ...] = (half,)
    else:
        choices = [(full,), (full, full), (full, half)]

        def waste(lengths: tuple[int, ...]) -> tuple[int, int, int]:
            panels = -(-columns // sum(lengths))
            return panels * sum(lengths), panels * len(lengths), panels

        lengths = min(choices, key=waste)
    return {32: {1: 10, 2: 9}, 16: {1: 7, 2: 4}}[register_count()][len(lengths)], lengths


# ---------------------------------------------------------------- the product


@functools.cache
def _make(itemsize: int, rows: int, lengths: tuple[int, ...]) -> Any:
    tile, copy, columns = terms_tile(itemsize, rows, lengths), copy_padded(itemsize), sum(lengths)

    @kernel
    def products(
        start: int, stop: int, memory: Array, source: int, target: Array, first_target: int, packed: Array,
        starts: Array, plan: Any, distances: Array, ranges: Array, rectify: int,
    ) -> None:  # fmt: skip
        """Compute blocks ``start <= item < stop`` of output lines, which are counted (n, d, piece, h).

        Assumptions: `source` is an address, `plan` a `Plan`; `target` (N, D', H', W', O), in which the first pixel lies
        `first_target` bytes from the beginning, `packed` (panels, KD, KH, KW, C, L) and `starts` (panels, L)
        are C-contiguous. `memory` is scratch for four integers a pixel, and behind them for what a block reads of the
        source, if that is not read where it lies.
        """
        source_n, source_d, source_h, source_run, source_w = plan.source
        memory_d, memory_h, memory_run, memory_w = plan.memory
        target_n, target_d, target_h, target_w = plan.target
        count_d, count_h, count_w = plan.counts
        step_d, step_h, step_w = plan.steps
        low_d, low_h, low_w = plan.lowest
        reach_d, reach_h, reach_w = plan.reach
        depth, height, width = plan.size
        runs, side = plan.runs
        block_lines, piece, all_lines, panels, outputs, pixels = plan.work
        terms = distances.size
        pieces = (count_w + piece - 1) // piece
        low, high = 2 * pixels, 3 * pixels
        distances_at, bases_at = distances.ctypes.data, memory.ctypes.data
        target_at, packed_at, starts_at = target.ctypes.data + first_target, packed.ctypes.data, starts.ctypes.data
        targets_at, copies_at = bases_at + 8 * pixels, bases_at + 32 * pixels
        copied = memory_w > 0
        pixel_bytes = memory_w if copied else source_w
        for item in range(start, stop):
            line = item * block_lines
            last = min(all_lines, line + block_lines)
            done, free = 0, copies_at
            # 1. Where each pixel reads and writes, and which terms each tile has: an image, or a part of it, at a time.
            while line < last:
                h = line % count_h
                rest = line // count_h
                at = rest % pieces * piece
                rest = rest // pieces
                d, n = rest % count_d, rest // count_d
                part, wide = min(count_h - h, last - line), min(piece, count_w - at)
                first_d, first_h, first_w = d * step_d + low_d, h * step_h + low_h, at * step_w + low_w
                base = source + n * source_n + first_d * source_d + first_h * source_h
                down = source_h
                if not copied:
                    base += first_w * source_w
                else:
                    begin, total = max(0, first_w), (wide - 1) * step_w + reach_w
                    present = max(0, min(width, first_w + total) - begin)
                    base += begin * source_w
                    for i in range(reach_d):
                        for j in range((part - 1) * step_h + reach_h):
                            inside = 0 <= first_d + i < depth and 0 <= first_h + j < height
                            for run in range(runs):
                                copy(
                                    base + i * source_d + j * source_h + run * source_run,
                                    free + i * memory_d + j * memory_h + run * memory_run,
                                    (begin - first_w) * side, present * side if inside else 0, total * side,
                                )  # fmt: skip
                    base, down = free, memory_h
                    free += reach_d * memory_d
                to = target_at + n * target_n + d * target_d + h * target_h + at * target_w
                for j in range(part):
                    ramp(bases_at + 8 * done, base + j * step_h * down, step_w * pixel_bytes, wide)
                    ramp(targets_at + 8 * done, to + j * target_h, target_w, wide)
                    first, end = ranges[0, d * count_h + h + j], ranges[1, d * count_h + h + j]
                    for t in range(done // rows, (done + wide - 1) // rows + 1):
                        if t * rows >= done or first < memory[low + t]:
                            memory[low + t] = first
                        if t * rows >= done or end > memory[high + t]:
                            memory[high + t] = end
                    done += wide
                line += part
            # The last tile may be larger than what is left: it computes its last pixel more than once.
            tiles = (done + rows - 1) // rows
            if tiles * rows > done:
                ramp(bases_at + 8 * done, memory[done - 1], 0, tiles * rows - done)
                ramp(targets_at + 8 * done, memory[pixels + done - 1], 0, tiles * rows - done)
            # 2. The product.
            for panel in range(panels):
                panel_at = packed_at + panel * terms * columns * itemsize
                for t in range(tiles):
                    first, end = memory[low + t], memory[high + t]
                    tile(
                        bases_at + t * rows * 8, distances_at + first * 8, end - first,
                        panel_at + first * columns * itemsize, starts_at + panel * columns * itemsize,
                        targets_at + t * rows * 8, panel * columns, outputs - panel * columns, rectify,
                    )  # fmt: skip

    return products


class Plan(NamedTuple):
    """What shapes and strides say about a product, for compiled code; distances in bytes.

    Attributes
    ----------
    source : tuple of 5 int
        Distances of images, depths, rows, runs and pixels. A *run* is what lies side by side: all channels of the
        pixels of a row, or the pixels of a row in one channel.
    memory : tuple of 4 int
        Distances of depths, rows, runs and pixels, in scratch memory.
    target : tuple of 4 int
        Distances of images, and of positions along depth, height and width.
    counts, steps : tuple of 3 int
        `Gather.positions` and `Gather.step`.
    lowest, reach : tuple of 3 int
        Along each axis, the lowest shift, and how many pixels taps span.
    size : tuple of 3 int
        Extents of the source.
    runs : tuple of 2 int
        Runs of a row, and numbers that a pixel has in a run.
    work : tuple of 6 int
        Lines of a block, pixels of a line, lines, panels, output channels; pixels of a block, and of a tile more.
    """

    source: tuple[int, int, int, int, int]
    memory: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    counts: tuple[int, int, int]
    steps: tuple[int, int, int]
    lowest: tuple[int, int, int]
    reach: tuple[int, int, int]
    size: tuple[int, int, int]
    runs: tuple[int, int]
    work: tuple[int, int, int, int, int, int]


class _Planned(NamedTuple):
    plan: Plan
    distances: Array  # (terms,)
    ranges: Array  # (2, D' * H'): the terms that lines have, from, and to
    blocks: int
    scratch_numbers: int  # int64 that hold the source of a block; 0: the source is read where it lies


@functools.lru_cache(maxsize=256)
def _plan(
    gather: Gather, shape: tuple[int, ...], strides: tuple[int, ...], target_strides: tuple[int, ...], outputs: int,
    itemsize: int,
) -> _Planned | None:  # fmt: skip
    """Plan a product; None if the source must be copied to channels-last order first."""
    rows, lengths = _shape(itemsize, outputs)
    images, *_, channels = shape
    source_n, source_d, source_h, source_w, source_c = strides
    (shifts_d, shifts_h, shifts_w), counts, steps = gather.shifts, gather.positions, gather.step
    lowest = min(shifts_d), min(shifts_h), min(shifts_w)
    reach = max(shifts_d) - lowest[0] + 1, max(shifts_h) - lowest[1] + 1, max(shifts_w) - lowest[2] + 1
    found, padded = reaches(gather)
    pieces = -(-counts[2] // MOST_PIECE_PIXELS)
    piece = -(-counts[2] // pieces)
    lines = images * counts[0] * counts[1] * pieces
    blocks = max(1, round(lines * piece / BLOCK_PIXELS))
    block_lines = -(-lines // blocks)
    blocks = -(-lines // block_lines)
    memory, runs, scratch_numbers = (0, 0, 0, 0), (1, 1), 0
    apart = source_d, source_h, source_w, source_c
    if padded:
        across = (piece - 1) * steps[2] + reach[2]
        down = (min(block_lines, counts[1]) - 1) * steps[1] + reach[1]
        last = (source_c == itemsize or channels == 1) and (source_w == channels * itemsize or shape[3] == 1)
        last = last or 0 in shape  # nothing is read
        if not last and source_w != itemsize and shape[3] > 1:
            return None
        runs = (1, channels) if last else (channels, 1)
        row = across * channels * itemsize
        memory = (down * row, row, across * itemsize, runs[1] * itemsize)
        apart = (*memory[:2], memory[3], itemsize if last else memory[2])
        parts = min(block_lines, block_lines // counts[1] + 2)
        scratch_numbers = -(-(parts * reach[0] * memory[0] + lanes(itemsize) * itemsize) // 8)
    axes = [np.array(shifts) - low for shifts, low in zip(gather.shifts, lowest)]
    distances = (
        axes[0][:, None, None, None] * apart[0] + axes[1][:, None, None] * apart[1] + axes[2][:, None] * apart[2]
        + np.arange(channels) * apart[3]
    )  # fmt: skip
    # Taps of lines: from the first to the last one that any depth and height have.
    row_terms = len(shifts_w) * channels
    (low_d, high_d), (low_h, high_h) = ((reach.low[reach.classes], reach.high[reach.classes]) for reach in found[:2])
    none = (low_d >= high_d)[:, None] | (low_h >= high_h)
    ranges = np.stack([
        np.where(none, 0, low_d[:, None] * len(shifts_h) + low_h),
        np.where(none, 1, (high_d[:, None] - 1) * len(shifts_h) + high_h),
    ]).reshape(2, -1) * row_terms  # fmt: skip
    target_n, target_d, target_h, target_w = target_strides
    out_d, out_h, out_w = gather.target_step
    plan = Plan(
        (source_n, source_d, source_h, source_c if runs[0] > 1 else 0, source_w), memory,
        (target_n, out_d * target_d, out_h * target_h, out_w * target_w),
        counts, steps, lowest, reach, gather.size, runs,
        (block_lines, piece, lines, -(-outputs // sum(lengths)), outputs, block_lines * piece + rows),
    )  # fmt: skip
    return _Planned(plan, distances.ravel(), ranges, blocks, scratch_numbers)


def _all_finite(array: Array) -> bool:
    """Whether an array that is C-contiguous holds neither infinity nor NaN."""
    flat = array.reshape(-1)
    return math.isfinite(np.dot(flat, flat)) or bool(np.isfinite(array).all())  # the sum of squares may overflow


def multiply(source: Array, w: Array, bias: Array | None, target: Array, gather: Gather, rectify: bool = False) -> bool:
    """Compute the pixels of `target` that `gather` names.

    Parameters
    ----------
    source : ndarray, shape (N, D, H, W, C)
        Any strides; read fastest if channels or pixels of a row lie side by side.
    w : ndarray, shape (KD, KH, KW, C, O), any strides
    bias : ndarray, shape (O,), or None
    target : ndarray, shape (N, D', H', W', O), C-contiguous
        Modified in place.
    gather : Gather
    rectify : bool
        Whether to put 0 in place of what is 0 or less.

    Returns
    -------
    bool
        False if nothing was computed: rows end with zeros for padding, whose product with an infinite or NaN element of
        the kernel is not 0.
    """
    dtype, itemsize = target.dtype, target.itemsize
    if source.dtype != dtype or not source.dtype.isnative or not source.flags.aligned:
        source = channels_last(source, dtype)
    outputs = target.shape[4]
    if 0 in gather.positions or source.shape[0] == 0:
        return True
    planned = _plan(gather, source.shape, source.strides, target.strides[:4], outputs, itemsize)
    if planned is None:
        source = channels_last(source, dtype)
        planned = _plan(gather, source.shape, source.strides, target.strides[:4], outputs, itemsize)
        assert planned is not None
    plan, distances, ranges, blocks, scratch_numbers = planned
    rows, lengths = _shape(itemsize, outputs)
    columns, panels, pixels = sum(lengths), plan.work[3], plan.work[5]
    starts = np.zeros((panels, columns), dtype)
    if bias is not None:
        starts.reshape(-1)[:outputs] = bias
    # Columns beyond the last are multiplied too: zeros, because denormal numbers would take their time.
    packed = (np.empty if outputs == panels * columns else np.zeros)((panels, *w.shape[:4], columns), dtype)
    for panel in range(panels):
        part = w[..., panel * columns : (panel + 1) * columns]
        packed[panel, ..., : part.shape[4]] = part
    if scratch_numbers and not _all_finite(packed):
        return False
    first = sum(place * stride for place, stride in zip(gather.target_first, target.strides[1:4]))
    args = source.ctypes.data, target, first, packed, starts, plan, distances, ranges, int(rectify)
    loop = _make(itemsize, rows, lengths)

    def items(start: int, stop: int) -> None:
        with scratch((4 * pixels + scratch_numbers,), np.int64) as memory:
            loop(start, stop, memory, *args)

    flop = 2 * blocks * pixels * distances.size * outputs
    parallel_for(items, blocks, nanoseconds=flop / FLOP_PER_NANOSECOND)
    return True
