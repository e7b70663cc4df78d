"""SciPy: `scipy.signal.correlate` and `convolve`, image by image and channel by channel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..shapes import Convolution, Layer
from .base import Array, Case, Contender, Job, installed, unknown
from .hips_autograd import plain_only


class SciPy(Contender):
    """Optional: it takes part where it is installed."""

    name = "scipy"
    title = "SciPy"
    about = "scipy.signal.correlate for each image and output channel, convolve for each pair of channels"
    slow = True
    distributions: ClassVar[Mapping[str, str]] = {"SciPy": "scipy"}

    def missing(self) -> str | None:
        return installed("scipy")

    def cannot(self, layer: Layer) -> str | None:
        return plain_only(layer)

    def prepare(self, case: Case, operation: str) -> Job:
        from scipy.signal import convolve, correlate

        layer, x, w, gy = case.layer, case.x, case.w, case.gy
        assert isinstance(layer, Convolution)
        assert w is not None
        top, left = layer.padding
        margins = ((0, 0), (0, 0), (top, top), (left, left))

        def forward() -> Array:
            padded = np.pad(x, margins)
            y = np.empty(layer.y_shape, x.dtype)
            for n, o in itertools.product(range(layer.batch), range(layer.outputs)):
                y[n, o] = correlate(padded[n], w[o], "valid")[0]
            return y

        def gx() -> Array:
            padded = np.zeros((layer.batch, layer.channels, *(s + 2 * p for s, p in zip(layer.size, layer.padding))))
            for n, c, o in itertools.product(range(layer.batch), range(layer.channels), range(layer.outputs)):
                padded[n, c] += convolve(gy[n, o], w[o, c], "full")
            inside = padded[:, :, top : top + layer.size[0], left : left + layer.size[1]]
            return inside.astype(x.dtype)

        def gw() -> Array:
            padded = np.pad(x, margins)
            result = np.zeros(layer.w_shape, x.dtype)
            for n, c, o in itertools.product(range(layer.batch), range(layer.channels), range(layer.outputs)):
                result[o, c] += correlate(padded[n, c], gy[n, o], "valid")
            return result

        jobs: dict[str, Job] = {"forward": forward, "gx": gx, "gw": gw}
        if operation not in jobs:
            raise unknown(self, case, operation)
        return jobs[operation]
