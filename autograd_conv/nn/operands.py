"""What neural functions do with their arguments before a primitive sees them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..ops.conversion import asarray
from ..primitive import Primitive
from ..tensor import ArrayLike, Tensor, raw, wrap

__all__ = [
    "apply", "check_choice", "check_flags", "check_floating", "check_numeric", "check_real", "count", "integer",
    "is_plain", "is_usual", "normalize_axis", "number", "operand", "real_operand",
]  # fmt: skip


def operand(function: str, argument: str, value: ArrayLike) -> Any:
    """A Tensor or ndarray as it is; a sequence as a Tensor, with the history of Tensors in it; a number as an ndarray.

    Raises
    ------
    TypeError, ValueError
        If it holds anything but numbers, or rows of different lengths.
    """
    if is_usual(value):
        return value
    if not isinstance(value, (Tensor, np.ndarray)):
        try:
            array = np.asarray(value) if np.isscalar(value) else asarray(value)
        except ValueError as error:
            raise ValueError(f"{function}: argument {argument!r} is no array; {error}") from None
        except TypeError:
            raise TypeError(
                f"{function}: argument {argument!r} is {_short(value)}; it must be an array of numbers"
            ) from None
        value = array
    if value.dtype.kind not in "biufc":
        raise TypeError(f"{function}: argument {argument!r} has dtype {value.dtype}; it must hold numbers")
    return value


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def is_usual(value: Any) -> bool:
    """Whether an argument is a Tensor of floating-point numbers, which needs no further look."""
    return type(value) is Tensor and value._array.dtype.kind == "f"


def is_plain(*settings: Any) -> bool:
    """Whether settings are integers, strings, and tuples of such: what was parsed for equal ones holds for these.

    Of others that does not hold: 1, True and 1.0 are equal, and lists change.
    """
    for setting in settings:
        kind = type(setting)
        if kind is not int and kind is not str and not (kind is tuple and is_plain(*setting)):
            return False
    return True


def apply(primitive: Primitive, *operands: Any, **settings: Any) -> Any:
    """The result of a primitive as a Tensor (or several), also if no operand is one."""
    result = primitive.apply(operands, settings)
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


def check_real(function: str, **arrays: Any) -> None:
    """Raise TypeError if an array is complex; booleans count as 0 and 1."""
    for argument, array in arrays.items():
        if array is not None and array.dtype.kind == "c":
            raise TypeError(f"{function}: argument {argument!r} has dtype {array.dtype}; it must be real")


def check_flags(function: str, **flags: Any) -> None:
    """Raise TypeError if a flag is not a boolean: what was meant for another parameter is not taken for True."""
    for argument, flag in flags.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{function}: argument {argument!r} is {_short(flag)}; it must be True or False")


def check_choice(function: str, argument: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError if `value` is none of `choices`."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{function}: argument {argument!r} is {value!r}; it must be one of {listed}")


def integer(function: str, argument: str, value: Any) -> int:
    """`value` as an int; TypeError if it is none, as booleans are."""
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{function}: argument {argument!r} is {_short(value)}; it must be an integer")


def count(function: str, argument: str, value: Any) -> int:
    """`value` as an integer that is at least 1."""
    result = integer(function, argument, value)
    if result < 1:
        raise ValueError(f"{function}: argument {argument!r} is {result}; it must be at least 1")
    return result


def number(function: str, argument: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` as a float.

    Raises
    ------
    TypeError
        If it is no real number.
    ValueError
        If it does not lie between `low` and `high`.
    """
    if type(value) is float and low == -math.inf:
        return value
    array = raw(value)
    if not isinstance(array, (bool, int, float, np.number, np.bool_, np.ndarray)) or (
        isinstance(array, (np.number, np.ndarray)) and (array.ndim != 0 or array.dtype.kind not in "biuf")
    ):
        raise TypeError(f"{function}: argument {argument!r} is {_short(value)}; it must be a number")
    result = float(array)
    if low > -math.inf and not low <= result <= high:
        rule = f"lie between {low:g} and {high:g}" if high < math.inf else f"be at least {low:g}"
        raise ValueError(f"{function}: argument {argument!r} is {_short(value)}; it must {rule}")
    return result


def normalize_axis(function: str, argument: str, axis: Any, ndim: int) -> int:
    """`axis` counted from the front; a negative one counts from the end.

    Raises
    ------
    TypeError, IndexError
        If it is no integer, or there is no such axis.
    """
    index = integer(function, argument, axis)
    if not -ndim <= index < ndim:
        raise IndexError(
            f"{function}: argument {argument!r} is {index}, but argument 'input' has {ndim} axes; it must lie "
            f"between {-ndim} and {ndim - 1}"
        )
    return index % ndim


def real_operand(function: str, input: ArrayLike) -> Any:
    """The operand, with integers as float64, as NumPy's functions take them."""
    if is_usual(input):
        return input
    x = operand(function, "input", input)
    check_numeric(function, input=x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)
