"""Arrays as sets of values.

The results are elements of the arguments, chosen and sorted: each one's cotangent goes to the first element that
has its value. Positions and counts have no derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..dispatch import FUNCTIONS, implements
from ..tensor import ArrayLike, Tensor
from .constants import constant, dress, strip
from .conversion import asarray
from .indexing import take
from .joining import concatenate
from .shape import ravel

__all__ = [
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
]  # fmt: skip

isin = constant(np.isin, "Whether elements occur in another array.")


@implements(np.unique)
def unique(
    ar: ArrayLike,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The different elements (or slices along `axis`), sorted.

    Parameters
    ----------
    ar : array_like
    return_index, return_inverse, return_counts : bool
        Return also the first position of each, the position of each element in the result, how often each occurs.
    axis : int, optional
        By default the elements are taken as one row.
    equal_nan : bool
        Whether all NaN are one value.
    sorted : bool
        For compatibility: the result is always sorted.

    Returns
    -------
    Tensor, or a tuple with it first
    """
    x = asarray(ar)
    parts: Any = np.unique(x._array, True, return_inverse, return_counts, axis, equal_nan=equal_nan)  # type: ignore[call-overload]
    values = take(x, parts[1], axis)
    more = parts[1:] if return_index else parts[2:]
    return (values, *dress(tuple(more))) if more else values


class _UniqueAll(NamedTuple):
    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class _UniqueCounts(NamedTuple):
    values: Tensor
    counts: Tensor


class _UniqueInverse(NamedTuple):
    values: Tensor
    inverse_indices: Tensor


@implements(np.unique_all)
def unique_all(x: ArrayLike, /) -> _UniqueAll:
    """The different elements, their first positions, the position of each element among them, their counts."""
    return _UniqueAll(*unique(x, True, True, True, equal_nan=False))


@implements(np.unique_counts)
def unique_counts(x: ArrayLike, /) -> _UniqueCounts:
    """The different elements, and how often each occurs."""
    return _UniqueCounts(*unique(x, False, False, True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: ArrayLike, /) -> _UniqueInverse:
    """The different elements, and the position of each element of `x` among them."""
    return _UniqueInverse(*unique(x, False, True, equal_nan=False))


@implements(np.unique_values)
def unique_values(x: ArrayLike, /) -> Tensor:
    """The different elements."""
    result: Tensor = unique(x, equal_nan=False)
    return result


def _of_two(numpy_function: Any, summary: str) -> Callable[..., Any]:
    name = numpy_function.__name__

    def function(ar1: ArrayLike, ar2: ArrayLike, *args: Any, **kwargs: Any) -> Any:
        values = numpy_function(strip(ar1), strip(ar2), *args, **kwargs)
        values, more = (values[0], values[1:]) if isinstance(values, tuple) else (values, ())
        joined = concatenate([ravel(ar1), ravel(ar2)])
        order = np.argsort(joined._array, kind="stable")  # of equal ones the first
        found = joined[order[np.searchsorted(joined._array, values, sorter=order)]].astype(values.dtype, copy=False)
        return (found, *dress(more)) if more else found

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    ar1, ar2 : array_like
    *args, **kwargs
        As for ``numpy.{name}``.

    Returns
    -------
    Tensor
        One-dimensional and sorted; with positions (of `intersect1d`, if they are asked for) a tuple.
    """
    FUNCTIONS[numpy_function] = function
    return function


union1d = _of_two(np.union1d, "The elements that occur in either of two arrays.")
intersect1d = _of_two(np.intersect1d, "The elements that occur in both of two arrays.")
setdiff1d = _of_two(np.setdiff1d, "The elements of the first array that do not occur in the second.")
setxor1d = _of_two(np.setxor1d, "The elements that occur in one of two arrays, and not in the other.")
