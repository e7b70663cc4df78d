"""Matrix products, ``C = A @ B``, one or many, in register tiles, from operands of any memory order.

A tile keeps R rows by ``V * L`` columns of C in registers; each step loads V vectors of a row of B and broadcasts R
numbers of a column of A (see `tile`). How the operands lie makes no difference to it:

- numbers of A are broadcast one by one, from whatever distances its rows and steps have;
- of B, a block is copied into *panels* ``(steps, V * L)``, one for each tile's width; if the steps lie side by side,
  as they do in ``x @ w.T``, it is transposed in registers on the way.

Blocking, from the inside outwards:

1. a tile's rows of A, for the steps of a slice, stay in the first-level cache while it goes over the panels of a block;
2. the block of B, `BLOCK_BYTES`, stays in the second-level cache while all rows go over it;
3. slices of at most `SLICE_STEPS` steps follow each other, adding to what is in C;
4. an item of work is a block of columns, some rows, and one of many matrices.

Items own their outputs, and the terms of an output are added one after the other, slice by slice, whatever the blocks
are: results do not depend on the number of threads.
"""

import functools
import math
import threading
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import empty_apart
from .emitter import Emitter, Shape, lanes, register_count
from .jit import kernel
from .threads import SERIAL_NANOSECONDS, get_num_threads, parallel_for

Array = NDArray[Any]

_I64 = ir.IntType(64)

# What a core computes in a nanosecond: only to tell small work from large.
FLOP_PER_NANOSECOND = 80.0

# A block of B: a quarter of a second-level cache of 1 MiB, which rows of A and C pass through too.
BLOCK_BYTES = 256 * 1024

# Steps of a slice: twelve rows of A in float32 take 12 KiB of a first-level cache of 32 KiB.
SLICE_STEPS = 256

# Rows of A are copied if they are further apart than this: a multiple of it, the distance between places that share a
# set of the first-level cache or of two.
CROWDED_BYTES = 2048

# Panels of a block from which on such a copy is read often enough to pay.
PANELS_TO_COPY = 4

# Items of work for each thread, so that all end at about the same time; rows of an item, in tiles, below which copying
# B once more for them would cost too much.
ITEMS_PER_THREAD = 4
LEAST_TILES = 8

# Rows of the tile and of the one for the last rows, both two vectors wide, for so many vector registers. Where only one
# vector of columns is left, a tile of that width serves.
VECTORS = 2
_ROWS = {32: (12, 4), 16: (6, 2)}


def least_rows() -> int:
    """Rows of the lowest tile."""
    return _ROWS[register_count()][1]


_LINE_BYTES = 64

# Results below this come from the system's allocator, which has memory at hand in less time than `workspace`.
LEAST_LENT_BYTES = 128 * 1024


# ---------------------------------------------------------------- tiles


def _apart(name: str, count: int, body: Any) -> Any:
    """Make the generator of an intrinsic of `count` integers whose code is a function of its own.

    Several calls share the code, and LLVM does not multiply it with the loops around them.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [_I64] * count), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            function.attributes.add("nounwind")
            inner = ir.IRBuilder(function.append_basic_block("entry"))
            body(inner, *function.args)
            inner.ret_void()
        builder.call(function, args)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * count), generate


def _loop(builder: Any, name: str, starts: list[Any]) -> tuple[list[Any], Any]:
    """Begin a loop with integers that have these values at first; return them, and a function that ends it."""
    before, block = builder.block, builder.function.append_basic_block(name)
    builder.branch(block)
    builder.position_at_end(block)
    values = []
    for first in starts:
        values.append(builder.phi(_I64))
        values[-1].add_incoming(first, before)

    def close(following: list[Any], again: Any) -> None:
        for value, after in zip(values, following):
            value.add_incoming(after, builder.block)
        end = builder.function.append_basic_block(f"{name}_end")
        builder.cbranch(again, block, end)
        builder.position_at_end(end)

    return values, close


def _prefetch_to_write(builder: Any, pointer: Any) -> None:
    """Ask for a cache line that will be written once the sums are complete. Any address will do."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0"
    )
    to_write, first_level, data = (ir.Constant(number, value) for value in (1, 3, 1))
    builder.call(function, [builder.bitcast(pointer, byte), to_write, first_level, data])


@functools.cache
def panel_tile(shape: Shape) -> Any:
    """Make the tile of a matrix product, a function for compiled code.

    Returns
    -------
    intrinsic
        ``tile(a, a_row, a_step, steps, b, add, columns_start, rows_start, c, c_row, rows, columns, rectify)``, all
        int64, addresses and distances in bytes:

        - `a`, `a_row`, `a_step`: number (r, k) of A lies at ``a + r * a_row + k * a_step``;
        - `b`: address of a panel of B, of which these are the first columns; ``steps >= 1``;
        - `add`: whether to add to what is in C; else sums begin with number j of those at `columns_start`, j the
          column, plus number r of those at `rows_start`;
        - `c`, `c_row`: number (r, j) of C lies at ``c + r * c_row``, plus j numbers;
        - `rows`, `columns`: how many there are. Rows beyond them repeat the last one, columns are left alone;
        - `rectify`: whether to store 0 in place of what is 0 or less. NaN stays NaN.

    Notes
    -----
    ``2 * R * V * L * steps`` flop.
    """

    def body(builder: Any, *args: Any) -> None:
        a, a_row, a_step, steps, b, add, columns_start, rows_start, c, c_row, rows, columns, rectify = args
        emit = Emitter(builder, shape)
        names = ("fresh", "present", "step", "join", "joined", "decide", "rectify", "store", "whole", "part", "end")
        fresh, present, loop, join, joined, decide, rectified, store, whole, part, end = (
            builder.function.append_basic_block(name) for name in names
        )
        masks = emit.masks(columns)
        final = builder.sub(rows, emit.constant(1))
        at = [
            builder.select(builder.icmp_signed("<", emit.constant(r), rows), emit.constant(r), final)
            for r in range(shape.rows)
        ]
        left = [builder.add(a, builder.mul(a_row, row)) for row in at]
        targets = [emit.pointer(builder.add(c, builder.mul(c_row, row))) for row in at]
        for target in targets:
            for v in range(shape.vectors):
                _prefetch_to_write(builder, builder.gep(target, [emit.constant(v * emit.length)]))
        builder.cbranch(builder.icmp_signed("==", add, emit.constant(0)), fresh, present)

        builder.position_at_end(fresh)
        first = [emit.load_masked(emit.pointer(columns_start), v * emit.length, masks[v]) for v in range(shape.vectors)]
        number = [emit.broadcast(builder.gep(emit.pointer(rows_start), [row])) for row in at]
        begin = emit.grid(lambda r, v: builder.fadd(first[v], number[r]))
        builder.branch(loop)
        builder.position_at_end(present)
        nothing = ir.Constant(emit.vector, None)
        builder.branch(loop)

        builder.position_at_end(loop)
        step, distance, b_at = (builder.phi(_I64) for _ in range(3))
        sums = emit.phis()
        right = [emit.load(emit.pointer(b_at), v * emit.length) for v in range(shape.vectors)]
        new = []
        for r in range(shape.rows):
            here = emit.broadcast(emit.pointer(builder.add(left[r], distance)))
            new.append([builder.call(emit.fma, [here, right[v], sums[r][v]]) for v in range(shape.vectors)])
        following = builder.add(step, emit.constant(1))
        for phi, start, after in (
            (step, emit.constant(0), following),
            (distance, emit.constant(0), builder.add(distance, a_step)),
            (b_at, b, builder.add(b_at, emit.constant(VECTORS * emit.length * shape.itemsize))),
        ):
            phi.add_incoming(start, fresh)
            phi.add_incoming(start, present)
            phi.add_incoming(after, loop)
        for r in range(shape.rows):
            for v in range(shape.vectors):
                for value, block in ((begin[r][v], fresh), (nothing, present), (new[r][v], loop)):
                    sums[r][v].add_incoming(value, block)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, join)

        # What is in C is added to the sum of these steps, which began with 0: long sums keep their precision.
        builder.position_at_end(join)
        builder.cbranch(builder.icmp_signed("==", add, emit.constant(0)), decide, joined)
        builder.position_at_end(joined)
        both = emit.grid(lambda r, v: builder.fadd(new[r][v], emit.load_masked(targets[r], v * emit.length, masks[v])))
        builder.branch(decide)
        builder.position_at_end(decide)
        total = emit.phis()
        for r in range(shape.rows):
            for v in range(shape.vectors):
                total[r][v].add_incoming(new[r][v], join)
                total[r][v].add_incoming(both[r][v], joined)
        builder.cbranch(builder.icmp_signed("!=", rectify, emit.constant(0)), rectified, store)
        builder.position_at_end(rectified)
        zero = ir.Constant(emit.vector, None)
        cut = emit.grid(lambda r, v: builder.select(builder.fcmp_ordered("<=", total[r][v], zero), zero, total[r][v]))
        builder.branch(store)
        builder.position_at_end(store)
        last = emit.phis()
        for r in range(shape.rows):
            for v in range(shape.vectors):
                last[r][v].add_incoming(total[r][v], decide)
                last[r][v].add_incoming(cut[r][v], rectified)
        builder.cbranch(builder.icmp_signed(">=", columns, emit.constant(shape.columns)), whole, part)
        for block, masked in ((whole, False), (part, True)):
            builder.position_at_end(block)
            for r in range(shape.rows):
                for v in range(shape.vectors):
                    if masked:
                        emit.store_masked(last[r][v], targets[r], v * emit.length, masks[v])
                    else:
                        emit.store(last[r][v], targets[r], v * emit.length)
            builder.branch(end)
        builder.position_at_end(end)

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        typingctx, a, a_row, a_step, steps, b, add, columns_start, rows_start, c, c_row, rows, columns, rectify
    ):
        return _apart(f"panel_{shape.itemsize}_{shape.rows}_{shape.vectors}", 13, body)

    return tile


@functools.cache
def copy_lines(itemsize: int) -> Any:
    """Make a function for compiled code that copies lines of numbers, cut into panels.

    Returns
    -------
    intrinsic
        ``copy(source, distance, lines, count, target, pitch, panel_pitch)``, all int64, addresses and distances in
        bytes: `count` numbers of each of `lines` lines, both at least 1. Numbers ``p * V * L`` and following go to
        ``target + p * panel_pitch``, `pitch` further for each line. The last panel is filled up with zeros. One line is
        written after the other.
    """
    shape = Shape(itemsize, 1, VECTORS)

    def body(builder: Any, *args: Any) -> None:
        source, distance, lines, count, target, pitch, panel_pitch = args
        emit = Emitter(builder, shape)
        width = emit.constant(shape.columns * itemsize)
        (line, from_, to), close_lines = _loop(builder, "line", [emit.constant(0), source, target])
        (left, here, there), close_panels = _loop(builder, "panel", [count, from_, to])
        for v, value in enumerate(_load_some(emit, [(emit.pointer(here), v) for v in range(VECTORS)], left)):
            emit.store(value, emit.pointer(there), v * emit.length)
        rest = builder.sub(left, emit.constant(shape.columns))
        close_panels(
            [rest, builder.add(here, width), builder.add(there, panel_pitch)],
            builder.icmp_signed(">", rest, emit.constant(0)),
        )
        following = builder.add(line, emit.constant(1))
        close_lines(
            [following, builder.add(from_, distance), builder.add(to, pitch)],
            builder.icmp_signed("<", following, lines),
        )

    @intrinsic
    def copy(typingctx, source, distance, lines, count, target, pitch, panel_pitch):  # type: ignore[no-untyped-def]
        return _apart(f"copy_{itemsize}", 7, body)

    return copy


def _load_some(emit: Emitter, places: list[tuple[Any, int]], count: Any) -> list[Any]:
    """Load vector v from each (pointer, v), with 0 for numbers from `count` on, as counted from vector 0.

    Whole vectors are loaded without masks, which some machines do not have.
    """
    builder, length = emit.builder, emit.length
    whole, part, loaded = (builder.function.append_basic_block(name) for name in ("whole", "part", "loaded"))
    needed = emit.constant((1 + max(v for _, v in places)) * length)
    builder.cbranch(builder.icmp_signed(">=", count, needed), whole, part)
    builder.position_at_end(whole)
    plain = [emit.load(pointer, v * length) for pointer, v in places]
    builder.branch(loaded)
    builder.position_at_end(part)
    masks = emit.masks(count)
    masked = [emit.load_masked(pointer, v * length, masks[v]) for pointer, v in places]
    builder.branch(loaded)
    builder.position_at_end(loaded)
    values = []
    for one, other in zip(plain, masked):
        values.append(builder.phi(emit.vector))
        values[-1].add_incoming(one, whole)
        values[-1].add_incoming(other, part)
    return values


@functools.cache
def turn_lines(itemsize: int) -> Any:
    """Make a function for compiled code that transposes up to L lines.

    Returns
    -------
    intrinsic
        ``turn(source, distance, lines, count, target, pitch)``, all int64, addresses and distances in bytes: number j
        of line i becomes number i of line j of the target, for ``j < count``, at least 1. Lines of the target are
        written up to the next multiple of L, as whole vectors; what `lines` leaves of them repeats the last one.
    """
    shape = Shape(itemsize, 1, 1)

    def body(builder: Any, source: Any, distance: Any, lines: Any, count: Any, target: Any, pitch: Any) -> None:
        emit = Emitter(builder, shape)
        length = emit.constant(emit.length)
        final = builder.sub(lines, emit.constant(1))
        starts = []
        for i in range(emit.length):
            here = builder.icmp_signed("<", emit.constant(i), lines)
            starts.append(builder.add(source, builder.mul(distance, builder.select(here, emit.constant(i), final))))
        (done, offset, there), close = _loop(builder, "block", [emit.constant(0), emit.constant(0), target])
        places = [(emit.pointer(builder.add(start, offset)), 0) for start in starts]
        for j, row in enumerate(emit.transposed(_load_some(emit, places, builder.sub(count, done)))):
            emit.store(row, emit.pointer(builder.add(there, builder.mul(pitch, emit.constant(j)))), 0)
        following = builder.add(done, length)
        close(
            [
                following,
                builder.add(offset, emit.constant(emit.length * itemsize)),
                builder.add(there, builder.mul(pitch, length)),
            ],
            builder.icmp_signed("<", following, count),
        )

    @intrinsic
    def turn(typingctx, source, distance, lines, count, target, pitch):  # type: ignore[no-untyped-def]
        return _apart(f"turn_{itemsize}", 6, body)

    return turn


# ---------------------------------------------------------------- the loops around them


@functools.cache
def _make(itemsize: int) -> Any:
    rows, few = _ROWS[register_count()]
    shape = Shape(itemsize, rows, VECTORS)
    tile, half_tile, low_tile = (
        panel_tile(Shape(itemsize, r, v)) for r, v in ((rows, VECTORS), (rows, 1), (few, VECTORS))
    )
    copy, turn, length = copy_lines(itemsize), turn_lines(itemsize), lanes(itemsize)
    columns = shape.columns
    width = columns * itemsize

    @kernel
    def products(
        start: int, stop: int, plan: Array, a_at: int, b_at: int, c_at: int, columns_at: int, rows_at: int, work: int
    ) -> None:
        """Compute items ``start <= item < stop``: some rows of a block of columns of one product.

        `plan` holds the fields of `_Plan`, the rest are addresses: of A, B, C, of what sums begin with, and of scratch
        memory: the block of B, and behind it rows of A.
        """
        m, n, k, terms = plan[0], plan[1], plan[2], plan[3]
        a_row, a_step, a_term, a_matrix = plan[4], plan[5], plan[6], plan[7]
        b_step, b_column, b_term, b_matrix = plan[8], plan[9], plan[10], plan[11]
        c_row, c_matrix, columns_step, rows_step = plan[12], plan[13], plan[14], plan[15]
        slice_steps, block_columns, block_rows = plan[16], plan[17], plan[18]
        row_blocks, column_blocks, copied, rectify = plan[19], plan[20], plan[21], plan[22]
        panel_bytes = slice_steps * width
        rows_copy = work + slice_steps * block_columns * itemsize
        for item in range(start, stop):
            rest = item // row_blocks
            first_row = item % row_blocks * block_rows
            last_row = min(first_row + block_rows, m)
            first_column = rest % column_blocks * block_columns
            count = min(block_columns, n - first_column)
            matrix = rest // column_blocks
            a_from = a_at + matrix * a_matrix + first_row * a_row
            b_from = b_at + matrix * b_matrix + first_column * b_column
            c_from = c_at + matrix * c_matrix + first_row * c_row + first_column * itemsize
            for term in range(terms):
                for done in range(0, k, slice_steps):
                    steps = min(slice_steps, k - done)
                    add = term + done
                    finish = rectify if term == terms - 1 and done + steps == k else 0
                    # 1. The block of B.
                    source = b_from + term * b_term + done * b_step
                    if b_column == itemsize:
                        copy(source, b_step, steps, count, work, width, panel_bytes)
                    else:
                        for v in range(0, (count + columns - 1) // columns * columns, length):
                            turn(
                                source + min(v, count - 1) * b_column, b_column, max(1, min(length, count - v)), steps,
                                work + v // columns * panel_bytes + v % columns * itemsize, width,
                            )  # fmt: skip
                    # 2. The products.
                    source = a_from + term * a_term + done * a_step
                    target = c_from
                    row = first_row
                    while row < last_row:
                        high = rows if last_row - row > rows - few else few
                        present = min(high, last_row - row)
                        left, row_distance, step_distance = source, a_row, a_step
                        if copied == 1:  # steps lie side by side
                            left, row_distance = rows_copy, slice_steps * itemsize
                            copy(source, a_row, present, steps, left, row_distance, width)
                        elif copied == 2:  # rows do; what is written beyond them is the next step's place
                            left, row_distance, step_distance = rows_copy, itemsize, rows * itemsize
                            copy(source, a_step, steps, present, left, step_distance, width)
                        panel = work
                        for v in range(0, count, columns):
                            begin = columns_at + (first_column + v) * columns_step
                            if high == few:
                                low_tile(
                                    left, row_distance, step_distance, steps, panel, add, begin,
                                    rows_at + row * rows_step, target + v * itemsize, c_row, present, count - v, finish,
                                )  # fmt: skip
                            elif count - v <= length:
                                half_tile(
                                    left, row_distance, step_distance, steps, panel, add, begin,
                                    rows_at + row * rows_step, target + v * itemsize, c_row, present, count - v, finish,
                                )  # fmt: skip
                            else:
                                tile(
                                    left, row_distance, step_distance, steps, panel, add, begin,
                                    rows_at + row * rows_step, target + v * itemsize, c_row, present, count - v, finish,
                                )  # fmt: skip
                            panel += panel_bytes
                        row += high
                        source += high * a_row
                        target += high * c_row

    return products


# What sums begin with if there is no bias: enough for the columns and for the rows of a tile.
_NOTHING = np.zeros(64)
_NOTHING_AT = _NOTHING.ctypes.data

_memory = threading.local()


def _run(start: int, stop: int, made: Any, needed: int, *args: Any) -> None:
    """Call `made` with scratch memory of this thread's own, which it keeps: a few hundred KiB."""
    work = getattr(_memory, "work", None)
    if work is None or work[1].size < needed:
        buffer = np.empty(needed + _LINE_BYTES, np.uint8)
        work = _memory.work = (-(-buffer.ctypes.data // _LINE_BYTES) * _LINE_BYTES, buffer)
    made(start, stop, *args, work[0])


class _Plan(NamedTuple):
    """Extents, distances in bytes, and blocks of products; see `multiply`.

    Attributes
    ----------
    m, n, k : int
        Rows, columns, and steps.
    terms : int
        Products that are added up to one matrix.
    a_row, a_step, a_term, a_matrix, b_step, b_column, b_term, b_matrix, c_row, c_matrix : int
        Distances of neighbours.
    columns_step, rows_step : int
        Distances of what sums begin with; 0 if that is nothing.
    slice_steps, block_columns, block_rows : int
        At most so many.
    row_blocks, column_blocks : int
        Blocks of a matrix.
    copied : int
        How rows of A are copied: 0, not at all; 1, steps lie side by side; 2, rows do.
    rectify : int
    """

    m: int
    n: int
    k: int
    terms: int
    a_row: int
    a_step: int
    a_term: int
    a_matrix: int
    b_step: int
    b_column: int
    b_term: int
    b_matrix: int
    c_row: int
    c_matrix: int
    columns_step: int
    rows_step: int
    slice_steps: int
    block_columns: int
    block_rows: int
    row_blocks: int
    column_blocks: int
    copied: int
    rectify: int


@functools.lru_cache(maxsize=512)
def _plan(
    size: int, a: tuple[int, ...], a_strides: tuple[int, ...], b: tuple[int, ...], b_strides: tuple[int, ...],
    c: tuple[int, ...], c_strides: tuple[int, ...], columns: bool, rows: bool, rectify: bool, threads: int,
) -> tuple[Array, int, int, float]:  # fmt: skip
    """Return a `_Plan` for compiled code, the items of work, bytes of scratch memory, and the time they may take."""
    height, length = _ROWS[register_count()][0], lanes(size)
    width = VECTORS * length
    many, terms, m, k, n = max(a[0], b[0]), 1, a[1], a[2], b[2]
    nanoseconds = 2 * many * m * n * k / FLOP_PER_NANOSECOND
    a_matrix, a_row, a_step = a_strides
    b_matrix, b_step, b_column = b_strides
    a_matrix, b_matrix = a_matrix if a[0] > 1 else 0, b_matrix if b[0] > 1 else 0
    a_term = b_term = 0
    if c[0] < many:
        many, terms, a_matrix, b_matrix, a_term, b_term = 1, many, 0, 0, a_matrix, b_matrix
    if n == 1:
        b_column = size

    def up(value: int, multiple: int) -> int:
        return -(-value // multiple) * multiple

    steps = up(-(-k // -(-k // SLICE_STEPS)), length)
    panels = -(-n // width)
    column_blocks, row_blocks = -(-panels // max(1, BLOCK_BYTES // (steps * width * size))), 1
    wanted = -(-ITEMS_PER_THREAD * threads // many) if threads > 1 and nanoseconds >= SERIAL_NANOSECONDS else 1
    if wanted > column_blocks:  # other columns cost least: only A is read once more
        column_blocks = max(column_blocks, min(-(-panels // 2), wanted))
        row_blocks = max(1, min(m // (LEAST_TILES * height), -(-wanted // column_blocks)))
        if column_blocks * row_blocks * many < threads:
            column_blocks = min(panels, wanted)
    block_columns = -(-panels // column_blocks) * width
    block_rows = up(-(-m // row_blocks), height)
    row_blocks, column_blocks = -(-m // block_rows), -(-n // block_columns)
    copied = 0
    if block_columns >= PANELS_TO_COPY * width:
        if a_step == size:
            copied = int(a_row % CROWDED_BYTES == 0 and m > 1)
        elif a_row == size:
            copied = 2 * int(a_step % CROWDED_BYTES == 0 and k > 1)
    plan = _Plan(
        m, n, k, terms, a_row, a_step, a_term, a_matrix, b_step, b_column, b_term, b_matrix, c_strides[1], c_strides[0],
        size if columns else 0, size if rows else 0, steps, block_columns, block_rows, row_blocks, column_blocks,
        copied, int(rectify),
    )  # fmt: skip
    needed = (steps * (block_columns + height) + width) * size
    return np.array(plan, np.int64), many * row_blocks * column_blocks, needed, nanoseconds


def multiply(
    a: Array, b: Array, c: Array, columns: Array | None = None, rows: Array | None = None, rectify: bool = False
) -> None:
    """Compute matrix products in place: ``c[i] = a[i] @ b[i] + columns + rows[:, None]``.

    Parameters
    ----------
    a : ndarray, shape (I, M, K)
        Any strides, aligned, float32 or float64.
    b : ndarray, shape (I, K, N)
        Of the dtype of `a`; its rows or its columns contiguous. An axis I of length 1 serves every product.
    c : ndarray, shape (I, M, N), or (1, M, N)
        Of that dtype, with contiguous rows. Apart from the operands. If it has fewer matrices than there are products,
        it is their sum.
    columns : ndarray, shape (N,), or None
    rows : ndarray, shape (M,), or None
        What to add to all numbers of a column, of a row.
    rectify : bool
        Whether to put 0 in place of what is 0 or less.

    Notes
    -----
    ``2 * I * M * N * K`` flop. No extent is 0.
    """
    size = a.itemsize
    plan, items, needed, nanoseconds = _plan(
        size, a.shape, a.strides, b.shape, b.strides, c.shape, c.strides, columns is not None, rows is not None,
        rectify, get_num_threads(),
    )  # fmt: skip
    columns_at = rows_at = _NOTHING_AT
    if columns is not None:
        columns = np.ascontiguousarray(columns, a.dtype)
        columns_at = columns.ctypes.data
    if rows is not None:
        rows = np.ascontiguousarray(rows, a.dtype)
        rows_at = rows.ctypes.data
    parallel_for(
        _run, items, _make(size), needed, plan, a.ctypes.data, b.ctypes.data, c.ctypes.data, columns_at, rows_at,
        nanoseconds=nanoseconds,
    )  # fmt: skip


# ---------------------------------------------------------------- as NumPy has it


def product(x: Array, y: Array, columns: Array | None = None) -> Array | None:
    """Return ``x @ y + columns``.

    Parameters
    ----------
    x : ndarray, shape (..., M, K)
        float32 or float64, any strides.
    y : ndarray, shape (..., K, N), of the same dtype
    columns : ndarray, shape (N,), or None

    Returns
    -------
    ndarray, shape (..., M, N)
        Fresh and C-contiguous; or None if these operands are not served: other dtypes, nothing to add up, axes in front
        that are broadcast, but for those of a single matrix.
    """
    if (
        config.DISABLE_JIT or x.dtype != y.dtype or x.dtype.char not in "fd" or x.ndim < 2 or y.ndim < 2
        or x.shape[-1] != y.shape[-2] or not (x.size and y.size and x.flags.aligned and y.flags.aligned)
        or not x.dtype.isnative
    ):  # fmt: skip
        return None
    many = x.shape[:-2] if x.ndim > 2 else y.shape[:-2]
    if y.ndim > 2 and y.shape[:-2] != many:
        return None
    if y.ndim == 2 and x.flags.c_contiguous:  # one product with all rows
        a = x.reshape(1, -1, x.shape[-1])
    else:
        a = x.reshape(-1, *x.shape[-2:])
    b = y.reshape(-1, *y.shape[-2:])
    _, steps, columns_b = b.strides
    if x.itemsize not in (steps, columns_b) and 1 not in b.shape[1:]:
        b = np.ascontiguousarray(b)
    shape = (*many, x.shape[-2], y.shape[-1])
    small = math.prod(shape) * x.itemsize < LEAST_LENT_BYTES
    result = np.empty(shape, x.dtype) if small else empty_apart(shape, x.dtype, x)
    multiply(a, b, result.reshape(-1, a.shape[1], b.shape[2]), columns)
    return result
