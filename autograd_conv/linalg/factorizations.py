"""Factorizations of matrices: Cholesky, QR, singular values, eigenvalues.

Their factors are unique only up to signs or phases; derivatives are right for results that do not depend on that
choice. The rules hold for real and complex matrices and speak of the cotangent ``dL/dRe + i dL/dIm`` itself.

References
----------
I. Murray, Differentiation of the Cholesky decomposition, 2016. S. Walter and L. Lehmann, Algorithmic
differentiation of linear algebra functions, 2010 (QR). M. Giles, Collected matrix derivative results, 2008;
Z.-Q. Wan and S.-X. Zhang, Automatic differentiation for complex valued SVD, 2019 (singular values). C. Boeddeker
et al., On the computation of complex-valued gradients with application to statistically optimum beamforming, 2017,
section 4.6 (eigenvectors).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dispatch import implements
from ..errors import AutodiffError
from ..ops.joining import concatenate
from ..ops.linalg import matmul
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw
from .common import adjoint, as_diagonal, diagonal_of, matrices, reciprocal_gaps, symmetric

__all__ = [
    "EigResult", "EighResult", "QRResult", "SVDResult", "cholesky", "eig", "eigh", "eigvals", "eigvalsh", "qr", "svd",
    "svdvals",
]  # fmt: skip


class QRResult(NamedTuple):
    """Factors of ``a = Q @ R``."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """Factors of ``a = U @ diag(S) @ Vh``."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors of Hermitian matrices."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues and eigenvectors."""

    eigenvalues: Tensor
    eigenvectors: Tensor


# --- Cholesky ----------------------------------------------------------------------------------------------

_cholesky = primitive(np.linalg.cholesky, name="cholesky", arguments=("a",), holomorphic=False)


def _cholesky_vjp(g: Any, ans: Any) -> Any:
    """L^-H Phi(L^H g) L^-1, where Phi takes the lower triangle with half the diagonal; its Hermitian part."""
    product = np.matmul(adjoint(ans), g)
    lower = np.tril(product) - 0.5 * as_diagonal(diagonal_of(product))
    if ans.dtype.kind == "c":  # the diagonal of L is real, and so is what it feels
        lower = lower - 0.5j * as_diagonal(np.imag(diagonal_of(product)))
    inverse = np.linalg.inv(ans)
    return symmetric(np.matmul(np.matmul(adjoint(inverse), lower), inverse))


_cholesky.defvjp(a=_cholesky_vjp)


@implements(np.linalg.cholesky)
def cholesky(a: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """Triangular factor of positive definite matrices: ``a = L @ L^H``.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        Hermitian; only the lower triangle is read. Its cotangent is Hermitian.
    upper : bool
        Return the upper factor ``L^H`` instead; then the upper triangle is read.

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    """
    x = matrices("cholesky", "a", a, square=True)
    if upper:
        result: Tensor = adjoint(_cholesky(adjoint(x)))
        return result
    return _cholesky(x)


# --- QR ----------------------------------------------------------------------------------------------------


def _qr_forward(a: Any, *, mode: Any = "reduced") -> Any:
    q, r = np.linalg.qr(a, mode)
    return q, r


_qr = primitive(_qr_forward, name="qr", multiple=True, holomorphic=False)


def _qr_vjp(g: Any, ans: Any) -> Any:
    """(g_Q + Q M) R^-H with the Hermitian M whose upper triangle is that of g_R R^H - Q^H g_Q; rows not fewer."""
    (q, r), (gq, gr) = ans, g
    if q.shape[-1] != r.shape[-1]:
        raise AutodiffError(
            f"backward: qr with mode='complete' of matrices with {q.shape[-2]} rows and {r.shape[-1]} columns has no "
            "derivative, because the additional columns of Q are arbitrary; use mode='reduced'"
        )
    upper = np.triu(np.matmul(gr, adjoint(r)) - np.matmul(adjoint(q), gq))
    hermitian = upper + adjoint(upper) - as_diagonal(np.real(diagonal_of(upper)))
    return np.matmul(gq + np.matmul(q, hermitian), np.linalg.inv(adjoint(r)))


_qr.defvjp(a=_qr_vjp)


@implements(np.linalg.qr)
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """Orthonormal and triangular factor: ``a = Q @ R``.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
    mode : {"reduced", "complete", "r"}
        ``Q`` with min(m, n) columns, or with m, or only ``R``.

    Returns
    -------
    QRResult, or Tensor with ``mode="r"``

    Raises
    ------
    ValueError
        If `mode` is another one. ("raw" is LAPACK's own form of the result, of ndarrays only.)
    AutodiffError
        In a backward sweep, through ``mode="complete"`` of matrices with more rows than columns.

    Notes
    -----
    The first min(m, n) columns must be linearly independent for a derivative.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: argument 'mode' is {mode!r}; it must be 'reduced', 'complete' or 'r'")
    x = matrices("qr", "a", a)
    m, n = x.shape[-2:]
    form = "complete" if mode == "complete" else "reduced"
    if m < n and x.requires_grad:
        # Q belongs to the first m columns; the others are then expressed in it.
        q, square = _qr(x[..., :, :m], mode=form)
        r = concatenate([square, matmul(adjoint(q), x[..., :, m:])], axis=-1)
    else:
        q, r = _qr(x, mode=form)
    return r if mode == "r" else QRResult(q, r)


# --- singular values ---------------------------------------------------------------------------------------


def _svd_forward(a: Any) -> Any:
    return tuple(np.linalg.svd(a, full_matrices=False))


_svd = primitive(_svd_forward, name="svd", multiple=True, holomorphic=False)


def _svd_vjp(g: Any, ans: Any) -> Any:
    """U [(E o skew(U^H gU)) S + S (E o skew(V^H gV)) + gS] V^H, E_ij = 1 / (s_j^2 - s_i^2).

    To that come what leaves the spaces of U and V and, for complex matrices, the phase that they share.
    """
    (u, s, vh), (gu, gs, gvh) = ans, g
    uh, v, gv = adjoint(u), adjoint(vh), adjoint(gvh)
    gaps = reciprocal_gaps(s * s)
    nonzero = s != 0
    inverse = np.where(nonzero, 1 / np.where(nonzero, s, 1), 0)
    left, right = np.matmul(uh, gu), np.matmul(vh, gv)
    inner = gaps * (left - adjoint(left)) * s[..., None, :] + s[..., :, None] * (gaps * (right - adjoint(right)))
    inner = inner + as_diagonal(gs)
    if u.dtype.kind == "c":  # the phase that U and V share
        inner = inner + 1j * as_diagonal(np.imag(diagonal_of(left)) * inverse)
    result = np.matmul(np.matmul(u, inner), vh)
    if u.shape[-2] > u.shape[-1]:
        outside = gu - np.matmul(u, left)
        result = result + np.matmul(outside * inverse[..., None, :], vh)
    if vh.shape[-1] > vh.shape[-2]:
        outside = gv - np.matmul(v, right)
        result = result + np.matmul(u * inverse[..., None, :], adjoint(outside))
    return result


_svd.defvjp(a=_svd_vjp)


def _complement_forward(a: Any, basis: Any) -> Any:
    """Orthonormal vectors that complete the columns of `basis`."""
    return np.linalg.svd(basis)[0][..., :, basis.shape[-1] :]


def _no_complement(g: Any) -> Any:
    if np.any(raw(g)):
        raise AutodiffError(
            "backward: the additional vectors of svd with full_matrices=True are arbitrary and have no derivative; "
            "use full_matrices=False"
        )


_complement = primitive(_complement_forward, name="svd_complement")
_complement.defvjp(a=_no_complement)


def _svdvals_vjp(g: Any, a: Any) -> Any:
    """U g V^H."""
    if isinstance(a, Tensor):
        u, _, vh = _svd(a)
    else:
        u, _, vh = np.linalg.svd(a, full_matrices=False)
    return np.matmul(u * g[..., None, :], vh)


_svdvals = primitive(lambda a: np.linalg.svd(a, compute_uv=False), name="svdvals", arguments=("a",), holomorphic=False)
_svdvals.defvjp(a=_svdvals_vjp)


@implements(np.linalg.svd)
def svd(a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular value decomposition, ``a = U @ diag(S) @ Vh``.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
    full_matrices : bool
        Whether `U` and `Vh` are square. Their additional vectors have no derivative.
    compute_uv : bool
        Whether to return `U` and `Vh` too.
    hermitian : bool
        Accepted as by NumPy; the general algorithm serves.

    Returns
    -------
    SVDResult, or Tensor of the singular values without `compute_uv`

    Notes
    -----
    The derivative of singular vectors grows as singular values approach each other. Equal ones have no vectors of
    their own; then the derivative is that of results which do not depend on the choice.
    """
    x = matrices("svd", "a", a)
    if not compute_uv:
        return _svdvals(x)
    u, s, vh = _svd(x)
    m, n = x.shape[-2:]
    if full_matrices and m > n:
        u = concatenate([u, _complement(x, u.detach())], axis=-1)
    elif full_matrices and n > m:
        more = _complement(x, adjoint(vh.detach()))
        vh = concatenate([vh, adjoint(more)], axis=-2)
    return SVDResult(u, s, vh)


@implements(np.linalg.svdvals)
def svdvals(x: ArrayLike, /) -> Tensor:
    """Singular values, in descending order."""
    return _svdvals(matrices("svdvals", "x", x))


# --- Hermitian eigenvalues ---------------------------------------------------------------------------------


def _eigh_forward(a: Any, *, UPLO: Any = "L") -> Any:
    return tuple(np.linalg.eigh(a, UPLO))


_eigh = primitive(_eigh_forward, name="eigh", multiple=True, holomorphic=False)


def _eigh_vjp(g: Any, ans: Any) -> Any:
    """V (diag(gw) + F o V^H gV) V^H, with F_ij = 1 / (w_j - w_i); its Hermitian part."""
    (w, v), (gw, gv) = ans, g
    inner = reciprocal_gaps(w) * np.matmul(adjoint(v), gv) + as_diagonal(gw)
    return symmetric(np.matmul(np.matmul(v, inner), adjoint(v)))


_eigh.defvjp(a=_eigh_vjp)


@implements(np.linalg.eigh)
def eigh(a: ArrayLike, UPLO: str = "L") -> EighResult:
    """Eigenvalues, in ascending order, and orthonormal eigenvectors of Hermitian matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        Only one triangle is read. Its cotangent is Hermitian.
    UPLO : {"L", "U"}
        Which.

    Returns
    -------
    EighResult
        ``eigenvalues``, shape (..., n), and ``eigenvectors``, shape (..., n, n), in columns.
    """
    if str(UPLO).upper() not in ("L", "U"):
        raise ValueError(f"eigh: argument 'UPLO' is {UPLO!r}; it must be 'L' or 'U'")
    return EighResult(*_eigh(matrices("eigh", "a", a, square=True), UPLO=str(UPLO).upper()))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: ArrayLike, UPLO: str = "L") -> Tensor:
    """Eigenvalues of Hermitian matrices, in ascending order; see `eigh`."""
    return eigh(a, UPLO).eigenvalues


# --- eigenvalues -------------------------------------------------------------------------------------------

_eig = primitive(lambda a: tuple(np.linalg.eig(a)), name="eig", arguments=("a",), multiple=True, holomorphic=False)


def _eig_vjp(g: Any, ans: Any) -> Any:
    """V^-H (diag(gw) + conj(F) o (V^H gV - V^H V diag(Re(V^H gV)))) V^H: eigenvectors have length 1."""
    (w, v), (gw, gv) = ans, g
    vh = adjoint(v)
    turned = np.matmul(vh, gv)
    along = np.matmul(vh, v) * np.real(diagonal_of(turned))[..., None, :]
    gaps = np.conjugate(reciprocal_gaps(w))
    return np.linalg.solve(vh, np.matmul(as_diagonal(gw) + gaps * (turned - along), vh))


_eig.defvjp(a=_eig_vjp)


@implements(np.linalg.eig)
def eig(a: ArrayLike) -> EigResult:
    """Eigenvalues and eigenvectors (of length 1) of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    EigResult
        Complex, unless all eigenvalues are real.

    Notes
    -----
    Derivatives are defined where the eigenvalues are distinct, and, for eigenvectors, for results that do not depend
    on their phases.
    """
    return EigResult(*_eig(matrices("eig", "a", a, square=True)))


@implements(np.linalg.eigvals)
def eigvals(a: ArrayLike) -> Tensor:
    """Eigenvalues of square matrices; see `eig`."""
    return eig(a).eigenvalues
