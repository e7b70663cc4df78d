"""Functions that give the elements another shape or order, and repeat them by broadcasting.

All of them are linear, and most are their own vector-Jacobian product with other settings: a transposition is
undone by the inverse transposition, a roll by the opposite roll.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .conversion import asarray, copy, tensor_of

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "expand_dims", "flip",
    "fliplr", "flipud", "matrix_transpose", "moveaxis", "permute_dims", "ravel", "reshape", "roll", "rollaxis",
    "rot90", "squeeze", "swapaxes", "transpose",
]  # fmt: skip

Axes = int | Sequence[int] | None


def _inverse(axes: Any) -> Any:
    """The axes of the transposition that undoes one."""
    if axes is None:
        return None
    inverse = [0] * len(axes)
    for k, axis in enumerate(axes):
        inverse[axis] = k
    return tuple(inverse)


def _opposite(shift: Any) -> Any:
    return tuple([-s for s in shift]) if isinstance(shift, (tuple, list)) else -shift


def _back(g: Any, x_shape: tuple[int, ...]) -> Any:
    """Rule of everything that only changes the shape."""
    return g.reshape(x_shape)


def _expand(x: Any, *, axis: Any) -> Any:
    if type(axis) is not int or not -x.ndim - 1 <= axis <= x.ndim:
        return np.expand_dims(x, axis)
    if axis < 0:
        axis += x.ndim + 1
    return x[(slice(None),) * axis + (None,)]


# Above so many elements a view takes less time than writing them out.
_WRITTEN_OUT = 1024


def _repeat(x: Any, *, shape: Any) -> Any:
    """Small results are written out, since ``np.broadcast_to`` takes 2 microseconds."""
    if type(shape) is not tuple or len(shape) < x.ndim or math.prod(shape) > _WRITTEN_OUT:
        return np.broadcast_to(x, shape)
    try:
        result = np.empty(shape, x.dtype)
        result[...] = x
    except (TypeError, ValueError):
        return np.broadcast_to(x, shape)  # whose message is right
    return result


_reshape = primitive(lambda x, *, shape: x.reshape(shape), name="reshape").defvjp(x=_back)
_squeeze = primitive(lambda x, *, axis: x.squeeze(axis), name="squeeze").defvjp(x=_back)
_expand_dims = primitive(_expand, name="expand_dims").defvjp(x=_back)
_transpose = primitive(lambda x, *, axes: x.transpose(axes), name="transpose").defvjp(
    x=lambda g, axes: g.transpose(_inverse(axes))
)
_matrix_transpose = primitive(np.matrix_transpose, name="matrix_transpose", arguments=("x",)).defvjp(
    x=lambda g: np.matrix_transpose(g)
)
_swapaxes = primitive(lambda x, *, axis1, axis2: x.swapaxes(axis1, axis2), name="swapaxes").defvjp(
    x=lambda g, axis1, axis2: g.swapaxes(axis1, axis2)
)
_moveaxis = primitive(lambda x, *, source, to: np.moveaxis(x, source, to), name="moveaxis").defvjp(
    x=lambda g, source, to: np.moveaxis(g, to, source)
)
_flip = primitive(lambda x, *, axis: np.flip(x, axis), name="flip").defvjp(x=lambda g, axis: np.flip(g, axis))
_roll = primitive(lambda x, *, shift, axis: np.roll(x, shift, axis), name="roll").defvjp(
    x=lambda g, shift, axis: np.roll(g, _opposite(shift), axis)
)
# The engine sums the cotangent over the repeated axes.
_broadcast_to = primitive(_repeat, name="broadcast_to", broadcasts=True).defvjp(x=lambda g: g)


@implements(np.reshape)
def reshape(a: ArrayLike, /, shape: int | Sequence[int], order: str = "C", *, copy: bool | None = None) -> Tensor:
    """Give the elements another shape.

    Parameters
    ----------
    a : array_like
    shape : int or sequence of int
        One of them may be -1: what is left.
    order : {"C", "F", "A"}
        Whether the last ("C", "A") or the first ("F") index runs fastest, on both sides.
    copy : bool, optional
        For compatibility: Tensors have values, and never share them in a way that can be seen.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the numbers of elements differ.
    """
    values = a if type(a) is Tensor else asarray(a)
    if type(shape) is not tuple and isinstance(shape, (list, Tensor, np.ndarray)):
        shape = tuple([operator.index(n) for n in shape])
    if order == "F":
        sizes = shape if isinstance(shape, tuple) else (shape,)
        return transpose(reshape(transpose(values), sizes[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f"reshape: order is {order!r}; it must be 'C', 'F' or 'A'")
    result: Tensor = _reshape.unary(values, {"shape": shape})
    return result


@implements(np.ravel)
def ravel(a: ArrayLike, order: str = "C") -> Tensor:
    """All elements along one axis; see `reshape`."""
    return reshape(a, -1, "C" if order == "K" else order)


@implements(np.transpose)
def transpose(a: ArrayLike, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes.

    Parameters
    ----------
    a : array_like
    axes : sequence of int, optional
        ``axes[k]`` is the axis of `a` that becomes axis k; by default the order is reversed.

    Returns
    -------
    Tensor
    """
    result: Tensor = _transpose.unary(
        a if type(a) is Tensor else asarray(a), {"axes": None if axes is None else tuple(axes)}
    )
    return result


permute_dims = transpose


@implements(np.matrix_transpose)
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """Exchange the last two axes."""
    result: Tensor = _matrix_transpose.unary(tensor_of(x))
    return result


@implements(np.swapaxes)
def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes."""
    result: Tensor = _swapaxes.unary(tensor_of(a), {"axis1": axis1, "axis2": axis2})
    return result


@implements(np.moveaxis)
def moveaxis(a: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes to other positions; the others keep their order."""
    result: Tensor = _moveaxis.unary(tensor_of(a), {"source": source, "to": destination})
    return result


@implements(np.rollaxis)
def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Tensor:
    """Move an axis backwards until it lies before axis `start`; `moveaxis` is easier to read."""
    values = asarray(a)
    n = values.ndim
    axis = normalize_axis_index(axis, n, "rollaxis")
    start = normalize_axis_index(start, n + 1, "rollaxis") if start >= 0 else start + n
    return moveaxis(values, axis, start - 1 if axis < start else start)


@implements(np.squeeze)
def squeeze(a: ArrayLike, axis: Axes = None) -> Tensor:
    """Remove axes of length one: those in `axis`, or all.

    Raises
    ------
    ValueError
        If an axis in `axis` has another length.
    """
    result: Tensor = _squeeze.unary(tensor_of(a), {"axis": tuple(axis) if isinstance(axis, list) else axis})
    return result


@implements(np.expand_dims)
def expand_dims(a: ArrayLike, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length one; `axis` gives their positions in the result."""
    result: Tensor = _expand_dims.unary(tensor_of(a), {"axis": axis})
    return result


@implements(np.broadcast_to)
def broadcast_to(array: ArrayLike, shape: int | Sequence[int], subok: bool = False) -> Tensor:
    """Repeat along axes of length one, and along new axes in front, to a given shape.

    Raises
    ------
    ValueError
        If the shape of `array` does not broadcast to `shape`.
    """
    result: Tensor = _broadcast_to.unary(tensor_of(array), {"shape": shape if isinstance(shape, int) else tuple(shape)})
    return result


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: ArrayLike, subok: bool = False) -> tuple[Tensor, ...]:
    """Broadcast arrays against each other."""
    tensors = [asarray(arg) for arg in args]
    shape = np.broadcast_shapes(*[tensor.shape for tensor in tensors])
    return tuple([broadcast_to(tensor, shape) for tensor in tensors])


def _at_least(axes: int) -> Any:
    def function(*arys: ArrayLike) -> Any:
        results = []
        for ary in arys:
            values = asarray(ary)
            if values.ndim < axes:
                # (n,) becomes (1, n), and for three axes (1, n, 1); (m, n) becomes (m, n, 1).
                m_n = {0: (1,) * axes, 1: (1, -1, 1)[3 - axes :][:axes] if axes == 3 else (1, -1)}
                values = reshape(values, m_n.get(values.ndim, (*values.shape, 1)))
            results.append(values)
        return results[0] if len(results) == 1 else tuple(results)

    function.__name__ = function.__qualname__ = f"atleast_{axes}d"
    function.__doc__ = f"The arguments with at least {axes} axes; a tuple of Tensors if there are several."
    return implements(getattr(np, function.__name__))(function)


atleast_1d, atleast_2d, atleast_3d = _at_least(1), _at_least(2), _at_least(3)


@implements(np.flip)
def flip(m: ArrayLike, axis: Axes = None) -> Tensor:
    """Reverse the order of elements along axes; along all by default."""
    result: Tensor = _flip.unary(tensor_of(m), {"axis": axis})
    return result


@implements(np.flipud)
def flipud(m: ArrayLike) -> Tensor:
    """Reverse the first axis."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: ArrayLike) -> Tensor:
    """Reverse the second axis."""
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: ArrayLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Rotate by `k` times 90 degrees in the plane of two axes, from the first towards the second."""
    values = asarray(m)
    first, second = axes
    if normalize_axis_index(first, values.ndim, "rot90") == normalize_axis_index(second, values.ndim, "rot90"):
        raise ValueError(f"rot90: axes are {axes}; they must be two different ones")
    k %= 4
    if k == 0:
        return copy(values)
    if k == 2:
        return flip(values, axes)
    if k == 1:
        return swapaxes(flip(values, axes[1]), *axes)
    return flip(swapaxes(values, *axes), axes[1])


@implements(np.roll)
def roll(a: ArrayLike, shift: int | Sequence[int], axis: Axes = None) -> Tensor:
    """Move elements along axes, round the end to the beginning.

    Parameters
    ----------
    a : array_like
    shift : int or sequence of int
        By how many places, for each axis in `axis`.
    axis : int or sequence of int, optional
        By default the elements are rolled as one row, in row-major order.

    Returns
    -------
    Tensor
    """
    result: Tensor = _roll.unary(tensor_of(a), {"shift": shift, "axis": axis})
    return result
