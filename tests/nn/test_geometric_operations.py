"""What unfolding, padding, shuffling, resizing and sampling have in common: linearity, memory, dtypes, threads."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

GRID = np.random.default_rng(7).uniform(-1.3, 1.3, (2, 4, 3, 2))


def sampled(mode, padding):
    return lambda x: nn.grid_sample(x, GRID[: x.shape[0]].astype(x.dtype), mode, padding)


# Linear functions of one array: of shape (2, 4, 6, 4).
LINEAR = {
    "unfold": lambda x: nn.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=(2, 1)),
    "unfold NHWC": lambda x: nn.unfold(x, 2, padding="same", layout="NHWC"),
    "unfold NCW": lambda x: nn.unfold(x.reshape(x.shape[0], 4, 24), 3, padding=((2, 0),), layout="NCW"),
    "fold": lambda x: nn.fold(x.reshape(x.shape[0], 8, 12), (4, 5), 2),
    "fold NWC": lambda x: nn.fold(x.reshape(x.shape[0], 12, 8), 13, 2, layout="NWC"),
    "pad constant": lambda x: nn.pad(x, (1, 2, -1, 3)),
    "pad reflect": lambda x: nn.pad(x, (1, 2, -1, 3), "reflect"),
    "pad replicate": lambda x: nn.pad(x, (5, 2, -1, 9), "replicate"),
    "pad circular": lambda x: nn.pad(x, (4, 4, -1, 3, 1, 1), "circular"),
    "pad symmetric": lambda x: nn.pad(x, (4, 4, -1, 3, 1, 1), "symmetric"),
    "pixel_shuffle": lambda x: nn.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: nn.pixel_unshuffle(x, 2),
    "pixel_unshuffle NHWC": lambda x: nn.pixel_unshuffle(x, 2, layout="NHWC"),
    "channel_shuffle": lambda x: nn.channel_shuffle(x, 2),
    "nearest": lambda x: nn.interpolate(x, (7, 3)),
    "nearest-exact": lambda x: nn.interpolate(x, scale_factor=(1.3, 0.8), mode="nearest-exact"),
    "bilinear": lambda x: nn.interpolate(x, (4, 9), mode="bilinear"),
    "bilinear NHWC": lambda x: nn.interpolate(x, (5, 9), mode="bilinear", layout="NHWC"),
    "bicubic": lambda x: nn.interpolate(x, (4, 9), mode="bicubic", align_corners=True),
    "antialias": lambda x: nn.interpolate(x, (2, 3), mode="bicubic", antialias=True),
    "area": lambda x: nn.interpolate(x, (4, 5), mode="area"),
    "grid bilinear": sampled("bilinear", "zeros"),
    "grid nearest": sampled("nearest", "reflection"),
    "grid bicubic": sampled("bicubic", "border"),
}
every = pytest.mark.parametrize("name", LINEAR)


def run(function, x, seed=3):
    """Output, and the gradient for a cotangent that depends on its shape only."""
    t = ac.tensor(x, requires_grad=True)
    y = function(t)
    gy = np.random.default_rng(seed).standard_normal(y.shape)
    y.backward(gy.astype(y.dtype))
    return y.data, t.grad, gy


@every
def test_the_gradient_is_the_transpose(rng, name):
    x, z = rng.standard_normal((2, 2, 4, 6, 4))
    _, gx, gy = run(LINEAR[name], x)
    assert np.vdot(LINEAR[name](z).data, gy) == pytest.approx(np.vdot(z, gx), rel=1e-10)


@every
def test_first_and_second_order(rng, name):
    x = rng.standard_normal((2, 4, 6, 4))
    check_vjp(LINEAR[name], x, max_elements=4)
    check_vjp(lambda x: LINEAR[name](x) ** 2, x, order=2, max_elements=4)


@every
def test_case_21_any_memory(rng, name):
    function = LINEAR[name]
    x = rng.standard_normal((2, 4, 6, 4))
    y, gx, gy = run(function, x)
    constant = x.copy()
    constant.flags.writeable = False
    for array in (
        np.asfortranarray(x),
        np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
        np.repeat(x, 2, axis=3)[..., ::2],
        np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
        constant,
        x.astype(">f8"),
    ):
        for seed in (gy, np.ascontiguousarray(gy.T).T, np.repeat(gy, 2, axis=0)[::2]):
            t = ac.tensor(array, requires_grad=True)
            found = function(t)
            found.backward(seed)
            np.testing.assert_array_equal(found.data, y)
            np.testing.assert_array_equal(t.grad, gx)
            assert found.data.flags.writeable
            assert t.grad.flags.writeable
    flat = function(np.broadcast_to(np.float64(2), x.shape)).data
    np.testing.assert_array_equal(flat, function(np.full(x.shape, 2.0)).data)


@every
def test_results_are_fresh(rng, name):
    x = rng.standard_normal((2, 4, 6, 4))
    kept = x.copy()
    LINEAR[name](x).data[...] = np.nan
    np.testing.assert_array_equal(x, kept)


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_case_23_dtypes_are_kept(rng, name, dtype):
    x = rng.standard_normal((2, 4, 6, 4))
    y, gx, _ = run(LINEAR[name], x)
    found = run(LINEAR[name], x.astype(dtype))
    assert found[0].dtype == found[1].dtype == dtype
    tolerance = 2e-2 if dtype == np.float16 else 1e-4
    np.testing.assert_allclose(found[0], y, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found[1], gx, rtol=tolerance, atol=tolerance)


@every
def test_zero_batch(name):
    y, gx, _ = run(LINEAR[name], np.zeros((0, 4, 6, 4)))
    expected = LINEAR[name](np.zeros((2, 4, 6, 4))).shape
    assert y.shape == (0, *expected[1:])
    assert gx.shape == (0, 4, 6, 4)


BIG = {
    "unfold": ((4, 6, 40, 40), lambda x: nn.unfold(x, 3, padding=1)),
    "unfold NHWC": ((4, 40, 40, 6), lambda x: nn.unfold(x, 3, padding=1, layout="NHWC")),
    "fold": ((4, 54, 1600), lambda x: nn.fold(x, 40, 3, padding=1)),
    "fold NHWC": ((4, 1600, 54), lambda x: nn.fold(x, 40, 3, padding=1, layout="NHWC")),
    "pad": ((4, 10, 80, 80), lambda x: nn.pad(x, (3, 2, 1, 4), "reflect")),
    "bicubic": ((4, 10, 60, 50), lambda x: nn.interpolate(x, (90, 80), mode="bicubic")),
    "bilinear NHWC": ((4, 60, 50, 10), lambda x: nn.interpolate(x, (90, 80), mode="bilinear", layout="NHWC")),
    "area": ((4, 10, 90, 90), lambda x: nn.interpolate(x, (37, 41), mode="area")),
    "grid": ((2, 70, 30, 30), lambda x: nn.grid_sample(x, np.repeat(GRID, 100, axis=1).astype(x.dtype))),
    "local_response_norm": ((4, 10, 60, 50), lambda x: nn.local_response_norm(x, 5)),
}


@pytest.mark.parametrize("name", BIG)
def test_results_do_not_depend_on_the_number_of_threads(rng, name):
    shape, function = BIG[name]
    x = rng.standard_normal(shape).astype(np.float32)
    before = ac.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3, 7):
            ac.set_num_threads(n)
            found.append(run(function, x)[:2])
    finally:
        ac.set_num_threads(before)
    for y, gx in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(gx, found[0][1])


def test_float16_is_summed_in_float32():
    many = np.full((1, 100, 1), 1000, np.float16)
    assert nn.fold(many / 32, 100, 100, padding=0, layout="NCW").dtype == np.float16
    folded = nn.fold(np.full((1, 64, 64), 1000.5, np.float16), 127, 64, layout="NCW").data.ravel()
    assert folded[63] == np.float16(64 * np.float32(np.float16(1000.5)))
    mean = nn.interpolate(np.full((1, 1, 300), 300, np.float16), 1, mode="area")
    assert mean.item() == 300  # the sum, 90000, is beyond float16


def test_nothing_but_points_is_saved_for_linear_functions():
    x = ac.tensor(np.zeros((2, 4, 6, 4)), requires_grad=True)
    for name in ("unfold", "pad reflect", "bilinear", "area"):
        with ac.Tape() as tape:
            LINEAR[name](x)
        assert {record.saved for record in tape} == {()}
