"""Which function of ours stands for which function of NumPy.

Filled by `autograd_conv.ops` when it is imported, read by `Tensor`: its operators and methods, and NumPy's own
functions when they are handed a Tensor, all reach the same code through these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

__all__ = ["CONSTANT", "FUNCTIONS", "OPERATORS", "OUT_OF_SCOPE", "implements", "lookup", "register_numpy"]

F = TypeVar("F", bound=Callable[..., Any])

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""NumPy function, or (ufunc, method name) -> our function with the same signature."""

OPERATORS: dict[np.ufunc, Callable[..., Any]] = {}
"""Universal function -> how its primitive is called. Python's operators take this shorter way."""

CONSTANT: set[Any] = set()
"""Functions of NumPy whose results have no derivative, or one that is zero wherever it exists."""

OUT_OF_SCOPE: dict[str, str] = {}
"""Name of a function of NumPy that is not for Tensors -> the reason."""


def implements(*numpy_functions: Any) -> Callable[[F], F]:
    """Declare that a function stands for these functions of NumPy when they get a Tensor."""

    def register(function: F) -> F:
        for numpy_function in numpy_functions:
            register_numpy(numpy_function, function)
        return function

    return register


def register_numpy(numpy_function: Any, function: Callable[..., Any]) -> None:
    """Make ``numpy_function(tensor, ...)`` call ``function(tensor, ...)``.

    Parameters
    ----------
    numpy_function : callable
        A function or universal function of NumPy.
    function : callable
        Takes the same arguments; a `Primitive`, say.

    Raises
    ------
    TypeError
        If either is not callable.
    """
    for value in (numpy_function, function):
        if not (callable(value) or isinstance(value, tuple)):
            raise TypeError(f"register_numpy: {value!r} is not callable; both arguments must be functions")
    FUNCTIONS[numpy_function] = function


def lookup(numpy_function: Any) -> Callable[..., Any]:
    """Our function for a function of NumPy; a TypeError that names it if there is none."""
    try:
        return FUNCTIONS[numpy_function]
    except KeyError:
        if isinstance(numpy_function, tuple):
            name = f"{numpy_function[0].__name__}.{numpy_function[1]}"
        else:
            name = getattr(numpy_function, "__name__", repr(numpy_function))
            _, _, submodule = str(getattr(numpy_function, "__module__", "")).partition("numpy.")
            name = f"{submodule}.{name}" if submodule else name
        if name in OUT_OF_SCOPE:
            raise TypeError(f"numpy.{name} takes no Tensors: {OUT_OF_SCOPE[name]}") from None
        raise TypeError(
            f"numpy.{name} is not covered for Tensors; make it one of your own with "
            "autograd_conv.primitive and autograd_conv.register_numpy, or pass tensor.numpy() "
            "if no gradient is needed"
        ) from None
