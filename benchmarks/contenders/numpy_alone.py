"""NumPy alone."""

from __future__ import annotations

from functools import partial

from .. import im2col
from ..shapes import AdaptivePooling, Convolution, Transposed
from .base import Case, Contender, Job, as_convolution, unknown


class NumPy(Contender):
    """The same in NumPy alone: im2col and matrix products, reductions (:mod:`.im2col`)."""

    name = "numpy"
    title = "NumPy"
    about = "im2col and matrix products; pooling by operations on whole arrays"
    slow = False

    def prepare(self, case: Case, operation: str) -> Job:
        # The columns of x are those of the forward computation, which a training loop would have kept; those of a
        # transposed convolution are of the gradient that has just arrived.
        kept = isinstance(case.layer, Convolution)
        case, asked = as_convolution(case, operation)
        x, gy, layer = case.x, case.gy, case.layer
        size, out = layer.size, layer.out
        jobs: dict[str, Job]
        if isinstance(layer, AdaptivePooling):
            if layer.kind == "max":
                place = im2col.adaptive_max_pool_winner(x, out) if asked == "gx" else x
                jobs = {
                    "forward": lambda: im2col.adaptive_max_pool(x, out),
                    "gx": lambda: im2col.adaptive_max_pool_gradient(gy, place, size),
                }
            else:
                jobs = {
                    "forward": lambda: im2col.adaptive_avg_pool(x, out),
                    "gx": lambda: im2col.adaptive_avg_pool_gradient(gy, size),
                }
        else:
            assert not isinstance(layer, Transposed)
            kernel, stride, padding = layer.kernel, layer.stride, layer.padding
            if isinstance(layer, Convolution):
                w, groups = case.w, layer.groups
                assert w is not None
                unfold = partial(im2col.im2col, x, kernel, stride, padding, groups)
                columns = unfold() if kept and asked == "gw" else None
                jobs = {
                    "forward": lambda: im2col.forward(x, w, stride, padding, groups),
                    "gx": lambda: im2col.input_gradient(gy, w, size, stride, padding, groups),
                    "gw": lambda: im2col.weight_gradient(unfold() if columns is None else columns, gy, layer.w_shape),
                }
            elif layer.kind == "max":
                winner = im2col.max_pool_winner(x, kernel, stride, padding, out) if asked == "gx" else x
                jobs = {
                    "forward": lambda: im2col.max_pool(x, kernel, stride, padding, out),
                    "gx": lambda: im2col.max_pool_gradient(gy, winner, size, kernel, stride, padding),
                }
            else:
                jobs = {
                    "forward": lambda: im2col.avg_pool(x, kernel, stride, padding, out),
                    "gx": lambda: im2col.avg_pool_gradient(gy, size, kernel, stride, padding),
                }
        if asked not in jobs:
            raise unknown(self, case, operation)
        return jobs[asked]
