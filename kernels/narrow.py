"""Sums of matrix products whose columns are pixels and whose rows are channels: for results of few channels.

`pixels` has channels in the lanes of vectors. Of a result with three channels, the input gradient of a first layer, or
with one, most lanes would hold nothing. Here lanes are neighbouring pixels of a row, the numbers of the kernel are
broadcast, and no lane is lost but at the ends of rows::

    y[c, i : i + L] += w[u, k, c] * x[k, i + shift[u] : i + shift[u] + L]        for c < R, and V such runs of pixels

For that the source lies in *planes*: ``(N, D, H, C, W)``, each row of pixels channel by channel, with zeros at its
ends where taps read padding; if windows move in steps of S, pixels S apart lie side by side. Rows of taps that are
padding as a whole are left out. Making planes is one pass over the source, from channels-last or channels-first memory.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import contiguous
from .emitter import Emitter, Shape, lanes, register_count
from .gather import Gather, Reach, reaches
from .jit import kernel
from .threads import parallel_for
from .tile import copy_tile, scatter_tile, transpose_tile
from .transposition import channels_second
from .workspace import scratch

Array = NDArray[Any]

FLOP_PER_NANOSECOND = 50.0
NUMBERS_PER_NANOSECOND = 2.0


# Results of up to a quarter of a vector's lanes; and up to three eighths, if there are so many terms that what is done
# once for a pixel counts little.
MANY_TERMS = 128


def serves(dtype: np.dtype[Any], channels: int, inputs: int, taps: int, step: int, groups: int) -> bool:
    """Whether results of so many channels would waste most of the lanes, if channels were lanes.

    Not if windows move in steps, or are single pixels: making planes costs more.
    """
    if dtype.kind != "f" or groups > 1 or step > 1 or taps == 1 or config.DISABLE_JIT:
        return False
    length = lanes(dtype.itemsize)
    return channels <= max(1, length // 4) or (taps * inputs >= MANY_TERMS and 8 * channels <= 3 * length)


@functools.cache
def _shape(itemsize: int, channels: int) -> Shape:
    """A tile of so many rows, and of as many vectors as fit into the registers."""
    return Shape(itemsize, channels, max(1, min(8, {32: 24, 16: 12}[register_count()] // channels)))


@functools.cache
def _tile(shape: Shape) -> Any:
    """Make the tile: a function for compiled code.

    Returns
    -------
    intrinsic
        ``tile(places, rows, count, steps, length, start, target)``, all int64:

        - `places`: address of ``int64[V]``, where each run of L pixels begins in the source;
        - `rows`: address of ``int64[count, 2]``: for each row of taps, how far from there its pixels lie, in bytes, and
          the address of its part of the kernel, ``A[length, R]``;
        - `steps`: address of ``int64[length]``: how much farther the numbers lie that row k of A multiplies;
        - `start`: address of the R numbers that sums begin with;
        - `target`: address of ``T[R, V * L]``.

    Notes
    -----
    ``2 * R * V * L * count * length`` flop.
    """

    @intrinsic
    def tile(typingctx, places, rows, count, steps, length, start, target):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            places, rows, count, steps, length, start, target = args
            emit = Emitter(builder, shape)
            integer = ir.IntType(64)
            function = builder.function
            row_block, step_block, row_end, end = (
                function.append_basic_block(f"narrow.{name}") for name in ("row", "step", "row_end", "end")
            )

            def integer_at(address: Any, index: Any) -> Any:
                return builder.load(builder.gep(builder.inttoptr(address, integer.as_pointer()), [index]))

            at = [integer_at(places, emit.constant(v)) for v in range(shape.vectors)]
            firsts = [emit.broadcast(builder.gep(emit.pointer(start), [emit.constant(r)])) for r in range(shape.rows)]
            before = builder.block
            builder.cbranch(builder.icmp_signed(">", count, emit.constant(0)), row_block, end)

            builder.position_at_end(row_block)
            row = builder.phi(integer)
            sums_row = emit.phis()
            distance = integer_at(rows, builder.mul(row, emit.constant(2)))
            first_a = emit.pointer(integer_at(rows, builder.add(builder.mul(row, emit.constant(2)), emit.constant(1))))
            here = [builder.add(address, distance) for address in at]
            builder.branch(step_block)

            builder.position_at_end(step_block)
            step = builder.phi(integer)
            a = builder.phi(emit.element.as_pointer())
            sums = emit.phis()
            farther = integer_at(steps, step)

            def number(r: int) -> Any:
                return emit.broadcast(builder.gep(a, [emit.constant(r)]))

            def pixels(v: int) -> Any:
                return emit.load(emit.pointer(builder.add(here[v], farther)), 0)

            # Of rows and vectors the fewer are loaded first, and stay in registers while the others pass by.
            new = emit.grid(lambda r, v: sums[r][v])
            if shape.rows < shape.vectors:
                numbers = [number(r) for r in range(shape.rows)]
                for v in range(shape.vectors):
                    right = pixels(v)
                    for r in range(shape.rows):
                        new[r][v] = builder.call(emit.fma, [numbers[r], right, sums[r][v]])
            else:
                rights = [pixels(v) for v in range(shape.vectors)]
                for r in range(shape.rows):
                    left = number(r)
                    for v in range(shape.vectors):
                        new[r][v] = builder.call(emit.fma, [left, rights[v], sums[r][v]])
            following = builder.add(step, emit.constant(1))
            next_a = builder.gep(a, [emit.constant(shape.rows)])
            builder.cbranch(builder.icmp_signed("<", following, length), step_block, row_end)

            builder.position_at_end(row_end)
            next_row = builder.add(row, emit.constant(1))
            builder.cbranch(builder.icmp_signed("<", next_row, count), row_block, end)

            builder.position_at_end(end)
            last = emit.phis()
            for phi, first, after in ((step, emit.constant(0), following), (a, first_a, next_a)):
                phi.add_incoming(first, row_block)
                phi.add_incoming(after, step_block)
            row.add_incoming(emit.constant(0), before)
            row.add_incoming(next_row, row_end)
            for r in range(shape.rows):
                for v in range(shape.vectors):
                    sums_row[r][v].add_incoming(firsts[r], before)
                    sums_row[r][v].add_incoming(new[r][v], row_end)
                    sums[r][v].add_incoming(sums_row[r][v], row_block)
                    sums[r][v].add_incoming(new[r][v], step_block)
                    last[r][v].add_incoming(firsts[r], before)
                    last[r][v].add_incoming(new[r][v], row_end)
            for r in range(shape.rows):
                for v in range(shape.vectors):
                    emit.store(last[r][v], emit.pointer(target), r * shape.columns + v * emit.length)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 7), generate

    return tile


# ---------------------------------------------------------------- making planes


def _make_fill(itemsize: int) -> Any:
    transpose, scatter, length = transpose_tile(itemsize), scatter_tile(itemsize), lanes(itemsize)
    copy = copy_tile(itemsize)

    @kernel
    def fill(start: int, stop: int, source: Array, planes: Array, lowest: int, first: bool) -> None:
        """Fill rows ``start <= row < stop``, (n * D + d) * H + h, of `planes` (N * D * H, C, S, W').

        Pixel q of a row goes to ``[(q - lowest) % S, (q - lowest) // S]``, zeros everywhere else. `source` is
        (N, C, D * H, W) if channels come `first`, else (N, 1, D * H * W, C).
        """
        channels, step, room = planes.shape[1:]
        whole = channels - channels % length
        some, check = np.full(length, -1, np.int64), np.zeros(length, source.dtype)
        for c in range(whole, channels):
            some[c - whole] = (c - whole) * room * itemsize
        source_at, planes_at = source.ctypes.data, planes.ctypes.data
        if first:
            rows, width = source.shape[2], source.shape[3]
        else:
            rows = planes.shape[0] // source.shape[0]
            width = source.shape[2] // rows
        begin, end = max(0, lowest), min(width, lowest + step * room)
        for row in range(start, stop):
            n, at = row // rows, row % rows
            planes[row] = 0
            if first and step == 1:
                to = planes_at + row * channels * room * itemsize
                for c in range(channels):
                    line = source_at + (((n * channels + c) * rows + at) * width) * itemsize
                    q = begin
                    # A vector's lanes beyond the end of the row hold zeros, as the plane does there.
                    while q < end and q - lowest + length <= room:
                        copy(
                            line + q * itemsize, to + (c * room + q - lowest) * itemsize, min(length, end - q),
                            check.ctypes.data,
                        )  # fmt: skip
                        q += length
                    for last in range(q, end):
                        planes[row, c, 0, last - lowest] = source[n, c, at, last]
            elif first:
                for c in range(channels):
                    for q in range(begin, end):
                        planes[row, c, (q - lowest) % step, (q - lowest) // step] = source[n, c, at, q]
            else:
                done = begin
                if step == 1:
                    done = end if end - begin >= length else begin
                    for block in range(begin, done, length):
                        q = min(block, done - length)  # the last block may do some pixels twice
                        here = source[n, 0, at * width + q :].ctypes.data
                        there = planes[row, 0, 0, q - lowest :].ctypes.data
                        for c in range(0, whole, length):
                            transpose(here + c * itemsize, channels, there + c * room * itemsize, room)
                        if whole < channels:
                            scatter(
                                here + whole * itemsize, channels * itemsize, length, channels - whole,
                                some.ctypes.data, there + whole * room * itemsize, check.ctypes.data,
                            )  # fmt: skip
                for q in range(done, end):
                    pixel = source[n, 0, at * width + q]
                    phase, to = (q - lowest) % step, (q - lowest) // step
                    for c in range(channels):
                        planes[row, c, phase, to] = pixel[c]

    return fill


_FILL = {itemsize: _make_fill(itemsize) for itemsize in (4, 8)}


# ---------------------------------------------------------------- the product


@functools.cache
def _make(shape: Shape) -> Any:
    tile = _tile(shape)
    channels, vectors, itemsize, length = shape.rows, shape.vectors, shape.itemsize, lanes(shape.itemsize)

    @kernel
    def products(
        start: int, stop: int, planes: Array, kernel_: Array, starts: Array, target: Array, geometry: Any,
        reach_d: Any, reach_h: Any, steps: Array, rectify: bool,
    ) -> None:  # fmt: skip
        """Compute items ``start <= item < stop``: V runs of pixels at one depth and height, of all images.

        `planes` (N, D, H, C, S * W'), `kernel_` (KD, KH, C * KW, R), `steps` (C * KW,), `target` (N, D', H', W', R).
        """
        _, count_h, count_w = geometry[0]
        step_d, step_h, _ = geometry[1]
        out_d, out_h, out_w = geometry[2]
        first_d, first_h, first_w = geometry[3]
        shift_d, class_d, low_d, high_d = reach_d
        shift_h, class_h, low_h, high_h = reach_h
        row_bytes = planes.shape[3] * planes.shape[4] * itemsize
        plane_bytes = planes.shape[2] * row_bytes
        image_bytes = planes.shape[1] * plane_bytes
        kernel_bytes = steps.size * channels * itemsize
        source_base, kernel_base = planes.ctypes.data, kernel_.ctypes.data
        runs_w = (count_w + length - 1) // length
        runs = planes.shape[0] * runs_w
        chunks = (runs + vectors - 1) // vectors
        places = np.empty(vectors, np.int64)
        rows = np.empty((shift_d.size * shift_h.size, 2), np.int64)
        result = np.empty((channels, vectors * length), target.dtype)
        rows_at, places_at, result_at = rows.ctypes.data, places.ctypes.data, result.ctypes.data
        steps_at, starts_at = steps.ctypes.data, starts.ctypes.data
        before, count, zero = -1, 0, target.dtype.type(0)
        for item in range(start, stop):
            if item // chunks != before:
                before = item // chunks
                h, d = before % count_h, before // count_h
                count = 0
                for kd in range(low_d[class_d[d]], high_d[class_d[d]]):
                    for kh in range(low_h[class_h[h]], high_h[class_h[h]]):
                        rows[count, 0] = (d * step_d + shift_d[kd]) * plane_bytes + (
                            h * step_h + shift_h[kh]
                        ) * row_bytes
                        rows[count, 1] = kernel_base + (kd * shift_h.size + kh) * kernel_bytes
                        count += 1
            first = item % chunks * vectors
            last = min(first + vectors, runs)
            for v in range(vectors):
                run = min(first + v, runs - 1)
                places[v] = source_base + run // runs_w * image_bytes + run % runs_w * length * itemsize
            tile(places_at, rows_at, count, steps_at, steps.size, starts_at, result_at)
            for run in range(first, last):
                left = run % runs_w * length
                row = target[run // runs_w, d * out_d + first_d, h * out_h + first_h]
                column = (run - first) * length
                for i in range(min(length, count_w - left)):
                    for c in range(channels):
                        value = result[c, column + i]
                        if rectify and value <= 0:
                            value = zero
                        row[(left + i) * out_w + first_w, c] = value

    return products


def multiply(
    source: Array, parts: list[tuple[Gather, Array]], bias: Array | None, target: Array, rectify: bool = False
) -> bool:
    """Compute the pixels of `target` that several gathers from one source name.

    Parameters
    ----------
    source : ndarray, shape (N, D, H, W, C)
        Any strides; read fastest if channels or pixels of a row lie side by side.
    parts : list of (Gather, ndarray)
        With each its kernel, shape (KD, KH, KW, C, R), any strides. All have the same steps.
    bias : ndarray, shape (R,), or None
    target : ndarray, shape (N, D', H', W', R), C-contiguous
        Modified in place.
    rectify : bool
        Whether to put 0 in place of what is 0 or less.

    Returns
    -------
    bool
        False if nothing was computed: rows end with zeros for padding, whose product with an infinite or NaN element of
        the kernel is not 0.
    """
    dtype, itemsize = target.dtype, target.itemsize
    plan = _plan(itemsize, source.shape, tuple([gather for gather, _ in parts]), target.shape[4])
    if plan is None:
        return True
    for index in plan.padded:
        if not np.isfinite(parts[index][1]).all():
            return False
    first = channels_second(source)
    is_first = first.dtype == dtype and first.flags.c_contiguous and not source.flags.c_contiguous
    lying = contiguous(first if is_first else source, dtype).reshape(plan.first if is_first else plan.last)
    starts = plan.zeros if bias is None else contiguous(bias, dtype)
    with scratch(plan.planes, dtype) as planes:
        parallel_for(
            _FILL[itemsize], planes.shape[0], lying, planes, plan.lowest, is_first, nanoseconds=plan.nanoseconds
        )
        rows = planes.reshape(plan.rows)
        for part in plan.parts:
            w = parts[part.number][1]  # (KD, KH, KW, C, R) -> (KD, KH, C * KW, R)
            turned = np.ascontiguousarray(w.swapaxes(2, 3), dtype).reshape(*w.shape[:2], -1, w.shape[4])
            parallel_for(
                plan.loop, part.items, rows, turned, starts, target, part.geometry, *part.reach, part.steps, rectify,
                nanoseconds=part.nanoseconds,
            )  # fmt: skip
    return True


class _Part(NamedTuple):
    """What `multiply` does for a gather, with its number: arguments of the loop under their names, and its time."""

    number: int
    items: int
    geometry: tuple[tuple[int, int, int], ...]
    reach: tuple[Reach, Reach]
    steps: Array
    nanoseconds: float


class _Plan(NamedTuple):
    """What `multiply` does with a source of some shape. The arrays in it are read only.

    Attributes
    ----------
    loop
        The compiled loop.
    parts : tuple of _Part
        Of the gathers that have pixels.
    padded : tuple of int
        Numbers of the gathers with pixels whose rows end with zeros for padding.
    planes, rows, first, last : tuple of int
        Shapes: of the planes as they are filled and as they are read; of the source, if channels come first or last.
    lowest : int
        As `fill` takes it.
    zeros : ndarray
        What sums begin with if there is no bias.
    nanoseconds : float
        For filling the planes.
    """

    loop: Any
    parts: tuple[_Part, ...]
    padded: tuple[int, ...]
    planes: tuple[int, ...]
    rows: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    lowest: int
    zeros: Array
    nanoseconds: float


@functools.lru_cache(maxsize=256)
def _plan(itemsize: int, source: tuple[int, ...], gathers: tuple[Gather, ...], channels: int) -> _Plan | None:
    """The plan for a source of such a shape and a target of so many channels; None if it has no pixel."""
    chosen = [(index, gather) for index, gather in enumerate(gathers) if 0 not in gather.positions]
    if not chosen or source[0] == 0:
        return None
    images, depth, height, width, inputs = source
    shape, length = _shape(itemsize, channels), lanes(itemsize)
    step = chosen[0][1].step[2]
    lowest = min(min(gather.shifts[2]) for _, gather in chosen)
    room = max(
        -(-gather.positions[2] // length) * length + (max(gather.shifts[2]) - lowest) // step for _, gather in chosen
    )
    parts, padded = [], []
    for index, gather in chosen:
        (reach_d, reach_h, reach_w), _ = reaches(gather)
        if reach_w.low.max() > 0 or reach_w.high.min() < reach_w.shifts.size:
            padded.append(index)
        shifts = reach_w.shifts - lowest
        steps = (np.arange(inputs)[:, None] * (step * room) + shifts % step * room + shifts // step).ravel() * itemsize
        chunks = -(-images * -(-gather.positions[2] // length) // shape.vectors)
        items = gather.positions[0] * gather.positions[1] * chunks
        flop = 2 * items * shape.columns * gather.taps * inputs * channels
        geometry = (gather.positions, gather.step, gather.target_step, gather.target_first)
        parts.append(_Part(index, items, geometry, (reach_d, reach_h), steps, flop / FLOP_PER_NANOSECOND))
    planes = (images * depth * height, inputs, step, room)
    return _Plan(
        _make(shape), tuple(parts), tuple(padded), planes, (images, depth, height, inputs, step * room),
        (images, inputs, depth * height, width), (images, 1, depth * height * width, inputs), lowest,
        np.zeros(channels, np.dtype(f"f{itemsize}")), math.prod(planes) / NUMBERS_PER_NANOSECOND,
    )  # fmt: skip
