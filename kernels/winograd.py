"""Winograd's way of correlating: 3x3 kernels with a quarter of the multiplications, 5x5 kernels with a third.

With stride 2, it takes 25 multiplications for 2x2 outputs of 3x3 taps, instead of 36.

`transforms` says what minimal filtering is. In two dimensions 36 products of transformed numbers give a tile of 4x4
outputs of 3x3 taps, where the definition takes 144, or 2x2 outputs of 5x5 taps, where it takes 100::

    Y = A^T [ (G g G^T) * (B^T d B) ] A          d: 6x6 input, g: kernel, *: element by element

Summed over input channels, each of the 36 elements is a matrix product of its own, of tiles by channels and
channels by outputs, which the register tile computes (`tile.product_tile`). The transforms act on all channels
alike, so they work on vectors of channels.

The gradient of the input is such a correlation again. That of the kernel is the transpose of the above::

    gg = G^T [ sum over tiles of (B^T d B) * (A gY A^T) ] G

again 36 matrix products, of channels by tiles and tiles by outputs (`tile.outer_tile`).

Transformed arrays are 2.25 times as large as the input, four times as large as a 3x3 kernel. None of them is
stored as a whole: a block of tiles is transformed, then slices of the kernel one after another, each of which is
multiplied with the whole block while both lie in the second-level cache. But the transform of a kernel that is used
again and again is kept (`keeping`); it then comes from memory, fetched while what came before is multiplied.

The price is rounding, since differences cancel: errors in float32 are two to six times those of the direct sum
(tested to stay below 1e-5 of the largest output). An infinity or NaN would spread over its tile; so results are
checked, and computed directly if any is not finite.

References
----------
A. Lavin and S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016, sections 4.1 to 4.3.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from . import correlation
from .arrays import empty_apart
from .emitter import Shape, lanes, side, tile_shape
from .formulations import correlate_operands, input_gradient_operands, weight_gradient_operands
from .geometry import Window
from .jit import kernel
from .keeping import Kept
from .packing import NUMBERS_PER_NANOSECOND
from .products import FLOP_PER_NANOSECOND
from .threads import get_num_threads, parallel_for
from .tile import fetch, outer_tile, product_tile
from .transforms import Minimal, kernel_gradient_transform, kernel_transform, transform
from .transposition import channels_last
from .workspace import scratch

Array = NDArray[Any]

# By the number of taps along each side, and the stride. More outputs to a tile save more, and round more.
MINIMAL = {(3, 1): Minimal(4, 3), (5, 1): Minimal(2, 5), (3, 2): Minimal(2, 3, "stride 2")}

# The input gradient with stride 2: where the output's gradient is spread, a patch begins with a zero, or with a number.
GAPS, GAPS_AFTER = Minimal(4, 3, "gaps"), Minimal(4, 3, "gaps after")

# Transformed patches of a block of tiles: with a slice of the kernel, about a second-level cache of 1 MiB.
BLOCK_BYTES = 640 * 1024

# At least so many tiles to a block, if there are: transforming a slice of the kernel takes as long as multiplying it
# with four tiles, and is done again for each block.
LEAST_BLOCK_TILES = 96

# A slice of the transformed kernel: some channels, one panel of columns.
SLICE_BYTES = 512 * 1024

# At least so many channels: sums are loaded and stored once for each slice.
LEAST_SLICE_CHANNELS = 48

# Weight gradient: transformed patches of a chunk of tiles at most, which stay in a third-level cache while all elements
# of the gradient's transform are summed over the chunk. No more than four times as large as these sums, which are read
# and written once for each chunk. And at most so many tiles: rounding errors grow with their number.
CHUNK_BYTES = 4 * 1024 * 1024
MOST_CHUNK_TILES = 1024

# Weight gradient: channels of a block. Its sums, by a panel of 64 columns, fit into a second-level cache; a multiple of
# the rows of most tiles and of the length of all vectors.
BLOCK_CHANNELS = 96


# ---------------------------------------------------------------- loops


@functools.cache
def _make_tiles(minimal: Minimal, role: str, itemsize: int) -> Any:
    into = transform(minimal, role, itemsize)
    side = minimal.inputs if role == "input" else minimal.outputs
    step, length = minimal.step if role == "input" else minimal.outputs, lanes(itemsize)
    points = minimal.points**2

    @kernel
    def transform_tiles(
        start: int, stop: int, source: Array, planes: Array, nothing: Array, first: int, before_h: int, before_w: int,
        down: int, across: int, block_channels: int, row: int,
    ) -> None:  # fmt: skip
        """Transform tiles ``first + start <= tile < first + stop``, to rows `start` to `stop` of `planes`.

        Assumptions: `source` (N, H, W, C) is C-contiguous; `nothing` is a pixel of zeros; `planes` is (blocks of
        `block_channels` channels, points, rows of `row` numbers and more), C-contiguous. Tiles go row by row through
        each image, `down` by `across`; the first begins `before_h` rows and `before_w` columns outside.
        """
        height, width, channels = source.shape[1:]
        plane = planes.shape[2]
        step_w = channels * itemsize
        step_h = width * step_w
        base, target, zeros = source.ctypes.data, planes.ctypes.data, nothing.ctypes.data
        table = np.empty(side * side, np.int64)
        for t in range(start, stop):
            tile_w = (first + t) % across
            rest = (first + t) // across
            corner_h, corner_w = rest % down * step - before_h, tile_w * step - before_w
            corner = base + (rest // down * height + corner_h) * step_h + corner_w * step_w
            inside = corner_h >= 0 and corner_h + side <= height and corner_w >= 0 and corner_w + side <= width
            for i in range(side):
                for j in range(side):
                    table[side * i + j] = corner + i * step_h + j * step_w
            if not inside:
                for i in range(side):
                    for j in range(side):
                        h, w = corner_h + i, corner_w + j
                        if h < 0 or h >= height or w < 0 or w >= width:
                            table[side * i + j] = zeros
            for c in range(0, channels, length):
                place = c // block_channels * points * plane + t * row + c % block_channels
                into(table.ctypes.data, c, min(length, channels - c), target + place * itemsize, plane)

    return transform_tiles


@functools.cache
def _make_slices(minimal: Minimal, shape: Shape) -> Any:
    taps_apart = transform(minimal, "kernel", shape.itemsize)
    taps_together = kernel_transform(minimal, shape.itemsize)
    columns, itemsize, length, taps = shape.columns, shape.itemsize, lanes(shape.itemsize), minimal.taps**2

    @kernel
    def transform_slices(
        start: int, stop: int, w: Any, channels: int, outputs: int, slice_run: int, points: Array, first: int
    ) -> None:
        """Transform slices ``start <= item < stop`` of the kernel, ``panel * slices + slice``, to `points`.

        Assumptions: `w` is the kernel's address, and its distances in numbers from tap to tap, channel to channel,
        output to output; `points` is (slices, points, ``slice_run * columns`` numbers and more), C-contiguous.
        """
        slices = (channels + slice_run - 1) // slice_run
        point_plane = points.shape[2]
        w_base, w_tap, w_run, w_column = w
        together = w_column != 1  # then the taps are, forwards or backwards
        w_first = w_base + min(0, (taps - 1) * w_tap) * itemsize
        w_table = np.empty(max(taps, length), np.int64)
        for item in range(start, stop):
            left, skip = item // slices * columns, item % slices * slice_run
            run = min(slice_run, channels - skip)
            for o in range(0, columns, length):
                target = points[item - first].ctypes.data + o * itemsize
                if together:
                    for k in range(length):  # columns that there are not repeat the last
                        w_table[k] = w_first + min(left + o + k, outputs - 1) * w_column * itemsize
                    for c in range(run):
                        taps_together(
                            w_table.ctypes.data, (skip + c) * w_run, 1 if w_tap < 0 else 0,
                            target + c * columns * itemsize, point_plane,
                        )  # fmt: skip
                else:
                    for k in range(taps):
                        w_table[k] = w_base + (k * w_tap + left + o) * itemsize
                    for c in range(run):
                        taps_apart(
                            w_table.ctypes.data, (skip + c) * w_run, min(length, outputs - left - o),
                            target + c * columns * itemsize, point_plane,
                        )  # fmt: skip

    return transform_slices


@functools.cache
def _make_correlations(minimal: Minimal, shape: Shape) -> Any:
    tile, out_of = product_tile(shape), transform(minimal, "output", shape.itemsize)
    transform_tiles, transform_slices = _make_tiles(minimal, "input", shape.itemsize), _make_slices(minimal, shape)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize
    length, step = lanes(itemsize), minimal.outputs
    count_points = minimal.points**2

    @kernel
    def correlations(
        start: int, stop: int, x: Array, w: Any, y: Array, starts: Array, nothing: Array, before_h: int, before_w: int,
        groups: int, block: int, slice_run: int, patches: Array, points: Array, held: bool, products: Array,
        found: Array,
    ) -> None:  # fmt: skip
        """Compute items ``start <= item < stop``, a block of tiles by one of `groups` groups of panels of columns.

        Assumptions: `x` (N, H, W, C) and `y` (N, OH, OW, O) are C-contiguous; `w` as for `transform_slices`; `starts`
        (panels, columns) is the bias, filled up with zeros; `nothing` is a pixel of zeros. `block` is a multiple of R.
        If `held`, `points` is what `transform_slices` makes of the whole kernel. Scratch, of at least so many numbers
        for each point: `patches` (1, points, `block` times C rounded up to whole vectors), `points` (1, points,
        `slice_run` * columns) if not `held`, and `products` (points, `block` * columns). To `found`, for each item,
        goes 0 if all results are finite, else NaN.
        """
        batch, channels = x.shape[0], x.shape[3]
        out_h, out_w, outputs = y.shape[1:]
        across, down = (out_w + step - 1) // step, (out_h + step - 1) // step
        padded = (channels + length - 1) // length * length
        patch_plane, point_plane, product_plane = patches.shape[2], points.shape[2], products.shape[1]
        panels, slices = starts.shape[0], (channels + slice_run - 1) // slice_run
        y_base, patch_base, product_base = y.ctypes.data, patches.ctypes.data, products.ctypes.data
        out_table = np.empty((block, step * step), np.int64)
        row_table = np.empty(rows, np.int64)
        place_table = np.empty(rows, np.int64)
        dump = np.empty(columns + outputs, x.dtype)
        none = np.zeros(columns, x.dtype)
        check = np.empty(length, x.dtype)
        now, at_hand = -1, -1
        count = 0
        for item in range(start, stop):
            group = item % groups
            if item // groups != now:
                now = item // groups
                first = now * block
                count = min(block, batch * down * across - first)
                transform_tiles(
                    0, count, x, patches, nothing, first, before_h, before_w, down, across, channels, padded
                )
                for t in range(count):
                    tile_w = (first + t) % across
                    rest = (first + t) // across
                    tile_h = rest % down
                    n = rest // down
                    for i in range(step):
                        for j in range(step):
                            h, at = tile_h * step + i, tile_w * step + j
                            if h < out_h and at < out_w:
                                out_table[t, step * i + j] = (
                                    y_base + ((n * out_h + h) * out_w + at) * outputs * itemsize
                                )
                            else:
                                out_table[t, step * i + j] = dump.ctypes.data
            check[:] = 0
            whole = (count + rows - 1) // rows * rows
            for panel in range(group * panels // groups, (group + 1) * panels // groups):
                left = panel * columns
                for part in range(slices):
                    skip = part * slice_run
                    run = min(slice_run, channels - skip)
                    place = panel * slices + part
                    if not held and place != at_hand:
                        transform_slices(place, place + 1, w, channels, outputs, slice_run, points, place)
                        at_hand = place
                    point_base = points[place if held else 0].ctypes.data
                    begin = none.ctypes.data if skip == 0 else 0  # later slices add to what is there
                    for point in range(count_points):
                        matrix = point_base + point * point_plane * itemsize
                        for low in range(0, whole, rows):
                            for r in range(rows):
                                row_table[r] = patch_base + (point * patch_plane + (low + r) * padded) * itemsize
                                place_table[r] = product_base + (point * product_plane + (low + r) * columns) * itemsize
                                following = row_table[r] + (patch_plane + skip) * itemsize  # the next point's
                                for line in range(0, run * itemsize, 64):
                                    fetch(following + line)
                            tile(
                                row_table.ctypes.data, 1, run, skip, matrix, begin, place_table.ctypes.data, columns,
                                point_plane * itemsize,
                            )  # fmt: skip
                for t in range(count):
                    for o in range(0, min(columns, outputs - left), length):
                        out_of(
                            product_base + (t * columns + o) * itemsize, product_plane, out_table[t].ctypes.data,
                            left + o, min(length, outputs - left - o), starts[panel, o:].ctypes.data,
                            check.ctypes.data,
                        )  # fmt: skip
            found[item] = check.sum()

    return correlations


@functools.cache
def _make_outers(minimal: Minimal, shape: Shape) -> Any:
    """Three kernels: sums over tiles; what becomes of them; both for one pair of blocks after another."""
    tile, beside = outer_tile(shape), side(shape.rows)
    taps_apart = transform(minimal, "kernel_gradient", shape.itemsize)
    taps_together = kernel_gradient_transform(minimal, shape.itemsize)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize
    length = lanes(itemsize)
    taps, count_points = minimal.taps**2, minimal.points**2

    @kernel
    def outers(
        start: int, stop: int, left: Array, right: Array, sums: Array, first: int, count: int, channels: int,
        block_channels: int, row: int, fresh: int,
    ) -> None:  # fmt: skip
        """Sum items ``start <= item < stop``, ``pair * points + point``, over the first `count` tiles of a chunk.

        A pair is a block of channels and a panel of columns, ``panel * blocks + block``. Assumptions: `left` (blocks,
        points, tiles of `row` numbers) and `right` (panels, points, tiles of as many numbers as there are columns)
        are the transforms of input and output gradient; `sums` is (pairs from `first` on, points, `block_channels`
        rounded up to a multiple of R times columns). Sums are stored if `fresh`, else added to.
        """
        blocks, left_plane, right_plane, sum_plane = left.shape[0], left.shape[2], right.shape[2], sums.shape[2]
        left_base, right_base, sum_base = left.ctypes.data, right.ctypes.data, sums.ctypes.data
        table = np.empty(count, np.int64)
        for t in range(count):
            table[t] = t * row * itemsize
        moves = np.empty(rows // beside, np.int64)
        for q in range(rows // beside):
            moves[q] = q * beside * itemsize
        for item in range(start, stop):
            pair, point = item // count_points, item % count_points
            block, panel = pair % blocks, pair // blocks
            a = left_base + (block * count_points + point) * left_plane * itemsize
            b = right_base + (panel * count_points + point) * right_plane * itemsize
            target = sum_base + ((pair - first) * count_points + point) * sum_plane * itemsize
            for low in range(0, min(block_channels, channels - block * block_channels), rows):
                at = a + low * itemsize
                tile(
                    at, table.ctypes.data, count, moves.ctypes.data, b, columns * itemsize,
                    target + low * columns * itemsize, fresh, at, at, table.ctypes.data,
                )  # fmt: skip

    @kernel
    def finish(
        start: int, stop: int, sums: Array, gw: Array, first: int, blocks: int, block_channels: int, together: bool,
        found: Array,
    ) -> None:  # fmt: skip
        """Transform items ``start <= item < stop``, ``pair * block_channels + row``, of `sums` to `gw`.

        `gw` is (O, C, taps) if `together`, else (taps, C, O), C-contiguous. To `found`, for each item, goes 0 if all
        results are finite, else NaN.
        """
        channels, outputs = gw.shape[1], gw.shape[0] if together else gw.shape[2]
        plane = sums.shape[2]
        gw_base, sum_base = gw.ctypes.data, sums.ctypes.data
        table = np.empty(max(columns, taps), np.int64)
        dump = np.empty(channels * taps, gw.dtype)
        none = np.zeros(length, gw.dtype)
        check = np.empty(length, gw.dtype)
        for k in range(taps):
            table[k] = gw_base + k * channels * outputs * itemsize
        for item in range(start, stop):
            pair, row = item // block_channels, item % block_channels
            c, left = pair % blocks * block_channels + row, pair // blocks * columns
            found[item] = 0
            if c >= channels:
                continue
            check[:] = 0
            if together and (item == start or row == 0):
                for o in range(columns):
                    inside = left + o < outputs
                    table[o] = gw_base + (left + o) * channels * taps * itemsize if inside else dump.ctypes.data
            source = sum_base + ((pair - first) * count_points * plane + row * columns) * itemsize
            for o in range(0, min(columns, outputs - left), length):
                if together:
                    taps_together(source + o * itemsize, plane, table[o:].ctypes.data, c * taps, check.ctypes.data)
                else:
                    taps_apart(
                        source + o * itemsize, plane, table.ctypes.data, c * outputs + left + o,
                        min(length, outputs - left - o), none.ctypes.data, check.ctypes.data,
                    )  # fmt: skip
            found[item] = check.sum()

    @kernel
    def at_once(
        start: int, stop: int, left: Array, right: Array, sums: Array, gw: Array, count: int, block_channels: int,
        row: int, together: bool, found: Array,
    ) -> None:  # fmt: skip
        """Both, for pairs ``start <= pair < stop``, if there is only one chunk: `sums` has room for one pair."""
        blocks, channels = left.shape[0], gw.shape[1]
        for pair in range(start, stop):
            outers(
                pair * count_points, (pair + 1) * count_points, left, right, sums, pair, count, channels,
                block_channels, row, 1,
            )  # fmt: skip
            finish(
                pair * block_channels, (pair + 1) * block_channels, sums, gw, pair, blocks, block_channels, together,
                found,
            )  # fmt: skip

    return outers, finish, at_once


# ---------------------------------------------------------------- how the work is cut


def _up(number: int, unit: int) -> int:
    """`number` rounded up to a multiple of `unit`."""
    return -(-number // unit) * unit


def _plane(numbers: int, itemsize: int) -> int:
    """`numbers` rounded up to an odd number of cache lines, so that planes do not begin in the same set of a cache."""
    line = 64 // itemsize
    return (-(-numbers // line) | 1) * line


def _parts(memory: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Cut an array of numbers into arrays of these shapes."""
    ends = itertools.accumulate(math.prod(shape) for shape in shapes)
    return [memory[end - math.prod(shape) : end].reshape(shape) for end, shape in zip(ends, shapes)]


def _counts(minimal: Minimal, y: Array) -> tuple[int, int]:
    """Tiles of an image of `y` (N, OH, OW, O), down and across."""
    return -(-y.shape[1] // minimal.outputs), -(-y.shape[2] // minimal.outputs)


def _shape_for(itemsize: int, columns: int, rows: int) -> Shape:
    """The shape of tile that wastes the least on a product of so many rows and columns, and of those the widest."""
    shapes = [tile_shape(itemsize, vectors * lanes(itemsize)) for vectors in range(1, 5)]
    return min(shapes, key=lambda s: (_up(columns, s.columns) * _up(rows, s.rows), -s.vectors))


def _placed(w: Array) -> tuple[Array, tuple[int, int, int, int]]:
    """A kernel (taps, C, O) that is not copied if possible, and its address and distances in numbers.

    Outputs must lie side by side, or else taps, in either direction.
    """
    size = w.itemsize
    if not (
        w.flags.aligned
        and all(stride % size == 0 for stride in w.strides)
        and (w.strides[2] == size or abs(w.strides[0]) == size)
    ):
        w = np.array(w, order="C")
    return w, (w.ctypes.data, w.strides[0] // size, w.strides[1] // size, w.strides[2] // size)


def _held(minimal: Minimal, shape: Shape, w: Array, kept: Kept) -> Array | None:
    """The transform of the whole of a kernel (taps, C, O), a slice for each panel of columns, if it is kept."""
    channels, outputs = w.shape[1:]
    panels, plane = -(-outputs // shape.columns), _plane(channels * shape.columns, shape.itemsize)
    sizes = panels, minimal.points**2, plane

    def make() -> Array:
        source, place = _placed(w)
        slices = np.empty(sizes, source.dtype)
        parallel_for(
            _make_slices(minimal, shape), panels, place, channels, outputs, channels, slices, 0,
            nanoseconds=slices.size / NUMBERS_PER_NANOSECOND,
        )  # fmt: skip
        return slices

    return kept.get(w, ("winograd", minimal, shape), math.prod(sizes) * shape.itemsize, make)


def _run(
    minimal: Minimal, x: Array, w: Array, bias: Array | None, y: Array, before: tuple[int, ...], kept: Kept | None
) -> bool:
    """Correlate `x` (N, H, W, C) with `w` (taps, C, O) into `y`; return False if something is infinite or NaN."""
    outputs, channels, itemsize = y.shape[3], x.shape[3], x.itemsize
    down, across = _counts(minimal, y)
    tiles, points = y.shape[0] * down * across, minimal.points**2
    padded = _up(channels, lanes(itemsize))
    # Results do not depend on how tiles are put into blocks and panels into groups: each is computed by itself.
    block = max(LEAST_BLOCK_TILES, BLOCK_BYTES // (points * padded * itemsize))
    wanted = 1 if get_num_threads() == 1 else 4 * get_num_threads()
    blocks = max(-(-tiles // block), min(wanted, tiles // LEAST_BLOCK_TILES))
    shape = _shape_for(itemsize, outputs, -(-tiles // blocks))
    block = _up(-(-tiles // blocks), shape.rows)
    blocks = -(-tiles // block)
    starts = np.zeros((-(-outputs // shape.columns), shape.columns), x.dtype)
    if bias is not None:
        starts.reshape(-1)[:outputs] = bias
    groups = min(len(starts), -(-wanted // blocks))
    held = None if kept is None else _held(minimal, shape, w, kept)
    run = channels
    if held is None:
        run = min(channels, max(LEAST_SLICE_CHANNELS, SLICE_BYTES // (points * shape.columns * itemsize)))
        run = -(-channels // -(-channels // run))
    found = np.empty(blocks * groups, x.dtype)
    slice_plane = _plane(run * shape.columns, itemsize)
    sizes = [
        _plane(block * padded, itemsize),
        0 if held is not None else slice_plane,
        _plane(block * shape.columns, itemsize),
    ]
    loop, nothing = _make_correlations(minimal, shape), np.zeros(channels, x.dtype)
    w, place = _placed(w)

    def items(start: int, stop: int) -> None:
        with scratch((points * sum(sizes),), x.dtype) as memory:
            patches, slices, products = _parts(
                memory, [(1, points, sizes[0]), (1, points, sizes[1]), (points, sizes[2])]
            )
            loop(
                start, stop, x, place, y, starts, nothing, *before, groups, block, run, patches,
                slices if held is None else held, held is not None, products, found,
            )  # fmt: skip

    flop = 2 * tiles * points * channels * outputs
    parallel_for(items, blocks * groups, nanoseconds=2 * flop / FLOP_PER_NANOSECOND)
    return bool(found.sum() == 0)


def _run_weight_gradient(
    minimal: Minimal, x: Array, gy: Array, gw: Array, before: tuple[int, ...], together: bool
) -> bool:
    """Compute `gw` from `x` (N, H, W, C) and `gy` (N, OH, OW, O); return False as `_run`.

    `gw` is (O, C, taps) if `together`, else (taps, C, O), C-contiguous.
    """
    channels, outputs, itemsize = x.shape[3], gy.shape[3], x.itemsize
    down, across = _counts(minimal, gy)
    tiles, points, length = gy.shape[0] * down * across, minimal.points**2, lanes(itemsize)
    block = min(BLOCK_CHANNELS, _up(channels, length))
    shape = tile_shape(itemsize, outputs)
    shape = shape._replace(rows=_up(-(-block // -(-block // shape.rows)), 2))
    blocks, panels = -(-channels // block), -(-outputs // shape.columns)
    pairs = blocks * panels
    height = _up(block, shape.rows)
    row = _up(height, length)
    sum_bytes = pairs * points * height * shape.columns * itemsize
    chunk = min(CHUNK_BYTES, max(BLOCK_BYTES, 4 * sum_bytes)) // (
        points * (blocks * row + panels * shape.columns) * itemsize
    )
    chunk = max(1, min(MOST_CHUNK_TILES, tiles, chunk))
    chunks = -(-tiles // chunk)
    chunk = -(-tiles // chunks)
    outers, finish, at_once = _make_outers(minimal, shape)
    read, read_gradient = (_make_tiles(minimal, role, itemsize) for role in ("input", "output_gradient"))
    zeros = np.zeros(max(channels, outputs), x.dtype)
    one = chunks == 1 and pairs >= 4 * get_num_threads()
    nanoseconds = 2 * points * channels * outputs / FLOP_PER_NANOSECOND  # for each tile

    found = np.empty(pairs * block, x.dtype)
    shapes = [
        (blocks, points, _plane(chunk * row, itemsize)),
        (panels, points, _plane(chunk * shape.columns, itemsize)),
        (0 if one else pairs, points, _plane(height * shape.columns, itemsize)),
    ]
    with scratch((sum(math.prod(s) for s in shapes),), x.dtype) as memory:
        left, right, sums = _parts(memory, shapes)
        for first in range(0, tiles, chunk):
            count = min(chunk, tiles - first)
            parallel_for(
                read, count, x, left, zeros, first, *before, down, across, block, row,
                nanoseconds=count * points * channels / 4,
            )  # fmt: skip
            parallel_for(
                read_gradient, count, gy, right, zeros, first, 0, 0, down, across, shape.columns, shape.columns,
                nanoseconds=count * points * outputs / 4,
            )  # fmt: skip
            if not one:
                parallel_for(
                    outers, pairs * points, left, right, sums, 0, count, channels, block, row, int(first == 0),
                    nanoseconds=count * nanoseconds,
                )  # fmt: skip
        if one:

            def both(start: int, stop: int) -> None:
                with scratch((1, *sums.shape[1:]), x.dtype) as own:
                    at_once(start, stop, left, right, own, gw, tiles, block, row, together, found)

            parallel_for(both, pairs, nanoseconds=tiles * nanoseconds)
        else:
            parallel_for(
                finish, pairs * block, sums, gw, 0, blocks, block, together, found,
                nanoseconds=points * channels * outputs / 4,
            )  # fmt: skip
    return bool(found.sum() == 0)


def _minimal(window: Window, groups: int, dtype: np.dtype[Any], *sizes: int) -> Minimal | None:
    """The algorithm for a convolution, or None."""
    side = window.kernel[2]
    if (
        window.kernel == (1, side, side)
        and window.stride == (1, window.stride[1], window.stride[1])
        and window.dilation == (1, 1, 1)
        and window.before[0] == window.after[0] == 0
        and groups == 1
        and dtype.kind == "f"
        and all(sizes)
        and not config.DISABLE_JIT
    ):
        return MINIMAL.get((side, window.stride[1]))
    return None


def _clear_unread(gx: Array, window: Window) -> None:
    """Put zeros where no window reads."""
    for axis in (1, 2):
        read = (window.out[axis] - 1) * window.stride[axis] + window.kernel[axis] - window.before[axis]
        if read < window.size[axis]:
            gx[(slice(None),) * axis + (slice(max(0, read), None),)] = 0


# ---------------------------------------------------------------- the formulation


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None
) -> Array:
    """Correlate, as :func:`.correlation.correlate`; directly where this way is not open, or something is not finite."""
    dtype, operands = correlate_operands(x, w, bias, window, groups)
    inner = operands[0].dtype
    minimal = _minimal(window, groups, inner, x.size, w.shape[4], *window.out)
    if minimal is not None:
        source, taps = channels_last(operands[0], inner), operands[1]
        y = empty_apart((x.shape[0], *window.out, w.shape[4]), inner, source)
        source, target = source.reshape(-1, *source.shape[2:]), y.reshape(-1, *y.shape[2:])
        if _run(minimal, source, taps.reshape(-1, *taps.shape[3:]), operands[2], target, window.before[1:], kept):
            return y.astype(dtype, copy=False)
    return correlation.correlate(x, w, bias, window, groups, kept)


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None) -> Array:
    """As :func:`.correlation.correlate_input_gradient`: `gy` correlated with the rotated, transposed kernel."""
    dtype, operands = input_gradient_operands(gy, w, window, groups)
    inner = operands[0].dtype
    minimal = _minimal(window, groups, inner, gy.size, w.shape[3], *window.size)
    if minimal is not None:
        source = channels_last(operands[0], inner)
        gx = empty_apart((gy.shape[0], *window.size, w.shape[3]), inner, source)
        source, target = source.reshape(-1, *source.shape[2:]), gx.reshape(-1, *gx.shape[2:])
        turned = operands[1][0, ::-1, ::-1].swapaxes(2, 3).reshape(-1, w.shape[4], w.shape[3])
        before = tuple(minimal.taps - 1 - padding for padding in window.before[1:])
        if window.stride[1] == 2:  # gy[i] lies at 2 * i
            minimal = GAPS if before[0] % 2 else GAPS_AFTER
            before = tuple(distance // 2 for distance in before)
        alike = window.stride[1] == 1 or (window.before[1] - window.before[2]) % 2 == 0
        if alike and _run(minimal, source, turned, None, target, before, kept):
            _clear_unread(target, window)
            return gx.astype(dtype, copy=False)
    return correlation.correlate_input_gradient(gy, w, window, groups, kept)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
    """As :func:`.correlation.correlate_weight_gradient`: the transpose of minimal filtering."""
    dtype, operands = weight_gradient_operands(x, gy, window, groups)
    inner = operands[0].dtype
    minimal = _minimal(window, groups, inner, x.size, gy.size)
    if minimal is not None:
        source, gradient = (channels_last(operand, inner) for operand in operands)
        source, gradient = (array.reshape(-1, *array.shape[2:]) for array in (source, gradient))
        sizes = gy.shape[4], x.shape[4], math.prod(window.kernel)
        gw = empty_apart(sizes if outputs_first else sizes[::-1], inner, source)
        if _run_weight_gradient(minimal, source, gradient, gw, window.before[1:], outputs_first):
            if outputs_first:
                gw = gw.transpose(2, 1, 0)
            return gw.reshape(*window.kernel, *gw.shape[1:]).astype(dtype, copy=False)
    return correlation.correlate_weight_gradient(x, gy, window, groups, outputs_first)
