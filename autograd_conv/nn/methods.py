"""Which formulation a convolution uses: the parameter `method`, parsed and resolved in one place."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import Window

__all__ = ["METHODS", "choose_method", "is_exact", "set_exact"]

METHODS = ("auto", "direct", "winograd", "im2col", "padpad", "kronecker")


def choose_method(
    function: str, method: Any, window: Window, batch: int, channels: int, outputs: int, groups: int, dtype: Any
) -> str:
    """The key of `kernels.formulations.MODULES` under which a convolution, and all its derivatives, are computed.

    Parameters
    ----------
    function : str
        What error messages call the operation.
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
        What the user asked for.
    window : Window
    batch, channels, outputs, groups : int
    dtype : dtype
        To which the operands promote.

    Raises
    ------
    ValueError
        If `method` is unknown, or cannot be honoured for this convolution; says why.
    """
    if method == "auto":
        return _fastest(window, batch, channels, outputs, groups, dtype)
    if method not in METHODS:
        listed = ", ".join(repr(name) for name in METHODS)
        raise ValueError(f"{function}: argument 'method' is {method!r}; it must be one of {listed}")
    if method == "winograd":
        obstacle = _obstacle_to_winograd(window, groups)
        if obstacle:
            raise ValueError(f"{function}: argument 'method' is 'winograd', which cannot be used here: {obstacle}")
    if method == "kronecker":
        kernels.kronecker.check_size(function, window, channels, outputs, groups)
    return str(method)


# Below so many channels, on either side, Winograd's transforms cost more than the multiplications that they save.
WINOGRAD_LEAST_CHANNELS = 16

# With stride 2 they save less: 1.44 times at most.
WINOGRAD_LEAST_CHANNELS_STRIDE_2 = 64

# It takes so many times fewer multiplications at least, those of outputs beyond the last ones of an image included:
# by stride.
WINOGRAD_LEAST_GAIN = {1: 1.75, 2: 1.3}

# And at least so many multiplications: below, what is done once for a call costs more than it saves.
WINOGRAD_LEAST_MULTIPLICATIONS = 1_000_000

_exact = False


def set_exact(exact: bool) -> None:
    """Whether ``method="auto"`` computes every convolution directly, in this process.

    Parameters
    ----------
    exact : bool
        False, the default, allows Winograd's minimal filtering for float32 kernels of 3 x 3 taps (stride 1
        or 2) and 5 x 5 taps, where it is faster. Its rounding errors are two to six times those of the direct sum:
        tested to stay below 1e-5 of the largest element of each result, and below a fifth of that in the mean.

    Raises
    ------
    TypeError
        If `exact` is no bool.
    """
    global _exact
    if not isinstance(exact, bool):
        raise TypeError(f"set_exact: argument 'exact' is {exact!r}; it must be True or False")
    _exact = exact


def is_exact() -> bool:
    """What `set_exact` set."""
    return _exact


def _fastest(window: Window, batch: int, channels: int, outputs: int, groups: int, dtype: Any) -> str:
    """What ``method="auto"`` stands for: the fastest formulation that is exact next to infinities and NaN."""
    if _exact or dtype != np.float32 or _obstacle_to_winograd(window, groups):
        return "direct"
    taps, stride, (height, width) = window.kernel[2], window.stride[2], window.out[1:]
    if min(channels, outputs) < (WINOGRAD_LEAST_CHANNELS if stride == 1 else WINOGRAD_LEAST_CHANNELS_STRIDE_2):
        return "direct"
    side, multiplications = (7 - taps, 36) if stride == 1 else (2, 25)  # of a tile of outputs
    needed = -(-height // side) * -(-width // side) * multiplications
    gain = height * width * taps**2 / needed
    work = batch * channels * outputs * needed
    return "winograd" if gain >= WINOGRAD_LEAST_GAIN[stride] and work >= WINOGRAD_LEAST_MULTIPLICATIONS else "direct"


def _obstacle_to_winograd(window: Window, groups: int) -> str | None:
    """Why Winograd's minimal filtering cannot compute this convolution, or None."""
    allowed = {((1, 3, 3), (1, 1, 1)), ((1, 5, 5), (1, 1, 1)), ((1, 3, 3), (1, 2, 2))}
    if (window.kernel, window.stride) not in allowed or window.dilation != (1, 1, 1):
        return "it is for kernels of 3 x 3 taps with stride 1 or 2, or 5 x 5 taps with stride 1, and dilation 1"
    if groups != 1:
        return f"it is for one group, and argument 'groups' is {groups}"
    return None
