"""JAX: everything compiled by XLA beforehand, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

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
from ..shapes import Convolution, Layer
from .base import LAYOUTS, NHWC, Array, Case, Contender, Job, channels_last, installed, unknown

EPSILON = 1e-5


class Jax(Contender):
    """Optional: it takes part where it is installed."""

    name = "jax"
    title = "JAX"
    about = "jax.lax on the CPU, jitted, waiting for the result; XLA's own threads, on the CPUs of this process"
    layouts = LAYOUTS
    distributions: ClassVar[Mapping[str, str]] = {"JAX": "jax"}

    def missing(self) -> str | None:
        return installed("jax")

    def cannot(self, layer: Layer) -> str | None:
        return None if isinstance(layer, Convolution) and len(layer.size) == 2 else "only convolutions are compared"

    def prepare(self, case: Case, operation: str) -> Job:
        import jax

        layer = case.layer
        assert isinstance(layer, Convolution)
        assert case.w is not None
        last = case.layout == NHWC
        orders = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")

        def convolve(x: Any, w: Any) -> Any:
            return jax.lax.conv_general_dilated(
                x, w, layer.stride, [(p, p) for p in layer.padding], feature_group_count=layer.groups,
                dimension_numbers=orders,
            )  # fmt: skip

        x, gy = (jax.numpy.asarray(channels_last(a) if last else a) for a in (case.x, case.gy))
        w = jax.numpy.asarray(np.ascontiguousarray(case.w.transpose(2, 3, 1, 0)) if last else case.w)
        # Convolution is bilinear: what a gradient does not need of the forward computation is not computed.
        functions: dict[str, Callable[..., Any]] = {
            "forward": convolve,
            "gx": lambda x, w, gy: jax.vjp(lambda x: convolve(x, w), x)[1](gy)[0],
            "gw": lambda x, w, gy: jax.vjp(lambda w: convolve(x, w), w)[1](gy)[0],
        }
        if operation not in functions:
            raise unknown(self, case, operation)
        arguments = (x, w) if operation == "forward" else (x, w, gy)
        compiled = jax.jit(functions[operation]).lower(*arguments).compile()
        return lambda: compiled(*arguments).block_until_ready()

    def array(self, result: Any, case: Case, operation: str) -> Array:
        array = np.asarray(result)
        if case.layout != NHWC:
            return array
        return array.transpose(3, 2, 0, 1) if operation == "gw" else array.transpose(0, 3, 1, 2)

    def training_step(
        self, network: Network, parameters: dict[str, Array], images: Array, labels: Array, layout: str
    ) -> Callable[[], float]:
        import jax
        import jax.numpy as jnp

        last = layout == NHWC

        def as_jax(array: Array) -> Any:
            return jnp.asarray(np.ascontiguousarray(array.transpose(2, 3, 1, 0)) if last and array.ndim == 4 else array)

        x, target = jnp.asarray(channels_last(images) if last else images), jnp.asarray(labels)
        weights = {name: as_jax(array) for name, array in parameters.items()}
        state = [weights, {name: jnp.zeros_like(w) for name, w in weights.items()}]

        def loss_of(weights: Any) -> Any:
            scores = forward(network.parts, x, weights, last)
            return -jnp.mean(jax.nn.log_softmax(scores)[jnp.arange(len(labels)), target])

        def update(weights: Any, speed: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(weights)
            speed = {name: MOMENTUM * speed[name] + gradients[name] for name in weights}
            return loss, {name: weights[name] - LEARNING_RATE * speed[name] for name in weights}, speed

        compiled = jax.jit(update, donate_argnums=(0, 1)).lower(*state).compile()

        def step() -> float:
            loss, *state[:] = compiled(*state)
            jax.block_until_ready(state)
            return float(loss)

        return step


def forward(parts: tuple[Part, ...], x: Any, parameters: dict[str, Any], last: bool) -> Any:
    """Return the scores that a network gives to images `x` (N, C, H, W), or (N, H, W, C) if channels are `last`."""
    import jax
    import jax.numpy as jnp

    space = (1, 2) if last else (2, 3)
    channel = (1, 1, 1, -1) if last else (1, -1, 1, 1)
    for part in parts:
        match part:
            case Conv():
                x = jax.lax.conv_general_dilated(
                    x, parameters[f"{part.name}.w"], (part.stride, part.stride), [(part.padding, part.padding)] * 2,
                    dimension_numbers=("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW"),
                )  # fmt: skip
                if part.bias:
                    x = x + parameters[f"{part.name}.b"].reshape(channel)
            case Norm():
                w, b = (parameters[f"{part.name}.{letter}"].reshape(channel) for letter in "wb")
                mean = x.mean((0, *space), keepdims=True)
                variance = x.var((0, *space), keepdims=True)
                x = (x - mean) * (jax.lax.rsqrt(variance + EPSILON) * w) + b
            case Relu():
                x = jnp.maximum(x, 0)
            case MaxPool():
                window = (1, 2, 2, 1) if last else (1, 1, 2, 2)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
            case GlobalAverage():
                x = x.mean(space)
            case Flatten():
                x = (x.transpose(0, 3, 1, 2) if last else x).reshape(x.shape[0], -1)
            case Linear():
                x = x @ parameters[f"{part.name}.w"].T + parameters[f"{part.name}.b"]
            case Residual():
                x = jnp.maximum(
                    forward(part.body, x, parameters, last) + forward(part.shortcut, x, parameters, last), 0
                )
    return x
