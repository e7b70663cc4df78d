"""Where channels stand: between what users hand in and what kernels compute on.

Kernels have one form only: channels last, three spatial axes, a batch axis,

    x, y  (N, D, H, W, C)        w  (KD, KH, KW, C // G, O)

Users have channels first or last, one to three spatial axes, and may leave the batch axis away. Going from one
to the other is a transposition and a reshape that inserts axes of length one: always a view, never a copy. So
a result that a user sees as (N, C, H, W) lies in memory as (N, H, W, C), element-wise functions keep that
order, and the next layer finds what its kernel wants.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import AXES

__all__ = ["Layout"]

_NAMES = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}


class Layout(NamedTuple):
    """How many spatial axes arrays have, and whether channels stand behind them.

    Attributes
    ----------
    axes : int
        Spatial axes, from one to three.
    channels_last : bool
    """

    axes: int
    channels_last: bool

    @classmethod
    def of(cls, function: str, axes: int, name: Any) -> Layout:
        """Parse what a user gave: ``"NCHW"`` or ``"NHWC"``, or its one- and three-dimensional likes.

        Raises
        ------
        ValueError
            If it is neither.
        """
        names = _NAMES[axes]
        if name not in names:
            raise ValueError(f"{function}: argument 'layout' is {name!r}; it must be {names[0]!r} or {names[1]!r}")
        return cls(axes, name == names[1])

    def check_rank(self, function: str, argument: str, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless `shape` is that of a batch, or of one element of it."""
        if len(shape) not in (self.axes + 1, self.axes + 2):
            name = ", ".join(_NAMES[self.axes][self.channels_last])
            raise ValueError(
                f"{function}: argument {argument!r} has {len(shape)} axes (shape {shape}); it must have "
                f"{self.axes + 2} axes ({name}), or {self.axes + 1} without the batch axis"
            )

    def channels(self, shape: tuple[int, ...]) -> int:
        """The number of channels of an array of that shape."""
        return shape[-1] if self.channels_last else shape[-1 - self.axes]

    def batch(self, shape: tuple[int, ...]) -> int:
        """The number of images of an array of that shape."""
        return shape[0] if len(shape) == self.axes + 2 else 1

    def spatial(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial part of the shape of an array."""
        return shape[-1 - self.axes : -1] if self.channels_last else shape[-self.axes :]

    def canonical(self, array: np.ndarray) -> np.ndarray:
        """A view as (N, D, H, W, C)."""
        order, target = _canonical_form(self, array.shape)
        return (array if order is None else array.transpose(order)).reshape(target)

    def restore(self, array: np.ndarray, ndim: int) -> np.ndarray:
        """The view of `array`, shape (N, D, H, W, C), that a user sees: `ndim` axes."""
        target, order = _restored_form(self, array.shape, ndim)
        array = array.reshape(target)
        return array if order is None else array.transpose(order)

    def canonical_kernel(self, w: np.ndarray) -> np.ndarray:
        """A view of a kernel, OIHW or HWIO, as (KD, KH, KW, C // G, O)."""
        if not self.channels_last:
            w = w.transpose(*range(2, 2 + self.axes), 1, 0)  # OIHW -> HWIO
        return w.reshape((1,) * (AXES - self.axes) + w.shape)

    def restore_kernel(self, w: np.ndarray) -> np.ndarray:
        """A kernel of shape (KD, KH, KW, C // G, O) as a user sees it; C-contiguous.

        Kernels are parameters, which lie in row-major order: a copy here, once, saves the optimizer a walk
        through two memory orders for each of its passes.
        """
        if self.channels_last:
            return w.reshape(w.shape[AXES - self.axes :])
        w = kernels.transposition.outputs_first(w)  # HWIO -> OIHW
        return w.reshape(w.shape[:2] + w.shape[2 + AXES - self.axes :])


# The same few shapes come again and again.


@lru_cache(maxsize=1024)
def _canonical_form(layout: Layout, shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """The order of axes, unless it stays, and then the shape that make an array of shape `shape` canonical."""
    batch = shape[0] if len(shape) == layout.axes + 2 else 1
    target = (batch, *(1,) * (AXES - layout.axes), *layout.spatial(shape), layout.channels(shape))
    if layout.channels_last:
        return None, target
    first = len(shape) - 1 - layout.axes  # where channels stand
    return (*range(first), *range(first + 1, len(shape)), first), target


@lru_cache(maxsize=1024)
def _restored_form(layout: Layout, shape: tuple[int, ...], ndim: int) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """The shape, and then the order of axes, unless it stays, that make a canonical array one of `ndim` axes."""
    target = shape[: ndim - layout.axes - 1] + shape[1 + AXES - layout.axes :]
    if layout.channels_last:
        return target, None
    return target, (*range(ndim - 1 - layout.axes), ndim - 1, *range(ndim - 1 - layout.axes, ndim - 1))
