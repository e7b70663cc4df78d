"""grid_sample and affine_grid against loops over points and elements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

PADDINGS = ["zeros", "border", "reflection"]


def keys(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def mirror(u, n, align):
    """Mirror at one end, then at the other, until the point is inside."""
    low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
    if low == high:
        return 0.0
    while not low <= u <= high:
        u = 2 * low - u if u < low else 2 * high - u
    return u


def inside(u, n, padding, align):
    if padding == "reflection":
        u = mirror(u, n, align)
    return u if padding == "zeros" else min(max(u, 0), n - 1)


def naive_grid_sample(x, grid, mode, padding, align):
    """x (N, C, ...), grid (N, ..., axes): each output a sum over all elements near its point."""
    sizes = x.shape[2:]
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for index in itertools.product(*map(range, (grid.shape[0], *grid.shape[1:-1]))):
        axes = []
        for v, n in zip(grid[index][::-1], sizes):
            u = (v + 1) / 2 * (n - 1) if align else ((v + 1) * n - 1) / 2
            if mode == "bicubic":
                taps = [(math.floor(u) + k, keys(u - math.floor(u) - k)) for k in range(-1, 3)]
                taps = [(int(inside(tap, n, padding, align)), w) for tap, w in taps]
            else:
                u = inside(u, n, padding, align)
                taps = [(round(u), 1.0)]
                if mode == "bilinear":
                    taps = [(math.floor(u), math.floor(u) + 1 - u), (math.floor(u) + 1, u - math.floor(u))]
            axes.append([(tap, w) for tap, w in taps if 0 <= tap < n])
        for taps in itertools.product(*axes):
            place = (index[0], slice(None), *[tap for tap, _ in taps])
            y[(index[0], slice(None), *index[1:])] += x[place] * math.prod(w for _, w in taps)
    return y


@given(st.data())
@settings(max_examples=80)
def test_random_points(data):
    axes = data.draw(st.integers(2, 3))
    mode = data.draw(st.sampled_from(["bilinear", "nearest", "bicubic"][: 5 - axes]))
    padding, align = data.draw(st.sampled_from(PADDINGS)), data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    batch, channels = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    sizes = tuple(data.draw(st.integers(1, 5)) for _ in range(axes))
    x = rng.standard_normal((batch, channels, *sizes))
    grid = rng.uniform(-3, 3, (batch, *rng.integers(1, 4, axes), axes))
    expected = naive_grid_sample(x, grid, mode, padding, align)
    y = nn.grid_sample(x, grid, mode, padding, align)
    np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-9)
    y = nn.grid_sample(np.moveaxis(x, 1, -1), grid, mode, padding, align, layout="NHWC")
    np.testing.assert_allclose(np.moveaxis(y.data, -1, 1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(("mode", "order"), [("bilinear", 3), ("bicubic", 3), ("nearest", 2)])
def test_derivatives_of_images(rng, mode, order, padding, align):
    x, grid = rng.standard_normal((2, 2, 4, 3)), rng.uniform(-1.4, 1.4, (2, 2, 3, 2))
    check_vjp(
        lambda x, grid: nn.grid_sample(x, grid, mode, padding, align) ** 2, x, grid,
        order=order, rtol=1e-4, atol=1e-5, max_elements=5,
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["NCDHW", "NDHWC"])
def test_derivatives_of_volumes(rng, layout):
    x, grid = rng.standard_normal((1, 3, 2, 4, 3)), rng.uniform(-1.2, 1.2, (1, 2, 1, 3, 3))
    check_vjp(lambda x, grid: nn.grid_sample(x, grid, layout=layout), x, grid, order=3, rtol=1e-4, max_elements=5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_the_gradient_is_the_transpose(rng, pulled, mode):
    x, z = rng.standard_normal((2, 40, 5, 4)), rng.standard_normal((2, 40, 5, 4))
    grid = rng.uniform(-1.5, 1.5, (2, 6, 7, 2))
    gy = rng.standard_normal((2, 40, 6, 7))
    _, gx, _ = pulled(lambda x, grid: nn.grid_sample(x, grid, mode), gy, x, grid)
    assert np.vdot(nn.grid_sample(z, grid, mode).data, gy) == pytest.approx(np.vdot(z, gx), rel=1e-9)


def test_points_on_the_same_element_add_up(pulled):
    for _ in range(2):
        grid = np.zeros((1, 1, 5, 2))
        _, gx, _ = pulled(
            lambda x, grid: nn.grid_sample(x, grid, align_corners=True),
            np.ones((1, 1, 1, 5)),
            np.ones((1, 1, 3, 3)),
            grid,
        )
        np.testing.assert_array_equal(gx[0, 0], [[0, 0, 0], [0, 5, 0], [0, 0, 0]])


def test_exact_values_at_the_edges():
    image = np.array([[[[1.0, 2], [3, 4]]]])
    corner = np.array([[[[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]]])
    assert nn.grid_sample(image, corner, align_corners=True).data.tolist() == [[[[1, 4, 3]]]]
    # Half of each axis lies in the padding.
    assert nn.grid_sample(image, corner).data.tolist() == [[[[0.25, 1, 0.75]]]]
    assert nn.grid_sample(image, corner, padding_mode="border").data.tolist() == [[[[1, 4, 3]]]]
    assert nn.grid_sample(image, corner, padding_mode="reflection").data.tolist() == [[[[1, 4, 3]]]]
    # Ties go to the even element.
    row = np.arange(4.0).reshape(1, 1, 1, 4)
    halves = np.stack([np.array([0.5, 1.5, 2.5]) / 1.5 - 1, np.zeros(3)], axis=-1).reshape(1, 1, 3, 2)
    assert nn.grid_sample(row, halves, "nearest", align_corners=True).data.ravel().tolist() == [0, 2, 2]


def test_at_the_edge_that_holds_a_point_its_gradient_is_zero(pulled):
    image = np.array([[[[1.0, 2, 4]]]])
    grid = np.array([[[[-1.0, 0], [-3, 0], [1, 0], [0.5, 0]]]])
    for padding in ("border", "reflection"):
        _, _, gg = pulled(
            lambda x, grid, p=padding: nn.grid_sample(x, grid, padding_mode=p, align_corners=True),
            np.ones((1, 1, 1, 4)), image, grid,
        )  # fmt: skip
        np.testing.assert_array_equal(gg[0, 0, :, 0], [0, 0, 0, 2])


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("align", [False, True])
def test_points_that_are_no_points(pulled, mode, padding, align):
    """NaN gives NaN; infinity is outside, unless it is to be mirrored. Neither reads memory that is not there."""
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    grid = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.1])
    points = np.stack([grid, np.full(6, 0.1)], axis=-1).reshape(1, 1, 6, 2)
    for swapped in (False, True):
        here = points[..., ::-1] if swapped else points
        y, gx, _ = pulled(lambda x, grid: nn.grid_sample(x, grid, mode, padding, align), np.ones((1, 1, 1, 6)), x, here)
        y = y.ravel()
        assert np.isnan(y[0])
        assert np.isfinite(gx).all()
        assert np.isfinite(y[3:]).all()
        if padding == "zeros":
            np.testing.assert_array_equal(y[1:5], 0)
        elif padding == "reflection":
            assert np.isnan(y[1:3]).all()
        else:
            far = nn.grid_sample(x, np.clip(here, -9, 9), mode, padding, align).data.ravel()
            np.testing.assert_allclose(y[1:], far[1:], rtol=1e-12)


def test_infinity_in_the_array_gets_through_and_padding_is_nothing():
    x = np.array([[[[np.inf, 1.0]]]])
    grid = np.array([[[[-0.5, 0], [0, 0], [0.9, 0], [-3, 0]]]])
    y = nn.grid_sample(x, grid).data.ravel()
    np.testing.assert_array_equal(y[[1, 3]], [np.inf, 0])
    assert y[2] == pytest.approx(0.6)  # beyond the centre of the last element there is padding, not the first element


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_dtypes(pulled, mode):
    x, grid = np.ones((1, 2, 3, 3)), np.full((1, 2, 2, 2), 0.25)
    for dtype in (np.float16, np.float32, np.float64):
        y, gx, gg = pulled(
            lambda x, grid: nn.grid_sample(x, grid, mode, "border"),
            np.ones((1, 2, 2, 2)),
            x.astype(dtype),
            grid.astype(dtype),
        )
        assert y.dtype == gx.dtype == gg.dtype == dtype
        np.testing.assert_allclose(y, 1, rtol=1e-3)
    y, gx, gg = pulled(lambda x, grid: nn.grid_sample(x, grid, mode), np.ones((1, 2, 2, 2)), x.astype(np.float32), grid)
    assert (y.dtype, gx.dtype, gg.dtype) == (np.float64, np.float32, np.float64)


def test_only_what_is_asked_for(rng):
    x, grid = rng.standard_normal((1, 2, 3, 3)), rng.uniform(-1, 1, (1, 2, 2, 2))
    for wanted in range(2):
        arrays = [ac.tensor(a, requires_grad=k == wanted) for k, a in enumerate((x, grid))]
        nn.grid_sample(*arrays).backward(np.ones((1, 2, 2, 2)))
        assert [a.grad is not None for a in arrays] == [wanted == 0, wanted == 1]


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("sizes", [(3, 4), (1, 2), (2, 3, 4), (2, 1, 1)])
def test_affine_grid(rng, align, sizes):
    axes = len(sizes)
    theta = rng.standard_normal((2, axes, axes + 1))
    grid = nn.affine_grid(theta, (2, 5, *sizes), align).data
    assert grid.shape == (2, *sizes, axes)
    for index in itertools.product(*map(range, sizes)):
        place = [
            0.0 if n == 1 else (2 * i / (n - 1) - 1 if align else (2 * i + 1) / n - 1) for i, n in zip(index, sizes)
        ]
        for n in range(2):
            np.testing.assert_allclose(grid[(n, *index)], theta[n] @ [*place[::-1], 1.0], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(nn.affine_grid(theta, (2, *sizes, 5), align, layout="NHWC").data, grid)
    check_vjp(lambda theta: nn.affine_grid(theta, (2, 5, *sizes), align) ** 2, theta, max_elements=6)


def test_the_identity_reproduces_the_image(rng):
    x = rng.standard_normal((2, 3, 5, 4))
    theta = np.tile(np.eye(2, 3), (2, 1, 1))
    for align, mode in itertools.product([False, True], ["bilinear", "nearest", "bicubic"]):
        y = nn.grid_sample(x, nn.affine_grid(theta, x.shape, align), mode, align_corners=align)
        np.testing.assert_allclose(y.data, x, atol=1e-12)


def test_an_affine_map_is_learned_through_both(rng):
    x = rng.standard_normal((1, 1, 6, 6))
    check_vjp(
        lambda x, theta: nn.grid_sample(x, nn.affine_grid(theta, (1, 1, 4, 4)), "bicubic"), x,
        np.array([[[0.7, 0.21, 0.05], [-0.13, 0.6, 0.1]]]), max_elements=8,
    )  # fmt: skip


def test_dtype_of_affine_grid():
    for dtype in (np.float16, np.float32, np.float64):
        assert nn.affine_grid(np.ones((1, 2, 3), dtype), (1, 1, 2, 2)).dtype == dtype
    assert nn.affine_grid(np.ones((0, 2, 3)), (0, 1, 2, 2)).shape == (0, 2, 2, 2)


ERRORS = [
    ({"x": (1, 1, 4)}, ValueError, ["'input'", "3 axes", "4 or 5"]),
    ({"x": (1, 1, 0, 4)}, ValueError, ["'input'", "(1, 1, 0, 4)", "empty"]),
    ({"grid": (1, 2, 2, 3)}, ValueError, ["'grid'", "(1, 2, 2, 3)", "last of length 2"]),
    ({"grid": (1, 2, 2, 2, 2)}, ValueError, ["'grid'", "(1, 2, 2, 2, 2)", "4 axes"]),
    ({"grid": (2, 2, 2, 2)}, ValueError, ["'input'", "batch of 1", "one of 2", "equal"]),
    ({"mode": "linear"}, ValueError, ["'mode'", "'linear'", "'bilinear'"]),
    ({"padding_mode": "circular"}, ValueError, ["'padding_mode'", "'circular'", "'reflection'"]),
    ({"mode": "bicubic", "x": (1, 1, 2, 2, 2)}, ValueError, ["'mode'", "'bicubic'", "3 spatial axes"]),
    ({"layout": "NCW"}, ValueError, ["'layout'", "'NCW'", "'NHWC'"]),
    ({"dtype": int}, TypeError, ["'input'", "int64", "floating-point"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(case, error, parts):
    case = dict(case)
    x = np.zeros(case.pop("x", (1, 1, 4, 4)), case.pop("dtype", float))
    with pytest.raises(error) as caught:
        nn.grid_sample(x, np.zeros(case.pop("grid", (1, 2, 2, 2))), **case)
    message = str(caught.value)
    assert message.startswith("grid_sample: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("theta", "size", "error", "parts"),
    [
        (np.zeros((1, 2, 3)), (1, 1, 4), ValueError, ["'size'", "(1, 1, 4)", "4 or 5"]),
        (np.zeros((1, 2, 3)), (1, 1, 0, 4), ValueError, ["'size'", "(1, 1, 0, 4)", "at least 1"]),
        (np.zeros((1, 2, 3)), (1, 1, 4.0, 4), TypeError, ["'size'", "4.0", "integers"]),
        (np.zeros((1, 3, 4)), (1, 1, 4, 4), ValueError, ["'theta'", "(1, 3, 4)", "(1, 2, 3)"]),
        (np.zeros((2, 2, 3)), (1, 1, 4, 4), ValueError, ["'theta'", "(2, 2, 3)", "(1, 2, 3)"]),
        (np.zeros((1, 2, 3), int), (1, 1, 4, 4), TypeError, ["'theta'", "int64", "floating-point"]),
    ],
)
def test_case_24_errors_of_affine_grid(theta, size, error, parts):
    with pytest.raises(error) as caught:
        nn.affine_grid(theta, size)
    message = str(caught.value)
    assert message.startswith("affine_grid: ")
    for part in parts:
        assert part in message
