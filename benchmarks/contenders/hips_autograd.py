"""HIPS/autograd: its `autograd.scipy.signal.convolve`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..shapes import Convolution, Layer
from .base import Case, Contender, Job, installed, unknown


class HipsAutograd(Contender):
    """Optional: it takes part where it is installed."""

    name = "autograd"
    title = "autograd"
    about = "HIPS/autograd's autograd.scipy.signal.convolve, which has neither strides nor groups"
    slow = True
    distributions: ClassVar[Mapping[str, str]] = {"autograd": "autograd"}

    def missing(self) -> str | None:
        return installed("autograd")

    def cannot(self, layer: Layer) -> str | None:
        return plain_only(layer)

    def prepare(self, case: Case, operation: str) -> Job:
        import autograd
        import autograd.numpy as anp
        from autograd.scipy.signal import convolve

        layer, gy = case.layer, case.gy
        assert isinstance(layer, Convolution)
        assert case.w is not None
        # It rotates the kernel, as mathematicians do.
        x, w = case.x, np.ascontiguousarray(case.w[:, :, ::-1, ::-1])
        margins = [(0, 0), (0, 0), *((p, p) for p in layer.padding)]

        def function(x: Any, w: Any) -> Any:
            padded = anp.pad(x, margins, "constant") if any(layer.padding) else x
            return convolve(padded, w, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")

        if operation == "forward":
            return lambda: function(x, w)
        if operation not in ("gx", "gw"):
            raise unknown(self, case, operation)
        gradient, _ = autograd.make_vjp(function, ("gx", "gw").index(operation))(x, w)
        return lambda: gradient(gy)

    def array(self, result: Any, case: Case, operation: str) -> Any:
        return result[:, :, ::-1, ::-1] if operation == "gw" else result


def plain_only(layer: Layer) -> str | None:
    """Return why a layer is not a two-dimensional convolution without strides and groups, or None."""
    if not isinstance(layer, Convolution) or len(layer.size) != 2:
        return "only convolutions of images are compared"
    return "it has no strides and no groups" if layer.groups > 1 or any(s > 1 for s in layer.stride) else None
