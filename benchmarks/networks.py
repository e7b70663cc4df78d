"""The networks whose training steps are measured, described so that every library can build them.

A step is what a training loop does once: forward, cross-entropy, backward, and stochastic gradient descent with
momentum. Batch normalization uses the statistics of the batch, and keeps no running ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.001, 0.9
SEED = 7


@dataclass(frozen=True)
class Conv:
    """A convolution, with a bias if no normalization follows; parameters ``name.w``, ``name.b``."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class Norm:
    """Batch normalization over channels; parameters ``name.w`` (ones), ``name.b`` (zeros)."""

    name: str
    channels: int


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class MaxPool:
    """Maxima of windows of 2 x 2."""


@dataclass(frozen=True)
class GlobalAverage:
    """(N, C, H, W) -> (N, C)."""


@dataclass(frozen=True)
class Flatten:
    """(N, C, H, W) -> (N, C * H * W), in the order of NCHW."""


@dataclass(frozen=True)
class Linear:
    """A linear layer; parameters ``name.w`` (outputs, inputs), ``name.b``."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is the identity."""

    body: tuple[Part, ...]
    shortcut: tuple[Part, ...] = ()


Part = Conv | Norm | Relu | MaxPool | GlobalAverage | Flatten | Linear | Residual


@dataclass(frozen=True)
class Network:
    """A network and the batch that it is trained with: `batch` images (channels, size, size)."""

    name: str
    title: str
    batch: int
    channels: int
    size: int
    parts: tuple[Part, ...]

    def data(self) -> tuple[Array, Array]:
        """Return images (N, C, H, W), float32, and labels (N,), the same in every run."""
        rng = np.random.default_rng(SEED)
        images = rng.standard_normal((self.batch, self.channels, self.size, self.size), dtype=np.float32)
        return images, rng.integers(0, CLASSES, self.batch)

    def parameters(self) -> dict[str, Array]:
        """Return fresh parameters by name, the same in every run: He's initialization."""
        rng = np.random.default_rng(SEED + 1)
        result = {}
        for part in flat(self.parts):
            if isinstance(part, (Conv, Linear)):
                shape: tuple[int, ...] = (part.outputs, part.inputs)
                if isinstance(part, Conv):
                    shape += (part.kernel, part.kernel)
                scale = math.sqrt(2 / math.prod(shape[1:]))
                result[f"{part.name}.w"] = np.float32(scale) * rng.standard_normal(shape, dtype=np.float32)
                if isinstance(part, Linear) or part.bias:
                    result[f"{part.name}.b"] = np.zeros(part.outputs, np.float32)
            elif isinstance(part, Norm):
                result[f"{part.name}.w"] = np.ones(part.channels, np.float32)
                result[f"{part.name}.b"] = np.zeros(part.channels, np.float32)
        return result


def flat(parts: tuple[Part, ...]) -> Iterator[Part]:
    """Yield the parts, those of residual blocks among them."""
    for part in parts:
        if isinstance(part, Residual):
            yield from flat(part.body)
            yield from flat(part.shortcut)
        else:
            yield part


def _normalized(name: str, inputs: int, outputs: int, stride: int = 1) -> tuple[Part, ...]:
    return Conv(name, inputs, outputs, 3, stride, 1, bias=False), Norm(f"{name}n", outputs)


def _vgg() -> tuple[Part, ...]:
    parts: list[Part] = []
    inputs = 3
    for stage, width in enumerate((64, 128, 256)):
        for k in range(2):
            parts += [*_normalized(f"c{stage}{k}", inputs, width), Relu()]
            inputs = width
        parts.append(MaxPool())
    return (*parts, Flatten(), Linear("fc", 256 * 4 * 4, CLASSES))


def _resnet20() -> tuple[Part, ...]:
    parts: list[Part] = [*_normalized("stem", 3, 16), Relu()]
    inputs = 16
    for stage, width in enumerate((16, 32, 64)):
        for k in range(3):
            name, stride = f"s{stage}b{k}", 2 if stage > 0 and k == 0 else 1
            body = (
                *_normalized(f"{name}a", inputs, width, stride), Relu(), *_normalized(f"{name}b", width, width),
            )  # fmt: skip
            shortcut: tuple[Part, ...] = ()
            if inputs != width:
                shortcut = (Conv(f"{name}s", inputs, width, 1, stride, 0, bias=False), Norm(f"{name}sn", width))
            parts.append(Residual(body, shortcut))
            inputs = width
    return (*parts, GlobalAverage(), Linear("fc", 64, CLASSES))


NETWORKS = (
    Network(
        "lenet", "LeNet-5, 28×28, batch 64", 64, 1, 28,
        (
            Conv("c1", 1, 6, 5, padding=2), Relu(), MaxPool(), Conv("c2", 6, 16, 5), Relu(), MaxPool(), Flatten(),
            Linear("f1", 16 * 5 * 5, 120), Relu(), Linear("f2", 120, 84), Relu(), Linear("f3", 84, CLASSES),
        ),
    ),
    Network(
        "cnn", "CNN of two 3×3 layers, 28×28, batch 64", 64, 1, 28,
        (
            Conv("c1", 1, 32, 3, padding=1), Relu(), Conv("c2", 32, 64, 3, padding=1), Relu(), MaxPool(), Flatten(),
            Linear("f1", 64 * 14 * 14, 128), Relu(), Linear("f2", 128, CLASSES),
        ),
    ),
    Network("vgg", "VGG-like, 6 layers with batch norm, 32×32, batch 32", 32, 3, 32, _vgg()),
    Network("resnet20", "ResNet-20, 32×32, batch 32", 32, 3, 32, _resnet20()),
)  # fmt: skip
