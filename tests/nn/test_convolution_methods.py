"""Every formulation of convolution, against nested loops: values, gradients of every order, memory, errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

METHODS = ["auto", "direct", "im2col", "padpad", "kronecker"]
CONV = (nn.conv1d, nn.conv2d, nn.conv3d)
TRANSPOSED = (nn.conv_transpose1d, nn.conv_transpose2d, nn.conv_transpose3d)
INPUT = (nn.conv1d_input, nn.conv2d_input, nn.conv3d_input)
WEIGHT = (nn.conv1d_weight, nn.conv2d_weight, nn.conv3d_weight)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def close(actual, expected, tolerance=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def orders(n, last):
    """How channels-first data and kernels are transposed for a layout."""
    if last:
        return (0, *range(2, n + 2), 1), (*range(2, n + 2), 1, 0)
    return tuple(range(n + 2)), tuple(range(n + 2))


def disguise(array, kind):
    """The same values in another kind of memory."""
    if kind == "Fortran":
        return np.asfortranarray(array)
    if kind == "reversed":
        return np.ascontiguousarray(array[::-1, ..., ::-1])[::-1, ..., ::-1]
    if kind == "sliced":
        wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if kind == "read-only":
        array = array.copy()
        array.flags.writeable = False
    if kind == "byte-swapped":
        return array.astype(array.dtype.newbyteorder())
    return array


MEMORIES = ["plain", "Fortran", "reversed", "sliced", "read-only", "byte-swapped"]


@st.composite
def cases(draw):
    """The arguments of a small convolution along one to three axes, channels first."""
    n = draw(st.integers(1, 3))
    axes = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel, stride, dilation = axes(1, 3), axes(1, 3), axes(1, 2)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(n))
    least = [max(d * (k - 1) + 1 - sum(p), 0) for k, d, p in zip(kernel, dilation, padding)]
    sizes = tuple(low + draw(st.integers(0, 3 if n < 3 else 1)) for low in least)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((draw(st.integers(0, 2)), groups * draw(st.integers(1, 2)), *sizes))
    w = rng.standard_normal((groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel))
    b = rng.standard_normal(w.shape[0]) if draw(st.booleans()) else None
    return x, w, b, stride, padding, dilation, groups, rng, draw(st.booleans()), draw(st.sampled_from(MEMORIES))


@pytest.mark.parametrize("method", METHODS)
@given(case=cases())
@settings(max_examples=40)
def test_random_convolutions(oracle, pulled, method, case):
    x, w, b, stride, padding, dilation, groups, rng, last, memory = case
    n = x.ndim - 2
    gy = rng.standard_normal(oracle.conv(x, w, b, None, stride, padding, dilation, groups).shape)
    y, gx, gw, gb = oracle.conv(x, w, b, gy, stride, padding, dilation, groups)
    data, taps = orders(n, last)
    rest = {"layout": LAYOUTS[n - 1][last], "method": method}
    a, k, g = (disguise(array, memory) for array in (x.transpose(data), w.transpose(taps), gy.transpose(data)))
    try:
        found = pulled(lambda x, w, b: CONV[n - 1](x, w, b, stride, padding, dilation, groups, **rest), g, a, k, b)
    except ValueError as error:  # small enough for the matrices, or out of this test
        assume("method 'kronecker' would make a matrix" not in str(error))
        raise
    close(found[0], y.transpose(data))
    close(found[1], gx.transpose(data))
    close(found[2], gw.transpose(taps))
    if b is not None:
        close(found[3], gb)
    assert all(array is None or array.flags.writeable for array in found)
    # The two gradients as functions of their own
    settings = (stride, padding, dilation, groups)
    close(INPUT[n - 1](a.shape, k, g, *settings, **rest).data, gx.transpose(data))
    close(WEIGHT[n - 1](a, k.shape, g, *settings, **rest).data, gw.transpose(taps))
    # ... and from plain arrays, in any memory
    close(CONV[n - 1](a, k, b, *settings, **rest).data, y.transpose(data))


@pytest.mark.parametrize("method", METHODS)
@given(case=cases(), data=st.data())
@settings(max_examples=30)
def test_random_transposed_convolutions(oracle, pulled, method, case, data):
    """Scattering x, element by element; its gradients are a correlation and a weight gradient."""
    x, w, _, stride, padding, dilation, groups, rng, last, memory = case
    n = x.ndim - 2
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    # x takes the part of the convolution's output: w goes from O to x's channels
    w = rng.standard_normal((x.shape[1], w.shape[0] // groups, *w.shape[2:]))
    x = rng.standard_normal((*x.shape[:2], *[max(size, 1) for size in x.shape[2:]]))
    b = rng.standard_normal(w.shape[1] * groups)
    sizes = tuple(
        (size - 1) * s - sum(p) + d * (k - 1) + e + 1
        for size, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra)
    )
    assume(min(sizes) >= 1)
    v = rng.standard_normal((x.shape[0], len(b), *sizes))  # the cotangent of the result
    correlated, weight, y = _by_definition(v, w, x, stride, padding, dilation, groups, x.shape[2:], sizes)
    order, taps = orders(n, last)
    rest = {"layout": LAYOUTS[n - 1][last], "method": method}
    args = [disguise(array, memory) for array in (v.transpose(order), x.transpose(order), w.transpose(taps))]
    try:
        found = pulled(
            lambda x, w, b: TRANSPOSED[n - 1](x, w, b, stride, padding, extra, groups, dilation, **rest), *args, b
        )
    except ValueError as error:
        assume("method 'kronecker' would make a matrix" not in str(error))
        raise
    close(found[0], (y + b.reshape(-1, *(1,) * n)).transpose(order))
    close(found[1], correlated.transpose(order))
    close(found[2], weight.transpose(taps))
    close(found[3], v.sum(axis=(0, *range(2, n + 2))))


def _by_definition(v, w, x, stride, padding, dilation, groups, out, sizes):
    """Correlation of v, its weight gradient for x, and its input gradient for x: element by element."""
    n = len(out)
    outputs, channels = w.shape[0] // groups, w.shape[1]
    correlated, weight, scattered = np.zeros(x.shape), np.zeros(w.shape), np.zeros(v.shape)
    for i in np.ndindex(*out):
        for u in np.ndindex(*w.shape[2:]):
            h = tuple(i[a] * stride[a] + u[a] * dilation[a] - padding[a][0] for a in range(n))
            if not all(0 <= h[a] < sizes[a] for a in range(n)):
                continue
            for g in range(groups):
                o, c = slice(g * outputs, (g + 1) * outputs), slice(g * channels, (g + 1) * channels)
                correlated[(slice(None), o, *i)] += v[(slice(None), c, *h)] @ w[(o, slice(None), *u)].T
                scattered[(slice(None), c, *h)] += x[(slice(None), o, *i)] @ w[(o, slice(None), *u)]
                weight[(o, slice(None), *u)] += x[(slice(None), o, *i)].T @ v[(slice(None), c, *h)]
    return correlated, weight, scattered


SETTINGS = [
    ((2, 2, 5, 4), (3, 2, 2, 3), {"stride": 2, "padding": ((2, 0), (1, 3))}),
    ((1, 4, 6, 5), (4, 2, 2, 2), {"groups": 2, "dilation": (2, 3), "padding": "same"}),
    ((2, 2, 7), (2, 1, 2), {"groups": 2, "stride": 3}),
    ((1, 1, 3, 4, 3), (2, 1, 2, 1, 2), {"stride": (1, 2, 1), "padding": 1}),
    ((2, 4, 3), (3, 2, 2, 2), {}),
]


def which(x, w):
    """How many spatial axes these shapes are for: kernels always have both axes of channels."""
    return len(w) - 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("x", "w", "options"), SETTINGS)
def test_first_and_second_order(rng, method, x, w, options):
    function = CONV[which(x, w)]
    if function is nn.conv2d and len(x) == 3:
        x = (2, 4, 3)
    x, w, b = rng.standard_normal(x), rng.standard_normal(w), rng.standard_normal(w[0])
    check_vjp(function, x, w, b, method=method, max_elements=6, **options)


@pytest.mark.parametrize("method", METHODS)
def test_first_and_second_order_of_transposed_and_gradients(rng, method):
    x, w, b = rng.standard_normal((2, 4, 3)), rng.standard_normal((4, 2, 3)), rng.standard_normal(4)
    options = {"stride": 2, "padding": ((0, 1),), "groups": 2, "method": method}
    check_vjp(nn.conv_transpose1d, x, w, b, output_padding=1, max_elements=6, **options)
    y = nn.conv_transpose1d(x, w, stride=2, padding=((0, 1),), groups=2).data
    check_vjp(lambda w, gy: nn.conv1d_input(y.shape, w, gy, **options), w, x, max_elements=6)
    check_vjp(lambda y, gy: nn.conv1d_weight(y, w.shape, gy, **options), y, x, max_elements=6)
    check_vjp(
        nn.conv_transpose2d,
        rng.standard_normal((1, 2, 2, 3)),
        rng.standard_normal((2, 1, 2, 2)),
        stride=(1, 2),
        dilation=(2, 1),
        output_padding=(1, 1),
        max_elements=6,
        method=method,
        layout="NCHW",
    )


@pytest.mark.parametrize("method", METHODS)
def test_third_order(rng, method):
    # conv((x + t v)**3, w): the third derivative in t is 6 conv(v**3, w)
    x, v = rng.standard_normal((2, 1, 1, 4, 4))
    w = rng.standard_normal((1, 1, 2, 2))
    t = ac.tensor(0.3, requires_grad=True)
    y = ac.sum(nn.conv2d((x + t * v) ** 3, w, stride=2, padding=1, method=method))
    for _ in range(3):
        (y,) = ac.grad(y, t, create_graph=True)
    close(y.item(), 6 * nn.conv2d(v**3, w, stride=2, padding=1).numpy().sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("x", "w", "options"), SETTINGS)
def test_each_operator_and_its_adjoint(rng, method, x, w, options):
    """<conv(x, w), g> = <x, gx(g, w)> = <w, gw(x, g)>, with transposed convolution for gx where it reaches."""
    n = which(x, w)
    x, w = rng.standard_normal(x), rng.standard_normal(w)
    y = CONV[n](x, w, method=method, **options)
    g = rng.standard_normal(y.shape)
    product = np.vdot(y.data, g)
    close(np.vdot(INPUT[n](x.shape, w, g, method=method, **options).data, x), product)
    close(np.vdot(WEIGHT[n](x, w.shape, g, method=method, **options).data, w), product)
    if options.get("padding") == "same":
        back = TRANSPOSED[n](g, w, method=method, **options)
    else:
        sizes, stride = x.shape[-n - 1 :], np.broadcast_to(options.get("stride", 1), n + 1)
        plain = TRANSPOSED[n](g, w, method=method, **options)
        extra = tuple(int(size - p) for size, p in zip(sizes, plain.shape[-n - 1 :]))
        assert all(0 <= e < s for e, s in zip(extra, stride))
        back = TRANSPOSED[n](g, w, output_padding=extra, method=method, **options)
    assert back.shape == x.shape
    close(np.vdot(back.data, x), product)


@pytest.mark.parametrize("method", METHODS)
def test_all_derivatives_use_the_same_method(rng, monkeypatch, method):
    from autograd_conv.kernels import formulations

    used = set()
    original = formulations.formulation

    def spy(name):
        used.add(name)
        return original(name)

    monkeypatch.setattr(formulations, "formulation", spy)
    x, w = ac.tensor(rng.standard_normal((1, 1, 4, 4)), requires_grad=True), ac.tensor(np.ones((1, 1, 2, 2)))
    w = ac.tensor(w.data, requires_grad=True)
    grads = ac.grad(ac.sum(nn.conv2d(x, w, method=method) ** 2), (x, w), create_graph=True)
    ac.grad(ac.sum(grads[0] ** 2) + ac.sum(grads[1] ** 2), (x, w))
    assert used == {"direct" if method == "auto" else method}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(pulled, rng, method, dtype):
    x, w = rng.standard_normal((2, 3, 5, 4)).astype(dtype), rng.standard_normal((2, 3, 2, 2)).astype(dtype)
    b, gy = rng.standard_normal(2).astype(dtype), rng.standard_normal((2, 2, 3, 3)).astype(dtype)
    options = {"stride": (2, 1), "padding": ((1, 1), (0, 0))}
    found = pulled(lambda x, w, b: nn.conv2d(x, w, b, method=method, **options), gy, x, w, b)
    expected = pulled(lambda x, w, b: nn.conv2d(x, w, b, **options), *(a.astype(float) for a in (gy, x, w, b)))
    tolerance = {np.float16: 1e-2, np.float32: 1e-5, np.float64: 1e-11}[dtype]
    for actual, value in zip(found, expected):
        assert actual.dtype == dtype
        close(actual, value, tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_integers_and_mixtures(method):
    x, w = np.arange(16).reshape(1, 1, 4, 4), np.array([[[[1, -1], [2, 0]]]])
    y = nn.conv2d(x, w, method=method)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y.data[0, 0], [[7, 9, 11], [15, 17, 19], [23, 25, 27]])
    small = nn.conv2d(x.astype(np.uint8) * 10, w.astype(np.uint8), method=method)  # wraps
    np.testing.assert_array_equal(small.data, (y.data * 10).astype(np.uint8))
    assert nn.conv2d(x, w.astype(np.float32), method=method).dtype == np.float64


@pytest.mark.parametrize("method", METHODS)
def test_empty_arrays(pulled, method):
    y, gx, gw, gb = pulled(
        lambda x, w, b: nn.conv2d(x, w, b, padding=1, method=method),
        np.ones((2, 3, 1, 6)),
        np.zeros((2, 2, 0, 5)),
        np.ones((3, 2, 2, 2)),
        np.ones(3),
    )
    np.testing.assert_array_equal(y, np.ones((2, 3, 1, 6)))
    assert gx.shape == (2, 2, 0, 5)
    assert not gw.any()
    np.testing.assert_array_equal(gb, [12, 12, 12])
    for shape, weight, out in [((0, 2, 4, 4), (3, 2, 2, 2), (0, 3, 3, 3)), ((2, 0, 4, 4), (3, 0, 2, 2), (2, 3, 3, 3))]:
        y, gx, gw = pulled(lambda x, w: nn.conv2d(x, w, method=method), np.ones(out), np.zeros(shape), np.zeros(weight))
        assert y.shape == out
        assert gx.shape == shape
        assert gw.shape == weight
        assert not y.any()
        assert not gw.any()


@pytest.mark.parametrize("method", ["im2col", "padpad", "kronecker"])
def test_methods_that_multiply_zeros_say_nan(method):
    """The others never do: 0 * inf is not there to be computed."""
    w, gy = np.array([[[np.inf, 1.0]]]), np.ones((1, 1, 3))
    if method == "padpad":  # forward as direct; between the elements of gy there are zeros
        plain = nn.conv1d_input((1, 1, 6), w, gy, 2).data
        assert not np.isnan(plain).any()
        with np.errstate(invalid="ignore"):
            assert np.isnan(nn.conv1d_input((1, 1, 6), w, gy, 2, method=method).data).any()
    else:
        assert nn.conv1d(np.ones((1, 1, 2)), w, padding=1).data[0, 0, 0] == 1
        with np.errstate(invalid="ignore"):
            assert np.isnan(nn.conv1d(np.ones((1, 1, 2)), w, padding=1, method=method).data[0, 0, 0])


def test_unknown_and_impossible_methods():
    x, w = np.zeros((1, 1, 5, 5)), np.zeros((1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"^conv2d: argument 'method' is 'fft'; it must be one of 'auto', 'direct'"):
        nn.conv2d(x, w, method="fft")
    with pytest.raises(ValueError, match=r"^conv_transpose2d: argument 'method' is None"):
        nn.conv_transpose2d(x, w, method=None)
    with pytest.raises(ValueError, match=r"'winograd', which cannot be used here: .*3 x 3 taps with stride 1 or 2"):
        nn.conv2d(x, w, stride=3, method="winograd")
    with pytest.raises(ValueError, match=r"conv2d: method 'kronecker' .* M of 103788 x 12288 = 1275346944 .*4194304"):
        nn.conv2d(np.zeros((1, 3, 64, 64)), np.zeros((8, 3, 3, 3)), method="kronecker")
    with pytest.raises(ValueError, match=r"I kron phi\(x\) of 4608 x 2048"):
        nn.conv2d(np.zeros((1, 1, 4, 4)), np.zeros((512, 1, 2, 2)), method="kronecker")


def test_asking_for_a_method_that_is_not_there_does_not_import_numba():
    code = (
        "import sys, numpy as np\nfrom autograd_conv import nn\n"
        "for method in ('fft', 'kronecker'):\n"
        "    try: nn.conv2d(np.zeros((1, 3, 64, 64)), np.zeros((8, 3, 3, 3)), method=method)\n"
        "    except ValueError: pass\n"
        "    else: raise SystemExit('no error')\n"
        "nn.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), method='im2col')\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("method", ["im2col", "padpad"])
def test_on_a_layer_of_ordinary_size(rng, pulled, method):
    x, w = rng.standard_normal((2, 16, 20, 19), np.float32), rng.standard_normal((24, 8, 3, 3), np.float32)
    gy = rng.standard_normal((2, 24, 10, 10), np.float32)
    options = {"stride": 2, "padding": 1, "groups": 2}
    direct = pulled(lambda x, w: nn.conv2d(x, w, **options), gy, x, w)
    for actual, value in zip(pulled(lambda x, w: nn.conv2d(x, w, method=method, **options), gy, x, w), direct):
        close(actual, value, 2e-4)
