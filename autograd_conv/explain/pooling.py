"""Maximum and average pooling as products with a routing matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..gradients import grad
from ..tensor import ArrayLike, raw, tensor
from .writing import Page, as_stack, beside, image_shape, named, planes, section

__all__ = ["Pooling", "avg_pool2d", "max_pool2d"]


@dataclass(repr=False)
class Pooling(Page):
    """What `max_pool2d` and `avg_pool2d` return: prints as a page of text.

    Attributes
    ----------
    kind : str
        ``"max"`` or ``"avg"``.
    x, gy : ndarray, shapes (C, H, W), (C, OH, OW)
        What was given.
    y, gx : ndarray
        Output, and gradient of the input.
    S : ndarray, shape (C*OH*OW, C*H*W)
        ``vec(y) = S vec(x)`` and ``vec(gx) = S.T vec(gy)`` (source 002, (4.4) and (4.5)), where vec goes channel by
        channel, and in each column by column. For maxima there is a single 1 in each row.
    mask : ndarray, shape (C, H, W)
        How much of the output each input is: the column sums of S; where windows do not overlap, the M of source 001.
    """

    kind: str
    x: np.ndarray
    gy: np.ndarray
    y: np.ndarray
    gx: np.ndarray
    S: np.ndarray
    mask: np.ndarray

    def _lines(self) -> Iterable[str]:
        yield f"{self.kind}_pool2d of x {image_shape(self.x)} is y {image_shape(self.y)}"
        yield "Zeros that stand for nothing are dots; names like y1,2 count row, column."
        yield from section("1. Forward", beside(*planes("x", self.x), *planes("y", self.y)))
        what = (
            "a single 1, at the largest element"
            if self.kind == "max"
            else "one divided by their number, at all elements"
        )
        order = [(c, i, j) for c in range(len(self.y)) for j in range(self.y.shape[2]) for i in range(self.y.shape[1])]
        several = len(self.y) > 1
        labels = [f"y[{c + 1}]{i + 1},{j + 1}" if several else f"y{i + 1},{j + 1}" for c, i, j in order]
        yield from section(
            "2. The routing matrix S: vec(y) = S vec(x) (source 002)",
            f"Row by row a window: {what}. vec goes column by column.",
            named("S", self.S, dot=True, rows=labels),
        )
        yield from section(
            "3. Backward: vec(gx) = S.T vec(gy) (sources 001, 002)",
            "Each element of gy goes back to where y came from; where windows overlap, they add up.",
            beside(*planes("gy", self.gy), *planes("gx", self.gx), *planes("mask", self.mask, dot=True)),
        )


def _columns_first(stack: np.ndarray) -> np.ndarray:
    """vec of (C, H, W): channel by channel, and in each column by column."""
    return stack.transpose(0, 2, 1).ravel()


def _pooling(kind: str, x: ArrayLike, gy: ArrayLike | None, function: Any, *args: Any, **settings: Any) -> Pooling:
    values = np.asarray(raw(x))
    if values.ndim not in (2, 3):
        raise ValueError(
            f"explain.{kind}_pool2d: argument 'x' has shape {values.shape}; it must be (H, W) or (C, H, W)"
        )
    values = as_stack(values, 3)
    image = tensor(values.astype(np.float64), requires_grad=True)
    y = function(image, *args, **settings)
    rows = []
    for c, j, i in np.ndindex(y.shape[0], y.shape[2], y.shape[1]):
        unit = np.zeros(y.shape)
        unit[c, i, j] = 1
        rows.append(_columns_first(grad(y, image, unit, retain_graph=True)[0].data))
    S = np.array(rows).reshape(y.size, values.size)
    if gy is None:
        gy = np.arange(1, y.size + 1).reshape(y.shape)
    seed = as_stack(np.asarray(raw(gy)), 3)
    if seed.shape != y.shape:
        raise ValueError(f"explain.{kind}_pool2d: argument 'gy' has shape {seed.shape}; it must be {y.shape}, as y")
    gx, out = grad(y, image, seed)[0].numpy(), y.numpy()
    if values.dtype.kind in "iu" and kind == "max":
        out, S = out.astype(values.dtype), S.astype(int)
        gx = gx.astype(seed.dtype) if seed.dtype.kind in "iu" else gx
    channels, height, width = values.shape
    mask = S.sum(axis=0).reshape(channels, width, height).transpose(0, 2, 1)
    return Pooling(kind=kind, x=values, gy=seed, y=out, gx=gx, S=S, mask=mask)


def max_pool2d(
    x: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    gy: ArrayLike | None = None,
    *,
    ties: str = "row",
) -> Pooling:
    """Explain maximum pooling: the matrix S that routes the winners forward and their gradients back.

    Parameters
    ----------
    x : array_like, shape (H, W) or (C, H, W)
        One small image.
    kernel_size, stride, padding, dilation, ceil_mode, ties
        As in `nn.max_pool2d`.
    gy : array_like, shape (OH, OW) or (C, OH, OW), optional
        Gradient of a loss with respect to the output; by default 1, 2, 3, ...

    Returns
    -------
    Pooling
        Prints as a page of text; has the matrices as attributes.

    Raises
    ------
    TypeError, ValueError
        As `nn.max_pool2d`.

    Examples
    --------
    >>> page = max_pool2d([[1, 2, 0, 1], [4, 3, 1, 5]], 2)
    >>> page.S
    array([[0, 1, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 1]])
    >>> page.gx[0]
    array([[0, 0, 0, 0],
           [1, 0, 0, 2]])
    """
    settings = {"padding": padding, "dilation": dilation, "ceil_mode": ceil_mode, "ties": ties}
    return _pooling("max", x, gy, nn.max_pool2d, kernel_size, stride, **settings)


def avg_pool2d(
    x: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    gy: ArrayLike | None = None,
) -> Pooling:
    """Explain average pooling: the matrix that averages, and its transpose that hands gradients out in equal parts.

    Parameters
    ----------
    x : array_like, shape (H, W) or (C, H, W)
        One small image.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `nn.avg_pool2d`.
    gy : array_like, shape (OH, OW) or (C, OH, OW), optional
        Gradient of a loss with respect to the output; by default 1, 2, 3, ...

    Returns
    -------
    Pooling
        Prints as a page of text; has the matrices as attributes.

    Raises
    ------
    TypeError, ValueError
        As `nn.avg_pool2d`.

    Examples
    --------
    >>> avg_pool2d([[1, 2, 0, 1], [4, 3, 1, 5]], 2).gx[0]
    array([[0.25, 0.25, 0.5 , 0.5 ],
           [0.25, 0.25, 0.5 , 0.5 ]])
    """
    settings = {"padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return _pooling("avg", x, gy, nn.avg_pool2d, kernel_size, stride, **settings)
