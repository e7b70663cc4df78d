"""Tensors from a few numbers: ranges, and one value repeated. Gradients reach these numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array_api import check_device
from ..dispatch import implements
from ..tensor import ArrayLike, Tensor
from .constants import strip
from .conversion import asarray, astype
from .elementwise import power
from .shape import broadcast_to, expand_dims, moveaxis

__all__ = ["arange", "full", "full_like", "geomspace", "linspace", "logspace"]


def _has_history(*values: Any) -> bool:
    return any(isinstance(value, Tensor) and value.requires_grad for value in values)


def _made(array: Any, requires_grad: bool) -> Tensor:
    return Tensor(array, requires_grad=requires_grad)


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers at a given distance, without the end; gradients reach `start` and `step`.

    Parameters
    ----------
    start, stop, step : scalar
        As for ``numpy.arange``; one number alone is `stop`.
    dtype : dtype, optional
    device : None or "cpu"
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
    """
    check_device("arange", device)
    bounds = strip((start,) if stop is None else (start, stop))
    values = np.arange(*bounds, **({} if step is None else {"step": strip(step)}), dtype=dtype)
    if stop is None or not _has_history(start, step):
        return _made(values, requires_grad)
    result = start + np.arange(len(values)) * (1 if step is None else step)
    return astype(result, values.dtype, copy=False)


def full(
    shape: Any,
    fill_value: ArrayLike,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value, or an array broadcast, in a given shape; gradients reach it.

    Parameters
    ----------
    shape : int or sequence of int
    fill_value : array_like
    dtype : dtype, optional
        By default that of `fill_value`.
    order : str
        For compatibility.
    device : None or "cpu"
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
    """
    check_device("full", device)
    if not isinstance(fill_value, (Tensor, list, tuple)):
        return _made(np.full(strip(shape), fill_value, dtype), requires_grad)
    value = asarray(fill_value, dtype)
    return broadcast_to(value, strip(shape)) + np.zeros((), value.dtype)


@implements(np.full_like)
def full_like(
    a: ArrayLike,
    fill_value: ArrayLike,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value, in the shape and dtype of another array; gradients reach the value."""
    check_device("full_like", device)
    like = asarray(a)
    return full(like.shape if shape is None else shape, fill_value, dtype or like.dtype, requires_grad=requires_grad)


def _with_parameters(original: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function of NumPy, with what the standard and Tensors add to it."""
    signature = inspect.signature(original)
    more = {"device": None, "requires_grad": False}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in more.items()
        if name not in signature.parameters
    ]
    return signature.replace(parameters=[*signature.parameters.values(), *added])


def _space(name: str, between: Callable[..., Any], summary: str) -> Callable[..., Any]:
    original = getattr(np, name)

    def function(start: ArrayLike, stop: ArrayLike, num: int = 50, *args: Any, axis: int = 0, **kwargs: Any) -> Any:
        check_device(name, kwargs.pop("device", None))
        requires_grad = kwargs.pop("requires_grad", False)
        result = original(strip(start), strip(stop), num, *strip(args), axis=axis, **strip(kwargs))
        more = (*args, *kwargs.values())
        if not _has_history(asarray(start), asarray(stop), *more):
            if isinstance(result, tuple):
                return _made(result[0], requires_grad), asarray(result[1])
            return _made(result, requires_grad)
        values = result[0] if isinstance(result, tuple) else result
        endpoint = args[0] if args else kwargs.get("endpoint", True)
        first, last = np.broadcast_arrays(asarray(start), asarray(stop))
        share = np.linspace(0.0, 1.0, num, endpoint=endpoint).reshape((-1,) + (1,) * first.ndim)
        line = between(expand_dims(first, 0), expand_dims(last, 0), share, *args[1:2], **kwargs)
        line = astype(moveaxis(line, 0, axis), values.dtype, copy=False)
        if isinstance(result, tuple):
            return line, (last - first) / max(num - 1 if endpoint else num, 1)
        return line

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    start, stop : array_like
        Gradients reach both.
    num : int
        How many.
    *args, **kwargs
        As for ``numpy.{name}``; and `requires_grad`, whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
    """
    function.__signature__ = _with_parameters(original)  # type: ignore[attr-defined]
    return implements(original)(function)


def _line(start: Any, stop: Any, share: Any, *args: Any, **kwargs: Any) -> Any:
    return start * (1 - share) + stop * share


def _powers(start: Any, stop: Any, share: Any, base: Any = 10.0, **kwargs: Any) -> Any:
    return power(asarray(base), _line(start, stop, share))


def _ratios(start: Any, stop: Any, share: Any, *args: Any, **kwargs: Any) -> Any:
    return start * power(stop / start, share)


linspace = _space("linspace", _line, "A given number of equidistant numbers.")
logspace = _space("logspace", _powers, "A given number of powers with equidistant exponents.")
geomspace = _space("geomspace", _ratios, "A given number of numbers with one ratio between neighbours.")
