"""custom_vjp: rules that stand in for the chain rule, at every order."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

POINT = np.array([0.3, -0.7, 1.1])


def make(backward=None):
    """A softplus whose rule is its known derivative."""

    @ac.custom_vjp
    def softplus(x):
        return ac.log1p(ac.exp(x))

    def forward(x):
        return softplus(x), (x, ac.exp(x))

    def given(residuals, g):
        _, e = residuals
        return (g * e / (1 + e),)

    softplus.defvjp(forward, backward or given)
    return softplus


def test_the_rule_is_used_and_is_right_to_every_order():
    softplus = make()
    ac.testing.check_vjp(softplus, POINT, order=3)
    with ac.Tape() as tape:
        softplus(ac.tensor(POINT, requires_grad=True))
    assert [record.name for record in tape] == ["softplus"]
    assert softplus.__name__ == "softplus"
    np.testing.assert_allclose(softplus(POINT), np.log1p(np.exp(POINT)))


def test_the_rule_wins_over_the_chain_rule():
    tripled = make(lambda residuals, g: (3 * g,))
    np.testing.assert_array_equal(ac.grad(lambda x: np.sum(tripled(x)))(POINT), [3, 3, 3])


def test_structures_as_arguments_residuals_and_results():
    @ac.custom_vjp
    def both(p, x, power, *, shift):
        return {"y": p["w"] * x**power + shift, "z": (p["b"], 7)}

    def forward(p, x, power, *, shift):
        return both(p, x, power, shift=shift), {"w": p["w"], "x": x, "power": power}

    def backward(kept, g):
        w, x, n = kept["w"], kept["x"], kept["power"]
        return ({"w": g["y"] * x**n, "b": g["z"][0]}, g["y"] * w * n * x ** (n - 1), None)

    both.defvjp(forward, backward)

    def loss(w, b, x):
        out = both({"w": w, "b": b}, x, 3, shift=1.0)
        return np.sum(out["y"] * out["y"]) + np.sum(out["z"][0] ** 3)

    ac.testing.check_vjp(loss, POINT, 2 * POINT, POINT + 2)


def test_an_argument_without_cotangent():
    @ac.custom_vjp
    def first(x, y):
        return x + 0 * y

    first.defvjp(lambda x, y: (first(x, y), None), lambda kept, g: (g, None))
    gx, gy = ac.grad(lambda x, y: np.sum(first(x, y)), argnums=(0, 1))(POINT, POINT)
    np.testing.assert_array_equal(gx, np.ones(3))
    np.testing.assert_array_equal(gy, np.zeros(3))


def test_implicit_differentiation_of_a_square_root():
    @ac.custom_vjp
    def root(a):
        x = 1.0
        for _ in range(60):
            x = 0.5 * (x + a / x)
        return x

    def forward(a):
        x = root(a)
        return x, x

    root.defvjp(forward, lambda x, g: (g / (2 * x),))
    assert ac.grad(root)(2.0) == pytest.approx(0.5 / np.sqrt(2))
    assert ac.grad(ac.grad(root))(2.0) == pytest.approx(-0.25 * 2**-1.5)


def test_nothing_is_recorded_where_nobody_asks():
    softplus = make()
    with ac.no_grad():
        assert not softplus(ac.tensor(POINT, requires_grad=True)).requires_grad
    assert isinstance(softplus(POINT), ac.Tensor)  # as any function of the package


def test_mistakes_are_named():
    @ac.custom_vjp
    def bare(x):
        return x

    with pytest.raises(ac.AutodiffError, match="'bare' has no rule yet"):
        bare(1.0)
    with pytest.raises(TypeError, match="'backward' of 'bare'"):
        bare.defvjp(lambda x: (x, None), None)
    x = ac.tensor(POINT, requires_grad=True)
    bare.defvjp(lambda x: x, lambda kept, g: (g,))
    with pytest.raises(TypeError, match=r"forward rule of 'bare' must return a pair"):
        bare(x)
    bare.defvjp(lambda x: (x * 1, None), lambda kept, g: g)
    with pytest.raises(TypeError, match=r"backward rule of 'bare' must return a sequence of 1 cotangents"):
        bare(x).sum().backward()
    bare.defvjp(lambda x: (x * 1, None), lambda kept, g: (g[:2],))
    with pytest.raises(ac.AutodiffError, match=r"shape \(2,\)"):
        bare(x).sum().backward()
    assert x.grad is None
