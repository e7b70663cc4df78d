"""Correlation and input gradient as sums of matrix products, computed in register tiles.

For a fixed tap, correlation is a matrix product: of the pixels that the tap reads (rows; columns are input
channels) and of the tap's matrix (input channels by output channels). Summing over taps only makes the rows
longer: ``y[pixel, :] = sum over (tap, c) of x[place(pixel, tap), c] * w[tap, c, :]``. So there is one product
with ``taps * C`` terms whose left operand is not stored anywhere, but looked up: `tile.product_tile` takes the
addresses of pixels from a table. A pixel outside the input is the address of a row of zeros.

The input gradient is the same sum over other pixels: ``gx[h]`` takes the taps ``u`` for which ``h + P - u*D`` is a
multiple of the stride. Those are the same for all ``h`` with the same ``h mod S`` (a *phase*), so each phase is
one such product, over its taps only, and nothing is multiplied by an inserted zero.

Small groups, and depthwise convolution, have rooms of their own: `grouped` and `planes`.

Both are a `Gather`: along each axis, position ``i`` and tap ``u`` read the source at ``i * step + shift[u]``, and
write the target at ``i * target_step + target_first``.

Blocking, from the inside outwards (sizes are constants below):

1. a tile: R pixels by V vectors of output channels stay in registers;
2. a *slice* of the packed matrix (some taps, some channels, one panel of V vectors of columns) stays in the
   second-level cache while the tiles of a block of pixels go over it;
3. an item of work: a block of pixels and a panel. Items own their outputs; every output is summed in an order
   that depends on shapes alone.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .emitter import Shape, lanes, tile_shape
from .geometry import Window
from .jit import SUM_FLAGS, kernel
from .threads import parallel_for
from .tile import product_tile, transpose_tile

Array = NDArray[Any]

# What tiles do in a nanosecond on one core: only to tell small work from large.
FLOP_PER_NANOSECOND = 100.0

# A slice of the packed matrix: a quarter of a second-level cache of 1 MiB, which also holds pixels.
SLICE_BYTES = 256 * 1024

# Pixels of a block: so many that loading a slice from the third-level cache (about 10 GB/s a core) takes a small
# part of the time in which they are multiplied with it, at 2 * pixels flop for each number loaded.
BLOCK_PIXELS = 192

# With fewer bytes of channels than this, looking up addresses costs more than it gives, and the taps of a
# kernel row are merged into one run of KW * C numbers.
MERGE_BELOW_BYTES = 64


class Gather(NamedTuple):
    """Which source pixel a target pixel needs for each tap, along depth, height and width.

    Attributes
    ----------
    positions : tuple of 3 int
        How many along each axis.
    step : tuple of 3 int
        Distance, in the source, of neighbouring positions.
    shifts : tuple of 3 tuples of int
        For each tap, where in the source position 0 reads.
    size : tuple of 3 int
        Extents of the source.
    target_step, target_first : tuple of 3 int
        Where in the target the positions lie.
    """

    positions: tuple[int, int, int]
    step: tuple[int, int, int]
    shifts: tuple[tuple[int, ...], ...]
    size: tuple[int, int, int]
    target_step: tuple[int, int, int]
    target_first: tuple[int, int, int]

    @property
    def taps(self) -> int:
        """Number of taps."""
        return len(self.shifts[0]) * len(self.shifts[1]) * len(self.shifts[2])


# ---------------------------------------------------------------- packing


@kernel(fastmath=SUM_FLAGS)
def _copy_row(source: Array, target: Array) -> float:
    """Copy a row; return 0 if all of its numbers are finite, else NaN."""
    total = source[0] * 0
    for k in range(source.size):
        value = source[k]
        target[k] = value
        total += value * 0
    return total


def _make_pack(itemsize: int) -> Any:
    tile, length = transpose_tile(itemsize), lanes(itemsize)

    @kernel
    def pack_panels(
        start: int, stop: int, w: Array, packed: Array, finite: Array, group_columns: int, panels: int, rows: bool
    ) -> None:
        """Write panels ``start <= item < stop`` of `packed` (G * panels, taps, run, columns) from `w` (taps, run, O).

        Columns beyond those of the group are 0. Whether all numbers of a panel are finite goes to `finite`. If
        `rows`, the taps and then the run lie side by side in memory, as in a kernel OIHW: blocks of L by L numbers
        are transposed in registers.
        """
        taps, run = w.shape[0], w.shape[1]
        columns = packed.shape[3]
        scratch = np.empty((length, length), w.dtype)
        for item in range(start, stop):
            group, panel = item // panels, item % panels
            first = panel * columns
            present = min(columns, group_columns - first)
            base = group * group_columns + first
            total = w[0, 0, 0] * 0
            for low in range(0, columns, length):
                inside = max(0, min(length, present - low))
                done = 0
                if rows and inside == length:
                    done = taps * run - taps * run % length
                    distance = taps * run
                    for k in range(0, done, length):
                        tile(w[k % taps, k // taps, base + low :].ctypes.data, distance, scratch.ctypes.data, length)
                        for line in range(length):
                            c, tap = (k + line) // taps, (k + line) % taps
                            total += _copy_row(scratch[line], packed[item, tap, c, low : low + length])
                for k in range(done, taps * run):
                    c, tap = k // taps, k % taps
                    for o in range(inside):
                        value = w[tap, c, base + low + o]
                        packed[item, tap, c, low + o] = value
                        total += value * 0
                    for o in range(inside, length):
                        packed[item, tap, c, low + o] = 0
            finite[item] = total == 0

    return pack_panels


_PACK = {itemsize: _make_pack(itemsize) for itemsize in (4, 8)}


def pack(w: Array, groups: int, shape: Shape) -> tuple[Array, bool]:
    """Return the matrices of all taps in panels of as many columns as a tile has.

    Parameters
    ----------
    w : ndarray, shape (taps, run, G * O')
        Any strides.
    groups : int
        ``G``.
    shape : Shape

    Returns
    -------
    packed : ndarray, shape (G * panels, taps, run, columns)
        C-contiguous; ``panels = ceil(O' / columns)``.
    finite : bool
        Whether `w` holds neither infinity nor NaN.
    """
    taps, run, outputs = w.shape
    group_columns = outputs // groups
    panels = -(-group_columns // shape.columns)
    packed = np.empty((groups * panels, taps, run, shape.columns), w.dtype)
    if not w.flags.writeable:
        w = np.array(w)
    rows = w.strides == (w.itemsize, taps * w.itemsize, taps * run * w.itemsize)
    finite = np.empty(groups * panels, np.bool_)
    parallel_for(
        _PACK[shape.itemsize], groups * panels, w, packed, finite, group_columns, panels, rows,
        nanoseconds=packed.size / 2,
    )  # fmt: skip
    return packed, bool(finite.all())


# ---------------------------------------------------------------- the product


@functools.cache
def _make(shape: Shape) -> Any:
    tile = product_tile(shape)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize

    @kernel
    def products(
        start: int, stop: int, source: Array, packed: Array, starts: Array, target: Array, nothing: Array,
        gather: Any, shift_d: Array, shift_h: Array, shift_w: Array, block_tiles: int, groups: int, slice_taps: int,
        slice_run: int,
    ) -> None:  # fmt: skip
        """Compute items ``start <= item < stop``: a block of ``block_tiles * R`` pixels, by a panel of columns.

        Assumptions: `source` (N, D, H, W, C) and `target` (N, D', H', W', O) are C-contiguous; a tap reads
        ``packed.shape[2]`` numbers, which begin at the group's first channel; `nothing` is a pixel of zeros.
        """
        count_d, count_h, count_w = gather[0]
        step_d, step_h, step_w = gather[1]
        depth, height, width = gather[3]
        out_d, out_h, out_w = gather[4]
        first_d, first_h, first_w = gather[5]
        taps_d, taps_h, taps_w = shift_d.size, shift_h.size, shift_w.size
        taps, run = packed.shape[1], packed.shape[2]
        panels = packed.shape[0]
        group_panels = panels // groups
        group_columns = target.shape[4] // groups
        group_source = source.shape[4] // groups
        pixels = source.shape[0] * count_d * count_h * count_w
        source_base, target_base = source.ctypes.data, target.ctypes.data
        packed_base, start_base = packed.ctypes.data, starts.ctypes.data
        zeros = nothing.ctypes.data
        stride_w = source.shape[4] * itemsize
        stride_h = source.shape[3] * stride_w
        stride_d = source.shape[2] * stride_h
        stride_n = source.shape[1] * stride_d
        target_w = target.shape[4] * itemsize
        target_h = target.shape[3] * target_w
        target_d = target.shape[2] * target_h
        target_n = target.shape[1] * target_d
        table = np.empty((block_tiles, taps, rows), np.int64)
        place = np.empty((block_tiles, rows), np.int64)
        here = np.empty((block_tiles, rows), np.int64)
        dump = np.empty(columns, source.dtype)
        # Pixels whose taps are all inside read at fixed distances from each other.
        offsets = np.empty(taps, np.int64)
        tap = 0
        for kd in range(taps_d):
            for kh in range(taps_h):
                for kw in range(taps_w):
                    offsets[tap] = shift_d[kd] * stride_d + shift_h[kh] * stride_h + shift_w[kw] * stride_w
                    tap += 1
        low_d, high_d = -shift_d.min(), depth - shift_d.max()
        low_h, high_h = -shift_h.min(), height - shift_h.max()
        low_w, high_w = -shift_w.min(), width - shift_w.max()
        block = -1
        tiles = 0
        for item in range(start, stop):
            panel = item % panels
            group = panel // group_panels
            left = panel % group_panels * columns
            if item // panels != block:
                block = item // panels
                first = block * block_tiles * rows
                last = min(first + block_tiles * rows, pixels)
                tiles = (last - first + rows - 1) // rows
                w_at = first % count_w
                rest = first // count_w
                h_at = rest % count_h
                rest = rest // count_h
                d_at = rest % count_d
                n = rest // count_d
                t, r = 0, 0
                for _ in range(first, last):
                    place[t, r] = (
                        target_base + n * target_n + (d_at * out_d + first_d) * target_d
                        + (h_at * out_h + first_h) * target_h + (w_at * out_w + first_w) * target_w
                    )  # fmt: skip
                    d_0, h_0, w_0 = d_at * step_d, h_at * step_h, w_at * step_w
                    base = source_base + n * stride_n + d_0 * stride_d + h_0 * stride_h + w_0 * stride_w
                    if (
                        d_0 >= low_d and d_0 < high_d and h_0 >= low_h and h_0 < high_h
                        and w_0 >= low_w and w_0 < high_w
                    ):  # fmt: skip
                        for tap in range(taps):
                            table[t, tap, r] = base + offsets[tap]
                    else:
                        tap = 0
                        for kd in range(taps_d):
                            d = d_0 + shift_d[kd]
                            for kh in range(taps_h):
                                h = h_0 + shift_h[kh]
                                seen = d >= 0 and d < depth and h >= 0 and h < height
                                for kw in range(taps_w):
                                    w = w_0 + shift_w[kw]
                                    seen_too = seen and w >= 0 and w < width
                                    table[t, tap, r] = base + offsets[tap] if seen_too else zeros
                                    tap += 1
                    # The next pixel, without dividing.
                    r += 1
                    if r == rows:
                        r = 0
                        t += 1
                    w_at += 1
                    if w_at == count_w:
                        w_at = 0
                        h_at += 1
                        if h_at == count_h:
                            h_at = 0
                            d_at += 1
                            if d_at == count_d:
                                d_at = 0
                                n += 1
                if r > 0:  # the last tile is larger than what is left: it computes its first pixel again, for nothing
                    for spare in range(r, rows):
                        place[t, spare] = -1
                        for tap in range(taps):
                            table[t, tap, spare] = table[t, tap, 0]
            offset = (group * group_columns + left) * itemsize
            for t in range(tiles):
                for r in range(rows):
                    here[t, r] = place[t, r] + offset if place[t, r] != -1 else dump.ctypes.data
            present = min(columns, group_columns - left)
            panel_base = packed_base + panel * taps * run * columns * itemsize
            channel = group * group_source
            begin = start_base + panel * columns * itemsize
            for tap in range(0, taps, slice_taps):
                slice_end = min(tap + slice_taps, taps)
                for skip in range(0, run, slice_run):
                    length = min(slice_run, run - skip)
                    matrix = panel_base + (tap * run + skip) * columns * itemsize
                    for t in range(tiles):
                        tile(
                            table[t, tap:].ctypes.data, slice_end - tap, length, channel + skip, matrix, begin,
                            here[t].ctypes.data, present,
                        )  # fmt: skip
                    begin = 0  # from now on, add to what is there

    return products


def _run(source: Array, w: Array, bias: Array | None, target: Array, gather: Gather, groups: int, padded: bool) -> bool:
    """Compute the pixels of `target` that `gather` names.

    Parameters
    ----------
    source : ndarray, shape (N, D, H, W, C), C-contiguous
    w : ndarray, shape (taps, run, O)
        Any strides; ``run = C / G``, or ``KW * C`` if runs are merged.
    bias : ndarray, shape (O,), or None
    target : ndarray, shape (N, D', H', W', O), C-contiguous
        Modified in place.
    gather : Gather
    groups : int
    padded : bool
        Whether any tap of any pixel lies in padding.

    Returns
    -------
    bool
        False if nothing was computed: padding is a pixel of zeros here, whose product with an infinite or NaN
        element of the kernel would not be 0.
    """
    pixels = source.shape[0] * gather.positions[0] * gather.positions[1] * gather.positions[2]
    if pixels == 0:
        return True
    taps, run, outputs = w.shape
    shape = tile_shape(source.itemsize, outputs // groups)
    packed, finite = pack(w, groups, shape)
    if padded and not finite:
        return False
    panels = packed.shape[0]
    starts = np.zeros((panels, shape.columns), source.dtype)
    if bias is not None:
        per_group = -(-(outputs // groups) // shape.columns) * shape.columns
        starts.reshape(groups, per_group)[:, : outputs // groups] = bias.reshape(groups, -1)
    row_bytes = shape.columns * shape.itemsize
    slice_run = max(1, min(run, SLICE_BYTES // row_bytes))
    slice_taps = max(1, SLICE_BYTES // (run * row_bytes)) if slice_run == run else 1
    tiles = max(1, min(BLOCK_PIXELS // shape.rows, -(-pixels // shape.rows)))
    blocks = -(-pixels // (tiles * shape.rows))
    shifts = [np.array(shift, np.int64) for shift in gather.shifts]
    nothing = np.zeros(max(run, source.shape[4]), source.dtype)
    simple = (gather.positions, gather.step, (0, 0, 0), gather.size, gather.target_step, gather.target_first)
    parallel_for(
        _make(shape), blocks * panels, source, packed, starts, target, nothing,
        simple, *shifts, tiles, groups, slice_taps, slice_run,
        nanoseconds=2 * pixels * taps * run * outputs / FLOP_PER_NANOSECOND,
    )  # fmt: skip
    return True


def correlate(x: Array, w: Array, bias: Array | None, y: Array, window: Window, groups: int) -> bool:
    """Compute `y`, the correlation of `x` with `w`, in place; see `correlation.correlate`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C), C-contiguous, float32 or float64
    w : ndarray, shape (KD, KH, KW, C // G, O), any strides
    bias : ndarray, shape (O,), or None
    y : ndarray, shape (N, OD, OH, OW, O), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        False if `y` must be computed in another way: see `_run`.
    """
    taps_w, per_group, outputs = w.shape[2:]
    size, before = window.size, window.before
    padded = has_padding(window)
    shifts = tuple(
        tuple(tap * window.dilation[axis] - before[axis] for tap in range(window.kernel[axis])) for axis in range(3)
    )
    step = window.stride
    if groups == 1 and taps_w > 1 and window.dilation[2] == 1 and per_group * x.itemsize < MERGE_BELOW_BYTES:
        # A kernel row reads KW pixels side by side: one run, if none of them is padding.
        last = (window.out[2] - 1) * step[2] + taps_w
        if before[2] or last > size[2]:
            x = pad_width(x, before[2], max(0, last - before[2] - size[2]))
        # (N, D, H, W, C) -> (N, D, H, 1, W*C): positions along W are C*S_w numbers apart
        merged = x.reshape(*x.shape[:3], x.shape[3] * x.shape[4], 1)
        gather = Gather(
            window.out, (step[0], step[1], step[2] * per_group), (*shifts[:2], (0,)),
            (size[0], size[1], merged.shape[3]), (1, 1, 1), (0, 0, 0),
        )  # fmt: skip
        return _run(merged, w.reshape(-1, taps_w * per_group, outputs), bias, y, gather, 1, padded)
    gather = Gather(window.out, step, shifts, size, (1, 1, 1), (0, 0, 0))
    return _run(x, w.reshape(-1, per_group, outputs), bias, y, gather, groups, padded)


def correlate_input_gradient(gy: Array, w: Array, gx: Array, window: Window, groups: int) -> bool:
    """Compute `gx`, the input gradient, in place, phase by phase; see `correlation.correlate_input_gradient`.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, O), C-contiguous, float32 or float64
    w : ndarray, shape (KD, KH, KW, C // G, O), any strides
    gx : ndarray, shape (N, D, H, W, C), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        False if `gx` must be computed in another way: see `_run`.
    """
    per_group, outputs = w.shape[3:]
    # (KD, KH, KW, C//G, G, O//G) -> (KD, KH, KW, O//G, G, C//G): each group's matrix transposed
    turned = w.reshape(*window.kernel, per_group, groups, outputs // groups).swapaxes(3, 5)
    turned = turned.reshape(*window.kernel, outputs // groups, groups * per_group)
    phases = [phases_of(window, axis) for axis in range(3)]
    if any(not taps for axis in phases for _, _, taps, _ in axis):
        gx[...] = 0  # some pixels are read by no window
    for first_d, count_d, taps_d, shift_d in phases[0]:
        for first_h, count_h, taps_h, shift_h in phases[1]:
            for first_w, count_w, taps_w, shift_w in phases[2]:
                if not (taps_d and taps_h and taps_w):
                    continue
                gather = Gather(
                    (count_d, count_h, count_w), (1, 1, 1), (shift_d, shift_h, shift_w), window.out,
                    window.stride, (first_d, first_h, first_w),
                )  # fmt: skip
                chosen = turned[np.ix_(taps_d, taps_h, taps_w)] if window.stride != (1, 1, 1) else turned
                # At the ends, taps reach beyond gy, unless there is only one.
                if not _run(gy, chosen.reshape(gather.taps, -1, groups * per_group), None, gx, gather, groups, True):
                    return False
    return True


def phases_of(window: Window, axis: int) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
    """For each phase of an axis: first position, number of positions, taps, and where position 0 reads each.

    Position ``h = first + i*S`` and tap ``u`` meet output ``i + shift`` with ``shift = (first + P - u*D) / S``.
    """
    stride, dilation = window.stride[axis], window.dilation[axis]
    phases = []
    for first in range(min(stride, window.size[axis])):
        taps, shifts = [], []
        for tap in range(window.kernel[axis]):
            distance = first + window.before[axis] - tap * dilation
            if distance % stride == 0:
                taps.append(tap)
                shifts.append(distance // stride)
        phases.append((first, -(-(window.size[axis] - first) // stride), tuple(taps), tuple(shifts)))
    return phases


def has_padding(window: Window) -> bool:
    """Whether any window reaches beyond the input."""
    return any(
        before or (out - 1) * stride + (kernel_size - 1) * dilation >= size
        for size, kernel_size, stride, dilation, before, out in zip(
            window.size, window.kernel, window.stride, window.dilation, window.before, window.out
        )
    )


def pad_width(x: Array, before: int, after: int) -> Array:
    """Return `x`, shape (N, D, H, W, C), with zeros before and after its width."""
    shape = list(x.shape)
    shape[3] += before + after
    padded = np.zeros(shape, x.dtype)
    padded[:, :, :, before : before + x.shape[3]] = x
    return padded
