"""What this machine can do at most: arithmetic and memory, each measured by a loop that does nothing else.

*Arithmetic.* A register tile as in a matrix product: R rows by V vectors of sums stay in registers; each step loads V
vectors, broadcasts R numbers, and does R * V fused multiply-adds; all that it reads lies in the first-level cache. It
is written here, in LLVM's vector operations through Numba, and shares nothing with the kernels that are compared with
it. Several shapes are tried, and the fastest counts.

*Memory.* Summing an array much larger than all caches (reading), and copying one (reading and writing).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .jit import SUM_FLAGS, kernel
from .threads import parallel_for

Array = NDArray[Any]

# Rows and vectors of the tiles that are tried: with 32 vector registers, and with 16.
SHAPES = {32: ((14, 2), (8, 3), (6, 4)), 16: ((6, 2), (4, 3), (3, 4))}

# Steps of a tile: what they read fits into a first-level cache of 32 KiB with every shape.
STEPS = 64

TURNS = 25
FLOP, QUICK_FLOP = 5e8, 1e6
BYTES, QUICK_BYTES = 128 * 2**20, 2**20


def _tile(rows: int, vectors: int, lanes: int) -> Any:
    """Return ``tile(a, b, c)`` for compiled code, of addresses: ``c += a @ b`` with `STEPS` steps."""
    integer, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), lanes)

    @intrinsic
    def tile(typingctx, a, b, c):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            element = ir.FloatType().as_pointer()
            a, b, c = (builder.inttoptr(address, element) for address in arguments)
            name, kind = f"llvm.fma.v{lanes}f32", ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, name)
            undefined = ir.Constant(vector, ir.Undefined)
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)

            def place(pointer: Any, offset: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

            def load(pointer: Any, offset: Any) -> Any:
                value = builder.load(place(pointer, offset))
                value.align = 4
                return value

            def constant(value: int) -> Any:
                return ir.Constant(integer, value)

            before = builder.block
            loop, end = (builder.function.append_basic_block(name) for name in ("loop", "end"))
            grid = [(r, v) for r in range(rows) for v in range(vectors)]
            old = [load(c, constant((r * vectors + v) * lanes)) for r, v in grid]
            builder.branch(loop)
            builder.position_at_end(loop)
            step = builder.phi(integer)
            step.add_incoming(constant(0), before)
            sums = [builder.phi(vector) for _ in grid]
            for phi, value in zip(sums, old):
                phi.add_incoming(value, before)
            left, right = (builder.mul(step, constant(n)) for n in (rows, vectors * lanes))
            loaded = [load(b, builder.add(right, constant(v * lanes))) for v in range(vectors)]
            new = []
            for r in range(rows):
                number = builder.load(builder.gep(a, [builder.add(left, constant(r))]))
                one = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
                spread = builder.shuffle_vector(one, undefined, zeros)
                new += [builder.call(fma, [spread, loaded[v], sums[r * vectors + v]]) for v in range(vectors)]
            following = builder.add(step, constant(1))
            step.add_incoming(following, loop)
            for phi, value in zip(sums, new):
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, constant(STEPS)), loop, end)
            builder.position_at_end(end)
            for (r, v), value in zip(grid, new):
                stored = builder.store(value, place(c, constant((r * vectors + v) * lanes)))
                stored.align = 4
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return tile


def _arithmetic_loop(rows: int, vectors: int, lanes: int) -> Callable[..., None]:
    tile = _tile(rows, vectors, lanes)

    @kernel
    def products(start: int, stop: int, a: Array, b: Array, c: Array) -> None:
        """Compute the same tile ``stop - start`` times."""
        for _ in range(start, stop):
            tile(a.ctypes.data, b.ctypes.data, c.ctypes.data)

    loop: Callable[..., None] = products
    return loop


@kernel(fastmath=SUM_FLAGS)
def _read(start: int, stop: int, x: Array, sums: Array, block: int) -> None:
    """Add up blocks ``start <= item < stop`` of `x`."""
    for item in range(start, stop):
        line = x[item * block : item * block + block]
        total = np.float32(0)
        for i in range(line.size):
            total += line[i]
        sums[item] = total


def _copy(start: int, stop: int, x: Array, y: Array, block: int) -> None:
    np.copyto(y[start * block : stop * block], x[start * block : stop * block])


def _rate(amount: float, job: Callable[[], object]) -> float:
    """Return the amount per second: the best of some turns, for nothing can be faster than the machine."""
    job()
    rates = []
    for _ in range(TURNS):
        start = time.perf_counter()
        job()
        rates.append(amount / (time.perf_counter() - start))
    return max(rates)


def arithmetic(threads: int, flop: float) -> dict[str, Any]:
    """Return the most float32 operations per second of any shape of tile, on so many threads, and the shape."""
    features = llvmlite.binding.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx") else 4
    registers = 32 if features.get("avx512f") or features.get("neon") else 16
    found = {}
    for rows, vectors in SHAPES[registers]:
        loop = _arithmetic_loop(rows, vectors, lanes)
        arrays = [np.zeros(n, np.float32) for n in (rows * STEPS, STEPS * vectors * lanes, rows * vectors * lanes)]
        each = 2 * rows * vectors * lanes * STEPS
        count = max(threads, int(flop * threads / each))
        # All threads write the same numbers to the same place: each gets its own.
        loop(0, 1, *arrays)

        def job(loop: Any = loop, arrays: Any = arrays, count: int = count) -> None:
            parallel_for(_on_own_arrays(loop, arrays), count)

        found[f"{rows} rows × {vectors} vectors of {lanes}"] = _rate(count * each, job)
    best = max(found, key=lambda shape: found[shape])
    return {"flop_per_second": found[best], "tile": best}


def _on_own_arrays(loop: Callable[..., None], arrays: list[Array]) -> Callable[[int, int], None]:
    def run(start: int, stop: int) -> None:
        loop(start, stop, *(array.copy() for array in arrays))

    return run


def bandwidth(size: int) -> dict[str, float]:
    """Return bytes per second of reading, and of copying (read and written bytes counted)."""
    x = np.ones(size // 4, np.float32)
    y = np.zeros_like(x)
    blocks = 64
    block = x.size // blocks
    sums = np.zeros(blocks, np.float32)
    return {
        "read_bytes_per_second": _rate(x.nbytes, lambda: parallel_for(_read, blocks, x, sums, block)),
        "copy_bytes_per_second": _rate(2 * x.nbytes, lambda: parallel_for(_copy, blocks, x, y, block)),
    }


def measure(threads: int, quick: bool) -> dict[str, Any]:
    """Return the peaks of this machine with `threads` threads, as JSON can hold them."""
    return {
        "threads": threads,
        **arithmetic(threads, QUICK_FLOP if quick else FLOP),
        **bandwidth(QUICK_BYTES if quick else BYTES),
    }
