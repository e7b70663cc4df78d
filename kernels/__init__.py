"""Loops over ndarrays: correlation, pooling, and how they are split between cores.

This package knows ndarrays and integers only. Its modules are imported when they are first used, because
the compiled ones (:mod:`.correlation`, :mod:`.pooling` and its like, :mod:`.jit`) import Numba, which takes half
a second that a program which never convolves should not pay.

| module | what it holds |
|---|---|
| ``geometry`` | output size, effective kernel, padding: written once, used everywhere |
| ``threads`` | how independent work is split between cores |
| ``waiting`` | ... how threads wait for what comes within microseconds |
| ``arrays`` | arrays as the compiled loops want them |
| ``naive`` | the textbook loops: reference and benchmark |
| ``jit`` | the ``kernel`` decorator: Numba's compilation with a cache that cannot fail |
| ``correlation`` | correlation, its input gradient, its weight gradient |
| ``products``, ``outer`` | ... in register tiles: sums of matrix products, and of outer products |
| ``cutting``, ``blocking`` | ... how the weight gradient is cut into tiles, and where everything lies |
| ``gather`` | ... which source pixels a target pixel needs |
| ``matrix``, ``pointwise`` | matrix products; kernels of one tap as such products of arrays as they lie |
| ``pixels``, ``shallow`` | ... products with channels in the lanes of vectors: of many terms, and of few |
| ``narrow`` | ... with pixels in the lanes, for results of few channels |
| ``grouped``, ``planes`` | small groups and depthwise: channels last, and planes as they lie |
| ``stencil`` | ... their register tiles |
| ``moving`` | rows copied and transposed in vectors |
| ``packing`` | ... kernels, in the order in which tiles read them |
| ``keeping`` | ... kept while the array does not change |
| ``loops`` | ... in plain loops, where tiles do not serve |
| ``emitter``, ``tile`` | vectors of this machine, and the register tiles |
| ``transposition`` | from channels first to channels last and back, in blocks of registers |
| ``workspace`` | memory that is used again: for scratch, and for results whose last user has gone |
| ``formulations`` | the ways to compute these three, by name |
| ``winograd`` | ... for 3x3 and 5x5 kernels, with a quarter and a third of the multiplications |
| ``transforms`` | minimal filtering: its matrices, and vectors multiplied by them |
| ``im2col`` | ... as one matrix product for each group (sources 000, 002, 003) |
| ``padpad`` | ... with gradients that are correlations with stride 1 (source 001) |
| ``kronecker`` | ... with explicit vec and Kronecker matrices (source 002) |
| ``rectifier`` | max(x, 0) and its gradient |
| ``steps`` | steps of optimizers |
| ``channelwise`` | sums over all axes but the channels', affine maps for each channel: batch normalization |
| ``pooling`` | maximum and average pooling and their gradients |
| ``maximum`` | ... maxima, in vectors of channels |
| ``regions`` | pools over regions given by tables: adaptive, global, fractional |
| ``places`` | routing by flat indices: gradients of these pools, unpooling |
| ``columns`` | windows as columns of a matrix, and back: im2col, col2im |
| ``softmax`` | softmax, its logarithm, cross entropy, row by row |
| ``special`` | error, gamma and polygamma functions |
| ``peak`` | what this machine can do at most, measured |
| ``order`` | in which order axes lie in memory |
| ``tables`` | linear maps along one axis: resampling, windows |
| ``resampling`` | ... applied |
| ``sampling`` | reading between elements at given points, and its transpose |
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import arrays as arrays
    from . import channelwise as channelwise
    from . import columns as columns
    from . import correlation as correlation
    from . import emitter as emitter
    from . import formulations as formulations
    from . import geometry as geometry
    from . import im2col as im2col
    from . import jit as jit
    from . import keeping as keeping
    from . import kronecker as kronecker
    from . import matrix as matrix
    from . import naive as naive
    from . import order as order
    from . import padpad as padpad
    from . import peak as peak
    from . import places as places
    from . import pooling as pooling
    from . import rectifier as rectifier
    from . import regions as regions
    from . import resampling as resampling
    from . import sampling as sampling
    from . import softmax as softmax
    from . import special as special
    from . import steps as steps
    from . import tables as tables
    from . import threads as threads
    from . import transposition as transposition
    from . import winograd as winograd
    from . import workspace as workspace

__all__ = [
    "geometry", "threads", "arrays", "naive", "jit", "channelwise", "correlation", "emitter", "formulations",
    "winograd", "keeping", "transposition", "im2col", "padpad", "kronecker", "pooling", "rectifier", "regions",
    "places", "columns", "order", "tables", "resampling", "sampling", "softmax", "special", "steps", "workspace",
    "peak", "matrix",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Import a module of this package when it is first asked for (PEP 562)."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
