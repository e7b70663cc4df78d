"""Functions that rearrange elements: reshaping, joining, splitting, repeating, padding.

All of them are linear, and most are their own vector-Jacobian product with other settings: a transposition is
undone by the inverse transposition, a roll by the opposite roll, padding by cropping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import FUNCTIONS, implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor

__all__ = [
    "array", "array_split", "asarray", "astype", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays",
    "broadcast_to", "column_stack", "concat", "concatenate", "copy", "dsplit", "dstack", "expand_dims", "flip",
    "fliplr", "flipud", "hsplit", "hstack", "matrix_transpose", "moveaxis", "permute_dims", "ravel", "reshape",
    "roll", "rollaxis", "rot90", "split", "squeeze", "stack", "swapaxes", "transpose", "unstack", "vsplit",
    "vstack",
]  # fmt: skip

Axes = int | Sequence[int] | None


# --- conversion --------------------------------------------------------------------------------------------

_astype = primitive(lambda x, *, dtype: x.astype(dtype), name="astype").defvjp(x=lambda g: g)
_copy = primitive(lambda x, *, order="K": x.copy(order), name="copy").defvjp(x=lambda g: g)


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Convert to another type of elements.

    Parameters
    ----------
    x : array_like
    dtype : dtype
    copy : bool
        False: hand `x` itself back if it is a Tensor of that type already.
    device : None or "cpu"
        For compatibility.

    Returns
    -------
    Tensor
        The cotangent is converted back. Integers and booleans have no derivative, so history ends there.
    """
    values = asarray(x)
    if not copy and values.dtype == np.dtype(dtype):
        return values
    result: Tensor = _astype(values, dtype=np.dtype(dtype))
    return result


FUNCTIONS["astype"] = astype
if hasattr(np, "astype"):  # NumPy 2.1
    FUNCTIONS[np.astype] = astype


def _holds_tensor(values: Any) -> bool:
    """Whether there is a Tensor anywhere in nested lists and tuples."""
    stack = [values]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            return True
        if isinstance(value, (list, tuple)):
            stack.extend(value)
    return False


def _stack_nested(values: Any) -> Any:
    """Nested sequences with Tensors somewhere inside, as one Tensor.

    Works from the innermost sequences outwards with an explicit stack: a frame is a sequence, and those of
    its items that are finished.
    """
    frames: list[tuple[Any, list[Any]]] = [(values, [])]
    while True:
        items, done = frames[-1]
        if len(done) < len(items):
            item = items[len(done)]
            if isinstance(item, (list, tuple)) and _holds_tensor(item):
                frames.append((item, []))
            else:
                done.append(item)
            continue
        frames.pop()
        shapes = {np.shape(item) for item in done}
        if len(shapes) > 1:
            raise ValueError(
                f"array: the items of a sequence have the shapes {sorted(shapes)}; they must all be equal"
            )
        # NumPy promotes the values of a list as arrays: a Python number beside a float32 Tensor makes it
        # float64. A number beside Tensors follows them here, as in arithmetic.
        tensors = [item for item in done if isinstance(item, (Tensor, np.ndarray, np.generic))]
        scalars = [item for item in done if isinstance(item, (bool, int, float, complex))]
        dtype = np.result_type(*[item.dtype for item in tensors], *scalars)
        joined = stack([asarray(item, dtype) for item in done])
        if not frames:
            return joined
        frames[-1][1].append(joined)


def array(
    object: ArrayLike, dtype: Any = None, *, copy: bool | None = True, ndmin: int = 0, order: Any = "K"
) -> Tensor:
    """Make a Tensor of numbers, nested sequences or Tensors; gradients reach Tensors inside sequences.

    Parameters
    ----------
    object : array_like
        Also lists and tuples, nested at will, that hold Tensors: they are joined as by `stack`.
    dtype : dtype, optional
        By default that of the values.
    copy : bool, optional
        False or None: hand `object` itself back if it is a Tensor that needs no conversion.
    ndmin : int
        The result has at least so many axes; new ones go in front.
    order : str
        For compatibility; the order of elements in memory has no meaning for Tensors.

    Returns
    -------
    Tensor
    """
    if isinstance(object, (list, tuple)) and _holds_tensor(object):
        result = _stack_nested(object)
    elif isinstance(object, Tensor):
        result = _copy(object) if copy and (dtype is None or object.dtype == dtype) else object
    else:
        result = Tensor(object, dtype)
    if dtype is not None:
        result = astype(result, dtype, copy=False)
    if result.ndim < ndmin:
        result = reshape(result, (1,) * (ndmin - result.ndim) + result.shape)
    return result


def asarray(a: ArrayLike, dtype: Any = None, *, copy: bool | None = None) -> Tensor:
    """As `array`, but a Tensor of the right type is handed back as it is, unless `copy`."""
    if isinstance(a, Tensor) and not copy:
        return a if dtype is None or a.dtype == dtype else astype(a, dtype)
    if isinstance(a, (list, tuple, Tensor)):
        return array(a, dtype)
    return as_tensor(a, dtype)


FUNCTIONS["array"], FUNCTIONS["asarray"] = array, asarray


@implements(np.copy)
def copy(a: ArrayLike, order: Any = "K", subok: bool = False) -> Tensor:
    """Return a copy, through which gradients flow. `order` and `subok` are for compatibility."""
    result: Tensor = _copy(asarray(a), order=order)
    return result


# --- axes --------------------------------------------------------------------------------------------------


def _inverse(axes: Any) -> Any:
    """The axes of the transposition that undoes one."""
    return None if axes is None else tuple(np.argsort([axis % len(axes) for axis in axes]).tolist())


def _opposite(shift: Any) -> Any:
    return tuple([-s for s in shift]) if isinstance(shift, (tuple, list)) else -shift


def _back(g: Any, x_shape: tuple[int, ...]) -> Any:
    """Rule of everything that only changes the shape."""
    return g.reshape(x_shape)


_reshape = primitive(lambda x, *, shape: x.reshape(shape), name="reshape").defvjp(x=_back)
_squeeze = primitive(lambda x, *, axis: np.squeeze(x, axis), name="squeeze").defvjp(x=_back)
_expand_dims = primitive(lambda x, *, axis: np.expand_dims(x, axis), name="expand_dims").defvjp(x=_back)
_transpose = primitive(lambda x, *, axes: x.transpose(axes), name="transpose").defvjp(
    x=lambda g, axes: np.transpose(g, _inverse(axes))
)
_matrix_transpose = primitive(np.matrix_transpose, name="matrix_transpose", arguments=("x",)).defvjp(
    x=lambda g: np.matrix_transpose(g)
)
_swapaxes = primitive(lambda x, *, axis1, axis2: np.swapaxes(x, axis1, axis2), name="swapaxes").defvjp(
    x=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2)
)
_moveaxis = primitive(lambda x, *, source, to: np.moveaxis(x, source, to), name="moveaxis").defvjp(
    x=lambda g, source, to: np.moveaxis(g, to, source)
)
_flip = primitive(lambda x, *, axis: np.flip(x, axis), name="flip").defvjp(
    x=lambda g, axis: np.flip(g, axis)
)
_roll = primitive(lambda x, *, shift, axis: np.roll(x, shift, axis), name="roll").defvjp(
    x=lambda g, shift, axis: np.roll(g, _opposite(shift), axis)
)
# The engine sums the cotangent over the repeated axes.
_broadcast_to = primitive(
    lambda x, *, shape: np.broadcast_to(x, shape), name="broadcast_to", broadcasts=True
).defvjp(x=lambda g: g)


@implements(np.reshape)
def reshape(
    a: ArrayLike, /, shape: int | Sequence[int], order: str = "C", *, copy: bool | None = None
) -> Tensor:
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
    values = asarray(a)
    if isinstance(shape, (list, Tensor, np.ndarray)):
        shape = tuple([int(n) for n in shape])
    if order == "F":
        sizes = shape if isinstance(shape, tuple) else (shape,)
        return transpose(reshape(transpose(values), sizes[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f"reshape: order is {order!r}; it must be 'C', 'F' or 'A'")
    result: Tensor = _reshape(values, shape=shape)
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
    result: Tensor = _transpose(asarray(a), axes=None if axes is None else tuple(axes))
    return result


permute_dims = transpose


@implements(np.matrix_transpose)
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """Exchange the last two axes."""
    result: Tensor = _matrix_transpose(asarray(x))
    return result


@implements(np.swapaxes)
def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes."""
    result: Tensor = _swapaxes(asarray(a), axis1=axis1, axis2=axis2)
    return result


@implements(np.moveaxis)
def moveaxis(a: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes to other positions; the others keep their order."""
    result: Tensor = _moveaxis(asarray(a), source=source, to=destination)
    return result


@implements(np.rollaxis)
def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Tensor:
    """Move an axis backwards until it lies before axis `start`; `moveaxis` is easier to read."""
    values = asarray(a)
    order = np.rollaxis(np.empty((0,) * values.ndim), axis, start)  # raises what NumPy raises
    del order
    n = values.ndim
    axis, start = axis % n, start + n if start < 0 else start
    return moveaxis(values, axis, start - 1 if axis < start else start)


@implements(np.squeeze)
def squeeze(a: ArrayLike, axis: Axes = None) -> Tensor:
    """Remove axes of length one: those in `axis`, or all.

    Raises
    ------
    ValueError
        If an axis in `axis` has another length.
    """
    result: Tensor = _squeeze(asarray(a), axis=tuple(axis) if isinstance(axis, list) else axis)
    return result


@implements(np.expand_dims)
def expand_dims(a: ArrayLike, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length one; `axis` gives their positions in the result."""
    result: Tensor = _expand_dims(asarray(a), axis=axis)
    return result


@implements(np.broadcast_to)
def broadcast_to(array: ArrayLike, shape: int | Sequence[int], subok: bool = False) -> Tensor:
    """Repeat along axes of length one, and along new axes in front, to a given shape.

    Raises
    ------
    ValueError
        If the shape of `array` does not broadcast to `shape`.
    """
    result: Tensor = _broadcast_to(asarray(array), shape=shape if isinstance(shape, int) else tuple(shape))
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
    result: Tensor = _flip(asarray(m), axis=axis)
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
    np.rot90(np.empty((0,) * values.ndim), k, axes)  # raises what NumPy raises
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
    result: Tensor = _roll(asarray(a), shift=shift, axis=axis)
    return result


# --- joining and splitting ---------------------------------------------------------------------------------


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


_stack = primitive(lambda *arrays, axis: np.stack(arrays, axis), name="stack").defvjp(_stack_vjp)
_split = primitive(
    lambda x, *, points, axis: tuple(np.array_split(x, points, axis)), name="split", multiple=True
).defvjp(x=lambda g, axis: np.concatenate(g, axis))
_unstack = primitive(
    lambda x, *, axis: tuple(np.moveaxis(x, axis, 0)), name="unstack", multiple=True
).defvjp(x=lambda g, axis: np.stack(g, axis))


def _tensors(name: str, arrays: Any, dtype: Any) -> list[Tensor]:
    if isinstance(arrays, Tensor):
        arrays = unstack(arrays)
    tensors = [asarray(item) for item in arrays]
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
    result: Tensor = _concatenate(*tensors, axis=axis)
    return result if out is None else out._become(result)


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
    result: Tensor = _stack(*_tensors("stack", arrays, dtype), axis=axis)
    return result if out is None else out._become(result)


@implements(np.vstack)
def vstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    """Join along the first axis; one-dimensional arrays are rows."""
    return concatenate([atleast_2d(item) for item in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    """Join along the second axis; along the first for one-dimensional arrays."""
    tensors = [atleast_1d(item) for item in tup]
    return concatenate(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Sequence[ArrayLike]) -> Tensor:
    """Join along the third axis."""
    return concatenate([atleast_3d(item) for item in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Sequence[ArrayLike]) -> Tensor:
    """Join along the second axis; one-dimensional arrays are columns."""
    tensors = [asarray(item) for item in tup]
    return concatenate([t if t.ndim > 1 else reshape(t, (-1, 1)) for t in tensors], 1)


@implements(np.array_split)
def array_split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[Tensor, ...]:
    """Cut into parts along an axis; a number of parts need not divide the length."""
    points = indices_or_sections if isinstance(indices_or_sections, int) else tuple(indices_or_sections)
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
    values = asarray(ary)
    if isinstance(indices_or_sections, int) and values.shape[axis] % indices_or_sections:
        raise ValueError(
            f"split: axis {axis} has length {values.shape[axis]}, which indices_or_sections="
            f"{indices_or_sections} does not divide; array_split makes unequal parts"
        )
    return array_split(values, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the second axis; along the first for one-dimensional arrays."""
    values = asarray(ary)
    return split(values, indices_or_sections, 1 if values.ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the first axis."""
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the third axis."""
    return split(ary, indices_or_sections, 2)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, as a tuple of Tensors without it."""
    result: tuple[Tensor, ...] = _unstack(asarray(x), axis=axis)
    return result


if hasattr(np, "unstack"):  # NumPy 2.1
    FUNCTIONS[np.unstack] = unstack
