"""Complex numbers: derivatives against central differences in both directions, the convention against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


Z, W, R = random(2, 3), random(2, 3), RNG.standard_normal(3)

UNARY = [
    "negative", "positive", "absolute", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
    "square", "reciprocal", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "arcsinh", "arccosh", "arctanh", "conjugate", "sign", "real", "imag", "angle", "sum", "mean", "prod",
    "cumsum", "cumprod", "var", "std",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array(name):
    ac.testing.check_vjp(getattr(np, name), Z, rtol=1e-4)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power"])
def test_operators_with_complex_and_real_sides(name):
    function = getattr(np, name)
    ac.testing.check_vjp(function, Z, W, rtol=1e-4)
    ac.testing.check_vjp(function, Z, R, rtol=1e-4)
    ac.testing.check_vjp(function, R, Z, rtol=1e-4)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (np.matmul, (Z, W.T)),
        (np.matmul, (R, W.T)),
        (np.dot, (Z, W.T)),
        (np.vdot, (Z, W)),
        (np.vecdot, (Z, W)),
        (np.inner, (Z, W)),
        (np.outer, (Z[0], W[0])),
        (lambda a, b: np.tensordot(a, b), (Z, W)),
        (lambda a, b: np.einsum("ij,kj->ik", a, b), (Z, W)),
        (lambda a, b: np.where(np.array([True, False, True]), a, b), (Z, R)),
        (lambda a: a[0, ::2] * a[1, 1], (Z,)),
        (lambda a, b: np.concatenate([a, b[None]]), (Z, R)),
        (lambda a: a.astype(complex) * W, (R,)),
        (lambda a: np.real(a * np.conj(a)), (Z,)),
        (lambda a: abs(a) ** 2, (Z,)),
    ],
)
def test_products_and_shapes(function, args):
    ac.testing.check_vjp(function, *args, rtol=1e-4)


@pytest.mark.parametrize(
    "expression",
    [
        lambda m, z, w: (z * w).real.sum(),
        lambda m, z, w: (m.exp(z) * w.conj()).imag.sum(),
        lambda m, z, w: abs(z - w).sum(),
        lambda m, z, w: (z / w * (z + 2).conj()).real.sum(),
        lambda m, z, w: (m.sin(z) ** 2 + w).real.prod(),
    ],
)
def test_the_convention_is_that_of_pytorch(expression):
    torch = pytest.importorskip("torch")
    z, w = ac.tensor(Z, requires_grad=True), ac.tensor(W, requires_grad=True)
    expression(ac, z, w).backward()
    tz, tw = (torch.tensor(v, requires_grad=True) for v in (Z, W))
    expression(torch, tz, tw).backward()
    np.testing.assert_allclose(z.grad, tz.grad.resolve_conj().numpy(), rtol=1e-12)
    np.testing.assert_allclose(w.grad, tw.grad.resolve_conj().numpy(), rtol=1e-12)


def test_steepest_descent_goes_downhill():
    z = ac.tensor(Z, requires_grad=True)
    loss = (abs(z * W - 1) ** 2).sum()
    loss.backward()
    assert (abs((Z - 0.01 * z.grad) * W - 1) ** 2).sum() < loss.item()
    np.testing.assert_allclose(z.grad, 2 * np.conj(W) * (Z * W - 1))


def test_a_real_argument_has_a_real_gradient():
    x = ac.tensor(R, requires_grad=True)
    (np.exp(1j * x)).imag.sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_allclose(x.grad, np.cos(R))
    single = ac.tensor(R.astype(np.float32), requires_grad=True)
    (single * np.complex64(1j)).imag.sum().backward()
    assert single.grad.dtype == np.float32


def test_zero_has_no_direction():
    z = ac.tensor([0j, 1j], requires_grad=True)
    (abs(z) + np.angle(z) + np.sign(z).real).sum().backward()
    np.testing.assert_allclose(z.grad, [0, 1j - 1 + 1], atol=1e-15)


def test_primitives_of_ones_own():
    # Complex differentiable: the rule of the real function is enough.
    cube = ac.primitive(lambda z: z**3, name="cube").defvjp(z=lambda g, z: g * 3 * z * z)
    ac.testing.check_vjp(cube, Z, rtol=1e-4)
    # Not so: the rule speaks of dL/dRe + i dL/dIm.
    mirrored = ac.primitive(lambda z: z * z.conj() + 1j * z.real, name="mirrored", holomorphic=False)
    mirrored.defvjp(z=lambda g, z: 2 * z * np.real(g) + np.imag(g))
    ac.testing.check_vjp(mirrored, Z, rtol=1e-4)
    wrong = ac.primitive(lambda z: z**3, name="wrong", holomorphic=False).defvjp(z=lambda g, z: g * 3 * z * z)
    with pytest.raises(ac.testing.GradientMismatch):
        ac.testing.check_vjp(wrong, Z)
    joint = ac.primitive(lambda a, b: a * b, name="joint").defvjp(lambda g, a, b, needs: (g * b, g * a))
    ac.testing.check_vjp(joint, Z, W, rtol=1e-4)
    pair = ac.primitive(lambda a: (a * a, a.real), name="pair", multiple=True)
    pair.defvjp(a=lambda g, a: 2 * a * g[0] + g[1])
    ac.testing.check_vjp(pair, Z, rtol=1e-4)


def test_parts_of_real_arrays():
    np.testing.assert_array_equal(np.real(ac.tensor(R)).data, R)
    np.testing.assert_array_equal(np.imag(ac.tensor(R)).data, np.zeros(3))
    np.testing.assert_array_equal(np.angle(ac.tensor([-1.0, 2.0]), deg=True).data, [180, 0])
    assert ac.iscomplexobj(ac.tensor(Z))
    assert np.isrealobj(ac.tensor(R))
