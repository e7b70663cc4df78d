"""Padding, cropping and repeating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .shape import broadcast_to, ravel, reshape

__all__ = ["pad", "repeat", "tile"]


def _pad_forward(x: Any, *, widths: Any, value: Any) -> Any:
    """`x` inside an array of `value`; negative widths crop."""
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, widths)])
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    inside, kept = [], []
    for n, (before, after) in zip(x.shape, widths):
        kept.append(slice(-before if before < 0 else 0, n + after if after < 0 else n))
        inside.append(slice(before if before > 0 else 0, n + before + (after if after < 0 else 0)))
    if out.size:  # else a crop may have eaten more than there is, from either side
        out[tuple(inside)] = x[tuple(kept)]
    return out


_pad = primitive(_pad_forward, name="pad")
# What was padded is cropped from the cotangent, and what was cropped is padded with zeros.
_pad.defvjp(x=lambda g, widths: _pad(g, widths=tuple([(-before, -after) for before, after in widths]), value=0))


def _width_pairs(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            if not -ndim <= axis < ndim:
                raise ValueError(
                    f"pad: pad_width names axis {axis}, but the array has {ndim} axes; axes are -{ndim}..{ndim - 1}"
                )
            pairs[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = pairs
    widths = np.asarray(raw(pad_width))
    if widths.dtype.kind not in "iu" and widths.size:
        raise TypeError(f"pad: pad_width is {pad_width!r} of dtype {widths.dtype}; widths must be integers")
    try:
        table = np.broadcast_to(widths, (ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: pad_width has shape {widths.shape}; for an array of {ndim} axes it must broadcast to ({ndim}, 2): "
            "(before, after) for each axis"
        ) from None
    return tuple([(int(before), int(after)) for before, after in table])


@implements(np.pad)
def pad(
    array: ArrayLike,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: ArrayLike = 0,
    reflect_type: str = "even",
) -> Tensor:
    """Extend an array on all sides.

    Parameters
    ----------
    array : array_like
    pad_width : int, pair, sequence of pairs, or dict
        ``(before, after)`` for each axis, or a pair or a number for all, or a dict from axes to them. Unlike in
        NumPy, negative widths are allowed in mode "constant": they crop.
    mode : {"constant", "edge", "reflect", "symmetric", "wrap", "empty"}
        What the new elements are: a constant, or copies of others, whose cotangents then add up.
    constant_values : array_like
        A number, or numbers that broadcast to ``(array.ndim, 2)`` like widths.
    reflect_type : {"even"}
        For compatibility.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For another mode; for negative widths in a mode that copies, or that would crop more than there is.
    """
    x = asarray(array)
    widths = _width_pairs(pad_width, x.ndim)
    if mode in ("constant", "empty"):
        for axis, (n, (before, after)) in enumerate(zip(x.shape, widths)):
            if n + min(before, 0) + min(after, 0) < 0:
                raise ValueError(f"pad: widths {(before, after)} crop more from axis {axis} than its length {n}")
        values = np.asarray(raw(constant_values))
        result: Tensor
        if values.ndim == 0:
            result = _pad(x, widths=widths, value=values.item())
            return result
        # One axis after the other, since later axes fill the corners, as in NumPy.
        for axis, sides in enumerate(np.broadcast_to(values, (x.ndim, 2)).tolist()):
            for side, value in enumerate(sides):
                one = [(0, 0)] * x.ndim
                one[axis] = (widths[axis][0], 0) if side == 0 else (0, widths[axis][1])
                x = _pad(x, widths=tuple(one), value=value)
        return x
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise ValueError(
            f"pad: mode={mode!r} with reflect_type={reflect_type!r} is not covered; modes are 'constant', 'edge', "
            "'reflect', 'symmetric' and 'wrap', with reflect_type 'even'"
        )
    for axis, (n, width) in enumerate(zip(x.shape, widths)):
        if min(width) < 0:
            raise ValueError(f"pad: widths {width} for axis {axis}; only mode 'constant' takes negative ones")
        if width != (0, 0):
            source = np.pad(np.arange(n), width, mode)  # type: ignore[call-overload]
            x = x[(slice(None),) * axis + (source,)]
    return x


# --- repeating ---------------------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(a: ArrayLike, repeats: Any, axis: int | None = None) -> Tensor:
    """Repeat each element, next to itself.

    Parameters
    ----------
    a : array_like
    repeats : int or sequence of int
        How often; for all or for each element along the axis.
    axis : int, optional
        By default the elements are taken as one row, in row-major order.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If there are neither one nor as many `repeats` as elements along the axis, or one is negative.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    times = np.asarray(raw(repeats))
    axis = normalize_axis_index(axis, x.ndim, "repeat")
    n = x.shape[axis]
    source = np.repeat(np.arange(n), times)  # raises what NumPy raises
    if times.size != 1:
        return x[(slice(None),) * axis + (source,)]
    count = int(times.reshape(()))
    row = reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    many = broadcast_to(row, (*x.shape[: axis + 1], count, *x.shape[axis + 1 :]))
    return reshape(many, (*x.shape[:axis], n * count, *x.shape[axis + 1 :]))


@implements(np.tile)
def tile(A: ArrayLike, reps: int | Sequence[int]) -> Tensor:
    """Repeat a whole array along axes.

    Parameters
    ----------
    A : array_like
    reps : int or sequence of int
        How often, for each of the last axes; more of them than axes make new axes in front.

    Returns
    -------
    Tensor
    """
    x = asarray(A)
    counts = (reps,) if isinstance(reps, (int, np.integer)) else tuple([int(n) for n in reps])
    ndim = max(x.ndim, len(counts))
    lengths = (1,) * (ndim - x.ndim) + x.shape
    counts = (1,) * (ndim - len(counts)) + tuple(counts)
    # (n1, n2) -> (1, n1, 1, n2) -> (r1, n1, r2, n2) -> (r1 n1, r2 n2)
    apart = reshape(x, tuple([k for n in lengths for k in (1, n)]))
    many = broadcast_to(apart, tuple([k for r, n in zip(counts, lengths) for k in (r, n)]))
    return reshape(many, tuple([r * n for r, n in zip(counts, lengths)]))
