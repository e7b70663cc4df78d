"""Discrete Fourier transforms, with the names and conventions of ``numpy.fft``.

A transform is linear, so its VJP is its transpose. That of the complex transforms is the transform itself, because
its matrix ``exp(-2 pi i j k / n)`` is symmetric; lengthening with zeros and cutting are each other's transpose.
The real transforms are made of the complex one: `rfft` keeps half of its result, `irfft` continues its argument
to a Hermitian one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .dispatch import implements
from .ops.shape import roll
from .primitive import Primitive, primitive
from .tensor import ArrayLike, Tensor, as_tensor, assign_out, wrap

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_NORMS = (None, "backward", "ortho", "forward")
_OPPOSITE = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _check(function: str, x: ArrayLike, n: Any, axis: Any, norm: Any, complex_: bool = True) -> Tensor:
    """The operand, floating-point or complex; errors that name what is wrong."""
    tensor = as_tensor(x)
    if norm not in _NORMS:
        raise ValueError(f"{function}: argument 'norm' is {norm!r}; it must be None, 'backward', 'ortho' or 'forward'")
    if tensor.ndim == 0:
        raise ValueError(f"{function}: argument 'a' has no axes; a transform runs along one")
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"{function}: argument 'axis' is {axis!r}; it must be an int")
    if not -tensor.ndim <= axis < tensor.ndim:
        raise np.exceptions.AxisError(int(axis), tensor.ndim)
    length = tensor.shape[axis] if n is None else n
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)):
        raise TypeError(f"{function}: argument 'n' is {n!r}; it must be an int")
    if length < 1:
        raise ValueError(f"{function}: {length} points were asked for along axis {axis}; there must be at least one")
    if not complex_ and tensor.dtype.kind == "c":
        raise TypeError(f"{function}: argument 'a' has dtype {tensor.dtype}; it must be real")
    return tensor if tensor.dtype.kind in "fc" else tensor.astype(np.float64)


# --- one axis, complex -------------------------------------------------------------------------------------


def _resize(g: Any, n: int, axis: int) -> Any:
    """`g`, cut or lengthened with zeros along an axis to `n` elements."""
    have = g.shape[axis]
    if have > n:
        index: list[Any] = [slice(None)] * len(g.shape)
        index[axis] = slice(n)
        return g[tuple(index)]
    if have < n:
        widths = [(0, 0)] * len(g.shape)
        widths[axis] = (0, n - have)
        return np.pad(g, widths)
    return g


def _transform(numpy_function: Callable[..., Any], name: str) -> Primitive:
    def forward(a: Any, *, n: int, axis: int, norm: str | None) -> Any:
        return numpy_function(a, n, axis, norm)

    prim: Primitive = primitive(forward, name=name)

    def vjp(g: Any, a_shape: Any, n: int, axis: int, norm: str | None) -> Any:
        return _resize(prim(g, n=n, axis=axis, norm=norm), a_shape[axis], axis)

    prim.defvjp(a=vjp)
    return prim


_fft = _transform(np.fft.fft, "fft")
_ifft = _transform(np.fft.ifft, "ifft")


def _one_axis(function: str, prim: Primitive, a: ArrayLike, n: Any, axis: Any, norm: Any, out: Any) -> Tensor:
    x = _check(function, a, n, axis, norm)
    result: Tensor = prim(x, n=int(x.shape[axis] if n is None else n), axis=int(axis) % x.ndim, norm=norm)
    return result if out is None else assign_out(function, out, result)


@implements(np.fft.fft)
def fft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Fourier transform along an axis, ``sum over j of a[j] exp(-2 pi i j k / n)``.

    Parameters
    ----------
    a : array_like
        Real or complex.
    n : int, optional
        Number of points: `a` is cut, or lengthened with zeros; by default as many as there are.
    axis : int
    norm : {None, "backward", "ortho", "forward"}
        Which of the two directions is divided by n ("ortho": both by its root).
    out : Tensor, optional
        Where to store the result.

    Returns
    -------
    Tensor, complex
        Of the precision of `a`.

    Raises
    ------
    ValueError, TypeError, IndexError
        If there is no point, no such axis, or no such norm.

    Notes
    -----
    Cost: of the order of ``n log n`` for each line, backward as forward.
    """
    return _one_axis("fft", _fft, a, n, axis, norm, out)


@implements(np.fft.ifft)
def ifft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Inverse of `fft`, ``sum over k of a[k] exp(2 pi i j k / n) / n``; see there."""
    return _one_axis("ifft", _ifft, a, n, axis, norm, out)


# --- one axis, real ----------------------------------------------------------------------------------------


def _half_weights(m: int, n: int, axis: int, ndim: int, dtype: Any) -> np.ndarray:
    """1 for the elements of a half spectrum that stand for themselves, 2 for those that stand for a pair."""
    weights = np.full(m, 2, dtype)
    weights[0] = 1
    if n % 2 == 0 and m > n // 2:
        weights[n // 2] = 1
    return weights.reshape([m if k == axis else 1 for k in range(ndim)])


def _rfft_forward(a: Any, *, n: int, axis: int, norm: Any) -> Any:
    return np.fft.rfft(a, n, axis, norm)


def _irfft_forward(a: Any, *, n: int, axis: int, norm: Any) -> Any:
    return np.fft.irfft(a, n, axis, norm)


# Their results, or arguments, are halves of spectra: linear over the real numbers only.
_rfft: Primitive = primitive(_rfft_forward, name="rfft", holomorphic=False)
_irfft: Primitive = primitive(_irfft_forward, name="irfft", holomorphic=False)


def _rfft_vjp(g: Any, a_shape: Any, a_dtype: Any, n: int, axis: int, norm: str | None) -> Any:
    """Re(sum over k of g[k] exp(2 pi i j k / n)): irfft, with the pairs that it counts twice halved."""
    weights = _half_weights(g.shape[axis], n, axis, len(g.shape), a_dtype)
    return _resize(_irfft(g / weights, n=n, axis=axis, norm=_OPPOSITE[norm]), a_shape[axis], axis)


def _irfft_vjp(g: Any, a_shape: Any, n: int, axis: int, norm: str | None) -> Any:
    """rfft, with the pairs twice."""
    spectrum = _rfft(g, n=n, axis=axis, norm=_OPPOSITE[norm])
    weights = _half_weights(n // 2 + 1, n, axis, len(a_shape), g.dtype)
    return _resize(spectrum * weights, a_shape[axis], axis)


_rfft.defvjp(a=_rfft_vjp)
_irfft.defvjp(a=_irfft_vjp)


@implements(np.fft.rfft)
def rfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """The first ``n // 2 + 1`` elements of the `fft` of a real array; the others are their conjugates.

    Parameters
    ----------
    a : array_like
        Real.
    n, axis, norm, out
        See `fft`.

    Returns
    -------
    Tensor, complex

    Raises
    ------
    TypeError
        If `a` is complex.
    """
    x = _check("rfft", a, n, axis, norm, complex_=False)
    result: Tensor = _rfft(x, n=int(x.shape[axis] if n is None else n), axis=int(axis) % x.ndim, norm=norm)
    return result if out is None else assign_out("rfft", out, result)


@implements(np.fft.irfft)
def irfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Inverse of `rfft`: the real array with this half spectrum.

    Parameters
    ----------
    a : array_like
        Real or complex.
    n : int, optional
        Number of points of the *result*; by default ``2 * (m - 1)`` for m elements.
    axis, norm, out
        See `fft`.

    Returns
    -------
    Tensor, real

    Notes
    -----
    The imaginary part of element 0, and of element n/2 for even n, has no influence, and the gradient 0.
    """
    x = as_tensor(a)
    if n is None and x.ndim and isinstance(axis, (int, np.integer)) and -x.ndim <= axis < x.ndim:
        n = 2 * (x.shape[axis] - 1)
    x = _check("irfft", x, n, axis, norm)
    if x.dtype.kind != "c":
        x = x.astype(np.result_type(x.dtype, np.complex64))
    result: Tensor = _irfft(x, n=int(n or 0), axis=int(axis) % x.ndim, norm=norm)
    return result if out is None else assign_out("irfft", out, result)


@implements(np.fft.hfft)
def hfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Transform of an array that is Hermitian in time, of which the first half is given: real."""
    if norm not in _NORMS:
        raise ValueError(f"hfft: argument 'norm' is {norm!r}; it must be None, 'backward', 'ortho' or 'forward'")
    return irfft(np.conjugate(as_tensor(a)), n, axis, _OPPOSITE[norm], out)


@implements(np.fft.ihfft)
def ihfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Inverse of `hfft`."""
    if norm not in _NORMS:
        raise ValueError(f"ihfft: argument 'norm' is {norm!r}; it must be None, 'backward', 'ortho' or 'forward'")
    result: Tensor = np.conjugate(rfft(a, n, axis, _OPPOSITE[norm]))  # type: ignore[assignment]
    return result if out is None else assign_out("ihfft", out, result)


# --- several axes ------------------------------------------------------------------------------------------


def _lengths(function: str, x: Tensor, s: Any, axes: Any) -> tuple[list[int | None], list[int]]:
    """Number of points for each axis (None: as many as there are), and the axes."""
    if axes is None:
        chosen = list(range(x.ndim)) if s is None else list(range(x.ndim - len(s), x.ndim))
    else:
        chosen = [int(axis) for axis in axes]
    lengths: list[int | None] = (
        [None] * len(chosen) if s is None else [None if length == -1 else length for length in s]
    )
    if len(lengths) != len(chosen):
        raise ValueError(
            f"{function}: s={s} and axes={axes} have different lengths; there must be one number for each axis"
        )
    return lengths, chosen


def _several(function: str, one: Callable[..., Tensor], a: ArrayLike, s: Any, axes: Any, norm: Any, out: Any) -> Tensor:
    result = as_tensor(a)
    for length, axis in reversed(list(zip(*_lengths(function, result, s, axes)))):
        result = one(result, length, axis, norm)
    return result if out is None else assign_out(function, out, result)


@implements(np.fft.fftn)
def fftn(
    a: ArrayLike,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
    out: Any = None,
) -> Tensor:
    """`fft` along several axes (by default, all), with `s` points each."""
    return _several("fftn", fft, a, s, axes, norm, out)


@implements(np.fft.ifftn)
def ifftn(
    a: ArrayLike,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
    out: Any = None,
) -> Tensor:
    """`ifft` along several axes (by default, all), with `s` points each."""
    return _several("ifftn", ifft, a, s, axes, norm, out)


@implements(np.fft.rfftn)
def rfftn(
    a: ArrayLike,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
    out: Any = None,
) -> Tensor:
    """`rfft` along the last of several axes, `fft` along the others."""
    x = as_tensor(a)
    lengths, chosen = _lengths("rfftn", x, s, axes)
    if not chosen:
        raise ValueError(f"rfftn: axes={axes} of an array of shape {x.shape} are none; there must be at least one")
    result = rfft(x, lengths[-1], chosen[-1], norm)
    for length, axis in reversed(list(zip(lengths[:-1], chosen[:-1]))):
        result = fft(result, length, axis, norm)
    return result if out is None else assign_out("rfftn", out, result)


@implements(np.fft.irfftn)
def irfftn(
    a: ArrayLike,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
    out: Any = None,
) -> Tensor:
    """Inverse of `rfftn`."""
    result = as_tensor(a)
    lengths, chosen = _lengths("irfftn", result, s, axes)
    if not chosen:
        raise ValueError(
            f"irfftn: axes={axes} of an array of shape {result.shape} are none; there must be at least one"
        )
    last = lengths[-1]
    if s is not None and last is None:  # -1 says "as many as there are", not "as many as there were"
        last = result.shape[chosen[-1]]
    for length, axis in zip(lengths[:-1], chosen[:-1]):
        result = ifft(result, length, axis, norm)
    result = irfft(result, last, chosen[-1], norm)
    return result if out is None else assign_out("irfftn", out, result)


def _planar(numpy_function: Callable[..., Any], function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same transform with the last two axes as its default."""
    name = numpy_function.__name__

    @functools.wraps(function)
    def planar(
        a: ArrayLike,
        s: Sequence[int] | None = None,
        axes: Sequence[int] = (-2, -1),
        norm: str | None = None,
        out: Any = None,
    ) -> Tensor:
        return function(a, s, axes, norm, out)

    planar.__name__ = planar.__qualname__ = name
    planar.__doc__ = f"`{function.__name__}` along two axes, by default the last."
    del planar.__wrapped__
    return implements(numpy_function)(planar)


fft2 = _planar(np.fft.fft2, fftn)
ifft2 = _planar(np.fft.ifft2, ifftn)
rfft2 = _planar(np.fft.rfft2, rfftn)
irfft2 = _planar(np.fft.irfft2, irfftn)

# --- order and frequencies ---------------------------------------------------------------------------------


def _shift(x: ArrayLike, axes: Any, inverse: bool) -> Tensor:
    tensor = as_tensor(x)
    chosen = range(tensor.ndim) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else axes
    picked = tuple(int(axis) for axis in chosen)
    steps = tuple(-(tensor.shape[axis] // 2) if inverse else tensor.shape[axis] // 2 for axis in picked)
    return roll(tensor, steps, picked) if picked else tensor


@implements(np.fft.fftshift)
def fftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Tensor:
    """Move the zero frequency to the middle, along `axes` (by default, all)."""
    return _shift(x, axes, False)


@implements(np.fft.ifftshift)
def ifftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Tensor:
    """Inverse of `fftshift`."""
    return _shift(x, axes, True)


def fftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the elements of `fft`, in cycles per unit of the sample spacing `d`."""
    return wrap(np.asarray(np.fft.fftfreq(n, d), dtype))


def rfftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the elements of `rfft`, in cycles per unit of the sample spacing `d`."""
    return wrap(np.asarray(np.fft.rfftfreq(n, d), dtype))
