"""Padding, cropping and repeating."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import implements
from ..kernels.order import memory_order
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .elementwise import floor
from .joining import concatenate
from .shape import broadcast_to, moveaxis, ravel, reshape

__all__ = ["pad", "repeat", "tile"]


def _pad_forward(x: Any, *, widths: Any, value: Any) -> Any:
    """`x` inside an array of `value`, in the memory order of `x`; negative widths crop."""
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, widths)])
    order = memory_order(x)
    extents = [shape[axis] for axis in order]
    out = np.full(extents, value, x.dtype) if value else np.zeros(extents, x.dtype)
    out = out.transpose(sorted(range(x.ndim), key=order.__getitem__))
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


_COPIES = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS: dict[str, Any] = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}
_MODES = (
    "constant",
    "edge",
    "empty",
    "linear_ramp",
    "maximum",
    "mean",
    "median",
    "minimum",
    "reflect",
    "symmetric",
    "wrap",
)


@implements(np.pad)
def pad(
    array: ArrayLike,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: ArrayLike = 0,
    end_values: ArrayLike = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
    **kwargs: Any,
) -> Tensor:
    """Extend an array on all sides.

    Parameters
    ----------
    array : array_like
    pad_width : int, pair, sequence of pairs, or dict
        ``(before, after)`` for each axis, or a pair or a number for all, or a dict from axes to them. Unlike in
        NumPy, negative widths are allowed in mode "constant": they crop.
    mode : str or callable
        What the new elements are: "constant"; copies of others ("edge", "reflect", "symmetric", "wrap"); a ramp to
        `end_values` ("linear_ramp"); the "maximum", "minimum", "mean" or "median" of the outermost elements;
        "empty", here zeros; or a function ``mode(vector, (before, after), axis, kwargs)``, which gets a Tensor with
        one axis and changes it.
    constant_values, end_values : array_like
        A number, or numbers that broadcast to ``(array.ndim, 2)`` like widths. Gradients reach them.
    stat_length : int or array_like of int, optional
        How many of the outermost elements count; by default all. Broadcast like widths.
    reflect_type : {"even", "odd"}
        "odd": reflected at the outermost element as a point, ``2 * edge - reflected``.
    **kwargs
        For a function.

    Returns
    -------
    Tensor
        Cotangents of the new elements go to those from which they were made.

    Raises
    ------
    ValueError
        For another mode; for negative widths in a mode other than "constant", or that would crop more than there
        is; where there are no elements to copy.
    """
    x = asarray(array)
    widths = _width_pairs(pad_width, x.ndim)
    if callable(mode):
        return _pad_by_function(x, widths, mode, kwargs)
    if mode not in _MODES or reflect_type not in ("even", "odd"):
        raise ValueError(
            f"pad: mode is {mode!r} and reflect_type is {reflect_type!r}; modes are {', '.join(map(repr, _MODES))}, "
            "and reflect_type is 'even' or 'odd'"
        )
    if kwargs:
        raise ValueError(f"pad: mode {mode!r} has no parameter {next(iter(kwargs))!r}")
    if mode in ("constant", "empty"):
        return _pad_by_constant(x, widths, constant_values)
    for axis, (n, width) in enumerate(zip(x.shape, widths)):
        if min(width) < 0:
            raise ValueError(f"pad: widths {width} for axis {axis}; only mode 'constant' takes negative ones")
        if width == (0, 0):
            continue
        if mode == "linear_ramp":
            x = _ramp(x, width, axis, _pair_of(end_values, x.ndim, axis))
        elif mode in _STATISTICS:
            x = _statistic(x, width, axis, mode, stat_length)
        elif reflect_type == "odd" and mode in ("reflect", "symmetric"):
            x = _pad_odd(x, width, axis, mode)
        else:
            source = np.pad(np.arange(n), width, mode)
            x = x[(slice(None),) * axis + (source,)]
    return x


def _pair_of(values: Any, ndim: int, axis: int) -> Tensor:
    """The two values for an axis, of what broadcasts to ``(ndim, 2)``."""
    return broadcast_to(asarray(values), (ndim, 2))[axis]


def _pad_by_constant(x: Tensor, widths: Any, constant_values: Any) -> Tensor:
    for axis, (n, (before, after)) in enumerate(zip(x.shape, widths)):
        if n + min(before, 0) + min(after, 0) < 0:
            raise ValueError(f"pad: widths {(before, after)} crop more from axis {axis} than its length {n}")
    values = asarray(constant_values)
    result: Tensor
    if values.requires_grad:
        # Cropped first, and extended by the values themselves.
        x = _pad(x, widths=tuple([(min(b, 0), min(a, 0)) for b, a in widths]), value=0)
        for axis, (before, after) in enumerate(widths):
            first, last = _pair_of(values, x.ndim, axis)
            lengths = [x.shape[:axis], x.shape[axis + 1 :]]
            parts = [
                broadcast_to(first.astype(x.dtype), (*lengths[0], max(before, 0), *lengths[1])),
                x,
                broadcast_to(last.astype(x.dtype), (*lengths[0], max(after, 0), *lengths[1])),
            ]
            x = concatenate(parts, axis)
        return x
    if values.ndim == 0:
        result = _pad(x, widths=widths, value=values.item())
        return result
    # One axis after the other, since later axes fill the corners, as in NumPy.
    for axis, sides in enumerate(np.broadcast_to(values._array, (x.ndim, 2)).tolist()):
        for side, value in enumerate(sides):
            one = [(0, 0)] * x.ndim
            one[axis] = (widths[axis][0], 0) if side == 0 else (0, widths[axis][1])
            x = _pad(x, widths=tuple(one), value=value)
    return x


def _rounded(values: Any, dtype: Any) -> Any:
    """Made elements in the dtype of the array: integers are rounded."""
    return values.round().astype(dtype) if dtype.kind in "iu" and values.dtype.kind == "f" else values.astype(dtype)


def _ramp(x: Tensor, width: tuple[int, int], axis: int, ends: Tensor) -> Tensor:
    """From the end value, in equal steps, to the outermost element."""
    before = (slice(None),) * axis
    parts = [x]
    for side, (count, end) in enumerate(zip(width, ends)):
        share = np.arange(1, count + 1) / max(count, 1)  # 1 at the outer end
        share = (share[::-1] if side == 0 else share).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
        edge = x[(*before, slice(0, 1) if side == 0 else slice(x.shape[axis] - 1, None))]
        ramp = edge + (end - edge) * share
        if x.dtype.kind in "iu":  # as NumPy, which rounds means, but not ramps
            ramp = floor(ramp)
        ramp = ramp.astype(x.dtype, copy=False)
        parts = [ramp, *parts] if side == 0 else [*parts, ramp]
    return concatenate(parts, axis)


def _statistic(x: Tensor, width: tuple[int, int], axis: int, mode: str, stat_length: Any) -> Tensor:
    n = x.shape[axis]
    lengths = (n, n)
    if stat_length is not None:
        table = np.broadcast_to(np.asarray(raw(stat_length)), (x.ndim, 2))[axis]
        if (table < 1).any():
            raise ValueError(f"pad: stat_length is {stat_length!r}; lengths must be at least 1")
        lengths = (min(int(table[0]), n), min(int(table[1]), n))
    before = (slice(None),) * axis
    sides = []
    for count, part in zip(width, (slice(0, lengths[0]), slice(n - lengths[1], n))):
        value = _STATISTICS[mode](x[(*before, part)], axis=axis, keepdims=True)
        sides.append(broadcast_to(_rounded(value, x.dtype), (*x.shape[:axis], count, *x.shape[axis + 1 :])))
    return concatenate([sides[0], x, sides[1]], axis)


def _pad_odd(x: Tensor, width: tuple[int, int], axis: int, mode: str) -> Tensor:
    """Reflections at the outermost elements as points; again and again, if the array is shorter than the width."""
    before = (slice(None),) * axis
    left, right = width
    skip = 1 if mode == "reflect" else 0
    while left > 0 or right > 0:
        n = x.shape[axis]
        if n == 1 and mode == "reflect":  # nothing beside the point: it is repeated
            return concatenate([x] * (1 + left + right), axis)
        most = n - skip
        parts = [x]
        if left > 0:
            count = min(left, most)
            mirrored = np.flip(x[(*before, slice(skip, skip + count))], axis)
            parts.insert(0, 2 * x[(*before, slice(0, 1))] - mirrored)
            left -= count
        if right > 0:
            count = min(right, most)
            mirrored = np.flip(x[(*before, slice(n - skip - count, n - skip))], axis)
            parts.append(2 * x[(*before, slice(n - 1, n))] - mirrored)
            right -= count
        x = concatenate(parts, axis)
    return x


def _pad_by_function(x: Tensor, widths: Any, function: Any, kwargs: dict[str, Any]) -> Tensor:
    """NumPy's protocol: the function changes each padded vector in place."""
    x = _pad(x, widths=widths, value=0)
    for axis in range(x.ndim):
        rows = moveaxis(x, axis, -1)
        changed = rows + np.zeros((), x.dtype)
        for slot in np.ndindex(*rows.shape[:-1]):
            vector = changed[slot] + np.zeros((), x.dtype)
            function(vector, widths[axis], axis, kwargs)
            changed[slot] = vector
        x = moveaxis(changed, -1, axis)
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
    counts = (reps,) if isinstance(reps, (int, np.integer)) else tuple([operator.index(n) for n in reps])
    ndim = max(x.ndim, len(counts))
    lengths = (1,) * (ndim - x.ndim) + x.shape
    counts = (1,) * (ndim - len(counts)) + tuple(counts)
    # (n1, n2) -> (1, n1, 1, n2) -> (r1, n1, r2, n2) -> (r1 n1, r2 n2)
    apart = reshape(x, tuple([k for n in lengths for k in (1, n)]))
    many = broadcast_to(apart, tuple([k for r, n in zip(counts, lengths) for k in (r, n)]))
    return reshape(many, tuple([r * n for r, n in zip(counts, lengths)]))
