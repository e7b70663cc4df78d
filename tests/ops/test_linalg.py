"""Linear algebra against NumPy, SciPy and PyTorch; derivatives against central differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import linalg

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.standard_normal(shape)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def adjoint(x):
    return np.conjugate(np.matrix_transpose(x))


def definite(x):
    return np.matmul(x, adjoint(x)) + 3 * np.eye(x.shape[-2])


def hermitian(x):
    return x + adjoint(x)


def invariant(u, s, vh):
    """What does not depend on the phases of singular vectors."""
    return np.matmul(u * np.sin(s)[..., None, :], vh)


KINDS = pytest.mark.parametrize("make", [real, random], ids=["real", "complex"])

CASES = {
    "inv": (linalg.inv, (2, 3, 3)),
    "det": (linalg.det, (2, 3, 3)),
    "det of one": (linalg.det, (1, 1)),
    "slogdet": (lambda a: tuple(linalg.slogdet(a)), (2, 3, 3)),
    "pinv tall": (linalg.pinv, (2, 4, 3)),
    "pinv wide": (linalg.pinv, (3, 4)),
    "pinv rtol": (lambda a: linalg.pinv(a, rtol=1e-10), (3, 3)),
    "cholesky": (lambda a: linalg.cholesky(definite(a)), (2, 3, 3)),
    "cholesky upper": (lambda a: linalg.cholesky(definite(a), upper=True), (3, 3)),
    "qr tall": (lambda a: tuple(linalg.qr(a)), (2, 4, 3)),
    "qr square": (lambda a: tuple(linalg.qr(a)), (3, 3)),
    "qr wide": (lambda a: tuple(linalg.qr(a)), (3, 5)),
    "qr complete": (lambda a: tuple(linalg.qr(a, "complete")), (3, 3)),
    "qr r": (lambda a: linalg.qr(a, mode="r"), (4, 3)),
    "svd tall": (lambda a: invariant(*linalg.svd(a, full_matrices=False)), (2, 4, 3)),
    "svd wide": (lambda a: invariant(*linalg.svd(a, full_matrices=False)), (3, 4)),
    "svd square": (lambda a: invariant(*linalg.svd(a)), (3, 3)),
    "svd full": (lambda a: invariant(linalg.svd(a)[0][:, :3], *linalg.svd(a)[1:]), (4, 3)),
    "svd values": (lambda a: linalg.svd(a, compute_uv=False), (2, 4, 3)),
    "svdvals": (linalg.svdvals, (3, 4)),
    "svd left": (lambda a: abs(linalg.svd(a, full_matrices=False)[0]) ** 2, (4, 3)),
    "eigh": (lambda a: linalg.eigh(hermitian(a))[0], (2, 3, 3)),
    "eigh vectors": (lambda a: abs(linalg.eigh(hermitian(a), "U")[1]) ** 2, (3, 3)),
    "eigvalsh": (lambda a: linalg.eigvalsh(hermitian(a)), (3, 3)),
    "eig": (lambda a: linalg.eig(a)[0], (2, 3, 3)),
    "eig vectors": (lambda a: abs(linalg.eig(a)[1]) ** 2, (3, 3)),
    "eigvals": (lambda a: linalg.eigvals(a).real, (4, 4)),
    "norm": (linalg.norm, (2, 3)),
    "norm 3-D": (linalg.norm, (2, 3, 2)),
    "norm fro": (lambda a: linalg.norm(a, "fro"), (2, 3)),
    "norm nuc": (lambda a: linalg.norm(a, "nuc"), (2, 3)),
    "norm 2": (lambda a: linalg.norm(a, 2), (3, 3)),
    "norm -2": (lambda a: linalg.norm(a, -2, keepdims=True), (3, 3)),
    "norm 1": (lambda a: linalg.norm(a, 1), (3, 2)),
    "norm -1": (lambda a: linalg.norm(a, -1), (3, 2)),
    "norm inf": (lambda a: linalg.norm(a, math.inf, axis=(2, 0)), (3, 2, 2)),
    "norm -inf": (lambda a: linalg.norm(a, -math.inf, axis=(0, 1)), (3, 2, 2)),
    "norm nuc axes": (lambda a: linalg.norm(a, "nuc", axis=(2, 0), keepdims=True), (3, 2, 2)),
    "vector norm": (lambda a: linalg.norm(a, axis=-1), (2, 3)),
    "vector norm 3": (lambda a: linalg.norm(a, 3, axis=0, keepdims=True), (2, 3)),
    "vector norm 1/2": (lambda a: linalg.norm(a, 0.5, axis=0), (4, 2)),
    "vector norm 1": (lambda a: linalg.norm(a, 1, axis=1), (2, 3)),
    "vector norm inf": (lambda a: linalg.norm(a, math.inf, axis=1), (2, 3)),
    "vector norm -inf": (lambda a: linalg.norm(a, -math.inf, axis=1), (2, 3)),
    "vector_norm": (lambda a: linalg.vector_norm(a, axis=(0, 2), ord=3), (2, 3, 2)),
    "matrix_norm": (lambda a: linalg.matrix_norm(a, ord=2, keepdims=True), (2, 3, 2)),
    "cond": (linalg.cond, (3, 3)),
    "cond 1": (lambda a: linalg.cond(a, 1), (3, 3)),
    "matrix_power": (lambda a: linalg.matrix_power(a, 5), (2, 3, 3)),
    "matrix_power -2": (lambda a: linalg.matrix_power(a, -2), (3, 3)),
    "expm": (linalg.expm, (2, 3, 3)),
    "tensorinv": (lambda a: linalg.tensorinv(a), (2, 3, 6)),
    "trace": (lambda a: linalg.trace(a, offset=1), (2, 3, 4)),
    "diagonal": (linalg.diagonal, (2, 3, 4)),
    "matrix_transpose": (linalg.matrix_transpose, (2, 3, 4)),
}


@KINDS
@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_functions_of_one_array(name, make):
    function, shape = CASES[name]
    ac.testing.check_vjp(function, make(*shape), rtol=2e-4, atol=2e-5)


PAIRS = {
    "solve vector": (linalg.solve, (3, 3), (3,)),
    "solve": (linalg.solve, (2, 3, 3), (2, 3, 2)),
    "solve broadcast": (linalg.solve, (2, 3, 3), (3, 2)),
    "solve stack by vector": (linalg.solve, (2, 3, 3), (3,)),
    "lower": (lambda a, b: linalg.solve_triangular(a, b, lower=True), (3, 3), (3, 2)),
    "upper": (lambda a, b: linalg.solve_triangular(a, b, trans="C"), (3, 3), (3,)),
    "unit": (lambda a, b: linalg.solve_triangular(a, b, 1, unit_diagonal=True), (3, 3), (3, 1)),
    "lstsq": (lambda a, b: linalg.lstsq(a, b)[0], (4, 2), (4,)),
    "lstsq residuals": (lambda a, b: linalg.lstsq(a, b)[:2], (4, 2), (4, 3)),
    "lstsq wide": (lambda a, b: linalg.lstsq(a, b)[0], (2, 4), (2, 3)),
    "multi_dot": (lambda a, b: linalg.multi_dot([a, b, a]), (2, 4), (4, 2)),
    "multi_dot vectors": (lambda a, b: linalg.multi_dot([b, a, a, b]), (3, 3), (3,)),
    "tensorsolve": (linalg.tensorsolve, (2, 3, 6), (2, 3)),
    "cross": (linalg.cross, (2, 3), (2, 3)),
    "outer": (linalg.outer, (2,), (3,)),
    "vecdot": (linalg.vecdot, (2, 3), (3,)),
    "tensordot": (lambda a, b: linalg.tensordot(a, b, axes=1), (2, 3), (3, 2)),
    "matmul": (linalg.matmul, (2, 3), (3, 2)),
}


@KINDS
@pytest.mark.parametrize("name", PAIRS)
def test_derivatives_of_functions_of_two_arrays(name, make):
    function, left, right = PAIRS[name]
    ac.testing.check_vjp(function, make(*left), make(*right), rtol=2e-4, atol=2e-5)


# --- values ----------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "call",
    [
        lambda m, a: m.inv(a),
        lambda m, a: m.det(a),
        lambda m, a: m.slogdet(a)[1],
        lambda m, a: m.slogdet(a).sign,
        lambda m, a: m.pinv(a),
        lambda m, a: m.pinv(a[:2]),
        lambda m, a: m.qr(a).R,
        lambda m, a: m.qr(a[:, :2], mode="complete").Q,
        lambda m, a: m.qr(a[:2]).Q,
        lambda m, a: m.svd(a).S,
        lambda m, a: abs(m.svd(a[:2]).Vh[:2]),
        lambda m, a: m.svd(a[:2])[2].shape[0],
        lambda m, a: m.eigvalsh(a),
        lambda m, a: m.eigh(a, "U").eigenvalues,
        lambda m, a: m.eigvals(a),
        lambda m, a: m.eig(a).eigenvalues,
        lambda m, a: m.matrix_rank(a),
        lambda m, a: m.matrix_power(a, 3),
        lambda m, a: m.matrix_power(a, 0),
        lambda m, a: m.matrix_power(a, -1),
        lambda m, a: m.cond(a),
        lambda m, a: m.cond(a, "fro"),
        lambda m, a: m.lstsq(a[:, :2], a[:, 2], None)[1],
        lambda m, a: m.lstsq(a[:, :2], a, None)[0],
        lambda m, a: m.multi_dot([a, a, a[:, 0]]),
        lambda m, a: m.norm(a.ravel(), 0),
        lambda m, a: m.vector_norm(a),
        lambda m, a: m.svdvals(a),
    ],
)
def test_values_are_those_of_numpy_and_its_functions_reach_ours(call, make):
    a = make(3, 3)
    expected = call(np.linalg, a)
    for module, argument in ((linalg, a), (np.linalg, ac.tensor(a)), (linalg, ac.tensor(a, requires_grad=True))):
        result = call(module, argument)
        np.testing.assert_allclose(getattr(result, "data", result), expected, rtol=1e-9, atol=1e-10)


def test_values_against_scipy():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    for a in (real(4, 4), 30 * real(4, 4), 1e-9 * real(4, 4), random(3, 3), np.zeros((2, 2))):
        expected = scipy_linalg.expm(a)
        np.testing.assert_allclose(linalg.expm(a).data, expected, rtol=1e-9, atol=1e-12 * abs(expected).max())
    a, b = random(4, 4), random(4, 2)
    for options in (
        {},
        {"lower": True},
        {"trans": 1},
        {"trans": "C", "lower": True},
        {"unit_diagonal": True, "trans": "N"},
    ):
        np.testing.assert_allclose(
            linalg.solve_triangular(a, b, **options).data, scipy_linalg.solve_triangular(a, b, **options), rtol=1e-9
        )
    assert linalg.expm(np.zeros((2, 0, 0))).shape == (2, 0, 0)


def test_single_precision_stays():
    a = (real(3, 3) + 4 * np.eye(3)).astype(np.float32)
    for function in (linalg.inv, linalg.det, linalg.expm, linalg.svdvals, linalg.norm, linalg.eigvalsh, linalg.pinv):
        x = ac.tensor(a, requires_grad=True)
        result = function(x)
        assert result.dtype == np.float32
        result.sum().backward()
        assert x.grad.dtype == np.float32
    assert linalg.inv([[1, 2], [3, 4]]).dtype == np.float64


# --- against PyTorch -----------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "loss",
    [
        lambda m, a: abs(m.linalg.inv(a)).sum(),
        lambda m, a: abs(m.linalg.det(a)),
        lambda m, a: m.linalg.slogdet(a)[1],
        lambda m, a: abs(m.linalg.svd(a)[0] ** 2).sum() + m.linalg.svd(a)[1][0],
        lambda m, a: m.linalg.svdvals(a)[1],
        lambda m, a: abs(m.linalg.eig(a)[0]).sum(),
        lambda m, a: abs(m.linalg.pinv(a)).sum(),
        lambda m, a: m.linalg.matrix_norm(a, ord="nuc"),
        lambda m, a: m.linalg.vector_norm(a, ord=3),
    ],
)
def test_gradients_are_those_of_pytorch(loss, make):
    torch = pytest.importorskip("torch")
    a = make(3, 3)
    x, t = ac.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    loss(ac, x).backward()
    loss(torch, t).backward()
    np.testing.assert_allclose(x.grad, t.grad.resolve_conj().numpy(), rtol=1e-8, atol=1e-10)


# --- edges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_determinant_of_a_singular_matrix_has_a_derivative(rank):
    a = real(3, rank) @ real(rank, 3)
    x = ac.tensor(a, requires_grad=True)
    linalg.det(x).backward()
    cofactors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)] for i in range(3)
    ]
    np.testing.assert_allclose(x.grad, cofactors, atol=1e-12)


def test_norms_at_zero():
    for order in (None, 1, 2, 3, 1.5, math.inf):
        x = ac.tensor(np.zeros(3), requires_grad=True)
        linalg.norm(x, order).backward()
        assert np.isfinite(x.grad).all()
    assert linalg.norm(np.zeros(0)).item() == 0
    assert linalg.norm(np.full(4, 1e200)).item() == 2e200  # no overflow of squares


def test_equal_eigenvalues():
    """What does not depend on the choice of vectors has a finite, right derivative."""
    x = ac.tensor(np.eye(3), requires_grad=True)
    w, v = linalg.eigh(x)
    np.matmul(v * np.exp(w), adjoint(v)).sum().backward()
    np.testing.assert_allclose(x.grad, np.diag(np.full(3, np.e)), atol=1e-12)


def test_empty_stacks():
    assert linalg.inv(np.zeros((0, 3, 3))).shape == (0, 3, 3)
    assert linalg.det(np.zeros((2, 0, 0))).data.tolist() == [1, 1]
    x = ac.tensor(np.zeros((0, 3, 3)), requires_grad=True)
    linalg.svd(x)[1].sum().backward()
    assert x.grad.shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linalg.inv(np.ones((2, 3))), np.linalg.LinAlgError, r"shape \(2, 3\)"),
        (lambda: linalg.inv(np.ones(3)), np.linalg.LinAlgError, "two axes"),
        (lambda: linalg.inv(ac.tensor(np.zeros((2, 2)))), np.linalg.LinAlgError, "Singular"),
        (lambda: linalg.qr(np.ones((2, 2)), "raw"), ValueError, "'raw'"),
        (lambda: linalg.eigh(np.ones((2, 2)), "X"), ValueError, "'X'"),
        (lambda: linalg.norm(np.ones((2, 2, 2)), 2), ValueError, "neither vectors nor matrices"),
        (lambda: linalg.norm(np.ones((2, 2)), "max"), ValueError, "'max'"),
        (lambda: linalg.norm(np.ones(2), "fro"), ValueError, "'fro'"),
        (lambda: linalg.norm(np.ones((2, 2)), 2, axis=(0, 0)), ValueError, "twice"),
        (lambda: linalg.norm(np.ones((2, 2)), axis=2), np.exceptions.AxisError, "axis 2"),
        (lambda: linalg.matrix_power(np.eye(2), 1.5), TypeError, "1.5"),
        (lambda: linalg.multi_dot([np.eye(2)]), ValueError, "at least two"),
        (lambda: linalg.solve_triangular(np.eye(2), np.ones(2), trans=3), ValueError, "'trans' is 3"),
        (lambda: linalg.pinv(np.eye(2), 1e-3, rtol=1e-3), ValueError, "two names"),
        (lambda: linalg.tensorinv(np.ones((2, 2)), 0), ValueError, "'ind' is 0"),
        (lambda: linalg.cross(np.ones(2), np.ones(2)), ValueError, "length 3"),
        (lambda: linalg.outer(np.ones((2, 2)), np.ones(2)), ValueError, "one axis"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_arbitrary_vectors_have_no_derivative():
    x = ac.tensor(real(4, 2), requires_grad=True)
    with pytest.raises(ac.AutodiffError, match="full_matrices=False"):
        linalg.svd(x)[0].sum().backward()
    with pytest.raises(ac.AutodiffError, match="mode='reduced'"):
        linalg.qr(x, "complete")[0].sum().backward()
