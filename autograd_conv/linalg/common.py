"""What the rooms of linear algebra share: operands, transposes, and what the rules of factorizations are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import ArrayLike, Tensor, as_tensor


def matrices(function: str, argument: str, value: ArrayLike, square: bool = False) -> Tensor:
    """`value` as a Tensor of matrices, of a floating-point or complex dtype.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there are less than two axes, or the matrices should be square and are not.
    """
    x = as_tensor(value)
    if x.dtype.kind not in "fc":
        x = x.astype(np.float64)
    if x.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{function}: argument {argument!r} has shape {x.shape}; it must have at least two axes"
        )
    if square and x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(
            f"{function}: argument {argument!r} has shape {x.shape}; its last two axes must be equal (square matrices)"
        )
    return x


def transposed(x: Any) -> Any:
    """The matrices, transposed."""
    return np.matrix_transpose(x)


def adjoint(x: Any) -> Any:
    """The matrices, transposed and conjugated."""
    turned = np.matrix_transpose(x)
    return np.conjugate(turned) if x.dtype.kind == "c" else turned


def symmetric(x: Any) -> Any:
    """The Hermitian part: the cotangent of a function that reads only one triangle of a Hermitian matrix."""
    return 0.5 * (x + adjoint(x))


def identity_like(x: Any) -> np.ndarray:
    """The identity, of the size of the last axis of `x` and of its dtype."""
    return np.eye(x.shape[-1], dtype=x.dtype)


def diagonal_of(x: Any) -> Any:
    """The diagonals of matrices, as vectors."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def as_diagonal(x: Any) -> Any:
    """Diagonal matrices with these diagonals."""
    return x[..., None] * np.eye(x.shape[-1], dtype=x.dtype)


def reciprocal_gaps(x: Any) -> Any:
    """``1 / (x_j - x_i)``, and 0 where they are equal.

    Equal eigenvalues have no eigenvectors of their own, only a space; what does not depend on a choice in it has the
    derivative that leaves the pair out.
    """
    gaps = x[..., None, :] - x[..., :, None]
    equal = gaps == 0
    return np.where(equal, 0, 1 / np.where(equal, 1, gaps))
