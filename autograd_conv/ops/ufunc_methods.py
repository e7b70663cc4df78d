"""``reduce``, ``accumulate``, ``outer``, ``at`` and ``reduceat`` of universal functions.

Sums, products and extremes have rules of their own. Every other differentiable function is applied as often as
the definition says, so that the derivatives follow from its own. Each method is registered for NumPy's universal
function, and is an attribute of ours: ``ac.add.reduce``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import CONSTANT, FUNCTIONS
from ..tensor import ArrayLike, Tensor, assign_out, raw
from .constants import constant_method
from .conversion import asarray, astype
from .cumulative import cumprod, cumsum
from .extremes import max, min
from .indexing import scatter_add, take_along_axis
from .joining import stack, unstack
from .nan import extreme_but_nan
from .reduction import axes_of, prod, sum
from .shape import broadcast_to, moveaxis, reshape
from .ufunc import UFUNCS

__all__: list[str] = []

Function = Callable[..., Any]


def _finish(name: str, result: Any, out: Any) -> Any:
    out = out[0] if isinstance(out, tuple) else out
    return result if out is None else assign_out(name, out, result)


# --- reduce ----------------------------------------------------------------------------------------------------


def _reducer(ufunc: np.ufunc, reduction: Function) -> Function:
    """``ufunc.reduce`` by way of a reduction; unlike those, it reduces the first axis by default."""

    def reduce(
        array: ArrayLike,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        more = {"initial": initial} if initial is not None else {}
        if where is not True:
            more["where"] = where
        x = asarray(array) if dtype is None else astype(array, dtype, copy=False)
        return _finish(f"{ufunc.__name__}.reduce", reduction(x, axis=axis, keepdims=keepdims, **more), out)

    return reduce


def _folded(ufunc: np.ufunc, function: Function) -> Function:
    """The function between all slices along axes, one after the other."""
    name = f"{ufunc.__name__}.reduce"

    def reduce(x: Tensor, axis: Any = 0, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
        axes = axes_of(axis, x.ndim)
        if isinstance(axis, (int, np.integer)):
            axes = (normalize_axis_index(int(axis), x.ndim),)
        if len(axes) > 1 and ufunc.identity is None and ufunc not in _REORDERABLE:
            raise ValueError(f"{name}: axis is {axis}; the function is not commutative, so it reduces a single axis")
        start = ufunc.identity if initial is None else initial
        rest = [n for k, n in enumerate(x.shape) if k not in axes]
        kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
        rows = reshape(moveaxis(x, axes, tuple(range(len(axes)))), (-1, *rest)) if axes else reshape(x, (1, *x.shape))
        mask: Any = None
        if where is not True:
            mask = np.broadcast_to(np.asarray(raw(where), bool), x.shape)
            mask = np.moveaxis(mask, axes, range(len(axes))).reshape(rows.shape)
            if start is None:
                raise ValueError(f"{name}: where= needs initial=, since the function has no identity")
        slices: list[Any] = list(unstack(rows)) if len(rows) else []
        if start is not None and (initial is not None or mask is not None or not slices):
            slices.insert(0, np.full(rest, start, x.dtype))
            mask = None if mask is None else [True, *mask]
        if not slices:
            raise ValueError(f"{name}: there are no elements to reduce, and the function has no identity")
        total = asarray(slices[0])
        for k, item in enumerate(slices[1:], 1):
            # Under a mask, what is left out is replaced by what is harmless to the function and its derivative.
            total = function(total, item) if mask is None else function(total, item, where=mask[k], out=total + 0)
        return reshape(total, kept) if keepdims else total

    return reduce


_REORDERABLE = {np.logaddexp, np.logaddexp2, np.hypot, np.fmax, np.fmin, np.maximum, np.minimum}


def _but_nan(extreme: Function, worst: float) -> Function:
    """fmax.reduce and fmin.reduce: NaN only where there is nothing else."""
    find = extreme_but_nan(extreme, worst)
    return lambda x, **settings: find(x, **settings)[0]


# --- accumulate ------------------------------------------------------------------------------------------------


def _accumulator(ufunc: np.ufunc, cumulation: Function) -> Function:
    def accumulate(array: ArrayLike, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        x = asarray(array) if dtype is None else astype(array, dtype, copy=False)
        return _finish(f"{ufunc.__name__}.accumulate", cumulation(x, normalize_axis_index(axis, x.ndim)), out)

    return accumulate


def _running_fold(function: Function) -> Function:
    def accumulate(x: Tensor, axis: int) -> Tensor:
        if x.shape[axis] == 0:
            return x
        totals: list[Any] = []
        for item in unstack(x, axis=axis):
            totals.append(function(totals[-1], item) if totals else item)
        return stack(totals, axis)

    return accumulate


def _running_extreme(ufunc: np.ufunc) -> Function:
    """The extreme so far. Of equal ones the first counts, and gets the cotangent."""

    def accumulate(x: Tensor, axis: int) -> Tensor:
        if x.dtype.kind not in "fc" or x.size == 0:
            return asarray(ufunc.accumulate(x._array, axis))
        values = np.moveaxis(x._array, axis, 0)
        running = ufunc.accumulate(values, 0)
        fresh = np.ones(values.shape, bool)
        fresh[1:] = (running[1:] != running[:-1]) & ~(np.isnan(running[1:]) & np.isnan(running[:-1]))
        places = np.arange(len(values)).reshape((-1,) + (1,) * (values.ndim - 1))
        at = np.maximum.accumulate(np.where(fresh, places, 0), 0)
        return take_along_axis(x, np.moveaxis(at, 0, axis), axis)

    return accumulate


# --- outer, at, reduceat ---------------------------------------------------------------------------------------


def _outer(function: Function) -> Function:
    def outer(A: ArrayLike, B: ArrayLike, /, **kwargs: Any) -> Any:
        x, y = asarray(A), asarray(B)
        return function(reshape(x, (*x.shape, *[1] * y.ndim)), y, **kwargs)

    return outer


def _rounds(size: int, places: np.ndarray) -> list[Any]:
    """Split positions into groups that name no element twice, keeping the order of those that do."""
    order = np.argsort(places, kind="stable")
    first = np.r_[True, np.diff(places[order]) != 0]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(places)), 0))
    turn = np.empty(len(places), np.intp)
    turn[order] = np.arange(len(places)) - starts
    return [np.flatnonzero(turn == k) for k in range(turn.max(initial=-1) + 1)]


def _at(ufunc: np.ufunc, function: Function) -> Function:
    name = f"{ufunc.__name__}.at"

    def at(a: Any, indices: Any, *b: ArrayLike) -> None:
        if not isinstance(a, Tensor):
            raise TypeError(
                f"{name}: a is a {type(a).__name__}, which has no history, but an operand is a Tensor; pass a Tensor"
            )
        if len(b) != ufunc.nin - 1:
            raise TypeError(f"{name}: {len(b)} operands were given beside a and the indices; it takes {ufunc.nin - 1}")
        key = tuple([raw(k) for k in indices]) if isinstance(indices, tuple) else raw(indices)
        places = np.arange(a.size).reshape(a.shape)[key]
        operands = [reshape(broadcast_to(operand, places.shape), -1) for operand in b]
        places = places.reshape(-1)
        if ufunc in (np.add, np.subtract):  # no order among the terms: all at once
            change = reshape(scatter_add(operands[0], places, (a.size,)), a.shape)
            a._become(function(a, change.astype(np.result_type(change.dtype, a.dtype), copy=False)))
            return
        flat = reshape(a, -1)
        for chosen in _rounds(a.size, places):
            flat[places[chosen]] = function(flat[places[chosen]], *[operand[chosen] for operand in operands])
        a._become(reshape(flat, a.shape))

    return at


def _reduceat(reduce: Function, name: str) -> Function:
    def reduceat(array: ArrayLike, indices: Sequence[int], axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        x = asarray(array) if dtype is None else astype(array, dtype, copy=False)
        axis = normalize_axis_index(axis, x.ndim)
        before = (slice(None),) * axis
        starts = [int(k) for k in np.asarray(raw(indices))]
        parts = []
        for start, stop in zip(starts, [*starts[1:], x.shape[axis]]):
            if not 0 <= start < x.shape[axis]:
                raise IndexError(f"{name}: index {start} is outside of axis {axis}, whose length is {x.shape[axis]}")
            stop = stop if stop > start else start + 1
            parts.append(reduce(x[(*before, slice(start, stop))], axis))
        return _finish(name, stack(parts, axis), out)

    return reduceat


# --- the table -------------------------------------------------------------------------------------------------

_REDUCTIONS: dict[np.ufunc, Function] = {
    np.add: sum,
    np.multiply: prod,
    np.maximum: max,
    np.minimum: min,
    np.fmax: _but_nan(max, -np.inf),
    np.fmin: _but_nan(min, np.inf),
}
_CUMULATIONS: dict[np.ufunc, Function] = {
    np.add: cumsum,
    np.multiply: cumprod,
    **{ufunc: _running_extreme(ufunc) for ufunc in (np.maximum, np.minimum, np.fmax, np.fmin)},
}


def _methods(ufunc: np.ufunc, function: Function) -> dict[str, Function]:
    """The methods that a universal function has in NumPy."""
    if ufunc.nout > 1:
        return {"outer": _outer(function)} if ufunc.nin == 2 else {}
    if ufunc in CONSTANT:
        pairs = ("reduce", "accumulate", "reduceat", "outer") if ufunc.nin == 2 else ()
        return {**{method: constant_method(ufunc, method) for method in pairs}, "at": _at(ufunc, function)}
    methods = {"at": _at(ufunc, function)}
    if ufunc.nin == 2:
        methods["outer"] = _outer(function)
        methods["reduce"] = reduce = _reducer(ufunc, _REDUCTIONS.get(ufunc) or _folded(ufunc, function))
        methods["accumulate"] = _accumulator(ufunc, _CUMULATIONS.get(ufunc) or _running_fold(function))
        methods["reduceat"] = _reduceat(reduce, f"{ufunc.__name__}.reduceat")
    return methods


for _ufunc, _function in UFUNCS.items():
    for _name, _method in _methods(_ufunc, _function).items():
        _method.__name__ = _name
        _method.__qualname__ = f"{_ufunc.__name__}.{_name}"
        FUNCTIONS[_ufunc, _name] = _method
        setattr(_function, _name, _method)
    for _name in ("nin", "nout", "identity", "signature"):
        setattr(_function, _name, getattr(_ufunc, _name))
