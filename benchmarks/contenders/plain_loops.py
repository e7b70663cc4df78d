"""Plain Python loops."""

from __future__ import annotations

import numpy as np

from .. import loops
from ..shapes import AdaptivePooling, Convolution, Pooling
from .base import Case, Contender, Job, as_convolution, unknown


class Loops(Contender):
    """The definitions as plain Python loops (``autograd_conv.kernels.naive``, and :mod:`.loops`)."""

    name = "loops"
    title = "Python loops"
    about = "the definitions, plainly"
    slow = True

    def prepare(self, case: Case, operation: str) -> Job:
        case, asked = as_convolution(case, operation)
        if isinstance(case.layer, Convolution):
            jobs = self._convolution(case, case.layer)
        elif isinstance(case.layer, Pooling):
            jobs = self._pooling(case, case.layer, asked)
        else:
            assert isinstance(case.layer, AdaptivePooling)
            jobs = self._adaptive(case, case.layer, asked)
        if asked not in jobs:
            raise unknown(self, case, operation)
        return jobs[asked]

    def _convolution(self, case: Case, layer: Convolution) -> dict[str, Job]:
        from autograd_conv.kernels import naive

        x, gy, w = case.x, case.gy, case.w
        size, kernel, stride, padding, groups = layer.size, layer.kernel, layer.stride, layer.padding, layer.groups
        assert w is not None
        if len(size) != 2:
            return {
                "forward": lambda: loops.correlate(x, w, layer.out, stride, padding, groups),
                "gx": lambda: loops.input_gradient(gy, w, size, stride, padding, groups),
                "gw": lambda: loops.weight_gradient(x, gy, layer.w_shape, stride, padding, groups),
            }
        return {
            "forward": lambda: naive.correlate2d(x, w, None, stride, padding, 1, groups),
            "gx": lambda: naive.input_gradient(gy, w, size, stride, padding, 1, groups),
            "gw": lambda: naive.weight_gradient(x, gy, kernel, stride, padding, 1, groups),
        }

    def _pooling(self, case: Case, layer: Pooling, operation: str) -> dict[str, Job]:
        from autograd_conv.kernels import naive

        x, gy = case.x, case.gy
        size, kernel, stride, padding = layer.size, layer.kernel, layer.stride, layer.padding
        if layer.kind == "max":
            index = naive.max_pool2d(x, kernel, stride, padding)[1] if operation == "gx" else np.empty(0, np.int64)
            return {
                "forward": lambda: naive.max_pool2d(x, kernel, stride, padding)[0],
                "gx": lambda: naive.max_pool2d_gradient(gy, index, size),
            }
        return {
            "forward": lambda: naive.avg_pool2d(x, kernel, stride, padding),
            "gx": lambda: naive.avg_pool2d_gradient(gy, size, kernel, stride, padding),
        }

    def _adaptive(self, case: Case, layer: AdaptivePooling, operation: str) -> dict[str, Job]:
        x, gy, size, out = case.x, case.gy, layer.size, layer.out
        if layer.kind == "max":
            winner = loops.adaptive_max_pool(x, out)[1] if operation == "gx" else {}
            return {
                "forward": lambda: loops.adaptive_max_pool(x, out)[0],
                "gx": lambda: loops.adaptive_max_pool_gradient(gy, winner, size),
            }
        return {
            "forward": lambda: loops.adaptive_avg_pool(x, out),
            "gx": lambda: loops.adaptive_avg_pool_gradient(gy, size),
        }
