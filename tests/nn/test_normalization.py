"""Batch normalization and fully connected layers: values, gradients of every order, running statistics, errors."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp


def normalized(x, mean, variance, w, b, eps=1e-5):
    """Channel by channel, along axis 1."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - mean[c]) / np.sqrt(variance[c] + eps) * w[c] + b[c]
    return y


def statistics(x):
    channels = [x[:, c].ravel() for c in range(x.shape[1])]
    return np.array([c.mean() for c in channels]), np.array([c.var() for c in channels])


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2), (2, 3, 3, 2), (2, 3, 2, 2, 2)])
def test_training(rng, shape):
    x, w, b = rng.standard_normal(shape) * 3 + 5, rng.standard_normal(3), rng.standard_normal(3)
    mean, variance = statistics(x)
    y = nn.batch_norm(x, None, None, w, b, training=True)
    np.testing.assert_allclose(y.data, normalized(x, mean, variance, w, b), rtol=1e-10, atol=1e-12)

    def function(x, w, b):
        return nn.batch_norm(x, None, None, w, b, training=True)

    check_vjp(function, x, w, b, max_elements=8)
    check_vjp(lambda x: nn.batch_norm(x, None, None, training=True), x, max_elements=8)


def test_third_order_through_the_statistics(rng):
    x = rng.standard_normal((4, 2))
    check_vjp(lambda x: nn.batch_norm(x, None, None, training=True), x, order=3, rtol=1e-4)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 3, 2)])
def test_evaluation(rng, shape):
    x, w, b = rng.standard_normal(shape), rng.standard_normal(3), rng.standard_normal(3)
    mean, variance = rng.standard_normal(3), rng.random(3)
    kept = mean.copy(), variance.copy()
    y = nn.batch_norm(x, mean, variance, w, b, eps=1e-3)
    np.testing.assert_allclose(y.data, normalized(x, mean, variance, w, b, 1e-3), rtol=1e-10, atol=1e-12)
    check_vjp(lambda x, w, b: nn.batch_norm(x, mean.copy(), variance.copy(), w, b), x, w, b, max_elements=8)
    np.testing.assert_array_equal(mean, kept[0])
    np.testing.assert_array_equal(variance, kept[1])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_running_statistics(rng, as_tensor):
    x = rng.standard_normal((4, 3, 2))
    first, second = rng.standard_normal(3), rng.random(3)
    mean, variance = statistics(x)
    running = [ac.tensor(v) if as_tensor else v.copy() for v in (first, second)]
    t = ac.tensor(x, requires_grad=True)
    with ac.Tape() as tape:
        nn.batch_norm(t, *running, training=True, momentum=0.3)
    assert [record.name for record in tape] == ["batch_norm"]
    found = [v.data if as_tensor else v for v in running]
    np.testing.assert_allclose(found[0], 0.7 * first + 0.3 * mean)
    np.testing.assert_allclose(found[1], 0.7 * second + 0.3 * variance * 8 / 7)
    if as_tensor:
        assert not any(v.requires_grad for v in running)


def test_running_statistics_may_change_before_backward(rng):
    x = rng.standard_normal((4, 3))
    mean, variance = ac.tensor(np.zeros(3)), np.ones(3)
    t = ac.tensor(x, requires_grad=True)
    y = nn.batch_norm(t, mean, variance, eps=0.0)
    nn.batch_norm(x, mean, variance, training=True)
    y.backward(np.ones((4, 3)))
    np.testing.assert_array_equal(t.grad, np.ones((4, 3)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("training", [False, True])
def test_dtypes(rng, dtype, training):
    x = ac.tensor(rng.standard_normal((8, 3, 2, 2)), dtype=dtype, requires_grad=True)
    w = ac.tensor(np.ones(3, dtype), requires_grad=True)
    y = nn.batch_norm(x, np.zeros(3), np.ones(3), w, np.zeros(3, dtype), training)
    y.backward(np.ones(y.shape))
    assert y.dtype == x.grad.dtype == w.grad.dtype == dtype


def test_a_large_mean_does_no_harm(rng):
    x = (rng.standard_normal((64, 2, 8, 8)) + 1e4).astype(np.float32)
    y = nn.batch_norm(x, None, None, training=True).data
    mean, variance = statistics(x.astype(np.float64))
    np.testing.assert_allclose(y, normalized(x.astype(np.float64), mean, variance, [1, 1], [0, 0]), atol=1e-3)


def test_memory_order_and_axis(rng):
    x, w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal(3)
    expected = nn.batch_norm(x, None, None, w, training=True).data
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    view = nn.batch_norm(np.moveaxis(last, -1, 1), None, None, w, training=True).data
    np.testing.assert_allclose(view, expected, rtol=1e-10, atol=1e-12)
    assert np.moveaxis(view, 1, -1).flags.c_contiguous
    behind = nn.batch_norm(last, None, None, w, training=True, axis=-1).data
    np.testing.assert_allclose(np.moveaxis(behind, -1, 1), expected, rtol=1e-10, atol=1e-12)
    check_vjp(lambda x, w: nn.batch_norm(x, None, None, w, training=True, axis=-1), last, w, max_elements=8)


def test_constant_channels():
    x = ac.tensor(np.ones((4, 2)), requires_grad=True)
    y = nn.batch_norm(x, None, None, training=True)
    y.backward(np.arange(8.0).reshape(4, 2))
    assert not y.data.any()
    assert np.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("case", "error", "parts"),
    [
        ({"x": (4,)}, ValueError, ["input", "1 axes", "(4,)", "2"]),
        ({"x": (1, 3), "training": True}, ValueError, ["input", "(1, 3)", "1 values", "at least 2"]),
        ({"x": (0, 3), "training": True}, ValueError, ["input", "(0, 3)", "0 values"]),
        ({"weight": np.ones(2)}, ValueError, ["weight", "(2,)", "3 channels", "(3,)"]),
        ({"bias": np.ones((3, 1))}, ValueError, ["bias", "(3, 1)", "(3,)"]),
        ({"running_mean": np.zeros(4)}, ValueError, ["running_mean", "(4,)", "(3,)"]),
        ({"running_var": None}, ValueError, ["running_var", "None", "not training"]),
        ({"running_mean": np.zeros(3, int)}, TypeError, ["running_mean", "int64", "floating-point"]),
        ({"running_mean": [0.0, 0.0, 0.0], "training": True}, TypeError, ["running_mean", "list", "in place"]),
        ({"dtype": int}, TypeError, ["input", "int64"]),
        ({"axis": 2}, IndexError, ["axis", "2", "2 axes"]),
    ],
)
def test_errors(case, error, parts):
    case = {"running_mean": np.zeros(3), "running_var": np.ones(3), **case}
    with pytest.raises(error) as caught:
        nn.batch_norm(np.zeros(case.pop("x", (4, 3)), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("batch_norm: ")
    for part in parts:
        assert part in message


# --- fully connected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4), (2, 0, 4)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear(rng, pulled, shape, with_bias):
    x, w = rng.standard_normal(shape), rng.standard_normal((5, 4))
    b = rng.standard_normal(5) if with_bias else None
    gy = rng.standard_normal((*shape[:-1], 5))
    y, gx, gw, gb = pulled(nn.linear, gy, x, w, b)
    np.testing.assert_allclose(y, np.einsum("...i,oi->...o", x, w) + (0 if b is None else b), atol=1e-12)
    np.testing.assert_allclose(gx, np.einsum("...o,oi->...i", gy, w), atol=1e-12)
    np.testing.assert_allclose(gw, gy.reshape(-1, 5).T @ x.reshape(-1, 4), atol=1e-12)
    if with_bias:
        np.testing.assert_allclose(gb, gy.reshape(-1, 5).sum(axis=0), atol=1e-12)
    arguments = (x, w) if b is None else (x, w, b)
    check_vjp(nn.linear, *arguments, max_elements=10)


def test_linear_without_features(pulled):
    y, gx, gw, gb = pulled(nn.linear, np.ones((3, 2)), np.zeros((3, 0)), np.zeros((2, 0)), np.ones(2))
    np.testing.assert_array_equal(y, np.ones((3, 2)))
    assert (gx.shape, gw.shape) == ((3, 0), (2, 0))
    np.testing.assert_array_equal(gb, [3, 3])


def test_linear_saves_only_what_is_needed():
    x, w = np.ones((2, 3)), np.ones((4, 3))
    with ac.Tape() as tape:
        nn.linear(x, w, ac.tensor(np.ones(4), requires_grad=True))
        nn.linear(x, ac.tensor(w, dtype=np.float32, requires_grad=True))
    assert [len(record.saved) for record in tape] == [0, 1]


@pytest.mark.parametrize(
    ("x", "w", "b", "parts"),
    [
        ((2, 3), (4, 2), None, ["weight", "(4, 2)", "2 features", "(2, 3)", "equal"]),
        ((2, 3), (3,), None, ["weight", "1 axes", "2"]),
        ((), (3, 2), None, ["input", "no axes"]),
        ((2, 3), (4, 3), (3,), ["bias", "(3,)", "4 output", "(4,)"]),
    ],
)
def test_errors_of_linear(x, w, b, parts):
    with pytest.raises(ValueError) as caught:
        nn.linear(np.zeros(x), np.zeros(w), None if b is None else np.zeros(b))
    message = str(caught.value)
    assert message.startswith("linear: ")
    for part in parts:
        assert part in message


def test_flatten(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(nn.flatten(x).data, x.reshape(2, 60))
    np.testing.assert_array_equal(nn.flatten(np.moveaxis(x, 1, -1)).data, np.moveaxis(x, 1, -1).reshape(2, 60))
    assert nn.flatten(x, 0).shape == (120,)
    assert nn.flatten(x, 1, 2).shape == (2, 12, 5)
    assert nn.flatten(x, -2).shape == (2, 3, 20)
    assert nn.flatten(np.zeros((0, 3, 4))).shape == (0, 12)
    assert nn.flatten(np.zeros((2, 3))).shape == (2, 3)
    check_vjp(lambda x: nn.flatten(x) ** 2, x, max_elements=5)
    for dtype, axes in (
        (np.float32, (0, 3, 1, 2)),
        (np.float64, (0, 3, 1, 2)),
        (np.float32, (2, 0, 3, 1)),
        (">f4", (0, 3, 1, 2)),
    ):
        large = rng.standard_normal((18, 19, 11, 21)).astype(dtype).transpose(axes)  # transposed in blocks, and tails
        t = ac.tensor(large, requires_grad=True)
        y = nn.flatten(t)
        np.testing.assert_array_equal(y.data, large.reshape(len(large), -1))
        g = rng.standard_normal(y.shape).astype(dtype)
        y.backward(g)
        assert y.dtype == t.grad.dtype == large.dtype
        np.testing.assert_array_equal(t.grad, g.reshape(large.shape))
    with pytest.raises(IndexError, match="flatten: argument 'start_axis' is 1, but argument 'input' has 1 axes"):
        nn.flatten(np.zeros(3))
    with pytest.raises(ValueError, match="flatten: argument 'start_axis' is 2, but argument 'end_axis' is 1"):
        nn.flatten(x, 2, 1)
