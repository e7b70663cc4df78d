"""Functions that change their first argument: a Tensor, whose history takes the change in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .constants import strip
from .conversion import asarray
from .shape import broadcast_to, ravel, reshape

__all__ = ["copyto", "fill_diagonal", "place", "put", "putmask"]


def _target(name: str, array: Any, values: Any) -> bool:
    """Whether the array to change is a Tensor; an error if it is one that cannot take the history of `values`."""
    if isinstance(array, Tensor):
        return True
    if isinstance(values, Tensor) and values.requires_grad:
        raise TypeError(
            f"{name}: the array to change is a {type(array).__name__}, which has no history, but the values require "
            "grad; pass a Tensor as the array to change, or values.detach()"
        )
    return False


def _write_flat(array: Tensor, places: Any, values: Tensor) -> None:
    flat = ravel(array)
    flat[places] = values
    array[...] = reshape(flat, array.shape)


def _repeated(values: Tensor, count: int) -> Tensor:
    """The first `count` of the values, over and over."""
    return values[np.arange(count) % max(values.size, 1)]


@implements(np.copyto)
def copyto(dst: Any, src: ArrayLike, casting: Any = "same_kind", where: Any = True) -> None:
    """Assign `src`, broadcast, to the elements of `dst` where a mask is true."""
    if not _target("copyto", dst, src):
        np.copyto(dst, strip(src), casting, strip(where))
        return
    values = asarray(src)
    if not np.can_cast(values.dtype, dst.dtype, casting):
        raise TypeError(f"copyto: casting={casting!r} does not convert {values.dtype} to {dst.dtype}")
    values = broadcast_to(values.astype(dst.dtype, copy=False), dst.shape)
    if where is True:
        dst[...] = values
    else:
        mask = np.broadcast_to(np.asarray(raw(asarray(where)), bool), dst.shape)
        dst[mask] = values[mask]


@implements(np.putmask)
def putmask(a: Any, mask: ArrayLike, values: ArrayLike) -> None:
    """Assign, where a mask is true, the value at the same place; `values` is repeated if it is shorter."""
    if not _target("putmask", a, values):
        np.putmask(a, strip(mask), strip(values))
        return
    places = np.flatnonzero(np.asarray(raw(asarray(mask))))
    new = ravel(values)
    _write_flat(a, places, new[places % new.size] if places.size else new[:0])


@implements(np.place)
def place(arr: Any, mask: ArrayLike, vals: ArrayLike) -> None:
    """Assign, where a mask is true, the next of `vals`, which are repeated if they are fewer."""
    if not _target("place", arr, vals):
        np.place(arr, strip(mask), strip(vals))
        return
    places, new = np.flatnonzero(np.asarray(raw(asarray(mask)))), ravel(vals)
    if places.size and not new.size:
        raise ValueError("place: vals is empty, but the mask is not false everywhere")
    _write_flat(arr, places, _repeated(new, places.size))


@implements(np.put)
def put(a: Any, ind: ArrayLike, v: ArrayLike, mode: str = "raise") -> None:
    """Assign to elements by their position in row-major order; `v` is repeated if it is shorter.

    Parameters
    ----------
    a : Tensor
        Changed.
    ind : array_like of int
    v : array_like
    mode : {"raise", "wrap", "clip"}
        What happens to positions outside the array.
    """
    if not _target("put", a, v):
        np.put(a, strip(ind), strip(v), mode)  # type: ignore[arg-type]
        return
    places = np.asarray(raw(asarray(ind))).reshape(-1)
    if mode == "raise" and places.size and (places.min() < -a.size or places.max() >= a.size):
        raise IndexError(f"put: ind reaches from {places.min()} to {places.max()}, but a has {a.size} elements")
    if mode == "wrap":
        places = places % a.size
    elif mode == "clip":
        places = np.clip(places, 0, a.size - 1)
    elif mode != "raise":
        raise ValueError(f"put: mode is {mode!r}; it must be 'raise', 'wrap' or 'clip'")
    new = ravel(v)
    if places.size and new.size:
        _write_flat(a, places, _repeated(new, places.size))


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: ArrayLike, wrap: bool = False) -> None:
    """Assign to the main diagonal; `val` is repeated if it is shorter.

    Parameters
    ----------
    a : Tensor, at least two axes
        Changed. With more than two axes all must be equally long.
    val : array_like
    wrap : bool
        Begin again below the square part of a tall matrix.
    """
    if not _target("fill_diagonal", a, val):
        np.fill_diagonal(a, strip(val), wrap)
        return
    marks = np.zeros(a.shape, bool)
    np.fill_diagonal(marks, True, wrap)  # raises what NumPy raises
    places = np.flatnonzero(marks)
    _write_flat(a, places, _repeated(ravel(val), places.size))
