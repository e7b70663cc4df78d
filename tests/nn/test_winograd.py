"""Winograd's way of correlating: its error, where it is used, and what it must not change."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.nn.methods import choose_method


@pytest.fixture
def direct_and_winograd(rng):
    """Outputs and gradients of one convolution, in float64 directly, and in a dtype by `method`."""

    def run(batch, channels, height, width, outputs, padding, dtype, method):
        x = rng.standard_normal((batch, channels, height, width))
        w = rng.standard_normal((outputs, channels, 3, 3))
        b = rng.standard_normal(outputs)
        results = []
        for kind, way in ((np.float64, "direct"), (dtype, method)):
            tensors = [ac.tensor(a, dtype=kind, requires_grad=True) for a in (x, w, b)]
            y = nn.conv2d(*tensors, padding=padding, method=way)
            gy = np.random.default_rng(5).standard_normal(y.shape)
            y.backward(gy.astype(kind))
            results.append([y.data, *(t.grad for t in tensors)])
        return results

    return run


SHAPES = [
    (1, 1, 3, 3, 1, 0),
    (2, 3, 5, 4, 2, 1),
    (2, 16, 8, 8, 16, 1),
    (1, 35, 9, 10, 50, 0),
    (1, 33, 7, 13, 130, 2),
    (2, 64, 14, 14, 64, 1),
    (1, 256, 14, 14, 64, 1),
    (1, 4, 6, 6, 4, ((3, 0), (5, 1))),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-5), (np.float64, 4e-14)])
def test_errors_stay_within_the_stated_bound(direct_and_winograd, shape, dtype, bound):
    exact, fast = direct_and_winograd(*shape, dtype, "winograd")
    for right, got in zip(exact, fast):
        assert got.dtype == dtype
        scale = np.abs(right).max()
        assert np.abs(got - right).max() <= bound * scale
        assert np.sqrt(np.mean((got - right) ** 2)) <= bound / 5 * scale


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "w"])
def test_what_is_not_finite_reaches_just_the_outputs_that_read_it(special, where, rng):
    x = rng.standard_normal((1, 32, 16, 16)).astype(np.float32)
    w = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    (x if where == "x" else w)[0, 0, 2, 2] = special
    np.testing.assert_array_equal(
        np.isfinite(nn.conv2d(x, w, padding=1, method="winograd").data),
        np.isfinite(nn.conv2d(x, w, padding=1, method="direct").data),
    )


def test_every_order_of_derivative(rng):
    x, w = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 3, 3))
    ac.testing.check_vjp(nn.conv2d, x, w, padding=1, method="winograd", order=3, max_elements=12)


def test_the_same_on_any_number_of_threads(rng):
    # Large enough to be split: small work stays on the calling thread, and would show nothing.
    x = rng.standard_normal((4, 64, 39, 41)).astype(np.float32)
    w = rng.standard_normal((64, 64, 3, 3)).astype(np.float32)
    threads = ac.get_num_threads()
    try:
        results = []
        for n in (1, 2, 5):
            ac.set_num_threads(n)
            results.append(nn.conv2d(x, w, method="winograd").data)
    finally:
        ac.set_num_threads(threads)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def window(**settings):
    from autograd_conv.kernels.geometry import Window

    return Window.of("conv2d", (16, 16), 3, **settings)


def test_auto_takes_it_where_it_wins_and_never_when_exact_is_asked_for():
    def choice(window, batch=4, channels=64, dtype=np.float32, groups=1):
        return choose_method("conv2d", "auto", window, batch, channels, 64, groups, np.dtype(dtype))

    assert choice(window(padding=1)) == "winograd"
    assert choice(window(stride=2)) == "direct"
    assert choice(window(dilation=2)) == "direct"
    assert choice(window(), channels=3) == "direct"
    assert choice(window(), groups=2) == "direct"
    assert choice(window(), dtype=np.float64) == "direct"
    assert choice(window(), batch=1, channels=512) == "direct"
    try:
        ac.set_exact(True)
        assert ac.is_exact()
        assert choice(window(padding=1)) == "direct"
    finally:
        ac.set_exact(False)
    with pytest.raises(TypeError, match="argument 'exact' is 1"):
        ac.set_exact(1)
