"""Special functions, with the names and conventions of ``scipy.special``.

The error, gamma and polygamma functions are compiled loops (`kernels.special`); the rest is made of NumPy's
functions. All have derivatives of every order.

References
----------
NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapters 5 and 7.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from .ops import elementwise
from .ops.selection import where
from .primitive import Primitive, primitive
from .tensor import ArrayLike, Tensor, as_tensor, raw

__all__ = [
    "beta", "betaln", "digamma", "entr", "erf", "erfc", "erfcinv", "erfinv", "expit", "gamma", "gammaln",
    "gammasgn", "kl_div", "log_expit", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr",
    "ndtri", "polygamma", "psi", "rel_entr", "softmax", "xlog1py", "xlogy",
]  # fmt: skip

_ROOT_PI = math.sqrt(math.pi)


def _unary(name: str, summary: str, vjp: Callable[..., Any], forward: Callable[..., Any] | None = None) -> Any:
    """A function of one real argument: its primitive, and the public function that calls it."""
    loop = forward or functools.partial(_evaluate, name)
    prim: Primitive = primitive(loop, name=name, arguments=("x",))
    prim.defvjp(x=vjp)

    def function(x: ArrayLike) -> Tensor:
        return prim(_real(name, x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    x : array_like
        Real; integers count as float64.

    Returns
    -------
    Tensor
        Of the shape of `x`, and of its dtype if that is floating-point.

    Raises
    ------
    TypeError
        If `x` is complex.
    """
    return function


def _evaluate(name: str, x: Any) -> Any:
    return kernels.special.evaluate(name, x)


def _real(function: str, x: ArrayLike) -> Tensor:
    tensor = as_tensor(x)
    if tensor.dtype.kind == "c":
        raise TypeError(
            f"{function}: argument of dtype {tensor.dtype}; complex numbers are not covered, pass real ones"
        )
    return tensor if tensor.dtype.kind == "f" else tensor.astype(np.float64)


# --- error function --------------------------------------------------------------------------------------

erf = _unary(
    "erf",
    "Error function, ``2/sqrt(pi) * integral of exp(-t**2) from 0 to x``.",
    lambda g, x: g * (2 / _ROOT_PI * np.exp(-x * x)),
)
erfc = _unary(
    "erfc",
    "Complementary error function, ``1 - erf(x)`` without cancellation.",
    lambda g, x: g * (-2 / _ROOT_PI * np.exp(-x * x)),
)
erfinv = _unary("erfinv", "Inverse of `erf`.", lambda g, ans: g * (0.5 * _ROOT_PI * np.exp(ans * ans)))
erfcinv = _unary("erfcinv", "Inverse of `erfc`.", lambda g, ans: g * (-0.5 * _ROOT_PI * np.exp(ans * ans)))


def ndtr(x: ArrayLike) -> Tensor:
    """Distribution function of the standard normal distribution, ``erfc(-x / sqrt(2)) / 2``."""
    return 0.5 * erfc(_real("ndtr", x) * -math.sqrt(0.5))


def ndtri(y: ArrayLike) -> Tensor:
    """Inverse of `ndtr`: the quantile function of the standard normal distribution."""
    return erfcinv(2 * _real("ndtri", y)) * -math.sqrt(2)


def _log_ndtr_forward(x: np.ndarray) -> np.ndarray:
    # Where the distribution function underflows: the asymptotic series of its tail, DLMF 7.12.1.
    double = np.asarray(x, np.float64)
    tail = double < -20
    smaller = 0.5 * kernels.special.evaluate("erfc", np.where(tail, 0.0, np.abs(double)) * math.sqrt(0.5))
    body = np.where(double > 0, np.log1p(-smaller), np.log(np.where(double > 0, 1, smaller)))
    far = np.where(tail, double, -20.0)
    inverse = 1 / (far * far)
    series = 1 - inverse * (1 - inverse * (3 - inverse * (15 - inverse * (105 - inverse * 945))))
    return np.where(tail, -0.5 * far * far - np.log(-far) - 0.5 * math.log(2 * math.pi) + np.log(series), body).astype(
        x.dtype
    )


log_ndtr = _unary(
    "log_ndtr",
    "Logarithm of `ndtr`, without underflow.",
    lambda g, x, ans: g * np.exp(-0.5 * x * x - 0.5 * math.log(2 * math.pi) - ans),
    _log_ndtr_forward,
)

# --- gamma function --------------------------------------------------------------------------------------


@primitive(name="polygamma")
def _polygamma(x: np.ndarray, *, n: int) -> np.ndarray:
    return kernels.special.evaluate("polygamma", x, n) if n else kernels.special.evaluate("digamma", x)


_polygamma.defvjp(x=lambda g, x, n: g * _polygamma(x, n=n + 1))


def polygamma(n: int, x: ArrayLike) -> Tensor:
    """Derivative number `n` of `digamma`.

    Parameters
    ----------
    n : int
        At least 0.
    x : array_like
        Real.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError, ValueError
        If `n` is no int, or negative; if `x` is complex.
    """
    order = raw(n)
    if isinstance(order, np.ndarray) and order.ndim == 0:
        order = order.item()
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)):
        raise TypeError(f"polygamma: argument 'n' is {n!r}; it must be an int")
    if order < 0:
        raise ValueError(f"polygamma: argument 'n' is {n}; it must be at least 0")
    return _polygamma(_real("polygamma", x), n=int(order))


digamma = _unary("digamma", "Logarithmic derivative of the gamma function.", lambda g, x: g * _polygamma(x, n=1))
psi = digamma
gammaln = _unary(
    "gammaln",
    "Logarithm of the absolute value of the gamma function.",
    lambda g, x: g * _polygamma(x, n=0),
)
gamma = _unary("gamma", "Gamma function.", lambda g, x, ans: g * ans * _polygamma(x, n=0))


def _sign_of_gamma(x: np.ndarray) -> np.ndarray:
    below = np.floor(x)
    sign = np.where((x > 0) | (np.mod(below, 2) == 0), 1.0, -1.0)
    return np.where(np.isnan(x) | ((x < 0) & (below == x)), np.nan, np.where(x == 0, np.copysign(1.0, x), sign)).astype(
        x.dtype
    )


gammasgn = _unary("gammasgn", "Sign of the gamma function; its derivative is 0.", lambda g: None, _sign_of_gamma)


def betaln(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Logarithm of the absolute value of `beta`."""
    x, y = _real("betaln", a), _real("betaln", b)
    return gammaln(x) + gammaln(y) - gammaln(x + y)


def beta(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Beta function, ``gamma(a) gamma(b) / gamma(a + b)``."""
    x, y = _real("beta", a), _real("beta", b)
    sign = gammasgn(x) * gammasgn(y) * gammasgn(x + y)
    return sign * elementwise.exp(betaln(x, y))


def multigammaln(a: ArrayLike, d: int) -> Tensor:
    """Logarithm of the multivariate gamma function of dimension `d`.

    Raises
    ------
    ValueError
        If `d` is less than 1, or some `a` is not above ``(d - 1) / 2``.
    """
    x = _real("multigammaln", a)
    if isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 1:
        raise ValueError(f"multigammaln: argument 'd' is {d!r}; it must be an int of at least 1")
    if np.any(x._array <= 0.5 * (d - 1)):
        raise ValueError(
            f"multigammaln: argument 'a' must lie above (d - 1) / 2 = {0.5 * (d - 1)}, its least is {x._array.min()}"
        )
    total: Tensor = x * 0 + d * (d - 1) / 4 * math.log(math.pi)
    for j in range(d):
        total = total + gammaln(x - 0.5 * j)
    return total


# --- logistic function -----------------------------------------------------------------------------------


def _expit_forward(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))  # at most 1: nothing overflows
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype, copy=False)


expit = _unary(
    "expit", "Logistic function, ``1 / (1 + exp(-x))``.", lambda g, ans: g * (ans * (1 - ans)), _expit_forward
)
log_expit = _unary(
    "log_expit",
    "Logarithm of `expit`, without underflow.",
    lambda g, x: g * expit(-x),
    lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
)


def logit(x: ArrayLike) -> Tensor:
    """Inverse of `expit`: ``log(x / (1 - x))``."""
    values = _real("logit", x)
    return elementwise.log(values) - elementwise.log1p(-values)


# --- sums and entropies ----------------------------------------------------------------------------------


def _where_zero(condition: Any, value: Any) -> Any:
    return np.where(condition, 0, value)


@primitive(name="xlogy", broadcasts=True)
def _xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    zero = (x == 0) & ~np.isnan(y)
    return np.where(zero, 0 * x, x * np.log(np.where(zero, 1, y)))


_xlogy.defvjp(
    # At x = 0 and y = 0 the derivative is infinite; as elsewhere, the limit along x = 0 is what is useful.
    x=lambda g, x, y: g * _where_zero((x == 0) & (y <= 0), np.log(np.where((x == 0) & (y <= 0), 1, y))),
    y=lambda g, x, y: _where_zero((x == 0) & (y == 0), g * x / np.where((x == 0) & (y == 0), 1, y)),
)


def xlogy(x: ArrayLike, y: ArrayLike) -> Tensor:
    """``x * log(y)``, and 0 where `x` is 0."""
    return _xlogy(_real("xlogy", x), _real("xlogy", y))


def xlog1py(x: ArrayLike, y: ArrayLike) -> Tensor:
    """``x * log1p(y)``, and 0 where `x` is 0."""
    a, b = _real("xlog1py", x), _real("xlog1py", y)
    zero = (a == 0) & ~np.isnan(b)
    return where(zero, 0 * a, a * np.log1p(where(zero & (b <= -1), 0, b)))


def entr(x: ArrayLike) -> Tensor:
    """``-x log(x)``: 0 at 0, minus infinity below."""
    values = _real("entr", x)
    return where(values < 0, -np.inf, -xlogy(values, values))


def rel_entr(x: ArrayLike, y: ArrayLike) -> Tensor:
    """``x log(x / y)`` for positive arguments, 0 for ``x = 0 <= y``, else infinity."""
    a, b = _real("rel_entr", x), _real("rel_entr", y)
    inside = (a > 0) & (b > 0)
    value = a * np.log(where(inside, a, 1) / where(inside, b, 1))
    outside = where((a == 0) & (b >= 0), 0.0, where(np.isnan(a) | np.isnan(b), np.nan, np.inf))
    return where(inside, value, outside)


def kl_div(x: ArrayLike, y: ArrayLike) -> Tensor:
    """``rel_entr(x, y) - x + y``, elementwise."""
    a, b = _real("kl_div", x), _real("kl_div", y)
    divergence = rel_entr(a, b)
    return where(np.isinf(divergence), divergence, divergence - a + b)


def _log_sum_exp_forward(x: np.ndarray, b: Any = None, *, axis: Any = None) -> np.ndarray:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        terms = np.exp(x - top)
        total = np.sum(terms if b is None else b * terms, axis=axis, keepdims=True)
        return (np.log(total) + top).astype(np.result_type(x, *(() if b is None else (b,))), copy=False)


_log_sum_exp = primitive(_log_sum_exp_forward, name="logsumexp", broadcasts=True)


def _shares(x: Any, ans: Any) -> Any:
    """exp(x - ans): what each term adds to the sum; 0 where all terms are."""
    return np.exp(x - np.where(ans == -np.inf, 0, ans))


_log_sum_exp.defvjp(
    x=lambda g, x, b, ans: g * _shares(x, ans) * (1 if b is None else b),
    b=lambda g, x, b, ans: g * _shares(x, ans),
)


def logsumexp(
    a: ArrayLike,
    axis: int | Sequence[int] | None = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    """``log(sum(b * exp(a)))`` without overflow.

    Parameters
    ----------
    a : array_like
        Real.
    axis : int or sequence of int, optional
        Along which to sum; by default over all elements.
    b : array_like, optional
        Factors, broadcast against `a`.
    keepdims : bool
        Whether the axes summed over stay, with length one.
    return_sign : bool
        Whether to return ``(log|sum|, sign)``, for factors that may make the sum negative.

    Returns
    -------
    Tensor, or pair of Tensors

    Notes
    -----
    The derivative is the softmax of `a` (times `b`).
    """
    x = _real("logsumexp", a)
    factors = None if b is None else _real("logsumexp", b)
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    if return_sign:
        top = np.max(x._array, axis=axes, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        total = np.sum(np.exp(x - top) * (1 if factors is None else factors), axis=axes, keepdims=True)
        result, sign = np.log(np.abs(total)) + top, np.sign(total)
        if not keepdims:
            result, sign = np.squeeze(result, axis=axes), np.squeeze(sign, axis=axes)
        return result, sign
    if factors is not None:
        x = x + np.zeros(np.broadcast_shapes(x.shape, factors.shape), x.dtype)
    result = _log_sum_exp(x, axis=axes) if factors is None else _log_sum_exp(x, factors, axis=axes)
    return result if keepdims else np.squeeze(result, axis=axes)


def log_softmax(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """``x - logsumexp(x)`` along `axis`; over all elements by default, as in SciPy."""
    values = _real("log_softmax", x)
    return values - logsumexp(values, axis=axis, keepdims=True)


def softmax(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `axis`; over all elements by default, as in SciPy."""
    return elementwise.exp(log_softmax(x, axis))
