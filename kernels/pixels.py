"""Sums of matrix products whose rows are pixels and whose columns are channels: the loop around `tile.gather_tile`.

The left operand is nowhere stored: a table gives the tile the addresses of the pixels that each tap reads. Pixels of
which some taps lie in padding come, within a block, one kind after the other, so that the tiles of most of them leave
those taps out: at 7 x 7 pixels and 3 x 3 taps that is a sixth of the work. Where a tile holds pixels of two kinds, and
a tap is outside for some of them, those read a pixel of zeros.

Blocking, from the inside outwards:

1. a tile: R pixels by V vectors of output channels stay in registers;
2. a slice of the packed kernel (`packing`) stays in the second-level cache while the tiles of a block of pixels go over
   it;
3. an item of work: a block of pixels and a panel. Items own their outputs; every output is summed in an order that
   depends on shapes alone.

If there is one block only, each panel of the kernel is read by one item. That item packs it, slice by slice, just
before it is multiplied: a packed kernel of some megabytes is then neither written to memory nor read from it. Unless a
kernel that was packed before is at hand (`keeping`).
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .emitter import Shape, lanes, tile_shape
from .gather import Gather, Reach, reaches
from .jit import kernel
from .keeping import Kept
from .packing import PACKERS, lines, pack_kernel
from .threads import parallel_for
from .tile import gather_tile, ramp, shift_tile

Array = NDArray[Any]

# What tiles do in a nanosecond on one core: only to tell small work from large.
FLOP_PER_NANOSECOND = 100.0

# A slice of the packed kernel: a quarter of a second-level cache of 1 MiB, which also holds pixels.
SLICE_BYTES = 256 * 1024

# Pixels of a block: so many that loading a slice from the third-level cache (about 10 GB/s a core) takes a small
# part of the time in which they are multiplied with it, at 2 * pixels flop for each number loaded.
BLOCK_PIXELS = 384


@functools.cache
def _make(shape: Shape) -> Any:
    tile, (pack_slice, _) = gather_tile(shape), PACKERS[shape.itemsize]
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize
    fill = shift_tile(rows)
    length = lanes(itemsize)

    @kernel
    def products(
        start: int, stop: int, source: Array, target: Array, packed: Array, starts: Array, checks: Array,
        nothing: Array, weights: Any, geometry: Any, reach_d: Any, reach_h: Any, reach_w: Any, padded: bool,
        block_tiles: int, groups: int, run: int, fused: bool, rectify: int,
    ) -> None:  # fmt: skip
        """Compute items ``start <= item < stop``: a block of ``block_tiles * R`` pixels, by a panel of columns.

        Assumptions: `source` (N, D, H, W, C) and `target` (N, D', H', W', O) are C-contiguous; a tap reads `run`
        numbers, which begin at the group's first channel; `nothing` is a pixel of zeros. `packed` is what
        `pack_kernel` gives; if `fused`, only its shape counts, and a slice of it is packed when it is needed.
        """
        count_d, count_h, count_w = geometry[0]
        step_d, step_h, step_w = geometry[1]
        out_d, out_h, out_w = geometry[2]
        first_d, first_h, first_w = geometry[3]
        shift_d, class_d, low_d, high_d = reach_d
        shift_h, class_h, low_h, high_h = reach_h
        shift_w, class_w, low_w, high_w = reach_w
        taps_d, taps_h, taps_w = shift_d.size, shift_h.size, shift_w.size
        classes_h, classes_w = low_h.size, low_w.size
        panels = checks.shape[0]
        slices, taps, slice_run = packed.shape[1], packed.shape[2], packed.shape[3]
        group_panels = panels // groups
        group_columns = target.shape[4] // groups
        group_source = source.shape[4] // groups
        pixels = source.shape[0] * count_d * count_h * count_w
        source_base, target_base, zeros = source.ctypes.data, target.ctypes.data, nothing.ctypes.data
        stride_w = source.shape[4] * itemsize
        stride_h = source.shape[3] * stride_w
        stride_d = source.shape[2] * stride_h
        stride_n = source.shape[1] * stride_d
        target_w = target.shape[4] * itemsize
        target_h = target.shape[3] * target_w
        target_d = target.shape[2] * target_h
        target_n = target.shape[1] * target_d
        matrix_bytes = slice_run * columns * itemsize
        slice_bytes = taps * matrix_bytes
        offsets = np.empty(taps, np.int64)
        tap = 0
        for kd in range(taps_d):
            for kh in range(taps_h):
                for kw in range(taps_w):
                    offsets[tap] = shift_d[kd] * stride_d + shift_h[kh] * stride_h + shift_w[kw] * stride_w
                    tap += 1
        table = np.empty((taps, rows + 1), np.int64)
        table_base, line_bytes = table.ctypes.data, (rows + 1) * 8
        boxes, alone = np.empty((block_tiles, 6), np.int64), np.empty(block_tiles, np.bool_)
        most = block_tiles * rows
        bases, places, kinds = np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(most, np.int64)
        sorted_bases, sorted_places, sorted_kinds = np.empty_like(bases), np.empty_like(bases), np.zeros_like(bases)
        ends = np.empty(low_d.size * classes_h * classes_w + 1, np.int64)
        # Which taps pixels of each kind read. Kinds that follow each other differ along one axis: in every other row of
        # classes, those along the width come backwards.
        ranges = np.empty((low_d.size * classes_h * classes_w, 6), np.int64)
        for row_kind in range(low_d.size * classes_h):
            d, h = row_kind // classes_h, row_kind % classes_h
            for w in range(classes_w):
                kind = row_kind * classes_w + (w if row_kind % 2 == 0 else classes_w - 1 - w)
                ranges[kind, 0], ranges[kind, 1] = low_d[d], high_d[d]
                ranges[kind, 2], ranges[kind, 3] = low_h[h], high_h[h]
                ranges[kind, 4], ranges[kind, 5] = low_w[w], high_w[w]
        at = np.empty(length, np.int64)
        buffer = np.zeros(slice_bytes // itemsize if fused else 1, source.dtype)
        block = -1
        tiles, bases_at, places_at = 0, 0, 0
        for item in range(start, stop):
            panel = item % panels
            group = panel // group_panels
            left = panel % group_panels * columns
            if item // panels != block:
                block = item // panels
                first = block * most
                count = min(most, pixels - first)
                tiles = (count + rows - 1) // rows
                # 1. Where each pixel reads and writes, a row of pixels at a time.
                w_at = first % count_w
                rest = first // count_w
                h_at = rest % count_h
                rest = rest // count_h
                d_at = rest % count_d
                n = rest // count_d
                done, mixed = 0, False
                bases_at, places_at, kinds_at = bases.ctypes.data, places.ctypes.data, kinds.ctypes.data
                while done < count:
                    part = min(count - done, count_w - w_at)
                    from_ = (
                        source_base + n * stride_n + d_at * step_d * stride_d + h_at * step_h * stride_h
                        + w_at * step_w * stride_w
                    )  # fmt: skip
                    to = (
                        target_base + n * target_n + (d_at * out_d + first_d) * target_d
                        + (h_at * out_h + first_h) * target_h + (w_at * out_w + first_w) * target_w
                    )  # fmt: skip
                    ramp(bases_at + 8 * done, from_, step_w * stride_w, part)
                    ramp(places_at + 8 * done, to, out_w * target_w, part)
                    if padded:
                        row_kind = class_d[d_at] * classes_h + class_h[h_at]
                        sign = 1 if row_kind % 2 == 0 else -1
                        kind = row_kind * classes_w + (0 if sign == 1 else classes_w - 1)
                        if classes_w == 1:
                            ramp(kinds_at + 8 * done, kind, 0, part)
                        else:
                            for i in range(part):
                                kinds[done + i] = kind + sign * class_w[w_at + i]
                        mixed = mixed or classes_w > 1 or kind != kinds[0]
                    done += part
                    w_at = 0
                    h_at += 1
                    if h_at == count_h:
                        h_at = 0
                        d_at += 1
                        if d_at == count_d:
                            d_at = 0
                            n += 1
                # 2. Pixels of one kind together: a counting sort.
                if mixed:
                    ends[:] = 0
                    for kind in kinds[:count]:
                        ends[kind + 1] += 1
                    for kind in range(1, ends.size):
                        ends[kind] += ends[kind - 1]
                    for i in range(count):
                        kind = kinds[i]
                        to = ends[kind]
                        ends[kind] = to + 1
                        sorted_bases[to], sorted_places[to], sorted_kinds[to] = bases[i], places[i], kind
                    bases, sorted_bases = sorted_bases, bases
                    places, sorted_places = sorted_places, places
                    kinds, sorted_kinds = sorted_kinds, kinds
                # 3. Which taps each tile reads: those of all its pixels' kinds. The last tile may be larger than what
                # is left: it computes its first pixel more than once.
                for i in range(count, tiles * rows):
                    alike = (tiles - 1) * rows
                    bases[i], places[i], kinds[i] = bases[alike], places[alike], kinds[alike]
                bases_at, places_at = bases.ctypes.data, places.ctypes.data
                for t in range(tiles):
                    kind = kinds[t * rows]
                    for end in range(6):
                        boxes[t, end] = ranges[kind, end]
                    alone[t] = True
                    if mixed:
                        for r in range(1, rows):
                            other = kinds[t * rows + r]
                            if other != kind:
                                alone[t] = False
                                for axis in range(0, 6, 2):
                                    low, high = ranges[other, axis], ranges[other, axis + 1]
                                    if boxes[t, axis] >= boxes[t, axis + 1]:
                                        boxes[t, axis], boxes[t, axis + 1] = low, high
                                    elif low < high:
                                        boxes[t, axis] = min(boxes[t, axis], low)
                                        boxes[t, axis + 1] = max(boxes[t, axis + 1], high)
            # 4. The product.
            present = min(columns, group_columns - left)
            channel = group * group_source
            for part in range(slices):
                skip = part * slice_run
                numbers = min(slice_run, run - skip)
                if fused:
                    matrices = buffer.ctypes.data
                    address = weights[0] + (group * group_columns + left) * weights[1]
                    pack_slice(
                        address, weights[1], weights[2], weights[3], weights[4], present, skip, skip + numbers, taps,
                        matrices, columns, slice_run, at, checks[panel].ctypes.data,
                    )  # fmt: skip
                else:
                    matrices = packed[panel, part].ctypes.data
                begin = starts[panel].ctypes.data if part == 0 else 0  # 0: add to what is there
                finish = rectify if part == slices - 1 else 0
                for t in range(tiles):
                    # Its table is made anew, which takes little time; those of all tiles would fill a cache.
                    base = bases_at + t * rows * 8
                    line = table_base
                    for kd in range(boxes[t, 0], boxes[t, 1]):
                        for kh in range(boxes[t, 2], boxes[t, 3]):
                            for kw in range(boxes[t, 4], boxes[t, 5]):
                                tap = (kd * taps_h + kh) * taps_w + kw
                                fill(base, offsets[tap], line, tap * matrix_bytes)
                                line += line_bytes
                    used = (line - table_base) // line_bytes
                    if used == 0:  # all is padding
                        table[0, :rows] = zeros
                        table[0, rows] = 0
                        used = 1
                    elif not alone[t]:
                        for r in range(rows):
                            kind = kinds[t * rows + r]
                            place = 0
                            for kd in range(boxes[t, 0], boxes[t, 1]):
                                for kh in range(boxes[t, 2], boxes[t, 3]):
                                    inside = (
                                        ranges[kind, 0] <= kd and kd < ranges[kind, 1]
                                        and ranges[kind, 2] <= kh and kh < ranges[kind, 3]
                                    )  # fmt: skip
                                    for kw in range(boxes[t, 4], boxes[t, 5]):
                                        if not inside or kw < ranges[kind, 4] or kw >= ranges[kind, 5]:
                                            table[place, r] = zeros
                                        place += 1
                    tile(
                        table_base, used, numbers, channel + skip, matrices, begin, places_at + t * rows * 8,
                        group * group_columns + left, present, finish,
                    )  # fmt: skip

    return products


def multiply(
    source: Array, w: Array, bias: Array | None, target: Array, gather: Gather, groups: int, rectify: bool = False,
    kept: Kept | None = None,
) -> bool:  # fmt: skip
    """Compute the pixels of `target` that `gather` names.

    Parameters
    ----------
    source : ndarray, shape (N, D, H, W, C), C-contiguous
    w : ndarray, shape (KD, KH, KW, run, O)
        Any strides; ``run = C / G``, or ``KW * C`` if a kernel row is merged into one tap.
    bias : ndarray, shape (O,), or None
    target : ndarray, shape (N, D', H', W', O), C-contiguous
        Modified in place.
    gather : Gather
    groups : int
    rectify : bool
        Whether to put 0 in place of what is 0 or less.
    kept : Kept, optional
        Where the packed kernel may be kept.

    Returns
    -------
    bool
        False if `target` must be computed in another way: padding may be a pixel of zeros here, whose product with an
        infinite or NaN element of the kernel is not 0.
    """
    run, outputs = w.shape[3:]
    plan = _plan(source.itemsize, source.shape[0], source.shape[4], run, outputs, groups, gather)
    if plan is None:
        return True
    starts = plan.zeros
    if bias is not None:
        starts = np.zeros_like(starts)
        starts.reshape(groups, -1)[:, : outputs // groups] = bias.reshape(groups, -1)
    checks = np.zeros((plan.panels, lanes(source.itemsize)), source.dtype)
    described, placed = lines(w)

    def pack() -> tuple[Array, bool]:
        return pack_kernel(described, placed, groups, plan.shape, plan.slice_run)

    found = None
    if kept is not None:
        size = plan.panels * math.prod(plan.packed.shape[1:]) * source.itemsize
        found = kept.get(w, ("pixels", groups, plan.shape, plan.slice_run), size, pack)
    fused = plan.fused and found is None
    packed, finite = (plan.packed, True) if fused else found or pack()
    if plan.padded and not finite:
        return False
    parallel_for(
        plan.loop, plan.blocks * plan.panels, source, target, packed, starts, checks, plan.nothing, described,
        plan.geometry, *plan.reach, plan.padded, plan.tiles, groups, run, fused, int(rectify),
        nanoseconds=plan.nanoseconds,
    )  # fmt: skip
    return not (fused and plan.padded and checks.any())


class _Plan(NamedTuple):
    """What `multiply` does with arrays of some shapes. The arrays in it are read only.

    Attributes
    ----------
    shape, loop
        The tile's, and the compiled loop around it.
    panels, blocks, tiles : int
        Panels of the kernel, blocks of pixels, and tiles of a block.
    slice_run : int
        Terms of a slice.
    fused : bool
        Whether panels are packed where they are multiplied, unless a packed kernel is at hand.
    geometry, reach, padded
        What the loop takes under these names.
    zeros : ndarray, shape (panels, columns)
        What sums begin with if there is no bias.
    nothing : ndarray
        A pixel of zeros.
    packed : ndarray
        Has the shape of a packed kernel without any panels.
    nanoseconds : float
    """

    shape: Shape
    loop: Any
    panels: int
    blocks: int
    tiles: int
    slice_run: int
    fused: bool
    geometry: tuple[tuple[int, int, int], ...]
    reach: tuple[Reach, Reach, Reach]
    padded: bool
    zeros: Array
    nothing: Array
    packed: Array
    nanoseconds: float


@functools.lru_cache(maxsize=512)
def _plan(
    itemsize: int, batch: int, channels: int, run: int, outputs: int, groups: int, gather: Gather
) -> _Plan | None:
    """The plan for `batch` sources of so many channels and a kernel of so many outputs; None if there is no pixel."""
    pixels = batch * gather.positions[0] * gather.positions[1] * gather.positions[2]
    if pixels == 0:
        return None
    per_group, dtype = outputs // groups, np.dtype(f"f{itemsize}")
    shape = tile_shape(itemsize, per_group)
    panels = groups * -(-per_group // shape.columns)
    slices = -(-run // max(1, SLICE_BYTES // (gather.taps * shape.columns * itemsize)))
    slice_run = -(-run // slices)
    slices = -(-run // slice_run)
    all_tiles = -(-pixels // shape.rows)
    blocks = max(1, round(all_tiles * shape.rows / BLOCK_PIXELS))
    tiles = -(-all_tiles // blocks)
    blocks = -(-all_tiles // tiles)
    reach, padded = reaches(gather)
    return _Plan(
        shape, _make(shape), panels, blocks, tiles, slice_run, blocks == 1,
        (gather.positions, gather.step, gather.target_step, gather.target_first), reach, padded,
        np.zeros((panels, shape.columns), dtype), np.zeros(max(run, channels), dtype),
        np.empty((0, slices, gather.taps, slice_run, shape.columns), dtype),
        2 * pixels * gather.taps * run * outputs / FLOP_PER_NANOSECOND,
    )  # fmt: skip
