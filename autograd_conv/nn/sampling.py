r"""Sampling at given points: `grid_sample`, and `affine_grid`, which makes the points.

Two steps. First the grid, in [-1, 1], becomes points in units of elements (`_points`), which is piecewise linear. Then
the array is read there (`_sample`), which is linear in the array and, between elements, a polynomial in the points. The
derivative with respect to a point is `_sample` again, with derived basis functions, and the transpose of `_sample` is
`_splat`: with these two, derivatives of every order exist.

===========  ==========  =============================  ===============================================
primitive    of          VJP of the first               VJP of the points, along axis a
===========  ==========  =============================  ===============================================
`_sample`    (x, u)      splat g                        sum over channels of g * (sample x, derived by a)
`_splat`     (g, u)      sample the cotangent           sum over channels of g * (sample it, derived by a)
===========  ==========  =============================  ===============================================
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import AXES
from ..ops.conversion import asarray, astype
from ..ops.linalg import matmul
from ..ops.shape import reshape, swapaxes
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .layout import Layout
from .operands import check_choice, check_flags, check_floating, operand

__all__ = ["affine_grid", "grid_sample"]

_INTERPOLATION = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
# As in the kernels, which are not imported (Numba is) before something is computed.
_DEGREES = {"linear": 1, "nearest": 0, "cubic": 3}


# --- from the grid to points -------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """What turns a grid into points: the spatial shape, and what happens outside of it."""

    sizes: tuple[int, ...]
    align_corners: bool
    folding: str  # "none", "border" or "reflection"


def _reflect(u: np.ndarray, size: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points mirrored into the array as often as necessary, and the sign of the slope."""
    shift = 0.0 if align_corners else 0.5  # mirrors stand at the outermost elements, or at their outer edges
    span = size - 1 + 2 * shift
    if span == 0:
        return np.zeros_like(u), np.zeros_like(u)
    away = np.abs(u + u.dtype.type(shift))
    turns = np.floor(away / u.dtype.type(span))
    away = np.fmod(away, u.dtype.type(span))
    odd = turns % 2 != 0
    slope = np.where((u < -shift) ^ odd, -1, 1).astype(u.dtype)
    return np.where(odd, span - away, away).astype(u.dtype) - u.dtype.type(shift), slope


@primitive(name="grid_points", residuals="slope")
def _points(grid: np.ndarray, *, frame: _Frame) -> tuple[np.ndarray, np.ndarray]:
    """Points in units of elements, axes in the order of the array (a grid has x first), and their slopes."""
    with np.errstate(invalid="ignore", over="ignore"):
        flipped = grid[..., ::-1]
        sizes = np.array(frame.sizes, grid.dtype)
        one, two = grid.dtype.type(1), grid.dtype.type(2)
        if frame.align_corners:
            u = (flipped + one) * ((sizes - one) / two)
            slope = np.broadcast_to((sizes - one) / two, u.shape)
        else:
            u = ((flipped + one) * sizes - one) / two
            slope = np.broadcast_to(sizes / two, u.shape)
        if frame.folding == "reflection":
            columns = [_reflect(u[..., axis], size, frame.align_corners) for axis, size in enumerate(frame.sizes)]
            u = np.stack([values for values, _ in columns], axis=-1)
            slope = slope * np.stack([signs for _, signs in columns], axis=-1)
        if frame.folding != "none":
            # At the very edge, where left and right derivative differ, PyTorch's choice: zero.
            slope = np.where((u <= 0) | (u >= sizes - one), grid.dtype.type(0), slope)
            u = np.clip(u, 0, sizes - one)
    return u, slope


_points.defvjp(grid=lambda g, slope: (g * slope)[..., ::-1])


# --- reading and its transpose -----------------------------------------------------------------------------


class _Setup(NamedTuple):
    """Everything about sampling but the arrays."""

    sizes: tuple[int, ...]
    layout: Layout
    mode: str
    border: str
    orders: tuple[int, ...]

    @property
    def lead(self) -> int:
        """Axes of length one that kernels have before the spatial axes."""
        return AXES - self.layout.axes

    def derived(self, axis: int) -> _Setup:
        """The same for the derivative with respect to the points along an axis."""
        return self._replace(orders=(*self.orders[:axis], self.orders[axis] + 1, *self.orders[axis + 1 :]))

    def kernel_settings(self) -> tuple[int, str, str, tuple[int, int, int]]:
        """axes, mode, border and orders, as the kernels want them."""
        depth, height, width = (0,) * self.lead + self.orders
        return self.layout.axes, self.mode, self.border, (depth, height, width)

    def kernel_points(self, points: np.ndarray) -> np.ndarray:
        """Points as (N, P, 3)."""
        flat = points.reshape(points.shape[0], math.prod(points.shape[1:-1]), points.shape[-1])
        return np.pad(flat, ((0, 0), (0, 0), (self.lead, 0))) if self.lead else flat


@primitive(name="grid_sample")
def _sample(x: np.ndarray, points: np.ndarray, *, setup: _Setup) -> np.ndarray:
    layout = setup.layout
    y = kernels.sampling.sample(layout.canonical(x), setup.kernel_points(points), *setup.kernel_settings())
    outs = (1,) * setup.lead + points.shape[1:-1]
    return layout.restore(y.reshape(y.shape[0], *outs, y.shape[2]), x.ndim)


@primitive(name="grid_splat")
def _splat(g: np.ndarray, points: np.ndarray, *, setup: _Setup) -> np.ndarray:
    layout = setup.layout
    values = layout.canonical(g)
    flat = values.reshape(values.shape[0], math.prod(values.shape[1:4]), values.shape[4])
    depth, height, width = (1,) * setup.lead + setup.sizes
    x = kernels.sampling.splat(flat, setup.kernel_points(points), (depth, height, width), *setup.kernel_settings())
    return layout.restore(x, g.ndim)


def _points_gradient(g: Any, x: Any, points: Any, setup: _Setup) -> Any:
    """For each axis of the points: the sum over channels of `g` times `x`, sampled with that axis derived."""
    channel = -1 if setup.layout.channels_last else 1
    columns = []
    for axis in range(setup.layout.axes):
        if setup.orders[axis] >= _DEGREES[setup.mode]:  # nothing is left to derive, whatever values there are
            columns.append(np.zeros(points.shape[:-1], points.dtype))
        else:
            columns.append(np.sum(g * _sample(x, points, setup=setup.derived(axis)), axis=channel))
    return np.stack(columns, axis=-1)


_sample.defvjp(
    x=lambda g, points, setup: _splat(g, points, setup=setup),
    points=_points_gradient,
)
_splat.defvjp(
    g=lambda g_x, points, setup: _sample(g_x, points, setup=setup),
    points=lambda g_x, g, points, setup: _points_gradient(g, g_x, points, setup),
)


def _check_shapes(x_shape: tuple[int, ...], grid_shape: tuple[int, ...], layout: Layout) -> None:
    axes = len(x_shape) - 2
    if len(grid_shape) != axes + 2 or grid_shape[-1] != axes:
        raise ValueError(
            f"grid_sample: argument 'grid' has shape {grid_shape}, but argument 'input' (shape {x_shape}) has {axes} "
            f"spatial axes; it must have {axes + 2} axes, the last of length {axes}"
        )
    if grid_shape[0] != x_shape[0]:
        raise ValueError(
            f"grid_sample: argument 'input' (shape {x_shape}) has a batch of {x_shape[0]}, argument 'grid' (shape "
            f"{grid_shape}) one of {grid_shape[0]}; they must be equal"
        )
    if 0 in layout.spatial(x_shape):
        raise ValueError(f"grid_sample: argument 'input' has shape {x_shape}; no spatial axis may be empty")


def _layout(function: str, axes: int, layout: Any) -> Layout:
    """The layout for two or three spatial axes; "NCHW" and "NHWC" say first or last for three, too."""
    if axes == 3 and layout in ("NCHW", "NHWC"):
        return Layout(3, layout == "NHWC")
    return Layout.of(function, axes, layout)


def grid_sample(
    input: ArrayLike,
    grid: ArrayLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Read images or volumes at the points of a grid.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (N, C, D, H, W); (N, H, W, C) or (N, D, H, W, C) with channels last
        Floating-point. ``N`` and ``C`` may be 0, spatial axes not.
    grid : array_like, shape (N, OH, OW, 2) or (N, OD, OH, OW, 3)
        Points ``(x, y)`` or ``(x, y, z)``: the *last* spatial axis first. -1 and 1 are the ends of the axis.
        Floating-point.
    mode : {"bilinear", "nearest", "bicubic"}
        Straight lines along each axis (for volumes too); the nearest element, ties to the even one; cubic
        convolution (Keys 1981, :math:`a = -3/4`; images only).
    padding_mode : {"zeros", "border", "reflection"}
        What is outside: zeros; the nearest element; mirror images, again and again.
    align_corners : bool
        Whether -1 and 1 are the centres of the outermost elements, or their outer edges. Mirrors stand there too.
    layout : {"NCHW", "NHWC"}
        Where the channels of `input` and of the result stand; for volumes also ``"NCDHW"`` and ``"NDHWC"``.

    Returns
    -------
    Tensor, shape (N, C, OH, OW) or (N, C, OD, OH, OW), or as `layout` says
        Of the dtype to which NumPy promotes both arguments; float16 is computed in float32. In memory its channels
        always lie last.

    Raises
    ------
    TypeError
        If an argument is not floating-point.
    ValueError
        If shapes do not fit together, a spatial axis is empty, or a setting is unknown.

    Notes
    -----
    Cost :math:`N C \, OH \, OW` times the number of elements that a point reads: 1, 4 or 16 (8 in volumes); for the
    gradient of `input` the same, for that of `grid` twice (three times) that. Saved are `input`, the points, and the
    slopes of the points. Derivatives of every order exist, with respect to both.

    The value is not smooth where a point crosses from element to element: there derivatives are those to the right.
    The gradient of `grid` is zero for "nearest", and where "border" or "reflection" holds a point at the edge, as in
    PyTorch.

    A point that is NaN gives NaN, and has no part in the gradient of `input`. So does an infinite one if it is to be
    mirrored; else it is outside, as any other.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> image = [[[[1.0, 2.0], [3.0, 4.0]]]]
    >>> nn.grid_sample(image, [[[[0.0, 0.0], [-1.0, -1.0], [1.0, 0.0]]]], align_corners=True).data
    array([[[[2.5, 1. , 3. ]]]])
    """
    if align_corners is not None:  # as PyTorch has it by default: False
        check_flags("grid_sample", align_corners=align_corners)
    x = asarray(operand("grid_sample", "input", input))
    points = asarray(operand("grid_sample", "grid", grid))
    check_floating("grid_sample", input=x, grid=points)
    check_choice("grid_sample", "mode", mode, tuple(_INTERPOLATION))
    check_choice("grid_sample", "padding_mode", padding_mode, ("zeros", "border", "reflection"))
    if x.ndim not in (4, 5):
        raise ValueError(
            f"grid_sample: argument 'input' has {x.ndim} axes (shape {x.shape}); it must have 4 or 5: batch, channels, "
            "and two or three spatial axes"
        )
    if mode == "bicubic" and x.ndim != 4:
        raise ValueError(
            f"grid_sample: argument 'mode' is {mode!r}, but argument 'input' (shape {x.shape}) has 3 spatial axes; "
            "it is for 2"
        )
    parsed = _layout("grid_sample", x.ndim - 2, layout)
    _check_shapes(x.shape, points.shape, parsed)
    dtype = np.result_type(x.dtype, points.dtype)
    inner = np.dtype(np.float32) if dtype == np.float16 else dtype
    x, points = (t if t.dtype == inner else astype(t, inner) for t in (x, points))
    sizes = parsed.spatial(x.shape)
    align = bool(align_corners)
    # With "bicubic" it is not the point that is kept inside, but each of the elements around it.
    cubic = mode == "bicubic"
    folding = "none" if cubic or padding_mode == "zeros" else padding_mode
    border = "zeros"
    if cubic:
        border = "reflection_edges" if padding_mode == "reflection" and not align else padding_mode
    setup = _Setup(sizes, parsed, _INTERPOLATION[mode], border, (0,) * len(sizes))
    y: Tensor = _sample(x, _points(points, frame=_Frame(sizes, align, folding)), setup=setup)
    return y if y.dtype == dtype else astype(y, dtype)


# --- grids -------------------------------------------------------------------------------------------------


def affine_grid(theta: ArrayLike, size: Any, align_corners: bool = False, *, layout: str = "NCHW") -> Tensor:
    r"""The grid for `grid_sample` that an affine map makes of the places of the result.

    Parameters
    ----------
    theta : array_like, shape (N, 2, 3) or (N, 3, 4)
        Floating-point. Rows are the coordinates x, y (and z) of the points, the last column is added.
    size : sequence of int
        The shape of the result of `grid_sample`: (N, C, H, W) or (N, C, D, H, W).
    align_corners : bool
        As in `grid_sample`.
    layout : {"NCHW", "NHWC"}
        The order of `size`; for volumes also ``"NCDHW"`` and ``"NDHWC"``.

    Returns
    -------
    Tensor, shape (N, H, W, 2) or (N, D, H, W, 3), dtype of `theta`

    Raises
    ------
    TypeError
        If `theta` is not floating-point, or `size` not made of integers.
    ValueError
        If `size` has not 4 or 5 positive entries (the first two may be 0), or does not fit `theta`.

    Notes
    -----
    One product of each place, as (x, y, 1), with `theta`. An axis of one element has its place at 0.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.affine_grid([[[1.0, 0, 0], [0, 2, 0]]], (1, 1, 1, 2)).data
    array([[[[-0.5,  0. ],
             [ 0.5,  0. ]]]])
    """
    if align_corners is not None:  # as PyTorch has it by default: False
        check_flags("affine_grid", align_corners=align_corners)
    matrix = asarray(operand("affine_grid", "theta", theta))
    check_floating("affine_grid", theta=matrix)
    shape = tuple(size) if hasattr(size, "__len__") else (size,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape):
        raise TypeError(f"affine_grid: argument 'size' is {size!r}; it must be made of integers")
    axes = len(shape) - 2
    if axes not in (2, 3):
        raise ValueError(f"affine_grid: argument 'size' is {size!r}; it must have 4 or 5 entries, (N, C, H, W) or so")
    sizes = _layout("affine_grid", axes, layout).spatial(shape)
    if min(sizes) < 1 or min(shape) < 0:
        raise ValueError(f"affine_grid: argument 'size' is {size!r}; its spatial entries must be at least 1")
    if matrix.shape != (shape[0], axes, axes + 1):
        raise ValueError(
            f"affine_grid: argument 'theta' has shape {matrix.shape}; for argument 'size' {tuple(shape)} it must have "
            f"shape ({shape[0]}, {axes}, {axes + 1})"
        )
    inner = np.float32 if matrix.dtype == np.float16 else matrix.dtype
    places = []
    for n in sizes:
        ends = 1.0 if align_corners else (n - 1) / n
        places.append(np.linspace(-ends, ends, n) if n > 1 else np.zeros(1))
    mesh = np.meshgrid(*places, indexing="ij")[::-1]  # x, which runs along the last axis, first
    base = np.stack([*mesh, np.ones(sizes)], axis=-1).reshape(-1, axes + 1).astype(inner)
    dtype = matrix.dtype
    if dtype != inner:
        matrix = astype(matrix, inner)
    grid = reshape(matmul(base, swapaxes(matrix, 1, 2)), (shape[0], *sizes, axes))
    return grid if grid.dtype == dtype else astype(grid, dtype)
