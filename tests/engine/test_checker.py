"""The checker must accuse wrong VJPs, and only those."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.testing import GradientMismatch, check_vjp


def primitive(forward, **rules):
    return ac.primitive(forward, name="suspect").defvjp(**rules)


@pytest.fixture
def x(rng):
    return rng.uniform(0.5, 2.0, (3, 3))


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda g, x: 2.002 * x * g, id="wrong by 0.1 percent"),
        pytest.param(lambda g, x: np.flip(2 * x * g, 0), id="misplaced"),
        pytest.param(lambda g, x: (2 * x * g).T, id="transposed"),
        pytest.param(lambda g, x: 4 * x * g, id="scaled"),
        pytest.param(lambda g, x: -2 * x * g, id="wrong sign"),
        pytest.param(lambda g, x: 2 * x * np.ones_like(g), id="ignores the cotangent"),
        pytest.param(lambda g, x: None, id="forgotten"),
        pytest.param(lambda g, x: 2 * x * g + np.nan, id="NaN"),
    ],
)
def test_wrong_first_derivatives_are_found(rule, x):
    with pytest.raises(GradientMismatch, match=r"suspect, argument 0 \(shape \(3, 3\)\), order 1"):
        check_vjp(primitive(lambda x: x * x, x=rule), x)


def test_one_wrong_element_is_named_with_both_values(x):
    def rule(g, x):
        wrong = np.ones((3, 3))
        wrong[1, 2] = 1.001
        return 2 * x * g * wrong

    with pytest.raises(
        GradientMismatch, match=r"worst element \(1, 2\): the VJP gives .* central differences .*; 1 of 9"
    ):
        check_vjp(primitive(lambda x: x * x, x=rule), x)


def test_a_small_wrong_element_among_large_ones_is_found():
    rule = primitive(lambda x: x * x, x=lambda g, x: 2 * x * g * np.array([1.0, 1.001]))
    with pytest.raises(GradientMismatch):
        check_vjp(rule, np.array([1000.0, 1.0]))


def test_a_wrong_second_derivative_is_found(x):
    @ac.primitive
    def square_rule(x, g):
        return 2 * x * g

    square_rule.defvjp(x=lambda gg, g: 2.002 * g * gg, g=lambda gg, x: 2 * x * gg)
    suspect = primitive(lambda x: x * x, x=lambda g, x: square_rule(x, g))
    check_vjp(suspect, x, order=1)
    with pytest.raises(GradientMismatch, match="order 2"):
        check_vjp(suspect, x)


def test_a_detached_second_derivative_is_found(x):
    def rule(g, x):
        return g * (2 * x.numpy() if isinstance(x, ac.Tensor) else 2 * x)

    suspect = primitive(lambda x: x * x, x=rule)
    check_vjp(suspect, x, order=1)
    with pytest.raises(GradientMismatch, match="order 2"):
        check_vjp(suspect, x)


def test_the_second_argument_is_checked_too(x):
    suspect = primitive(lambda x, y: x * y, x=lambda g, y: g * y, y=lambda g, x: g * x * 1.001)
    with pytest.raises(GradientMismatch, match="argument 1"):
        check_vjp(suspect, x, x + 1)


def test_a_function_that_changes_its_argument_is_found(x):
    def forward(x):
        x *= 2
        return x.copy()

    with pytest.raises(GradientMismatch, match="changed its argument 0"):
        check_vjp(primitive(forward, x=lambda g: 2 * g), x)


def test_right_ones_are_not_accused(x, rng):
    check_vjp(lambda a, b: ac.exp(a * b) / b, x, rng.uniform(0.5, 2, 3))
    check_vjp(ac.sin, 0.3)
    check_vjp(ac.exp, np.zeros((0, 3)))
    check_vjp(lambda a, k: a * k, x, 3)
    check_vjp(ac.power, x, 3.0)
    check_vjp(lambda a: ac.exp(a), x * 1e-8)
    check_vjp(lambda a: 1e6 * a * a, x)
    check_vjp(lambda a: (a * a, ac.exp(a)), x, order=3)


def test_large_arguments_are_sampled(rng):
    check_vjp(ac.sin, rng.standard_normal(10_000), max_elements=5)
