"""Activations, softmax and dropout: values, special points, gradients of every order."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


# function -> (settings, the definition for one number)
DEFINITIONS = [
    (nn.relu, {}, lambda x: max(x, 0)),
    (nn.leaky_relu, {}, lambda x: x if x > 0 else 0.01 * x),
    (nn.leaky_relu, {"negative_slope": -1.5}, lambda x: x if x > 0 else -1.5 * x),
    (nn.elu, {}, lambda x: x if x > 0 else math.expm1(x)),
    (nn.elu, {"alpha": 0.3}, lambda x: x if x > 0 else 0.3 * math.expm1(x)),
    (nn.sigmoid, {}, sigmoid),
    (nn.silu, {}, lambda x: x * sigmoid(x)),
    (nn.tanh, {}, math.tanh),
    (nn.softplus, {}, lambda x: math.log1p(math.exp(x))),
    (nn.softplus, {"beta": 2.5, "threshold": 3}, lambda x: math.log1p(math.exp(2.5 * x)) / 2.5 if 2.5 * x <= 3 else x),
]


@pytest.mark.parametrize(("function", "setting", "definition"), DEFINITIONS)
def test_values_and_derivatives(rng, function, setting, definition):
    x = rng.standard_normal((3, 4)) * 2
    expected = np.vectorize(definition)(x)
    np.testing.assert_allclose(function(x, **setting).data, expected, rtol=1e-12)
    check_vjp(function, x, order=3, rtol=1e-4, **setting)
    for dtype in (np.float16, np.float32):
        t = ac.tensor(x, dtype=dtype, requires_grad=True)
        y = function(t, **setting)
        y.backward(np.ones((3, 4)))
        assert y.dtype == t.grad.dtype == dtype


@pytest.mark.parametrize(("function", "setting", "definition"), DEFINITIONS)
def test_any_memory(rng, function, setting, definition):
    x = rng.standard_normal((3, 4, 5))
    expected = function(x, **setting).data
    for view in (
        np.asfortranarray(x),
        np.ascontiguousarray(x[::-1])[::-1],
        np.repeat(x, 2, 1)[:, ::2],
        x.astype(">f8"),
    ):
        t = ac.tensor(0.0, requires_grad=True) + view
        y = function(t, **setting)
        np.testing.assert_array_equal(y.data, expected)
    number = ac.tensor(0.7, requires_grad=True)
    function(number, **setting).backward()
    assert number.grad.shape == ()
    assert function(np.zeros((0, 3)), **setting).shape == (0, 3)


def slope(function, x, dtype=np.float64, **setting):
    t = ac.tensor(x, dtype=dtype, requires_grad=True)
    function(t, **setting).backward(np.ones(t.shape))
    return t.grad


def test_relu_at_zero_and_nan():
    x = [-1.0, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf]
    np.testing.assert_array_equal(nn.relu(x).data, [0, 0, 0, 2, np.nan, np.inf, 0])
    np.testing.assert_array_equal(slope(nn.relu, x), [0, 0, 0, 1, 1, 1, 0])
    assert nn.relu(np.array([-3, 4])).dtype == np.int64


def test_relu_stops_infinite_cotangents():
    x = ac.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    nn.relu(x).backward([np.inf, np.nan, np.inf])
    np.testing.assert_array_equal(x.grad, [0, 0, np.inf])


def test_relu_saves_its_output_only():
    x = ac.tensor(np.ones((4, 4)), requires_grad=True)
    with ac.Tape() as tape:
        y = nn.relu(x)
        z = nn.leaky_relu(x)
    assert len(tape[0].saved) == 1
    assert tape[0].saved[0] is y._array
    assert tape[1].saved[0].dtype == bool
    assert z.shape == (4, 4)


def test_kinks_of_the_others():
    x = [-1.0, 0.0, 1.0, np.nan]
    np.testing.assert_array_equal(slope(nn.leaky_relu, x, negative_slope=0.25)[:3], [0.25, 0.25, 1])
    np.testing.assert_allclose(slope(nn.elu, x, alpha=0.5)[:3], [0.5 * math.exp(-1), 0.5, 1])
    assert np.isnan(nn.leaky_relu(x).data[3])
    assert np.isnan(nn.elu(x).data[3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_sigmoid(dtype):
    big = np.array([-1e30, -80, -20, 20, 80, 1e30], dtype)
    y = nn.sigmoid(big).data
    expected = [0, math.exp(-80), math.exp(-20) / (1 + math.exp(-20)), 1 / (1 + math.exp(-20)), 1, 1]
    np.testing.assert_allclose(y, np.array(expected, dtype), rtol=1e-6, atol=0)
    # As small as it should be on both sides, where y * (1 - y) would be 0 on the right.
    gradient = slope(nn.sigmoid, big, dtype)
    small = math.exp(-20) / (1 + math.exp(-20)) ** 2
    np.testing.assert_allclose(gradient, [0, math.exp(-80), small, small, math.exp(-80), 0], rtol=1e-5, atol=0)
    np.testing.assert_array_equal(nn.sigmoid([-np.inf, 0, np.inf, np.nan]).data, [0, 0.5, 1, np.nan])


def test_the_largest_slope_of_the_sigmoid_is_a_quarter():
    slopes = slope(nn.sigmoid, np.linspace(-5, 5, 101))
    assert slopes.max() == slopes[50] == 0.25


@pytest.mark.parametrize("function", [nn.softplus, nn.silu, nn.elu, nn.tanh])
def test_large_arguments_stay_finite(function):
    x = np.array([-1e4, -100, -30, 30, 100, 1e4])
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(function(x).data).all()
        assert np.isfinite(slope(function, x)).all()


def test_softplus_is_precise_in_both_tails():
    np.testing.assert_allclose(
        nn.softplus([-40.0, 19.0, 21.0, np.inf]).data, [math.exp(-40), 19 + math.log1p(math.exp(-19)), 21, np.inf]
    )
    np.testing.assert_allclose(slope(nn.softplus, [-40.0, 0, 21.0]), [math.exp(-40), 0.5, 1])
    with pytest.raises(ValueError, match="softplus: argument 'beta' is 0"):
        nn.softplus([1.0], beta=0)


# --- softmax -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(rng, axis):
    x = rng.standard_normal((3, 4, 5))
    e = np.exp(x)
    expected = e / e.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(nn.softmax(x, axis).data, expected, rtol=1e-12)
    np.testing.assert_allclose(nn.log_softmax(x, axis).data, np.log(expected), rtol=1e-10)
    for function in (nn.softmax, nn.log_softmax):
        check_vjp(function, x, axis=axis, max_elements=10)
        check_vjp(function, x[0, :2, :2], axis=min(axis, 1), order=3, rtol=1e-4)
        assert function(x.astype(np.float32), axis).dtype == np.float32
        assert function(x.astype(np.float16), axis).dtype == np.float16


def test_softmax_of_large_and_infinite_logits():
    x = np.array([[1000.0, 0, -1000], [-np.inf, 2, 2], [1e308, -1e308, 0]])
    with np.errstate(over="raise", divide="raise"):
        np.testing.assert_allclose(nn.softmax(x).data, [[1, 0, 0], [0, 0.5, 0.5], [1, 0, 0]])
        log = nn.log_softmax(x[:2]).data
    np.testing.assert_allclose(log, [[0, -1000, -2000], [-np.inf, math.log(0.5), math.log(0.5)]])
    for function in (nn.softmax, nn.log_softmax):
        assert np.isfinite(slope(function, x[:2])).all()
        assert np.isnan(function([-np.inf, -np.inf]).data).all()
        assert np.isnan(function([np.inf, 0.0]).data).any()
        assert np.isnan(function([np.nan, 0.0]).data).all()


def test_softmax_of_nothing_and_of_integers():
    for function in (nn.softmax, nn.log_softmax):
        assert function(np.zeros((0, 3))).shape == (0, 3)
        assert function(np.zeros((3, 0))).shape == (3, 0)
        assert function([1, 1]).dtype == np.float64
        with pytest.raises(IndexError, match=f"{function.__name__}: argument 'axis' is 2, but argument 'input' has 1"):
            function([1.0], 2)
        with pytest.raises(TypeError, match=f"{function.__name__}: argument 'input' has dtype bool"):
            function([True])


# --- dropout -------------------------------------------------------------------------------------------------


def test_dropout_drops_and_scales(rng):
    x = ac.tensor(np.full((100, 100), 3.0), dtype=np.float32, requires_grad=True)
    y = nn.dropout(x, 0.25, rng=rng)
    assert y.dtype == np.float32
    kept = y.data != 0
    np.testing.assert_allclose(y.data[kept], 4, rtol=1e-6)
    assert 0.73 < kept.mean() < 0.77
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad, kept / 0.75, rtol=1e-6)


def test_dropout_is_reproducible_and_differentiable(rng):
    x = rng.standard_normal((4, 5))
    first = nn.dropout(x, 0.5, rng=7).data
    np.testing.assert_array_equal(first, nn.dropout(x, 0.5, rng=7).data)
    np.testing.assert_array_equal(first, nn.dropout(np.asfortranarray(x), 0.5, rng=np.random.default_rng(7)).data)
    check_vjp(lambda x: nn.dropout(x, 0.4, rng=3) ** 2, x)


def test_dropout_at_the_ends():
    x = ac.tensor([1.0, np.inf, np.nan], requires_grad=True)
    zeros = nn.dropout(x, 1)
    np.testing.assert_array_equal(zeros.data, [0, 0, 0])
    zeros.backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, [0, 0, 0])
    for kept in (nn.dropout(x, 0), nn.dropout(x, 0.9, training=False)):
        np.testing.assert_array_equal(kept.data, x.data)
        kept.data[0] = 5
        assert x.data[0] == 1
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"dropout: argument 'p' is {p}; it must lie between 0 and 1"):
            nn.dropout(x, p)
    with pytest.raises(TypeError, match="dropout: argument 'input' has dtype int64"):
        nn.dropout([1, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 2, 1, 0)])
def test_large_rectifiers_agree_with_numpy_in_every_memory_order(dtype, order, rng):
    x = rng.standard_normal((8, 20, 30, 16)).astype(dtype)
    x[0, 0, 0, :5] = [0.0, -0.0, np.nan, np.inf, -np.inf]
    x = x.transpose(order)
    g = rng.standard_normal(x.shape).astype(dtype)
    g.ravel(order="K")[::7] = np.inf
    for cotangent in (g, np.asfortranarray(g)):
        t = ac.tensor(x, requires_grad=True)
        y = nn.relu(t)
        np.testing.assert_array_equal(y.data, np.maximum(x, 0))
        y.backward(cotangent)
        np.testing.assert_array_equal(t.grad, np.where(x <= 0, 0, g))
        assert t.grad.dtype == dtype
