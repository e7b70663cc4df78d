r"""Correlation as products of explicit matrices with vectors: vec and Kronecker (source 002).

For one image and one group, with ``C`` the kernel as a matrix (a column for each output channel),

    phi(x)                the windows as rows, ``P x Q``                                                 (2.6)
    vec(phi(x)) = M vec(x)           M, ``P*Q x size``, has a single 1 in each row                       (2.24)
    vec(y)      = (I kron phi(x)) vec(C)                                                                 (2.12)
    vec(gC)     = (I kron phi(x)).T vec(gy)                                                              (2.20)
    vec(gx)     = M.T vec(gy C.T)                                                                        (2.28)

with ``P = OD*OH*OW`` windows and ``Q = C * KD*KH*KW``. ``vec`` stacks the columns of a matrix; of a stack of
matrices, those of the first, then those of the second (2.7). So channels count most, then depths, then columns,
and rows least: ``p = i + OH*j`` and ``q = KH*KW*c + KH*v + u`` (2.14, 2.15). Where a tap is in the padding, which
source 002 has none of, its row of M has no 1.

All this is for looking at: the matrices are mostly zeros, which are stored and multiplied, so that the cost is far
beyond that of the loops, and one infinity or NaN turns everything that M reaches into NaN. The index form of the
same thing, ``m(p, q)`` (2.14 to 2.17, 2.30), is what the loops of :mod:`.correlation` do.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formulations import correlate_operands, input_gradient_operands, weight_gradient_operands
from .geometry import AXES, Window
from .keeping import Kept

Array = NDArray[Any]

# Elements of the largest matrix: 2**22 of float64 are 32 MiB.
MAX_ELEMENTS = 2**22


def check_size(function: str, window: Window, channels: int, outputs: int, groups: int = 1) -> None:
    """Raise ValueError if M or ``I kron phi(x)`` would have more than `MAX_ELEMENTS` elements.

    Parameters
    ----------
    function : str
        What the message calls the operation.
    window : Window
    channels, outputs, groups : int
        ``C``, ``O`` and ``G``.

    Examples
    --------
    >>> check_size("conv2d", Window.of("conv2d", (64, 64), 3), 3, 8)
    Traceback (most recent call last):
        ...
    ValueError: conv2d: method 'kronecker' would make a matrix M of 103788 x 12288 = 1275346944 elements, more than
    4194304; it is for small inputs: method 'im2col' is the same product without M
    """
    for name, rows, columns in matrix_sizes(window, channels, outputs, groups):
        if rows * columns > MAX_ELEMENTS:
            raise ValueError(
                f"{function}: method 'kronecker' would make a matrix {name} of {rows} x {columns} = {rows * columns} "
                f"elements, more than {MAX_ELEMENTS}; it is for small inputs: method 'im2col' is the same product "
                "without M"
            )


def matrix_sizes(window: Window, channels: int, outputs: int, groups: int = 1) -> list[tuple[str, int, int]]:
    """Return name, rows and columns of the two large matrices of one group.

    Examples
    --------
    >>> matrix_sizes(Window.of("f", (3, 4), 2), 1, 2)
    [('M', 24, 12), ('I kron phi(x)', 12, 8)]
    """
    windows = window.out[0] * window.out[1] * window.out[2]
    columns = channels // groups * window.taps
    size = channels // groups * window.size[0] * window.size[1] * window.size[2]
    return [
        ("M", windows * columns, size),
        ("I kron phi(x)", outputs // groups * windows, outputs // groups * columns),
    ]


def _across(axis: int, values: Array, axes: int) -> Array:
    """`values` along one of so many axes, to be broadcast along the others."""
    return values.reshape([-1 if a == axis else 1 for a in range(axes)])


def routing_matrix(window: Window, channels: int, dtype: Any = np.float64) -> Array:
    """Return the M of source 002, (2.23): ``vec(phi(x)) = M vec(x)`` for an image of so many channels.

    Returns
    -------
    ndarray, shape (P * Q, C * D*H*W)
        A single 1 in each row, at the element of `x` that the row's element of ``phi(x)`` is; rows of taps in the
        padding are zero.

    Examples
    --------
    >>> routing_matrix(Window.of("f", (3,), 2), 1, int)
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    # Rows in the order of vec(phi): columns q of phi first, (C, KD, KW, KH), and in each its rows p, (OD, OW, OH).
    order = (0, 2, 1)  # depth, column, row: how vec counts
    shape = (channels, *[window.kernel[a] for a in order], *[window.out[a] for a in order])
    inside = np.ones(shape, bool)
    flat = np.zeros(shape, np.int64) + _across(0, np.arange(channels), 1 + 2 * AXES)
    for place, axis in enumerate(order):
        taps = _across(1 + place, np.arange(window.kernel[axis]), 1 + 2 * AXES)
        outputs = _across(1 + AXES + place, np.arange(window.out[axis]), 1 + 2 * AXES)
        reads = outputs * window.stride[axis] + taps * window.dilation[axis] - window.before[axis]  # (2.16), (2.17)
        inside &= (reads >= 0) & (reads < window.size[axis])
        flat = flat * window.size[axis] + reads
    matrix = np.zeros((flat.size, channels * window.size[0] * window.size[1] * window.size[2]), dtype)
    rows = np.flatnonzero(inside)
    matrix[rows, flat[inside]] = 1
    return matrix


def vec(image: Array) -> Array:
    """Return an image (D, H, W, C) as a vector: channel by channel, and in each column by column (2.7).

    Examples
    --------
    >>> vec(np.array([[1, 2], [3, 4]]).reshape(1, 2, 2, 1))
    array([1, 3, 2, 4])
    """
    return image.transpose(3, 0, 2, 1).ravel()  # (D, H, W, C) -> (C, D, W, H)


def unvec(vector: Array, spatial: tuple[int, ...], channels: int) -> Array:
    """Return the image (D, H, W, C) of which `vector` is the :func:`vec`."""
    depth, height, width = spatial
    return vector.reshape(channels, depth, width, height).transpose(1, 3, 2, 0)


def phi(x: Array, routing: Array, window: Window) -> Array:
    """Return ``phi(x)``, the windows of an image (D, H, W, C) as rows: ``vec(phi(x)) = M vec(x)``, shape (P, Q)."""
    columns = x.shape[3] * window.taps
    windows = window.out[0] * window.out[1] * window.out[2]
    return (routing @ vec(x)).reshape(columns, windows).T  # vec stacks columns


def kernel_matrix(w: Array) -> Array:
    """Return a kernel (KD, KH, KW, C, O) as the matrix C of (2.8), shape (Q, O): a column for each output channel."""
    rows = w.shape[0] * w.shape[1] * w.shape[2] * w.shape[3]
    return w.transpose(3, 0, 2, 1, 4).reshape(rows, w.shape[4])  # (KD, KH, KW, C, O) -> (C, KD, KW, KH, O)


def kernel_of(matrix: Array, kernel: tuple[int, ...], channels: int) -> Array:
    """Return the kernel (KD, KH, KW, C, O) of which `matrix` is the :func:`kernel_matrix`."""
    depth, height, width = kernel
    return matrix.reshape(channels, depth, width, height, matrix.shape[1]).transpose(1, 3, 2, 0, 4)


def output_matrix(gy: Array) -> Array:
    """Return an output (OD, OH, OW, O) as a matrix with a column for each channel, ``phi(x) C`` in (2.9): (P, O)."""
    windows = gy.shape[0] * gy.shape[1] * gy.shape[2]
    return vec(gy).reshape(gy.shape[3], windows).T


def _stacked(columns: Array) -> Array:
    """vec of a matrix: its columns, one after the other."""
    return columns.T.ravel()


def _slices(channels: int, outputs: int, groups: int) -> list[tuple[slice, slice]]:
    """The channels and the output channels of each group."""
    c, o = channels // groups, outputs // groups
    return [(slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)) for g in range(groups)]


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None
) -> Array:
    """Return ``vec(y) = (I kron phi(x)) vec(C)`` (2.12), image by image and group by group, and add `bias`.

    Parameters, results and errors are those of :func:`.correlation.correlate`; and `ValueError` if a matrix would have
    more than `MAX_ELEMENTS` elements.
    """
    dtype, (x, w, start) = correlate_operands(x, w, bias, window, groups)
    channels, outputs = x.shape[4], w.shape[4]
    check_size("correlate", window, channels, outputs, groups)
    y = np.zeros((x.shape[0], *window.out, outputs), x.dtype)
    identity = np.eye(outputs // groups, dtype=x.dtype)
    routing = routing_matrix(window, channels // groups, x.dtype)
    for c, o in _slices(channels, outputs, groups):
        stacked = _stacked(kernel_matrix(w[..., o]))
        for n in range(x.shape[0]):
            product = np.kron(identity, phi(x[n, ..., c], routing, window)) @ stacked
            y[n, ..., o] = unvec(product, window.out, outputs // groups)
    return (y + start).astype(dtype, copy=False)


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None) -> Array:
    """Return ``vec(gx) = M.T vec(gy C.T)`` (2.28), image by image and group by group.

    Parameters, results and errors are those of :func:`.correlation.correlate_input_gradient`; and `ValueError` if a
    matrix would have more than `MAX_ELEMENTS` elements.
    """
    dtype, (gy, w) = input_gradient_operands(gy, w, window, groups)
    per_group, outputs = w.shape[3:]
    check_size("correlate_input_gradient", window, per_group * groups, outputs, groups)
    gx = np.zeros((gy.shape[0], *window.size, per_group * groups), gy.dtype)
    routing = routing_matrix(window, per_group, gy.dtype)
    for c, o in _slices(per_group * groups, outputs, groups):
        matrix = kernel_matrix(w[..., o])
        for n in range(gy.shape[0]):
            gradient = output_matrix(gy[n, ..., o])
            gx[n, ..., c] = unvec(routing.T @ _stacked(gradient @ matrix.T), window.size, per_group)
    return gx.astype(dtype, copy=False)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
    """Return ``vec(gC) = (I kron phi(x)).T vec(gy)`` (2.20), summed over the images, group by group.

    Parameters, results and errors are those of :func:`.correlation.correlate_weight_gradient`; and `ValueError` if a
    matrix would have more than `MAX_ELEMENTS` elements.
    """
    dtype, (x, gy) = weight_gradient_operands(x, gy, window, groups)
    channels, outputs = x.shape[4], gy.shape[4]
    check_size("correlate_weight_gradient", window, channels, outputs, groups)
    per_group, per_output = channels // groups, outputs // groups
    gw = np.zeros((*window.kernel, per_group, outputs), x.dtype)
    identity = np.eye(per_output, dtype=x.dtype)
    routing = routing_matrix(window, per_group, x.dtype)
    for c, o in _slices(channels, outputs, groups):
        for n in range(x.shape[0]):
            product = np.kron(identity, phi(x[n, ..., c], routing, window)).T @ vec(gy[n, ..., o])
            matrix = product.reshape(per_output, per_group * window.taps).T  # vec stacks columns
            gw[..., o] += kernel_of(matrix, window.kernel, per_group)
    return gw.astype(dtype, copy=False)
