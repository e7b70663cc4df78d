"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import memory
from ..dispatch import FUNCTIONS
from ..primitive import primitive, unbroadcast
from ..tape import STATE
from ..tensor import Tensor, raw
from .shape import asarray

__all__: list[str] = []

_BASIC = (int, slice, type(None), type(...), np.integer)


def _frozen(item: Any) -> Any:
    """One item of an index, in a form that nobody can change later."""
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


def _arrays(key: Any) -> list[np.ndarray]:
    return [item for item in (key if type(key) is tuple else (key,)) if isinstance(item, np.ndarray)]


def _scatter_forward(x: Any, *, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of shape `shape`, to which `x` is added at `key`; repeated indices add up."""
    total = np.zeros(shape, x.dtype)
    if any(index.dtype.kind != "b" and index.size > 1 for index in _arrays(key)):
        np.add.at(total, key, x)
    else:
        total[key] = x
    return total


# Reading and adding are each other's transpose, so two primitives give every order of derivative.
_getitem = primitive(lambda x, *, key: x[key], name="getitem")
_scatter = primitive(_scatter_forward, name="scatter_add")
_getitem.defvjp(x=lambda g, x_shape, key: _scatter(g, key=key, shape=x_shape))
_scatter.defvjp(x=lambda g, key: _getitem(g, key=key))


def _get(tensor: Tensor, key: Any) -> Tensor:
    result: Tensor = _getitem(tensor, key=_freeze(key))
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
    if any(index.dtype.kind != "b" and index.size > 1 for index in _arrays(key)):
        written = np.arange(g.size).reshape(g.shape)[key]
        order = np.arange(written.size).reshape(written.shape)
        last = np.empty(g.size, np.intp)
        last[written] = order
        part = np.where(last[written] == order, part, 0)
    part = unbroadcast(part, value_shape[max(len(value_shape) - part.ndim, 0) :])
    return part.reshape(value_shape)  # NumPy allows axes of length one in front


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
    if isinstance(value, Tensor):
        if value._node is not None and tensor.dtype.kind not in "fc" and STATE.get().recording:
            raise TypeError(
                f"setitem: the value requires grad, but the Tensor it is assigned to has dtype {tensor.dtype}, through "
                "which no gradient flows; convert the Tensor with astype(float), or assign value.detach()"
            )
    result: Tensor
    if value is tensor or not _sole_owner(tensor):
        result = _setitem(tensor, value, key=key)
        return result
    # The record must not keep the array, or the next assignment would find it held and copy it.
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
