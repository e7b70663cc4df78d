"""Reductions that leave NaN out: what is left out has the cotangent 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .cumulative import cumprod, cumsum
from .extremes import max, min
from .reduction import finish, mean, prod, std, sum, tupled, var
from .selection import where as select

__all__ = [
    "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar",
]  # fmt: skip

_DOC = """{summary}

    Parameters
    ----------
    a : array_like
    *args, **kwargs
        As for `{plain}`.

    Returns
    -------
    Tensor
        {note}
    """


def _is_nan(x: Tensor) -> np.ndarray:
    return np.isnan(x._array) if x.dtype.kind in "fc" else np.zeros(x.shape, bool)


def _named(numpy_function: Any, plain: str, summary: str, note: str, function: Callable[..., Tensor]) -> Any:
    function.__name__ = function.__qualname__ = numpy_function.__name__
    function.__doc__ = _DOC.format(summary=summary, plain=plain, note=note)
    return implements(numpy_function)(function)


def _replacing(numpy_function: Any, reduction: Callable[..., Tensor], neutral: int, summary: str) -> Any:
    """NaN as the number that changes nothing."""

    def function(a: ArrayLike, *args: Any, **kwargs: Any) -> Tensor:
        x = asarray(a)
        nan = _is_nan(x)
        return reduction(select(nan, neutral, x) if nan.any() else x, *args, **kwargs)

    return _named(numpy_function, reduction.__name__, summary, f"{neutral} where there is nothing but NaN.", function)


def _excluding(numpy_function: Any, reduction: Callable[..., Tensor], summary: str) -> Any:
    """NaN excluded by ``where=``, which also leaves them out of the count."""

    def function(a: ArrayLike, *args: Any, where: Any = True, **kwargs: Any) -> Tensor:
        x = asarray(a)
        nan = _is_nan(x)
        if nan.any():
            where = np.logical_and(~nan, raw(where))
        return reduction(x, *args, where=where, **kwargs)

    note = "NaN, with a warning, where too few elements are left."
    return _named(numpy_function, reduction.__name__, summary, note, function)


def extreme_but_nan(extreme: Callable[..., Tensor], worst: float) -> Callable[..., tuple[Tensor, Any]]:
    """`max` or `min` of what is not NaN, and where that is nothing (else None)."""

    def function(x: Tensor, axis: Any = None, keepdims: bool = False, **more: Any) -> tuple[Tensor, Any]:
        nan = _is_nan(x)
        if not nan.any():
            return extreme(x, axis=axis, keepdims=keepdims, **more), None
        result = extreme(select(nan, worst, x), axis=axis, keepdims=keepdims, **more)
        nothing = np.all(nan | ~np.asarray(raw(more.get("where", True))), axis=tupled(axis), keepdims=keepdims)
        if not nothing.any() or "initial" in more:
            return result, None
        return select(nothing, np.nan, result), nothing

    return function


def _extreme(numpy_function: Any, plain: Callable[..., Tensor], worst: float, summary: str) -> Any:
    find = extreme_but_nan(plain, worst)
    none = object()

    def function(
        a: ArrayLike,
        axis: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = none,
        where: Any = True,
    ) -> Tensor:
        more = {} if initial is none else {"initial": initial}
        if where is not True:
            more["where"] = where
        result, nothing = find(asarray(a), axis, keepdims, **more)
        if nothing is not None:
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=2)
        return finish(function.__name__, result, out)

    return _named(
        numpy_function, plain.__name__, summary, "NaN, with a warning, where there is nothing else.", function
    )


nansum = _replacing(np.nansum, sum, 0, "Sum over axes with NaN as 0.")
nanprod = _replacing(np.nanprod, prod, 1, "Product over axes with NaN as 1.")
nancumsum = _replacing(np.nancumsum, cumsum, 0, "Sums so far with NaN as 0.")
nancumprod = _replacing(np.nancumprod, cumprod, 1, "Products so far with NaN as 1.")
nanmean = _excluding(np.nanmean, mean, "Arithmetic mean over axes of what is not NaN.")
nanvar = _excluding(np.nanvar, var, "Variance over axes of what is not NaN.")
nanstd = _excluding(np.nanstd, std, "Standard deviation over axes of what is not NaN.")
nanmax = _extreme(np.nanmax, max, -np.inf, "Largest element over axes that is not NaN.")
nanmin = _extreme(np.nanmin, min, np.inf, "Smallest element over axes that is not NaN.")
