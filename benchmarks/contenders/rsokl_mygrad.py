"""MyGrad: a Tensor and a tape for NumPy, its convolution as one product with the unfolded image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..shapes import Convolution, Layer
from .base import Array, Case, Contender, Job, installed, unknown


class MyGrad(Contender):
    """Optional: it takes part where it is installed."""

    name = "mygrad"
    title = "MyGrad"
    about = "mygrad.nnet.layers.conv_nd; gradients by the operation's own backward rule"
    distributions: ClassVar[Mapping[str, str]] = {"MyGrad": "mygrad"}

    def missing(self) -> str | None:
        return installed("mygrad")

    def cannot(self, layer: Layer) -> str | None:
        if not isinstance(layer, Convolution):
            return "only convolutions are compared"
        spare = ((n + 2 * p - k) % s for n, p, k, s in zip(layer.size, layer.padding, layer.kernel, layer.stride))
        if any(spare):
            return "its windows must end at the edge of the padded image"
        return "it has no groups" if layer.groups > 1 else None

    def prepare(self, case: Case, operation: str) -> Job:
        import mygrad
        from mygrad.nnet.layers import conv_nd

        layer, gy = case.layer, case.gy
        assert isinstance(layer, Convolution)
        x, w = mygrad.tensor(case.x), mygrad.tensor(case.w)
        if operation == "forward":

            def forward() -> Any:
                with mygrad.no_autodiff:
                    return conv_nd(x, w, stride=layer.stride, padding=layer.padding)

            return forward
        if operation not in ("gx", "gw"):
            raise unknown(self, case, operation)
        y = conv_nd(x, w, stride=layer.stride, padding=layer.padding)
        index = ("gx", "gw").index(operation)
        # Tensor.backward lets go of the graph: the rule itself can be called again. It keeps y alive meanwhile.
        rule = y.creator
        return lambda: (y, rule.backward_var(gy, index))[1]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        array: Array = result.data if operation == "forward" else result
        return array
