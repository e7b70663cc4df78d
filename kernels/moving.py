"""Vectors on the move: what packs numbers for the tile of the weight gradient.

Each of these functions of compiled code reads exactly what is asked for, but writes whole vectors: numbers beyond
the end of a row of the target become 0. A caller therefore fills a buffer in such an order that what is written too
much is written again, and leaves room for a vector behind the end. In return nothing is done number by number.
"""

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .emitter import Emitter, Shape

__all__ = ["add_vectors", "copy_padded", "copy_rows", "transpose_rows", "transpose_table"]

_I64 = ir.IntType(64)


def _store(emit: Emitter, value: Any, address: Any) -> None:
    stored = emit.builder.store(value, emit.vector_at(emit.pointer(address), 0))
    stored.align = emit.shape.itemsize


@functools.cache
def copy_rows(itemsize: int, length: int) -> Any:
    """Make a function for compiled code that copies up to L numbers of each row.

    Parameters
    ----------
    itemsize : int
    length : int
        ``L``: where rows are short, short vectors cross fewer cache lines.

    Returns
    -------
    intrinsic
        ``copy(source, source_stride, target, target_stride, rows, columns)``, all int64, addresses and distances in
        bytes: ``target[i, j] = source[i, j] if j < columns else 0`` for ``i < rows`` and ``j < L``, one row after
        the other. With 0 columns nothing is read.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def copy(typingctx, source, source_stride, target, target_stride, rows, columns):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, source_stride, target, target_stride, rows, columns = args
            emit = Emitter(builder, shape, length)
            loop, end = (builder.function.append_basic_block(f"copy.{name}") for name in ("row", "end"))
            mask = emit.masks(columns)[0]
            before = builder.block
            builder.cbranch(builder.icmp_signed(">", rows, emit.constant(0)), loop, end)

            builder.position_at_end(loop)
            row, here, there = (builder.phi(_I64) for _ in range(3))
            value = emit.load_masked(emit.pointer(here), 0, mask)
            _store(emit, value, there)
            next_row = builder.add(row, emit.constant(1))
            for phi, first, following in (
                (row, emit.constant(0), next_row),
                (here, source, builder.add(here, source_stride)),
                (there, target, builder.add(there, target_stride)),
            ):
                phi.add_incoming(first, before)
                phi.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", next_row, rows), loop, end)

            builder.position_at_end(end)
            return context.get_dummy_value()

        return signature, generate

    return copy


@functools.cache
def copy_padded(itemsize: int) -> Any:
    """Make a function for compiled code that copies a row of any length, between zeros.

    Returns
    -------
    intrinsic
        ``copy(source, target, before, count, total)``, all int64, addresses in bytes: to `target` go `before` zeros,
        `count` numbers, and zeros until there are `total`, at least 1; beyond that, until the end of a vector.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def copy(typingctx, source, target, before, count, total):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, target, before, count, total = args
            emit = Emitter(builder, shape)
            loop, end = (builder.function.append_basic_block(f"pad.{name}") for name in ("vector", "end"))
            source = builder.sub(source, builder.mul(before, emit.constant(itemsize)))
            start = builder.block
            builder.branch(loop)

            builder.position_at_end(loop)
            place = builder.phi(_I64)
            ahead = builder.mul(place, emit.constant(itemsize))
            here = emit.pointer(builder.add(source, ahead))
            # Most vectors hold no zero: those need no mask.
            first = builder.sub(place, before)
            whole = builder.icmp_unsigned("<", first, builder.sub(count, emit.constant(emit.length - 1)))
            some = builder.icmp_signed(">=", count, emit.constant(emit.length))
            with builder.if_else(builder.and_(some, whole)) as (inside, outside):
                with inside:
                    plain, plain_end = emit.load(here, 0), builder.block
                with outside:
                    partial = emit.load_masked(here, 0, emit.between(first, count))
                    partial_end = builder.block
            value = builder.phi(emit.vector)
            value.add_incoming(plain, plain_end)
            value.add_incoming(partial, partial_end)
            _store(emit, value, builder.add(target, ahead))
            following = builder.add(place, emit.constant(emit.length))
            place.add_incoming(emit.constant(0), start)
            place.add_incoming(following, builder.block)
            builder.cbranch(builder.icmp_signed("<", following, total), loop, end)

            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5), generate

    return copy


@functools.cache
def transpose_rows(itemsize: int, length: int) -> Any:
    """Make a function for compiled code that transposes a block of up to L by L numbers.

    Parameters
    ----------
    itemsize : int
    length : int
        ``L``, a power of two.

    Returns
    -------
    intrinsic
        ``tile(source, source_stride, target, target_stride, rows, columns)``, all int64, addresses and distances in
        bytes: ``target[j, i] = source[i, j] if i < rows and j < columns else 0`` for i and j below L.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, source_stride, target, target_stride, rows, columns):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, source_stride, target, target_stride, rows, columns = args
            emit = Emitter(builder, shape, length)
            loaded = []
            for i in range(emit.length):
                present = builder.icmp_signed("<", emit.constant(i), rows)
                address = builder.add(source, builder.mul(source_stride, emit.constant(i)))
                mask = emit.masks(builder.select(present, columns, emit.constant(0)))[0]
                loaded.append(emit.load_masked(emit.pointer(builder.select(present, address, source)), 0, mask))
            for j, value in enumerate(emit.transposed(loaded)):
                _store(emit, value, builder.add(target, builder.mul(target_stride, emit.constant(j))))
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def transpose_table(itemsize: int) -> Any:
    """Make a function for compiled code that transposes a block of up to L by L numbers, wherever its rows lie.

    Returns
    -------
    intrinsic
        ``tile(source, table, target, target_stride, columns, rows)``, all int64, addresses and distances in bytes:
        ``target[j, i] = source[i, j]`` for ``i < rows`` and ``j < columns``, and nothing else is written. Row i lies at
        ``source + table[i]``; `table` is the address of ``int64[L]``, of which all rows are read.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, table, target, target_stride, columns, rows):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, table, target, target_stride, columns, rows = args
            emit = Emitter(builder, shape)
            table = builder.inttoptr(table, _I64.as_pointer())
            mask, full = emit.masks(columns)[0], emit.masks(rows)[0]
            lines = []
            for i in range(emit.length):
                place = builder.load(builder.gep(table, [emit.constant(i)]))
                lines.append(emit.load_masked(emit.pointer(builder.add(source, place)), 0, mask))
            for j, value in enumerate(emit.transposed(lines)):
                with builder.if_then(builder.icmp_signed("<", emit.constant(j), columns)):
                    address = builder.add(target, builder.mul(target_stride, emit.constant(j)))
                    emit.store_masked(value, emit.pointer(address), 0, full)
            return context.get_dummy_value()

        return signature, generate

    return tile


@functools.cache
def add_vectors(itemsize: int) -> Any:
    """Make a function for compiled code that adds up vectors.

    Returns
    -------
    intrinsic
        ``tile(source, distance, count, target, columns, check)``, all int64, addresses and distances in bytes: the sum
        of `count` vectors, at least 1, that are `distance` apart, in their order, goes to `target`, of both the first
        `columns` numbers. Zero times each sum is added to the vector at `check`.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def tile(typingctx, source, distance, count, target, columns, check):  # type: ignore[no-untyped-def]
        signature = types.void(*(types.int64,) * 6)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, distance, count, target, columns, check = args
            emit = Emitter(builder, shape)
            loop, end = (builder.function.append_basic_block(f"add.{name}") for name in ("vector", "end"))
            mask = emit.masks(columns)[0]
            zero = ir.Constant(emit.vector, None)
            first, second = emit.load_masked(emit.pointer(source), 0, mask), builder.add(source, distance)
            before = builder.block
            builder.cbranch(builder.icmp_signed(">", count, emit.constant(1)), loop, end)

            builder.position_at_end(loop)
            k, here, total = builder.phi(_I64), builder.phi(_I64), builder.phi(emit.vector)
            new = builder.fadd(total, emit.load_masked(emit.pointer(here), 0, mask))
            following = builder.add(k, emit.constant(1))
            for phi, begin, after in (
                (k, emit.constant(1), following),
                (here, second, builder.add(here, distance)),
                (total, first, new),
            ):
                phi.add_incoming(begin, before)
                phi.add_incoming(after, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, end)

            builder.position_at_end(end)
            result = builder.phi(emit.vector)
            result.add_incoming(first, before)
            result.add_incoming(new, loop)
            emit.store_masked(result, emit.pointer(target), 0, mask)
            present = emit.load(emit.pointer(check), 0)
            emit.store(builder.call(emit.fma, [result, zero, present]), emit.pointer(check), 0)
            return context.get_dummy_value()

        return signature, generate

    return tile
