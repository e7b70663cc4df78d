"""Maximum pooling in vectors of channels: the largest elements and their taps stay in registers from tap to tap.

The plain loop of `pooling` reads and writes its result once for each tap, and needs whole vectors of channels to be
fast. Here (`window_tile`) one vector of channels of one window is settled after the other: for each tap a load, a
comparison and two selections. Where the pixels of a window lie is looked up in a table of distances from its first
one, which is the same for all windows that lie wholly in the input.
"""

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numpy.typing import NDArray

from .emitter import Emitter, Shape, lanes
from .geometry import Window
from .jit import kernel
from .threads import parallel_for

Array = NDArray[Any]

_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


@functools.cache
def window_tile(itemsize: int, winner_bytes: int, masked: bool) -> Any:
    """Make the tile, a function for compiled code.

    Parameters
    ----------
    itemsize : int
        4 for float32, 8 for float64.
    winner_bytes : int
        Bytes of the integers that number the taps.
    masked : bool
        Whether there may be fewer channels than a vector has lanes. Nothing is read or written beyond them.

    Returns
    -------
    intrinsic
        ``tile(first, distances, numbers, taps, y, winner, channels)``, all int64, addresses in bytes:

        - `first`: address of what the distances are counted from;
        - `distances`: address of ``int64[taps]``, where the pixel of each tap lies, in bytes;
        - `numbers`: address of ``int64[taps]``, the numbers of these taps, in the order in which they win ties;
        - `y`, `winner`: addresses of the results;
        - `channels`: how many there are.
    """

    @intrinsic
    def tile(typingctx, first, distances, numbers, taps, y, winner, channels):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 7)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first, distances, numbers, taps, y, winner, channels = args
            emit = Emitter(builder, Shape(itemsize, 1, 1))
            integers = ir.VectorType(_I32, emit.length)
            function = builder.function
            loop, end = (function.append_basic_block(f"window.{name}") for name in ("tap", "end"))
            mask = emit.masks(channels)[0] if masked else None
            distance_table = builder.inttoptr(distances, _I64.as_pointer())
            number_table = builder.inttoptr(numbers, _I64.as_pointer())

            def look_up(tap: Any) -> tuple[Any, Any]:
                place = builder.add(first, builder.load(builder.gep(distance_table, [tap])))
                pointer = emit.pointer(place)
                value = emit.load_masked(pointer, 0, mask) if masked else emit.load(pointer, 0)
                number = builder.trunc(builder.load(builder.gep(number_table, [tap])), _I32)
                undefined = ir.Constant(integers, ir.Undefined)
                lane = builder.insert_element(undefined, number, ir.Constant(_I32, 0))
                return value, builder.shuffle_vector(lane, undefined, ir.Constant(integers, [0] * emit.length))

            begin_value, begin_number = look_up(emit.constant(0))
            before = builder.block
            builder.cbranch(builder.icmp_signed(">", taps, emit.constant(1)), loop, end)

            builder.position_at_end(loop)
            tap = builder.phi(_I64)
            largest, number = builder.phi(emit.vector), builder.phi(integers)
            value, candidate = look_up(tap)
            # NaN wins, and of several the last one row by row; of equals, the first that was seen.
            later = builder.or_(
                builder.fcmp_ordered("ord", largest, largest), builder.icmp_signed(">", candidate, number)
            )
            wins = builder.or_(
                builder.fcmp_ordered(">", value, largest),
                builder.and_(builder.fcmp_unordered("uno", value, value), later),
            )
            new_largest, new_number = builder.select(wins, value, largest), builder.select(wins, candidate, number)
            next_tap = builder.add(tap, emit.constant(1))
            for phi, start, new in (
                (tap, emit.constant(1), next_tap),
                (largest, begin_value, new_largest),
                (number, begin_number, new_number),
            ):
                phi.add_incoming(start, before)
                phi.add_incoming(new, loop)
            builder.cbranch(builder.icmp_signed("<", next_tap, taps), loop, end)

            builder.position_at_end(end)
            result, which = builder.phi(emit.vector), builder.phi(integers)
            for phi, start, new in ((result, begin_value, new_largest), (which, begin_number, new_number)):
                phi.add_incoming(start, before)
                phi.add_incoming(new, loop)
            narrow = ir.VectorType(ir.IntType(8 * winner_bytes), emit.length)
            short = which if winner_bytes == 4 else builder.trunc(which, narrow)
            target = builder.inttoptr(winner, narrow.as_pointer())
            if masked:
                emit.store_masked(result, emit.pointer(y), 0, mask)
                store = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(
                        ir.VoidType(), [narrow, narrow.as_pointer(), _I32, ir.VectorType(_I1, emit.length)]
                    ),
                    f"llvm.masked.store.v{emit.length}i{8 * winner_bytes}.p0",
                )
                builder.call(store, [short, target, ir.Constant(_I32, winner_bytes), mask])
            else:
                builder.store(result, emit.vector_at(emit.pointer(y), 0)).align = itemsize
                builder.store(short, target).align = winner_bytes
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.lru_cache(maxsize=256)
def tap_table(window: Window, ties: str) -> NDArray[np.int64]:
    """Return the taps in the order in which they win ties: rows of (kd, kh, kw, number), shape (K, 4)."""
    number = np.arange(window.taps, dtype=np.int64)
    kd, kh, kw = np.unravel_index(number, window.kernel)
    table = np.stack([kd, kh, kw, number], axis=1).astype(np.int64)
    if ties == "column":
        table = table[np.lexsort((kd, kh, kw))]  # the last key counts most: column, then row, then depth
    return table  # never to be written: it is made once


@functools.cache
def _make(itemsize: int, winner_bytes: int, masked: bool) -> Any:
    tile = window_tile(itemsize, winner_bytes, masked)
    length = lanes(itemsize)

    @kernel
    def max_pool_windows(
        start: int, stop: int, x: int, y: int, offset: int, channels: int, window: Window, table: Array, numbers: Array,
        distances: Array,
    ) -> None:  # fmt: skip
        """Compute the rows ``start <= row < stop`` of `y` and `offset`, row ``(n * OD + od) * OH + oh``, in place.

        `x`, `y` and `offset` are the addresses of C-contiguous arrays. Row k of `table` holds the three indices of the
        tap that wins ties against all below it, ``numbers[k]`` is its number, and ``distances[k]`` how far its pixel
        lies from the first one of its window, in bytes.
        """
        depth, height, width = window.size
        taps_d, taps_h, taps_w = window.kernel
        stride_d, stride_h, stride_w = window.stride
        dilation_d, dilation_h, dilation_w = window.dilation
        before_d, before_h, before_w = window.before
        out_d, out_h, out_w = window.out
        count = distances.size
        scratch = np.empty(2 * count, np.int64)
        some = scratch.ctypes.data
        inside_at, inside_numbers = distances.ctypes.data, numbers.ctypes.data
        for row in range(start, stop):
            oh = row % out_h
            od = row // out_h % out_d
            n = row // out_h // out_d
            d, h = od * stride_d - before_d, oh * stride_h - before_h
            inside = (
                d >= 0 and d + (taps_d - 1) * dilation_d < depth and h >= 0 and h + (taps_h - 1) * dilation_h < height
            )
            for ow in range(out_w):
                w = ow * stride_w - before_w
                place, which, taps = inside_at, inside_numbers, count
                if not (inside and w >= 0 and w + (taps_w - 1) * dilation_w < width):
                    taps = 0
                    for k in range(count):
                        at_d, at_h = d + table[k, 0] * dilation_d, h + table[k, 1] * dilation_h
                        at_w = w + table[k, 2] * dilation_w
                        if 0 <= at_d < depth and 0 <= at_h < height and 0 <= at_w < width:
                            scratch[taps], scratch[count + taps] = distances[k], numbers[k]
                            taps += 1
                    place, which = some, some + 8 * count
                first = x + (((n * depth + d) * height + h) * width + w) * channels * itemsize
                pixel = (row * out_w + ow) * channels
                for low in range(0, channels, length):
                    tile(
                        first + low * itemsize, place, which, taps,
                        y + (pixel + low) * itemsize, offset + (pixel + low) * winner_bytes, channels - low,
                    )  # fmt: skip

    return max_pool_windows


@functools.lru_cache(maxsize=256)
def _distances(window: Window, order: str, pixel_bytes: int) -> Array:
    """How far in bytes the pixel of each tap of ``tap_table(window, order)`` lies from the first one of a window."""
    d, h, w = (tap_table(window, order)[:, k] * window.dilation[k] for k in range(3))
    return ((d * window.size[1] + h) * window.size[2] + w) * pixel_bytes


@functools.lru_cache(maxsize=256)
def _numbers(window: Window, order: str) -> Array:
    return tap_table(window, order)[:, 3].copy()


def max_pool(x: Array, y: Array, offset: Array, window: Window, ties: str, nanoseconds: float) -> None:
    """Compute `y` and `offset` of maximum pooling.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (N, D, H, W, C)
        C-contiguous.
    y : ndarray, shape (N, OD, OH, OW, C), dtype of `x`
        C-contiguous. Modified in place.
    offset : ndarray of unsigned integers of at most 4 bytes, shape as `y`
        C-contiguous. Modified in place.
    window : Window
        Every window sees at least one element of `x`.
    ties : {"row", "column"}
    nanoseconds : float
        What all of it costs, about.
    """
    channels = x.shape[4]
    parallel_for(
        _make(x.itemsize, offset.itemsize, channels % lanes(x.itemsize) != 0), y.shape[0] * y.shape[1] * y.shape[2],
        x.ctypes.data, y.ctypes.data, offset.ctypes.data, channels, window, tap_table(window, ties),
        _numbers(window, ties), _distances(window, ties, channels * x.itemsize), nanoseconds=nanoseconds,
    )  # fmt: skip


@functools.cache
def route_tile(itemsize: int, winner_bytes: int, masked: bool) -> Any:
    """Make the tile of the gradient, a function for compiled code.

    Parameters
    ----------
    itemsize, winner_bytes, masked
        As of `window_tile`.

    Returns
    -------
    intrinsic
        ``tile(g, winner, tap, target, channels, add)``, all int64, addresses in bytes: writes to `target` the numbers
        at `g` where those at `winner` are `tap`, and zeros elsewhere; added to what `target` holds if `add`.
    """

    @intrinsic
    def tile(typingctx, g, winner, tap, target, channels, add):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            g, winner, tap, target, channels, add = args
            emit = Emitter(builder, Shape(itemsize, 1, 1))
            number = ir.IntType(8 * winner_bytes)
            narrow = ir.VectorType(number, emit.length)
            lanes_ = ir.VectorType(_I1, emit.length)
            mask = emit.masks(channels)[0] if masked else None
            place = builder.inttoptr(winner, narrow.as_pointer())
            if masked:
                share = emit.load_masked(emit.pointer(g), 0, mask)
                load = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(narrow, [narrow.as_pointer(), _I32, lanes_, narrow]),
                    f"llvm.masked.load.v{emit.length}i{8 * winner_bytes}.p0",
                )
                which = builder.call(load, [place, ir.Constant(_I32, winner_bytes), mask, ir.Constant(narrow, None)])
            else:
                share = emit.load(emit.pointer(g), 0)
                which = builder.load(place)
                which.align = winner_bytes
            undefined = ir.Constant(narrow, ir.Undefined)
            lane = builder.insert_element(undefined, builder.trunc(tap, number), ir.Constant(_I32, 0))
            zeros = ir.Constant(ir.VectorType(_I32, emit.length), [0] * emit.length)
            wanted = builder.icmp_unsigned("==", which, builder.shuffle_vector(lane, undefined, zeros))
            nothing = ir.Constant(emit.vector, [0.0] * emit.length)
            to = emit.pointer(target)

            def store(old: Any) -> None:
                result = builder.select(wanted, builder.fadd(old, share), old)
                if masked:
                    emit.store_masked(result, to, 0, mask)
                else:
                    builder.store(result, emit.vector_at(to, 0)).align = itemsize

            with builder.if_else(builder.icmp_signed("!=", add, emit.constant(0))) as (then, otherwise):
                with then:
                    store(emit.load_masked(to, 0, mask) if masked else emit.load(to, 0))
                with otherwise:
                    store(nothing)
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def _make_route(itemsize: int, winner_bytes: int, masked: bool) -> Any:
    tile = route_tile(itemsize, winner_bytes, masked)
    length = lanes(itemsize)

    @kernel
    def route_windows(
        start: int, stop: int, gy: int, offset: int, gx: Array, channels: int, window: Window, add: int
    ) -> None:
        """Compute the rows ``start <= row < stop`` of `gx`, row ``(n * D + d) * H + h``; `gx` is modified in place.

        `gy` and `offset` are the addresses of C-contiguous arrays, `gx` is flat. If not `add`, no two windows overlap.
        """
        depth, height, width = window.size
        taps_d, taps_h, taps_w = window.kernel
        stride_d, stride_h, stride_w = window.stride
        dilation_d, dilation_h, dilation_w = window.dilation
        before_d, before_h, before_w = window.before
        out_d, out_h, out_w = window.out
        target = gx.ctypes.data
        for row in range(start, stop):
            h = row % height
            d = row // height % depth
            n = row // height // depth
            line = target + row * width * channels * itemsize
            pixels = gx[row * width * channels : (row + 1) * width * channels]
            for i in range(pixels.size):
                pixels[i] = 0
            for kd in range(taps_d):
                steps_d = d + before_d - kd * dilation_d
                od = steps_d // stride_d
                if steps_d < 0 or steps_d % stride_d != 0 or od >= out_d:
                    continue
                for kh in range(taps_h):
                    steps_h = h + before_h - kh * dilation_h
                    oh = steps_h // stride_h
                    if steps_h < 0 or steps_h % stride_h != 0 or oh >= out_h:
                        continue
                    source = ((n * out_d + od) * out_h + oh) * out_w * channels
                    for kw in range(taps_w):
                        tap = (kd * taps_h + kh) * taps_w + kw
                        for ow in range(out_w):
                            w = ow * stride_w + kw * dilation_w - before_w
                            if w < 0 or w >= width:
                                continue
                            at, to = source + ow * channels, line + w * channels * itemsize
                            for low in range(0, channels, length):
                                tile(
                                    gy + (at + low) * itemsize, offset + (at + low) * winner_bytes, tap,
                                    to + low * itemsize, channels - low, add,
                                )  # fmt: skip

    return route_windows


def _apart(window: Window) -> bool:
    """Whether no two windows overlap."""
    return all(s > (k - 1) * d for s, k, d in zip(window.stride, window.kernel, window.dilation))


def serves_route(dtype: np.dtype[Any], offset_bytes: int, window: Window, channels: int) -> bool:
    """Whether `route` is the faster way.

    It looks at every tap of every window. Where windows overlap, a masked load of few channels would soon follow a
    masked store of some of them, and processors wait for such stores to reach the cache.
    """
    if dtype.kind != "f" or offset_bytes > 4 or config.DISABLE_JIT:
        return False
    length = lanes(dtype.itemsize)
    return _apart(window) or (2 * channels >= length and window.taps * -(-channels // length) <= channels)


def route(gy: Array, offset: Array, gx: Array, window: Window, nanoseconds: float) -> None:
    """Compute the gradient of maximum pooling, `gx`.

    Parameters
    ----------
    gy : ndarray of float32 or float64, shape (N, OD, OH, OW, C)
        C-contiguous.
    offset : ndarray of unsigned integers of at most 4 bytes, shape as `gy`
        C-contiguous.
    gx : ndarray, shape (N, D, H, W, C), dtype of `gy`
        C-contiguous. Modified in place.
    window : Window
    nanoseconds : float
        What all of it costs, about.
    """
    channels = gx.shape[4]
    parallel_for(
        _make_route(gy.itemsize, offset.itemsize, channels % lanes(gy.itemsize) != 0),
        gx.shape[0] * gx.shape[1] * gx.shape[2], gy.ctypes.data, offset.ctypes.data, gx.reshape(-1), channels, window,
        int(not _apart(window)), nanoseconds=nanoseconds,
    )  # fmt: skip
