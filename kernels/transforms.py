"""Minimal filtering: the matrices of Winograd's algorithms, exactly, and the code that multiplies vectors by them.

Correlating ``m + r - 1`` inputs with ``r`` taps gives ``m`` outputs, by ``m * r`` multiplications if one follows the
definition. ``m + r - 1`` are enough: outputs are coefficients of a product of polynomials, which so many of its
values determine. That is

    y = A^T [ (G g) * (B^T d) ]        d: inputs, g: taps, y: outputs, *: element by element

where row ``i`` of G and of A evaluates a polynomial at point ``i`` (the last "point" is infinity: the leading
coefficient), and row ``i`` of B^T belongs to the polynomial that vanishes at all other points. In two dimensions
all three act on columns and then on rows. Outputs are linear in ``g`` and in ``d``, so that gradients are the
transposes:

    gd = B [ (G g) * (A gy) ]          gg = G^T [ (B^T d) * (A gy) ]

With stride 2, odd and even inputs are correlated with one tap and with two: two algorithms, whose numbers are put
together here, so that nobody else has to know.

Matrices are built from the points with fractions, and emitted term by term: no product with 0 or 1 is computed, and
what the rows (or the columns) of points ``a`` and ``-a`` have in common is computed once.

References
----------
S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; A. Lavin and S. Gray, Fast algorithms for convolutional
neural networks, CVPR 2016, section 4.1; the construction from points is that of Cook and Toom, turned round, as in
R. Blahut, Fast Algorithms for Signal Processing, Cambridge 2010, section 5.5.
"""

import functools
from fractions import Fraction
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .emitter import Emitter, Shape

__all__ = ["Minimal", "kernel_gradient_transform", "kernel_transform", "transform"]

Matrix = tuple[tuple[Fraction, ...], ...]

# Infinity comes last. In pairs of opposite sign, which share half of their work; sums of few powers of two, so that
# B^T and A are exact in float32; and about as far above 1 as below it: errors are four times smaller than with
# 0, 1, -1, 2, -2.
_POINTS = (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2))


class Minimal(NamedTuple):
    """A minimal algorithm along an axis.

    Attributes
    ----------
    outputs, taps : int
        ``m`` and ``r``.
    kind : {"plain", "stride 2", "gaps", "gaps after"}
        "plain": ``F(m, r)``, ``y[i] = sum of d[i + k] * g[k]``. There are points for ``m + r - 1 <= 6``.

        The others are for three taps and steps of two, and stack two plain algorithms: of two taps and of one.
        "stride 2": ``y[i] = sum of d[2 * i + k] * g[k]``. Its transpose, an input gradient, correlates with `g` what
        has a zero before each number ("gaps": ``0, d[0], 0, d[1], ...``), or after ("gaps after").

    Examples
    --------
    >>> [[str(a) for a in row] for row in Minimal(2, 5).matrix("output")]
    [['1', '1', '1', '1', '1', '0'], ['0', '5/8', '-5/8', '3/2', '-3/2', '1']]
    """

    outputs: int
    taps: int
    kind: str = "plain"

    @property
    def _pairs(self) -> "Minimal":
        """What acts on the first and the last of three taps."""
        return Minimal(self.outputs if self.kind == "stride 2" else self.outputs // 2, 2)

    @property
    def points(self) -> int:
        """Multiplications."""
        if self.kind == "plain":
            return self.outputs + self.taps - 1
        return self._pairs.points + self._pairs.outputs

    @property
    def inputs(self) -> int:
        """Numbers that the outputs depend on."""
        return {"plain": self.points, "stride 2": 2 * self.outputs + 1}.get(self.kind, self._pairs.points)

    @property
    def step(self) -> int:
        """How many numbers further the inputs of the next `outputs` outputs begin."""
        return {"plain": self.outputs, "stride 2": 2 * self.outputs}.get(self.kind, self.outputs // 2)

    def matrix(self, role: str) -> Matrix:
        """One of the matrices of the module's description.

        Parameters
        ----------
        role : {"input", "kernel", "output", "output_gradient", "kernel_gradient"}
            ``B^T``, ``G``, ``A^T``, ``A``, ``G^T``.

        Returns
        -------
        tuple of tuples of Fraction
        """
        if role in ("output", "kernel_gradient"):
            return tuple(zip(*self.matrix({"output": "output_gradient", "kernel_gradient": "kernel"}[role])))
        return self._plain(role) if self.kind == "plain" else self._stacked(role)

    def _plain(self, role: str) -> Matrix:
        points = _POINTS[: self.points - 1]
        if role == "input":
            others = [[b for b in points if b != a] for a in points]
            return tuple(_vanishing(zeros, self.inputs) for zeros in [*others, list(points)])
        if role == "kernel":
            rows = []
            for a in points:
                scale = _value(_vanishing([b for b in points if b != a], self.points), a)
                rows.append(tuple(a**k / scale for k in range(self.taps)))
            return (*rows, _unit(self.taps - 1, self.taps))
        return (*(tuple(a**k for k in range(self.outputs)) for a in points), _unit(self.outputs - 1, self.outputs))

    def _stacked(self, role: str) -> Matrix:
        pairs, count = self._pairs.matrix(role), self._pairs.outputs
        if role == "kernel":
            return (*(_spread(row, 3, 0, 2) for row in pairs), *[_unit(1, 3)] * count)
        if role == "input":
            if self.kind == "stride 2":
                rows = [_spread(row, self.inputs, 0, 2) for row in pairs]
                return (*rows, *(_unit(2 * k + 1, self.inputs) for k in range(count)))
            return (*pairs, *(_unit(k + (self.kind == "gaps after"), self.inputs) for k in range(count)))
        if self.kind == "stride 2":
            return (*pairs, *(_unit(k, count) for k in range(count)))
        first = 0 if self.kind == "gaps after" else 1  # which of two outputs two of the three taps meet
        rows = [_spread(row, self.outputs, first, 2) for row in pairs]
        return (*rows, *(_unit(2 * k + 1 - first, self.outputs) for k in range(count)))


def _unit(place: int, length: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(k == place) for k in range(length))


def _spread(row: tuple[Fraction, ...], length: int, first: int, step: int) -> tuple[Fraction, ...]:
    """`row` with its numbers at every `step`-th place from `first` on, and zeros."""
    result = [Fraction(0)] * length
    result[first : first + step * len(row) : step] = row
    return tuple(result)


def _vanishing(zeros: list[Fraction], length: int) -> tuple[Fraction, ...]:
    """Coefficients, lowest first, of the polynomial with leading coefficient 1 and these zeros."""
    coefficients = [Fraction(1)]
    for zero in zeros:  # times (t - zero)
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - zero * c for s, c in zip(shifted, [*coefficients, Fraction(0)])]
    return tuple(coefficients + [Fraction(0)] * (length - len(coefficients)))


def _value(coefficients: tuple[Fraction, ...], at: Fraction) -> Fraction:
    return sum((c * at**k for k, c in enumerate(coefficients)), Fraction(0))


# ---------------------------------------------------------------- products with these matrices


class _Algebra(Emitter):
    """Linear combinations of vectors."""

    def _constant(self, factor: Fraction) -> Any:
        return ir.Constant(self.vector, [float(factor)] * self.length)

    def _plus(self, a: Any, factor: Fraction, b: Any) -> Any:
        """a + factor * b"""
        if factor == 1:
            return self.builder.fadd(a, b)
        if factor == -1:
            return self.builder.fsub(a, b)
        return self.builder.call(self.fma, [self._constant(factor), b, a])

    def _sum(self, terms: list[tuple[Fraction, Any]]) -> Any:
        """The sum of ``factor * vector``."""
        terms = sorted(terms, key=lambda term: term[0] != 1)  # a factor of 1 first
        total = terms[0][1] if terms[0][0] == 1 else self.builder.fmul(self._constant(terms[0][0]), terms[0][1])
        for factor, vector in terms[1:]:
            total = self._plus(total, factor, vector)
        return total

    def product(self, matrix: Matrix, vectors: list[Any]) -> list[Any]:
        """`matrix` times a column of vectors."""
        columns = list(zip(zip(*matrix), vectors))
        # Columns that agree but for signs: their vectors' sum and difference serve all rows.
        done: list[tuple[tuple[Fraction, ...], Any]] = []
        while columns:
            column, vector = columns.pop(0)
            twin = next((k for k, (other, _) in enumerate(columns) if _alike(column, other)), None)
            if twin is None:
                done.append((column, vector))
                continue
            other, vector_2 = columns.pop(twin)
            same = tuple(a if a == b else Fraction(0) for a, b in zip(column, other))
            other = tuple(a - b for a, b in zip(column, same))
            done += [(same, self.builder.fadd(vector, vector_2)), (other, self.builder.fsub(vector, vector_2))]
        # Rows that agree but for signs: what they add and what they subtract.
        rows = list(zip(*(column for column, _ in done)))
        values = [vector for _, vector in done]
        results: list[Any] = [None] * len(rows)
        for i, row in enumerate(rows):
            if results[i] is not None:
                continue
            twin = next((k for k in range(i + 1, len(rows)) if results[k] is None and _alike(row, rows[k])), None)
            if twin is None:
                results[i] = self._sum([(a, v) for a, v in zip(row, values) if a])
                continue
            same = self._sum([(a, v) for a, b, v in zip(row, rows[twin], values) if a and a == b])
            opposite = [(a, v) for a, b, v in zip(row, rows[twin], values) if a and a != b]
            factor = min((a for a, _ in opposite), key=abs)
            rest = self._sum([(a / factor, v) for a, v in opposite])
            results[i], results[twin] = self._plus(same, factor, rest), self._plus(same, -factor, rest)
        return results

    def both_ways(self, matrix: Matrix, grid: list[list[Any]]) -> list[Any]:
        """``matrix @ grid @ matrix.T``, row by row."""
        columns = [self.product(matrix, list(column)) for column in zip(*grid)]
        return [vector for row in zip(*columns) for vector in self.product(matrix, list(row))]


def _alike(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> bool:
    """Whether `a` and `b` are equal in some places, opposite in others, and zero in the same."""
    return all(abs(p) == abs(q) for p, q in zip(a, b)) and any(a) and a != b and any(p and p == q for p, q in zip(a, b))


def _square(values: list[Any]) -> list[list[Any]]:
    side = round(len(values) ** 0.5)
    return [values[side * i : side * i + side] for i in range(side)]


@functools.cache
def transform(minimal: Minimal, role: str, itemsize: int) -> Any:
    """Make a function for compiled code that transforms a square of vectors: one vector of channels of one tile.

    Parameters
    ----------
    minimal : Minimal
    role : str
        Which of its matrices acts on columns and rows. "input", "kernel" and "output_gradient" look their sources up,
        "output" and "kernel_gradient" their targets.
    itemsize : int

    Returns
    -------
    intrinsic
        All int64, addresses in bytes, distances in numbers. What is looked up is read or written at `skip` numbers
        from each address of the table, of which only `columns` numbers are there:

        - ``transform(table, skip, columns, target, distance)``: results are `distance` apart;
        - ``transform(source, distance, table, skip, columns, start, check)``: the vector at `start` is added to all
          results; to the vector at `check`, 0 times all of them, which is NaN if one is infinite or NaN.
    """
    shape = Shape(itemsize, 1, 1)
    gathers = role in ("input", "kernel", "output_gradient")

    def places(emit: _Algebra, table: Any, skip: Any) -> Any:
        """The address, from a table, of number k."""
        addresses = emit.builder.inttoptr(table, ir.IntType(64).as_pointer())

        def place(k: int) -> Any:
            address = emit.builder.load(emit.builder.gep(addresses, [emit.constant(k)]))
            return emit.builder.gep(emit.pointer(address), [skip])

        return place

    @intrinsic
    def gather(typingctx, table, skip, columns, target, distance):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            table, skip, columns, target, distance = args
            emit = _Algebra(builder, shape)
            matrix = minimal.matrix(role)
            place, (mask,) = places(emit, table, skip), emit.masks(columns)
            grid = _square([emit.load_masked(place(k), 0, mask) for k in range(len(matrix[0]) ** 2)])
            _store(emit, emit.both_ways(matrix, grid), target, distance)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5), generate

    @intrinsic
    def scatter(typingctx, source, distance, table, skip, columns, start, check):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, distance, table, skip, columns, start, check = args
            emit = _Algebra(builder, shape)
            matrix = minimal.matrix(role)
            place, (mask,) = places(emit, table, skip), emit.masks(columns)
            addend = emit.load(emit.pointer(start), 0)
            grid = _square(_load(emit, len(matrix[0]) ** 2, source, distance))
            results = [builder.fadd(value, addend) for value in emit.both_ways(matrix, grid)]
            for k, value in enumerate(results):
                emit.store_masked(value, place(k), 0, mask)
            _check(emit, results, check)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 7), generate

    return gather if gathers else scatter


@functools.cache
def kernel_transform(minimal: Minimal, itemsize: int) -> Any:
    """As ``transform(minimal, "kernel", itemsize)``, for kernels whose taps lie side by side in memory.

    Returns
    -------
    intrinsic
        ``transform(table, skip, backwards, target, distance)``: `table` holds the addresses of L columns, at each of
        which, `skip` numbers further, are the taps, or if `backwards`, the taps from last to first. Blocks of
        L columns by L taps are transposed in registers.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def gather(typingctx, table, skip, backwards, target, distance):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            table, skip, backwards, target, distance = args
            emit = _Algebra(builder, shape)
            matrix = minimal.matrix("kernel")
            addresses = builder.inttoptr(table, ir.IntType(64).as_pointer())
            columns = [
                builder.gep(emit.pointer(builder.load(builder.gep(addresses, [emit.constant(j)]))), [skip])
                for j in range(emit.length)
            ]
            count = minimal.taps**2
            taps: list[Any] = []
            for first in range(0, count, emit.length):
                (mask,) = emit.masks(emit.constant(count - first))
                taps += emit.transposed([emit.load_masked(column, first, mask) for column in columns])
            turn = builder.icmp_signed("!=", backwards, emit.constant(0))
            taps = [builder.select(turn, taps[count - 1 - k], taps[k]) for k in range(count)]
            _store(emit, emit.both_ways(matrix, _square(taps)), target, distance)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5), generate

    return gather


@functools.cache
def kernel_gradient_transform(minimal: Minimal, itemsize: int) -> Any:
    """As ``transform(minimal, "kernel_gradient", itemsize)``, for kernels whose taps lie side by side in memory.

    Returns
    -------
    intrinsic
        ``transform(source, distance, table, skip, check)``: `table` holds the addresses of L columns, at each of which,
        `skip` numbers further, the taps are written.
    """
    shape = Shape(itemsize, 1, 1)

    @intrinsic
    def scatter(typingctx, source, distance, table, skip, check):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, distance, table, skip, check = args
            emit = _Algebra(builder, shape)
            matrix = minimal.matrix("kernel_gradient")
            addresses = builder.inttoptr(table, ir.IntType(64).as_pointer())
            columns = [
                builder.gep(emit.pointer(builder.load(builder.gep(addresses, [emit.constant(j)]))), [skip])
                for j in range(emit.length)
            ]
            taps = emit.both_ways(matrix, _square(_load(emit, len(matrix[0]) ** 2, source, distance)))
            _check(emit, taps, check)
            nothing = ir.Constant(emit.vector, None)
            for first in range(0, len(taps), emit.length):
                (mask,) = emit.masks(emit.constant(len(taps) - first))
                block = taps[first : first + emit.length]
                for column, row in zip(columns, emit.transposed(block + [nothing] * (emit.length - len(block)))):
                    emit.store_masked(row, column, first, mask)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5), generate

    return scatter


def _load(emit: _Algebra, count: int, source: Any, distance: Any) -> list[Any]:
    base, builder = emit.pointer(source), emit.builder
    return [emit.load(builder.gep(base, [builder.mul(distance, emit.constant(k))]), 0) for k in range(count)]


def _check(emit: _Algebra, vectors: list[Any], check: Any) -> None:
    place = emit.pointer(check)
    total, zero = emit.load(place, 0), ir.Constant(emit.vector, None)
    for vector in vectors:
        total = emit.builder.call(emit.fma, [vector, zero, total])
    emit.builder.store(total, emit.vector_at(place, 0)).align = emit.shape.itemsize


def _store(emit: _Algebra, vectors: list[Any], target: Any, distance: Any) -> None:
    base = emit.pointer(target)
    for k, vector in enumerate(vectors):
        place = emit.builder.gep(base, [emit.builder.mul(distance, emit.constant(k))])
        emit.builder.store(vector, emit.vector_at(place, 0)).align = emit.shape.itemsize
