"""Special functions, element by element, in double precision.

The error and gamma functions are those of the C library, which Numba reaches through `math`. The polygamma
functions and the inverse error function are computed here.

References
----------
NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov: 5.5 and 5.15 (recurrence and reflection of
polygamma functions), 5.11 and 5.15.8 (asymptotic series), 25.11.5 (Hurwitz zeta function, Euler-Maclaurin), 7.17
(inverse error functions).
"""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .jit import kernel
from .threads import parallel_for

Array = NDArray[Any]

# Elements of an item of work.
BLOCK = 4096

# What one of these functions takes for an element: only to tell small work from large.
NANOSECONDS_PER_ELEMENT = 20.0

# From here on the asymptotic series reach double precision.
_LARGE = 12.0

# Bernoulli numbers B_2, B_4, ..., B_20.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)

# B_2k / (2k)!: coefficients of the Euler-Maclaurin formula.
_EULER_MACLAURIN = tuple(b / math.factorial(2 * k) for k, b in enumerate(_BERNOULLI, start=1))


@kernel
def _erf(x: float, order: int) -> float:
    return math.erf(x)


@kernel
def _erfc(x: float, order: int) -> float:
    return math.erfc(x)


@kernel
def _gamma(x: float, order: int) -> float:
    if x == math.floor(x) and x <= 0:  # poles; at 0, of the side that its sign says
        return math.copysign(math.inf, x) if x == 0 else math.nan
    return math.nan if x == -math.inf else math.gamma(x)


@kernel
def _gammaln(x: float, order: int) -> float:
    if math.isinf(x) or (x == math.floor(x) and x <= 0):
        return math.inf
    return math.lgamma(x)


@kernel
def _digamma(x: float, order: int) -> float:
    """d/dx log|gamma(x)|: DLMF 5.5.2, 5.5.4, 5.11.2."""
    if x == 0:
        return math.copysign(math.inf, -x)
    if x == -math.inf or (x < 0 and x == math.floor(x)):
        return math.nan
    result = 0.0
    if x < 0:
        # Only the distance to the nearest pole enters the tangent: pi * x of a large x has lost it.
        result = -math.pi / math.tan(math.pi * (x - math.floor(x + 0.5)))
        x = 1 - x
    while x < _LARGE:
        result -= 1 / x
        x += 1
    if math.isinf(x):
        return x
    square = 1 / (x * x)
    series = 0.0
    power = square
    for k in range(8):
        series += _BERNOULLI[k] / (2 * (k + 1)) * power
        power *= square
    return result + math.log(x) - 0.5 / x - series


@kernel
def _hurwitz(s: float, q: float) -> float:
    """Sum over k >= 0 of (q + k)**-s, for s > 1 and q > 0: DLMF 25.11.5."""
    total = 0.0
    while q < _LARGE:
        total += q**-s
        q += 1
    tail = q ** (1 - s) / (s - 1) + 0.5 * q**-s
    factor = s * q ** (-s - 1)
    for k in range(10):
        tail += _EULER_MACLAURIN[k] * factor
        factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (q * q)
    return total + tail


@kernel
def _polygamma(x: float, order: int) -> float:
    """Derivative number `order` >= 1 of digamma: DLMF 5.15.1, 5.15.6."""
    n = order
    sign = 1.0 if n % 2 == 1 else -1.0
    if math.isnan(x) or x == -math.inf:
        return math.nan
    if x == math.inf:
        return 0.0 * sign
    if x <= 0 and x == math.floor(x):
        return math.inf if n % 2 == 1 else math.nan
    if x > 0:
        return sign * math.gamma(n + 1.0) * _hurwitz(n + 1.0, x)
    # (-1)^n psi_n(1 - x) - psi_n(x) = pi d^n/dx^n cot(pi x), and the derivatives of cot are polynomials of it:
    # P_0 = c, P_(n+1) = -(1 + c^2) P_n'.
    cotangent = 1 / math.tan(math.pi * (x - math.floor(x + 0.5)))
    coefficients = np.zeros(n + 3)
    derivative = np.zeros(n + 3)
    coefficients[1] = 1.0
    for _ in range(n):
        derivative[:] = 0.0
        for k in range(1, n + 2):
            derivative[k - 1] += k * coefficients[k]
        for k in range(n + 3):
            coefficients[k] = -derivative[k] - (derivative[k - 2] if k >= 2 else 0.0)
    value = 0.0
    for k in range(n + 2, -1, -1):
        value = value * cotangent + coefficients[k]
    mirrored = sign * math.gamma(n + 1.0) * _hurwitz(n + 1.0, 1 - x)
    return -sign * mirrored - math.pi ** (n + 1) * value


@kernel
def _inverse_near_zero(y: float) -> float:
    """The x with erf(x) = y for |y| <= 1/2: Newton's iteration on erf, which keeps the small digits of y."""
    x = 0.5 * math.sqrt(math.pi) * y
    for _ in range(5):
        x -= (math.erf(x) - y) * 0.5 * math.sqrt(math.pi) * math.exp(x * x)
    return x if y != 0 else y  # the sign of zero


@kernel
def _inverse_of_tail(small: float) -> float:
    """The x with erfc(x) = small, for 0 <= small < 1/2: a rough start, then Halley's iteration."""
    if small == 0:
        return math.inf
    # erfc(x) is about exp(-x*x) / (x sqrt(pi)) for large x.
    x = math.sqrt(-math.log(small * math.sqrt(math.pi)))
    x = math.sqrt(-math.log(min(0.9, small * x * math.sqrt(math.pi))))
    for _ in range(6):
        error = (math.erfc(x) - small) * 0.5 * math.sqrt(math.pi) * math.exp(min(x * x, 700.0))
        x += error / (1 - x * error)
    return x


@kernel
def _erfinv(y: float, order: int) -> float:
    if not abs(y) <= 1:
        return math.nan
    return _inverse_near_zero(y) if abs(y) <= 0.5 else math.copysign(_inverse_of_tail(1 - abs(y)), y)


@kernel
def _erfcinv(y: float, order: int) -> float:
    if not 0 <= y <= 2:
        return math.nan
    if abs(1 - y) <= 0.5:
        return _inverse_near_zero(1 - y)  # the difference is exact
    return _inverse_of_tail(y) if y < 1 else -_inverse_of_tail(2 - y)


_FUNCTIONS = {
    "erf": _erf,
    "erfc": _erfc,
    "erfinv": _erfinv,
    "erfcinv": _erfcinv,
    "gamma": _gamma,
    "gammaln": _gammaln,
    "digamma": _digamma,
    "polygamma": _polygamma,
}


@functools.cache
def _loop(name: str) -> Any:
    function = _FUNCTIONS[name]

    @kernel
    def apply(start: int, stop: int, x: Array, y: Array, order: int, block: int) -> None:
        """Compute blocks ``start <= item < stop``."""
        source, target = x[start * block : stop * block], y[start * block : stop * block]
        for i in range(source.size):
            target[i] = function(source[i], order)

    return apply


def evaluate(name: str, x: Any, order: int = 0) -> Array:
    """Return a special function of each element.

    Parameters
    ----------
    name : {"erf", "erfc", "erfinv", "erfcinv", "gamma", "gammaln", "digamma", "polygamma"}
    x : array_like
        Real; of any shape and strides.
    order : int
        For polygamma: the derivative of digamma that is wanted, at least 1.

    Returns
    -------
    ndarray
        Of the dtype of `x` if that is floating-point, else float64. Computed in double precision.

    Raises
    ------
    TypeError
        If `x` is complex, or no number.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: argument 'x' has dtype {array.dtype}; it must be real")
    source = contiguous(array, np.float64).reshape(-1)
    target = np.empty(source.shape)
    parallel_for(
        _loop(name), -(-source.size // BLOCK), source, target, order, BLOCK,
        nanoseconds=source.size * NANOSECONDS_PER_ELEMENT,
    )  # fmt: skip
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    return target.reshape(array.shape).astype(dtype, copy=False)
