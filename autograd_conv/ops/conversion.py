"""From numbers, arrays and sequences to Tensors, and from one type of elements to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array_api import check_device
from ..dispatch import FUNCTIONS, implements, lookup
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor

__all__ = [
    "array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray", "astype", "copy",
    "require",
]  # fmt: skip

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
    check_device("astype", device)
    values = asarray(x)
    if not copy and values.dtype == np.dtype(dtype):
        return values
    result: Tensor = _astype.unary(values, {"dtype": np.dtype(dtype)})
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
            raise ValueError(f"array: the items of a sequence have the shapes {sorted(shapes)}; they must all be equal")
        # NumPy promotes the values of a list as arrays: a Python number beside a float32 Tensor makes it
        # float64. A number beside Tensors follows them here, as in arithmetic.
        tensors = [item for item in done if isinstance(item, (Tensor, np.ndarray, np.generic))]
        scalars = [item for item in done if isinstance(item, (bool, int, float, complex))]
        dtype = np.result_type(*[item.dtype for item in tensors], *scalars)
        joined = lookup(np.stack)([asarray(item, dtype) for item in done])
        if not frames:
            return joined
        frames[-1][1].append(joined)


def array(
    object: ArrayLike,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
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
    order, subok, like
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
        result = result.reshape((1,) * (ndmin - result.ndim) + result.shape)
    return result


def asarray(
    a: ArrayLike,
    dtype: Any = None,
    order: Any = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Tensor:
    """As `array`, but a Tensor of the right type is handed back as it is, unless `copy`.

    `order`, `like` and `device` (None or "cpu") are for compatibility. ``copy=False`` is a ValueError where a copy is
    needed: for another type of elements, and for anything but a Tensor.
    """
    if device is not None:
        check_device("asarray", device)
    if copy is False and (not isinstance(a, Tensor) or (dtype is not None and a.dtype != dtype)):
        raise ValueError(f"asarray: argument 'copy' is False, but a Tensor of dtype {dtype} must be a copy of the data")
    if isinstance(a, Tensor) and not copy:
        return a if dtype is None or a.dtype == dtype else astype(a, dtype)
    if isinstance(a, (list, tuple, Tensor)):
        return array(a, dtype)
    return as_tensor(a, dtype)


FUNCTIONS["array"], FUNCTIONS["asarray"] = array, asarray


def tensor_of(a: ArrayLike) -> Tensor:
    """`a` as a Tensor, which it nearly always is: `asarray` for functions that small programs call at each step."""
    return a if type(a) is Tensor else asarray(a)


@implements(np.require)
def require(a: ArrayLike, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Tensor:
    """As `asarray`. How elements lie in memory has no meaning for Tensors: every requirement is met."""
    return asarray(a, dtype)


def asarray_chkfinite(a: ArrayLike, dtype: Any = None, order: Any = None) -> Tensor:
    """As `asarray`, with a ValueError for NaN and infinities."""
    x = asarray(a, dtype)
    if x.dtype.kind in "fc" and not np.isfinite(x._array).all():
        raise ValueError("asarray_chkfinite: there are NaN or infinities in the array")
    return x


def ascontiguousarray(a: ArrayLike, dtype: Any = None, *, like: Any = None) -> Tensor:
    """As `asarray`, with at least one axis."""
    x = asarray(a, dtype)
    return x.reshape((1,)) if x.ndim == 0 else x


asanyarray = asarray
asfortranarray = ascontiguousarray


@implements(np.copy)
def copy(a: ArrayLike, order: Any = "K", subok: bool = False) -> Tensor:
    """Return a copy, through which gradients flow. `order` and `subok` are for compatibility."""
    result: Tensor = _copy.unary(tensor_of(a), {"order": order})
    return result
