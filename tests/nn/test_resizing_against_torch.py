"""Unfolding, padding, shuffling, resizing and sampling against PyTorch, where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch compares with it")
F = torch.nn.functional


def compare(ours, theirs, rng, *arrays, tolerance=1e-9):
    """Values, gradients, and gradients of a function of the gradients."""
    mine = [ac.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = ours(*mine), theirs(*other)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    assert y.dtype == expected.detach().numpy().dtype
    gy = rng.standard_normal(y.shape).astype(y.dtype)
    found = ac.grad(y, mine, ac.tensor(gy), create_graph=True)
    wanted = torch.autograd.grad(expected, other, torch.tensor(gy), create_graph=True)
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=tolerance, atol=tolerance)
    return mine, other, found, wanted


def second_order(mine, other, found, wanted, tolerance):
    """Of those whose gradients depend on the arrays."""
    a = ac.grad(sum(ac.sum(g * g) for g in found), mine)
    b = torch.autograd.grad(sum((g * g).sum() for g in wanted), other)
    for one, two in zip(a, b):
        np.testing.assert_allclose(one.data, two.numpy(), rtol=tolerance, atol=tolerance)


@given(st.data())
def test_unfold_and_fold(data):
    pair = lambda low, high: (data.draw(st.integers(low, high)), data.draw(st.integers(low, high)))  # noqa: E731
    setting = {"kernel_size": pair(1, 3), "dilation": pair(1, 2), "padding": pair(0, 2), "stride": pair(1, 3)}
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = (data.draw(st.integers(1, 2)), 2, *pair(5, 8))[data.draw(st.integers(0, 1)) :]
    x = rng.standard_normal(shape)
    compare(lambda x: nn.unfold(x, **setting), lambda x: F.unfold(x, **setting), rng, x)
    cols = nn.unfold(x, **setting).data
    sizes = shape[-2:]
    compare(lambda g: nn.fold(g, sizes, **setting), lambda g: F.fold(g, sizes, **setting), rng, cols)


@given(st.data())
@settings(max_examples=80)
def test_pad(data):
    axes = data.draw(st.integers(1, 3))
    mode = data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    shape = (2, 2, *[data.draw(st.integers(2, 5)) for _ in range(axes)])
    flat = [data.draw(st.integers(-2, 4)) for _ in range(2 * axes)]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(shape)
    try:
        y = F.pad(torch.tensor(x), flat, mode=mode)
    except RuntimeError:
        assume(False)
    assume(y.numel())  # PyTorch's gradient reads memory that is not there (3-D "reflect")
    for before, after, n in zip(flat[::2], flat[1::2], shape[::-1]):
        # PyTorch repeats more than what cropping left, from memory that it has not yet written.
        assume(mode != "circular" or max(before, after) <= n + min(before, 0) + min(after, 0))
    compare(lambda x: nn.pad(x, flat, mode), lambda x: F.pad(x, flat, mode=mode), rng, x)


def test_shuffles(rng):
    x = rng.standard_normal((2, 12, 4, 6))
    compare(lambda x: nn.pixel_shuffle(x, 2), lambda x: F.pixel_shuffle(x, 2), rng, x)
    compare(lambda x: nn.pixel_unshuffle(x, 2), lambda x: F.pixel_unshuffle(x, 2), rng, x)
    compare(lambda x: nn.channel_shuffle(x, 3), lambda x: F.channel_shuffle(x, 3), rng, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_every_nearest_element(dtype, mode):
    for n in range(1, 26):
        x = np.arange(n).astype(dtype).reshape(1, 1, n)
        settings = [{"size": m} for m in range(1, 60)]
        for factor, again in itertools.product((0.3, 0.7, 1.1, 1.3, 1.5, 2.5, 3.3), (None, True)):
            if int(n * factor):
                settings.append({"scale_factor": factor, "recompute_scale_factor": again})
        for setting in settings:
            y = nn.interpolate(x, mode=mode, **setting).data
            expected = F.interpolate(torch.tensor(x), mode=mode, **setting).numpy()
            np.testing.assert_array_equal(y, expected, err_msg=f"{n} {setting}")


@given(st.data())
@settings(max_examples=100)
def test_interpolate(data):
    axes = data.draw(st.integers(1, 3))
    mode = data.draw(
        st.sampled_from({1: ["linear", "area"], 2: ["bilinear", "bicubic", "area"], 3: ["trilinear", "area"]}[axes])
    )
    # PyTorch's antialiasing is wrong for images of one column, hence from two on.
    shape = (data.draw(st.integers(1, 2)), 2, *[data.draw(st.integers(2, 9)) for _ in range(axes)])
    setting = {"mode": mode}
    if data.draw(st.booleans()):
        setting["size"] = tuple(data.draw(st.integers(2, 12)) for _ in range(axes))
    else:
        setting["scale_factor"] = tuple(data.draw(st.floats(1.01, 3)) for _ in range(axes))
        setting["recompute_scale_factor"] = data.draw(st.sampled_from([None, False, True]))
    if mode != "area":
        setting["align_corners"] = data.draw(st.sampled_from([None, False, True]))
    if mode in ("bilinear", "bicubic"):
        setting["antialias"] = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dtype, tolerance = data.draw(st.sampled_from([(np.float32, 1e-4), (np.float64, 1e-9)]))
    x = rng.standard_normal(shape).astype(dtype)
    compare(lambda x: nn.interpolate(x, **setting), lambda x: F.interpolate(x, **setting), rng, x, tolerance=tolerance)


def test_interpolate_with_infinity():
    """Where PyTorch has NaN from zero times infinity, here is the element that counts; all else is the same."""
    x = np.array([[[1.0, 2, np.inf, 4, 5, np.nan, 7]]])
    for setting in ({"size": 14}, {"size": 13, "align_corners": True}, {"size": 7}, {"size": 3}):
        y = nn.interpolate(x, mode="linear", **setting).data
        expected = F.interpolate(torch.tensor(x), mode="linear", **setting).numpy()
        np.testing.assert_array_equal(y[~np.isnan(expected)], expected[~np.isnan(expected)])


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(rng, mode, padding, align):
    for sizes in ((5, 7), (1, 4), (3, 1), (4, 5, 3), (1, 1, 2)):
        if mode == "bicubic" and len(sizes) == 3:
            continue
        for dtype, tolerance in ((np.float32, 1e-3), (np.float64, 1e-9)):
            x = rng.standard_normal((2, 3, *sizes)).astype(dtype)
            grid = rng.uniform(-2.7, 2.7, (2, *(4, 3, 2)[: len(sizes)], len(sizes))).astype(dtype)
            result = compare(
                lambda x, grid: nn.grid_sample(x, grid, mode, padding, align),
                lambda x, grid: F.grid_sample(x, grid, mode, padding, align),
                rng, x, grid, tolerance=tolerance,
            )  # fmt: skip
            assert result


@pytest.mark.parametrize("align", [False, True])
def test_affine_grid(rng, align):
    for sizes in ((3, 4), (5, 2), (2, 3, 4)):
        theta = rng.standard_normal((2, len(sizes), len(sizes) + 1))
        arguments = ((2, 3, *sizes), align)
        compare(lambda t, a=arguments: nn.affine_grid(t, *a), lambda t, a=arguments: F.affine_grid(t, *a), rng, theta)


@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_local_response_norm(axes, channels, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, channels, *rng.integers(1, 4, axes)))
    result = compare(
        lambda x: nn.local_response_norm(x, size, 0.3, 0.6, 1.5),
        lambda x: F.local_response_norm(x, size, 0.3, 0.6, 1.5),
        rng, x,
    )  # fmt: skip
    second_order(*result, tolerance=1e-8)


REFUSED = [
    ("interpolate", (1, 1, 4), {"size": 3, "mode": "bilinear"}),
    ("interpolate", (1, 1, 4), {"size": 3, "mode": "nearest", "align_corners": True}),
    ("interpolate", (1, 1, 4), {"size": 3, "scale_factor": 2.0}),
    ("interpolate", (1, 1, 4), {}),
    ("interpolate", (1, 1, 4), {"size": (3, 3)}),
    ("interpolate", (1, 1, 4), {"scale_factor": (3.0, 3.0)}),
    ("interpolate", (1, 1, 4), {"size": 0}),
    ("interpolate", (1, 1, 4), {"size": 3, "recompute_scale_factor": True}),
    ("interpolate", (1, 1, 4), {"size": 3, "mode": "linear", "antialias": True}),
    ("interpolate", (1, 1, 0), {"size": 3}),
    ("unfold", (5, 5), {"kernel_size": 2}),
    ("unfold", (1, 1, 5, 5), {"kernel_size": 6}),
    ("unfold", (1, 1, 5, 5), {"kernel_size": 2, "padding": -1}),
    ("fold", (1, 8, 15), {"output_size": 5, "kernel_size": 2}),
    ("fold", (1, 6, 16), {"output_size": 5, "kernel_size": 2}),
    ("pad", (1, 1, 4), {"pad": (4, 0), "mode": "reflect"}),
    ("pad", (1, 1, 4), {"pad": (5, 0), "mode": "circular"}),
    ("pad", (1, 1, 4), {"pad": (1, 0, 1)}),
    ("pad", (1, 1, 4), {"pad": (-3, -2)}),
    ("pad", (1, 1, 4), {"pad": (1, 1), "mode": "reflect", "value": 1.0}),
    ("pixel_shuffle", (1, 3, 2, 2), {"upscale_factor": 2}),
    ("pixel_unshuffle", (1, 3, 3, 2), {"downscale_factor": 2}),
    ("local_response_norm", (2, 3), {"size": 2}),
]


@pytest.mark.parametrize(("name", "shape", "setting"), REFUSED)
def test_what_pytorch_refuses_is_refused(name, shape, setting):
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError)):
        getattr(F, name)(torch.zeros(shape), **setting)
    with pytest.raises((ValueError, TypeError)):
        getattr(nn, name)(np.zeros(shape), **setting)
