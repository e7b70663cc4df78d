"""What neural functions do with their arguments before a primitive sees them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tensor import ArrayLike, Tensor, wrap

__all__ = ["apply", "check_choice", "check_floating", "check_numeric", "count", "normalize_axis", "operand"]


def operand(value: ArrayLike) -> Any:
    """A Tensor or ndarray as it is, anything else as an ndarray."""
    return value if isinstance(value, (Tensor, np.ndarray)) else np.asarray(value)


def apply(primitive: Primitive, *operands: Any, **settings: Any) -> Any:
    """The result of a primitive as a Tensor (or several), also if no operand is one."""
    result = primitive(*operands, **settings)
    if isinstance(result, Tensor):
        return result
    if isinstance(result, tuple):
        return result if isinstance(result[0], Tensor) else tuple([wrap(np.asarray(array)) for array in result])
    if any(np.may_share_memory(result, array) for array in operands if isinstance(array, np.ndarray)):
        result = np.array(result)
    return wrap(np.asarray(result))


def check_numeric(function: str, **arrays: Any) -> None:
    """Raise TypeError if an array is neither floating-point nor integer."""
    for argument, array in arrays.items():
        if array is not None and array.dtype.kind not in "fiu":
            raise TypeError(
                f"{function}: argument {argument!r} has dtype {array.dtype}; it must be floating-point or integer"
            )


def check_floating(function: str, **arrays: Any) -> None:
    """Raise TypeError if an array is not floating-point."""
    for argument, array in arrays.items():
        if array is not None and array.dtype.kind != "f":
            raise TypeError(f"{function}: argument {argument!r} has dtype {array.dtype}; it must be floating-point")


def check_choice(function: str, argument: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError if `value` is none of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{function}: argument {argument!r} is {value!r}; it must be one of {listed}")


def count(function: str, argument: str, value: Any) -> int:
    """`value` as an integer that is at least 1."""
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if number < 1:
                raise ValueError(f"{function}: argument {argument!r} is {number}; it must be at least 1")
            return number
    raise TypeError(f"{function}: argument {argument!r} is {value!r}; it must be an integer")


def normalize_axis(function: str, argument: str, axis: Any, ndim: int) -> int:
    """`axis` counted from the front; a negative one counts from the end.

    Raises
    ------
    TypeError, IndexError
        If it is no integer, or there is no such axis.
    """
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"{function}: argument {argument!r} is {axis!r}; it must be an integer") from None
    if not -ndim <= number < ndim:
        raise IndexError(
            f"{function}: argument {argument!r} is {number}, but argument 'input' has {ndim} axes; it must lie "
            f"between {-ndim} and {ndim - 1}"
        )
    return number % ndim
