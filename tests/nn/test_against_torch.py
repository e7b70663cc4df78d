"""The same calls in PyTorch, where it is installed: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd_conv import nn

torch = pytest.importorskip("torch")
F = torch.nn.functional


def theirs(function, gy, *arrays):
    """Output and gradients as PyTorch computes them."""
    tensors = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(torch.tensor(gy))
    return y.detach().numpy(), *[None if t is None else t.grad.numpy() for t in tensors]


def agree(pulled, ours, other, rng, *arrays, tolerance=1e-9):
    with torch.no_grad():
        y = other(*[None if a is None else torch.tensor(a) for a in arrays])
    gy = np.asarray(rng.standard_normal(tuple(y.shape)), y.numpy().dtype)
    for found, expected in zip(pulled(ours, gy, *arrays), theirs(other, gy, *arrays)):
        if expected is not None:
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@given(st.data())
def test_conv2d(pulled, data):
    pick = lambda *values: data.draw(st.sampled_from(values))  # noqa: E731
    groups, kernel = pick(1, 1, 2, 4), (pick(1, 2, 3), pick(1, 2, 3, 5))
    channels, outputs = groups * pick(1, 2, 3), groups * pick(1, 2, 4)
    setting = {
        "stride": pick(1, 2, (1, 3)),
        "padding": pick(0, 1, (2, 0)),
        "dilation": pick(1, (1, 2)),
        "groups": groups,
    }
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dtype = pick(np.float32, np.float64)
    x = rng.standard_normal((pick(1, 3), channels, pick(5, 8), pick(9, 11))).astype(dtype)
    w = rng.standard_normal((outputs, channels // groups, *kernel)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype) if pick(True, False) else None
    agree(
        pulled,
        lambda x, w, b: nn.conv2d(x, w, b, **setting),
        lambda x, w, b: F.conv2d(x, w, b, **setting),
        rng,
        x,
        w,
        b,
        tolerance=1e-9 if dtype == np.float64 else 2e-4,
    )


@given(st.data())
def test_pools(pulled, data):
    pick = lambda *values: data.draw(st.sampled_from(values))  # noqa: E731
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(0, 4, (2, 3, pick(6, 7, 9), pick(6, 8))) * 1.0
    setting = {"stride": pick(None, 1, 2, 3, (1, 4)), "padding": pick(0, 1), "ceil_mode": pick(True, False)}
    kernel = pick(2, 3, (2, 4))
    dilation = pick(1, 1, (2, 1))
    agree(
        pulled,
        lambda x: nn.max_pool2d(x, kernel, dilation=dilation, **setting),
        lambda x: F.max_pool2d(x, kernel, dilation=dilation, **setting),
        rng,
        x,
    )
    ours = nn.max_pool2d(x, kernel, dilation=dilation, return_indices=True, **setting)[1]
    _, expected = F.max_pool2d(torch.tensor(x), kernel, dilation=dilation, return_indices=True, **setting)
    np.testing.assert_array_equal(ours.data, expected.numpy())
    setting |= {"count_include_pad": pick(True, False), "divisor_override": pick(None, None, 3)}
    agree(pulled, lambda x: nn.avg_pool2d(x, kernel, **setting), lambda x: F.avg_pool2d(x, kernel, **setting), rng, x)


def test_max_pool_of_nan_and_ties(rng):
    x = rng.integers(0, 3, (2, 3, 8, 8)) * 1.0
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape) < 0.1] = -np.inf
    expected = F.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
    found = nn.max_pool2d(x, 3, 2, 1, return_indices=True)
    for ours, other in zip(found, expected):
        np.testing.assert_array_equal(ours.data, other.numpy())


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "silu", "softplus", "sigmoid", "tanh"])
def test_activations(pulled, rng, name):
    x = np.concatenate([rng.standard_normal(20) * 5, [0.0, 25, -25, 80, -80]])
    agree(pulled, getattr(nn, name), getattr(F, name, None) or getattr(torch, name), rng, x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(pulled, rng, name):
    x = rng.standard_normal((3, 4, 5)) * 20
    agree(pulled, lambda x: getattr(nn, name)(x, axis=1), lambda x: getattr(F, name)(x, dim=1), rng, x)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_losses(pulled, rng, reduction, smoothing, weighted):
    x, target = rng.standard_normal((4, 5, 3)), rng.integers(0, 5, (4, 3))
    target[1, 2] = target[3, 0] = 2
    q = rng.random((4, 5, 3))
    weight = rng.random(5) if weighted else None
    their_weight = None if weight is None else torch.tensor(weight)
    setting = {"reduction": reduction, "label_smoothing": smoothing}
    agree(
        pulled,
        lambda x: nn.cross_entropy(x, target, weight, ignore_index=2, **setting),
        lambda x: F.cross_entropy(x, torch.tensor(target), their_weight, ignore_index=2, **setting),
        rng,
        x,
    )
    agree(
        pulled,
        lambda x, q: nn.cross_entropy(x, q, weight, **setting),
        lambda x, q: F.cross_entropy(x, q, their_weight, **setting),
        rng,
        x,
        q,
    )
    agree(
        pulled,
        lambda x: nn.nll_loss(x, target, weight, 2, reduction),
        lambda x: F.nll_loss(x, torch.tensor(target), their_weight, ignore_index=2, reduction=reduction),
        rng,
        x,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_other_losses(pulled, rng, reduction):
    x, y, weight, positive = rng.standard_normal((4, 3, 4)) * 3
    y = 1 / (1 + np.exp(-y))
    agree(
        pulled,
        lambda x, y: nn.mse_loss(x, y, reduction),
        lambda x, y: F.mse_loss(x, y, reduction=reduction),
        rng,
        x,
        y,
    )
    agree(
        pulled,
        lambda x, y: nn.binary_cross_entropy_with_logits(x, y, weight, reduction, positive),
        lambda x, y: F.binary_cross_entropy_with_logits(
            x, y, torch.tensor(weight), reduction=reduction, pos_weight=torch.tensor(positive)
        ),
        rng,
        x,
        y,
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 5)])
def test_batch_norm(pulled, rng, training, shape):
    x, w, b = rng.standard_normal(shape) * 2 + 1, rng.standard_normal(3), rng.standard_normal(3)
    start = rng.standard_normal(3), rng.random(3)
    ours = [v.copy() for v in start]
    other = [torch.tensor(v) for v in start]
    setting = {"momentum": 0.2, "eps": 1e-3}
    y = nn.batch_norm(x, *ours, w, b, training, **setting)
    expected = F.batch_norm(torch.tensor(x), *other, torch.tensor(w), torch.tensor(b), training, **setting)
    np.testing.assert_allclose(y.data, expected.numpy(), rtol=1e-9, atol=1e-9)
    for found, value in zip(ours, other):
        np.testing.assert_allclose(found, value.numpy(), rtol=1e-12)
    agree(
        pulled,
        lambda x, w, b: nn.batch_norm(x, *[v.copy() for v in start], w, b, training, **setting),
        lambda x, w, b: F.batch_norm(x, *[torch.tensor(v) for v in start], w, b, training, **setting),
        rng,
        x,
        w,
        b,
    )


def test_linear(pulled, rng):
    x, w, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((5, 4)), rng.standard_normal(5)
    agree(pulled, nn.linear, F.linear, rng, x, w, b)
