"""The register tile: where nearly all arithmetic of convolution happens.

A matrix product ``T = A @ B`` is fastest if a small block of ``T`` stays in vector registers while its terms are
added up. With ``R`` rows and ``V`` vectors of ``L`` columns, each step ``k`` loads ``V`` vectors of row ``k`` of
``B``, and for each row broadcasts one number of ``A``; then ``R * V`` fused multiply-adds follow::

    T[r, v*L : v*L + L] += A[r, k] * B[k, v*L : v*L + L]        for r < R, v < V

Every number that was loaded is used ``R`` or ``V`` times, so the arithmetic units, not the memory, are the limit.
LLVM does not keep the elements of a NumPy array in registers across a loop; hence these tiles are written with
`numba.extending.intrinsic`, which lets a function emit LLVM's own vector operations. LLVM allocates the
registers, and splits vectors that are longer than the machine's.

Two tiles cover convolution and its gradients. They differ in what a step is:

- `product_tile`, forward and input gradient. Rows are pixels, columns are output channels; the steps run through
  the taps of the kernel, and for each tap through the channels of the pixel that the tap reads. *Where* that
  pixel lies is looked up in a table of addresses (an "indirection buffer"), so that stride, dilation, the ends of
  rows and images, and padding (which is the address of a row of zeros) make no difference to the tile.
- `outer_tile`, weight gradient. Rows are input channels at one tap, columns are output channels, and the steps
  run through pixels, whose addresses a table gives.

Columns beyond the last are masked: nothing is read or written there.
"""

import functools
import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .emitter import Emitter, Shape, side

__all__ = [
    "copy_tile",
    "fetch",
    "gather_tile",
    "outer_tile",
    "product_tile",
    "ramp",
    "scatter_tile",
    "shift_tile",
    "terms_tile",
    "transpose_tile",
]

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)


def _connect(phis: list[list[Any]], values: list[list[Any]], block: Any) -> None:
    for phi_row, value_row in zip(phis, values):
        for phi, value in zip(phi_row, value_row):
            phi.add_incoming(value, block)


@functools.cache
def product_tile(shape: Shape) -> Any:
    """Make the tile of a sum of matrix products whose matrices lie behind each other, a function for compiled code.

    Returns
    -------
    intrinsic
        ``tile(table, taps, run, skip, b, start, target, columns, ahead)``, all int64, addresses in bytes:

        - `table`: address of ``int64[taps, R]``, where the pixels of each tap lie;
        - `run`: numbers to read from each pixel, beginning with number `skip`;
        - `b`: address of ``B[taps * run, V * L]``;
        - `start`: address of ``V * L`` numbers that the sums begin with, or 0: with what `target` holds;
        - `target`: address of ``int64[R]``, where the rows of the result go;
        - `columns`: how many columns of them there are;
        - `ahead`: bytes. So far behind each vector of B lies what will be needed soon, by the next tiles, and is to be
          fetched from memory meanwhile. Any number will do.

    Notes
    -----
    ``2 * R * V * L * taps * run`` flop.
    """

    @intrinsic
    def tile(typingctx, table, taps, run, skip, b, start, target, columns, ahead):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            table, taps, run, skip, b, start, target, columns, ahead = args
            zero = ir.Constant(_I64, 0)
            _emit_product(
                Emitter(builder, shape), False, table, taps, run, skip, b, start, target, zero, columns, None, ahead
            )
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 9), generate

    return tile


@functools.cache
def gather_tile(shape: Shape) -> Any:
    """Make the tile of forward and input gradient, a function for compiled code.

    Returns
    -------
    intrinsic
        ``tile(table, taps, run, skip, b, start, target, left, columns, rectify)``, all int64: as `product_tile`, but

        - `table`: address of ``int64[taps, R + 1]``: where the pixels of each tap lie, and how many bytes after `b`
          the tap's matrix ``B[run, V * L]`` does, so that a tile may leave out taps;
        - `left`: numbers between what `target` gives for a row and the row's first column;
        - `rectify`: whether to store 0 in place of what is 0 or less. NaN stays NaN.
    """

    @intrinsic
    def tile(typingctx, table, taps, run, skip, b, start, target, left, columns, rectify):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            table, taps, run, skip, b, start, target, left, columns, rectify = args
            _emit_product(
                Emitter(builder, shape), True, table, taps, run, skip, b, start, target, left, columns, rectify
            )
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 10), generate

    return tile


def _emit_product(
    emit: Emitter, scattered: bool, table: Any, taps: Any, run: Any, skip: Any, b: Any, start: Any, target: Any,
    left: Any, columns: Any, rectify: Any, ahead: Any = None,
) -> None:  # fmt: skip
    """Emit `gather_tile`; if not `scattered`, the table has no column for matrices, which lie behind each other.

    If `ahead` is given, fetch from memory what lies so many bytes behind each vector of B.
    """
    builder = emit.builder
    rows, vectors = emit.shape.rows, emit.shape.vectors
    integers = _I64.as_pointer()
    names = ("from_start", "from_target", "tap", "step", "tap_end", "store", "whole", "part", "end")
    from_start, from_target, tap_block, step_block, tap_end, store_block, whole, part, end = (
        builder.function.append_basic_block(f"tile.{name}") for name in names
    )
    masks = emit.masks(columns)
    first_table, first_b = builder.inttoptr(table, integers), emit.pointer(b)
    target_table = builder.inttoptr(target, integers)

    def places() -> list[Any]:
        return [
            builder.gep(emit.pointer(builder.load(builder.gep(target_table, [emit.constant(r)]))), [left])
            for r in range(rows)
        ]

    builder.cbranch(builder.icmp_signed("!=", start, emit.constant(0)), from_start, from_target)

    builder.position_at_end(from_start)
    start_pointer = emit.pointer(start)
    first = [emit.load(start_pointer, v * emit.length) for v in range(vectors)]
    builder.branch(tap_block)
    builder.position_at_end(from_target)
    targets = places()
    present = emit.grid(lambda r, v: emit.load_masked(targets[r], v * emit.length, masks[v]))
    builder.branch(tap_block)

    builder.position_at_end(tap_block)
    tap = builder.phi(_I64)
    row_table = builder.phi(integers)
    b_before = builder.phi(emit.element.as_pointer())
    sums_tap = emit.phis()
    for block in (from_start, from_target):
        tap.add_incoming(emit.constant(0), block)
        row_table.add_incoming(first_table, block)
        b_before.add_incoming(first_b, block)
    _connect(sums_tap, emit.grid(lambda r, v: first[v]), from_start)
    _connect(sums_tap, present, from_target)
    pixels = [
        builder.gep(emit.pointer(builder.load(builder.gep(row_table, [emit.constant(r)]))), [skip]) for r in range(rows)
    ]
    b_tap = b_before
    if scattered:
        b_tap = emit.pointer(builder.add(b, builder.load(builder.gep(row_table, [emit.constant(rows)]))))
    builder.branch(step_block)

    builder.position_at_end(step_block)
    step = builder.phi(_I64)
    b_step = builder.phi(emit.element.as_pointer())
    sums = emit.phis()
    step.add_incoming(emit.constant(0), tap_block)
    b_step.add_incoming(b_tap, tap_block)
    _connect(sums, sums_tap, tap_block)
    right = [emit.load(b_step, v * emit.length) for v in range(vectors)]
    for v in range(vectors if ahead is not None else 0):
        place = builder.ptrtoint(builder.gep(b_step, [emit.constant(v * emit.length)]), _I64)
        emit.prefetch(builder.add(place, ahead))
    new: list[list[Any]] = []
    for r in range(rows):
        number = emit.broadcast(builder.gep(pixels[r], [step]))
        new.append([builder.call(emit.fma, [number, right[v], sums[r][v]]) for v in range(vectors)])
    next_step = builder.add(step, emit.constant(1))
    next_b = builder.gep(b_step, [emit.constant(emit.shape.columns)])
    step.add_incoming(next_step, step_block)
    b_step.add_incoming(next_b, step_block)
    _connect(sums, new, step_block)
    builder.cbranch(builder.icmp_signed("<", next_step, run), step_block, tap_end)

    builder.position_at_end(tap_end)
    next_tap = builder.add(tap, emit.constant(1))
    tap.add_incoming(next_tap, tap_end)
    row_table.add_incoming(builder.gep(row_table, [emit.constant(rows + scattered)]), tap_end)
    b_before.add_incoming(next_b, tap_end)
    _connect(sums_tap, new, tap_end)
    another = builder.icmp_signed("<", next_tap, taps)
    last = new
    if rectify is None:
        builder.cbranch(another, tap_block, store_block)
        builder.position_at_end(store_block)
    else:
        # A branch, not a selection: most layers have no rectifier, and those with few terms would notice.
        zero = ir.Constant(emit.vector, None)
        decide, rectified_block = (
            builder.function.append_basic_block(f"tile.{name}") for name in ("decide", "rectify")
        )
        builder.cbranch(another, tap_block, decide)
        builder.position_at_end(decide)
        builder.cbranch(builder.icmp_signed("!=", rectify, emit.constant(0)), rectified_block, store_block)
        builder.position_at_end(rectified_block)
        rectified = emit.grid(lambda r, v: builder.select(builder.fcmp_ordered("<=", new[r][v], zero), zero, new[r][v]))
        builder.branch(store_block)
        builder.position_at_end(store_block)
        last = emit.phis()
        _connect(last, new, decide)
        _connect(last, rectified, rectified_block)
    targets = places()
    builder.cbranch(builder.icmp_signed(">=", columns, emit.constant(emit.shape.columns)), whole, part)
    for block, masked in ((whole, False), (part, True)):
        builder.position_at_end(block)
        for r in range(rows):
            for v in range(vectors):
                if masked:
                    emit.store_masked(last[r][v], targets[r], v * emit.length, masks[v])
                else:
                    emit.store(last[r][v], targets[r], v * emit.length)
        builder.branch(end)
    builder.position_at_end(end)


@functools.cache
def terms_tile(itemsize: int, rows: int, lengths: tuple[int, ...]) -> Any:
    """Make the tile of a sum whose terms lie at the same distances from all pixels, a function for compiled code.

    Parameters
    ----------
    itemsize : int
    rows : int
        ``R``.
    lengths : tuple of int
        Lanes of the vectors of a row, whose sum is ``L``.

    Returns
    -------
    intrinsic
        ``tile(bases, distances, terms, b, start, targets, left, columns, rectify)``, all int64, addresses and
        distances in bytes:

        - `bases`: address of ``int64[R]``, from where `distances`, the address of ``int64[terms]``, are measured: the
          number of row r and term k lies at ``bases[r] + distances[k]``. At least one term;
        - `b`: address of ``B[terms, L]``;
        - `start`: address of ``L`` numbers that the sums begin with;
        - `targets`: address of ``int64[R]``, where the rows of the result go, `left` numbers before their first column;
        - `columns`: how many columns of them there are, at least 1;
        - `rectify`: whether to store 0 in place of what is 0 or less. NaN stays NaN.

    Notes
    -----
    ``2 * R * L * terms`` flop. LLVM loads all numbers of a step before it uses them: with V vectors in a row,
    ``(R + 1) * V + R`` vectors should fit into the registers.
    """
    ends = list(itertools.accumulate(lengths))
    width = ends[-1]

    @intrinsic
    def tile(typingctx, bases, distances, terms, b, start, targets, left, columns, rectify):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            bases, distances, terms, b, start, targets, left, columns, rectify = args
            # For each vector, what emits it, and its first column.
            vectors = [
                (Emitter(builder, Shape(itemsize, rows, 1), length), end - length) for length, end in zip(lengths, ends)
            ]
            emit = vectors[0][0]
            integers, byte = _I64.as_pointer(), ir.IntType(8).as_pointer()
            bases, distances, targets = (builder.inttoptr(address, integers) for address in (bases, distances, targets))
            names = ("step", "decide", "rectify", "store", "whole", "part", "end")
            step_block, decide, rectified_block, store_block, whole, part, end = (
                builder.function.append_basic_block(f"terms.{name}") for name in names
            )

            def grid(make: Any) -> list[list[Any]]:
                return [[make(r, v) for v in range(len(vectors))] for r in range(rows)]

            def phis() -> list[list[Any]]:
                return grid(lambda r, v: builder.phi(vectors[v][0].vector))

            masks = [each.between(emit.constant(column), columns) for each, column in vectors]
            at = [builder.inttoptr(builder.load(builder.gep(bases, [emit.constant(r)])), byte) for r in range(rows)]
            first = [each.load(emit.pointer(start), column) for each, column in vectors]
            first_b = emit.pointer(b)
            before = builder.block
            builder.branch(step_block)

            builder.position_at_end(step_block)
            step, b_step = builder.phi(_I64), builder.phi(emit.element.as_pointer())
            sums = phis()
            distance = builder.load(builder.gep(distances, [step]))
            right = [each.load(b_step, column) for each, column in vectors]
            new: list[list[Any]] = []
            for r in range(rows):
                place = builder.bitcast(builder.gep(at[r], [distance]), emit.element.as_pointer())
                number = builder.load(place)
                new.append([
                    builder.call(each.fma, [each.splat(number), right[v], sums[r][v]])
                    for v, (each, _) in enumerate(vectors)
                ])  # fmt: skip
            next_step = builder.add(step, emit.constant(1))
            next_b = builder.gep(b_step, [emit.constant(width)])
            for phi, begin, following in ((step, emit.constant(0), next_step), (b_step, first_b, next_b)):
                phi.add_incoming(begin, before)
                phi.add_incoming(following, step_block)
            _connect(sums, grid(lambda r, v: first[v]), before)
            _connect(sums, new, step_block)
            builder.cbranch(builder.icmp_signed("<", next_step, terms), step_block, decide)

            builder.position_at_end(decide)
            builder.cbranch(builder.icmp_signed("!=", rectify, emit.constant(0)), rectified_block, store_block)
            builder.position_at_end(rectified_block)

            def rectified(r: int, v: int) -> Any:
                zero = ir.Constant(vectors[v][0].vector, None)
                return builder.select(builder.fcmp_ordered("<=", new[r][v], zero), zero, new[r][v])

            positive = grid(rectified)
            builder.branch(store_block)
            builder.position_at_end(store_block)
            last = phis()
            _connect(last, new, decide)
            _connect(last, positive, rectified_block)
            goals = [
                builder.gep(emit.pointer(builder.load(builder.gep(targets, [emit.constant(r)]))), [left])
                for r in range(rows)
            ]
            builder.cbranch(builder.icmp_signed(">=", columns, emit.constant(width)), whole, part)
            for block, masked in ((whole, False), (part, True)):
                builder.position_at_end(block)
                for r in range(rows):
                    for v, (each, column) in enumerate(vectors):
                        if masked:
                            each.store_masked(last[r][v], goals[r], column, masks[v])
                        else:
                            each.store(last[r][v], goals[r], column)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 9), generate

    return tile


@functools.cache
def outer_tile(shape: Shape, beside: int = 0, swapped: bool = False) -> Any:
    """Make the tile of the weight gradient, a function for compiled code.

    Rows of A are numbers at constant distances from the place of a step. Groups of them lie side by side, so that few
    distances have to be kept in registers.

    Parameters
    ----------
    shape : Shape
    beside : int
        ``q``: how many rows of A lie side by side, a divisor of R; 0 for `emitter.side`.
    swapped : bool
        Whether it is B that lies where the table says, and A whose steps are at equal distances.

    Returns
    -------
    intrinsic
        ``tile(a, table, steps, moves, b, stride, target, fresh, ahead, also, ahead_table)``, all int64, addresses and
        distances in bytes:

        - `a`, `table`, `moves`: A[step, r] lies at ``a + table[step] + moves[r // q]``, plus ``r % q`` numbers;
          `table` is the address of ``int64[steps]``, `moves` of ``int64[R // q]``;
        - `b`: address of row 0 of B; rows are `stride` apart. If `swapped`, they are at ``b + table[step]``, and
          A[step, r] at ``a + step * stride + moves[r // q]``;
        - `target`: address of the result, C-contiguous;
        - `fresh`: whether to store the sums; else they are added to what `target` holds;
        - `ahead`, `also`, `ahead_table`: each step asks for the cache lines at ``ahead + ahead_table[step]`` and
          ``also + ahead_table[step]``, for later.

    Notes
    -----
    Sums begin with 0 for each call: many short sums added up round less than one long one.

    ``2 * R * V * L * steps`` flop.
    """
    together = beside or side(shape.rows)

    @intrinsic
    def tile(typingctx, a, table, steps, moves, b, stride, target, fresh, ahead, also, ahead_table):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 11)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            a, table, steps, moves, b, stride, target, fresh, ahead, also, ahead_table = args
            emit = Emitter(builder, shape)
            rows, vectors = shape.rows, shape.vectors
            integers = _I64.as_pointer()
            function = builder.function
            loop, end = (function.append_basic_block(f"outer.{name}") for name in ("step", "end"))
            zero = ir.Constant(emit.vector, None)
            table, moves = builder.inttoptr(table, integers), builder.inttoptr(moves, integers)
            ahead_table = builder.inttoptr(ahead_table, integers)
            places = [
                builder.add(a, builder.load(builder.gep(moves, [emit.constant(q)]))) for q in range(rows // together)
            ]
            before = builder.block
            builder.branch(loop)

            builder.position_at_end(loop)
            step = builder.phi(_I64)
            regular = builder.phi(_I64)
            sums = emit.phis()
            step.add_incoming(emit.constant(0), before)
            regular.add_incoming(emit.constant(0) if swapped else b, before)
            _connect(sums, emit.grid(lambda r, v: zero), before)
            pixel = builder.load(builder.gep(table, [step]))
            b_step = regular
            if swapped:
                b_step, pixel = builder.add(b, pixel), regular
            line = builder.load(builder.gep(ahead_table, [step]))
            for address in (ahead, also):
                emit.prefetch(builder.add(address, line))
            right = [emit.load(emit.pointer(b_step), v * emit.length) for v in range(vectors)]
            new: list[list[Any]] = []
            for r in range(rows):
                place = emit.pointer(builder.add(places[r // together], pixel))
                left = emit.broadcast(builder.gep(place, [emit.constant(r % together)]))
                new.append([builder.call(emit.fma, [left, right[v], sums[r][v]]) for v in range(vectors)])
            next_step = builder.add(step, emit.constant(1))
            step.add_incoming(next_step, loop)
            regular.add_incoming(builder.add(regular, stride), loop)
            _connect(sums, new, loop)
            builder.cbranch(builder.icmp_signed("<", next_step, steps), loop, end)

            builder.position_at_end(end)
            first = emit.pointer(target)
            spots = emit.grid(lambda r, v: emit.vector_at(first, r * shape.columns + v * emit.length))
            with builder.if_else(builder.icmp_signed("!=", fresh, emit.constant(0))) as (store, add):
                with store:
                    for new_row, spot_row in zip(new, spots):
                        for value, spot in zip(new_row, spot_row):
                            builder.store(value, spot).align = shape.itemsize
                with add:
                    for new_row, spot_row in zip(new, spots):
                        for value, spot in zip(new_row, spot_row):
                            present = builder.load(spot)
                            present.align = shape.itemsize
                            builder.store(builder.fadd(present, value), spot).align = shape.itemsize
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def transpose_tile(itemsize: int) -> Any:
    """Make a function for compiled code that transposes a block of L by L numbers.

    Returns
    -------
    intrinsic
        ``tile(source, source_stride, target, target_stride)``, all int64: addresses in bytes, distances of rows in
        numbers. ``target[j, i] = source[i, j]`` for i and j below L.

    Notes
    -----
    ``L log2(L)`` shuffles of two vectors (`Emitter.transposed`).
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, source_stride, target, target_stride):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 4)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, source_stride, target, target_stride = args
            emit = Emitter(builder, shape)
            n = emit.length
            rows = [
                emit.load(builder.gep(emit.pointer(source), [builder.mul(source_stride, emit.constant(i))]), 0)
                for i in range(n)
            ]
            rows = emit.transposed(rows)
            for j in range(n):
                place = builder.gep(emit.pointer(target), [builder.mul(target_stride, emit.constant(j))])
                stored = builder.store(rows[j], emit.vector_at(place, 0))
                stored.align = itemsize
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def scatter_tile(itemsize: int) -> Any:
    """Make a function for compiled code that transposes a block of up to L by L numbers and scatters its rows.

    Returns
    -------
    intrinsic
        ``tile(source, stride, rows, count, places, target, check)``, all int64, addresses and distances in bytes:
        the L numbers ``source[i][j]`` of each j below `count` go to ``target + places[j]``, a whole vector, where
        ``int64[L]`` `places` is not negative. Row i of the source is ``i * stride`` bytes after `source`; rows from
        `rows` on are not read: row 0 takes their place. Zero times each number is added to the vector at `check`.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, stride, rows, count, places, target, check):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, stride, rows, count, places, target, check = args
            emit = Emitter(builder, shape)
            mask = emit.masks(count)[0]
            zero = ir.Constant(emit.vector, None)
            total = emit.load(emit.pointer(check), 0)
            lines = []
            for i in range(emit.length):
                here = builder.icmp_signed("<", emit.constant(i), rows)
                distance = builder.select(here, builder.mul(stride, emit.constant(i)), emit.constant(0))
                lines.append(emit.load_masked(emit.pointer(builder.add(source, distance)), 0, mask))
                total = builder.call(emit.fma, [lines[i], zero, total])
            emit.store(total, emit.pointer(check), 0)
            table = builder.inttoptr(places, _I64.as_pointer())
            for j, line in enumerate(emit.transposed(lines)):
                place = builder.load(builder.gep(table, [emit.constant(j)]))
                with builder.if_then(builder.icmp_signed(">=", place, emit.constant(0))):
                    emit.store(line, emit.pointer(builder.add(target, place)), 0)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 7), generate

    return tile


@functools.cache
def copy_tile(itemsize: int) -> Any:
    """Make a function for compiled code that copies up to L numbers.

    Returns
    -------
    intrinsic
        ``tile(source, target, count, check)``, all int64, addresses in bytes: a whole vector is written, with 0 in
        lane `count` and beyond. Zero times each number is added to the vector at `check`.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, target, count, check):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, target, count, check = args
            emit = Emitter(builder, shape)
            values = emit.load_masked(emit.pointer(source), 0, emit.masks(count)[0])
            emit.store(values, emit.pointer(target), 0)
            total = emit.load(emit.pointer(check), 0)
            zero = ir.Constant(emit.vector, None)
            emit.store(builder.call(emit.fma, [values, zero, total]), emit.pointer(check), 0)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 4), generate

    return tile


@functools.cache
def shift_tile(rows: int) -> Any:
    """Make a function for compiled code that writes a line of a table of addresses.

    Returns
    -------
    intrinsic
        ``tile(bases, distance, line, last)``, all int64: the `rows` integers at address `bases`, each plus `distance`,
        and then `last`, go to address `line`.
    """

    @intrinsic
    def tile(typingctx, bases, distance, line, last):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            bases, distance, line, last = args
            source, target = (builder.inttoptr(address, _I64.as_pointer()) for address in (bases, line))
            # All loads before all stores, so that LLVM may use vectors.
            at = [ir.Constant(_I64, r) for r in range(rows + 1)]
            values = [builder.add(builder.load(builder.gep(source, [at[r]])), distance) for r in range(rows)]
            for r, value in enumerate([*values, last]):
                builder.store(value, builder.gep(target, [at[r]]))
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 4), generate

    return tile


@intrinsic
def fetch(typingctx, address):  # type: ignore[no-untyped-def]
    """Ask for the cache line at an address, for compiled code; see `Emitter.prefetch`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        Emitter(builder, Shape(8, 1, 1)).prefetch(args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def ramp(typingctx, address, first, distance, count):  # type: ignore[no-untyped-def]
    """Write ``first + i * distance`` for ``i < count``, at least 1, to the integers from `address` on.

    For compiled code: slices of arrays count references, which takes longer than to write a row of pixels.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, first, distance, count = args
        target = builder.inttoptr(address, _I64.as_pointer())
        loop, end = (builder.function.append_basic_block(f"ramp.{name}") for name in ("step", "end"))
        before = builder.block
        builder.branch(loop)
        builder.position_at_end(loop)
        i, value = builder.phi(_I64), builder.phi(_I64)
        builder.store(value, builder.gep(target, [i]))
        following = builder.add(i, ir.Constant(_I64, 1))
        for phi, begin, after in ((i, ir.Constant(_I64, 0), following), (value, first, builder.add(value, distance))):
            phi.add_incoming(begin, before)
            phi.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate
