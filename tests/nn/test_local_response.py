"""local_response_norm against its formula, channel by channel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd_conv import nn
from autograd_conv.testing import check_vjp


def naive(x, size, alpha=1e-4, beta=0.75, k=1.0):
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        total = np.zeros(x[:, 0].shape)
        for other in range(c - size // 2, c - size // 2 + size):
            if 0 <= other < x.shape[1]:
                total += x[:, other] ** 2
        y[:, c] = x[:, c] * (k + alpha / size * total) ** -beta
    return y


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 9),
    st.sampled_from([(1e-4, 0.75, 1.0), (0.5, 1.25, 2.0), (-0.01, 0.5, 1.0)]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_random_arrays(axes, channels, size, constants, channels_last, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, channels, *rng.integers(1, 4, axes)))
    expected = naive(x, size, *constants)
    if channels_last:
        y = np.moveaxis(nn.local_response_norm(np.moveaxis(x, 1, -1), size, *constants, layout="NHWC").data, -1, 1)
    else:
        y = nn.local_response_norm(x, size, *constants).data
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_derivatives(rng, size):
    x = rng.standard_normal((2, 5, 3))
    check_vjp(nn.local_response_norm, x, size, alpha=0.7, order=3, rtol=1e-4, max_elements=6)


def test_dtypes_and_empty_batches():
    for dtype in (np.float16, np.float32, np.float64):
        assert nn.local_response_norm(np.full((1, 2, 3), 300, dtype), 2, alpha=1.0).dtype == dtype
    # 300 squared is beyond float16: computed in float32.
    y = nn.local_response_norm(np.full((1, 2, 1), 300, np.float16), 2, alpha=2.0, beta=0.5).data.ravel()
    np.testing.assert_allclose(y, [300 / 300.0017, 300 / np.sqrt(180001)], rtol=1e-3)
    assert nn.local_response_norm(np.zeros((0, 2, 3)), 2).shape == (0, 2, 3)


ERRORS = [
    ((1, 2, 3), {"size": 0}, ValueError, ["'size' is 0", "at least 1"]),
    ((1, 2, 3), {"size": 2.0}, TypeError, ["'size' is 2.0", "integer"]),
    ((2, 3), {"size": 2}, ValueError, ["'input'", "2 axes", "at least 3"]),
    ((1, 2, 3), {"size": 2, "layout": "CNW"}, ValueError, ["'layout' is 'CNW'", "'NCW'"]),
    ((1, 2, 3), {"size": 2, "dtype": int}, TypeError, ["'input'", "int64", "floating-point"]),
]


@pytest.mark.parametrize(("shape", "case", "error", "parts"), ERRORS)
def test_case_24_errors(shape, case, error, parts):
    case = dict(case)
    with pytest.raises(error) as caught:
        nn.local_response_norm(np.zeros(shape, case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("local_response_norm: ")
    for part in parts:
        assert part in message
