"""Functions that apply a function of yours: along an axis, at each element, at each index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .joining import stack
from .shape import broadcast_arrays, expand_dims, moveaxis, reshape

__all__ = ["apply_along_axis", "apply_over_axes", "fromfunction", "ndenumerate", "vectorize"]


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any) -> Tensor:
    """Apply a function to each vector along an axis.

    Parameters
    ----------
    func1d : callable
        Gets a Tensor with one axis; returns a Tensor, always of the same shape.
    axis : int
    arr : array_like
        Its other axes must not be empty.
    *args, **kwargs
        Passed to `func1d`.

    Returns
    -------
    Tensor
        With the axes of what `func1d` returns in place of `axis`.
    """
    x = asarray(arr)
    axis = normalize_axis_index(axis, x.ndim)
    front = moveaxis(x, axis, -1)
    rest = front.shape[:-1]
    rows = reshape(front, (-1, front.shape[-1])) if front.size else front[:0].reshape((0, x.shape[axis]))
    if not len(rows):
        raise ValueError(f"apply_along_axis: arr has shape {x.shape}; there is no vector along axis {axis}")
    results = stack([asarray(func1d(row, *args, **kwargs)) for row in rows])
    inner = results.shape[1:]
    results = reshape(results, (*rest, *inner))
    return moveaxis(results, range(len(rest), len(rest) + len(inner)), range(axis, axis + len(inner)))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: ArrayLike, axes: int | Sequence[int]) -> Tensor:
    """Apply a function with parameters ``(array, axis)`` for one axis after the other, and keep all axes."""
    x = asarray(a)
    for axis in [int(k) for k in np.atleast_1d(raw(axes))]:
        axis = normalize_axis_index(axis, x.ndim)
        result = asarray(func(x, axis))
        if result.ndim == x.ndim - 1:
            result = expand_dims(result, axis)
        if result.ndim != x.ndim:
            raise ValueError(
                f"apply_over_axes: func made an array of shape {result.shape} of one of shape {x.shape}; it must keep "
                "the number of axes, or lose the one it works on"
            )
        x = result
    return x


def fromfunction(function: Callable[..., Any], shape: Sequence[int], *, dtype: Any = float, **kwargs: Any) -> Any:
    """What a function returns for the indices of an array of a given shape, which it gets as Tensors."""
    grid = np.indices(tuple(shape), dtype=dtype)
    return function(*[asarray(row) for row in grid], **kwargs)


def ndenumerate(arr: ArrayLike) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Each index of an array, with the element there as a Tensor."""
    x = asarray(arr)
    return ((slot, x[slot]) for slot in np.ndindex(*x.shape))


class vectorize:
    """A function of numbers as a function of arrays.

    Parameters
    ----------
    pyfunc : callable
        Gets Tensors without axes, returns one, or a tuple of them.
    otypes : sequence of dtype, optional
        Types of the outputs; needed if there may be no elements.
    doc : str, optional
        Docstring.
    excluded : set of int and str, optional
        Positions and names of arguments that are handed over as they are.
    cache : bool
        For compatibility.
    signature : None
        Functions of vectors are not covered: see `apply_along_axis`.

    Notes
    -----
    A loop in Python, as NumPy's: one application of `pyfunc`, recorded, for each element.
    """

    def __init__(
        self,
        pyfunc: Callable[..., Any],
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: None = None,
    ) -> None:
        if signature is not None:
            raise TypeError("vectorize: signature= is not covered for Tensors; see apply_along_axis")
        self.pyfunc = pyfunc
        self.otypes = list(otypes) if otypes is not None else None
        self.excluded = set(excluded or ())
        self.__name__ = getattr(pyfunc, "__name__", "vectorized")
        self.__doc__ = doc or pyfunc.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        varied: list[Any] = [k for k in range(len(args)) if k not in self.excluded]
        named = [name for name in kwargs if name not in self.excluded]
        grids = broadcast_arrays(*[args[k] for k in varied], *[kwargs[name] for name in named])
        shape = grids[0].shape if grids else ()
        results = []
        for slot in np.ndindex(*shape):
            given, by_name = list(args), dict(kwargs)
            for k, grid in zip(varied, grids):
                given[k] = grid[slot]
            for name, grid in zip(named, grids[len(varied) :]):
                by_name[name] = grid[slot]
            results.append(self.pyfunc(*given, **by_name))
        if not results:
            if self.otypes is None:
                raise ValueError("vectorize: there are no elements, so the type of the result is unknown; give otypes")
            empty = tuple([asarray(np.empty(shape, otype)) for otype in self.otypes])
            return empty if len(empty) > 1 else empty[0]
        several = isinstance(results[0], tuple)
        columns = zip(*results) if several else [results]
        outputs = [reshape(stack([asarray(item) for item in column]), shape) for column in columns]
        if self.otypes is not None:
            outputs = [output.astype(otype, copy=False) for output, otype in zip(outputs, self.otypes)]
        return tuple(outputs) if several else outputs[0]
