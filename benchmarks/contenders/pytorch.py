"""PyTorch, with as many threads as the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from .. import environment
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
from .base import LAYOUTS, NHWC, Array, Case, Contender, Job, installed, unknown


class PyTorch(Contender):
    """Optional: it takes part where it is installed."""

    name = "torch"
    title = "PyTorch"
    about = "torch.nn.functional on the CPU"
    layouts = LAYOUTS
    distributions: ClassVar[Mapping[str, str]] = {"PyTorch": "torch"}

    def missing(self) -> str | None:
        return installed("torch")

    def _function(self, layer: Layer) -> Callable[..., Any]:
        """Return the function of one or two tensors that the layer is."""
        from torch.nn import functional

        axes = f"{len(layer.size)}d"
        if isinstance(layer, (Convolution, Transposed)):
            name = f"conv{axes}" if isinstance(layer, Convolution) else f"conv_transpose{axes}"
            settings = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
            return partial(getattr(functional, name), **settings)
        if isinstance(layer, Pooling):
            pool = getattr(functional, f"{layer.kind}_pool{axes}")
            return partial(pool, kernel_size=layer.kernel, stride=layer.stride, padding=layer.padding)
        return partial(getattr(functional, f"adaptive_{layer.kind}_pool{axes}"), output_size=layer.out)

    def prepare(self, case: Case, operation: str) -> Job:
        import torch

        torch.set_num_threads(environment.threads())
        function = self._function(case.layer)
        inputs = {"gx": torch.from_numpy(case.x)}
        if case.w is not None:
            w = torch.from_numpy(case.w)
            inputs["gw"] = w.contiguous(memory_format=torch.channels_last) if case.layout == NHWC else w
        operands = tuple(inputs.values())
        if operation == "forward":

            def forward() -> Any:
                with torch.no_grad():
                    return function(*operands)

            return forward
        if operation not in inputs:
            raise unknown(self, case, operation)
        # Of two inputs, only that one requires a gradient; the other gradient would be computed, too.
        wanted, gy = inputs[operation].detach().requires_grad_(), torch.from_numpy(case.gy)
        operands = tuple(wanted if name == operation else operand for name, operand in inputs.items())
        y = function(*operands)

        def gradient() -> Any:
            return torch.autograd.grad(y, wanted, gy, retain_graph=True)[0]

        return gradient

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result.numpy()

    def training_step(
        self, network: Network, parameters: dict[str, Array], images: Array, labels: Array, layout: str
    ) -> Callable[[], float]:
        import torch
        from torch.nn import functional

        torch.set_num_threads(environment.threads())
        memory = torch.channels_last if layout == NHWC else torch.contiguous_format

        def parameter(array: Array) -> Any:
            value = torch.from_numpy(array.copy())
            return (value.contiguous(memory_format=memory) if array.ndim == 4 else value).requires_grad_()

        tensors = {name: parameter(array) for name, array in parameters.items()}
        optimizer = torch.optim.SGD(tensors.values(), lr=LEARNING_RATE, momentum=MOMENTUM)
        x, target = torch.from_numpy(images).contiguous(memory_format=memory), torch.from_numpy(labels)

        def step() -> float:
            optimizer.zero_grad()
            loss = functional.cross_entropy(forward(network.parts, x, tensors), target)
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step


def forward(parts: tuple[Part, ...], x: Any, parameters: dict[str, Any]) -> Any:
    """Return the scores that a network gives to images `x` (N, C, H, W)."""
    from torch.nn import functional

    for part in parts:
        match part:
            case Conv():
                w, b = parameters[f"{part.name}.w"], parameters.get(f"{part.name}.b")
                x = functional.conv2d(x, w, b, stride=part.stride, padding=part.padding)
            case Norm():
                w, b = parameters[f"{part.name}.w"], parameters[f"{part.name}.b"]
                x = functional.batch_norm(x, None, None, w, b, training=True)
            case Relu():
                x = functional.relu(x)
            case MaxPool():
                x = functional.max_pool2d(x, 2)
            case GlobalAverage():
                x = x.mean((2, 3))
            case Flatten():
                x = x.flatten(1)
            case Linear():
                x = functional.linear(x, parameters[f"{part.name}.w"], parameters[f"{part.name}.b"])
            case Residual():
                x = functional.relu(forward(part.body, x, parameters) + forward(part.shortcut, x, parameters))
    return x
