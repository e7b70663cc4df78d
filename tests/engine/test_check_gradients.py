"""check_gradients: whole functions, kinks told apart from mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import GradientMismatch, check_gradients

RNG = np.random.default_rng(0)


def test_a_network_with_nested_parameters():
    parameters = {"w": [RNG.standard_normal((4, 2, 3, 3)), RNG.standard_normal((3, 36))], "b": RNG.standard_normal(4)}
    images = RNG.standard_normal((2, 2, 5, 5))

    def loss(p, x, name):
        assert name == "text"
        h = nn.batch_norm(nn.relu(nn.conv2d(x, p["w"][0], p["b"])), None, None, training=True)
        return nn.cross_entropy(nn.linear(nn.flatten(h), p["w"][1]), [0, 2])

    assert check_gradients(loss, parameters, images, "text") == []


def test_a_wrong_rule_is_found():
    wrong = ac.primitive(lambda x: x**3, name="cube").defvjp(x=lambda g, x: 3.01 * x * x * g)
    with pytest.raises(GradientMismatch, match=r"array 0 \(shape \(2, 2\)\), element \(0, 0\)"):
        check_gradients(lambda x: np.sin(wrong(x)).sum(), RNG.standard_normal((2, 2)))


def test_kinks_are_told_and_not_taken_for_mistakes():
    x = np.array([0.0, 1.0, -2.0, 0.0])
    kinks = check_gradients(lambda v: nn.relu(v) + v**2, x)
    assert [(kink.leaf, kink.element) for kink in kinks] == [(0, (0,)), (0, (3,))]
    # A function without a derivative there whose gradient is the mean of both sides: nothing to tell.
    assert check_gradients(lambda v: abs(v), x[1:3]) == []


def test_complex_arguments_and_several_results():
    z = RNG.standard_normal(3) + 1j * RNG.standard_normal(3)
    assert check_gradients(lambda v: {"a": np.exp(v), "b": abs(v)}, z) == []
    assert check_gradients(lambda v: 3.0, z) == []
