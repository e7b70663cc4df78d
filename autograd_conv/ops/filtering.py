"""Convolution and correlation of vectors, as NumPy has them; `autograd_conv.nn` has those of images.

Two primitives, whose vector-Jacobian products are each other: the full convolution, and the part of it where the
shorter vector lies wholly within the longer one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .conversion import asarray
from .shape import flip

__all__ = ["convolve", "correlate"]

# full: y[n] = sum over k of x[n - k] w[k];  valid: the same for K - 1 <= n < N.
_full = primitive(lambda x, w: np.convolve(x, w, "full"), name="convolve")
_valid = primitive(lambda x, w: np.convolve(x, w, "valid"), name="convolve_valid")


def _full_x(g: Any, w: Any) -> Any:
    """gx[m] = sum over k of g[m + k] w[k]."""
    return _valid(g, np.flip(np.conjugate(w)))


def _valid_w(g: Any, x: Any) -> Any:
    """gw[k] = sum over n of g[n] x[n + K - 1 - k]."""
    return np.flip(_valid(np.conjugate(x), np.flip(g)))


_full.defvjp(x=_full_x, w=lambda g, x: _full_x(g, x))
_valid.defvjp(x=lambda g, w: _full(g, np.flip(np.conjugate(w))), w=_valid_w)

_MODES = ("full", "same", "valid")


def _vectors(name: str, a: ArrayLike, v: ArrayLike, mode: str) -> tuple[Tensor, Tensor]:
    x, w = [t.reshape((1,)) if t.ndim == 0 else t for t in (asarray(a), asarray(v))]
    for argument, vector in (("a", x), ("v", w)):
        if vector.ndim != 1 or not len(vector):
            raise ValueError(f"{name}: {argument} has shape {vector.shape}; it must have one axis that is not empty")
    if mode not in _MODES:
        raise ValueError(f"{name}: mode is {mode!r}; it must be 'full', 'same' or 'valid'")
    return x, w


def _convolve(x: Tensor, w: Tensor, mode: str) -> Tensor:
    if mode == "valid":
        result: Tensor = _valid(x, w) if len(x) >= len(w) else _valid(w, x)
        return result
    result = _full(x, w)
    if mode == "same":
        start = (min(len(x), len(w)) - 1) // 2
        result = result[start : start + max(len(x), len(w))]
    return result


@implements(np.convolve)
def convolve(a: ArrayLike, v: ArrayLike, mode: str = "full") -> Tensor:
    """Convolution of two vectors.

    Parameters
    ----------
    a : array_like, shape (m,)
    v : array_like, shape (n,)
    mode : {"full", "same", "valid"}
        All of it, m + n - 1 elements; the max(m, n) in the middle; or where the shorter lies wholly in the longer.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If a vector has no elements or several axes, or `mode` is another.
    """
    return _convolve(*_vectors("convolve", a, v, mode), mode)


@implements(np.correlate)
def correlate(a: ArrayLike, v: ArrayLike, mode: str = "valid") -> Tensor:
    """Correlation of two vectors: the convolution of `a` with `v` reversed (and conjugated).

    Parameters
    ----------
    a : array_like, shape (m,)
    v : array_like, shape (n,)
    mode : {"valid", "same", "full"}
        As for `convolve`.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        As for `convolve`.
    """
    x, w = _vectors("correlate", a, v, mode)
    if w.dtype.kind == "c":
        w = np.conjugate(w)  # type: ignore[assignment]
    if mode == "same" and len(w) > len(x):
        # NumPy exchanges the vectors and reverses the result, which for even lengths is another middle.
        return flip(_convolve(w, flip(x), mode))
    return _convolve(x, flip(w), mode)
