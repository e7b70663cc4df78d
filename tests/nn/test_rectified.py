"""Rectifiers that other functions carry out in passing: the same values and gradients as those that stand alone."""

import gc

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

LARGE = (8, 16, 24, 24)  # 73,728 elements: compiled loops, and cotangents that are written over
CHANNELS = LARGE[1]


def last(array):
    """The same array with its channels last in memory."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def normalized(x, w, b, g):
    """relu(batch_norm(x)) and its gradients by x, w and b for the cotangent g, in double precision."""
    x, w, b, g = (array.astype(np.float64) for array in (x, w, b, g))
    axes, wide = (0, 2, 3), (1, -1, 1, 1)
    s = 1 / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    z = (x - x.mean(axes, keepdims=True)) * s
    y = z * w.reshape(wide) + b.reshape(wide)
    g = np.where(y > 0, g, 0)
    gz = g * w.reshape(wide)
    gx = s * (gz - gz.mean(axes, keepdims=True) - z * (gz * z).mean(axes, keepdims=True))
    return np.maximum(y, 0), gx, (g * z).sum(axes), g.sum(axes)


@pytest.mark.parametrize("shape", [LARGE, (3, 5, 4, 2)])
@pytest.mark.parametrize("order", [np.asarray, last])
@pytest.mark.parametrize("fused", [False, True])
def test_batch_norm_and_rectifier(rng, shape, order, fused):
    x, g = (order(array) for array in rng.standard_normal((2, *shape), dtype=np.float32))
    x = x + np.float32(3)
    w, b = rng.standard_normal((2, shape[1]), dtype=np.float32)
    expected = normalized(x, w, b, g)
    tensors = [ac.tensor(array, requires_grad=True) for array in (x, w, b)]
    inner = tensors[0] * 1.0
    if fused:
        y = nn.batch_norm(inner, None, None, *tensors[1:], training=True, activation="relu")
    else:
        y = nn.relu(nn.batch_norm(inner, None, None, *tensors[1:], training=True))
    seed = g.copy()
    y.backward(seed)
    np.testing.assert_array_equal(seed, g)
    for found, exact in zip((y.numpy(), *[t.grad for t in tensors]), expected):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=2e-4, atol=2e-4 * np.abs(exact).max())


def test_batch_norm_with_activation_has_derivatives_of_every_order(rng):
    x, w, b = rng.standard_normal((3, 2, 2, 3)) * 3, rng.standard_normal(2), rng.standard_normal(2)

    def function(x, w, b):
        return nn.batch_norm(x, None, None, w, b, training=True, activation="relu")

    check_vjp(function, x, w, b, max_elements=6)
    check_vjp(lambda x: nn.batch_norm(x, None, None, training=True, activation="relu"), x, max_elements=6)
    given = rng.standard_normal(2), rng.random(2) + 0.5
    y = nn.batch_norm(x, *given, w, b, activation="relu")
    np.testing.assert_array_equal(y.data, nn.relu(nn.batch_norm(x, *given, w, b)).data)


def test_the_gate_of_batch_norm_is_that_of_its_result(rng):
    """Also where results are 0 but for rounding, infinite or NaN, and in every lane and tail."""
    for shape in ((7, 3, 5, 3), (9, 16, 4, 4), (2, 3, 1, 1)):
        for dtype in (np.float32, np.float64):
            for order in (np.asarray, last):
                x = order(rng.integers(-2, 3, shape).astype(dtype))
                x[0, 0, 0, 0] = np.inf
                ones, b = np.ones(shape[1], dtype), rng.integers(-1, 2, shape[1]).astype(dtype)
                t = ac.tensor(b, requires_grad=True)
                with np.errstate(invalid="ignore"):
                    y = nn.batch_norm(x, None, None, ones, t, training=True, activation="relu")
                    y.backward(order(np.ones(shape, dtype)))
                np.testing.assert_array_equal(t.grad, (~(y.data <= 0)).sum((0, 2, 3)))


def test_who_looks_at_what_was_rectified_sees_its_cotangent(rng):
    x, g = rng.standard_normal((2, *LARGE), dtype=np.float32)
    w, b = rng.standard_normal((2, CHANNELS), dtype=np.float32)
    gx = normalized(x, w, b, g)[1]

    def run():
        t = ac.tensor(x, requires_grad=True)
        h = nn.batch_norm(t, None, None, w, b, training=True)
        return t, h, nn.relu(h)

    def check(t, gh, h):
        np.testing.assert_array_equal(gh, np.where(h.data > 0, g, 0))
        np.testing.assert_allclose(t.grad, gx, rtol=2e-4, atol=2e-4 * np.abs(gx).max())

    t, h, y = run()
    seen = []
    h.register_hook(lambda gh: seen.append(gh.numpy()))
    values = h.numpy()
    y.backward(g)
    np.testing.assert_array_equal(h.numpy(), values)
    check(t, seen[0], h)

    t, h, y = run()
    (gh,) = ac.grad(y, h, g, retain_graph=True)
    y.backward(g, retain_graph=True)
    check(t, gh.numpy(), h)
    y.backward(g)
    np.testing.assert_allclose(t.grad, 2 * gx, rtol=4e-4, atol=4e-4 * np.abs(gx).max())

    t, h, y = run()
    del h
    y.backward(g, retain_graph=True)  # passes through both at once, and leaves both whole
    y.backward(g)
    np.testing.assert_allclose(t.grad, 2 * gx, rtol=4e-4, atol=4e-4 * np.abs(gx).max())
    with pytest.raises(ac.AutodiffError, match="already used and freed"):
        y.backward(g)

    with ac.Tape() as tape:
        t, h, y = run()
    del h
    y.backward(g)
    assert [record.name for record in tape] == ["batch_norm", "relu"]
    assert all(record.saved is not None for record in tape)
    np.testing.assert_allclose(t.grad, gx, rtol=2e-4, atol=2e-4 * np.abs(gx).max())

    batch_norm = tape[0].primitive
    seen.clear()
    with batch_norm.register_hook(lambda record, argnum, cotangent: seen.append(argnum)):
        t, h, y = run()
        del h
        y.backward(g)
    assert seen == [0]
    np.testing.assert_allclose(t.grad, gx, rtol=2e-4, atol=2e-4 * np.abs(gx).max())


def test_memory_is_given_back_where_a_record_is_passed_through_in_passing(rng):
    t = ac.tensor(rng.standard_normal(LARGE, dtype=np.float32), requires_grad=True)
    h = nn.batch_norm(t * 1.0, None, None, training=True)
    record = h._node
    y = nn.relu(h)
    del h
    y.backward(np.ones(LARGE, np.float32))
    assert record.saved is None
    gc.collect()


def test_other_uses_of_what_was_rectified_count(rng):
    x, g = rng.standard_normal((2, *LARGE), dtype=np.float32)
    t = ac.tensor(x, requires_grad=True)
    h = t * 2.0
    y = nn.relu(h) + 3.0 * h
    del h
    y.backward(g)
    np.testing.assert_allclose(t.grad, 2 * np.where(x > 0, g, 0) + 6 * g, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [np.asarray, last])
def test_cotangents_that_somebody_needs_are_not_written_over(rng, order):
    x, z, g = (order(array) for array in rng.standard_normal((3, *LARGE), dtype=np.float32))
    a, b = ac.tensor(x, requires_grad=True), ac.tensor(z, requires_grad=True)
    seed = g.copy(order="K")
    # One cotangent goes to both rectifiers, and to the sum itself; another one to one of them alone.
    left, right = a * 1.0, b * 1.0
    whole = nn.relu(left) + nn.relu(right)
    y = whole * 1.0
    (gw, gl) = ac.grad(y, (whole, left), seed, retain_graph=True)
    y.backward(seed)
    np.testing.assert_array_equal(seed, g)
    np.testing.assert_array_equal(gw.data, g)
    np.testing.assert_array_equal(gl.data, np.where(x > 0, g, 0))
    np.testing.assert_array_equal(a.grad, np.where(x > 0, g, 0))
    np.testing.assert_array_equal(b.grad, np.where(z > 0, g, 0))

    kept = []
    a.grad = None
    h = nn.relu(a * 1.0)
    handle = h.register_hook(lambda cotangent: kept.append(cotangent))
    (h * 1.0).backward(g)
    handle.remove()
    np.testing.assert_array_equal(kept[0].data, g)
    np.testing.assert_array_equal(a.grad, np.where(x > 0, g, 0))


def test_cotangents_of_a_rule_that_keeps_them_are_not_written_over(rng):
    """Neither an array that a rule still holds, nor memory behind one that nothing else can see."""
    g = rng.standard_normal(LARGE, dtype=np.float32)
    buffer = bytearray(g.tobytes())
    mine = g.copy()

    @ac.primitive
    def keeping(x, *, what):
        return x + 0.0

    def rule(cotangent, what):
        return (
            mine if what == "array" else mine[:] if what == "view" else np.frombuffer(buffer, np.float32).reshape(LARGE)
        )

    keeping.defvjp(x=rule)
    x = rng.standard_normal(LARGE, dtype=np.float32)
    for what in ("array", "view", "buffer"):
        t = ac.tensor(x, requires_grad=True)
        keeping(nn.relu(t * 1.0), what=what).backward(np.ones(LARGE, np.float32))
        np.testing.assert_array_equal(t.grad, np.where(x > 0, g, 0))
        # Two such cotangents meet.
        t = ac.tensor(x, requires_grad=True)
        h = t * 1.0
        (keeping(h, what=what) + keeping(h, what=what)).backward(np.ones(LARGE, np.float32))
        np.testing.assert_array_equal(t.grad, g + g)
        np.testing.assert_array_equal(mine, g)
        assert bytes(buffer) == g.tobytes()


@pytest.mark.parametrize(("method", "layout"), [("auto", "NCHW"), ("winograd", "NCHW"), ("im2col", "NHWC")])
@pytest.mark.parametrize("size", [24, 5])
@pytest.mark.parametrize("fused", [False, True])
def test_convolution_and_rectifier(rng, method, layout, size, fused):
    """Values are those of the two functions; gradients those of the convolution for a cotangent that is gated."""
    x = rng.standard_normal((8, 3, size, size), dtype=np.float32)
    w = rng.standard_normal((16, 3, 3, 3), dtype=np.float32)
    if layout == "NHWC":
        x, w = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)
    b = rng.standard_normal(16, dtype=np.float32)
    settings = {"padding": 1, "method": method, "layout": layout}
    plain = [ac.tensor(array, requires_grad=True) for array in (x, w, b)]
    y = nn.conv2d(*plain, **settings)
    values = y.numpy()
    g = rng.standard_normal(y.shape, dtype=np.float32)
    y.backward(np.where(values > 0, g, 0))

    tensors = [ac.tensor(array, requires_grad=True) for array in (x, w, b)]
    if fused:
        z = nn.conv2d(*tensors, **settings, activation="relu")
    else:
        z = nn.relu(nn.conv2d(*tensors, **settings))
    np.testing.assert_array_equal(z.numpy(), np.maximum(values, 0))
    seed = g.copy()
    (z * 1.0).backward(seed)  # a cotangent that may be written over
    np.testing.assert_array_equal(seed, g)
    for found, expected in zip(tensors, plain):
        assert found.grad.dtype == np.float32
        scale = np.abs(expected.grad).max()
        np.testing.assert_allclose(found.grad, expected.grad, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_rectified_convolutions_have_derivatives_of_every_order(rng, axes):
    function = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}[axes]
    x, w, b = rng.standard_normal((2, 2, *(4,) * axes)), rng.standard_normal((3, 2, *(2,) * axes)), np.zeros(3)
    check_vjp(lambda x, w, b: function(x, w, b, activation="relu"), x, w, b, max_elements=4)
    check_vjp(lambda x: nn.relu(function(x, w, activation="relu")), x, max_elements=4)


def test_rectified_convolutions_save_what_is_needed(rng):
    x, w = rng.standard_normal((2, 2, 5, 5)), ac.tensor(rng.standard_normal((3, 2, 2, 2)), requires_grad=True)
    y = nn.conv2d(ac.tensor(x, requires_grad=True), w.detach(), activation="relu")
    assert sorted(array.shape for array in y._node.saved) == [(2, 3, 4, 4), (3, 2, 2, 2)]  # no input
    with ac.Tape() as tape:
        y = nn.conv2d(x, w, np.zeros(3), activation="relu")
    assert [record.name for record in tape] == ["correlate_relu"]
    seen = []
    with tape[0].primitive.register_hook(lambda record, argnum, cotangent: seen.append((argnum, cotangent.shape))):
        y.backward(np.ones(y.shape))
    assert seen == [(1, w.shape)]
    assert not tape.check()


def test_unknown_activations():
    x = np.ones((2, 3, 4, 4))
    functions = [
        lambda a: nn.batch_norm(x, None, None, training=True, activation=a),
        lambda a: nn.conv2d(x, np.ones((1, 3, 2, 2)), activation=a),
    ]
    for function in functions:
        for activation in ("tanh", True):
            with pytest.raises(ValueError, match=r"argument 'activation' is .*; it must be one of 'relu'"):
                function(activation)
