"""Padding as PyTorch writes it: a flat list of widths, from the last axis backwards."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..kernels.order import memory_order
from ..ops.conversion import asarray
from ..ops.padding import pad as pad_array
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .operands import check_choice, number, operand

__all__ = ["pad"]

# Modes that copy, and what NumPy calls them.
_COPYING = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}

Widths = tuple[tuple[int, int], ...]


@primitive(name="pad")
def _extend(x: np.ndarray, *, widths: Widths, mode: str) -> np.ndarray:
    """`x` with copies of its elements around it; widths are not negative."""
    order = memory_order(x)
    inverse = tuple(np.argsort(order).tolist())
    table = [widths[axis] for axis in order]
    return np.pad(x.transpose(order), table, mode).transpose(inverse)  # type: ignore[call-overload]


@primitive(name="pad_transposed")
def _collect(g: np.ndarray, *, widths: Widths, mode: str) -> np.ndarray:
    """The transpose of `_extend`: what was copied from an element is added to it, line by line, last axis first."""
    total = g.astype(np.float32 if g.dtype == np.float16 else g.dtype, copy=True)
    for axis in reversed(range(g.ndim)):
        before, after = widths[axis]
        lines = np.moveaxis(total, axis, 0)
        n = len(lines) - before - after
        if n < len(lines):
            source = before + np.pad(np.arange(n), (before, after), mode)  # type: ignore[call-overload]
            for j in (*range(before), *range(before + n, len(lines))):
                lines[source[j]] += lines[j]
            total = np.moveaxis(lines[before : before + n], 0, axis)
    return total.astype(g.dtype, copy=True)


_extend.defvjp(x=lambda g, widths, mode: _collect(g, widths=widths, mode=mode))
_collect.defvjp(g=lambda g_x, widths, mode: _extend(g_x, widths=widths, mode=mode))


def _widths(pad: Any, ndim: int) -> Widths:
    """One pair (before, after) for each axis, the first one first."""
    try:
        if isinstance(pad, (str, bytes, dict)):
            raise TypeError
        flat = [operator.index(width) for width in pad]
    except TypeError:
        raise TypeError(f"pad: argument 'pad' is {pad!r}; it must be a sequence of integers") from None
    if len(flat) % 2 or len(flat) > 2 * ndim:
        raise ValueError(
            f"pad: argument 'pad' has {len(flat)} entries ({pad!r}), but argument 'input' has {ndim} axes; it must "
            "hold two for each axis that is padded, the last axis first"
        )
    pairs = [(flat[k], flat[k + 1]) for k in range(0, len(flat), 2)]
    return ((0, 0),) * (ndim - len(pairs)) + tuple(pairs[::-1])


def _check_copies(axis: int, n: int, before: int, after: int, mode: str) -> None:
    """Raise ValueError unless all new elements have one to be copied from."""
    largest, left = max(before, after), n + min(before, 0) + min(after, 0)
    if mode == "replicate":
        fits, rule = largest <= 0 or n > 0, "there must be an element to copy"
    elif mode == "reflect":
        fits, rule = largest <= max(n - 1, 0), f"they must be less than its length {n}"
    elif mode == "symmetric":
        fits, rule = largest <= n, f"they must be at most its length {n}"
    else:
        fits, rule = largest <= left, f"they must be at most what cropping leaves of it, {left}"
    if not fits:
        raise ValueError(
            f"pad: argument 'pad' has widths {(before, after)} for axis {axis} of length {n}; in mode {mode!r} {rule}"
        )


def pad(input: ArrayLike, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Extend an array, or crop it.

    Parameters
    ----------
    input : array_like
        Of any number of axes.
    pad : sequence of int
        ``(before, after)`` of the last axis, then of the one before it, and so on: ``(left, right, top, bottom)``
        for images. Negative widths crop.
    mode : {"constant", "reflect", "replicate", "circular", "symmetric"}
        What new elements are: `value`; the mirror image, without or with the edge itself ("reflect", "symmetric");
        the edge; or the elements from the other end.
    value : float, optional
        For mode "constant" only; by default 0.

    Returns
    -------
    Tensor, dtype of `input`

    Raises
    ------
    TypeError
        If `pad` is not made of integers.
    ValueError
        If `pad` has an odd number of entries, or more than two for each axis; if it crops more than there is; if the
        mode is unknown; if widths are too large for it: "reflect" needs widths less than the length of the axis,
        "symmetric" at most that, "circular" at most what cropping leaves of it; if `value` does not fit the
        mode or the dtype.

    See Also
    --------
    autograd_conv.pad : NumPy's function, with a pair for each axis from the first one on.

    Notes
    -----
    Cost: one copy of the result, and another one if widths of both signs meet in a mode that copies. Linear; the
    gradient adds up what was copied from the same element, and is zero for what was cropped. Nothing is saved for it.

    With a negative width on one side and a positive one on the other, "circular" crops first and then repeats what is
    left; the others mirror or repeat the elements as they stood. This is as in PyTorch, where "symmetric" and
    arbitrary numbers of axes do not exist.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> for mode in ("constant", "reflect", "replicate", "circular", "symmetric"):
    ...     print(nn.pad([1.0, 2, 3, 4], (2, 1), mode).data)
    [0. 0. 1. 2. 3. 4. 0.]
    [3. 2. 1. 2. 3. 4. 3.]
    [1. 1. 1. 2. 3. 4. 4.]
    [3. 4. 1. 2. 3. 4. 1.]
    [2. 1. 1. 2. 3. 4. 4.]
    >>> nn.pad([[1, 2, 3], [4, 5, 6]], (-1, 0, 0, 1)).data
    array([[2, 3],
           [5, 6],
           [0, 0]])
    """
    x = asarray(operand("pad", "input", input))
    value = 0.0 if value is None else value
    if not isinstance(value, complex) or x.dtype.kind != "c":
        number("pad", "value", value)
    check_choice("pad", "mode", mode, ("constant", *_COPYING))
    widths = _widths(pad, x.ndim)
    for axis, (n, (before, after)) in enumerate(zip(x.shape, widths)):
        if n + min(before, 0) + min(after, 0) < 0:
            raise ValueError(
                f"pad: argument 'pad' has widths {(before, after)} for axis {axis}, which crop more than its length {n}"
            )
    if mode == "constant":
        if x.dtype.kind in "biu" and np.asarray(value).astype(x.dtype) != value:
            raise ValueError(f"pad: argument 'value' is {value!r}, which dtype {x.dtype} of 'input' cannot hold")
        return pad_array(x, widths, constant_values=value)
    if value != 0:
        raise ValueError(f"pad: argument 'value' is {value!r}, but mode {mode!r} takes none; it must be 0")
    for axis, (n, (before, after)) in enumerate(zip(x.shape, widths)):
        _check_copies(axis, n, before, after, mode)
    crops = tuple([(min(before, 0), min(after, 0)) for before, after in widths])
    grows = tuple([(max(before, 0), max(after, 0)) for before, after in widths])
    none = ((0, 0),) * x.ndim
    if mode == "circular" and crops != none:
        x = pad_array(x, crops)
    if grows != none or crops == none:
        x = _extend(x, widths=grows, mode=_COPYING[mode])
    if mode != "circular" and crops != none:
        x = pad_array(x, crops)
    return x
