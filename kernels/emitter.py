"""Vectors for compiled loops: what this machine has, the shapes of register tiles, and LLVM's operations by name.

`numba.extending.intrinsic` lets a function emit LLVM's own instructions. :class:`Emitter` is a shorthand for those
on vectors that the tiles (`tile`, `winograd`) are made of.
"""

import functools
from typing import Any, NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

__all__ = ["Emitter", "Shape", "in_vectors", "lanes", "register_count", "side", "tile_shape"]

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


@functools.cache
def _vector_bytes() -> int:
    """Bytes of the vectors of this machine: 64 with AVX-512, 32 with AVX, else 16 (SSE, NEON)."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


@functools.cache
def register_count() -> int:
    """Vector registers of this machine: 32 with AVX-512 and NEON, else 16."""
    features = llvmlite.binding.get_host_cpu_features()
    return 32 if features.get("avx512f") or features.get("neon") else 16


def lanes(itemsize: int) -> int:
    """Numbers in a vector of this machine."""
    return _vector_bytes() // itemsize


class Shape(NamedTuple):
    """Shape of a tile.

    Attributes
    ----------
    itemsize : int
        4 for float32, 8 for float64.
    rows, vectors : int
        ``R`` and ``V``.
    """

    itemsize: int
    rows: int
    vectors: int

    @property
    def columns(self) -> int:
        """Columns: ``V * L``."""
        return self.vectors * lanes(self.itemsize)


# Rows for each number of vectors, such that R*V accumulators, V vectors of B and one broadcast number fit into
# the registers: 32 (24 to 28 accumulators), 16 (12 accumulators).
_ROWS = {32: {1: 12, 2: 12, 3: 8, 4: 6}, 16: {1: 8, 2: 6, 3: 4}}


@functools.cache
def tile_shape(itemsize: int, columns: int) -> Shape:
    """The shape of tile that wastes the fewest lanes on so many columns, and of those the widest.

    Parameters
    ----------
    itemsize : int
    columns : int
        Of the whole product.

    Returns
    -------
    Shape
    """
    rows = _ROWS[register_count()]
    needed = -(-columns // lanes(itemsize))
    vectors = min(rows, key=lambda v: (-(-needed // v) * v, -v))
    return Shape(itemsize, rows[vectors], vectors)


def side(rows: int) -> int:
    """How many rows of a tile of the weight gradient lie side by side."""
    return 4 if rows % 4 == 0 else 2


def in_vectors(itemsize: int, inputs: int, outputs: int, groups: int) -> bool:
    """Whether vectors of channels hold whole groups, so that `stencil.row_tile` and `stencil.row_outer_tile` serve."""
    length = lanes(itemsize)
    return groups > 1 and inputs == outputs <= min(8, length) and length % inputs == 0


class Emitter:
    """Shorthand for the LLVM operations that both tiles use."""

    def __init__(self, builder: Any, shape: Shape, length: int = 0) -> None:
        self.builder = builder
        self.shape = shape
        self.element: ir.Type = ir.FloatType() if shape.itemsize == 4 else ir.DoubleType()
        self.length = length or lanes(shape.itemsize)
        self.vector = ir.VectorType(self.element, self.length)
        suffix = f"v{self.length}f{8 * shape.itemsize}"
        module = builder.module
        self.fma = cgutils.get_or_insert_function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), f"llvm.fma.{suffix}"
        )
        mask = ir.VectorType(_I1, self.length)
        pointer = self.vector.as_pointer()
        self.masked_load = cgutils.get_or_insert_function(
            module,
            ir.FunctionType(self.vector, [pointer, _I32, mask, self.vector]),
            f"llvm.masked.load.{suffix}.p0",
        )
        self.masked_store = cgutils.get_or_insert_function(
            module,
            ir.FunctionType(ir.VoidType(), [self.vector, pointer, _I32, mask]),
            f"llvm.masked.store.{suffix}.p0",
        )

    def constant(self, value: int) -> Any:
        return ir.Constant(_I64, value)

    def pointer(self, address: Any) -> Any:
        """An integer as the address of a number."""
        return self.builder.inttoptr(address, self.element.as_pointer())

    def vector_at(self, pointer: Any, offset: int) -> Any:
        place = self.builder.gep(pointer, [self.constant(offset)])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def load(self, pointer: Any, offset: int) -> Any:
        value = self.builder.load(self.vector_at(pointer, offset))
        value.align = self.shape.itemsize  # vectors lie anywhere
        return value

    def prefetch(self, address: Any) -> None:
        """Ask for a cache line, to be in the second-level cache when it is needed. Any address will do."""
        pointer = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32]), "llvm.prefetch.p0"
        )
        for_reading, second_level, data = (ir.Constant(_I32, value) for value in (0, 2, 1))
        self.builder.call(function, [self.builder.inttoptr(address, pointer), for_reading, second_level, data])

    def masks(self, columns: Any) -> list[Any]:
        """For each vector, which of its lanes are columns below `columns`."""
        builder = self.builder
        lane_type = ir.VectorType(_I64, self.length)
        count = self._splat(columns, lane_type)
        return [
            builder.icmp_signed("<", ir.Constant(lane_type, [v * self.length + k for k in range(self.length)]), count)
            for v in range(self.shape.vectors)
        ]

    def between(self, first: Any, count: Any) -> Any:
        """Which lanes are in the range from 0 to `count`, if they are numbered from `first` on."""
        lane_type = ir.VectorType(_I64, self.length)
        lane = self.builder.add(self._splat(first, lane_type), ir.Constant(lane_type, list(range(self.length))))
        return self.builder.icmp_unsigned("<", lane, self._splat(count, lane_type))

    def store(self, value: Any, pointer: Any, offset: int) -> None:
        stored = self.builder.store(value, self.vector_at(pointer, offset))
        stored.align = self.shape.itemsize

    def load_masked(self, pointer: Any, offset: int, mask: Any) -> Any:
        align = ir.Constant(_I32, self.shape.itemsize)
        zero = ir.Constant(self.vector, None)
        return self.builder.call(self.masked_load, [self.vector_at(pointer, offset), align, mask, zero])

    def store_masked(self, value: Any, pointer: Any, offset: int, mask: Any) -> None:
        align = ir.Constant(_I32, self.shape.itemsize)
        self.builder.call(self.masked_store, [value, self.vector_at(pointer, offset), align, mask])

    def _splat(self, value: Any, vector: Any) -> Any:
        builder, undefined = self.builder, ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.length), [0] * self.length)
        return builder.shuffle_vector(first, undefined, zeros)

    def splat(self, number: Any) -> Any:
        """A number in all lanes."""
        return self._splat(number, self.vector)

    def broadcast(self, pointer: Any) -> Any:
        """The number at `pointer` in all lanes."""
        return self.splat(self.builder.load(pointer))

    def transposed(self, rows: list[Any]) -> list[Any]:
        """The columns of L vectors, as vectors.

        ``L log2(L)`` shuffles of two vectors: in stage s, blocks of ``2**s`` lanes change places between rows that
        are ``2**s`` apart.
        """
        n = self.length
        indices = ir.VectorType(_I32, n)
        half = 1
        while half < n:
            # Lane j of the new row i: where bit `half` of i and j agree it stays, else they trade places.
            low = ir.Constant(indices, [j if j & half == 0 else n + j - half for j in range(n)])
            high = ir.Constant(indices, [j + half if j & half == 0 else n + j for j in range(n)])
            new = list(rows)
            for i in range(n):
                if i & half == 0:
                    new[i] = self.builder.shuffle_vector(rows[i], rows[i + half], low)
                    new[i + half] = self.builder.shuffle_vector(rows[i], rows[i + half], high)
            rows = new
            half *= 2
        return rows

    def grid(self, make: Any) -> list[list[Any]]:
        return [[make(r, v) for v in range(self.shape.vectors)] for r in range(self.shape.rows)]

    def phis(self) -> list[list[Any]]:
        return self.grid(lambda r, v: self.builder.phi(self.vector))
