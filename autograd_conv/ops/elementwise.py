"""Functions that act element by element, with NumPy's broadcasting and type promotion.

Each line of the tables below is a universal function of NumPy with its vector-Jacobian products; the engine
sums cotangents over broadcast axes. A rule that returns None says that the derivative is zero wherever it
exists (steps such as `floor`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..scalars import ONES
from .ufunc import flat, refuse, ufunc

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2",
    "arctanh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "conj", "conjugate", "copysign",
    "cos", "cosh", "deg2rad", "degrees", "divide", "divmod", "exp", "exp2", "expm1", "fabs", "float_power",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "frexp", "heaviside", "hypot", "ldexp", "log", "log10",
    "log1p", "log2", "logaddexp", "logaddexp2", "maximum", "minimum", "mod", "modf", "multiply", "negative",
    "nextafter", "positive", "pow", "power", "rad2deg", "radians", "reciprocal", "remainder", "rint", "sign",
    "sin", "sinh", "spacing", "sqrt", "square", "subtract", "tan", "tanh", "true_divide", "trunc",
]  # fmt: skip

# --- one argument ------------------------------------------------------------------------------------------

negative = ufunc(np.negative, "-x.", x=lambda g: -g)
positive = ufunc(np.positive, "+x, a copy.", x=lambda g: g)
absolute = ufunc(np.absolute, "|x|; the derivative at 0 is 0.", x=lambda g, x: g * np.sign(x))
fabs = ufunc(np.fabs, "|x| as a floating-point number.", x=lambda g, x: g * np.sign(x))


def _sign_vjp(g: Any, x: Any, ans: Any) -> Any:
    """Of a complex number, the part of the cotangent across its direction: turning it turns z/|z|, scaling does not."""
    if x.dtype.kind != "c":
        return None
    size = np.absolute(x)
    across = g - ans * np.real(np.conjugate(ans) * g)
    return across / np.where(np.equal(size, 0), np.inf, size)


sign = ufunc(np.sign, "-1, 0 or 1, with derivative 0; of a complex number z, z/|z|.", holomorphic=False, x=_sign_vjp)
exp = ufunc(np.exp, "e**x.", x=lambda g, ans: g * ans)
exp2 = ufunc(np.exp2, "2**x.", x=lambda g, ans: g * ans * math.log(2))
expm1 = ufunc(np.expm1, "e**x - 1, exact for small x.", x=lambda g, ans: g * (ans + 1))
log = ufunc(np.log, "Natural logarithm.", x=lambda g, x: g / x)
log2 = ufunc(np.log2, "Logarithm to base 2.", x=lambda g, x: g / (x * math.log(2)))
log10 = ufunc(np.log10, "Logarithm to base 10.", x=lambda g, x: g / (x * math.log(10)))
log1p = ufunc(np.log1p, "log(1 + x), exact for small x.", x=lambda g, x: g / (1 + x))
sqrt = ufunc(np.sqrt, "Square root.", x=lambda g, ans: 0.5 * g / ans)
cbrt = ufunc(np.cbrt, "Cube root.", x=lambda g, ans: g / (3 * ans * ans))
square = ufunc(np.square, "x**2.", x=lambda g, x: 2 * g * x)
reciprocal = ufunc(np.reciprocal, "1/x.", x=lambda g, ans: -g * ans * ans)
sin = ufunc(np.sin, "Sine of an angle in radians.", x=lambda g, x: g * np.cos(x))
cos = ufunc(np.cos, "Cosine of an angle in radians.", x=lambda g, x: -g * np.sin(x))
tan = ufunc(np.tan, "Tangent of an angle in radians.", x=lambda g, ans: g * (1 + ans * ans))
arcsin = ufunc(np.arcsin, "Inverse sine, in radians.", x=lambda g, x: g / np.sqrt(1 - x * x))
arccos = ufunc(np.arccos, "Inverse cosine, in radians.", x=lambda g, x: -g / np.sqrt(1 - x * x))
arctan = ufunc(np.arctan, "Inverse tangent, in radians.", x=lambda g, x: g / (1 + x * x))
sinh = ufunc(np.sinh, "Hyperbolic sine.", x=lambda g, x: g * np.cosh(x))
cosh = ufunc(np.cosh, "Hyperbolic cosine.", x=lambda g, x: g * np.sinh(x))
tanh = ufunc(np.tanh, "Hyperbolic tangent.", x=lambda g, ans: g * (ONES[ans.dtype] - ans * ans))
arcsinh = ufunc(np.arcsinh, "Inverse hyperbolic sine.", x=lambda g, x: g / np.sqrt(x * x + 1))
arccosh = ufunc(np.arccosh, "Inverse hyperbolic cosine.", x=lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = ufunc(np.arctanh, "Inverse hyperbolic tangent.", x=lambda g, x: g / (1 - x * x))
deg2rad = ufunc(np.deg2rad, "Degrees to radians.", x=lambda g: g * (math.pi / 180))
radians = ufunc(np.radians, "Degrees to radians.", x=lambda g: g * (math.pi / 180))
rad2deg = ufunc(np.rad2deg, "Radians to degrees.", x=lambda g: g * (180 / math.pi))
degrees = ufunc(np.degrees, "Radians to degrees.", x=lambda g: g * (180 / math.pi))
floor = ufunc(np.floor, "Largest integer not above x; its derivative is 0.", x=flat)
ceil = ufunc(np.ceil, "Smallest integer not below x; its derivative is 0.", x=flat)
trunc = ufunc(np.trunc, "x without its fraction; its derivative is 0.", x=flat)
rint = ufunc(np.rint, "Nearest integer, ties to even; its derivative is 0.", x=flat)
conjugate = ufunc(np.conjugate, "Complex conjugate.", x=lambda g: np.conjugate(g))

# --- two arguments -----------------------------------------------------------------------------------------

add = ufunc(np.add, "x + y.", x=lambda g: g, y=lambda g: g)
subtract = ufunc(np.subtract, "x - y.", x=lambda g: g, y=lambda g: -g)
multiply = ufunc(np.multiply, "x * y.", x=lambda g, y: g * y, y=lambda g, x: g * x)
divide = ufunc(np.true_divide, "x / y.", x=lambda g, y: g / y, y=lambda g, y, ans: -g * ans / y)
floor_divide = ufunc(np.floor_divide, "floor(x / y); its derivatives are 0.", x=flat, y=flat)
remainder = ufunc(
    np.remainder,
    "x - y * floor(x / y), with the sign of y.",
    x=lambda g: g,
    y=lambda g, x, y: -g * np.floor_divide(x, y),
)
fmod = ufunc(
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
    if ans.dtype.kind == "c":
        x = x + 0j  # the logarithm of a negative number, in a complex power
    return g * ans * np.log(np.where(np.equal(x, 0), 1, x))


power = ufunc(np.power, "x**y.", x=_power_x, y=_power_y)
float_power = ufunc(np.float_power, "x**y in at least double precision.", x=_power_x, y=_power_y)


def _share_of_winner(g: Any, ours: Any, other: Any, wins: Any) -> Any:
    """Cotangent of an argument of maximum or minimum: all where it wins, half where both tie."""
    return g * (wins(ours, other) | np.not_equal(ours, ours)) + 0.5 * g * np.equal(ours, other)


maximum = ufunc(
    np.maximum,
    "The larger of x and y; NaN if either is. Where they are equal the cotangent is split evenly.",
    x=lambda g, x, y: _share_of_winner(g, x, y, np.greater),
    y=lambda g, x, y: _share_of_winner(g, y, x, np.greater),
)
minimum = ufunc(
    np.minimum,
    "The smaller of x and y; NaN if either is. Where they are equal the cotangent is split evenly.",
    x=lambda g, x, y: _share_of_winner(g, x, y, np.less),
    y=lambda g, x, y: _share_of_winner(g, y, x, np.less),
)


def _share_but_nan(g: Any, ours: Any, other: Any, wins: Any) -> Any:
    """As `_share_of_winner`, where the other one wins over NaN."""
    return g * (wins(ours, other) | np.isnan(other)) + 0.5 * g * np.equal(ours, other)


fmax = ufunc(
    np.fmax,
    "The larger of x and y; the other one if either is NaN. Ties split the cotangent evenly.",
    x=lambda g, x, y: _share_but_nan(g, x, y, np.greater),
    y=lambda g, x, y: _share_but_nan(g, y, x, np.greater),
)
fmin = ufunc(
    np.fmin,
    "The smaller of x and y; the other one if either is NaN. Ties split the cotangent evenly.",
    x=lambda g, x, y: _share_but_nan(g, x, y, np.less),
    y=lambda g, x, y: _share_but_nan(g, y, x, np.less),
)
arctan2 = ufunc(
    np.arctan2,
    "Angle, in radians, of the point with ordinate x and abscissa y.",
    x=lambda g, x, y: g * (y / (x * x + y * y)),
    y=lambda g, x, y: -g * (x / (x * x + y * y)),
)
hypot = ufunc(
    np.hypot,
    "sqrt(x**2 + y**2) without overflow.",
    x=lambda g, x, ans: g * (x / ans),
    y=lambda g, y, ans: g * (y / ans),
)
logaddexp = ufunc(
    np.logaddexp,
    "log(e**x + e**y) without overflow.",
    x=lambda g, x, y: g * _logistic(x - y),
    y=lambda g, x, y: g * _logistic(y - x),
)
logaddexp2 = ufunc(
    np.logaddexp2,
    "log2(2**x + 2**y) without overflow.",
    x=lambda g, x, y: g * _logistic((x - y) * math.log(2)),
    y=lambda g, x, y: g * _logistic((y - x) * math.log(2)),
)


def _logistic(x: Any) -> Any:
    """1/(1 + e**-x) by way of tanh, which does not overflow."""
    return 0.5 * (np.tanh(0.5 * x) + 1)


copysign = ufunc(
    np.copysign,
    "|x| with the sign of y.",
    x=lambda g, x, y: g * (np.copysign(1, x) * np.copysign(1, y)),
    y=flat,
)
heaviside = ufunc(
    np.heaviside,
    "0 for x < 0, y for x = 0, 1 for x > 0.",
    x=flat,
    y=lambda g, x: g * np.equal(x, 0),
)

# --- exponents, fractions and neighbours ----------------------------------------------------------------------

ldexp = ufunc(np.ldexp, "x * 2**y, y an integer.", x=lambda g, y: np.ldexp(g, y))
frexp = ufunc(
    np.frexp,
    "The mantissa of x, at least 0.5 and less than 1, and its exponent: x = mantissa * 2**exponent.",
    x=lambda g, ans: np.ldexp(g[0], -ans[1]),
)
modf = ufunc(np.modf, "The fraction of x and its integer, both with its sign.", x=lambda g: g[0])
divmod = ufunc(
    np.divmod,
    "floor_divide(x, y) and remainder(x, y).",
    x=lambda g: g[1],
    y=lambda g, ans: -g[1] * ans[0],
)
spacing = ufunc(np.spacing, "Distance to the next larger number in magnitude; its derivative is 0.", x=flat)
nextafter = ufunc(
    np.nextafter,
    "The number next to x on the way to y; it has no derivative.",
    x=refuse("nextafter"),
    y=refuse("nextafter"),
)

# Second names: of NumPy itself, and of the Python Array API standard.
abs = absolute
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh
conj = conjugate
mod, pow, true_divide = remainder, power, divide
