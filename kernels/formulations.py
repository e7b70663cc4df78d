"""The ways to compute a correlation and its gradients, by name: one module each, all with the same three functions.

| method, module | correlation | gradient of the input | gradient of the kernel | source |
|---|---|---|---|---|
| ``direct``, ``correlation`` | sum over taps | gather over taps | ``x`` correlated with ``gy`` | 000, 003, 004 |
| ``winograd`` | ``A.T [G w G.T * B.T x B] A`` | ... of ``gy`` and ``rot180 w`` | ``G.T [B.T x B * A gy A.T] G`` | |
| ``im2col`` | ``im2col(x) @ W`` | ``col2im(gy @ W.T)`` | ``im2col(x).T @ gy`` | 000, 002, 003 |
| ``padpad`` | as ``direct`` | ``padpad(gy) * rot180 trans(w)`` | ``padpad(rot180(gy)) * rot180 trans(x)`` | 001 |
| ``kronecker`` | ``(I kron phi(x)) vec(C)`` | ``M.T vec(gy C.T)`` | ``(I kron phi(x)).T vec(gy)`` | 002 |

The three functions of a module are those of :mod:`.correlation`::

    correlate(x, w, bias, window, groups)               ->  y         (and `kept`: what was made of `w` before)
    correlate_input_gradient(gy, w, window, groups)     ->  gx        (and `kept`)
    correlate_weight_gradient(x, gy, window, groups)    ->  gw        (and `outputs_first`, a hint: the order in memory)

for arrays of any strides, ``x (N, D, H, W, C)``, ``w (KD, KH, KW, C // G, O)``, ``y (N, OD, OH, OW, O)``, with
fresh results of the dtype that NumPy promotes the arguments to. A further method is a further module and a line
in :data:`MODULES`. Modules are imported when they are first used.
"""

import functools
import importlib
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype
from .geometry import AXES, Window, extent
from .keeping import Kept

Array = NDArray[Any]

MODULES = {
    "direct": "correlation",
    "winograd": "winograd",
    "im2col": "im2col",
    "padpad": "padpad",
    "kronecker": "kronecker",
}


class Formulation(Protocol):
    """What the module of a method holds."""

    def correlate(
        self, x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None
    ) -> Array: ...

    def correlate_input_gradient(
        self, gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None
    ) -> Array: ...

    def correlate_weight_gradient(
        self, x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
    ) -> Array: ...


@functools.cache
def formulation(method: str) -> Formulation:
    """Return the module of a method.

    Examples
    --------
    >>> y = formulation("im2col").correlate(
    ...     np.arange(4).reshape(1, 1, 1, 4, 1), np.array([1, 10]).reshape(1, 1, 2, 1, 1), None, Window.of("f", (4,), 2)
    ... )
    >>> y.ravel()
    array([10, 21, 32])
    """
    return cast(Formulation, importlib.import_module(f"{__package__}.{MODULES[method]}"))


# ---------------------------------------------------------------- what the modules check


def _check(function: str, argument: str, array: Array, shape: tuple[int, ...], rule: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{function}: {argument} must have shape {rule} = {shape}, got {array.shape}")


def _check_groups(function: str, channels: int, outputs: int, groups: int) -> None:
    if groups < 1 or channels % groups or outputs % groups:
        raise ValueError(
            f"{function}: groups must be at least 1 and divide both channel counts, "
            f"got groups {groups}, C {channels}, O {outputs}"
        )


def _check_rank(function: str, **arrays: Array) -> None:
    for argument, array in arrays.items():
        if array.ndim != 2 + AXES:
            raise ValueError(f"{function}: {argument} must have {2 + AXES} axes, got shape {array.shape}")


def _cast(function: str, *arrays: Array) -> tuple[np.dtype[Any], tuple[Array, ...]]:
    """Return the dtype of the result, and the arrays in the dtype in which it is computed."""
    dtype = np.result_type(*arrays)
    inner = compute_dtype(dtype, function)
    return dtype, tuple([array.astype(inner, copy=False) for array in arrays])


def correlate_operands(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int
) -> tuple[np.dtype[Any], tuple[Array, ...]]:
    """Check the arguments of a ``correlate``; return its dtype, and x, w and bias (zeros for None) to compute with.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If shapes, window and groups do not fit together.
    """
    function = "correlate"
    _check_rank(function, x=x, w=w)
    channels, outputs = x.shape[4], w.shape[4]
    _check_groups(function, channels, outputs, groups)
    _check(function, "x", x, (x.shape[0], *window.size, channels), "(N, D, H, W, C)")
    _check(function, "w", w, (*window.kernel, channels // groups, outputs), "(KD, KH, KW, C // groups, O)")
    if bias is None:
        return _cast(function, x, w, np.zeros(outputs, w.dtype))
    _check(function, "bias", bias, (outputs,), "(O,)")
    return _cast(function, x, w, bias)


def input_gradient_operands(
    gy: Array, w: Array, window: Window, groups: int
) -> tuple[np.dtype[Any], tuple[Array, ...]]:
    """Check the arguments of a ``correlate_input_gradient``; return its dtype, and gy and w to compute with.

    Raises
    ------
    TypeError, ValueError
        As :func:`correlate_operands`.
    """
    function = "correlate_input_gradient"
    _check_rank(function, gy=gy, w=w)
    per_group, outputs = w.shape[3:]
    _check_groups(function, per_group * groups, outputs, groups)
    _check(function, "gy", gy, (gy.shape[0], *window.out, outputs), "(N, OD, OH, OW, O)")
    _check(function, "w", w, (*window.kernel, per_group, outputs), "(KD, KH, KW, C // groups, O)")
    return _cast(function, gy, w)


def weight_gradient_operands(
    x: Array, gy: Array, window: Window, groups: int
) -> tuple[np.dtype[Any], tuple[Array, ...]]:
    """Check the arguments of a ``correlate_weight_gradient``; return its dtype, and x and gy to compute with.

    Raises
    ------
    TypeError, ValueError
        As :func:`correlate_operands`.
    """
    function = "correlate_weight_gradient"
    _check_rank(function, x=x, gy=gy)
    batch, channels, outputs = x.shape[0], x.shape[4], gy.shape[4]
    _check_groups(function, channels, outputs, groups)
    _check(function, "x", x, (batch, *window.size, channels), "(N, D, H, W, C)")
    _check(function, "gy", gy, (batch, *window.out, outputs), "(N, OD, OH, OW, O)")
    return _cast(function, x, gy)


# ---------------------------------------------------------------- what several modules need


def spread(array: Array, stride: tuple[int, ...], before: tuple[int, ...], length: tuple[int, ...]) -> Array:
    """Put zeros between neighbours and around: source 001's padding inside and outside, in one.

    Parameters
    ----------
    array : ndarray, shape (N, D, H, W, C)
    stride : tuple of 3 int
        Distance of what were neighbours along each spatial axis: ``stride - 1`` zeros come between them.
    before : tuple of 3 int
        Where the first element goes. A negative number crops.
    length : tuple of 3 int
        The extents of the result; what would lie beyond is cropped.

    Returns
    -------
    ndarray, shape (N, *length, C), dtype of `array`

    Examples
    --------
    >>> gy = np.array([1, 2, 3]).reshape(1, 1, 1, 3, 1)
    >>> spread(gy, (1, 1, 2), (0, 0, 1), (1, 1, 7)).ravel()
    array([0, 1, 0, 2, 0, 3, 0])
    >>> spread(gy, (1, 1, 2), (0, 0, -1), (1, 1, 3)).ravel()
    array([0, 2, 0])
    """
    result = np.zeros((array.shape[0], *length, array.shape[4]), array.dtype)
    source, target = [slice(None)], [slice(None)]
    for axis in range(AXES):
        first = max(0, -(before[axis] // stride[axis]))  # the first element that is not cropped
        last = min(array.shape[1 + axis], (length[axis] - 1 - before[axis]) // stride[axis] + 1)
        last = max(first, last)
        start = before[axis] + first * stride[axis]
        source.append(slice(first, last))
        target.append(slice(start, start + (last - first) * stride[axis], stride[axis]))
    result[tuple(target)] = array[tuple(source)]
    return result


def outer_padding(window: Window) -> tuple[tuple[int, int], ...]:
    """Return the outer padding of `padpad` for the input gradient, a pair (before, after) for each of three axes.

    ``extent - 1 - P_before`` zeros before, ``extent - 1 - P_after + remainder`` after; negative numbers crop. The
    remainder, what the windows leave over at the end, may here be as long as the stride or longer: a transposed
    convolution with a long `output_padding` has fewer windows than would fit.

    Examples
    --------
    >>> outer_padding(Window.of("f", (8,), 3, 2))[2]
    (2, 3)
    """
    pairs = []
    for axis in range(AXES):
        spans = extent(window.kernel[axis], window.dilation[axis])
        padded = window.size[axis] + window.before[axis] + window.after[axis]
        remainder = padded - spans - (window.out[axis] - 1) * window.stride[axis]
        pairs.append((spans - 1 - window.before[axis], spans - 1 - window.after[axis] + remainder))
    return tuple(pairs)
