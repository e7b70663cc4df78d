"""Resizing: separable linear maps, one table for each spatial axis."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ..kernels.geometry import per_axis
from ..kernels.tables import AxisMap, antialias_map, area_map, cubic_map, linear_map, nearest_map
from ..tensor import ArrayLike, Tensor
from .operands import apply, check_choice, check_flags, check_floating, check_numeric, operand
from .rank import channel_axis
from .resampling import resample

__all__ = ["interpolate"]

# Spatial axes that a mode is for; None: one to three.
_MODES = {
    "nearest": None,
    "nearest-exact": None,
    "area": None,
    "linear": 1,
    "bilinear": 2,
    "bicubic": 2,
    "trilinear": 3,
}
_ALIGNABLE = ("linear", "bilinear", "bicubic", "trilinear")


def _factors(scale_factor: Any, axes: int) -> tuple[float, ...]:
    """One positive, finite factor for each axis."""
    entries = list(scale_factor) if hasattr(scale_factor, "__len__") else [scale_factor] * axes
    if len(entries) != axes:
        raise ValueError(
            f"interpolate: argument 'scale_factor' has {len(entries)} entries ({scale_factor!r}), but argument 'input' "
            f"has {axes} spatial axes; it must be one number, or one for each of them"
        )
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, numbers.Real):
            raise TypeError(f"interpolate: argument 'scale_factor' is {scale_factor!r}; it must be made of numbers")
        if not 0 < float(entry) < math.inf:
            raise ValueError(
                f"interpolate: argument 'scale_factor' is {scale_factor!r}; it must be positive and finite"
            )
    return tuple([float(entry) for entry in entries])


def _check_mode(mode: Any, axes: int, shape: tuple[int, ...], align_corners: Any, antialias: bool) -> None:
    """Raise ValueError unless these settings go together."""
    check_choice("interpolate", "mode", mode, tuple(_MODES))
    wanted = _MODES[mode]
    if axes > 3 or wanted not in (None, axes):
        need = "1 to 3 spatial axes" if wanted is None else f"{wanted} spatial ax{'i' if wanted == 1 else 'e'}s"
        raise ValueError(
            f"interpolate: argument 'mode' is {mode!r}, which is for {need}, but argument 'input' (shape {shape}) has "
            f"{axes}"
        )
    if align_corners is not None and mode not in _ALIGNABLE:
        raise ValueError(
            f"interpolate: argument 'align_corners' is {align_corners!r}, but argument 'mode' is {mode!r}; only "
            f"{', '.join(repr(m) for m in _ALIGNABLE)} take it"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            f"interpolate: argument 'antialias' is {antialias!r}, but argument 'mode' is {mode!r}; only 'bilinear' and "
            "'bicubic' take it"
        )


def _axis_map(
    mode: str, size: int, out: int, factor: float | None, align_corners: bool, antialias: bool, single: bool
) -> AxisMap:
    if mode in ("nearest", "nearest-exact"):
        return nearest_map(size, out, factor, mode == "nearest-exact", single)
    if mode == "area":
        return area_map(size, out)
    if antialias:
        return antialias_map(size, out, factor, align_corners, mode == "bicubic")
    make = cubic_map if mode == "bicubic" else linear_map
    return make(size, out, factor, align_corners)


def interpolate(
    input: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Resize along the spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, ...); (N, ..., C) with channels last
        One to three spatial axes, each of at least one element. Floating-point; for the modes "nearest" and
        "nearest-exact" also integer.
    size : int or sequence of int, optional
        The spatial shape of the result.
    scale_factor : float or sequence of float, optional
        Or by how much to multiply that of the input; rounded down. Give one of the two.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
        The element that the first edge of an output falls into, or its centre; straight lines along one, two or
        three axes; cubic convolution along two (Keys 1981, with :math:`a = -3/4`); averages over what an output
        covers, as in adaptive average pooling.
    align_corners : bool, optional
        For "linear", "bilinear", "trilinear", "bicubic". True: the centres of the outermost outputs lie on those of
        the outermost elements. False, or None: outputs and elements are equal parts of the same interval.
    recompute_scale_factor : bool, optional
        With `scale_factor`: use it only to find the size of the result, and then the ratio of the sizes. By default it
        is used as it stands, which matters where it does not divide evenly.
    antialias : bool
        For "bilinear" and "bicubic" (then with :math:`a = -1/2`): where the result is smaller, widen the kernel so
        that every element counts.
    layout : {"NCHW", "NHWC"}
        Where channels stand, for any number of spatial axes; ``"NCW"``, ``"NCDHW"`` and their likes too.

    Returns
    -------
    Tensor, shape (N, C, ...) or (N, ..., C), dtype of `input`
        float16 is computed in float32.

    Raises
    ------
    TypeError
        If the dtype is not supported, or a setting of the wrong type.
    ValueError
        If not just one of `size` and `scale_factor` is given, the mode is not for that many spatial axes, settings do
        not go together or are out of range, or a spatial axis of the input or of the result would be empty.

    Notes
    -----
    With scale :math:`s` (elements for each output), output :math:`i` lies at :math:`s (i + 1/2) - 1/2`, or with
    `align_corners` at :math:`i (n - 1) / (m - 1)`. Along each axis this is a sparse matrix. Axes are taken one after
    the other. Cost: one product for each entry of a matrix and each element of the other
    axes. Nothing is saved for the gradient, which is the transposed matrices in turn; derivatives of every order
    exist.

    An element that has weight 0 in an output does not count there, also if it is infinite or NaN.

    Places of the two nearest modes are computed in the dtype of the data (float32 for float16 and integers), as in
    PyTorch: where an edge falls exactly onto another, rounding decides.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> row = [[[0.0, 4.0]]]
    >>> nn.interpolate(row, scale_factor=2).data
    array([[[0., 0., 4., 4.]]])
    >>> nn.interpolate(row, size=4, mode="linear").data
    array([[[0., 1., 3., 4.]]])
    >>> nn.interpolate(row, size=5, mode="linear", align_corners=True).data
    array([[[0., 1., 2., 3., 4.]]])
    """
    check_flags("interpolate", antialias=antialias)
    for argument, flag in (("align_corners", align_corners), ("recompute_scale_factor", recompute_scale_factor)):
        if flag is not None:
            check_flags("interpolate", **{argument: flag})
    x = operand("interpolate", "input", input)
    channel = channel_axis("interpolate", layout, x.shape)
    spatial = [axis for axis in range(1, x.ndim) if axis != channel]
    _check_mode(mode, len(spatial), x.shape, align_corners, antialias)
    if mode in ("nearest", "nearest-exact"):
        check_numeric("interpolate", input=x)
    else:
        check_floating("interpolate", input=x)
    sizes = [x.shape[axis] for axis in spatial]
    if min(sizes) == 0:
        raise ValueError(f"interpolate: argument 'input' has shape {x.shape}; no spatial axis may be empty")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: arguments 'size' and 'scale_factor' are {size!r} and {scale_factor!r}; just one of them "
            "must be given"
        )
    factors: tuple[float | None, ...] = (None,) * len(sizes)
    if scale_factor is None:
        if recompute_scale_factor:
            raise ValueError(
                "interpolate: argument 'recompute_scale_factor' is for 'scale_factor', but 'size' is given"
            )
        outs = per_axis(size, len(sizes), "interpolate", "size", minimum=1)
    else:
        given = _factors(scale_factor, len(sizes))
        outs = tuple([math.floor(n * factor) for n, factor in zip(sizes, given)])
        if min(outs) < 1:
            raise ValueError(
                f"interpolate: argument 'scale_factor' is {scale_factor!r}, which makes the spatial shape "
                f"{tuple(sizes)} of 'input' {outs}; no axis may become empty"
            )
        if not recompute_scale_factor:
            factors = given
    single = x.dtype.kind != "f" or x.dtype.itemsize < 8
    steps = [
        (axis, _axis_map(mode, n, out, factor, bool(align_corners), bool(antialias), single))
        for axis, n, out, factor in zip(spatial, sizes, outs, factors)
    ]
    result: Tensor = apply(resample, x, steps=tuple(steps))
    return result
