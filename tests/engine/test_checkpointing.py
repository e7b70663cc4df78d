"""Checkpoints: the same gradients, bit for bit, from less memory; and no wrong ones."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(0)


def block(x, w):
    return np.tanh(np.exp(-x * x) @ w) + x


def chain(x, weights, wrap):
    for w in weights:
        x = wrap(block)(x, w)
    return np.sum(x * x)


def gradients(wrap, order=1):
    x = ac.tensor(RNG_POINT, requires_grad=True)
    weights = [ac.tensor(w, requires_grad=True) for w in WEIGHTS]
    loss = chain(x, weights, wrap)
    if order == 1:
        return [g.data for g in ac.grad(loss, [x, *weights])]
    first = ac.grad(loss, [x, *weights], create_graph=True)
    return [g.data for g in ac.grad(sum(np.sum(g * g) for g in first), [x, *weights])]


RNG_POINT = RNG.standard_normal((4, 3))
WEIGHTS = [RNG.standard_normal((3, 3)) for _ in range(4)]


@pytest.mark.parametrize("order", [1, 2])
def test_the_same_gradients_bit_for_bit(order):
    for plain, saved in zip(gradients(lambda f: f, order), gradients(ac.checkpoint, order)):
        np.testing.assert_array_equal(plain, saved)


def test_checkpoints_within_checkpoints():
    def outer(f):
        return ac.checkpoint(lambda x, w: ac.checkpoint(lambda y: f(y, w))(x) * 2)

    def plain(f):
        return lambda x, w: f(x, w) * 2

    for order in (1, 2):
        for one, other in zip(gradients(plain, order), gradients(outer, order)):
            np.testing.assert_array_equal(one, other)


def test_tensors_that_the_function_closes_over_and_structures():
    w = ac.tensor(WEIGHTS[0], requires_grad=True)

    @ac.checkpoint
    def step(state, *, scale):
        return {"x": np.sin(state["x"] @ w) * scale, "n": state["n"] + 1}

    x = ac.tensor(RNG_POINT, requires_grad=True)
    state = step(step({"x": x, "n": 0}, scale=2.0), scale=0.5)
    assert state["n"] == 2
    state["x"].sum().backward()
    expected = ac.grad(lambda a, b: np.sum(np.sin(np.sin(a @ b) * 2.0 @ b) * 0.5), argnums=(0, 1))(
        RNG_POINT, WEIGHTS[0]
    )
    np.testing.assert_allclose(x.grad, expected[0])
    np.testing.assert_allclose(w.grad, expected[1])


def test_nothing_is_kept_but_arguments():
    def deep(x):
        for _ in range(30):
            x = np.sin(x)
        return x

    def held(function):
        x = ac.tensor(np.ones(50_000), requires_grad=True)
        gc.collect()
        tracemalloc.start()
        y = function(x)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert y.requires_grad
        return size

    assert held(ac.checkpoint(deep)) < 0.1 * held(deep)


def test_freed_after_use_and_without_the_collector():
    x = ac.tensor(RNG_POINT, requires_grad=True)
    y = ac.checkpoint(lambda v: np.exp(v) * v)(x)
    loss = y.sum()
    loss.backward(retain_graph=True)
    first = x.grad.copy()
    loss.backward()
    np.testing.assert_array_equal(x.grad, 2 * first)
    with pytest.raises(ac.AutodiffError, match="retain_graph=True"):
        loss.backward()
    gc.collect()
    gc.disable()
    try:
        from autograd_conv.tape import RECALLS

        before = len(RECALLS)
        z = ac.checkpoint(lambda v: np.exp(v) * v)(x)
        assert len(RECALLS) > before
        del z
        assert len(RECALLS) == before
    finally:
        gc.enable()


def test_a_change_since_is_an_error_not_a_wrong_gradient():
    w = ac.tensor(WEIGHTS[0], requires_grad=True)
    x = ac.tensor(RNG_POINT, requires_grad=True)
    y = ac.checkpoint(lambda v: np.tanh(v @ w))(x)
    w.data -= 0.1
    with pytest.raises(ac.AutodiffError, match="changed since"):
        y.sum().backward()
    assert x.grad is None
    # Arguments are kept as they were.
    constant = RNG_POINT.copy()
    leaf = ac.tensor(RNG_POINT, requires_grad=True)
    z = ac.checkpoint(lambda v, c: v * c)(leaf, constant)
    constant[:] = 0
    z.sum().backward()
    np.testing.assert_array_equal(leaf.grad, RNG_POINT)


def test_random_numbers():
    x = ac.tensor(np.ones(1000), requires_grad=True)
    rng = np.random.default_rng(3)
    y = ac.checkpoint(lambda v, generator: nn.dropout(v, 0.5, rng=generator))(x, rng)
    rng.random(10)  # drawn from meanwhile
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    z = ac.checkpoint(lambda v: nn.dropout(v, 0.5))(x)
    with pytest.raises(ac.AutodiffError, match="random numbers"):
        z.sum().backward()


def test_another_course_is_an_error():
    calls = []

    def fickle(v):
        calls.append(1)
        return np.sin(v) if len(calls) == 1 else np.cos(np.cos(v))

    x = ac.tensor([1.0], requires_grad=True)
    y = ac.checkpoint(fickle)(x)
    with pytest.raises(ac.AutodiffError, match="did not do the same"):
        y.backward()


def test_without_recording_it_is_the_function():
    with ac.no_grad():
        assert not ac.checkpoint(np.exp)(ac.tensor([1.0], requires_grad=True)).requires_grad
    assert ac.checkpoint(lambda a: a + 1)(2) == 3


def test_in_a_network():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 3, 8, 8))
    kernels = [rng.standard_normal((4, 3, 3, 3)), rng.standard_normal((4, 4, 3, 3))]

    def loss(first, second, wrap):
        h = wrap(lambda v: nn.relu(nn.conv2d(v, first, padding=1)))(ac.tensor(images))
        h = wrap(lambda v: nn.max_pool2d(nn.relu(nn.conv2d(v, second, padding=1)), 2))(h)
        return (h * h).sum()

    plain = ac.grad(lambda a, b: loss(a, b, lambda f: f), argnums=(0, 1))(*kernels)
    saved = ac.grad(lambda a, b: loss(a, b, ac.checkpoint), argnums=(0, 1))(*kernels)
    for one, other in zip(plain, saved):
        np.testing.assert_array_equal(one, other)
