"""Clipping of gradients, against PyTorch and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.optim import clip_grad_norm, clip_grad_value

RNG = np.random.default_rng(0)


def parameters(dtype=np.float64):
    made = [ac.tensor(np.zeros(shape), dtype=dtype, requires_grad=True) for shape in ((3, 4), (5,), ())]
    for p in made:
        p.grad = 3 * RNG.standard_normal(p.shape)
    return [*made, ac.tensor(np.zeros(2), requires_grad=True)]


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_the_norm_is_that_of_pytorch(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in ours]
    for p, t in zip(ours, theirs):
        t.grad = None if p.grad is None else torch.tensor(p.grad)
    found = clip_grad_norm(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert found == pytest.approx(float(expected), rel=1e-12)
    for p, t in zip(ours[:3], theirs):
        np.testing.assert_allclose(p.grad, t.grad.numpy(), rtol=1e-5, atol=1e-12)
    assert ours[3].grad is None


def test_values_and_single_precision():
    ours = parameters(np.float32)
    before = [p.grad.copy() for p in ours[:3]]
    clip_grad_value(ours, 1.5)
    for p, g in zip(ours, before):
        np.testing.assert_array_equal(p.grad, np.clip(g, -1.5, 1.5))
        assert p.grad.dtype == np.float32
    clip_grad_norm(ours[0], 0.1)
    assert np.linalg.norm(ours[0].grad) == pytest.approx(0.1, rel=1e-6)


def test_what_is_not_finite():
    (p,) = parameters()[:1]
    p.grad = np.full((3, 4), np.inf)
    with pytest.raises(ValueError, match="nothing was changed"):
        clip_grad_norm(p, 1.0, error_if_nonfinite=True)
    assert np.isinf(p.grad).all()
    assert clip_grad_norm([], 1.0) == 0.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: clip_grad_norm(p, -1.0), ValueError, "'max_norm' is -1.0"),
        (lambda p: clip_grad_norm(p, 1.0, 0), ValueError, "'norm_type' is 0"),
        (lambda p: clip_grad_value(p, -1), ValueError, "'clip_value' is -1"),
        (lambda p: clip_grad_value([p, 3], 1), TypeError, r"parameters\[1\] is a int"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(parameters()[0])
