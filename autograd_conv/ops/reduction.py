"""Sums, means and products over axes.

The rules restore the reduced axes with length one (`kept_shape`) and broadcast. What they need is an array's shape
where that suffices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import Primitive, primitive, repeat_to
from ..tensor import ArrayLike, Tensor, assign_out, raw
from .conversion import asarray, astype, tensor_of
from .selection import where as select

__all__ = ["average", "mean", "prod", "std", "sum", "var"]

Axes = int | tuple[int, ...] | None


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes, counted from 0; the forward has checked them."""
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple([a % ndim for a in axis]) if isinstance(axis, (tuple, list)) else (axis % ndim,)


def kept_shape(x_shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Shape of a result whose reduced axes are kept with length one."""
    if axis is None:
        return (1,) * len(x_shape)
    reduced = axes_of(axis, len(x_shape))
    return tuple([1 if k in reduced else n for k, n in enumerate(x_shape)])


def _count(x_shape: tuple[int, ...], axis: Any) -> int:
    """Number of elements that go into one element of the result."""
    count = 1
    for a in axes_of(axis, len(x_shape)):
        count *= x_shape[a]
    return count


def tupled(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def finish(name: str, result: Any, out: Any) -> Tensor:
    finished: Tensor = result if out is None else assign_out(name, out, result)
    return finished


# --- sums --------------------------------------------------------------------------------------------------


def _fold(ufunc: np.ufunc) -> Callable[..., Any]:
    """What np.sum and np.prod come to, without their detours."""
    reduce: Any = ufunc.reduce
    return lambda x, *, axis=None, dtype=None, keepdims=False: reduce(x, axis, dtype, None, keepdims)


def _sum_vjp(g: Any, x_shape: tuple[int, ...], axis: Any) -> Any:
    return repeat_to(g if axis is None else g.reshape(kept_shape(x_shape, axis)), x_shape)


_sum = primitive(_fold(np.add), name="sum").defvjp(x=_sum_vjp)


def _mean_vjp(g: Any, x_shape: tuple[int, ...], axis: Any) -> Any:
    # The mean of nothing has no elements to send a cotangent to; it must not divide by zero either.
    count = _count(x_shape, axis) or 1
    return repeat_to((g if axis is None else g.reshape(kept_shape(x_shape, axis))) / count, x_shape)


_add_up: Any = np.add.reduce  # by position, which takes less time than by name


def _mean_forward(x: Any, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """``np.mean``, without its detours for numbers that it adds up in their own type."""
    if dtype is not None or x.dtype not in _MEANT or not x.size:
        return np.mean(x, axis, dtype, keepdims=keepdims)
    total = _add_up(x, axis, None, None, keepdims)
    return total / (x.size if axis is None else _count(x.shape, axis))


_MEANT = {np.dtype(code) for code in "fd"}
_mean = primitive(_mean_forward, name="mean").defvjp(x=_mean_vjp)


@implements(np.sum)
def sum(
    a: ArrayLike,
    axis: Axes = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Tensor:
    """Sum over axes.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Which axes to sum over; by default all.
    dtype : dtype, optional
        Type in which to add up; by default that of `a`, and int64 for smaller integers and booleans.
    out : Tensor, optional
        Where to store the result.
    keepdims : bool
        Keep the summed axes, with length one.
    initial : scalar, optional
        Added to the result.
    where : array_like of bool, optional
        Which elements to include.

    Returns
    -------
    Tensor
        The cotangent is repeated along the summed axes. The sum of nothing is 0.
    """
    x = tensor_of(a)
    if where is not True:
        x = select(where, x, 0)
    if axis is None and dtype is None and not keepdims:
        result: Tensor = _sum.unary(x)  # no settings to keep
    else:
        result = _sum.unary(x, {"axis": tupled(axis), "dtype": dtype, "keepdims": keepdims})
    if initial is not None:
        result = result + asarray(initial, result.dtype)
    return result if out is None else finish("sum", result, out)


@implements(np.mean)
def mean(
    a: ArrayLike,
    axis: Axes = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    *,
    where: Any = True,
) -> Tensor:
    """Arithmetic mean over axes.

    Parameters
    ----------
    a : array_like
        Integers give float64.
    axis, dtype, out, keepdims, where
        As for `sum`.

    Returns
    -------
    Tensor
        The mean of nothing is NaN, with a warning, as in NumPy.
    """
    x = tensor_of(a)
    if where is not True:
        included = np.broadcast_to(np.asarray(raw(where), bool), x.shape)
        count = np.sum(included, axis=tupled(axis), keepdims=keepdims)
        total = sum(x, axis, dtype, None, keepdims, where=included)
        return finish("mean", total / count.astype(total.dtype if total.dtype.kind in "fc" else float), out)
    return finish("mean", _mean.unary(x, {"axis": tupled(axis), "dtype": dtype, "keepdims": keepdims}), out)


@implements(np.average)
def average(
    a: ArrayLike,
    axis: Axes = None,
    weights: ArrayLike | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Weighted mean over axes, differentiable in `a` and `weights`.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
    weights : array_like, optional
        Of the shape of `a`, or one-dimensional along a single axis; by default all are equal.
    returned : bool
        Return also the sum of the weights.
    keepdims : bool

    Returns
    -------
    Tensor, or a pair of them if `returned`
    """
    x = asarray(a)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        total = asarray(np.full(result.shape, _count(x.shape, axis), result.dtype))
        return (result, total) if returned else result
    w: Any = asarray(weights)
    if w.shape != x.shape:
        if axis is None:
            raise TypeError(
                f"average: weights have shape {w.shape} and a has shape {x.shape}; without axis they must be equal"
            )
        axes = axes_of(axis, x.ndim)
        lengths = tuple([x.shape[k] for k in axes])
        if w.shape != lengths:
            raise ValueError(
                f"average: weights have shape {w.shape}; they must have the shape {x.shape} of a, or that of its "
                f"averaged axes, {lengths}"
            )
        order = tuple(np.argsort(axes).tolist())
        w = np.transpose(w, order).reshape([n if k in axes else 1 for k, n in enumerate(x.shape)])
    weighted = x * w
    dtype = np.result_type(x.dtype, w.dtype, *([np.float64] if x.dtype.kind in "biu" else []))
    total = sum(astype(w, dtype, copy=False) * np.ones(x.shape, dtype), axis, keepdims=keepdims)
    if not np.all(total._array):
        raise ZeroDivisionError("average: the weights add up to 0")
    result = sum(weighted, axis, keepdims=keepdims) / total
    return (result, total) if returned else result


# --- spread ------------------------------------------------------------------------------------------------


def _var_vjp(g: Any, x: Any, axis: Any, ddof: float) -> Any:
    freedom = _count(x.shape, axis) - ddof
    return g.reshape(kept_shape(x.shape, axis)) * (2 / freedom if freedom > 0 else np.nan) * _centred(x, axis)


def _centred(x: Any, axis: Any) -> Any:
    return x - _mean.unary(x, {"axis": axis, "dtype": None, "keepdims": True})


def _std_vjp(g: Any, x: Any, ans: Any, axis: Any, ddof: float) -> Any:
    # All elements equal: a minimum with a kink, where 0 is the subgradient of least length.
    flat = np.equal(ans, 0)
    slope = np.where(flat, 0, g / np.where(flat, 1, 2 * ans))
    return _var_vjp(slope, x, axis, ddof)


def _var_forward(x: Any, *, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """``np.var``, without its detours for numbers that it adds up in their own type."""
    if dtype is not None or x.dtype not in _MEANT or not x.size or _count(x.shape, axis) <= ddof:
        return np.var(x, axis, dtype, ddof=ddof, keepdims=keepdims)
    count = _count(x.shape, axis)
    centred = x - _add_up(x, axis, None, None, True) / count
    return _add_up(centred * centred, axis, None, None, keepdims) / (count - ddof)


_var = primitive(_var_forward, name="var").defvjp(x=_var_vjp)
_std = primitive(
    lambda x, *, axis=None, dtype=None, ddof=0, keepdims=False: np.sqrt(
        _var_forward(x, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims)
    ),
    name="std",
).defvjp(x=_std_vjp)


def _spread_of_some(x: Any, axis: Any, ddof: float, keepdims: bool, where: Any, mean: Any) -> Tensor:
    """The variance with ``where=`` or ``mean=``, by its definition."""
    included = np.broadcast_to(np.asarray(raw(where), bool), x.shape)
    count = np.sum(included, axis=axis, keepdims=True)
    kept: Any = select(included, x, 0)
    if mean is None:
        mean = sum(kept, axis, keepdims=True) / count.astype(x.dtype)
    squares = sum(select(included, kept - mean, 0) ** 2, axis, keepdims=True)
    result = squares / np.maximum(count - ddof, 0).astype(squares.dtype)
    return result if keepdims else reshape_to(result, x.shape, axis)


def reshape_to(result: Tensor, x_shape: tuple[int, ...], axis: Any) -> Tensor:
    """Drop the reduced axes, which were kept with length one."""
    reduced = axes_of(axis, len(x_shape))
    return result.reshape(tuple([n for k, n in enumerate(x_shape) if k not in reduced]))


def _root(x: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, as in `_std_vjp`."""
    flat = np.equal(x._array, 0)
    return select(flat, 0, np.sqrt(select(flat, 1, x))).astype(x.dtype, copy=False)


def _spread(name: str, prim: Primitive, summary: str, note: str) -> Callable[..., Tensor]:
    def function(
        a: ArrayLike,
        axis: Axes = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: Any = True,
        mean: ArrayLike | None = None,
        correction: float | None = None,
    ) -> Tensor:
        if correction is not None:
            if ddof != 0:
                raise ValueError(
                    f"{name}: ddof={ddof} and correction={correction} are two names of one thing; give one of them"
                )
            ddof = correction
        x = asarray(a)
        if where is True and mean is None:
            settings = {"axis": tupled(axis), "dtype": dtype, "ddof": ddof, "keepdims": keepdims}
            return finish(name, prim.unary(x, settings), out)
        x = astype(x, dtype or np.result_type(x.dtype, np.float16), copy=False)
        result = _spread_of_some(x, tupled(axis), ddof, keepdims, where, mean)
        return finish(name, result if prim is _var else _root(result), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    a : array_like
    axis, dtype, out, keepdims, where
        As for `mean`.
    ddof : float
        "Delta degrees of freedom": the sum of squares is divided by n - `ddof`. The default of 0 is NumPy's.
    mean : array_like, optional
        The mean, if it is known, with the reduced axes kept.
    correction : float, optional
        Another name of `ddof`.

    Returns
    -------
    Tensor
        {note}
    """
    return implements(getattr(np, name))(function)


var = _spread("var", _var, "Variance over axes.", "NaN or infinite, with a warning, if n <= `ddof`.")
std = _spread(
    "std", _std, "Standard deviation over axes.", "Where it is zero, the derivative is taken to be 0, not NaN."
)


# --- products ----------------------------------------------------------------------------------------------


def _product_of_others(x: Any) -> Any:
    """For each element along the first axis the product of all others, without dividing.

    A tree: neighbours are multiplied in pairs, level by level, up to the product of all; on the way down,
    each element is told the product of what lies outside its subtree. Zeros need no special case, and the
    tree can be differentiated again. Cost: three products for each element.
    """
    n, rest = len(x), x.shape[1:]
    levels = []
    while len(x) > 1:
        if len(x) % 2:
            x = np.concatenate([x, np.ones((1, *rest), x.dtype)])
        pairs = x.reshape((len(x) // 2, 2, *rest))
        levels.append(pairs)
        x = pairs[:, 0] * pairs[:, 1]
    outside = np.ones((1, *rest), x.dtype)
    for pairs in reversed(levels):
        # An element's sibling, and what is outside both. The level above may be longer by its padding.
        outside = outside[: len(pairs), None] * np.flip(pairs, 1)
        outside = outside.reshape((2 * len(pairs), *rest))
    return outside[:n]


def _prod_vjp(g: Any, x: Any, axis: Any) -> Any:
    axes = axes_of(axis, x.ndim)
    if not axes or not x.size:
        return np.broadcast_to(g.reshape(kept_shape(x.shape, axis)), x.shape)
    front = tuple(range(len(axes)))
    moved = np.moveaxis(x, axes, front)
    others = _product_of_others(moved.reshape((-1, *moved.shape[len(axes) :]))).reshape(moved.shape)
    return g.reshape(kept_shape(x.shape, axis)) * np.moveaxis(others, front, axes)


_prod = primitive(_fold(np.multiply), name="prod").defvjp(x=_prod_vjp)


@implements(np.prod)
def prod(
    a: ArrayLike,
    axis: Axes = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Tensor:
    """Product over axes.

    Parameters
    ----------
    a : array_like
    axis, dtype, out, keepdims, where
        As for `sum`.
    initial : scalar, optional
        The result is multiplied by it.

    Returns
    -------
    Tensor
        The derivative by an element is the product of the others, exactly, whatever number of them is zero.
    """
    x = asarray(a)
    if where is not True:
        x = select(where, x, 1)
    result = _prod.unary(x, {"axis": tupled(axis), "dtype": dtype, "keepdims": keepdims})
    return finish("prod", result if initial is None else result * asarray(initial, result.dtype), out)
