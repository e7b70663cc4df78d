"""Functions that act element by element, with NumPy's broadcasting and type promotion.

Each line of the tables below is a universal function of NumPy with its vector-Jacobian products; the engine
sums cotangents over broadcast axes. A rule that returns None says that the derivative is zero wherever it
exists (steps such as `floor`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import OPERATORS, implements, register_numpy
from ..primitive import Primitive, primitive
from ..tensor import ArrayLike, Tensor, as_tensor, assign_out

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2",
    "arctanh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "cbrt", "ceil", "clip", "conj",
    "conjugate", "copysign", "cos", "cosh", "deg2rad", "degrees", "divide", "equal", "exp", "exp2", "expm1",
    "fabs", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod", "greater", "greater_equal",
    "heaviside", "hypot", "invert", "isfinite", "isinf", "isnan", "left_shift", "less", "less_equal", "log",
    "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or",
    "logical_xor", "maximum", "minimum", "mod", "multiply", "nan_to_num", "negative", "not_equal", "positive",
    "pow", "power", "rad2deg", "radians", "reciprocal", "remainder", "right_shift", "rint", "round", "sign",
    "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "true_divide", "trunc", "where",
]  # fmt: skip

Rule = Callable[..., Any]


def _ufunc(ufunc: np.ufunc, summary: str, **rules: Rule) -> Callable[..., Tensor]:
    """Make a primitive of a universal function, and the public function that calls it."""
    arguments = ("x",) if ufunc.nin == 1 else ("x", "y")
    prim: Primitive = primitive(ufunc, name=ufunc.__name__, arguments=arguments, broadcasts=True)
    prim.defvjp(**rules)
    call: Callable[..., Any] = prim.unary if ufunc.nin == 1 else prim.binary
    OPERATORS[ufunc] = call

    def function(*arrays: ArrayLike, out: Any = None, where: Any = True, dtype: Any = None) -> Any:
        if len(arrays) != ufunc.nin:
            raise TypeError(
                f"{ufunc.__name__}: {len(arrays)} arguments were given, but it takes {ufunc.nin} arrays by position"
            )
        if dtype is not None:
            arrays = tuple([as_tensor(array).astype(dtype) for array in arrays])
        elif not isinstance(arrays[0], Tensor):
            # One Tensor makes the result a Tensor; a Python number beside it keeps its weak type.
            if ufunc.nin == 1 or not isinstance(arrays[1], Tensor):
                arrays = (as_tensor(arrays[0]), *arrays[1:])
            elif isinstance(arrays[0], (list, tuple)):
                arrays = (as_tensor(arrays[0]), arrays[1])
        if ufunc.nin == 2 and isinstance(arrays[1], (list, tuple)):
            arrays = (arrays[0], as_tensor(arrays[1]))
        result = call(*arrays)
        if where is not True:
            result = _masked(ufunc.__name__, where, result, out)
        return result if out is None else assign_out(ufunc.__name__, out, result)

    function.__name__ = function.__qualname__ = ufunc.__name__
    operands = "x" if ufunc.nin == 1 else "x, y"
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    {operands} : array_like
        Broadcast against each other, and promoted, as by ``numpy.{ufunc.__name__}``.
    out : Tensor, optional
        Where to store the result.
    where : array_like of bool, optional
        Where to compute; elsewhere `out` keeps its values (zero without `out`).
    dtype : dtype, optional
        Type in which to compute.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    register_numpy(ufunc, function)
    return function


def _masked(name: str, mask: Any, result: Tensor, out: Any) -> Tensor:
    """The result of ``where=``: `out`, or zeros, where the mask is false."""
    return where(mask, result, np.zeros((), result.dtype) if out is None else out)


# --- one argument ------------------------------------------------------------------------------------------

negative = _ufunc(np.negative, "-x.", x=lambda g: -g)
positive = _ufunc(np.positive, "+x, a copy.", x=lambda g: g)
absolute = _ufunc(np.absolute, "|x|; the derivative at 0 is 0.", x=lambda g, x: g * np.sign(x))
fabs = _ufunc(np.fabs, "|x| as a floating-point number.", x=lambda g, x: g * np.sign(x))
sign = _ufunc(np.sign, "-1, 0 or 1; its derivative is 0.", x=lambda g: None)
exp = _ufunc(np.exp, "e**x.", x=lambda g, ans: g * ans)
exp2 = _ufunc(np.exp2, "2**x.", x=lambda g, ans: g * ans * math.log(2))
expm1 = _ufunc(np.expm1, "e**x - 1, exact for small x.", x=lambda g, ans: g * (ans + 1))
log = _ufunc(np.log, "Natural logarithm.", x=lambda g, x: g / x)
log2 = _ufunc(np.log2, "Logarithm to base 2.", x=lambda g, x: g / (x * math.log(2)))
log10 = _ufunc(np.log10, "Logarithm to base 10.", x=lambda g, x: g / (x * math.log(10)))
log1p = _ufunc(np.log1p, "log(1 + x), exact for small x.", x=lambda g, x: g / (1 + x))
sqrt = _ufunc(np.sqrt, "Square root.", x=lambda g, ans: 0.5 * g / ans)
cbrt = _ufunc(np.cbrt, "Cube root.", x=lambda g, ans: g / (3 * ans * ans))
square = _ufunc(np.square, "x**2.", x=lambda g, x: 2 * g * x)
reciprocal = _ufunc(np.reciprocal, "1/x.", x=lambda g, ans: -g * ans * ans)
sin = _ufunc(np.sin, "Sine of an angle in radians.", x=lambda g, x: g * np.cos(x))
cos = _ufunc(np.cos, "Cosine of an angle in radians.", x=lambda g, x: -g * np.sin(x))
tan = _ufunc(np.tan, "Tangent of an angle in radians.", x=lambda g, ans: g * (1 + ans * ans))
arcsin = _ufunc(np.arcsin, "Inverse sine, in radians.", x=lambda g, x: g / np.sqrt(1 - x * x))
arccos = _ufunc(np.arccos, "Inverse cosine, in radians.", x=lambda g, x: -g / np.sqrt(1 - x * x))
arctan = _ufunc(np.arctan, "Inverse tangent, in radians.", x=lambda g, x: g / (1 + x * x))
sinh = _ufunc(np.sinh, "Hyperbolic sine.", x=lambda g, x: g * np.cosh(x))
cosh = _ufunc(np.cosh, "Hyperbolic cosine.", x=lambda g, x: g * np.sinh(x))
tanh = _ufunc(np.tanh, "Hyperbolic tangent.", x=lambda g, ans: g * (1 - ans * ans))
arcsinh = _ufunc(np.arcsinh, "Inverse hyperbolic sine.", x=lambda g, x: g / np.sqrt(x * x + 1))
arccosh = _ufunc(np.arccosh, "Inverse hyperbolic cosine.", x=lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = _ufunc(np.arctanh, "Inverse hyperbolic tangent.", x=lambda g, x: g / (1 - x * x))
deg2rad = _ufunc(np.deg2rad, "Degrees to radians.", x=lambda g: g * (math.pi / 180))
radians = _ufunc(np.radians, "Degrees to radians.", x=lambda g: g * (math.pi / 180))
rad2deg = _ufunc(np.rad2deg, "Radians to degrees.", x=lambda g: g * (180 / math.pi))
degrees = _ufunc(np.degrees, "Radians to degrees.", x=lambda g: g * (180 / math.pi))
floor = _ufunc(np.floor, "Largest integer not above x; its derivative is 0.", x=lambda g: None)
ceil = _ufunc(np.ceil, "Smallest integer not below x; its derivative is 0.", x=lambda g: None)
trunc = _ufunc(np.trunc, "x without its fraction; its derivative is 0.", x=lambda g: None)
rint = _ufunc(np.rint, "Nearest integer, ties to even; its derivative is 0.", x=lambda g: None)
conjugate = _ufunc(np.conjugate, "Complex conjugate.", x=lambda g: np.conjugate(g))
isnan = _ufunc(np.isnan, "Whether x is NaN.")
isinf = _ufunc(np.isinf, "Whether x is infinite.")
isfinite = _ufunc(np.isfinite, "Whether x is neither infinite nor NaN.")
signbit = _ufunc(np.signbit, "Whether the sign bit of x is set (also of -0.0).")
logical_not = _ufunc(np.logical_not, "Whether x is zero.")
invert = _ufunc(np.invert, "Bitwise (for booleans: logical) not.")

# --- two arguments -----------------------------------------------------------------------------------------

add = _ufunc(np.add, "x + y.", x=lambda g: g, y=lambda g: g)
subtract = _ufunc(np.subtract, "x - y.", x=lambda g: g, y=lambda g: -g)
multiply = _ufunc(np.multiply, "x * y.", x=lambda g, y: g * y, y=lambda g, x: g * x)
divide = _ufunc(np.true_divide, "x / y.", x=lambda g, y: g / y, y=lambda g, y, ans: -g * ans / y)
floor_divide = _ufunc(np.floor_divide, "floor(x / y); its derivatives are 0.", x=lambda g: None, y=lambda g: None)
remainder = _ufunc(
    np.remainder,
    "x - y * floor(x / y), with the sign of y.",
    x=lambda g: g,
    y=lambda g, x, y: -g * np.floor_divide(x, y),
)
fmod = _ufunc(
    np.fmod,
    "x - y * trunc(x / y), with the sign of x.",
    x=lambda g: g,
    y=lambda g, x, y: -g * np.trunc(x / y),
)


def _power_x(g: Any, x: Any, y: Any) -> Any:
    """y x**(y-1), and 0 for y = 0 even at x = 0, where the formula would be 0 * inf."""
    if isinstance(y, (int, float)):
        return None if y == 0 else g if y == 1 else g * (y * x ** (y - 1))
    zero = np.equal(y, 0)
    return g * y * np.power(x, np.where(zero, 1, y - 1))


def _power_y(g: Any, x: Any, ans: Any) -> Any:
    """log(x) x**y, and 0 at x = 0, where x**y is flat in y > 0."""
    return g * ans * np.log(np.where(np.equal(x, 0), 1, x))


power = _ufunc(np.power, "x**y.", x=_power_x, y=_power_y)
float_power = _ufunc(np.float_power, "x**y in at least double precision.", x=_power_x, y=_power_y)


def _share_of_winner(g: Any, ours: Any, other: Any, wins: Any) -> Any:
    """Cotangent of an argument of maximum or minimum: all where it wins, half where both tie."""
    return g * (wins(ours, other) | np.not_equal(ours, ours)) + 0.5 * g * np.equal(ours, other)


maximum = _ufunc(
    np.maximum,
    "The larger of x and y; NaN if either is. Where they are equal the cotangent is split evenly.",
    x=lambda g, x, y: _share_of_winner(g, x, y, np.greater),
    y=lambda g, x, y: _share_of_winner(g, y, x, np.greater),
)
minimum = _ufunc(
    np.minimum,
    "The smaller of x and y; NaN if either is. Where they are equal the cotangent is split evenly.",
    x=lambda g, x, y: _share_of_winner(g, x, y, np.less),
    y=lambda g, x, y: _share_of_winner(g, y, x, np.less),
)


def _share_but_nan(g: Any, ours: Any, other: Any, wins: Any) -> Any:
    """As `_share_of_winner`, where the other one wins over NaN."""
    return g * (wins(ours, other) | np.isnan(other)) + 0.5 * g * np.equal(ours, other)


fmax = _ufunc(
    np.fmax,
    "The larger of x and y; the other one if either is NaN. Ties split the cotangent evenly.",
    x=lambda g, x, y: _share_but_nan(g, x, y, np.greater),
    y=lambda g, x, y: _share_but_nan(g, y, x, np.greater),
)
fmin = _ufunc(
    np.fmin,
    "The smaller of x and y; the other one if either is NaN. Ties split the cotangent evenly.",
    x=lambda g, x, y: _share_but_nan(g, x, y, np.less),
    y=lambda g, x, y: _share_but_nan(g, y, x, np.less),
)
arctan2 = _ufunc(
    np.arctan2,
    "Angle, in radians, of the point with ordinate x and abscissa y.",
    x=lambda g, x, y: g * (y / (x * x + y * y)),
    y=lambda g, x, y: -g * (x / (x * x + y * y)),
)
hypot = _ufunc(
    np.hypot,
    "sqrt(x**2 + y**2) without overflow.",
    x=lambda g, x, ans: g * (x / ans),
    y=lambda g, y, ans: g * (y / ans),
)
logaddexp = _ufunc(
    np.logaddexp,
    "log(e**x + e**y) without overflow.",
    x=lambda g, x, y: g * _logistic(x - y),
    y=lambda g, x, y: g * _logistic(y - x),
)
logaddexp2 = _ufunc(
    np.logaddexp2,
    "log2(2**x + 2**y) without overflow.",
    x=lambda g, x, y: g * _logistic((x - y) * math.log(2)),
    y=lambda g, x, y: g * _logistic((y - x) * math.log(2)),
)


def _logistic(x: Any) -> Any:
    """1/(1 + e**-x) by way of tanh, which does not overflow."""
    return 0.5 * (np.tanh(0.5 * x) + 1)


copysign = _ufunc(
    np.copysign,
    "|x| with the sign of y.",
    x=lambda g, x, y: g * (np.copysign(1, x) * np.copysign(1, y)),
    y=lambda g: None,
)
heaviside = _ufunc(
    np.heaviside,
    "0 for x < 0, y for x = 0, 1 for x > 0.",
    x=lambda g: None,
    y=lambda g, x: g * np.equal(x, 0),
)
equal = _ufunc(np.equal, "x == y.")
not_equal = _ufunc(np.not_equal, "x != y.")
less = _ufunc(np.less, "x < y.")
less_equal = _ufunc(np.less_equal, "x <= y.")
greater = _ufunc(np.greater, "x > y.")
greater_equal = _ufunc(np.greater_equal, "x >= y.")
logical_and = _ufunc(np.logical_and, "Whether x and y are both not zero.")
logical_or = _ufunc(np.logical_or, "Whether x or y is not zero.")
logical_xor = _ufunc(np.logical_xor, "Whether one of x and y is not zero.")
bitwise_and = _ufunc(np.bitwise_and, "x & y of integers or booleans.")
bitwise_or = _ufunc(np.bitwise_or, "x | y of integers or booleans.")
bitwise_xor = _ufunc(np.bitwise_xor, "x ^ y of integers or booleans.")
left_shift = _ufunc(np.left_shift, "x * 2**y of integers.")
right_shift = _ufunc(np.right_shift, "x // 2**y of integers.")

# Second names: of NumPy itself, and of the Python Array API standard.
abs = absolute
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh
conj = conjugate
mod, pow, true_divide = remainder, power, divide
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


# --- selection ---------------------------------------------------------------------------------------------

_where = primitive(np.where, name="where", arguments=("condition", "x", "y"), broadcasts=True)
_where.defvjp(
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
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
    if not any(isinstance(a, Tensor) for a in operands):
        operands[0] = as_tensor(operands[0])
    return _where(*operands)


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
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
    out: Tensor | None = None,
    *,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
) -> Tensor:
    """Limit values to an interval.

    Parameters
    ----------
    a : array_like
    a_min, a_max : array_like, optional
        Bounds; None: no bound. Also named `min` and `max`.
    out : Tensor, optional
        Where to store the result.

    Returns
    -------
    Tensor
        Inside the bounds the cotangent goes to `a`, outside to the bound that holds.
    """
    low = a_min if min is None else min
    high = a_max if max is None else max
    result = _clip(as_tensor(a), low, high)
    return result if out is None else assign_out("clip", out, result)


_round = primitive(np.round, name="round", arguments=("x",))
_round.settings["decimals"] = 0
_round.defvjp(x=lambda g: None)


@implements(np.round, np.around)
def round(a: ArrayLike, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Round to `decimals` digits after the point, ties to even; the derivative is 0."""
    result = _round(as_tensor(a), decimals=decimals)
    return result if out is None else assign_out("round", out, result)


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
    """Replace NaN and infinities by numbers; the derivative is 0 where something was replaced."""
    return _nan_to_num(as_tensor(x), nan=nan, posinf=posinf, neginf=neginf)
