"""Choosing between arrays, and limiting or replacing values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import CONSTANT, implements
from ..primitive import primitive
from ..scalars import ZEROS
from ..tensor import ArrayLike, Tensor, as_tensor, assign_out, raw
from .conversion import asarray
from .ufunc import flat

__all__ = ["around", "choose", "clip", "fix", "nan_to_num", "piecewise", "round", "select", "where"]

_where = primitive(np.where, name="where", arguments=("condition", "x", "y"), broadcasts=True)
_where.defvjp(
    x=lambda g, condition: np.where(condition, g, ZEROS[g.dtype]),
    y=lambda g, condition: np.where(condition, ZEROS[g.dtype], g),
)


@implements(np.where)
def where(condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, /) -> Any:
    """Elements of `x` where `condition` holds, of `y` elsewhere.

    Parameters
    ----------
    condition : array_like of bool
    x, y : array_like
        All three are broadcast against each other. Without `x` and `y`: the indices where the condition holds.

    Returns
    -------
    Tensor, or tuple of integer Tensors without `x` and `y`

    Notes
    -----
    The side that is not chosen gets the cotangent 0, also where it is infinite or NaN.
    """
    if x is None or y is None:
        if x is not None or y is not None:
            raise ValueError("where: give both of the arguments 'x' and 'y', or neither")
        return tuple([Tensor(index) for index in np.nonzero(np.asarray(as_tensor(condition)._array))])
    operands = [as_tensor(a) if isinstance(a, (list, tuple)) else a for a in (condition, x, y)]
    if type(x) is not Tensor and not any(isinstance(a, Tensor) for a in operands):
        operands[0] = as_tensor(operands[0])
    return _where.apply(operands, {})


def _clip_forward(x: Any, low: Any, high: Any) -> Any:
    return np.clip(x, low, high)


_clip = primitive(_clip_forward, name="clip", broadcasts=True)


def _below(low: Any, x: Any) -> Any:
    return np.less(x, low) if low is not None else False


def _above(high: Any, x: Any) -> Any:
    return np.greater(x, high) if high is not None else False


_clip.defvjp(
    # At a bound itself the cotangent goes to x, as in PyTorch; the upper bound wins where the bounds cross.
    x=lambda g, x, low, high: np.where(np.logical_or(_below(low, x), _above(high, x)), 0, g),
    low=lambda g, x, low, high: np.where(np.logical_and(_below(low, x), np.logical_not(_above(high, low))), g, 0),
    high=lambda g, x, low, high: np.where(_above(high, x if low is None else np.maximum(x, low)), g, 0),
)


@implements(np.clip)
def clip(
    a: ArrayLike,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
    out: Tensor | None = None,
    *,
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
) -> Tensor:
    """Limit values to an interval.

    Parameters
    ----------
    a : array_like
    min, max : array_like, optional
        Bounds; None: no bound. NumPy's other names for them are `a_min` and `a_max`.
    out : Tensor, optional
        Where to store the result.

    Returns
    -------
    Tensor
        Inside the bounds the cotangent goes to `a`, outside to the bound that holds.
    """
    low = a_min if min is None else min
    high = a_max if max is None else max
    bounds = [as_tensor(bound) if isinstance(bound, (list, tuple)) else bound for bound in (low, high)]
    result = _clip(as_tensor(a), *bounds)
    return result if out is None else assign_out("clip", out, result)


_round = primitive(np.round, name="round", arguments=("x",))
_round.settings["decimals"] = 0
_round.defvjp(x=flat)


@implements(np.round, np.around)
def round(a: ArrayLike, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Round to `decimals` digits after the point, ties to even; the derivative is 0."""
    result = _round(as_tensor(a), decimals=decimals)
    return result if out is None else assign_out("round", out, result)


around = round
_fix = primitive(np.trunc, name="fix", arguments=("x",)).defvjp(x=flat)


CONSTANT.update({np.fix, np.round, np.around})


@implements(np.fix)
def fix(x: ArrayLike, out: Tensor | None = None) -> Tensor:
    """Round towards zero; the derivative is 0."""
    result = _fix(as_tensor(x))
    return result if out is None else assign_out("fix", out, result)


def _nan_to_num_forward(x: Any, *, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    return np.nan_to_num(x, copy=True, nan=nan, posinf=posinf, neginf=neginf)


_nan_to_num = primitive(_nan_to_num_forward, name="nan_to_num")
_nan_to_num.defvjp(x=lambda g, x: np.where(np.isfinite(x), g, 0))


@implements(np.nan_to_num)
def nan_to_num(
    x: ArrayLike,
    copy: bool = True,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Replace NaN and infinities by numbers; the derivative is 0 where something was replaced.

    Parameters
    ----------
    x : array_like
    copy : bool
        False: change `x`, if it is a Tensor, and return it.
    nan, posinf, neginf : float, optional
        What to put in place of each; by default 0, and the largest and smallest finite numbers.

    Returns
    -------
    Tensor
    """
    result: Tensor = _nan_to_num(as_tensor(x), nan=nan, posinf=posinf, neginf=neginf)
    return result if copy or not isinstance(x, Tensor) else assign_out("nan_to_num", x, result)


# --- one of several ------------------------------------------------------------------------------------------


@implements(np.choose)
def choose(a: ArrayLike, choices: Sequence[ArrayLike] | Tensor, out: Any = None, mode: str = "raise") -> Tensor:
    """From several arrays, at each place the element of the one that an array of integers names.

    Parameters
    ----------
    a : array_like of int
        Which of the choices.
    choices : sequence of array_like
        Broadcast against each other and `a`.
    out : Tensor, optional
        Where to store the result.
    mode : {"raise", "wrap", "clip"}
        What happens to integers that name none.

    Returns
    -------
    Tensor
        The cotangent goes to the choice that was taken.

    Raises
    ------
    ValueError
        If an integer names no choice, or the shapes do not fit.
    """
    options = [asarray(choice) for choice in choices]
    which = np.asarray(raw(asarray(a)))
    # NumPy's own function says which option is taken; what it raises is what it raises for arrays.
    which = np.choose(which, np.arange(len(options)), mode=mode)  # type: ignore[call-overload]
    shape = np.broadcast_shapes(which.shape, *[option.shape for option in options])
    dtype = np.result_type(*[option.dtype for option in options])
    result = _pick([which == k for k in range(len(options))], options, 0, shape, dtype)
    return result if out is None else assign_out("choose", out, result)


def _pick(conditions: Sequence[Any], options: Sequence[Any], default: Any, shape: Any, dtype: Any) -> Tensor:
    """The option of the first condition that holds."""
    result = as_tensor(default)
    for condition, option in zip(reversed(conditions), reversed(options)):
        result = where(condition, option, result)
    result = result if result.shape == shape else result + np.zeros(shape, dtype)
    return result.astype(dtype, copy=False)


@implements(np.select)
def select(condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0) -> Tensor:
    """At each place the element of the first choice whose condition holds there.

    Parameters
    ----------
    condlist : sequence of array_like of bool
    choicelist : sequence of array_like
        As many as conditions; all are broadcast against each other.
    default : array_like
        Where no condition holds.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the numbers of conditions and choices differ, or both are 0.
    TypeError
        If a condition is not boolean.
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; they must be as many, and at least one"
        )
    conditions = [np.asarray(raw(asarray(condition))) for condition in condlist]
    for k, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"select: condlist[{k}] has dtype {condition.dtype}; conditions must be boolean")
    options = [option if isinstance(option, (int, float, complex)) else asarray(option) for option in choicelist]
    shape = np.broadcast_shapes(*[np.shape(raw(array)) for array in (*conditions, *options, default)])
    dtype = np.result_type(*[getattr(raw(o), "dtype", o) for o in (*options, default)])
    return _pick(conditions, options, default, shape, dtype)


@implements(np.piecewise)
def piecewise(x: ArrayLike, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """A function defined by cases.

    Parameters
    ----------
    x : array_like
    condlist : sequence of array_like of bool
        Of the shape of `x`; where several hold, the last of them counts.
    funclist : sequence of (callable or scalar)
        One for each condition, and possibly one more for where none holds (0 by default). A function gets the
        elements of `x` under its condition.
    *args, **kw
        Passed to each function.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ValueError
        If there are neither as many functions as conditions, nor one more.
    """
    values = asarray(x)
    if isinstance(condlist, (Tensor, np.ndarray)) or np.ndim(raw(condlist[0])) < values.ndim:
        table = np.asarray(raw(asarray(condlist)), bool)
        condlist = table[None] if table.ndim == values.ndim else list(table)
    conditions = [np.asarray(raw(asarray(condition)), bool) for condition in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    elif len(funclist) != len(conditions):
        raise ValueError(
            f"piecewise: {len(conditions)} conditions and {len(funclist)} functions; there must be as many, or one "
            "function more"
        )
    result = asarray(np.zeros(values.shape, values.dtype))
    for condition, function in zip(conditions, funclist):
        if not callable(function):
            result[condition] = function
        elif condition.any():
            result[condition] = function(values[condition], *args, **kw)
    return result
