"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .. import memory
from ..dispatch import CONSTANT, FUNCTIONS, implements
from ..primitive import primitive, unbroadcast
from ..tape import STATE
from ..tensor import ArrayLike, Tensor, assign_out, raw, wrap
from .conversion import asarray
from .shape import ravel, reshape

__all__ = [
    "argwhere", "compress", "extract", "flatnonzero", "ix_", "nonzero", "put_along_axis", "take", "take_along_axis",
]  # fmt: skip

_BASIC = (int, slice, type(None), type(...), np.integer)
_PLAIN = {int, type(None)}


def _frozen(item: Any) -> Any:
    """One item of an index, in a form that nobody can change later."""
    kind = type(item)
    if kind is int or item is None or item is Ellipsis:
        return item
    if kind is slice and type(item.start) in _PLAIN and type(item.stop) in _PLAIN and type(item.step) in _PLAIN:
        return item
    if isinstance(item, bool) or not isinstance(item, _BASIC):
        values = raw(item)
        if isinstance(values, (list, tuple)):
            values = np.asarray(raw(asarray(values))) if values else np.empty(0, np.intp)
        else:
            values = np.array(values)
        if values.dtype.kind not in "biu":
            raise IndexError(
                f"indexing: an index of type {type(item).__name__} and dtype {values.dtype}; indices are integers, "
                "slices, Ellipsis, None, and arrays of integers or booleans"
            )
        # A single integer is basic indexing, which gives a view.
        return int(values) if values.ndim == 0 and values.dtype.kind != "b" else values
    if isinstance(item, slice):
        bounds = item.start, item.stop, item.step
        if any(isinstance(bound, (Tensor, np.ndarray)) for bound in bounds):
            return slice(*[None if bound is None else int(bound) for bound in bounds])
    return item


def _freeze(key: Any) -> Any:
    kind = type(key)
    if kind is int:
        return key
    if kind is tuple:
        return tuple([_frozen(item) for item in key])
    return _frozen(key)


def _may_repeat(key: Any) -> bool:
    """Whether an index may name an element more than once: only arrays of several integers can."""
    for item in key if type(key) is tuple else (key,):
        if isinstance(item, np.ndarray) and item.dtype.kind != "b" and item.size > 1:
            return True
    return False


def _scatter_forward(x: Any, *, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of shape `shape`, to which `x` is added at `key`; repeated indices add up."""
    total = np.zeros(shape, x.dtype)
    if not _may_repeat(key):
        total[key] = x
    elif isinstance(key, np.ndarray) and len(shape) > 1 and total.size:
        # Rows of a table: np.add.at is several times as fast on one axis.
        length = total.size // shape[0]
        places = (key.reshape(-1, 1) % shape[0]) * length + np.arange(length)
        np.add.at(total.reshape(-1), places.reshape(-1), x.reshape(-1))
    else:
        np.add.at(total, key, x)
    return total


# Reading and adding are each other's transpose, so two primitives give every order of derivative.
_getitem = primitive(lambda x, *, key: x[key], name="getitem")
_scatter = primitive(_scatter_forward, name="scatter_add")
_getitem.defvjp(x=lambda g, x_shape, key: _scatter.unary(g, {"key": key, "shape": x_shape}))
_scatter.defvjp(x=lambda g, key: _getitem.unary(g, {"key": key}))


def _get(tensor: Tensor, key: Any) -> Tensor:
    result: Tensor = _getitem.unary(tensor, {"key": key if type(key) is int else _freeze(key)})
    return result


FUNCTIONS["getitem"] = _get


# --- assignment --------------------------------------------------------------------------------------------


def _setitem_forward(x: Any, value: Any, *, key: Any, into: Any = ()) -> Any:
    """A copy of `x` with `value` at `key`; or the array in `into`, if nobody else needs its old values."""
    out = into[0] if into else np.array(x)
    if isinstance(value, np.ndarray) and value.dtype != out.dtype:
        # A conversion may fail (a warning may be an error): before anything is written, please.
        value = value.astype(out.dtype)
    out[key] = value
    return out


def _setitem_value(g: Any, value_shape: tuple[int, ...], key: Any) -> Any:
    """What arrives where `value` was written, and stayed: with repeated indices the last write wins."""
    part = _getitem(g, key=key)
    if _may_repeat(key):
        written = np.arange(g.size).reshape(g.shape)[key]
        order = np.arange(written.size).reshape(written.shape)
        last = np.empty(g.size, np.intp)
        last[written] = order
        part = np.where(last[written] == order, part, 0)
    part = unbroadcast(part, value_shape[max(len(value_shape) - part.ndim, 0) :])
    # NumPy allows axes of length one in front. A copy, because a view of a small part would keep all of `g`
    # alive until the cotangent is used.
    return part.reshape(value_shape).copy()


_setitem = primitive(_setitem_forward, name="setitem")
_setitem.defvjp(x=lambda g, key: _setitem(g, 0, key=key), value=_setitem_value)


def _sole_owner(tensor: Tensor) -> bool:
    """Whether nothing else can see a write to the memory of `tensor`."""
    if memory.held_elsewhere(tensor) or not tensor._array.flags.writeable:
        return False
    # References are counted for the object right under a view; what is further below has other owners.
    base = tensor._array.base
    return base is None or (type(base) is np.ndarray and base.base is None)


def _set(tensor: Tensor, key: Any, value: Any) -> Tensor:
    """The Tensor with `value` at `key`: the whole of ``tensor[key] = value`` but for its last step."""
    key = _freeze(key)
    if isinstance(value, (list, tuple)):
        value = asarray(value)
        if value._node is None:
            value = value._array
    differentiable = isinstance(value, Tensor) and value._node is not None and STATE.get().recording
    if differentiable and tensor.dtype.kind not in "fc":
        raise TypeError(
            f"setitem: the value requires grad, but the Tensor that it is assigned to has dtype {tensor.dtype}, "
            "through which no gradient flows; convert the Tensor with astype(float), or assign value.detach()"
        )
    result: Tensor
    if value is tensor or not _sole_owner(tensor):
        result = _setitem(tensor, value, key=key)
        return result
    # The record must not keep the array, or the next assignment would find it held and copy it.
    memory.forget(tensor)
    array, into = tensor._array, []
    tensor._array = _NOTHING
    try:
        into.append(array)
        result = _setitem(tensor, value, key=key, into=into)
    except Exception:
        tensor._array = array  # nothing was written: the message below names the true arguments
        result = _setitem(tensor, value, key=key)
    finally:
        into.clear()
        tensor._array = array
    return result


_NOTHING = np.empty(0)

FUNCTIONS["setitem"] = _set


# --- functions ---------------------------------------------------------------------------------------------


def _along(x: Tensor, axis: int, index: Any) -> tuple[Any, ...]:
    """The key that applies `index` to one axis."""
    return (slice(None),) * normalize_axis_index(axis, x.ndim) + (index,)


@implements(np.take)
def take(
    a: ArrayLike,
    indices: ArrayLike,
    axis: int | None = None,
    out: Any = None,
    mode: str = "raise",
) -> Tensor:
    """Elements, or slices along an axis, by their position.

    Parameters
    ----------
    a : array_like
    indices : array_like of int
        Negative positions count from the end. Cotangents of repeated positions add up.
    axis : int, optional
        By default the elements are taken as one row, in row-major order.
    out : Tensor, optional
        Where to store the result.
    mode : {"raise", "wrap", "clip"}
        What happens to positions outside the array.

    Returns
    -------
    Tensor
        With the axes of `indices` in place of `axis`.

    Raises
    ------
    IndexError
        If a position is outside the array.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    positions = np.array(raw(asarray(indices)))
    if positions.dtype.kind not in "iu" and positions.size:
        raise TypeError(f"take: indices have dtype {positions.dtype}; they must be integers")
    positions = positions.astype(np.intp)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"take: mode is {mode!r}; it must be 'raise', 'wrap' or 'clip'")
    n = x.shape[normalize_axis_index(axis, x.ndim)]
    if mode == "wrap" and n:
        positions %= n
    elif mode == "clip" and n:
        positions = np.clip(positions, 0, n - 1)
    result: Tensor = _getitem(x, key=_along(x, axis, positions))
    return result if out is None else assign_out("take", out, result)


def _grid(x: Tensor, indices: ArrayLike, axis: int) -> tuple[Any, ...]:
    """The key of ``take_along_axis``: `indices` along `axis`, and along the others each its own position."""
    positions = np.array(raw(asarray(indices)))
    if positions.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices have dtype {positions.dtype}; they must be integers")
    if positions.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: indices have shape {positions.shape} and the array has shape {x.shape}; both must "
            "have the same number of axes"
        )
    axis = normalize_axis_index(axis, x.ndim)
    return tuple(
        [
            positions if k == axis else np.arange(n).reshape([-1 if j == k else 1 for j in range(x.ndim)])
            for k, n in enumerate(x.shape)
        ]
    )


@implements(np.take_along_axis)
def take_along_axis(arr: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """Elements by their positions along an axis, which may differ between the others (see `argsort`).

    Parameters
    ----------
    arr : array_like
    indices : array_like of int
        As many axes as `arr`; broadcast against it but for `axis`.
    axis : int, optional
        None: `arr` is taken as one row.

    Returns
    -------
    Tensor
    """
    x = asarray(arr)
    if axis is None:
        x, axis = ravel(x), 0
    result: Tensor = _getitem(x, key=_grid(x, indices, axis))
    return result


@implements(np.put_along_axis)
def put_along_axis(arr: Tensor, indices: ArrayLike, values: ArrayLike, axis: int | None) -> None:
    """Assign to the elements that `take_along_axis` would read; `arr` is a Tensor and changes."""
    if not isinstance(arr, Tensor):
        raise TypeError(f"put_along_axis: arr is a {type(arr).__name__}; it must be a Tensor")
    if axis is None:
        flat = ravel(arr)
        flat[_grid(flat, indices, 0)] = values
        arr[...] = reshape(flat, arr.shape)
    else:
        arr[_grid(arr, indices, axis)] = values


@implements(np.compress)
def compress(condition: ArrayLike, a: ArrayLike, axis: int | None = None, out: Any = None) -> Tensor:
    """Slices along an axis where `condition`, one-dimensional and at most as long, is true."""
    kept = np.array(raw(asarray(condition)))
    if kept.ndim != 1:
        raise ValueError(f"compress: condition has shape {kept.shape}; it must have one axis")
    return take(a, np.flatnonzero(kept), axis, out)


@implements(np.extract)
def extract(condition: ArrayLike, arr: ArrayLike) -> Tensor:
    """Elements where `condition`, of the same size, is true, in row-major order."""
    return compress(ravel(condition), ravel(arr), 0)


@implements(np.nonzero)
def nonzero(a: ArrayLike) -> tuple[Tensor, ...]:
    """Positions of the elements that are not zero: for each axis an integer Tensor."""
    return tuple([wrap(positions) for positions in np.nonzero(asarray(a)._array)])


@implements(np.flatnonzero)
def flatnonzero(a: ArrayLike) -> Tensor:
    """Positions, in the raveled array, of the elements that are not zero."""
    return wrap(np.flatnonzero(asarray(a)._array))


@implements(np.argwhere)
def argwhere(a: ArrayLike) -> Tensor:
    """Positions of the elements that are not zero: an integer Tensor with a row for each."""
    return wrap(np.argwhere(asarray(a)._array))


@implements(np.ix_)
def ix_(*args: ArrayLike) -> tuple[Tensor, ...]:
    """Positions along each axis, shaped so that indexing with all of them gives a grid."""
    return tuple([wrap(places) for places in np.ix_(*[np.asarray(raw(asarray(arg))) for arg in args])])


CONSTANT.update({np.argwhere, np.flatnonzero, np.ix_, np.nonzero})


def scatter_add(x: ArrayLike, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of shape `shape`, to which `x` is added at `key`: the transpose of reading ``[key]``."""
    return _scatter(x, key=_freeze(key), shape=shape)
