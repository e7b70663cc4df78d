"""Losses against their definitions: values, special cases, gradients of every order, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp


def reduce(losses, reduction, divisor=None):
    if reduction == "none":
        return losses
    return losses.sum() / (1 if reduction == "sum" else losses.size if divisor is None else divisor)


def log_probabilities(x):
    """log(softmax) along axis 1, as the definition says."""
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def cross_entropy(x, target, weight=None, ignore=-100, reduction="mean", smoothing=0.0):
    """Target by target, class by class."""
    classes = x.shape[1]
    weight = np.ones(classes) if weight is None else weight
    log = np.moveaxis(log_probabilities(x), 1, -1).reshape(-1, classes)
    losses, total = [], 0.0
    for row, t in zip(log, target.ravel()):
        if t == ignore:
            losses.append(0.0)
            continue
        total += weight[t]
        q = [smoothing / classes * weight[c] + (1 - smoothing) * weight[t] * (c == t) for c in range(classes)]
        losses.append(-sum(q[c] * row[c] for c in range(classes)))
    return reduce(np.array(losses).reshape(target.shape), reduction, total)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3), (2, 4, 2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(rng, reduction, shape, smoothing, weighted):
    x = rng.standard_normal(shape)
    target = rng.integers(0, 4, (shape[0], *shape[2:]))
    target.flat[1] = target.flat[4] = -1
    weight = rng.random(4) if weighted else None
    setting = {"ignore_index": -1, "reduction": reduction, "label_smoothing": smoothing}
    expected = cross_entropy(x, target, weight, -1, reduction, smoothing)
    found = nn.cross_entropy(x, target, weight, **setting)
    np.testing.assert_allclose(found.data, expected, rtol=1e-10)
    assert found.shape == np.shape(expected)
    check_vjp(lambda x: nn.cross_entropy(x, target, weight, **setting), x, max_elements=10)
    single = ac.tensor(x, dtype=np.float32, requires_grad=True)
    loss = nn.cross_entropy(single, target, weight, **setting)
    loss.backward(np.ones(loss.shape))
    assert loss.dtype == single.grad.dtype == np.float32
    if not smoothing:
        by_parts = nn.nll_loss(nn.log_softmax(x, axis=1), target, weight, -1, reduction)
        np.testing.assert_allclose(by_parts.data, expected, rtol=1e-10)
        check_vjp(lambda x: nn.nll_loss(x, target, weight, -1, reduction) ** 2, x, max_elements=10)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_probabilities(rng, reduction, smoothing):
    x, q, weight = rng.standard_normal((3, 4, 2)), rng.random((3, 4, 2)), rng.random(4)
    mixed = (q * (1 - smoothing) + smoothing / 4) * weight[:, None]
    expected = reduce(-(mixed * log_probabilities(x)).sum(axis=1), reduction)
    setting = {"reduction": reduction, "label_smoothing": smoothing}
    np.testing.assert_allclose(nn.cross_entropy(x, q, weight, **setting).data, expected, rtol=1e-10)
    check_vjp(lambda x, q: nn.cross_entropy(x, q, weight, **setting), x, q, max_elements=10)


def test_third_derivative_of_cross_entropy(rng):
    target = np.array([0, 2])
    check_vjp(lambda x: nn.cross_entropy(x, target), rng.standard_normal((2, 3)), order=3, rtol=1e-4)


def test_cross_entropy_of_one_vector(rng):
    x = rng.standard_normal(5)
    t = ac.tensor(x, requires_grad=True)
    loss = nn.cross_entropy(t, 3)
    assert loss.shape == ()
    np.testing.assert_allclose(loss.item(), -log_probabilities(x[None])[0, 3])
    loss.backward()
    p = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(t.grad, p - np.eye(5)[3])


def test_cross_entropy_of_large_logits():
    x = ac.tensor([[1e4, 0.0], [0.0, 1e4], [-np.inf, 0.0]], requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        losses = nn.cross_entropy(x, [0, 0, 1], reduction="none")
        losses.backward(np.ones(3))
    np.testing.assert_array_equal(losses.data, [0, 1e4, 0])
    np.testing.assert_array_equal(x.grad, [[0, 0], [-1, 1], [0, 0]])
    assert nn.cross_entropy([[-np.inf, 0.0]], [0]).item() == np.inf
    smoothed = nn.cross_entropy(np.array([[1e4, 0.0]], np.float32), [0], label_smoothing=0.5)
    assert smoothed.item() == 2500


def test_ignored_targets_leave_no_trace():
    x = ac.tensor([[np.nan, 1.0], [np.inf, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = nn.cross_entropy(x, [-100, -100, 1])
    loss.backward()
    np.testing.assert_allclose(loss.item(), math.log(2))
    np.testing.assert_array_equal(x.grad, [[0, 0], [0, 0], [0.5, -0.5]])


def test_the_mean_of_nothing_is_nan_and_the_sum_is_zero():
    empty = np.zeros((0, 3))
    none = np.zeros(0, int)
    for loss in (nn.cross_entropy, nn.nll_loss):
        assert np.isnan(loss(empty, none).item())
        assert loss(empty, none, reduction="sum").item() == 0
        assert loss(empty, none, reduction="none").shape == (0,)
        x = ac.tensor(np.zeros((2, 3)), requires_grad=True)
        ignored = loss(x, [-100, -100])
        assert np.isnan(ignored.item())
        ignored.backward()
        assert not x.grad.any()
    for loss in (nn.mse_loss, nn.binary_cross_entropy_with_logits):
        assert np.isnan(loss(empty, empty).item())
        assert loss(empty, empty, reduction="sum").item() == 0
    assert np.isnan(nn.cross_entropy(empty, empty).item())


def test_cross_entropy_does_not_see_later_changes_of_the_target():
    x, target = ac.tensor(np.zeros((2, 2)), requires_grad=True), np.array([0, 1])
    loss = nn.cross_entropy(x, target, reduction="sum")
    target[:] = 0
    loss.backward()
    np.testing.assert_array_equal(x.grad, [[-0.5, 0.5], [0.5, -0.5]])


@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.nll_loss])
@pytest.mark.parametrize(
    ("shape", "target", "setting", "error", "parts"),
    [
        ((2, 3), [0, 3], {}, IndexError, ["target", "3 at (1,)", "3 classes", "0 and 2", "-100"]),
        ((2, 3), [-1, 0], {}, IndexError, ["target", "-1 at (0,)", "3 classes"]),
        ((2, 3, 2), [[0, 0], [1, 9]], {}, IndexError, ["9 at (1, 1)"]),
        ((2, 3), [0, 1, 2], {}, ValueError, ["target", "(3,)", "(2, 3)", "(2,)"]),
        ((2, 3), [[0, 1]], {}, ValueError, ["target", "(1, 2)", "(2,)"]),
        ((), 0, {}, ValueError, ["input", "no axes"]),
        ((2, 3), [0, 1], {"weight": [1.0, 2.0]}, ValueError, ["weight", "(2,)", "3 classes", "(3,)"]),
        ((2, 3), [0, 1], {"reduction": "average"}, ValueError, ["reduction", "'average'", "'mean'", "'sum'", "'none'"]),
        ((2, 3), [True, False], {}, TypeError, ["target", "bool", "integer"]),
    ],
)
def test_errors_of_class_losses(loss, shape, target, setting, error, parts):
    with pytest.raises(error) as caught:
        loss(np.zeros(shape), target, **setting)
    message = str(caught.value)
    assert message.startswith(f"{loss.__name__}: ")
    for part in parts:
        assert part in message


def test_more_errors():
    with pytest.raises(TypeError, match="cross_entropy: argument 'input' has dtype int64"):
        nn.cross_entropy([[1, 2]], [0])
    with pytest.raises(TypeError, match="nll_loss: argument 'target' has dtype float64"):
        nn.nll_loss([[1.0, 2]], [0.0])
    with pytest.raises(ValueError, match=r"cross_entropy: argument 'target' has shape \(1,\).*\(1, 2\)"):
        nn.cross_entropy([[1.0, 2]], [0.5])
    with pytest.raises(ValueError, match=r"cross_entropy: argument 'label_smoothing' is 1\.5"):
        nn.cross_entropy([[1.0, 2]], [0], label_smoothing=1.5)
    for loss in (nn.mse_loss, nn.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=rf"{loss.__name__}: argument 'target' has shape \(2,\).*\(2, 1\)"):
            loss(np.zeros((2, 1)), np.zeros(2))
        with pytest.raises(ValueError, match=f"{loss.__name__}: argument 'reduction' is 'max'"):
            loss(np.zeros(2), np.zeros(2), reduction="max")
    with pytest.raises(ValueError, match=r"logits: argument 'pos_weight' has shape \(3,\).*\(2,\)"):
        nn.binary_cross_entropy_with_logits(np.zeros(2), np.zeros(2), pos_weight=np.ones(3))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(rng, reduction):
    x, y = rng.standard_normal((2, 3, 4))
    np.testing.assert_allclose(nn.mse_loss(x, y, reduction).data, reduce((x - y) ** 2, reduction))
    check_vjp(nn.mse_loss, x, y, reduction=reduction)
    assert nn.mse_loss(x.astype(np.float32), 0.5).dtype == np.float32
    w = rng.random((3, 4))
    expected = reduce((x - y) ** 2 * w, reduction)
    found = nn.mse_loss(x, y, reduction, w)
    np.testing.assert_allclose(found.data, expected / w.mean() if reduction == "mean" else expected)
    check_vjp(lambda x, y, w: nn.mse_loss(x, y, reduction, w), x, y, w)
    with pytest.raises(ValueError, match=r"mse_loss: argument 'weight' has shape \(4,\)"):
        nn.mse_loss(x, y, reduction, w[0])
    for target in (y * 1j, None):
        with pytest.raises(TypeError, match="mse_loss: argument 'target'"):
            nn.mse_loss(x, target, reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy_with_logits(rng, reduction, weighted):
    x, y = rng.standard_normal((3, 4)) * 3, rng.random((3, 4))
    weight, positive = (rng.random((3, 1)), rng.random(4)) if weighted else (None, None)
    s = 1 / (1 + np.exp(-x))
    losses = -(y * np.log(s) * (1 if positive is None else positive) + (1 - y) * np.log(1 - s))
    expected = reduce(losses if weight is None else losses * weight, reduction)
    found = nn.binary_cross_entropy_with_logits(x, y, weight, reduction, positive)
    np.testing.assert_allclose(found.data, expected, rtol=1e-10)
    arguments = (x, y) if weight is None else (x, y, weight, positive)

    def loss(x, y, weight=None, positive=None):
        return nn.binary_cross_entropy_with_logits(x, y, weight, reduction, positive)

    check_vjp(loss, *arguments)
    check_vjp(lambda x: loss(x, y, weight, positive), x, order=3, rtol=1e-4, max_elements=4)


def test_binary_cross_entropy_of_saturated_logits():
    x = ac.tensor([-1000.0, 1000.0, -40.0, 40.0], requires_grad=True)
    losses = nn.binary_cross_entropy_with_logits(x, [1.0, 0.0, 0.0, 1.0], reduction="none")
    losses.backward(np.ones(4))
    np.testing.assert_allclose(losses.data, [1000, 1000, math.exp(-40), math.exp(-40)], rtol=1e-12)
    np.testing.assert_allclose(x.grad, [-1, 1, math.exp(-40), -math.exp(-40)], rtol=1e-12)
    single = nn.binary_cross_entropy_with_logits(np.float32([1, 2]), np.array([0, 1]), 0.5, pos_weight=2.0)
    assert single.dtype == np.float32
