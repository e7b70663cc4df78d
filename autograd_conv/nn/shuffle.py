"""Rearranging channels: between channels and space, and among themselves. Reshapes and transpositions throughout."""

from __future__ import annotations

from typing import Any

from ..ops.conversion import asarray
from ..ops.shape import reshape, transpose
from ..tensor import ArrayLike, Tensor
from .layout import Layout
from .operands import count, operand
from .rank import channel_axis

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _parse(function: str, x: Tensor, layout: str) -> tuple[tuple[int, ...], int, int, int, bool]:
    """Leading axes, channels, height and width of `x`, and whether channels are last."""
    last = Layout.of(function, 2, layout).channels_last
    if x.ndim < 3:
        names = "H, W, C" if last else "C, H, W"
        raise ValueError(
            f"{function}: argument 'input' has {x.ndim} axes (shape {x.shape}); it must have at least 3 (..., {names})"
        )
    if last:
        height, width, channels = x.shape[-3:]
    else:
        channels, height, width = x.shape[-3:]
    return x.shape[:-3], channels, height, width, last


def _order(lead: int, order: tuple[int, ...]) -> tuple[int, ...]:
    """A permutation that leaves the first `lead` axes where they are."""
    return (*range(lead), *[lead + axis for axis in order])


def pixel_shuffle(input: ArrayLike, upscale_factor: int, *, layout: str = "NCHW") -> Tensor:
    """Spread channels over space: each pixel becomes a square of ``r * r``.

    Parameters
    ----------
    input : array_like, shape (..., C * r * r, H, W); (..., H, W, C * r * r) with ``layout="NHWC"``
    upscale_factor : int
        ``r``, at least 1.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (..., C, H * r, W * r), or as `layout` says
        Channel ``(c * r + i) * r + j`` of a pixel becomes channel ``c`` of pixel ``(i, j)`` of its square, in both
        layouts.

    Raises
    ------
    TypeError
        If `upscale_factor` is not an integer.
    ValueError
        If it is less than 1, its square does not divide the number of channels, or the rank is wrong.

    See Also
    --------
    pixel_unshuffle : the inverse, and so the transpose.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.pixel_shuffle([[[1.0, 2]], [[3, 4]], [[5, 6]], [[7, 8]]], 2).data
    array([[[1., 3., 2., 4.],
            [5., 7., 6., 8.]]])
    """
    x = asarray(operand("pixel_shuffle", "input", input))
    r = count("pixel_shuffle", "upscale_factor", upscale_factor)
    lead, channels, height, width, last = _parse("pixel_shuffle", x, layout)
    if channels % (r * r):
        raise ValueError(
            f"pixel_shuffle: argument 'input' (shape {x.shape}) has {channels} channels, but argument "
            f"'upscale_factor' is {r}, whose square {r * r} must divide them"
        )
    c, n = channels // (r * r), len(lead)
    if last:
        parts = transpose(reshape(x, (*lead, height, width, c, r, r)), _order(n, (0, 3, 1, 4, 2)))
        return reshape(parts, (*lead, height * r, width * r, c))
    parts = transpose(reshape(x, (*lead, c, r, r, height, width)), _order(n, (0, 3, 1, 4, 2)))
    return reshape(parts, (*lead, c, height * r, width * r))


def pixel_unshuffle(input: ArrayLike, downscale_factor: int, *, layout: str = "NCHW") -> Tensor:
    """Gather squares of ``r * r`` pixels into the channels of one: the inverse of `pixel_shuffle`.

    Parameters
    ----------
    input : array_like, shape (..., C, H * r, W * r); (..., H * r, W * r, C) with ``layout="NHWC"``
    downscale_factor : int
        ``r``, at least 1.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (..., C * r * r, H, W), or as `layout` says

    Raises
    ------
    TypeError
        If `downscale_factor` is not an integer.
    ValueError
        If it is less than 1, does not divide height and width, or the rank is wrong.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.pixel_unshuffle([[[1.0, 3, 2, 4], [5, 7, 6, 8]]], 2).data
    array([[[1., 2.]],
           [[3., 4.]],
           [[5., 6.]],
           [[7., 8.]]])
    """
    x = asarray(operand("pixel_unshuffle", "input", input))
    r = count("pixel_unshuffle", "downscale_factor", downscale_factor)
    lead, c, height, width, last = _parse("pixel_unshuffle", x, layout)
    if height % r or width % r:
        raise ValueError(
            f"pixel_unshuffle: argument 'input' (shape {x.shape}) has height {height} and width {width}, but argument "
            f"'downscale_factor' is {r}, which must divide both"
        )
    height, width, n = height // r, width // r, len(lead)
    if last:
        parts = transpose(reshape(x, (*lead, height, r, width, r, c)), _order(n, (0, 2, 4, 1, 3)))
        return reshape(parts, (*lead, height, width, c * r * r))
    parts = transpose(reshape(x, (*lead, c, height, r, width, r)), _order(n, (0, 2, 4, 1, 3)))
    return reshape(parts, (*lead, c * r * r, height, width))


def channel_shuffle(input: ArrayLike, groups: int, *, layout: Any = "NCHW") -> Tensor:
    """Deal out channels: from groups that lie one after the other to one channel of each group in turn.

    Parameters
    ----------
    input : array_like, shape (N, C, ...); (N, ..., C) with channels last
        Any number of spatial axes, at least one.
    groups : int
        At least 1; divides ``C``.
    layout : {"NCHW", "NHWC"}
        Where channels stand, for any number of spatial axes; ``"NCW"``, ``"NCDHW"`` and their likes too.

    Returns
    -------
    Tensor, same shape
        Channel ``k * groups + g`` is channel ``g * (C // groups) + k`` of the input.

    Raises
    ------
    TypeError
        If `groups` is not an integer.
    ValueError
        If it is less than 1 or does not divide the number of channels, or the rank is wrong.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.channel_shuffle([[[1.0], [2], [3], [4], [5], [6]]], 2).data.ravel()
    array([1., 4., 2., 5., 3., 6.])
    """
    x = asarray(operand("channel_shuffle", "input", input))
    groups = count("channel_shuffle", "groups", groups)
    axis = channel_axis("channel_shuffle", layout, x.shape)
    channels = x.shape[axis]
    if channels % groups:
        raise ValueError(
            f"channel_shuffle: argument 'input' (shape {x.shape}) has {channels} channels, but argument 'groups' is "
            f"{groups}, which must divide them"
        )
    parts = reshape(x, (*x.shape[:axis], groups, channels // groups, *x.shape[axis + 1 :]))
    order = (*range(axis), axis + 1, axis, *range(axis + 2, x.ndim + 1))
    return reshape(transpose(parts, order), x.shape)
