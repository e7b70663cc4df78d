"""What all contenders share: the arrays of a case, and what a contender can be asked.

Every contender gets the same arrays and prepares a callable without arguments that does one operation and nothing
else. A gradient is timed alone: the forward computation, and whatever a training loop would have kept from it, belong
to the preparation.

| operation | what the callable computes |
|---|---|
| ``forward`` | ``y``, nothing being recorded |
| ``gx`` | the gradient with respect to the input, from a given gradient of ``y`` |
| ``gw`` | the gradient with respect to the kernel, likewise |
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BenchmarkError
from ..networks import Network
from ..shapes import Convolution, Layer, Transposed

Array = NDArray[Any]
Job = Callable[[], Any]

SEED = 20240

# Order of the axes in memory. Shapes are always those of NCHW.
NCHW, NHWC = LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class Case:
    """A layer and its arrays, float32: `x` (N, C, H, W), `w` (O, C // G, KH, KW) or None, `gy` like the output.

    There are as many spatial axes as the layer has; a transposed convolution's `w` is (C, O // G, KH, KW). With the
    layout NHWC, channels lie last in the memory of `x` and `gy`.
    """

    layer: Layer
    x: Array
    w: Array | None
    gy: Array
    layout: str = NCHW


def channels_last(array: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C), contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def make_case(layer: Layer, layout: str = NCHW) -> Case:
    """Return `layer` with normally distributed arrays, the same in every run."""
    rng = np.random.default_rng(SEED)

    def normal(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    x = normal(layer.x_shape)
    w = normal(layer.w_shape) if isinstance(layer, (Convolution, Transposed)) else None
    gy = normal(layer.y_shape)
    if layout == NHWC:
        x, gy = (np.moveaxis(channels_last(array), -1, 1) for array in (x, gy))
    return Case(layer, x, w, gy, layout)


def as_convolution(case: Case, operation: str) -> tuple[Case, str]:
    """Return what computes the same without transposed convolutions: for all other layers, what is given.

    The transposed convolution is the input gradient of a convolution, in whose place `x` is a gradient of the output
    and `gy` an input. The kernel is the same array.
    """
    if not isinstance(case.layer, Transposed):
        return case, operation
    other = {"forward": "gx", "gx": "forward"}.get(operation, operation)
    return replace(case, layer=case.layer.convolution, x=case.gy, gy=case.x), other


class Contender:
    """One of those that are compared.

    Attributes
    ----------
    name : for the command line and for JSON
    title : for tables and pictures
    about : what the title stands for, in a few words
    slow : whether it can only be measured on reduced layers
    layouts : in which orders of memory it computes
    distributions : whose versions have to be stated, as in `environment.DISTRIBUTIONS`
    """

    name = ""
    title = ""
    about = ""
    slow = False
    layouts: tuple[str, ...] = (NCHW,)
    distributions: ClassVar[Mapping[str, str]] = {}

    def missing(self) -> str | None:
        """Return why this contender cannot take part here, or None if it can."""
        return None

    def cannot(self, layer: Layer) -> str | None:
        """Return why it has no such layer, or None if it has."""
        return None

    def prepare(self, case: Case, operation: str) -> Job:
        """Return the callable that is timed.

        Raises
        ------
        BenchmarkError
            If there is no such operation.
        """
        raise NotImplementedError

    def array(self, result: Any, case: Case, operation: str) -> Array:
        """Return what the callable returned as an array NCHW (or OIHW), to be compared."""
        array: Array = np.asarray(result)
        return array

    def training_step(
        self, network: Network, parameters: dict[str, Array], images: Array, labels: Array, layout: str
    ) -> Callable[[], float]:
        """Return a callable that makes one step of training (`networks`) and returns the loss before it."""
        raise NotImplementedError


def installed(module: str) -> str | None:
    """Return why `module` cannot take part, or None if it is there. It is not imported: that may take seconds."""
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    return None if found else f"there is no module {module}"


def unknown(contender: Contender, case: Case, operation: str) -> BenchmarkError:
    """Return the error for an operation that there is not."""
    return BenchmarkError(f"{contender.name} cannot do {operation!r} of {case.layer.name}")
