"""Winograd's way of correlating: its error, where it is used, and what it must not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.nn.methods import choose_method


@pytest.fixture
def direct_and_winograd(rng):
    """Outputs and gradients of one convolution, in float64 directly, and in a dtype by `method`."""

    def run(batch, channels, height, width, outputs, padding, taps, stride, dtype, method):
        x = rng.standard_normal((batch, channels, height, width))
        w = rng.standard_normal((outputs, channels, taps, taps))
        b = rng.standard_normal(outputs)
        results = []
        for kind, way in ((np.float64, "direct"), (dtype, method)):
            tensors = [ac.tensor(a, dtype=kind, requires_grad=True) for a in (x, w, b)]
            y = nn.conv2d(*tensors, stride, padding, method=way)
            gy = np.random.default_rng(5).standard_normal(y.shape)
            y.backward(gy.astype(kind))
            results.append([y.data, *(t.grad for t in tensors)])
        return results

    return run


SHAPES = [
    (1, 1, 3, 3, 1, 0, 3, 1),
    (2, 3, 5, 4, 2, 1, 3, 1),
    (2, 16, 8, 8, 16, 1, 3, 1),
    (1, 35, 9, 10, 50, 0, 3, 1),
    (1, 33, 7, 13, 130, 2, 3, 1),
    (2, 64, 14, 14, 64, 1, 3, 1),
    (1, 256, 14, 14, 64, 1, 3, 1),
    (1, 100, 14, 9, 512, 1, 3, 1),
    (8, 16, 64, 64, 16, 1, 3, 1),  # long sums in the weight gradient
    (1, 512, 7, 7, 256, 1, 3, 1),  # ... and in the others
    (1, 4, 6, 6, 4, ((3, 0), (5, 1)), 3, 1),
    (1, 2, 5, 5, 3, 1, 5, 1),
    (2, 35, 9, 10, 50, 0, 5, 1),
    (8, 16, 32, 33, 20, 2, 5, 1),
    (1, 256, 7, 7, 128, 2, 5, 1),
    (2, 3, 6, 7, 5, 1, 3, 2),
    (1, 35, 19, 10, 50, 0, 3, 2),
    (4, 64, 28, 29, 70, ((1, 2), (3, 0)), 3, 2),
    (1, 256, 14, 14, 512, 1, 3, 2),
    (1, 3, 8, 8, 4, ((1, 0), (2, 1)), 3, 2),  # rows and columns begin in different phases
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-5), (np.float64, 2e-14)])
def test_errors_stay_within_the_stated_bound(direct_and_winograd, shape, dtype, bound):
    exact, fast = direct_and_winograd(*shape, dtype, "winograd")
    for right, got in zip(exact, fast):
        assert got.dtype == dtype
        scale = np.abs(right).max()
        assert np.abs(got - right).max() <= bound * scale
        assert np.sqrt(np.mean((got - right) ** 2)) <= bound / 5 * scale


@st.composite
def cases(draw):
    """x, w, stride, padding, layout of a small convolution that minimal filtering can compute, and its generator."""
    taps, stride = draw(st.sampled_from([(3, 1), (5, 1), (3, 2)]))
    padding = tuple((draw(st.integers(0, taps)), draw(st.integers(0, taps))) for _ in range(2))
    sizes = tuple(max(taps - sum(p), 1) + draw(st.integers(0, 7)) for p in padding)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    x = rng.standard_normal((draw(st.integers(1, 3)), channels, *sizes))
    return x, rng.standard_normal((outputs, channels, taps, taps)), stride, padding, draw(st.booleans()), rng


@given(case=cases())
@settings(max_examples=40)
def test_random_convolutions_against_nested_loops(oracle, pulled, case):
    x, w, stride, padding, last, rng = case
    settings = {"stride": stride, "padding": padding, "method": "winograd"}
    steps = (stride, stride)
    gy = rng.standard_normal(oracle.conv(x, w, None, None, steps, padding, (1, 1)).shape)
    expected = oracle.conv(x, w, None, gy, steps, padding, (1, 1))[:3]
    orders = [(0, 1, 2, 3)] * 3
    if last:
        settings["layout"], orders = "NHWC", [(0, 2, 3, 1), (0, 2, 3, 1), (2, 3, 1, 0)]
        x, w, gy = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0), gy.transpose(0, 2, 3, 1)
    for got, right, order in zip(pulled(lambda x, w: nn.conv2d(x, w, **settings), gy, x, w), expected, orders):
        np.testing.assert_allclose(got, right.transpose(order), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "w", "gy"])
@pytest.mark.parametrize(("size", "stride"), [(16, 1), (17, 1), (16, 2), (19, 2)])
def test_what_is_not_finite_reaches_just_the_results_that_read_it(special, where, size, stride, rng, pulled):
    arrays = {
        "x": rng.standard_normal((1, 32, size, size)).astype(np.float32),
        "w": rng.standard_normal((32, 32, 3, 3)).astype(np.float32),
        "gy": rng.standard_normal((1, 32, *[-(-size // stride)] * 2)).astype(np.float32),
    }
    arrays[where][0, 0, 2, 2] = special
    x, w, gy = arrays.values()
    found = [
        pulled(lambda x, w, method=method: nn.conv2d(x, w, None, stride, 1, method=method), gy, x, w)
        for method in ("winograd", "direct")
    ]
    for fast, right in zip(*found):
        np.testing.assert_array_equal(np.isfinite(fast), np.isfinite(right))


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_an_infinity_in_any_corner_is_seen(corner, rng, pulled):
    """Sizes leave one row and column of outputs to the last tiles, which compute three more that nobody asked for."""
    for where in range(3):
        x, w, gy = (rng.standard_normal(shape) for shape in ((1, 2, 7, 7), (3, 2, 3, 3), (1, 3, 5, 5)))
        (x, w, gy)[where][(0, 1, *corner)] = np.inf
        found = [
            pulled(lambda x, w, method=method: nn.conv2d(x, w, method=method), gy, x, w)
            for method in ("winograd", "direct")
        ]
        for fast, right in zip(*found):
            np.testing.assert_array_equal(np.isfinite(fast), np.isfinite(right))


def test_every_order_of_derivative(rng):
    x, w = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 3, 3))
    for stride in (1, 2):
        ac.testing.check_vjp(nn.conv2d, x, w, None, stride, 1, method="winograd", order=3, max_elements=12)


def test_what_no_window_reads_gets_exactly_zero(rng):
    w, gy = rng.standard_normal((5, 3, 3, 3)), rng.standard_normal((2, 5, 4, 5))
    gx = nn.conv2d_input((2, 3, 10, 12), w, gy, stride=2, method="winograd").data
    assert not gx[:, :, 9:].any()
    assert not gx[:, :, :, 11:].any()
    assert gx[:, :, :9, :11].all()


# Large enough to be split (small work stays on the calling thread, and would show nothing); weight gradients in
# several chunks of tiles, and in one
@pytest.mark.parametrize(("batch", "channels", "size", "taps"), [(4, 64, 39, 3), (2, 200, 17, 3), (2, 48, 31, 5)])
def test_the_same_on_any_number_of_threads(batch, channels, size, taps, rng, pulled):
    x = rng.standard_normal((batch, channels, size, size + 2)).astype(np.float32)
    w = rng.standard_normal((channels, channels, taps, taps)).astype(np.float32)
    gy = rng.standard_normal(x.shape).astype(np.float32)
    threads = ac.get_num_threads()
    try:
        results = []
        for n in (1, 2, 5):
            ac.set_num_threads(n)
            results.append(pulled(lambda x, w: nn.conv2d(x, w, padding=taps // 2, method="winograd"), gy, x, w))
    finally:
        ac.set_num_threads(threads)
    for one, *others in zip(*results):
        for other in others:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["transposed", "reversed", "every other", "unaligned", "read-only"])
def test_kernels_in_any_memory(form, rng, pulled):
    x, w = rng.standard_normal((1, 3, 8, 9)), rng.standard_normal((20, 3, 3, 3))
    gy = rng.standard_normal((1, 20, 6, 7))
    plain = pulled(lambda x, w: nn.conv2d(x, w, method="winograd"), gy, x, w)
    if form == "transposed":
        w = np.ascontiguousarray(w.transpose(2, 0, 3, 1)).transpose(1, 3, 0, 2)
    elif form == "reversed":
        w = np.ascontiguousarray(w[::-1, :, ::-1, ::-1])[::-1, :, ::-1, ::-1]
    elif form == "every other":
        wide = np.zeros((40, 3, 3, 6))
        wide[::2, :, :, ::2] = w
        w = wide[::2, :, :, ::2]
    elif form == "unaligned":
        raw = np.zeros(w.nbytes + 1, np.uint8)
        raw[1:] = np.frombuffer(w.tobytes(), np.uint8)
        w = raw[1:].view(np.float64).reshape(w.shape)
    else:
        w = w.copy()
        w.flags.writeable = False
    np.testing.assert_array_equal(nn.conv2d(x, w, method="winograd").data, plain[0])
    np.testing.assert_array_equal(nn.conv2d_input(x.shape, w, gy, method="winograd").data, plain[1])


@pytest.mark.parametrize("shape", [(2, 5, 9, 7, 3), (1, 100, 14, 330, 3), (2, 20, 13, 33, 5)], ids=str)
def test_weight_gradients_in_either_memory_order(shape, rng):
    from autograd_conv.kernels import winograd
    from autograd_conv.kernels.geometry import Window

    batch, channels, size, outputs, taps = shape
    window = Window.of("conv2d", (size, size), taps, padding=1)
    x, gy = rng.standard_normal((batch, 1, size, size, channels)), rng.standard_normal((batch, *window.out, outputs))
    plain = winograd.correlate_weight_gradient(x, gy, window)
    other = winograd.correlate_weight_gradient(x, gy, window, outputs_first=True)
    assert plain.flags.c_contiguous
    assert other.transpose(4, 3, 0, 1, 2).flags.c_contiguous
    np.testing.assert_array_equal(plain, other)


def window(size=16, taps=3, **settings):
    from autograd_conv.kernels.geometry import Window

    return Window.of("conv2d", (size, size), taps, **settings)


def test_auto_takes_it_where_it_wins_and_never_when_exact_is_asked_for():
    def choice(window, batch=4, channels=64, dtype=np.float32, groups=1):
        return choose_method("conv2d", "auto", window, batch, channels, 64, groups, np.dtype(dtype))

    assert choice(window(padding=1)) == "winograd"
    assert choice(window(padding=2, taps=5)) == "winograd"
    assert choice(window(padding=1), channels=16) == "winograd"
    assert choice(window(size=7, padding=1), channels=512) == "winograd"
    assert choice(window(padding=1, stride=2)) == "winograd"
    assert choice(window(padding=1, stride=2), channels=63) == "direct"
    assert choice(window(padding=1, stride=3)) == "direct"
    assert choice(window(padding=2, stride=2, taps=5)) == "direct"
    assert choice(window(dilation=2)) == "direct"
    assert choice(window(taps=7)) == "direct"
    assert choice(window(), channels=3) == "direct"
    assert choice(window(), groups=2) == "direct"
    assert choice(window(), dtype=np.float64) == "direct"
    assert choice(window(size=5, padding=1)) == "direct"  # four tiles of 16 outputs for 25
    assert choice(window(size=4, padding=1), batch=1) == "direct"  # too little to do
    try:
        ac.set_exact(True)
        assert ac.is_exact()
        assert choice(window(padding=1)) == "direct"
    finally:
        ac.set_exact(False)
    with pytest.raises(TypeError, match="argument 'exact' is 1"):
        ac.set_exact(1)
