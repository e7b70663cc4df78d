"""Where channels stand in functions for any number of spatial axes, which count them by the rank of their input."""

from __future__ import annotations

from typing import Any

__all__ = ["channel_axis"]

# "NCHW" and "NHWC" say first or last for any number of spatial axes, as the default of a parameter must.
_FIRST = ("NCW", "NCHW", "NCDHW")
_LAST = ("NWC", "NHWC", "NDHWC")


def channel_axis(function: str, layout: Any, shape: tuple[int, ...]) -> int:
    """The axis of the channels of an array (N, C, spatial axes) or (N, spatial axes, C).

    Raises
    ------
    ValueError
        If there is no spatial axis, or `layout` is unknown or that of another rank.

    Examples
    --------
    >>> channel_axis("f", "NCHW", (2, 3, 4, 5)), channel_axis("f", "NHWC", (2, 4, 3))
    (1, 2)
    """
    ndim = len(shape)
    if ndim < 3:
        raise ValueError(
            f"{function}: argument 'input' has {ndim} axes (shape {shape}); it must have at least 3: batch, channels, "
            "and spatial axes"
        )
    names = ["NCHW", "NHWC"] + [row[ndim - 3] for row in (_FIRST, _LAST) if ndim in (3, 5)]
    if not isinstance(layout, str) or layout not in names:
        listed = ", ".join(repr(name) for name in names)
        raise ValueError(
            f"{function}: argument 'layout' is {layout!r}; for an input of {ndim} axes it must be one of {listed}"
        )
    return 1 if layout in _FIRST else ndim - 1
