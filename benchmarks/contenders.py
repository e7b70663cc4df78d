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
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import environment, im2col, loops
from .errors import BenchmarkError
from .shapes import AdaptivePooling, Convolution, Layer, Pooling, Transposed

Array = NDArray[Any]
Job = Callable[[], Any]

SEED = 20240


@dataclass(frozen=True)
class Case:
    """A layer and its arrays, float32: `x` (N, C, H, W), `w` (O, C // G, KH, KW) or None, `gy` like the output.

    There are as many spatial axes as the layer has; a transposed convolution's `w` is (C, O // G, KH, KW).
    """

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
        normal(layer.w_shape) if isinstance(layer, (Convolution, Transposed)) else None,
        normal(layer.y_shape),
    )


def as_convolution(case: Case, operation: str) -> tuple[Case, str]:
    """Return what computes the same without transposed convolutions: for all other layers, what is given.

    The transposed convolution is the input gradient of a convolution, in whose place `x` is a gradient of the output
    and `gy` an input. The kernel is the same array.
    """
    if not isinstance(case.layer, Transposed):
        return case, operation
    other = {"forward": "gx", "gx": "forward"}.get(operation, operation)
    return Case(case.layer.convolution, case.gy, case.w, case.x), other


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
    method = "auto"

    def missing(self) -> str | None:
        from autograd_conv import nn

        needed = ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")
        absent = [name for name in needed if not hasattr(nn, name)]
        return f"autograd_conv.nn has no {', '.join(absent)}" if absent else None

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
            raise _unknown(self, case, operation)
        wanted, y, gy = inputs[operation], function(*operands), case.gy

        def gradient() -> Any:
            return ac.grad(y, wanted, gy, retain_graph=True)[0]

        return gradient

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result.numpy()


class Method(Public):
    """The library with one formulation of convolutions instead of the fastest: ``method=``."""

    def __init__(self, method: str, about: str) -> None:
        self.name = self.title = self.method = method
        self.about = about


class Kernels:
    """The compiled loops by themselves: ndarrays, channels last, no tape."""

    name = "kernels"
    title = "kernels"
    about = "the compiled loops of autograd_conv alone, on channels-last arrays"
    slow = False

    def missing(self) -> str | None:
        return None

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
            raise _unknown(self, case, operation)
        return jobs[asked]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        axes = len(case.layer.size)
        if operation == "gw":  # (1, KH, KW, C//G, O) -> (KH, KW, C//G, O) -> (O, C//G, KH, KW)
            return np.moveaxis(result.reshape(result.shape[3 - axes :]), (-1, -2), (0, 1))
        # (N, 1, H, W, C) -> (N, H, W, C) -> (N, C, H, W)
        return np.moveaxis(result.reshape(result.shape[0], *result.shape[4 - axes :]), -1, 1)


class NumPy:
    """The same in NumPy alone: im2col and matrix products, reductions (:mod:`.im2col`)."""

    name = "numpy"
    title = "NumPy"
    about = "im2col and matrix products; pooling by operations on whole arrays"
    slow = False

    def missing(self) -> str | None:
        return None

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
            raise _unknown(self, case, operation)
        return jobs[asked]

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result


class Loops:
    """The definitions as plain Python loops (``autograd_conv.kernels.naive``, and :mod:`.loops`)."""

    name = "loops"
    title = "Python loops"
    about = "the definitions, plainly"
    slow = True

    def missing(self) -> str | None:
        return None

    def prepare(self, case: Case, operation: str) -> Job:
        case, asked = as_convolution(case, operation)
        if isinstance(case.layer, Convolution):
            jobs = self._convolution(case, case.layer)
        elif isinstance(case.layer, Pooling):
            jobs = self._pooling(case, case.layer, asked)
        else:
            assert isinstance(case.layer, AdaptivePooling)
            jobs = self._adaptive(case, case.layer, asked)
        if asked not in jobs:
            raise _unknown(self, case, operation)
        return jobs[asked]

    def _convolution(self, case: Case, layer: Convolution) -> dict[str, Job]:
        from autograd_conv.kernels import naive

        x, gy, w = case.x, case.gy, case.w
        size, kernel, stride, padding, groups = layer.size, layer.kernel, layer.stride, layer.padding, layer.groups
        assert w is not None
        if len(size) != 2:
            return {
                "forward": lambda: loops.correlate(x, w, layer.out, stride, padding, groups),
                "gx": lambda: loops.input_gradient(gy, w, size, stride, padding, groups),
                "gw": lambda: loops.weight_gradient(x, gy, layer.w_shape, stride, padding, groups),
            }
        return {
            "forward": lambda: naive.correlate2d(x, w, None, stride, padding, 1, groups),
            "gx": lambda: naive.input_gradient(gy, w, size, stride, padding, 1, groups),
            "gw": lambda: naive.weight_gradient(x, gy, kernel, stride, padding, 1, groups),
        }

    def _pooling(self, case: Case, layer: Pooling, operation: str) -> dict[str, Job]:
        from autograd_conv.kernels import naive

        x, gy = case.x, case.gy
        size, kernel, stride, padding = layer.size, layer.kernel, layer.stride, layer.padding
        if layer.kind == "max":
            index = naive.max_pool2d(x, kernel, stride, padding)[1] if operation == "gx" else np.empty(0, np.int64)
            return {
                "forward": lambda: naive.max_pool2d(x, kernel, stride, padding)[0],
                "gx": lambda: naive.max_pool2d_gradient(gy, index, size),
            }
        return {
            "forward": lambda: naive.avg_pool2d(x, kernel, stride, padding),
            "gx": lambda: naive.avg_pool2d_gradient(gy, size, kernel, stride, padding),
        }

    def _adaptive(self, case: Case, layer: AdaptivePooling, operation: str) -> dict[str, Job]:
        x, gy, size, out = case.x, case.gy, layer.size, layer.out
        if layer.kind == "max":
            winner = loops.adaptive_max_pool(x, out)[1] if operation == "gx" else {}
            return {
                "forward": lambda: loops.adaptive_max_pool(x, out)[0],
                "gx": lambda: loops.adaptive_max_pool_gradient(gy, winner, size),
            }
        return {
            "forward": lambda: loops.adaptive_avg_pool(x, out),
            "gx": lambda: loops.adaptive_avg_pool_gradient(gy, size),
        }

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result


class PyTorch:
    """PyTorch, with as many threads as the others. Optional: it takes part where it can be imported."""

    name = "torch"
    title = "PyTorch"
    about = "torch.nn.functional on plain NCHW tensors on the CPU"
    slow = False

    def missing(self) -> str | None:
        try:
            import torch  # noqa: F401
        except Exception as error:  # an installation that cannot be loaded raises whatever it likes
            return f"it cannot be imported: {error}"
        return None

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
            inputs["gw"] = torch.from_numpy(case.w)
        operands = tuple(inputs.values())
        if operation == "forward":

            def forward() -> Any:
                with torch.no_grad():
                    return function(*operands)

            return forward
        if operation not in inputs:
            raise _unknown(self, case, operation)
        # Of two inputs, only that one requires a gradient; the other gradient would be computed, too.
        wanted, gy = inputs[operation].requires_grad_(), torch.from_numpy(case.gy)
        y = function(*operands)

        def gradient() -> Any:
            return torch.autograd.grad(y, wanted, gy, retain_graph=True)[0]

        return gradient

    def array(self, result: Any, case: Case, operation: str) -> Array:
        return result.numpy()


CONTENDERS: dict[str, Contender] = {
    contender.name: contender for contender in (Public(), Kernels(), NumPy(), Loops(), PyTorch())
}

SUBJECT = Public.name
PEERS = (NumPy.name, Loops.name)
# These take part, too, where they can.
OPTIONAL_PEERS = (PyTorch.name,)
# Whose version has to be stated where a contender takes part, as in `environment.DISTRIBUTIONS`.
DISTRIBUTIONS = {PyTorch.name: {"PyTorch": "torch"}}

METHODS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Method("direct", "sums over the taps"),
        Method("im2col", "matrix products with unfolded images"),
        Method("padpad", "gradients as correlations with padded and rotated arrays"),
        Method("kronecker", "products with explicit Kronecker matrices"),
    )
}


def default_peers() -> list[str]:
    """Return the names of the peers of a run that names none."""
    return [*PEERS, *(name for name in OPTIONAL_PEERS if CONTENDERS[name].missing() is None)]


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
