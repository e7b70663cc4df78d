"""The named layers that are measured: one table, for every benchmark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import ClassVar

from autograd_conv.kernels.geometry import output_size

from .errors import BenchmarkError

Axes = tuple[int, ...]

# Reduced layers keep at least so many channels (in each group), and groups: loops over them must remain loops.
LEAST_CHANNELS = 2


def _halved(size: Axes, kernel: Axes) -> Axes | None:
    """Return `size` with each extent halved, or None if the kernel would then hardly find room."""
    half = tuple((extent + 1) // 2 for extent in size)
    return half if all(extent >= 2 * k for extent, k in zip(half, kernel)) else None


def _text(extents: Axes) -> str:
    return "×".join(str(extent) for extent in extents)


@dataclass(frozen=True)
class Convolution:
    """A convolution of one network's layer; as many spatial axes as `size` has entries.

    Attributes
    ----------
    name : what ``--only`` selects by
    batch, channels, outputs : N, C, O
    size, kernel, stride, padding : one entry for each spatial axis
    groups : G
    """

    name: str
    batch: int
    channels: int
    size: Axes
    outputs: int
    kernel: Axes
    stride: Axes = (1, 1)
    padding: Axes = (0, 0)
    groups: int = 1

    operations: ClassVar[tuple[str, ...]] = ("forward", "gx", "gw")

    @property
    def out(self) -> Axes:
        """The spatial shape of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding)
        return tuple(output_size(size, kernel, stride, p, p, 1) for size, kernel, stride, p in axes)

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W)."""
        return (self.batch, self.channels, *self.size)

    @property
    def w_shape(self) -> Axes:
        """(O, C // G, KH, KW)."""
        return (self.outputs, self.channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> Axes:
        """(N, O, OH, OW)."""
        return (self.batch, self.outputs, *self.out)

    @property
    def work(self) -> int:
        """How many products are added up."""
        return math.prod(self.y_shape) * math.prod(self.w_shape[1:])

    @property
    def description(self) -> str:
        """The shape as the table shows it: ``N,C,H×W → O, KH×KW``, and what is not usual."""
        text = f"{self.batch},{self.channels},{_text(self.size)} → {self.outputs}, {_text(self.kernel)}"
        if any(stride != 1 for stride in self.stride):
            text += f" /{self.stride[0]}"
        if any(self.padding):
            text += f" p{self.padding[0]}"
        if self.groups > 1:
            text += f" g{self.groups}"
        return text

    def reduced(self, work: int) -> Convolution:
        """Return the same kind of layer with at most `work` products, where that is possible.

        One image; then the larger channel count of a group is halved, again and again, then the number of
        groups, then the spatial extents. Kernel, stride, padding and name stay.
        """
        layer = replace(self, batch=1)
        while layer.work > work:
            inputs, outputs = layer.channels // layer.groups, layer.outputs // layer.groups
            groups, size = layer.groups, layer.size
            if max(inputs, outputs) > LEAST_CHANNELS:
                if inputs > outputs:
                    inputs = max(inputs // 2, LEAST_CHANNELS)
                else:
                    outputs = max(outputs // 2, LEAST_CHANNELS)
            elif groups > LEAST_CHANNELS:
                groups = max(groups // 2, LEAST_CHANNELS)
            else:
                half = _halved(size, layer.kernel)
                if half is None:
                    break
                size = half
            layer = replace(layer, channels=groups * inputs, outputs=groups * outputs, groups=groups, size=size)
        return layer


@dataclass(frozen=True)
class Pooling:
    """A pooling layer.

    Attributes
    ----------
    name : what ``--only`` selects by
    kind : "max" or "avg"
    batch, channels : N, C
    size, kernel, stride, padding : one entry for each spatial axis
    """

    name: str
    kind: str
    batch: int
    channels: int
    size: Axes
    kernel: Axes
    stride: Axes
    padding: Axes = (0, 0)

    operations: ClassVar[tuple[str, ...]] = ("forward", "gx")

    @property
    def out(self) -> Axes:
        """The spatial shape of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding)
        return tuple(output_size(size, kernel, stride, p, p, 1) for size, kernel, stride, p in axes)

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W)."""
        return (self.batch, self.channels, *self.size)

    @property
    def y_shape(self) -> Axes:
        """(N, C, OH, OW)."""
        return (self.batch, self.channels, *self.out)

    @property
    def work(self) -> int:
        """How many elements are looked at."""
        return math.prod(self.y_shape) * math.prod(self.kernel)

    @property
    def description(self) -> str:
        """The shape as the table shows it: ``N,C,H×W, KH×KW /S``."""
        text = f"{self.batch},{self.channels},{_text(self.size)}, {_text(self.kernel)} /{self.stride[0]}"
        return text + (f" p{self.padding[0]}" if any(self.padding) else "")

    def reduced(self, work: int) -> Pooling:
        """Return the same kind of layer that looks at no more than `work` elements, where that is possible."""
        layer = replace(self, batch=1)
        while layer.work > work:
            if layer.channels > LEAST_CHANNELS:
                layer = replace(layer, channels=max(layer.channels // 2, LEAST_CHANNELS))
                continue
            half = _halved(layer.size, layer.kernel)
            if half is None:
                break
            layer = replace(layer, size=half)
        return layer


Layer = Convolution | Pooling

LAYERS: tuple[Layer, ...] = (
    Convolution("digits-first", 64, 1, (8, 8), 16, (3, 3), padding=(1, 1)),
    Convolution("mnist-first", 64, 1, (28, 28), 32, (3, 3), padding=(1, 1)),
    Convolution("lenet-5x5", 64, 6, (14, 14), 16, (5, 5)),
    Convolution("resnet-first-7x7", 4, 3, (224, 224), 64, (7, 7), (2, 2), (3, 3)),
    Convolution("resnet-3x3-28", 4, 128, (28, 28), 128, (3, 3), padding=(1, 1)),
    Convolution("resnet-3x3-stride2", 4, 64, (28, 28), 128, (3, 3), (2, 2), (1, 1)),
    Convolution("resnet-1x1-28", 4, 64, (28, 28), 256, (1, 1)),
    Convolution("resnext-grouped", 4, 128, (28, 28), 128, (3, 3), padding=(1, 1), groups=32),
    Convolution("mobilenet-depthwise", 4, 144, (28, 28), 144, (3, 3), padding=(1, 1), groups=144),
    Pooling("max-2x2", "max", 64, 32, (28, 28), (2, 2), (2, 2)),
    Pooling("max-3x3-stride2", "max", 4, 64, (112, 112), (3, 3), (2, 2), (1, 1)),
    Pooling("avg-2x2", "avg", 64, 32, (28, 28), (2, 2), (2, 2)),
    Pooling("avg-3x3-stride2", "avg", 4, 64, (56, 56), (3, 3), (2, 2), (1, 1)),
)


def select(patterns: Sequence[str]) -> tuple[Layer, ...]:
    """Return the layers whose name contains, or as a whole matches, one of `patterns`; all, if there are none.

    Parameters
    ----------
    patterns : sequence of str
        Parts of names, or shell patterns (``max*``, ``resnet-?x?-28``).

    Raises
    ------
    BenchmarkError
        If a pattern selects nothing.
    """
    if not patterns:
        return LAYERS
    chosen = set()
    for pattern in patterns:
        names = {layer.name for layer in LAYERS if pattern in layer.name or fnmatchcase(layer.name, pattern)}
        if not names or not pattern:
            raise BenchmarkError(f"--only: no layer is called {pattern!r}; --list shows them")
        chosen |= names
    return tuple(layer for layer in LAYERS if layer.name in chosen)
