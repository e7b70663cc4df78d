"""Loops over ndarrays: correlation, pooling, and how they are split between cores.

This package knows ndarrays and integers only. Its modules are imported when they are first used, because
the compiled ones (:mod:`.correlation`, :mod:`.pooling`, :mod:`.jit`) import Numba, which takes half a second
that a program which never convolves should not pay.

| module | what it holds |
|---|---|
| ``geometry`` | output size, effective kernel, padding: written once, used everywhere |
| ``threads`` | how independent work is split between cores |
| ``arrays`` | arrays as the compiled loops want them |
| ``naive`` | the textbook loops: reference and benchmark |
| ``jit`` | the ``kernel`` decorator: Numba's compilation with a cache that cannot fail |
| ``correlation`` | correlation, its input gradient, its weight gradient |
| ``pooling`` | maximum and average pooling and their gradients |
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import arrays as arrays
    from . import correlation as correlation
    from . import geometry as geometry
    from . import jit as jit
    from . import naive as naive
    from . import pooling as pooling
    from . import threads as threads

__all__ = ["geometry", "threads", "arrays", "naive", "jit", "correlation", "pooling"]


def __getattr__(name: str) -> ModuleType:
    """Import a module of this package when it is first asked for (PEP 562)."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
