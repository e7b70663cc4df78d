"""Functions that only move elements about, by asking NumPy where they go.

NumPy's own function is applied to the *numbers* of the elements (0, 1, 2, ...): its result says which element
comes where. Gathering the elements by it is differentiable, and agrees with NumPy in every corner of its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor
from .constants import strip
from .conversion import asarray
from .joining import concatenate
from .shape import ravel

__all__ = ["block", "c_", "delete", "insert", "r_", "resize", "trim_zeros"]


def rearranged(tensors: Sequence[Tensor], function: Callable[..., Any]) -> Tensor:
    """The elements of `tensors` where `function` of the numbers of them puts those.

    Parameters
    ----------
    tensors : sequence of Tensor
        Their elements are numbered through.
    function : callable
        Gets as many arrays of integers, of the shapes of the Tensors, and returns one.

    Returns
    -------
    Tensor
        Of the shape that `function` returned.
    """
    numbers, start = [], 0
    for tensor in tensors:
        numbers.append(np.arange(start, start + tensor.size).reshape(tensor.shape))
        start += tensor.size
    source = concatenate([ravel(tensor) for tensor in tensors]) if len(tensors) > 1 else ravel(tensors[0])
    return source[function(*numbers)]


@implements(np.delete)
def delete(arr: ArrayLike, obj: Any, axis: int | None = None) -> Tensor:
    """An array without some of its elements, or of its slices along an axis.

    Parameters
    ----------
    arr : array_like
    obj : int, slice or array_like of int or bool
        Which to leave out.
    axis : int, optional
        By default the elements are taken as one row.

    Returns
    -------
    Tensor
    """
    return rearranged([asarray(arr)], lambda numbers: np.delete(numbers, strip(obj), axis))


@implements(np.insert)
def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Tensor:
    """An array with values put between its elements, or its slices along an axis.

    Parameters
    ----------
    arr : array_like
    obj : int, slice or array_like of int or bool
        Before which positions of `arr`.
    values : array_like
        Broadcast; converted to the dtype of `arr`.
    axis : int, optional
        By default the elements are taken as one row.

    Returns
    -------
    Tensor
    """
    x = asarray(arr)
    new = asarray(values).astype(x.dtype, copy=False)
    return rearranged([x, new], lambda numbers, more: np.insert(numbers, strip(obj), more, axis))


@implements(np.resize)
def resize(a: ArrayLike, new_shape: int | Sequence[int]) -> Tensor:
    """The elements, in row-major order and repeated as often as needed, in another shape; zeros if there are none."""
    x = asarray(a)
    if not x.size:
        return asarray(np.resize(x._array, strip(new_shape)))
    return rearranged([x], lambda numbers: np.resize(numbers, strip(new_shape)))


@implements(np.lib.stride_tricks.sliding_window_view)
def _sliding_window_view(x: ArrayLike, window_shape: Any, axis: Any = None, **kwargs: Any) -> Tensor:
    return rearranged(
        [asarray(x)], lambda numbers: np.lib.stride_tricks.sliding_window_view(numbers, strip(window_shape), axis)
    )


@implements(np.trim_zeros)
def trim_zeros(filt: ArrayLike, trim: str = "fb", axis: Any = None) -> Tensor:
    """An array without the zeros at its front ("f" in `trim`) and at its back ("b").

    Parameters
    ----------
    filt : array_like
    trim : {"fb", "f", "b"}
    axis : int or sequence of int, optional
        By default all. (NumPy before 2.2 takes vectors only.)

    Returns
    -------
    Tensor
    """
    x = asarray(filt)
    if set(trim.lower()) - {"f", "b"}:
        raise ValueError(f"trim_zeros: trim is {trim!r}; it must be 'f', 'b' or 'fb'")
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim, "trim_zeros: axis")
    key = [slice(None)] * x.ndim
    for k in axes:
        used = np.flatnonzero(np.any(x._array != 0, axis=tuple([j for j in range(x.ndim) if j != k])))
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (x.shape[k], x.shape[k])
        key[k] = slice(first if "f" in trim.lower() else 0, last if "b" in trim.lower() else x.shape[k])
        if not used.size and "f" not in trim.lower():
            key[k] = slice(0, 0)
    return x[tuple(key)]


def _leaves(nested: Any) -> list[Any]:
    return [leaf for item in nested for leaf in _leaves(item)] if isinstance(nested, list) else [nested]


@implements(np.block)
def block(arrays: Any) -> Tensor:
    """Assemble an array from nested lists of blocks.

    Parameters
    ----------
    arrays : nested lists of array_like
        The innermost lists are joined along the last axis, those around them along the last but one, and so on.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the lists are not nested equally deep, or shapes do not fit.
    """
    leaves = [asarray(leaf) for leaf in _leaves(arrays)]

    def assemble(*numbers: np.ndarray) -> Any:
        rest = iter(numbers)

        def nest(item: Any) -> Any:
            return [nest(part) for part in item] if isinstance(item, list) else next(rest)

        return np.block(nest(arrays))

    return rearranged(leaves, assemble) if leaves else asarray(np.block(arrays))


class _Concatenator:
    """``r_`` and ``c_``: what is written between the brackets is joined, as by NumPy's."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self.__doc__ = f"As ``numpy.{type(original).__name__[0].lower()}_``: ``[a, 0, b]`` joins; gradients flow."

    def __getitem__(self, key: Any) -> Tensor:
        items = key if isinstance(key, tuple) else (key,)
        directives = tuple([item for item in items[:1] if isinstance(item, str)])
        tensors = [asarray(np.r_[item] if isinstance(item, slice) else item) for item in items[len(directives) :]]
        # A number or a slice has other rules for its axes than an array: it is handed over in its own kind.
        return rearranged(tensors, lambda *numbers: self._original[(*directives, *[_scalar(n) for n in numbers])])


def _scalar(numbers: np.ndarray) -> Any:
    return int(numbers) if numbers.ndim == 0 else numbers


r_, c_ = _Concatenator(np.r_), _Concatenator(np.c_)
