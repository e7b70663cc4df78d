"""The library as it is used, and its formulations of a convolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..networks import (
    LEARNING_RATE,
    MOMENTUM,
    Conv,
    Flatten,
    GlobalAverage,
    Linear,
    MaxPool,
    Network,
    Norm,
    Part,
    Relu,
    Residual,
)  # fmt: skip
from ..shapes import Convolution, Layer, Pooling, Transposed
from .base import LAYOUTS, Array, Case, Contender, Job, unknown


class Public(Contender):
    """The library as it is used: Tensors of plain NCHW arrays, and the functions of ``autograd_conv.nn``."""

    name = "autograd_conv"
    title = "autograd_conv"
    about = "the public functions on Tensors"
    layouts = LAYOUTS
    method = "auto"

    def _function(self, layer: Layer) -> Callable[..., Any]:
        """Return the function of one or two Tensors that the layer is."""
        from autograd_conv import nn

        axes = f"{len(layer.size)}d"
        if isinstance(layer, (Convolution, Transposed)):
            return partial(
                getattr(nn, f"conv{axes}" if isinstance(layer, Convolution) else f"conv_transpose{axes}"),
                stride=layer.stride,
                padding=layer.padding,
                groups=layer.groups,
                method=self.method,
            )
        if isinstance(layer, Pooling):
            pool = getattr(nn, f"{layer.kind}_pool{axes}")
            return partial(pool, kernel_size=layer.kernel, stride=layer.stride, padding=layer.padding)
        if all(extent == 1 for extent in layer.out):
            return partial(getattr(nn, f"global_{layer.kind}_pool{axes}"), keepdims=True)
        return partial(getattr(nn, f"adaptive_{layer.kind}_pool{axes}"), output_size=layer.out)

    def prepare(self, case: Case, operation: str) -> Job:
        import autograd_conv as ac

        function = self._function(case.layer)
        inputs = {"gx": ac.tensor(case.x, requires_grad=True)}
        if case.w is not None:
            inputs["gw"] = ac.tensor(case.w, requires_grad=True)
        operands = tuple(inputs.values())
        if operation == "forward":

            def forward() -> Any:
                with ac.no_grad():
                    return function(*operands)

            return forward
        if operation not in inputs:
            raise unknown(self, case, operation)
        wanted, y, gy = inputs[operation], function(*operands), case.gy

        def gradient() -> Any:
            return ac.grad(y, wanted, gy, retain_graph=True)[0]

        return gradient

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result.numpy()

    def training_step(
        self, network: Network, parameters: dict[str, Array], images: Array, labels: Array, layout: str
    ) -> Callable[[], float]:
        import autograd_conv as ac
        from autograd_conv import nn, optim

        tensors = {name: ac.tensor(array, requires_grad=True) for name, array in parameters.items()}
        optimizer = optim.SGD(tensors.values(), lr=LEARNING_RATE, momentum=MOMENTUM)

        def step() -> float:
            optimizer.zero_grad()
            loss = nn.cross_entropy(forward(network.parts, images, tensors), labels)
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step


def forward(parts: tuple[Part, ...], x: Any, parameters: dict[str, Any]) -> Any:
    """Return the scores that a network gives to images `x` (N, C, H, W)."""
    from autograd_conv import nn

    for before, part, following in zip((None, *parts), parts, (*parts[1:], None)):
        # What a user who looks for speed writes: the rectifier as a part of what comes before it.
        rectified = "relu" if isinstance(following, Relu) else None
        match part:
            case Conv():
                w, b = parameters[f"{part.name}.w"], parameters.get(f"{part.name}.b")
                x = nn.conv2d(x, w, b, stride=part.stride, padding=part.padding, activation=rectified)
            case Norm():
                w, b = parameters[f"{part.name}.w"], parameters[f"{part.name}.b"]
                x = nn.batch_norm(x, None, None, w, b, training=True, activation=rectified)
            case Relu():
                x = x if isinstance(before, (Conv, Norm)) else nn.relu(x)
            case MaxPool():
                x = nn.max_pool2d(x, 2)
            case GlobalAverage():
                x = nn.global_avg_pool2d(x)
            case Flatten():
                x = nn.flatten(x, 1)
            case Linear():
                x = nn.linear(x, parameters[f"{part.name}.w"], parameters[f"{part.name}.b"])
            case Residual():
                x = nn.relu(forward(part.body, x, parameters) + forward(part.shortcut, x, parameters))
    return x


class Method(Public):
    """The library with one formulation of convolutions instead of the fastest: ``method=``."""

    def __init__(self, method: str, about: str) -> None:
        self.name = self.title = self.method = method
        self.about = about
