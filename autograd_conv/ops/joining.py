"""Joining and splitting.

Each is the vector-Jacobian product of another: what was joined is split again, what was split is joined.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import FUNCTIONS, implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, assign_out, raw
from .conversion import asarray, astype, tensor_of
from .shape import atleast_1d, atleast_2d, atleast_3d, ravel, reshape

__all__ = [
    "append", "array_split", "column_stack", "concat", "concatenate", "dsplit", "dstack", "hsplit", "hstack",
    "row_stack", "split", "stack", "unstack", "vsplit", "vstack",
]  # fmt: skip


def _concatenate_vjp(g: Any, arrays_shape: Any, axis: int, needs: Any) -> list[Any]:
    axis %= g.ndim
    before = (slice(None),) * axis
    parts, start = [], 0
    for shape, needed in zip(arrays_shape, needs):
        stop = start + shape[axis]
        parts.append(g[(*before, slice(start, stop))] if needed else None)
        start = stop
    return parts


_concatenate = primitive(lambda *arrays, axis: np.concatenate(arrays, axis), name="concatenate").defvjp(
    _concatenate_vjp
)


def _stack_vjp(g: Any, axis: int, needs: Any) -> list[Any]:
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, k)] if needed else None for k, needed in enumerate(needs)]


def _stack_forward(*arrays: Any, axis: int) -> Any:
    """``np.stack``, without its detours where everything is in order."""
    ndim = arrays[0].ndim
    if type(axis) is int and 0 <= axis <= ndim:
        key = (slice(None),) * axis + (None,)
        if {array.ndim for array in arrays} == {ndim}:
            try:
                return np.concatenate([array[key] for array in arrays], axis)
            except ValueError:
                pass  # the message of np.stack is the right one
    return np.stack(arrays, axis)


_stack = primitive(_stack_forward, name="stack").defvjp(_stack_vjp)
_split = primitive(
    lambda x, *, points, axis: tuple(np.array_split(x, points, axis)), name="split", multiple=True
).defvjp(x=lambda g, axis: np.concatenate(g, axis))
_unstack = primitive(lambda x, *, axis: tuple(np.moveaxis(x, axis, 0)), name="unstack", multiple=True).defvjp(
    x=lambda g, axis: np.stack(g, axis)
)


def _tensors(name: str, arrays: Any, dtype: Any) -> list[Tensor]:
    if isinstance(arrays, Tensor):
        arrays = unstack(arrays)
    tensors = [tensor_of(item) for item in arrays]
    if not tensors:
        raise ValueError(f"{name}: no arrays were given; it needs at least one")
    return tensors if dtype is None else [astype(tensor, dtype, copy=False) for tensor in tensors]


@implements(np.concatenate)
def concatenate(
    arrays: Sequence[ArrayLike] | Tensor,
    /,
    axis: int | None = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Tensor:
    """Join arrays along an axis that they have.

    Parameters
    ----------
    arrays : sequence of array_like
        Equal shapes, but for the length along `axis`.
    axis : int, optional
        None: join the elements of all arrays in one row.
    out : Tensor, optional
        Where to store the result.
    dtype : dtype, optional
        Type of the result; by default the arrays are promoted.
    casting : str
        For compatibility.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If there are no arrays, or shapes differ.
    """
    tensors = _tensors("concatenate", arrays, dtype)
    if axis is None:
        tensors, axis = [ravel(tensor) for tensor in tensors], 0
    result: Tensor = _concatenate.apply(tensors, {"axis": axis})
    return result if out is None else assign_out("concatenate", out, result)


concat = concatenate


@implements(np.stack)
def stack(
    arrays: Sequence[ArrayLike] | Tensor,
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Tensor:
    """Join arrays of one shape along a new axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shapes.
    axis : int
        Position of the new axis in the result.
    out, dtype, casting
        As for `concatenate`.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If there are no arrays, or shapes differ.
    """
    result: Tensor = _stack.apply(_tensors("stack", arrays, dtype), {"axis": axis})
    return result if out is None else assign_out("stack", out, result)


@implements(np.append)
def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Tensor:
    """`values` after `arr` along an axis; by default both are taken as one row."""
    return concatenate([arr, values], axis)


@implements(np.vstack)
def vstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    """Join along the first axis; one-dimensional arrays are rows."""
    return concatenate([atleast_2d(item) for item in tup], 0, dtype=dtype)


row_stack = vstack


@implements(np.hstack)
def hstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    """Join along the second axis; along the first for one-dimensional arrays."""
    tensors = [atleast_1d(item) for item in tup]
    return concatenate(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Sequence[ArrayLike] | Tensor) -> Tensor:
    """Join along the third axis."""
    return concatenate([atleast_3d(item) for item in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Sequence[ArrayLike]) -> Tensor:
    """Join along the second axis; one-dimensional arrays are columns."""
    tensors = [asarray(item) for item in tup]
    return concatenate([t if t.ndim > 1 else reshape(t, (-1, 1)) for t in tensors], 1)


def _points(indices_or_sections: Any) -> int | tuple[int, ...]:
    """A number of parts, or the positions before which to cut."""
    if np.ndim(raw(indices_or_sections)) == 0:
        return int(indices_or_sections)
    return tuple([operator.index(point) for point in indices_or_sections])


@implements(np.array_split)
def array_split(ary: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cut into parts along an axis; a number of parts need not divide the length."""
    points = _points(indices_or_sections)
    result: tuple[Tensor, ...] = _split(asarray(ary), points=points, axis=axis)
    return result


@implements(np.split)
def split(ary: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cut into parts along an axis.

    Parameters
    ----------
    ary : array_like
    indices_or_sections : int or sequence of int
        Number of equal parts, or the positions before which to cut.
    axis : int

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    ValueError
        If a number of parts does not divide the length of the axis.
    """
    values, points = asarray(ary), _points(indices_or_sections)
    if isinstance(points, int) and points > 0 and values.shape[axis] % points:
        raise ValueError(
            f"split: axis {axis} has length {values.shape[axis]}, which indices_or_sections="
            f"{points} does not divide; array_split makes unequal parts"
        )
    return array_split(values, points, axis)


def _at_least(name: str, ary: ArrayLike, axes: int) -> Tensor:
    values = asarray(ary)
    if values.ndim < axes:
        raise ValueError(f"{name}: ary has shape {values.shape}; it must have at least {axes} axes")
    return values


@implements(np.hsplit)
def hsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the second axis; along the first for one-dimensional arrays."""
    values = _at_least("hsplit", ary, 1)
    return split(values, indices_or_sections, 1 if values.ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the first axis."""
    return split(_at_least("vsplit", ary, 2), indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the third axis."""
    return split(_at_least("dsplit", ary, 3), indices_or_sections, 2)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, as a tuple of Tensors without it."""
    result: tuple[Tensor, ...] = _unstack(asarray(x), axis=axis)
    return result


if hasattr(np, "unstack"):  # NumPy 2.1
    FUNCTIONS[np.unstack] = unstack
