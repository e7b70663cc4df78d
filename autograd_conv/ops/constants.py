"""Functions of NumPy whose results have no derivative, and questions about arrays.

The results are Tensors without history: gradients do not flow through positions, counts and comparisons.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import CONSTANT, FUNCTIONS, register_numpy
from ..errors import explain_failure
from ..tensor import assign_out, raw, wrap

__all__ = [
    "allclose", "argpartition", "array2string", "array_equal", "array_equiv", "array_repr", "array_str", "bartlett",
    "blackman", "broadcast_shapes", "can_cast", "common_type", "diag_indices", "diag_indices_from", "hamming",
    "hanning", "indices", "iscomplex", "iscomplexobj", "isclose", "isfortran", "isneginf", "isposinf", "isreal",
    "isrealobj", "kaiser", "lexsort", "mask_indices", "may_share_memory", "min_scalar_type", "nanargmax", "nanargmin",
    "ndim", "packbits", "ravel_multi_index", "result_type", "searchsorted", "shape", "shares_memory", "size",
    "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from", "unpackbits", "unravel_index",
]  # fmt: skip


def strip(value: Any) -> Any:
    """`value` with arrays in place of Tensors, also inside sequences and dictionaries."""
    if isinstance(value, (list, tuple)):
        return type(value)([strip(item) for item in value])
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items()}
    return raw(value)


def dress(result: Any) -> Any:
    """Tensors without history in place of the arrays of a result."""
    if isinstance(result, (list, tuple)):
        return type(result)([dress(item) for item in result])
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "biufc":
        return wrap(np.asarray(result))
    return result


@functools.cache
def _position_of_out(function: Callable[..., Any]) -> int:
    """Where among the arguments of a function its ``out`` stands; 0 if there is none. Reading signatures is slow."""
    try:
        parameters = list(inspect.signature(function).parameters)
    except ValueError:  # built in, without a signature to read
        return 0
    return parameters.index("out") if "out" in parameters else 0


def without_history(function: Callable[..., Any], summary: str, finish: Callable[[Any], Any] = dress) -> Any:
    """A function of NumPy, applied to the values of Tensors."""
    name = function.__name__

    def call(*args: Any, **kwargs: Any) -> Any:
        out_at = _position_of_out(function) if len(args) > 1 else 0
        if 0 < out_at < len(args):
            kwargs["out"], args = args[out_at], (*args[:out_at], None, *args[out_at + 1 :])
        out = kwargs.pop("out", None)
        try:
            result = finish(function(*strip(args), **strip(kwargs)))
        except Exception as error:
            explain_failure(error, name)
            raise
        return result if out is None else assign_out(name, out[0] if isinstance(out, tuple) else out, result)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"""{summary}

    Parameters
    ----------
    *args, **kwargs
        As for ``numpy.{name}``; arrays may be Tensors.

    Returns
    -------
    As ``numpy.{name}``, with Tensors for arrays
        Constants: no derivative, no history.
    """
    return call


def constant(function: Callable[..., Any], summary: str, finish: Callable[[Any], Any] = dress) -> Callable[..., Any]:
    """Make and register the function that stands for one of NumPy whose results have no derivative."""
    ours: Callable[..., Any] = without_history(function, summary, finish)
    register_numpy(function, ours)
    CONSTANT.add(function)
    return ours


def constant_method(ufunc: np.ufunc, method: str) -> Callable[..., Any]:
    """The same for ``ufunc.reduce`` and its like."""
    ours: Callable[..., Any] = without_history(getattr(ufunc, method), f"``{ufunc.__name__}.{method}``.")
    FUNCTIONS[ufunc, method] = ours
    return ours


def question(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's whose answer is no array, for Tensors too."""
    ours: Callable[..., Any] = without_history(
        function, f"As ``numpy.{function.__name__}``, for Tensors and arrays; the answer is no Tensor.", lambda r: r
    )
    register_numpy(function, ours)
    CONSTANT.add(function)
    return ours


# --- positions -----------------------------------------------------------------------------------------------

argpartition = constant(np.argpartition, "Positions that put the k-th smallest element at place k.")
lexsort = constant(np.lexsort, "Positions that sort by several keys, the last one first.")
searchsorted = constant(np.searchsorted, "Positions at which elements would be inserted to keep a vector sorted.")
nanargmax = constant(np.nanargmax, "Position of the first of the largest elements, apart from NaN.")
nanargmin = constant(np.nanargmin, "Position of the first of the smallest elements, apart from NaN.")
indices = constant(np.indices, "The index of each element of an array of a given shape, along each axis.")
diag_indices = constant(np.diag_indices, "Positions of the main diagonal of a cube.")
diag_indices_from = constant(np.diag_indices_from, "Positions of the main diagonal of an array.")
tril_indices = constant(np.tril_indices, "Positions of the lower triangle of a matrix of a given size.")
tril_indices_from = constant(np.tril_indices_from, "Positions of the lower triangle of a matrix.")
triu_indices = constant(np.triu_indices, "Positions of the upper triangle of a matrix of a given size.")
triu_indices_from = constant(np.triu_indices_from, "Positions of the upper triangle of a matrix.")
mask_indices = constant(np.mask_indices, "Positions where a function such as `triu` leaves ones.")
ravel_multi_index = constant(np.ravel_multi_index, "Positions in the raveled array of given indices.")
unravel_index = constant(np.unravel_index, "Indices of given positions in the raveled array.")

# --- properties of elements ------------------------------------------------------------------------------------

isclose = constant(np.isclose, "Whether elements differ by no more than a tolerance.")
iscomplex = constant(np.iscomplex, "Whether the imaginary part is not zero.")
isreal = constant(np.isreal, "Whether the imaginary part is zero.")
isneginf = constant(np.isneginf, "Whether elements are -inf.")
isposinf = constant(np.isposinf, "Whether elements are inf.")
packbits = constant(np.packbits, "Booleans as bits of bytes.")
unpackbits = constant(np.unpackbits, "Bits of bytes as zeros and ones.")

# --- windows of a given length ---------------------------------------------------------------------------------

bartlett = constant(np.bartlett, "The triangular window.")
blackman = constant(np.blackman, "The Blackman window.")
hamming = constant(np.hamming, "The Hamming window.")
hanning = constant(np.hanning, "The von Hann window.")
kaiser = constant(np.kaiser, "The Kaiser window; no derivative by its parameter.")

# --- questions -------------------------------------------------------------------------------------------------

allclose = question(np.allclose)
array2string = question(np.array2string)
array_equal = question(np.array_equal)
array_equiv = question(np.array_equiv)
array_repr = question(np.array_repr)
array_str = question(np.array_str)
broadcast_shapes = question(np.broadcast_shapes)
can_cast = question(np.can_cast)
common_type = question(np.common_type)
iscomplexobj = question(np.iscomplexobj)
isfortran = question(np.isfortran)
isrealobj = question(np.isrealobj)
may_share_memory = question(np.may_share_memory)
min_scalar_type = question(np.min_scalar_type)
ndim = question(np.ndim)
result_type = question(np.result_type)
shape = question(np.shape)
shares_memory = question(np.shares_memory)
size = question(np.size)
