"""Register tiles for convolution in small groups: depthwise, and groups of a few channels.

A group of q input and output channels multiplies each number that it loads q times only, so the limit is how often
numbers are loaded, and how much arithmetic it takes to find them. These tiles load a number once for all the output
pixels of the tile that read it. Where a tap lies relative to another is known when the tile is made or is the same for
all pixels, so that there is no table of addresses.

- `row_tile`, `row_outer_tile`: channels last; vectors run along channels, a tile covers pixels that are neighbours in
  a row. A vector holds whole groups: what lane j needs is in its own vector, and comes to it by *rotating* the vector
  within each group by 0, 1, ..., q - 1 lanes.
- `plane_tile`, `plane_outer_tile`: channels first; vectors run along the width of a plane that was copied with its
  padding, a tile covers neighbouring rows of all or some output channels of a group.
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .emitter import Emitter, Shape, register_count

__all__ = ["plane_outer_tile", "plane_tile", "row_outer_tile", "row_tile", "unzip_tile"]

_I64 = ir.IntType(64)


def _most_held() -> int:
    """Numbers of a kernel that may be held in a vector each, next to the sums: half of the registers."""
    return register_count() // 2


def _rotate(emit: Emitter, vector: Any, size: int, by: int) -> Any:
    """`vector` with lane ``(j + by) % size`` of each group of `size` lanes in the group's lane j."""
    if by == 0:
        return vector
    lanes = [lane - lane % size + (lane + by) % size for lane in range(emit.length)]
    indices = ir.Constant(ir.VectorType(ir.IntType(32), emit.length), lanes)
    return emit.builder.shuffle_vector(vector, ir.Constant(emit.vector, ir.Undefined), indices)


def _address(emit: Emitter, base: Any, *terms: Any) -> Any:
    """The sum of integers, as the address of a number."""
    for term in terms:
        base = emit.builder.add(base, term)
    return emit.pointer(base)


def _entry(emit: Emitter, table: Any, index: Any) -> Any:
    """Element `index` of the table of int64 at address `table`."""
    pointer = emit.builder.inttoptr(table, _I64.as_pointer())
    return emit.builder.load(emit.builder.gep(pointer, [index]))


def _repeat(
    emit: Emitter, name: str, count: Any, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Emit ``for k in range(count): carried = body(k, carried)``; return `carried` after it."""
    builder = emit.builder
    head, inside, end = (builder.function.append_basic_block(f"{name}.{part}") for part in ("head", "body", "end"))
    before = builder.block
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(_I64)
    index.add_incoming(emit.constant(0), before)
    phis = [builder.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, count), inside, end)
    builder.position_at_end(inside)
    results = body(index, list(phis))
    index.add_incoming(builder.add(index, emit.constant(1)), builder.block)
    for phi, value in zip(phis, results):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(end)
    return phis


def _times(emit: Emitter, count: int, stride: Any) -> Any:
    return emit.builder.mul(emit.constant(count), stride)


# ---------------------------------------------------------------- channels last


def _inside(emit: Emitter, place: Any, size: Any) -> Any:
    """For all lanes: whether ``0 <= place < size``, integers."""
    bit = emit.builder.icmp_unsigned("<", place, size)
    lanes = ir.VectorType(ir.IntType(1), emit.length)
    undefined = ir.Constant(lanes, ir.Undefined)
    first = emit.builder.insert_element(undefined, bit, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), emit.length), [0] * emit.length)
    return emit.builder.shuffle_vector(first, undefined, zeros)


@functools.cache
def row_tile(
    itemsize: int, size: int, pixels: int, taps: int, step: int, spacing: int, edged: bool, masked: bool
) -> Any:
    """Make the tile of forward and input gradient, channels last: `pixels` neighbours in a row, a vector of channels.

    Parameters
    ----------
    itemsize : int
    size : int
        ``q``, channels of a group; it divides L.
    pixels : int
        ``P``: outputs of the tile.
    taps : int
        ``K``: taps of a *line*, which is a row of the kernel.
    step, spacing : int
        In a line, output p and tap u read pixel ``p * step + u * spacing``.
    edged : bool
        Whether pixels may lie beyond the ends of a row. They are neither read nor multiplied.
    masked : bool
        Whether there may be fewer channels than L.

    Returns
    -------
    intrinsic
        ``tile(base, offsets, b, b_offsets, lines, stride, b_stride, start, target, target_stride, channels, places,
        at, width, ahead)``, all int64, addresses and distances in bytes:

        - ``base + offsets[l]``: where line l reads for output 0 and tap 0; pixels are `stride` apart;
        - ``b + b_offsets[l]``: the line's matrices, ``[K, q]`` rows that are `b_stride` apart;
        - `start`: L numbers that the sums begin with;
        - `target`: address of output 0; outputs are `target_stride` apart;
        - `channels`: how many channels there are, if `masked`;
        - ``at + places[l]``: the pixel that line l reads for output 0 and tap 0, of a row of `width`, if `edged`;
        - ``base + ahead``: from where on pixels are fetched that will be read later.

        ``T[p, j] = start[j] + sum over l, u, r of A[l, p*step + u*spacing][rotated by r][j] * B[l, u, r, j]``

    Notes
    -----
    ``2 * q * P * L * K * lines`` flop.
    """
    shape = Shape(itemsize, 1, 1)
    reach = sorted({p * step + u * spacing for p in range(pixels) for u in range(taps)})

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        typingctx,
        base,
        offsets,
        b,
        b_offsets,
        lines,
        stride,
        b_stride,
        start,
        target,
        target_stride,
        channels,
        places,
        at,
        width,
        ahead,
    ):
        signature = types.void(*(types.int64,) * 15)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            (base, offsets, b, b_offsets, lines, stride, b_stride, start, target, target_stride, channels, places, at,
             width, ahead) = args  # fmt: skip
            emit = Emitter(builder, shape)
            mask = emit.masks(channels)[0] if masked else None
            first = emit.load(emit.pointer(start), 0)

            def load(address: Any) -> Any:
                pointer = emit.pointer(address)
                return emit.load(pointer, 0) if mask is None else emit.load_masked(pointer, 0, mask)

            def line(index: Any, sums: list[Any]) -> list[Any]:
                place = builder.add(base, _entry(emit, offsets, index))
                right = builder.add(b, _entry(emit, b_offsets, index))
                rows = {
                    (u, r): emit.load(_address(emit, right, _times(emit, u * size + r, b_stride)), 0)
                    for u in range(taps) for r in range(size)
                }  # fmt: skip
                pixel = builder.add(at, _entry(emit, places, index)) if edged else None
                for k in reach:
                    address, inside = builder.add(place, _times(emit, k, stride)), None
                    if edged:
                        here = builder.add(pixel, emit.constant(k))
                        inside = _inside(emit, here, width)
                        address = builder.select(builder.icmp_unsigned("<", here, width), address, b)
                    value = load(address)
                    for r in range(size):
                        turned = _rotate(emit, value, size, r)
                        for u in range(taps):
                            p, rest = divmod(k - u * spacing, step)
                            if rest == 0 and 0 <= p < pixels:
                                total = builder.call(emit.fma, [turned, rows[u, r], sums[p]])
                                sums[p] = builder.select(inside, total, sums[p]) if edged else total
                return sums

            for k in range(pixels * step):
                emit.prefetch(builder.add(builder.add(base, ahead), _times(emit, k, stride)))
            for p, value in enumerate(_repeat(emit, "row", lines, [first] * pixels, line)):
                pointer = _address(emit, target, _times(emit, p, target_stride))
                if mask is None:
                    builder.store(value, emit.vector_at(pointer, 0)).align = itemsize
                else:
                    emit.store_masked(value, pointer, 0, mask)
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def row_outer_tile(
    itemsize: int, size: int, lines: int, pixels: int, taps: int, step: int, spacing: int, masked: bool
) -> Any:
    """Make the tile of the weight gradient, channels last: `lines` rows of the kernel, a vector of channels.

    Parameters
    ----------
    itemsize, size, taps, step, spacing, masked
        As in `row_tile`.
    lines : int
        ``M``.
    pixels : int
        ``P``: outputs of one step, where no row ends.

    Returns
    -------
    intrinsic
        ``tile(table, places, stride, width, b, b_stride, low, high, out, targets, target_stride, channels, rows,
        row_stride, b_row_stride)``, all int64, addresses and distances in bytes:

        - `table`: address of ``int64[M]``, where each line reads for output 0 and tap 0; pixels are `stride` apart;
        - `places`: address of ``int64[M]``, which pixel of a row of `width` that is;
        - `b`: address of output 0 in `gy`; outputs are `b_stride` apart, and there are `out`;
        - `low`, `high`: the outputs between read nothing beyond the ends of a row. Others are taken one by one,
          without what they would read there;
        - `targets`: address of ``int64[M]``, where each line's result goes, ``[K, q]`` rows `target_stride` apart;
        - `channels`: how many channels there are, if `masked`;
        - `rows`: so many rows of outputs, each `b_row_stride` after the one before it, and what it reads `row_stride`.

        ``T[m, u, r, j] += sum over outputs p of A[m, p*step + u*spacing][rotated by r][j] * B[p, j]``

    Notes
    -----
    ``2 * q * M * K * L * out * rows`` flop. Sums begin with 0 for each call.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        typingctx,
        table,
        places,
        stride,
        width,
        b,
        b_stride,
        low,
        high,
        out,
        targets,
        target_stride,
        channels,
        rows,
        row_stride,
        b_row_stride,
    ):
        signature = types.void(*(types.int64,) * 15)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            (table, places, stride, width, b, b_stride, low, high, out, targets, target_stride, channels, rows,
             row_stride, b_row_stride) = args  # fmt: skip
            emit = Emitter(builder, shape)
            mask = emit.masks(channels)[0] if masked else None
            starts = [_entry(emit, table, emit.constant(m)) for m in range(lines)]
            firsts = [_entry(emit, places, emit.constant(m)) for m in range(lines)]

            def load(address: Any) -> Any:
                pointer = emit.pointer(address)
                return emit.load(pointer, 0) if mask is None else emit.load_masked(pointer, 0, mask)

            def add(row: Any, output: Any, count: int, edged: bool, sums: list[Any]) -> list[Any]:
                """Add the products of `count` outputs from `output` on."""
                ahead = builder.mul(output, emit.constant(step))
                here = builder.add(builder.add(b, builder.mul(row, b_row_stride)), builder.mul(output, b_stride))
                right = [load(builder.add(here, _times(emit, p, b_stride))) for p in range(count)]
                distance = builder.add(builder.mul(row, row_stride), builder.mul(ahead, stride))
                # What the next call will need, of other rows of outputs.
                later = builder.add(builder.add(starts[-1], distance), builder.mul(rows, row_stride))
                for k in range(count * step):
                    emit.prefetch(builder.add(later, _times(emit, k, stride)))
                later = builder.add(here, builder.mul(rows, b_row_stride))
                for p in range(count):
                    emit.prefetch(builder.add(later, _times(emit, p, b_stride)))
                for m in range(lines):
                    place = builder.add(starts[m], distance)
                    for k in sorted({p * step + u * spacing for p in range(count) for u in range(taps)}):
                        address, inside = builder.add(place, _times(emit, k, stride)), None
                        if edged:
                            pixel = builder.add(builder.add(firsts[m], ahead), emit.constant(k))
                            inside = _inside(emit, pixel, width)
                            address = builder.select(builder.icmp_unsigned("<", pixel, width), address, here)
                        value = load(address)
                        for r in range(size):
                            turned = _rotate(emit, value, size, r)
                            for u in range(taps):
                                p, rest = divmod(k - u * spacing, step)
                                if rest == 0 and 0 <= p < count:
                                    at = (m * taps + u) * size + r
                                    total = builder.call(emit.fma, [turned, right[p], sums[at]])
                                    sums[at] = builder.select(inside, total, sums[at]) if edged else total
                return sums

            steps = builder.sdiv(builder.sub(high, low), emit.constant(pixels))
            rest = builder.add(low, builder.mul(steps, emit.constant(pixels)))

            def row(index: Any, sums: list[Any]) -> list[Any]:
                def single(first: Any) -> Any:
                    return lambda k, s: add(index, builder.add(first, k), 1, True, s)

                def several(k: Any, s: list[Any]) -> list[Any]:
                    return add(index, builder.add(low, builder.mul(k, emit.constant(pixels))), pixels, False, s)

                sums = _repeat(emit, "before", low, sums, single(emit.constant(0)))
                sums = _repeat(emit, "inside", steps, sums, several)
                return _repeat(emit, "after", builder.sub(out, rest), sums, single(rest))

            zero = ir.Constant(emit.vector, None)
            sums = _repeat(emit, "row", rows, [zero] * (lines * taps * size), row)
            for m in range(lines):
                line = _entry(emit, targets, emit.constant(m))
                for place in range(taps * size):
                    pointer = _address(emit, line, _times(emit, place, target_stride))
                    total = builder.fadd(emit.load(pointer, 0), sums[m * taps * size + place])
                    builder.store(total, emit.vector_at(pointer, 0)).align = itemsize
            return context.get_dummy_value()

        return signature, generate

    return tile


# ---------------------------------------------------------------- channels first


@functools.cache
def unzip_tile(itemsize: int, step: int) -> Any:
    """Make a function for compiled code that copies rows, and splits them into `step` streams.

    Returns
    -------
    intrinsic
        ``tile(source, source_stride, targets, target_stride, rows, columns)``, all int64, addresses and distances in
        bytes. ``target[e][h, k] = source[h, k*step + e]`` for ``k*step + e < columns``, where `targets` is the
        address of ``int64[step]``. Zeros follow, until the end of a vector: for a moment, also beyond the row.

    Notes
    -----
    ``step - 1`` shuffles of two vectors for each vector of the result.
    """
    shape = Shape(itemsize, 1, step)

    @intrinsic
    def tile(typingctx, source, source_stride, targets, target_stride, rows, columns):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, source_stride, targets, target_stride, rows, columns = args
            emit = Emitter(builder, shape)
            length = emit.length
            streams = [_entry(emit, targets, emit.constant(e)) for e in range(step)]
            strips = builder.udiv(builder.add(columns, emit.constant(shape.columns - 1)), emit.constant(shape.columns))

            def strip(index: Any, places: list[Any]) -> list[Any]:
                masks = emit.masks(builder.sub(columns, builder.mul(index, emit.constant(shape.columns))))
                values = [emit.load_masked(emit.pointer(places[0]), v * length, masks[v]) for v in range(step)]
                for e in range(step):
                    stream = values[0]
                    for v in range(1, step):  # lanes of earlier vectors move to their places with the first shuffle
                        lanes = []
                        for lane in range(length):
                            home, at = divmod(lane * step + e, length)
                            before = at if v == 1 else lane
                            lanes.append(length + at if home == v else before)
                        indices = ir.Constant(ir.VectorType(ir.IntType(32), length), lanes)
                        stream = builder.shuffle_vector(stream, values[v], indices)
                    builder.store(stream, emit.vector_at(emit.pointer(places[1 + e]), 0)).align = itemsize
                advance = [shape.columns] + [length] * step
                return [builder.add(place, emit.constant(k * itemsize)) for place, k in zip(places, advance)]

            def row(index: Any, nothing: list[Any]) -> list[Any]:
                ahead = builder.mul(index, target_stride)
                places = [builder.add(source, builder.mul(index, source_stride))]
                _repeat(emit, "strip", strips, places + [builder.add(stream, ahead) for stream in streams], strip)
                return []

            _repeat(emit, "row", rows, [], row)
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def plane_tile(
    itemsize: int, rows: int, outputs: int, lines: int, taps: int, step: int, spacing: int, single: bool
) -> Any:
    """Make the tile of forward and input gradient, channels first: `rows` neighbours of some planes, a vector wide.

    Parameters
    ----------
    itemsize : int
    rows, outputs : int
        ``R`` rows of ``B`` output planes.
    lines, taps : int
        ``M`` rows of ``K`` taps: the kernel.
    step, spacing : int
        Output row r and line m read row ``r * step + m * spacing`` of the source.
    single : bool
        Whether there is always one input plane.

    Returns
    -------
    intrinsic
        ``tile(source, stride, plane, offsets, w, inputs, start, target, target_stride, target_plane, blocks,
        columns)``, all int64, addresses and distances in bytes:

        - `source`: address of what output row 0 reads for tap 0; rows are `stride`, input planes `plane` apart;
        - `offsets`: address of ``int64[K]``, where tap u reads relative to tap 0, in bytes;
        - `w`: address of ``[inputs, M, K, B]`` numbers;
        - `start`: address of B numbers that the sums begin with;
        - `target`: address of output row 0; rows are `target_stride`, planes `target_plane` apart;
        - `blocks`: how often to go on with the next R rows;
        - `columns`: how many columns are stored; others are computed.

    Notes
    -----
    ``2 * R * B * M * K * L * inputs * blocks`` flop. A vector is loaded once for all rows and planes that use it.
    """
    shape = Shape(itemsize, 1, 1)
    hoisted = single and lines * taps * outputs <= _most_held()

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        typingctx,
        source,
        stride,
        plane,
        offsets,
        w,
        inputs,
        start,
        target,
        target_stride,
        target_plane,
        blocks,
        columns,
    ):
        signature = types.void(*(types.int64,) * 12)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            (source, stride, plane, offsets, w, inputs, start, target, target_stride, target_plane, blocks,
             columns) = args  # fmt: skip
            emit = Emitter(builder, shape)
            mask = emit.masks(columns)[0]
            shifts = [_entry(emit, offsets, emit.constant(u)) for u in range(taps)]
            starts = emit.pointer(start)
            first = [emit.broadcast(builder.gep(starts, [emit.constant(o)])) for o in range(outputs)]

            def number(pointer: Any, m: int, u: int, o: int) -> Any:
                return emit.broadcast(builder.gep(pointer, [emit.constant((m * taps + u) * outputs + o)]))

            def kernel(pointer: Any) -> dict[tuple[int, int, int], Any]:
                return {
                    (m, u, o): number(pointer, m, u, o)
                    for m in range(lines) for u in range(taps) for o in range(outputs)
                }  # fmt: skip

            def add(place: Any, right: Any, sums: list[Any]) -> list[Any]:
                for row in sorted({r * step + m * spacing for r in range(rows) for m in range(lines)}):
                    line = builder.add(place, _times(emit, row, stride))
                    for u in range(taps):
                        value = emit.load(_address(emit, line, shifts[u]), 0)
                        for m in range(lines):
                            r, rest = divmod(row - m * spacing, step)
                            if rest == 0 and 0 <= r < rows:
                                for o in range(outputs):
                                    at = r * outputs + o
                                    sums[at] = builder.call(emit.fma, [value, right(m, u, o), sums[at]])
                return sums

            # With one input plane, and if they fit, the numbers of the kernel stay in registers for all blocks.
            held = kernel(emit.pointer(w)) if hoisted else {}

            def block(index: Any, nothing: list[Any]) -> list[Any]:
                place = builder.add(source, builder.mul(index, _times(emit, rows * step, stride)))
                sums = [first[o] for _ in range(rows) for o in range(outputs)]
                if hoisted:
                    sums = add(place, lambda m, u, o: held[m, u, o], sums)
                else:

                    def channel(c: Any, sums: list[Any]) -> list[Any]:
                        pointer = builder.gep(emit.pointer(w), [builder.mul(c, emit.constant(lines * taps * outputs))])
                        there = builder.add(place, builder.mul(c, plane))
                        return add(there, lambda m, u, o: number(pointer, m, u, o), sums)

                    sums = _repeat(emit, "plane", inputs, sums, channel)
                out = builder.add(target, builder.mul(index, _times(emit, rows, target_stride)))
                for r in range(rows):
                    for o in range(outputs):
                        pointer = _address(emit, out, _times(emit, r, target_stride), _times(emit, o, target_plane))
                        emit.store_masked(sums[r * outputs + o], pointer, 0, mask)
                return []

            _repeat(emit, "rows", blocks, [], block)
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def plane_outer_tile(itemsize: int, rows: int, outputs: int, lines: int, taps: int, step: int, spacing: int) -> Any:
    """Make the tile of the weight gradient, channels first: `lines` rows of the kernel, a vector of columns.

    Parameters
    ----------
    itemsize, lines, taps, step, spacing
        As in `plane_tile`.
    rows, outputs : int
        ``R`` rows of ``B`` planes of `gy` make a step.

    Returns
    -------
    intrinsic
        ``tile(source, stride, offsets, b, b_stride, b_plane, steps, target, columns)``, all int64, addresses and
        distances in bytes:

        - `source`: address of what output row 0 reads for tap 0; rows are `stride` apart;
        - `offsets`: address of ``int64[K]``, where tap u reads relative to tap 0;
        - `b`: address of output row 0 in `gy`; rows are `b_stride`, planes `b_plane` apart; `steps` times R rows;
        - `target`: address of ``[M, K, B, L]`` numbers, to which the products of each lane are added;
        - `columns`: how many columns of `gy` there are; others count as 0.

    Notes
    -----
    ``2 * R * B * M * K * L * steps`` flop. Sums begin with 0 for each call.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, stride, offsets, b, b_stride, b_plane, steps, target, columns):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 9)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, stride, offsets, b, b_stride, b_plane, steps, target, columns = args
            emit = Emitter(builder, shape)
            mask = emit.masks(columns)[0]
            shifts = [_entry(emit, offsets, emit.constant(u)) for u in range(taps)]

            def advance(index: Any, sums: list[Any]) -> list[Any]:
                place = builder.add(source, builder.mul(index, _times(emit, rows * step, stride)))
                here = builder.add(b, builder.mul(index, _times(emit, rows, b_stride)))
                right = [
                    [
                        emit.load_masked(
                            _address(emit, here, _times(emit, r, b_stride), _times(emit, o, b_plane)), 0, mask
                        )
                        for o in range(outputs)
                    ]
                    for r in range(rows)
                ]
                for row in sorted({r * step + m * spacing for r in range(rows) for m in range(lines)}):
                    line = builder.add(place, _times(emit, row, stride))
                    for u in range(taps):
                        value = emit.load(_address(emit, line, shifts[u]), 0)
                        for m in range(lines):
                            r, rest = divmod(row - m * spacing, step)
                            if rest == 0 and 0 <= r < rows:
                                for o in range(outputs):
                                    at = (m * taps + u) * outputs + o
                                    sums[at] = builder.call(emit.fma, [value, right[r][o], sums[at]])
                return sums

            zero = ir.Constant(emit.vector, None)
            results = emit.pointer(target)
            for k, value in enumerate(_repeat(emit, "rows", steps, [zero] * (lines * taps * outputs), advance)):
                total = builder.fadd(emit.load(results, k * emit.length), value)
                builder.store(total, emit.vector_at(results, k * emit.length)).align = itemsize
            return context.get_dummy_value()

        return signature, generate

    return tile
