"""Winograd's way of correlating with 3x3 kernels: a quarter of the multiplications.

Four outputs of a correlation with three taps take twelve multiplications, but only six are needed: they are the
coefficients of a product of polynomials, which six of its values determine. In two dimensions a tile of 4x4
outputs takes 36 instead of 144::

    Y = A^T [ (G g G^T) * (B^T d B) ] A          d: 6x6 input, g: 3x3 kernel, *: element by element

Summed over input channels, each of the 36 elements is a matrix product of its own, of tiles by channels and
channels by outputs, which the register tile computes (`tile.product_tile`). The transforms act on all channels
alike, so they work on vectors of channels, and multiply by small constants only.

The price is rounding: B^T and A^T have entries up to 8, and differences cancel. Errors in float32 are some ten
times those of the direct sum (tested to stay below 2e-5 of the largest output). An infinity or NaN would spread
over its tile; so results are checked, and computed directly if any is not finite.

References
----------
S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; A. Lavin and S. Gray, Fast algorithms for
convolutional neural networks, CVPR 2016, section 4.1 and the F(4x4, 3x3) matrices of its section 4.3.
"""

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

from . import correlation
from .emitter import Emitter, Shape, lanes, tile_shape
from .formulations import correlate_operands, input_gradient_operands
from .geometry import Window
from .jit import SUM_FLAGS, kernel
from .products import FLOP_PER_NANOSECOND, pack
from .threads import get_num_threads, parallel_for
from .tile import product_tile
from .transposition import channels_last
from .workspace import scratch

Array = NDArray[Any]

TILE = 4  # outputs along each side of a tile
PATCH = TILE + 2  # inputs
POINTS = PATCH * PATCH

# The transformed input and one panel of products of a block of tiles stay in a second-level cache of 1 MiB.
BLOCK_BYTES = 512 * 1024


# ---------------------------------------------------------------- transforms, as LLVM's vector operations


class _Algebra(Emitter):
    """Linear combinations of vectors."""

    def times(self, factor: float, a: Any) -> Any:
        return self.builder.fmul(ir.Constant(self.vector, [factor] * self.length), a)

    def plus(self, a: Any, factor: float, b: Any) -> Any:
        """a + factor * b"""
        if factor == 1:
            return self.builder.fadd(a, b)
        if factor == -1:
            return self.builder.fsub(a, b)
        return self.builder.call(self.fma, [ir.Constant(self.vector, [factor] * self.length), b, a])

    def input_line(self, d: list[Any]) -> list[Any]:
        """B^T d"""
        even, odd = self.plus(d[4], -4, d[2]), self.plus(d[3], -4, d[1])
        even_2, odd_2 = self.plus(d[4], -1, d[2]), self.plus(d[3], -1, d[1])
        return [
            self.plus(self.plus(d[4], -5, d[2]), 4, d[0]),
            self.plus(even, 1, odd),
            self.plus(even, -1, odd),
            self.plus(even_2, 2, odd_2),
            self.plus(even_2, -2, odd_2),
            self.plus(self.plus(d[5], -5, d[3]), 4, d[1]),
        ]

    def kernel_line(self, g: list[Any]) -> list[Any]:
        """G g"""
        outside, middle = self.times(-1 / 6, self.plus(g[0], 1, g[2])), self.times(1 / 6, g[1])
        outside_2, middle_2 = self.plus(self.times(1 / 24, g[0]), 1 / 6, g[2]), self.times(1 / 12, g[1])
        return [
            self.times(1 / 4, g[0]),
            self.plus(outside, -1, middle),
            self.plus(outside, 1, middle),
            self.plus(outside_2, 1, middle_2),
            self.plus(outside_2, -1, middle_2),
            g[2],
        ]

    def output_line(self, m: list[Any]) -> list[Any]:
        """A^T m"""
        sum_1, difference_1 = self.plus(m[1], 1, m[2]), self.plus(m[1], -1, m[2])
        sum_2, difference_2 = self.plus(m[3], 1, m[4]), self.plus(m[3], -1, m[4])
        return [
            self.plus(self.plus(m[0], 1, sum_1), 1, sum_2),
            self.plus(difference_1, 2, difference_2),
            self.plus(sum_1, 4, sum_2),
            self.plus(self.plus(m[5], 1, difference_1), 8, difference_2),
        ]

    def both_ways(self, grid: list[list[Any]], line: Any) -> list[list[Any]]:
        """Transform the columns of a grid of vectors, then its rows."""
        columns = [line(list(column)) for column in zip(*grid)]
        return [line(list(row)) for row in zip(*columns)]


@functools.cache
def _input_transform(itemsize: int) -> Any:
    """``transform(table, skip, target, distance, columns)``: one vector of channels of one tile.

    `table`: address of ``int64[36]``, where the pixels lie, of which numbers from `skip` on are read; `target`:
    address of the first of 36 results, which are `distance` numbers apart; `columns`: channels that there are.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def transform(typingctx, table, skip, target, distance, columns):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            table, skip, target, distance, columns = args
            emit = _Algebra(builder, shape)
            addresses = builder.inttoptr(table, ir.IntType(64).as_pointer())
            (mask,) = emit.masks(columns)

            def pixel(k: int) -> Any:
                place = emit.pointer(builder.load(builder.gep(addresses, [emit.constant(k)])))
                return emit.load_masked(builder.gep(place, [skip]), 0, mask)

            grid = [[pixel(PATCH * i + j) for j in range(PATCH)] for i in range(PATCH)]
            result = emit.both_ways(grid, emit.input_line)
            base = emit.pointer(target)
            for k in range(POINTS):
                place = builder.gep(base, [builder.mul(distance, emit.constant(k))])
                emit.store_masked(result[k // PATCH][k % PATCH], place, 0, mask)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5), generate

    return transform


@functools.cache
def _kernel_transform(itemsize: int) -> Any:
    """``transform(source, source_distance, target, target_distance)``: one vector of output channels of 3x3 taps."""
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def transform(typingctx, source, source_distance, target, target_distance):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, source_distance, target, target_distance = args
            emit = _Algebra(builder, shape)
            first, base = emit.pointer(source), emit.pointer(target)

            def tap(k: int) -> Any:
                return emit.load(builder.gep(first, [builder.mul(source_distance, emit.constant(k))]), 0)

            result = emit.both_ways([[tap(3 * i + j) for j in range(3)] for i in range(3)], emit.kernel_line)
            for k in range(POINTS):
                place = builder.gep(base, [builder.mul(target_distance, emit.constant(k))])
                stored = builder.store(result[k // PATCH][k % PATCH], emit.vector_at(place, 0))
                stored.align = itemsize
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 4), generate

    return transform


@functools.cache
def _output_transform(itemsize: int) -> Any:
    """``transform(source, distance, bias, table, skip, columns)``: one vector of output channels of one tile.

    `table`: address of ``int64[16]``, where the outputs go, at number `skip`.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def transform(typingctx, source, distance, bias, table, skip, columns):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, distance, bias, table, skip, columns = args
            emit = _Algebra(builder, shape)
            first = emit.pointer(source)
            start = emit.load(emit.pointer(bias), 0)
            (mask,) = emit.masks(columns)

            def point(k: int) -> Any:
                return emit.load(builder.gep(first, [builder.mul(distance, emit.constant(k))]), 0)

            grid = [[point(PATCH * i + j) for j in range(PATCH)] for i in range(PATCH)]
            result = emit.both_ways(grid, emit.output_line)
            addresses = builder.inttoptr(table, ir.IntType(64).as_pointer())
            for k in range(TILE * TILE):
                place = emit.pointer(builder.load(builder.gep(addresses, [emit.constant(k)])))
                value = emit.plus(result[k // TILE][k % TILE], 1, start)
                emit.store_masked(value, builder.gep(place, [skip]), 0, mask)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 6), generate

    return transform


# ---------------------------------------------------------------- loops


@functools.cache
def _make_kernel_loop(shape: Shape) -> Any:
    transform = _kernel_transform(shape.itemsize)
    length = shape.columns // shape.vectors

    @kernel
    def transform_kernel(start: int, stop: int, packed: Array, points: Array) -> None:
        """Fill rows ``start <= item < stop``, item ``panel * C + c``, of `points` (panels, 36, C, columns)."""
        channels, columns = packed.shape[2], packed.shape[3]
        distance = channels * columns
        for item in range(start, stop):
            panel, c = item // channels, item % channels
            for o in range(0, columns, length):
                transform(packed[panel, 0, c, o:].ctypes.data, distance, points[panel, 0, c, o:].ctypes.data, distance)

    return transform_kernel


@functools.cache
def _make(shape: Shape) -> Any:
    into, out_of, tile = _input_transform(shape.itemsize), _output_transform(shape.itemsize), product_tile(shape)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize
    length = columns // shape.vectors

    @kernel
    def winograd(
        start: int, stop: int, x: Array, points: Array, starts: Array, y: Array, nothing: Array,
        before_h: int, before_w: int, block: int, patches: Array, products: Array,
    ) -> None:  # fmt: skip
        """Compute blocks ``start <= item < stop`` of `block` tiles of `y`; tiles go row by row through each image.

        Assumptions: `x` (N, H, W, C) and `y` (N, OH, OW, O) are C-contiguous; `points` (panels, 36, C, columns) is the
        transformed kernel; `nothing` is a pixel of zeros; `block` is a multiple of R. Scratch: `patches`
        (36, block, C'), with C' the channels rounded up to whole vectors, and `products` (36, block, columns).
        """
        batch, height, width, channels = x.shape
        out_h, out_w, outputs = y.shape[1:]
        across = (out_w + TILE - 1) // TILE
        down = (out_h + TILE - 1) // TILE
        total = batch * down * across
        panels = points.shape[0]
        padded = patches.shape[2]
        patch_table = np.empty(POINTS, np.int64)
        out_table = np.empty((block, TILE * TILE), np.int64)
        row_table = np.empty(rows, np.int64)
        place_table = np.empty(rows, np.int64)
        dump = np.empty(columns + outputs, x.dtype)
        none = np.zeros(columns, x.dtype)
        x_base, y_base = x.ctypes.data, y.ctypes.data
        patch_base, product_base = patches.ctypes.data, products.ctypes.data
        zeros = nothing.ctypes.data
        for item in range(start, stop):
            first = item * block
            count = min(block, total - first)
            for t in range(count):
                tile_w = (first + t) % across
                rest = (first + t) // across
                tile_h = rest % down
                n = rest // down
                for i in range(PATCH):
                    h = tile_h * TILE + i - before_h
                    for j in range(PATCH):
                        w = tile_w * TILE + j - before_w
                        if h >= 0 and h < height and w >= 0 and w < width:
                            patch_table[PATCH * i + j] = x_base + ((n * height + h) * width + w) * channels * itemsize
                        else:
                            patch_table[PATCH * i + j] = zeros
                for i in range(TILE):
                    for j in range(TILE):
                        h, w = tile_h * TILE + i, tile_w * TILE + j
                        if h < out_h and w < out_w:
                            out_table[t, TILE * i + j] = y_base + ((n * out_h + h) * out_w + w) * outputs * itemsize
                        else:
                            out_table[t, TILE * i + j] = dump.ctypes.data
                for c in range(0, channels, length):
                    into(
                        patch_table.ctypes.data, c, patch_base + (t * padded + c) * itemsize, block * padded,
                        min(length, channels - c),
                    )  # fmt: skip
            whole = (count + rows - 1) // rows * rows
            for panel in range(panels):
                for point in range(POINTS):
                    for low in range(0, whole, rows):
                        for r in range(rows):
                            row_table[r] = patch_base + (point * block + low + r) * padded * itemsize
                            place_table[r] = product_base + (point * block + low + r) * columns * itemsize
                        tile(
                            row_table.ctypes.data, 1, channels, 0, points[panel, point].ctypes.data, none.ctypes.data,
                            place_table.ctypes.data, columns,
                        )  # fmt: skip
                left = panel * columns
                for t in range(count):
                    for o in range(0, min(columns, outputs - left), length):
                        out_of(
                            product_base + (t * columns + o) * itemsize, block * columns,
                            starts[panel, o:].ctypes.data, out_table[t].ctypes.data, left + o,
                            min(length, outputs - left - o),
                        )  # fmt: skip

    return winograd


@kernel(fastmath=SUM_FLAGS)
def _probe(start: int, stop: int, rows: Array, found: Array) -> None:
    """Write, for rows ``start <= row < stop``, 0 to `found` if all numbers are finite, else NaN."""
    for row in range(start, stop):
        total = rows[row, 0] * 0
        for k in range(rows.shape[1]):
            total += rows[row, k] * 0
        found[row] = total


def _all_finite(y: Array) -> bool:
    rows = y.reshape(y.shape[0] * y.shape[1], -1)
    found = np.empty(rows.shape[0], y.dtype)
    parallel_for(_probe, rows.shape[0], rows, found, nanoseconds=y.nbytes / 16)
    return not bool(np.isnan(found).any())


def _run(x: Array, w: Array, bias: Array | None, y: Array, before: tuple[int, ...]) -> bool:
    """Correlate `x` (N, H, W, C) with `w` (9, C, O) into `y`; return False if something is infinite or NaN."""
    batch, out_h, out_w, outputs = y.shape
    channels = x.shape[3]
    shape = tile_shape(x.itemsize, outputs)
    packed, finite = pack(w, 1, shape)
    if not finite:
        return False
    panels = packed.shape[0]
    points = np.empty((panels, POINTS, channels, shape.columns), x.dtype)
    parallel_for(_make_kernel_loop(shape), panels * channels, packed, points, nanoseconds=points.nbytes / 8)
    starts = np.zeros((panels, shape.columns), x.dtype)
    if bias is not None:
        starts.reshape(-1)[:outputs] = bias
    tiles = batch * -(-out_h // TILE) * -(-out_w // TILE)
    block = max(1, BLOCK_BYTES // (POINTS * (channels + shape.columns) * x.itemsize) // shape.rows)
    # At least four blocks for each thread. Results do not depend on the blocks: each tile is computed by itself.
    block = max(1, min(block, tiles // (4 * get_num_threads() * shape.rows))) * shape.rows
    loop, nothing = _make(shape), np.zeros(channels, x.dtype)
    padded = -(-channels // lanes(x.itemsize)) * lanes(x.itemsize)

    def blocks(start: int, stop: int) -> None:
        with (
            scratch((POINTS, block, padded), x.dtype) as patches,
            scratch((POINTS, block, shape.columns), x.dtype) as products,
        ):
            loop(start, stop, x, points, starts, y, nothing, *before, block, patches, products)

    flop = 2 * tiles * POINTS * channels * outputs
    parallel_for(blocks, -(-tiles // block), nanoseconds=2 * flop / FLOP_PER_NANOSECOND)
    return _all_finite(y)


def _can(window: Window, groups: int, dtype: np.dtype[Any], *sizes: int) -> bool:
    return (
        window.kernel == (1, 3, 3)
        and window.stride == window.dilation == (1, 1, 1)
        and window.before[0] == window.after[0] == 0
        and groups == 1
        and dtype.kind == "f"
        and all(sizes)
        and not config.DISABLE_JIT
    )


# ---------------------------------------------------------------- the formulation


def correlate(x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    """Correlate, as :func:`.correlation.correlate`; directly where this way is not open, or something is not finite."""
    dtype, operands = correlate_operands(x, w, bias, window, groups)
    inner = operands[0].dtype
    y = np.empty((x.shape[0], *window.out, w.shape[4]), inner)
    if _can(window, groups, inner, y.size, x.shape[4]):
        source, taps = channels_last(operands[0], inner), operands[1]
        source, target = source.reshape(-1, *source.shape[2:]), y.reshape(-1, *y.shape[2:])
        if _run(source, taps.reshape(9, *taps.shape[3:]), operands[2], target, window.before[1:]):
            return y.astype(dtype, copy=False)
    return correlation.correlate(x, w, bias, window, groups)


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1) -> Array:
    """As :func:`.correlation.correlate_input_gradient`: `gy` correlated with the rotated, transposed kernel."""
    dtype, operands = input_gradient_operands(gy, w, window, groups)
    inner = operands[0].dtype
    gx = np.empty((gy.shape[0], *window.size, w.shape[3] * groups), inner)
    if _can(window, groups, inner, gx.size, gy.size):
        source = channels_last(operands[0], inner)
        source, target = source.reshape(-1, *source.shape[2:]), gx.reshape(-1, *gx.shape[2:])
        turned = operands[1][0, ::-1, ::-1].swapaxes(2, 3).reshape(9, w.shape[4], w.shape[3])
        before = (2 - window.before[1], 2 - window.before[2])
        if _run(source, turned, None, target, before):
            return gx.astype(dtype, copy=False)
    return correlation.correlate_input_gradient(gy, w, window, groups)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
    """As :func:`.correlation.correlate_weight_gradient`, which computes it."""
    return correlation.correlate_weight_gradient(x, gy, window, groups, outputs_first)
