"""The compiled loops by themselves: ndarrays, channels last, no tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..shapes import AdaptivePooling, Convolution, Transposed
from .base import Array, Case, Contender, Job, as_convolution, unknown


class Kernels(Contender):
    """The compiled loops by themselves: ndarrays, channels last, no tape."""

    name = "kernels"
    title = "kernels"
    about = "the compiled loops of autograd_conv alone, on channels-last arrays"
    slow = False

    def prepare(self, case: Case, operation: str) -> Job:
        from autograd_conv.kernels import correlation, places, pooling, regions
        from autograd_conv.kernels.geometry import Window

        case, asked = as_convolution(case, operation)
        layer = case.layer
        ones = (1,) * (3 - len(layer.size))

        def channels_last(array: Array) -> Array:
            """(N, C, H, W) -> (N, 1, H, W, C)."""
            batch, channels, *size = array.shape
            return np.ascontiguousarray(np.moveaxis(array, 1, -1)).reshape(batch, *ones, *size, channels)

        x, gy = channels_last(case.x), channels_last(case.gy)
        size, out = x.shape[1:4], gy.shape[1:4]
        jobs: dict[str, Job]
        if isinstance(layer, AdaptivePooling):
            if layer.kind == "max":
                tables = regions.adaptive_tables(size, out)
                place = regions.max_regions(x, tables)[1]
                jobs = {
                    "forward": lambda: regions.max_regions(x, tables)[0],
                    "gx": lambda: places.route(gy, place, size),
                }
            else:
                jobs = {
                    "forward": lambda: regions.adaptive_average(x, out),
                    "gx": lambda: regions.adaptive_average_input_gradient(gy, size),
                }
        else:
            assert not isinstance(layer, Transposed)
            window = Window.of(layer.name, layer.size, layer.kernel, layer.stride, layer.padding)
            if isinstance(layer, Convolution):
                assert case.w is not None
                # (O, C//G, KH, KW) -> (KH, KW, C//G, O) -> (1, KH, KW, C//G, O)
                w = np.ascontiguousarray(np.moveaxis(case.w, (0, 1), (-1, -2)))
                w = w.reshape(*ones, *w.shape)
                groups = layer.groups
                jobs = {
                    "forward": lambda: correlation.correlate(x, w, None, window, groups),
                    "gx": lambda: correlation.correlate_input_gradient(gy, w, window, groups),
                    "gw": lambda: correlation.correlate_weight_gradient(x, gy, window, groups),
                }
            elif layer.kind == "max":
                _, offset = pooling.max_pool(x, window)
                jobs = {
                    "forward": lambda: pooling.max_pool(x, window)[0],
                    "gx": lambda: pooling.max_pool_route(gy, offset, window),
                }
            else:
                jobs = {
                    "forward": lambda: pooling.avg_pool(x, window),
                    "gx": lambda: pooling.avg_pool_input_gradient(gy, window),
                }
        if asked not in jobs:
            raise unknown(self, case, operation)
        return jobs[asked]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        axes = len(case.layer.size)
        if operation == "gw":  # (1, KH, KW, C//G, O) -> (KH, KW, C//G, O) -> (O, C//G, KH, KW)
            return np.moveaxis(result.reshape(result.shape[3 - axes :]), (-1, -2), (0, 1))
        # (N, 1, H, W, C) -> (N, H, W, C) -> (N, C, H, W)
        return np.moveaxis(result.reshape(result.shape[0], *result.shape[4 - axes :]), -1, 1)
