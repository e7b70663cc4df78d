"""Which formulation a convolution uses: the parameter `method`, parsed and resolved in one place."""

from __future__ import annotations

from typing import Any

import autograd_conv.kernels as kernels

from ..kernels.geometry import Window

__all__ = ["METHODS", "choose_method"]

METHODS = ("auto", "direct", "winograd", "im2col", "padpad", "kronecker")


def choose_method(
    function: str, method: Any, window: Window, channels: int, outputs: int, groups: int, dtype: Any
) -> str:
    """The key of `kernels.formulations.MODULES` under which a convolution, and all its derivatives, are computed.

    Parameters
    ----------
    function : str
        What error messages call the operation.
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
        What the user asked for.
    window : Window
    channels, outputs, groups : int
    dtype : dtype
        To which the operands promote.

    Raises
    ------
    ValueError
        If `method` is unknown, or cannot be honoured for this convolution; says why.
    """
    if method == "auto":
        return _fastest(window, channels, outputs, groups, dtype)
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


def _fastest(window: Window, channels: int, outputs: int, groups: int, dtype: Any) -> str:
    """What ``method="auto"`` stands for: the fastest formulation that is exact next to infinities and NaN."""
    return "direct"


def _obstacle_to_winograd(window: Window, groups: int) -> str | None:
    """Why Winograd's minimal filtering cannot compute this convolution, or None."""
    if window.kernel != (1, 3, 3) or window.stride != (1, 1, 1) or window.dilation != (1, 1, 1):
        return "it is for kernels of 3 x 3 taps with stride 1 and dilation 1"
    if groups != 1:
        return f"it is for one group, and argument 'groups' is {groups}"
    return "this version has no Winograd kernel; 'auto' or 'direct' compute the same"
