"""Fractional max-pooling (B. Graham, 2014): to a size that need not divide the input's, over random regions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import AXES, Axes, per_axis
from ..tensor import ArrayLike, raw
from .layout import Layout
from .operands import apply, check_flags, check_numeric, operand
from .places import region_maximum, volume
from .pooling import pool_layout

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]


class _Regions(NamedTuple):
    """What the regions are made from.

    Attributes
    ----------
    samples : ndarray, shape (planes, 3)
        A random number for each axis of each plane; 0 where there is no axis.
    taps : elements of a region
    out : regions
    """

    samples: np.ndarray
    taps: Axes
    out: Axes


def _tables(x: np.ndarray, regions: _Regions) -> Any:
    return tuple(
        [
            kernels.regions.fractional_table(regions.samples[:, axis], x.shape[1 + axis], o, k)
            for axis, (o, k) in enumerate(zip(regions.out, regions.taps))
        ]
    )


_fractional_max, _fractional_max_and_indices = region_maximum("fractional_max_pool", _tables)


def _output_size(
    function: str, sizes: tuple[int, ...], kernel: tuple[int, ...], output_size: Any, output_ratio: Any
) -> tuple[int, ...]:
    """The number of regions along each axis, from the one of the two arguments that is given."""
    n = len(sizes)
    if (output_size is None) == (output_ratio is None):
        raise ValueError(
            f"{function}: argument 'output_size' is {output_size!r} and argument 'output_ratio' is {output_ratio!r}; "
            "exactly one of them must be given"
        )
    if output_size is not None:
        out = per_axis(output_size, n, function, "output_size", minimum=0)
    else:
        ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        if len(ratios) == 1:
            ratios *= n
        if len(ratios) != n:
            raise ValueError(
                f"{function}: argument 'output_ratio' is {output_ratio!r}; it must be one number or {n} of them, one "
                "for each spatial axis"
            )
        for ratio in ratios:
            if isinstance(ratio, bool) or not isinstance(ratio, (int, float, np.integer, np.floating)):
                raise TypeError(f"{function}: argument 'output_ratio' is {output_ratio!r}; it must be made of numbers")
            if not 0 < ratio <= 1:
                raise ValueError(
                    f"{function}: argument 'output_ratio' is {output_ratio!r}; it must be above 0 and at most 1"
                )
        out = tuple([int(size * float(ratio)) for size, ratio in zip(sizes, ratios)])
    for axis in range(n):
        if out[axis] + kernel[axis] - 1 > sizes[axis]:
            raise ValueError(
                f"{function}: {out[axis]} regions of {kernel[axis]} elements do not fit on spatial axis {axis}, where "
                f"argument 'input' has {sizes[axis]}; output size + kernel size - 1 must not be more"
            )
    return out


def _samples(
    function: str, layout: Layout, x: Any, given: ArrayLike | None, rng: np.random.Generator | int | None
) -> np.ndarray:
    """Random numbers of shape (N * C, 3), in the dtype that steps are computed in."""
    axes = layout.axes
    batch = x.shape[0] if x.ndim == axes + 2 else 1
    shape = (batch, layout.channels(x.shape), axes)
    single = x.dtype.kind == "f" and x.dtype.itemsize <= 4
    dtype = np.dtype(np.float32 if single else np.float64)
    if given is None:
        source = np.random.default_rng(rng)
        samples: np.ndarray = source.random(shape, np.float32) if single else source.random(shape)
    else:
        samples = np.asarray(raw(operand(function, "_random_samples", given)))
        if samples.dtype.kind not in "fiu":
            raise TypeError(f"{function}: argument '_random_samples' has dtype {samples.dtype}; it must be real")
        if samples.shape != shape:
            raise ValueError(
                f"{function}: argument '_random_samples' has shape {samples.shape}, but argument 'input' (shape "
                f"{x.shape}) needs {shape}: one number for each image, channel and spatial axis"
            )
        outside = ~((samples >= 0) & (samples < 1))
        if outside.any():
            raise ValueError(
                f"{function}: argument '_random_samples' holds {samples[outside][0]}; it must be at least 0 and less "
                "than 1"
            )
        samples = samples.astype(dtype)
    samples = samples.reshape(-1, axes)
    if axes == 2:
        samples = samples[:, ::-1]  # PyTorch's order: width, height in two dimensions; depth first in three
    return np.concatenate([np.zeros((samples.shape[0], AXES - axes), dtype), samples], axis=1)


def _fractional(
    function: str,
    axes: int,
    input: ArrayLike,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    random_samples: ArrayLike | None,
    rng: np.random.Generator | int | None,
    layout: str,
) -> Any:
    check_flags(function, return_indices=return_indices)
    x = operand(function, "input", input)
    check_numeric(function, input=x)
    parsed = pool_layout(function, axes, x.shape, layout)
    kernel = per_axis(kernel_size, axes, function, "kernel size", minimum=1)
    out = _output_size(function, parsed.spatial(x.shape), kernel, output_size, output_ratio)
    samples = _samples(function, parsed, x, random_samples, rng)
    chosen = _fractional_max_and_indices if return_indices else _fractional_max
    return apply(chosen, x, layout=parsed, regions=_Regions(samples, volume(parsed, kernel), volume(parsed, out)))


def fractional_max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: ArrayLike | None = None,
    *,
    rng: np.random.Generator | int | None = None,
    layout: str = "NCHW",
) -> Any:
    r"""Largest element of each of a given number of regions, whose distances are random.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point or integer; ``C`` at least 1.
    kernel_size : int or pair of int
        Elements of a region along each axis.
    output_size : int or pair of int
        ``OH`` and ``OW``: at most ``H - KH + 1`` and ``W - KW + 1``.
    output_ratio : float or pair of float
        Instead of `output_size`: ``OH = int(H * ratio)``, with a ratio above 0 and at most 1.
    return_indices : bool
        Return also where the largest elements are.
    _random_samples : array_like, shape (N, C, 2), optional
        From 0 to 1 without 1: the random numbers themselves, as PyTorch takes them: first for the width, then
        for the height. For input without ``N``, of shape (1, C, 2).
    rng : numpy.random.Generator or int, optional
        Where random numbers come from, if they are not given: a generator, or a seed for one. By default a new
        one each time.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    y : Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
    indices : Tensor of int64, same shape
        Only with `return_indices`: flat indices ``h * W + w`` into the plane of each image and channel, for
        `max_unpool2d` among others.

    Raises
    ------
    TypeError
        If a dtype is not supported, or a setting not made of numbers.
    ValueError
        If the rank is wrong, there are no channels, a setting is out of range, regions do not fit into the
        input, or not exactly one of `output_size` and `output_ratio` is given.

    Notes
    -----
    With :math:`\alpha = (H - KH) / (OH - 1)` and a random number u of its own for each image, channel and axis,
    region i begins at :math:`\lfloor (i + u) \alpha \rfloor - \lfloor u \alpha \rfloor`, the last one at
    :math:`H - KH` (B. Graham, "Fractional max-pooling", 2014: pseudo-random, overlapping). :math:`\alpha` is
    computed in float32 for inputs of at most its precision, so that given samples select what they select in
    PyTorch.

    Ties, NaN and gradients as in `max_pool2d`. Cost :math:`N C \, OH \, OW \, KH \, KW` comparisons.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import numpy as np
    >>> image = np.arange(16.0).reshape(1, 4, 4)
    >>> nn.fractional_max_pool2d(image, 2, output_size=3).data
    array([[[ 5.,  6.,  7.],
            [ 9., 10., 11.],
            [13., 14., 15.]]])
    >>> nn.fractional_max_pool2d(image, 1, output_ratio=0.75, rng=0).shape
    (1, 3, 3)
    """
    return _fractional(
        "fractional_max_pool2d",
        2,
        input,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
        rng,
        layout,
    )


def fractional_max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: ArrayLike | None = None,
    *,
    rng: np.random.Generator | int | None = None,
    layout: str = "NCDHW",
) -> Any:
    """Largest element of each random region of a volume: `fractional_max_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    kernel_size, output_size, output_ratio, return_indices, rng
        As in `fractional_max_pool2d`, with three entries where that has two.
    _random_samples : array_like, shape (N, C, 3), optional
        For depth, height and width, in this order.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW), or with `return_indices` two of them

    Raises
    ------
    TypeError, ValueError
        As `fractional_max_pool2d`.
    """
    return _fractional(
        "fractional_max_pool3d",
        3,
        input,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
        rng,
        layout,
    )
