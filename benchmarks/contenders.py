"""Who is measured, and how each of them sets up one operation of one layer.

Every contender gets the same NCHW arrays and prepares a callable without arguments that does the operation and
nothing else. A gradient is timed alone: the forward computation, and whatever a training loop would have kept from
it, belong to the preparation.

| operation | what the callable computes |
|---|---|
| ``forward`` | ``y``, nothing being recorded |
| ``gx`` | the gradient with respect to the input, from a given gradient of ``y`` |
| ``gw`` | the gradient with respect to the kernel, likewise |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import im2col
from .errors import BenchmarkError
from .shapes import Convolution, Layer

Array = NDArray[Any]
Job = Callable[[], Any]

SEED = 20240


@dataclass(frozen=True)
class Case:
    """A layer and its arrays, float32: `x` (N, C, H, W), `w` (O, C // G, KH, KW) or None, `gy` like the output."""

    layer: Layer
    x: Array
    w: Array | None
    gy: Array


def make_case(layer: Layer) -> Case:
    """Return `layer` with normally distributed arrays, the same in every run."""
    rng = np.random.default_rng(SEED)

    def normal(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    return Case(
        layer,
        normal(layer.x_shape),
        normal(layer.w_shape) if isinstance(layer, Convolution) else None,
        normal(layer.y_shape),
    )


class Contender(Protocol):
    """One of those that are compared.

    Attributes
    ----------
    name : for the command line and for JSON
    title : for tables and pictures
    about : what the title stands for, in a few words
    slow : whether it can only be measured on reduced layers
    """

    name: str
    title: str
    about: str
    slow: bool

    def missing(self) -> str | None:
        """Return why this contender cannot take part here, or None if it can."""

    def prepare(self, case: Case, operation: str) -> Job:
        """Return the callable that is timed."""

    def array(self, result: Any, case: Case, operation: str) -> Array:
        """Return what the callable returned as an NCHW (or OIHW) array, to be compared."""


def _unknown(contender: Contender, case: Case, operation: str) -> BenchmarkError:
    return BenchmarkError(f"{contender.name} cannot do {operation!r} of {case.layer.name}")


class Public:
    """The library as it is used: Tensors of plain NCHW arrays, and the functions of ``autograd_conv.nn``."""

    name = "autograd_conv"
    title = "autograd_conv"
    about = "the public functions on Tensors of NCHW arrays"
    slow = False

    def missing(self) -> str | None:
        from autograd_conv import nn

        absent = [name for name in ("conv2d", "max_pool2d", "avg_pool2d") if not hasattr(nn, name)]
        return f"autograd_conv.nn has no {', '.join(absent)}" if absent else None

    def prepare(self, case: Case, operation: str) -> Job:
        import autograd_conv as ac
        from autograd_conv import nn

        layer = case.layer
        x = ac.tensor(case.x, requires_grad=True)
        inputs = {"gx": x}
        if isinstance(layer, Convolution):
            assert case.w is not None
            w = inputs["gw"] = ac.tensor(case.w, requires_grad=True)
            stride, padding, groups = layer.stride, layer.padding, layer.groups

            def apply() -> Any:
                return nn.conv2d(x, w, stride=stride, padding=padding, groups=groups)
        else:
            pool: Callable[..., Any] = nn.max_pool2d if layer.kind == "max" else nn.avg_pool2d
            kernel, stride, padding = layer.kernel, layer.stride, layer.padding

            def apply() -> Any:
                return pool(x, kernel, stride, padding)

        if operation == "forward":

            def forward() -> Any:
                with ac.no_grad():
                    return apply()

            return forward
        if operation not in inputs:
            raise _unknown(self, case, operation)
        wanted, y, gy = inputs[operation], apply(), case.gy

        def gradient() -> Any:
            return ac.grad(y, wanted, gy, retain_graph=True)[0]

        return gradient

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result.numpy()


class Kernels:
    """The compiled loops by themselves: ndarrays, channels last, no tape."""

    name = "kernels"
    title = "kernels"
    about = "the compiled loops of autograd_conv alone, on channels-last arrays"
    slow = False

    def missing(self) -> str | None:
        return None

    def prepare(self, case: Case, operation: str) -> Job:
        from autograd_conv.kernels import correlation, pooling
        from autograd_conv.kernels.geometry import Window

        layer = case.layer
        window = Window.of(layer.name, layer.size, layer.kernel, layer.stride, layer.padding)

        def channels_last(array: Array) -> Array:
            """(N, C, H, W) -> (N, 1, H, W, C)."""
            return np.ascontiguousarray(array.transpose(0, 2, 3, 1))[:, None]

        x, gy = channels_last(case.x), channels_last(case.gy)
        jobs: dict[str, Job]
        if isinstance(layer, Convolution):
            assert case.w is not None
            # (O, C//G, KH, KW) -> (1, KH, KW, C//G, O)
            w = np.ascontiguousarray(case.w.transpose(2, 3, 1, 0))[None]
            jobs = {
                "forward": lambda: correlation.correlate(x, w, None, window, layer.groups),
                "gx": lambda: correlation.correlate_input_gradient(gy, w, window, layer.groups),
                "gw": lambda: correlation.correlate_weight_gradient(x, gy, window, layer.groups),
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
        if operation not in jobs:
            raise _unknown(self, case, operation)
        return jobs[operation]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        # (1, KH, KW, C//G, O) -> (O, C//G, KH, KW), and (N, 1, H, W, C) -> (N, C, H, W)
        return result[0].transpose(3, 2, 0, 1) if operation == "gw" else result[:, 0].transpose(0, 3, 1, 2)


class NumPy:
    """The same in NumPy alone: im2col and matrix products (:mod:`.im2col`)."""

    name = "numpy"
    title = "NumPy"
    about = "im2col and matrix products"
    slow = False

    def missing(self) -> str | None:
        return None

    def prepare(self, case: Case, operation: str) -> Job:
        x, gy, layer = case.x, case.gy, case.layer
        size, kernel, stride, padding = layer.size, layer.kernel, layer.stride, layer.padding
        jobs: dict[str, Job]
        if isinstance(layer, Convolution):
            w, groups = case.w, layer.groups
            assert w is not None
            columns = im2col.im2col(x, kernel, stride, padding, groups) if operation == "gw" else x
            jobs = {
                "forward": lambda: im2col.forward(x, w, stride, padding, groups),
                "gx": lambda: im2col.input_gradient(gy, w, size, stride, padding, groups),
                "gw": lambda: im2col.weight_gradient(columns, gy, layer.w_shape),
            }
        elif layer.kind == "max":
            winner = im2col.max_pool_winner(x, kernel, stride, padding, layer.out)
            jobs = {
                "forward": lambda: im2col.max_pool(x, kernel, stride, padding, layer.out),
                "gx": lambda: im2col.max_pool_gradient(gy, winner, size, kernel, stride, padding),
            }
        else:
            jobs = {
                "forward": lambda: im2col.avg_pool(x, kernel, stride, padding, layer.out),
                "gx": lambda: im2col.avg_pool_gradient(gy, size, kernel, stride, padding),
            }
        if operation not in jobs:
            raise _unknown(self, case, operation)
        return jobs[operation]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result


class Loops:
    """The definitions as plain Python loops (``autograd_conv.kernels.naive``)."""

    name = "loops"
    title = "Python loops"
    about = "the definitions, plainly"
    slow = True

    def missing(self) -> str | None:
        return None

    def prepare(self, case: Case, operation: str) -> Job:
        from autograd_conv.kernels import naive

        x, gy, layer = case.x, case.gy, case.layer
        size, kernel, stride, padding = (layer.size[0], layer.size[1]), layer.kernel, layer.stride, layer.padding
        jobs: dict[str, Job]
        if isinstance(layer, Convolution):
            w, groups = case.w, layer.groups
            assert w is not None
            jobs = {
                "forward": lambda: naive.correlate2d(x, w, None, stride, padding, 1, groups),
                "gx": lambda: naive.input_gradient(gy, w, size, stride, padding, 1, groups),
                "gw": lambda: naive.weight_gradient(x, gy, (kernel[0], kernel[1]), stride, padding, 1, groups),
            }
        elif layer.kind == "max":
            index = naive.max_pool2d(x, kernel, stride, padding)[1] if operation == "gx" else np.empty(0, np.int64)
            jobs = {
                "forward": lambda: naive.max_pool2d(x, kernel, stride, padding)[0],
                "gx": lambda: naive.max_pool2d_gradient(gy, index, size),
            }
        else:
            jobs = {
                "forward": lambda: naive.avg_pool2d(x, kernel, stride, padding),
                "gx": lambda: naive.avg_pool2d_gradient(gy, size, kernel, stride, padding),
            }
        if operation not in jobs:
            raise _unknown(self, case, operation)
        return jobs[operation]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result


CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in (Public(), Kernels(), NumPy(), Loops())}

SUBJECT = Public.name
PEERS = (NumPy.name, Loops.name)


def find(name: str) -> Contender:
    """Return the contender called `name`.

    Raises
    ------
    BenchmarkError
        If there is none, or if it cannot take part on this machine.
    """
    contender = CONTENDERS.get(name)
    if contender is None:
        raise BenchmarkError(f"there is no contender {name!r}; there are {', '.join(CONTENDERS)}")
    reason = contender.missing()
    if reason is not None:
        raise BenchmarkError(f"{name} cannot be measured: {reason}")
    return contender
