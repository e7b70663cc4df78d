"""Convolution, transposed convolution and their gradients against PyTorch, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch compares with it")
F = torch.nn.functional

CONV = ((nn.conv1d, F.conv1d), (nn.conv2d, F.conv2d), (nn.conv3d, F.conv3d))
TRANSPOSED = (
    (nn.conv_transpose1d, F.conv_transpose1d),
    (nn.conv_transpose2d, F.conv_transpose2d),
    (nn.conv_transpose3d, F.conv_transpose3d),
)
INPUT = (
    (nn.conv1d_input, torch.nn.grad.conv1d_input),
    (nn.conv2d_input, torch.nn.grad.conv2d_input),
    (nn.conv3d_input, torch.nn.grad.conv3d_input),
)
WEIGHT = (
    (nn.conv1d_weight, torch.nn.grad.conv1d_weight),
    (nn.conv2d_weight, torch.nn.grad.conv2d_weight),
    (nn.conv3d_weight, torch.nn.grad.conv3d_weight),
)
DTYPES = {np.float32: 2e-4, np.float64: 1e-9}


def compare(ours, theirs, rng, arrays, tolerance):
    """Output, gradients, and gradients of a function of the gradients."""
    mine = [ac.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = ours(*mine), theirs(*other)
    assert y.shape == tuple(expected.shape)
    assert y.data.dtype == expected.detach().numpy().dtype
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    gy = rng.standard_normal(y.shape).astype(y.dtype)
    first = ac.grad(y, mine, gy, create_graph=True)
    wanted = torch.autograd.grad(expected, other, torch.tensor(gy), create_graph=True)
    for actual, value in zip(first, wanted):
        np.testing.assert_allclose(actual.data, value.detach().numpy(), rtol=tolerance, atol=tolerance)
    seeds = [rng.standard_normal(a.shape).astype(a.dtype) for a in arrays[:2]]
    second = ac.grad(first[:2], mine[:2], seeds)
    wanted = torch.autograd.grad(wanted[:2], other[:2], [torch.tensor(v) for v in seeds])
    for actual, value in zip(second, wanted):
        np.testing.assert_allclose(actual.data, value.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


@st.composite
def cases(draw):
    n = draw(st.integers(1, 3))
    axes = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel, stride, dilation, padding = axes(1, 3), axes(1, 3), axes(1, 3), axes(0, 4)
    least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, d, p in zip(kernel, dilation, padding)]
    sizes = tuple(low + draw(st.integers(0, 5)) for low in least)
    dtype = draw(st.sampled_from(list(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 5])), *sizes)).astype(dtype)
    w = rng.standard_normal((groups * draw(st.sampled_from([1, 3, 4])), x.shape[1] // groups, *kernel)).astype(dtype)
    return x, w, stride, padding, dilation, groups, rng, draw(st.booleans())


@given(cases())
@settings(max_examples=100)
def test_convolution(case):
    x, w, stride, padding, dilation, groups, rng, batched = case
    ours, theirs = CONV[x.ndim - 3]
    arguments = (stride, padding, dilation, groups)
    b = rng.standard_normal(w.shape[0]).astype(x.dtype)
    compare(
        lambda x, w, b: ours(x, w, b, *arguments),
        lambda x, w, b: theirs(x, w, b, *arguments),
        rng,
        [x if batched else x[0], w, b],
        DTYPES[x.dtype.type],
    )


@given(cases(), st.data())
@settings(max_examples=100)
def test_transposed_convolution(case, data):
    x, w, stride, padding, dilation, groups, rng, batched = case
    ours, theirs = TRANSPOSED[x.ndim - 3]
    w = np.ascontiguousarray(w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)).reshape(
        x.shape[1], w.shape[0] // groups, *w.shape[2:]
    )
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    sizes = [
        (size - 1) * s - 2 * p + d * (k - 1) + e + 1
        for size, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra)
    ]
    assume(min(sizes) >= 1)
    arguments = (stride, padding, extra, groups, dilation)
    b = rng.standard_normal(w.shape[1] * groups).astype(x.dtype)
    compare(
        lambda x, w, b: ours(x, w, b, *arguments),
        lambda x, w, b: theirs(x, w, b, *arguments),
        rng,
        [x if batched else x[0], w, b],
        DTYPES[x.dtype.type],
    )


@given(cases())
@settings(max_examples=60)
def test_gradients_as_functions(case):
    x, w, *arguments, rng, _ = case
    n, tolerance = x.ndim - 2, DTYPES[x.dtype.type]
    gy = rng.standard_normal(CONV[n - 1][0](x, w, None, *arguments).shape).astype(x.dtype)
    a, b, c = (torch.tensor(array) for array in (x, w, gy))
    ours, theirs = INPUT[n - 1]
    actual, expected = ours(x.shape, w, gy, *arguments), theirs(x.shape, b, c, *arguments)
    np.testing.assert_allclose(actual.data, expected.numpy(), rtol=tolerance, atol=tolerance)
    ours, theirs = WEIGHT[n - 1]
    actual, expected = ours(x, w.shape, gy, *arguments), theirs(a, w.shape, c, *arguments)
    np.testing.assert_allclose(actual.data, expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_same_padding(kernel, dilation):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, kernel, kernel))
    expected = F.conv2d(torch.tensor(x), torch.tensor(w), padding="same", dilation=dilation)
    np.testing.assert_allclose(nn.conv2d(x, w, padding="same", dilation=dilation).data, expected.numpy(), atol=1e-12)


def test_where_pytorch_refuses_too():
    """The same calls are errors in both, or differ on purpose (docs/differences.md)."""
    x, w = np.ones((1, 2, 4)), np.ones((2, 2, 3))
    for function, options in [
        ("conv1d", {"stride": 0}), ("conv1d", {"padding": -1}), ("conv1d", {"groups": 3}), ("conv1d", {"dilation": 4}),
        ("conv_transpose1d", {"output_padding": 1}), ("conv_transpose1d", {"stride": 2, "output_padding": 2}),
        ("conv_transpose1d", {"padding": 4}), ("conv_transpose1d", {"groups": 3}),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"^{function}: "):
            getattr(nn, function)(x, w, **options)
        with pytest.raises((RuntimeError, ValueError)):
            getattr(F, function)(torch.tensor(x), torch.tensor(w), **options)
