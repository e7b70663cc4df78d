"""Softmax, its logarithm and cross entropy along the last axis: a row at a time, while it is in the first-level cache.

For a row x of C numbers, with m the largest of them::

    softmax(x)[c]      =  exp(x[c] - m) / total        total = sum over c of  exp(x[c] - m)
    log_softmax(x)[c]  =  x[c] - m - log(total)

and, with g the cotangent of the result and y the result itself::

    softmax:      gx  =  y * (g - sum(g * y))
    log_softmax:  gx  =  g - exp(y) * sum(g)

Exponentials are computed in vectors: the compiler makes them of the loop in `_exponentials`. With ``x = k log 2 + r``,
``|r| <= log(2) / 2``, ``exp(x) = 2**k exp(r)``, where exp(r) is a polynomial and ``2**k`` is written as the exponent of
a number (Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6). float32 alone.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import contiguous, empty_apart
from .jit import INNER, SUM_FLAGS, kernel
from .threads import parallel_for

Array = NDArray[Any]

# Elements of an item of work: some microseconds.
BLOCK = 16384

# Shorter rows leave too many lanes of vectors empty.
LEAST_COLUMNS = 32

ELEMENTS_PER_NANOSECOND = 1.0

# log2(e), and log(2) in two parts, of which the first times a small integer is exact.
_LOG2_E = np.float32(1.4426950408889634)
_LOG_2_HIGH = np.float32(0.693359375)
_LOG_2_LOW = np.float32(-2.12194440054690583e-4)

# Below, the exponential is less than half of the smallest number there is.
_LEAST = np.float32(-104.0)

# Adding and subtracting it rounds to an integer.
_ROUNDING = np.float32(1.5 * 2**23)

_HALF, _ONE = np.float32(0.5), np.float32(1.0)

# exp(r) = 1 + r + r**2 * p(r): the Taylor series, whose first term left out, r**8 / 8!, is below 1e-8 of the result.
_P2, _P3, _P4, _P5, _P6, _P7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))


_I32 = ir.IntType(32)


# In LLVM's words, because Numba would compute with integers of 64 bits, half as many in a vector.
@intrinsic
def _times_power_of_two(typingctx, p, k):  # type: ignore[no-untyped-def]
    """The float32 ``p * 2**k``, for whole numbers k from -252 to 254, given as float32."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        p, k = args
        k = builder.fptosi(k, _I32)
        half = builder.ashr(k, ir.Constant(_I32, 1))
        # In two steps: 2**k itself may be too small for a normal number.
        for part in (half, builder.sub(k, half)):
            exponent = builder.shl(builder.add(part, ir.Constant(_I32, 127)), ir.Constant(_I32, 23))
            p = builder.fmul(p, builder.bitcast(exponent, ir.FloatType()))
        return p

    return types.float32(types.float32, types.float32), generate


@intrinsic
def _ordered(typingctx, bits):  # type: ignore[no-untyped-def]
    """Integers in the order of the numbers whose bits they are: those of negative ones are turned around."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sign = builder.ashr(args[0], ir.Constant(_I32, 31))
        return builder.xor(args[0], builder.and_(sign, ir.Constant(_I32, 0x7FFFFFFF)))

    return types.int32(types.int32), generate


# Without the licence to reorder: rounding by addition and subtraction would be left out.
@kernel(fastmath={"contract"}, **INNER)
def _exponentials(x: Array, shift: Any, y: Array) -> None:
    """Compute y = exp(x - shift), where the difference is not positive, or NaN."""
    for c in range(x.size):
        value = x[c] - shift
        inside = value if value > _LEAST else _LEAST
        rounded = inside * _LOG2_E + _ROUNDING - _ROUNDING
        r = inside - rounded * _LOG_2_HIGH - rounded * _LOG_2_LOW
        p = _P2 + r * (_P3 + r * (_P4 + r * (_P5 + r * (_P6 + r * _P7))))
        p = _ONE + (r + r * r * p)
        result = _times_power_of_two(p, rounded)
        y[c] = result if value == value else value


@kernel(**INNER)
def _largest(x: Array) -> float:
    """The largest of some float32 numbers, given by their bits; NaN is larger than all if its sign is positive."""
    best = np.int32(-(2**31))
    for c in range(x.size):
        ordered = _ordered(x[c])
        best = ordered if ordered > best else best
    return _ordered(best)


@kernel(fastmath=SUM_FLAGS, **INNER)
def _sum(x: Array) -> float:
    total = x.dtype.type(0)
    for c in range(x.size):
        total += x[c]
    return total


@kernel(fastmath=SUM_FLAGS, **INNER)
def _dot(x: Array, y: Array) -> float:
    total = x.dtype.type(0)
    for c in range(x.size):
        total += x[c] * y[c]
    return total


@kernel
def _forward(
    start: int, stop: int, x: Array, bits: Array, y: Array, tops: Array, totals: Array, block: int, logarithm: int,
    keep: int,
) -> None:  # fmt: skip
    """Compute blocks ``start <= b < stop`` of rows: `tops`, `totals`; and, if `keep`, `y`; else it is work space."""
    number = np.empty(1, np.int32)
    for item in range(start, stop):
        for row in range(item * block, min((item + 1) * block, x.shape[0])):
            source, target = x[row], y[row if keep else item]
            number[0] = _largest(bits[row])
            top = number.view(np.float32)[0]
            _exponentials(source, top, target)
            total = _sum(target)
            tops[row], totals[row] = top, total
            if keep and logarithm:
                shift = np.float32(math.log(total))
                for c in range(source.size):
                    target[c] = (source[c] - top) - shift
            elif keep:
                share = np.float32(1) / total
                for c in range(source.size):
                    target[c] *= share


@kernel
def _backward(start: int, stop: int, g: Array, y: Array, gx: Array, block: int, logarithm: int) -> None:
    """Compute blocks ``start <= b < stop`` of rows of `gx` from the cotangent `g` of the result `y`."""
    for item in range(start, stop):
        for row in range(item * block, min((item + 1) * block, g.shape[0])):
            source, result, target = g[row], y[row], gx[row]
            if logarithm:
                total = _sum(source)
                _exponentials(result, np.float32(0), target)
                for c in range(source.size):
                    target[c] = source[c] - target[c] * total
            else:
                total = _dot(source, result)
                for c in range(source.size):
                    target[c] = result[c] * (source[c] - total)


@kernel
def _entropy_backward(
    start: int, stop: int, x: Array, tops: Array, totals: Array, index: Array, scale: Array, gx: Array, block: int
) -> None:
    """Compute blocks ``start <= b < stop`` of rows of ``scale * (softmax(x) - onehot(index))``; 0 where index < 0."""
    for item in range(start, stop):
        for row in range(item * block, min((item + 1) * block, x.shape[0])):
            target, hit = gx[row], index[row]
            if hit < 0:
                target[:] = 0
                continue
            _exponentials(x[row], tops[row], target)
            factor = scale[row]
            share = factor / totals[row]
            for c in range(target.size):
                target[c] *= share
            target[hit] -= factor


def serves(x: Array, axis: int) -> bool:
    """Whether rows along `axis` of `x` are served: the last axis, in memory too, float32, and not too short."""
    return (
        x.dtype == np.float32 and axis == x.ndim - 1 and x.shape[-1] >= LEAST_COLUMNS and x.size > 0
        and x.flags.c_contiguous and not config.DISABLE_JIT
    )  # fmt: skip


def _rows(x: Array) -> tuple[Array, int]:
    """`x` as rows, and how many of them are an item of work."""
    rows = contiguous(x, np.float32).reshape(-1, x.shape[-1])
    return rows, max(1, BLOCK // rows.shape[1])


def forward(x: Array, logarithm: bool) -> Array:
    """Return softmax or log_softmax along the last axis.

    Parameters
    ----------
    x : ndarray of float32, shape (..., C)
        That `serves`.
    logarithm : bool

    Returns
    -------
    ndarray of float32, shape (..., C)
        Fresh. A row with NaN or positive infinity, or of negative infinities only, is NaN.
    """
    rows, block = _rows(x)
    y = empty_apart(rows.shape, rows.dtype, rows)
    tops, totals = np.empty(len(rows), rows.dtype), np.empty(len(rows), rows.dtype)
    parallel_for(
        _forward, -(-len(rows) // block), rows, rows.view(np.int32), y, tops, totals, block, int(logarithm), 1,
        nanoseconds=x.size / ELEMENTS_PER_NANOSECOND,
    )  # fmt: skip
    return y.reshape(x.shape)


def sums(x: Array) -> tuple[Array, Array]:
    """Return the largest number of each row, and the sum of the exponentials below it.

    Parameters
    ----------
    x : ndarray of float32, shape (..., C)
        That `serves`.

    Returns
    -------
    top, total : ndarray of float32, shape (..., 1)
    """
    rows, block = _rows(x)
    items = -(-len(rows) // block)
    tops, totals = np.empty(len(rows), rows.dtype), np.empty(len(rows), rows.dtype)
    work = np.empty((items, rows.shape[1]), rows.dtype)
    parallel_for(
        _forward, items, rows, rows.view(np.int32), work, tops, totals, block, 0, 0,
        nanoseconds=x.size / ELEMENTS_PER_NANOSECOND,
    )  # fmt: skip
    shape = (*x.shape[:-1], 1)
    return tops.reshape(shape), totals.reshape(shape)


def backward(g: Array, y: Array, logarithm: bool) -> Array:
    """Return the cotangent of the input, from that of the result `y` of `forward`.

    Parameters
    ----------
    g, y : ndarray of float32, shape (..., C)
        `y` that `serves`; `g` of any strides.
    logarithm : bool

    Returns
    -------
    ndarray of float32, shape (..., C)
        Fresh.
    """
    results, block = _rows(y)
    rows = contiguous(g, np.float32).reshape(results.shape)
    gx = empty_apart(rows.shape, rows.dtype, rows)
    parallel_for(
        _backward, -(-len(rows) // block), rows, results, gx, block, int(logarithm),
        nanoseconds=y.size / ELEMENTS_PER_NANOSECOND,
    )  # fmt: skip
    return gx.reshape(y.shape)


def entropy_backward(x: Array, top: Array, total: Array, index: Array, scale: Array) -> Array:
    """Return ``scale * (softmax(x) - onehot(index))``, the gradient of cross entropy.

    Parameters
    ----------
    x : ndarray of float32, shape (..., C)
        That `serves`.
    top, total : ndarray of float32, shape (..., 1)
        Of `sums`.
    index : ndarray of int64, as many elements as `x` has rows
        Classes; the row of a negative one is 0, whatever is in it.
    scale : ndarray, as many elements

    Returns
    -------
    ndarray of float32, shape (..., C)
        Fresh.
    """
    rows, block = _rows(x)
    gx = empty_apart(rows.shape, rows.dtype, rows)
    lines = [contiguous(line, np.float32).reshape(-1) for line in (top, total, scale)]
    parallel_for(
        _entropy_backward, -(-len(rows) // block), rows, *lines[:2], contiguous(index, np.int64).reshape(-1), lines[2],
        gx, block, nanoseconds=x.size / ELEMENTS_PER_NANOSECOND,
    )  # fmt: skip
    return gx.reshape(x.shape)
