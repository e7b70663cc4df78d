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
    """Return `size` with each extent halved in which the kernel can still move, or None if there is no such extent."""
    half = tuple((extent + 1) // 2 if (extent + 1) // 2 > k else extent for extent, k in zip(size, kernel))
    return half if half != size else None


def _text(extents: Axes) -> str:
    return "×".join(str(extent) for extent in extents)


def _out(size: Axes, kernel: Axes, stride: Axes, padding: Axes) -> Axes:
    return tuple(output_size(n, k, s, p, p, 1) for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def _settings(layer: Convolution | Transposed) -> str:
    """Return what is not usual about a layer: stride, padding and groups."""
    text = f" /{layer.stride[0]}" if any(stride != 1 for stride in layer.stride) else ""
    text += f" p{layer.padding[0]}" if any(layer.padding) else ""
    return text + (f" g{layer.groups}" if layer.groups > 1 else "")


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
        return _out(self.size, self.kernel, self.stride, self.padding)

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W), with as many spatial axes as there are."""
        return (self.batch, self.channels, *self.size)

    @property
    def w_shape(self) -> Axes:
        """(O, C // G, KH, KW), likewise."""
        return (self.outputs, self.channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> Axes:
        """(N, O, OH, OW), likewise."""
        return (self.batch, self.outputs, *self.out)

    @property
    def work(self) -> int:
        """How many products are added up."""
        return math.prod(self.y_shape) * math.prod(self.w_shape[1:])

    @property
    def flop(self) -> int:
        """Arithmetic operations of each of forward, gx and gw, by the definition; padding counts as if it were read."""
        return 2 * self.work

    @property
    def bytes(self) -> int:
        """Bytes of x, w and y in float32: each of forward, gx and gw reads two of them and writes the third."""
        return 4 * (math.prod(self.x_shape) + math.prod(self.w_shape) + math.prod(self.y_shape))

    @property
    def description(self) -> str:
        """The shape as the table shows it: ``N,C,H×W → O, KH×KW``, and what is not usual."""
        text = f"{self.batch},{self.channels},{_text(self.size)} → {self.outputs}, {_text(self.kernel)}"
        return text + _settings(self)

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
class Transposed:
    """A transposed convolution: what a convolution does with a gradient of its output.

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
    stride: Axes
    padding: Axes
    groups: int = 1

    operations: ClassVar[tuple[str, ...]] = ("forward", "gx", "gw")

    @property
    def convolution(self) -> Convolution:
        """The convolution of which this is the transpose: from O channels to C, from OH x OW to H x W."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, strict=True)
        out = tuple((n - 1) * s + k - 2 * p for n, k, s, p in axes)
        return Convolution(
            self.name, self.batch, self.outputs, out, self.channels, self.kernel, self.stride, self.padding, self.groups
        )

    @property
    def out(self) -> Axes:
        """The spatial shape of the output."""
        return self.convolution.size

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W), with as many spatial axes as there are."""
        return self.convolution.y_shape

    @property
    def w_shape(self) -> Axes:
        """(C, O // G, KH, KW), likewise."""
        return self.convolution.w_shape

    @property
    def y_shape(self) -> Axes:
        """(N, O, OH, OW), likewise."""
        return self.convolution.x_shape

    @property
    def work(self) -> int:
        """How many products are added up."""
        return self.convolution.work

    @property
    def description(self) -> str:
        """The shape as the table shows it, as that of a convolution."""
        text = f"{self.batch},{self.channels},{_text(self.size)} → {self.outputs}, {_text(self.kernel)}"
        return f"{text}{_settings(self)} transposed"

    def reduced(self, work: int) -> Transposed:
        """Return the same kind of layer with at most `work` products, where that is possible."""
        small = self.convolution.reduced(work)
        return replace(
            self, batch=1, channels=small.outputs, size=small.out, outputs=small.channels, groups=small.groups
        )


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
        return _out(self.size, self.kernel, self.stride, self.padding)

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W), with as many spatial axes as there are."""
        return (self.batch, self.channels, *self.size)

    @property
    def y_shape(self) -> Axes:
        """(N, C, OH, OW), likewise."""
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


@dataclass(frozen=True)
class AdaptivePooling:
    """Pooling to a given size; to a single element it is global.

    Along an axis of n elements, output i of o covers those from ``floor(i * n / o)`` to ``ceil((i + 1) * n / o)``.

    Attributes
    ----------
    name : what ``--only`` selects by
    kind : "max" or "avg"
    batch, channels : N, C
    size, out : one entry for each spatial axis
    """

    name: str
    kind: str
    batch: int
    channels: int
    size: Axes
    out: Axes

    operations: ClassVar[tuple[str, ...]] = ("forward", "gx")

    @property
    def x_shape(self) -> Axes:
        """(N, C, H, W), with as many spatial axes as there are."""
        return (self.batch, self.channels, *self.size)

    @property
    def y_shape(self) -> Axes:
        """(N, C, OH, OW), likewise."""
        return (self.batch, self.channels, *self.out)

    @property
    def work(self) -> int:
        """How many elements there are; hardly more are looked at."""
        return math.prod(self.x_shape)

    @property
    def description(self) -> str:
        """The shape as the table shows it: ``N,C,H×W → OH×OW``."""
        return f"{self.batch},{self.channels},{_text(self.size)} → {_text(self.out)}"

    def reduced(self, work: int) -> AdaptivePooling:
        """Return the same kind of layer that looks at no more than `work` elements, where that is possible."""
        layer = replace(self, batch=1)
        while layer.work > work:
            if layer.channels > LEAST_CHANNELS:
                layer = replace(layer, channels=max(layer.channels // 2, LEAST_CHANNELS))
                continue
            half = _halved(layer.size, layer.out)
            if half is None:
                break
            layer = replace(layer, size=half)
        return layer


Layer = Convolution | Transposed | Pooling | AdaptivePooling

# Layers of well-known networks, each with all that makes convolutions differ: many channels and few, large images and
# small, strides, groups.
LAYERS: tuple[Convolution, ...] = (
    Convolution("resnet-first-7x7", 4, 3, (224, 224), 64, (7, 7), (2, 2), (3, 3)),
    Convolution("resnet-3x3-56", 4, 64, (56, 56), 64, (3, 3), padding=(1, 1)),
    Convolution("resnet-3x3-28", 4, 128, (28, 28), 128, (3, 3), padding=(1, 1)),
    Convolution("resnet-3x3-14", 4, 256, (14, 14), 256, (3, 3), padding=(1, 1)),
    Convolution("resnet-3x3-7", 4, 512, (7, 7), 512, (3, 3), padding=(1, 1)),
    Convolution("resnet-3x3-stride2", 4, 128, (56, 56), 128, (3, 3), (2, 2), (1, 1)),
    Convolution("resnet-1x1-56", 4, 64, (56, 56), 256, (1, 1)),
    Convolution("resnet-1x1-14", 4, 1024, (14, 14), 256, (1, 1)),
    Convolution("mobilenet-depthwise", 4, 144, (56, 56), 144, (3, 3), padding=(1, 1), groups=144),
    Convolution("resnext-grouped", 4, 128, (28, 28), 128, (3, 3), padding=(1, 1), groups=32),
    Convolution("lenet-5x5", 64, 6, (14, 14), 16, (5, 5)),
    Convolution("mnist-first", 64, 1, (28, 28), 32, (3, 3), padding=(1, 1)),
)

# What there is besides: other dimensions, transposed convolution, pooling.
OTHERS: tuple[Layer, ...] = (
    Convolution("digits-first", 64, 1, (8, 8), 16, (3, 3), padding=(1, 1)),
    Convolution("odd-channels-5x5", 4, 33, (29, 31), 47, (5, 5), (2, 2), (2, 2)),
    Convolution("audio-1d", 8, 64, (1000,), 64, (9,), (1,), (0,)),
    Convolution("video-3d", 2, 16, (16, 28, 28), 32, (3, 3, 3), (1, 1, 1), (1, 1, 1)),
    Transposed("transposed-4x4-stride2", 4, 64, (14, 14), 32, (4, 4), (2, 2), (1, 1)),
    Pooling("max-2x2", "max", 64, 32, (28, 28), (2, 2), (2, 2)),
    Pooling("max-3x3-stride2", "max", 4, 64, (112, 112), (3, 3), (2, 2), (1, 1)),
    Pooling("avg-2x2", "avg", 64, 32, (28, 28), (2, 2), (2, 2)),
    Pooling("avg-3x3-stride2", "avg", 4, 64, (56, 56), (3, 3), (2, 2), (1, 1)),
    AdaptivePooling("adaptive-max-6x6", "max", 4, 256, (15, 20), (6, 6)),
    AdaptivePooling("adaptive-avg-6x6", "avg", 4, 256, (15, 20), (6, 6)),
    AdaptivePooling("global-avg", "avg", 16, 512, (7, 7), (1, 1)),
)

# On which layers the formulations of a convolution are compared with each other, and which of them. The matrices of
# "kronecker" are quadratic in the number of pixels, so it has a layer of its own.
FORMULATIONS: tuple[tuple[Convolution, tuple[str, ...]], ...] = (
    (Convolution("digits-first", 64, 1, (8, 8), 16, (3, 3), padding=(1, 1)), ("direct", "im2col", "padpad")),
    (Convolution("small-3x3", 8, 16, (14, 14), 16, (3, 3), padding=(1, 1)), ("direct", "im2col", "padpad")),
    (Convolution("tiny-3x3", 2, 2, (6, 6), 4, (3, 3), (1, 1), (1, 1)), ("direct", "im2col", "padpad", "kronecker")),
)


def names() -> list[str]:
    """Return the names of all layers, each once."""
    return list(dict.fromkeys(layer.name for layer in (*LAYERS, *OTHERS, *(layer for layer, _ in FORMULATIONS))))


def selection(patterns: Sequence[str]) -> set[str]:
    """Return the names of layers that contain, or as a whole match, one of `patterns`; all names if there are none.

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
        return set(names())
    chosen = set()
    for pattern in patterns:
        found = {name for name in names() if pattern in name or fnmatchcase(name, pattern)}
        if not found or not pattern:
            raise BenchmarkError(f"--only: no layer is called {pattern!r}; --list shows them")
        chosen |= found
    return chosen
