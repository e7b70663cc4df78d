"""Convolution in small groups with channels last: depthwise, and groups whose channels fill a vector.

Depthwise convolution with several outputs for each channel is one of the repeated channels with one each.

A tile (`stencil.row_tile`) computes P neighbouring pixels of a row by a vector of channels. Where a row of the kernel
reads is one address, the same for all channels; nothing is looked up for each pixel. Rows of the kernel that lie in
padding are left out, and tiles whose windows reach beyond the ends of a row leave out single pixels: padding is neither
read nor multiplied.

The weight gradient keeps the sums of some rows of the kernel in registers while it goes along a row of pixels.

Channels that do not fill the last vector are computed in one that begins earlier; with fewer than one vector of
them, vectors are masked.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .emitter import in_vectors, lanes, register_count
from .gather import Gather, forward, phases
from .geometry import Window
from .jit import kernel
from .pixels import FLOP_PER_NANOSECOND
from .stencil import row_outer_tile, row_tile
from .threads import parallel_for

Array = NDArray[Any]

# Taps of a row that a tile unrolls. Longer rows are computed tap by tap.
MOST_TAPS = 7

# Outputs for each channel of a depthwise convolution, up to which its input is repeated.
MOST_MULTIPLES = 4

# Outputs that the sums of a weight gradient stay in registers for, at least: to add them up costs as much as some
# pixels.
OUTER_PIXELS = 32

# Pixels of a tile: what there may be. More pixels share more loads.
TILE_PIXELS = (8, 7, 6, 5, 4, 3, 2)


def serves(itemsize: int, inputs: int, outputs: int, groups: int) -> bool:
    """Whether the functions here serve so many input and output channels in each group."""
    return in_vectors(itemsize, inputs, outputs, groups) or (groups > 1 and inputs == 1 < outputs <= MOST_MULTIPLES)


def _multiplied(x: Array, channels: int) -> Array:
    """`x` with each channel as often as it has outputs, of which there are `channels`: depthwise once more."""
    return x if x.shape[4] == channels else np.repeat(x, channels // x.shape[4], axis=4)


def _rotated(size: int, r: int, channels: int) -> Array:
    """The row of a group's matrix that lane j needs after a rotation by r, for all j."""
    return (np.arange(channels) + r) % size


def _rotate_rows(w: Array) -> Array:
    """Return the matrices ``packed[tap, r, j] = w[tap, (j + r) % q, j]`` of `w` (taps, q, C); C-contiguous."""
    taps, size, channels = w.shape
    if size == 1:
        return contiguous(w, w.dtype)
    packed = np.empty((taps, size, channels), w.dtype)
    for r in range(size):
        packed[:, r] = w[:, _rotated(size, r, channels), np.arange(channels)]
    return packed


# ---------------------------------------------------------------- forward and input gradient


@functools.cache
def _make(itemsize: int, size: int, pixels: int, taps: int, step: int, spacing: int, masked: bool) -> Any:
    tile, edge = (row_tile(itemsize, size, pixels, taps, step, spacing, edged, masked) for edged in (False, True))
    length = lanes(itemsize)

    @kernel
    def rows(
        start: int, stop: int, source: Array, packed: Array, begin: Array, target: Array, gather: Any,
        shift_d: Array, shift_h: Array, shift_w: Array,
    ) -> None:  # fmt: skip
        """Compute rows ``start <= row < stop`` of positions, ``row = (n * positions_d + i_d) * positions_h + i_h``.

        Assumptions: `source` (N, D, H, W, C), `target` (N, D', H', W', C), `packed` (taps * q, C') and `begin` (C') are
        C-contiguous, with ``C' >= L``; shifts along the width are `spacing` apart, and positions `step`; there are at
        least as many of them in a row as the tile has pixels.
        """
        count_d, count_h, count_w = gather[0]
        step_d, step_h, step_w = gather[1]
        depth, height, width = gather[2]
        out_d, out_h, out_w = gather[3]
        first_d, first_h, first_w = gather[4]
        channels = source.shape[4]
        stride_w = channels * itemsize
        stride_h = width * stride_w
        stride_d = height * stride_h
        packed_row = packed.shape[1] * itemsize
        taps_w = shift_w.size
        # A tile reads `taps` neighbours from each line: split lines that are longer.
        parts = taps_w // taps
        tables = np.empty((3, shift_d.size * shift_h.size * parts), np.int64)
        offsets, matrices, places = tables[0], tables[1], tables[2]
        lowest = max(shift_h[0], shift_h[shift_h.size - 1])  # shifts rise or fall
        # Positions from `low` to `high` have all their taps inside.
        low = (step_w - 1 - shift_w[0]) // step_w
        high = (width - 1 - shift_w[taps_w - 1]) // step_w + 1
        for row in range(start, stop):
            h_at = row % count_h
            d_at = row // count_h % count_d
            n = row // count_h // count_d
            lines = 0
            for kd in range(shift_d.size):
                d = d_at * step_d + shift_d[kd]
                for kh in range(shift_h.size):
                    h = h_at * step_h + shift_h[kh]
                    if d >= 0 and d < depth and h >= 0 and h < height:
                        for part in range(parts):
                            places[lines] = shift_w[part * taps]
                            offsets[lines] = d * stride_d + h * stride_h + places[lines] * stride_w
                            matrices[lines] = ((kd * shift_h.size + kh) * taps_w + part * taps) * size * packed_row
                            lines += 1
            # The lowest row that the next row of positions will read.
            h_next = min((h_at + 1) * step_h + lowest, height - 1)
            ahead = d_at * step_d * stride_d + h_next * stride_h + shift_w[taps_w - 1] * stride_w
            image = source[n].ctypes.data
            place = target[n, d_at * out_d + first_d, h_at * out_h + first_h].ctypes.data
            for at in range(0, count_w, pixels):
                here = at if at + pixels <= count_w else count_w - pixels  # the last tile computes some pixels again
                pixel = here * step_w
                inside = here >= low and here + pixels <= high
                for c in range(0, channels, length):
                    left = (c if c + length <= channels else max(0, channels - length)) * itemsize
                    if inside:
                        tile(
                            image + pixel * stride_w + left, offsets.ctypes.data, packed.ctypes.data + left,
                            matrices.ctypes.data, lines, stride_w, packed_row, begin.ctypes.data + left,
                            place + (here * out_w + first_w) * stride_w + left, out_w * stride_w, channels,
                            places.ctypes.data, pixel, width, ahead,
                        )  # fmt: skip
                    else:
                        edge(
                            image + pixel * stride_w + left, offsets.ctypes.data, packed.ctypes.data + left,
                            matrices.ctypes.data, lines, stride_w, packed_row, begin.ctypes.data + left,
                            place + (here * out_w + first_w) * stride_w + left, out_w * stride_w, channels,
                            places.ctypes.data, pixel, width, ahead,
                        )  # fmt: skip

    return rows


def _pad_channels(array: Array, length: int) -> Array:
    """`array` (..., C), with zeros so that there are at least `length` channels."""
    if array.shape[-1] >= length:
        return array
    padded = np.zeros((*array.shape[:-1], length), array.dtype)
    padded[..., : array.shape[-1]] = array
    return padded


def _tile_pixels(count: int, size: int) -> int:
    """Pixels of a tile for rows of `count`: as many as there are registers for, and few of them for nothing."""
    most = max(2, (12 if size == 1 else 8) * register_count() // 32)
    fitting = [p for p in TILE_PIXELS if p <= min(most, count)] or [1]
    return min(fitting, key=lambda p: (-(-count // p) * (p + 1), -p))


@functools.lru_cache(maxsize=256)
def _shift_tables(shifts: tuple[tuple[int, ...], ...]) -> list[Array]:
    return [np.array(shift, np.int64) for shift in shifts]


def _run(source: Array, w: Array, bias: Array | None, target: Array, gather: Gather) -> None:
    """Compute the pixels of `target` that `gather` names, from `source` and `w`, shape (taps, q, C)."""
    taps_all, size, channels = w.shape
    length = lanes(source.itemsize)
    count = source.shape[0] * gather.positions[0] * gather.positions[1]
    if count * gather.positions[2] == 0:
        return
    packed = _rotate_rows(w)
    begin = np.zeros(max(channels, length), source.dtype)
    if bias is not None:
        begin[:channels] = bias
    shifts = _shift_tables(gather.shifts)
    taps_w = len(gather.shifts[2])
    spacing = gather.shifts[2][1] - gather.shifts[2][0] if taps_w > 1 else 1
    taps = taps_w if taps_w <= MOST_TAPS else 1
    step = gather.step[2]
    pixels = _tile_pixels(gather.positions[2], size)
    made = _make(source.itemsize, size, pixels, taps, step, spacing if taps > 1 else 1, channels < length)
    simple = (gather.positions, gather.step, gather.size, gather.target_step, gather.target_first)
    parallel_for(
        made, count, source, _pad_channels(packed.reshape(taps_all * size, channels), length), begin, target, simple,
        *shifts, nanoseconds=2 * count * gather.positions[2] * taps_all * size * channels / FLOP_PER_NANOSECOND,
    )  # fmt: skip


def correlate(x: Array, w: Array, bias: Array | None, y: Array, window: Window) -> None:
    """Compute `y`, the correlation of `x` with `w`, in place, where `serves` holds.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C), C-contiguous, float32 or float64
    w : ndarray, shape (KD, KH, KW, q, O), any strides
    bias : ndarray, shape (O,), or None
    y : ndarray, shape (N, OD, OH, OW, O), C-contiguous
    window : Window
    """
    _run(_multiplied(x, y.shape[4]), w.reshape(window.taps, *w.shape[3:]), bias, y, forward(window))


def correlate_input_gradient(gy: Array, w: Array, gx: Array, window: Window) -> None:
    """Compute `gx`, the input gradient, in place, phase by phase (see `products`), where `serves` holds.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, O), C-contiguous, float32 or float64
    w : ndarray, shape (KD, KH, KW, q, O), any strides
    gx : ndarray, shape (N, D, H, W, C), C-contiguous
    window : Window
    """
    if gx.shape[4] != gy.shape[4]:  # what the repeated channels would get, added up
        multiples = np.empty((*gx.shape[:4], gy.shape[4]), gx.dtype)
        correlate_input_gradient(gy, w, multiples, window)
        parts = multiples.reshape(*gx.shape, -1)
        np.add(parts[..., 0], parts[..., 1], out=gx)
        for k in range(2, parts.shape[5]):
            gx += parts[..., k]
        return
    size, channels = w.shape[3:]
    # (KD, KH, KW, q, G, q') -> (KD, KH, KW, q', G, q): each group's matrix transposed
    turned = w.reshape(*window.kernel, size, channels // size, size).swapaxes(3, 5).reshape(w.shape)
    found, others = phases(window)
    if others:
        gx[...] = 0  # some pixels are read by no window
    for gather, taps in found:
        # Later taps read earlier pixels: turned round, places that a row of the kernel reads are ascending.
        gather = gather._replace(shifts=(*gather.shifts[:2], gather.shifts[2][::-1]))
        _run(gy, turned[taps][:, :, ::-1].reshape(gather.taps, size, channels), None, gx, gather)


# ---------------------------------------------------------------- weight gradient


@functools.cache
def _make_outer(
    itemsize: int, size: int, lines: int, pixels: int, taps: int, step: int, spacing: int, masked: bool
) -> Any:
    tile = row_outer_tile(itemsize, size, lines, pixels, taps, step, spacing, masked)
    length = lanes(itemsize)

    @kernel
    def row_outers(
        start: int, stop: int, x: Array, gy: Array, sums: Array, window: Any, parts: int, most_rows: int
    ) -> None:
        """Compute vectors ``start <= item < stop`` of channels of `sums`, all taps, some rows of outputs at a time.

        Assumptions: `x` (N, D, H, W, C) and `gy` (N, OD, OH, OW, C) are C-contiguous; `sums` (vectors, KD, KH,
        KW, q, L) begins with zeros; rows of the kernel are `parts` times `taps` long.
        """
        depth, height, width = window[0]
        taps_d, taps_h, taps_w = window[1]
        stride_d, stride_h, stride_w = window[2]
        dilation_d, dilation_h, dilation_w = window[3]
        before_d, before_h, before_w = window[4]
        out_d, out_h, out_w = window[6]
        channels = x.shape[4]
        pixel = channels * itemsize
        vector = length * itemsize
        # Outputs from `low` to `high` have all their taps inside.
        low = min(out_w, (before_w + stride_w - 1) // stride_w)
        reach = (taps_w - 1) * dilation_w - before_w
        high = max(low, min(out_w, (width - 1 - reach) // stride_w + 1))
        most = taps_d * taps_h * parts + lines
        tables = np.empty((6, most), np.int64)
        rows, results, pixels_of = tables[0], tables[1], tables[2]
        here, there, places = tables[3], tables[4], tables[5]
        dump = np.zeros(taps * size * length, x.dtype)
        # Rows from `top` to `bottom` read from as many rows as the kernel has.
        top = (before_h + stride_h - 1) // stride_h
        bottom = (height - 1 + before_h - (taps_h - 1) * dilation_h) // stride_h + 1
        for n in range(x.shape[0]):
            for od in range(out_d):
                oh = 0
                while oh < out_h:
                    repeats = max(1, min(most_rows, bottom - oh)) if oh >= top else 1
                    count = 0
                    for kd in range(taps_d):
                        d = od * stride_d + kd * dilation_d - before_d
                        for kh in range(taps_h):
                            h = oh * stride_h + kh * dilation_h - before_h
                            if d >= 0 and d < depth and h >= 0 and h < height:
                                for part in range(parts):
                                    pixels_of[count] = part * taps * dilation_w - before_w
                                    rows[count] = x[n, d, h].ctypes.data + pixels_of[count] * pixel
                                    results[count] = ((kd * taps_h + kh) * taps_w + part * taps) * size * vector
                                    count += 1
                    for item in range(start, stop):
                        left = item * length
                        left = (left if left + length <= channels else max(0, channels - length)) * itemsize
                        b = gy[n, od, oh].ctypes.data + left
                        total = sums[item].ctypes.data
                        for first in range(0, count, lines):
                            for m in range(lines):
                                if first + m < count:
                                    here[m] = rows[first + m] + left
                                    there[m] = total + results[first + m]
                                    places[m] = pixels_of[first + m]
                                else:  # fewer rows than the tile has: it computes one again, for nothing
                                    here[m] = here[0]
                                    there[m] = dump.ctypes.data
                                    places[m] = places[0]
                            tile(
                                here.ctypes.data, places.ctypes.data, pixel, width, b, pixel, low, high, out_w,
                                there.ctypes.data, vector, channels, repeats, stride_h * width * pixel, out_w * pixel,
                            )  # fmt: skip
                    oh += repeats

    return row_outers


def correlate_weight_gradient(x: Array, gy: Array, gw: Array, window: Window) -> None:
    """Compute `gw`, the weight gradient, in place, where `serves` holds.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C), C-contiguous, float32 or float64
    gy : ndarray, shape (N, OD, OH, OW, O), C-contiguous
    gw : ndarray, shape (KD, KH, KW, q, O), C-contiguous
    window : Window
    """
    x = _multiplied(x, gy.shape[4])
    size, channels = gw.shape[3:]
    length = lanes(x.itemsize)
    taps_w = window.kernel[2]
    most = register_count() * 5 // 8  # sums; other registers are for pixels
    taps = taps_w if taps_w <= MOST_TAPS and taps_w * size <= most else 1
    lines = max(1, min(window.kernel[0] * window.kernel[1], most // (taps * size)))
    inside = window.out[2] - (taps_w - 1) * window.dilation[2] // window.stride[2]
    pixels = 4 if lines * taps * size <= most * 3 // 4 and inside >= 4 else 2 if inside >= 2 else 1
    vectors = -(-channels // length)
    sums = np.zeros((vectors, *window.kernel, size, length), x.dtype)
    made = _make_outer(
        x.itemsize, size, lines, pixels, taps, window.stride[2], window.dilation[2] if taps > 1 else 1,
        channels < length,
    )  # fmt: skip
    parallel_for(
        made, vectors, x, gy, sums, tuple(window), taps_w // taps, -(-OUTER_PIXELS // window.out[2]),
        nanoseconds=2 * gy.size * size * window.taps / FLOP_PER_NANOSECOND,
    )  # fmt: skip
    # Vectors side by side; the last one begins earlier, so that it ends with the last channel.
    rows = sums.reshape(vectors, window.taps, size, length)
    packed = np.empty((window.taps, size, max(channels, length)), x.dtype)
    whole = channels // length
    packed[:, :, : whole * length] = rows[:whole].transpose(1, 2, 0, 3).reshape(window.taps, size, whole * length)
    packed[:, :, packed.shape[2] - length :] = rows[-1]
    packed = packed[:, :, :channels]
    matrices = gw.reshape(window.taps, size, channels)
    if size == 1:
        matrices[...] = packed
        return
    for r in range(size):
        matrices[:, _rotated(size, r, channels), np.arange(channels)] = packed[:, r]
