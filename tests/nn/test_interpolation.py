"""interpolate against the formulas, written out for one output at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn

NEAREST = ["nearest", "nearest-exact"]
MODES = {1: [*NEAREST, "area", "linear"], 2: [*NEAREST, "area", "bilinear", "bicubic"], 3: [*NEAREST, "trilinear"]}
LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}


def keys(t, a):
    """Cubic convolution: the piecewise polynomial of Keys (1981)."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def entries(mode, i, n, m, scale, align, antialias):
    """(element, weight) pairs of output i of m, from n elements."""
    if mode == "area":
        low, high = i * n // m, -(-(i + 1) * n // m)
        return [(k, 1 / (high - low)) for k in range(low, high)]
    step = (n / m) if scale is None else 1 / scale
    if mode == "nearest":
        return [(min(int(i * step), n - 1), 1.0)]
    if mode == "nearest-exact":
        return [(min(int((i + 0.5) * step), n - 1), 1.0)]
    if align:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    cubic = mode == "bicubic"
    if antialias:
        wide, centre = max(step, 1.0), step * (i + 0.5)
        filters = lambda t: keys(t, -0.5) if cubic else max(0.0, 1 - abs(t))  # noqa: E731
        found = [(k, filters((k + 0.5 - centre) / wide)) for k in range(n)]
        total = sum(w for _, w in found)
        return [(k, w / total) for k, w in found]
    place = i * step if align else (i + 0.5) * step - 0.5
    if cubic:
        low = math.floor(place)
        return [(min(max(low + k, 0), n - 1), keys(place - low - k, -0.75)) for k in range(-1, 3)]
    if n == m:
        return [(i, 1.0)]
    place = min(max(place, 0.0), n - 1)
    low = math.floor(place)
    return [(k, 1 - abs(place - k)) for k in (low, low + 1) if k < n]


def matrix(mode, n, m, scale, align, antialias):
    """The (m, n) matrix of one axis."""
    table = np.zeros((m, n))
    for i in range(m):
        for k, w in entries(mode, i, n, m, scale, align, antialias):
            table[i, k] += w
    return table


def naive(x, tables):
    """Matrices, one for each spatial axis of x (N, C, ...)."""
    for axis, table in enumerate(tables, start=2):
        x = np.moveaxis(np.tensordot(table, x, (1, axis)), 0, axis)
    return x


@given(st.data())
@settings(max_examples=120)
def test_random_sizes_and_factors(pulled, data):
    n = data.draw(st.integers(1, 3))
    mode = data.draw(st.sampled_from(MODES[n]))
    sizes = tuple(data.draw(st.integers(1, 6)) for _ in range(n))
    setting = {}
    factors = (None,) * n
    if data.draw(st.booleans()):
        outs = tuple(data.draw(st.integers(1, 9)) for _ in range(n))
        setting["size"] = outs
    else:
        # Of factors whose reciprocals are exact, so that no rounding decides which element is nearest.
        factors = tuple(data.draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 1.6])) for _ in range(n))
        outs = tuple(int(k * f) for k, f in zip(sizes, factors))
        if min(outs) == 0:
            sizes, outs = tuple(k + 1 for k in sizes), tuple(int((k + 1) * f) for k, f in zip(sizes, factors))
        setting["scale_factor"] = factors
        if data.draw(st.booleans()):
            setting["recompute_scale_factor"] = True
            factors = (None,) * n
    if mode in ("nearest", "nearest-exact"):
        sizes = tuple(2 ** data.draw(st.integers(0, 2)) if "size" in setting else k for k in sizes)
        setting = {"size": tuple(2 ** data.draw(st.integers(0, 3)) for _ in sizes)} if "size" in setting else setting
        outs = setting.get("size", outs)
    align = data.draw(st.sampled_from([None, False, True])) if mode.endswith(("linear", "cubic")) else None
    antialias = mode in ("bilinear", "bicubic") and data.draw(st.booleans())
    channels_last = data.draw(st.booleans())
    order = (lambda a: np.moveaxis(a, 1, -1)) if channels_last else np.asarray
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3)), *sizes))
    tables = [matrix(mode, k, m, f, align, antialias) for k, m, f in zip(sizes, outs, factors)]
    expected = naive(x, tables)
    gy = rng.standard_normal(expected.shape)
    layout = data.draw(st.sampled_from([LAYOUTS[n][channels_last], "NHWC" if channels_last else "NCHW"]))
    y, gx = pulled(
        lambda x: nn.interpolate(x, mode=mode, align_corners=align, antialias=antialias, layout=layout, **setting),
        order(gy),
        order(x),
    )
    np.testing.assert_allclose(y, order(expected), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gx, order(naive(gy, [table.T for table in tables])), rtol=1e-10, atol=1e-10)


def test_the_factor_is_used_as_it_stands_unless_it_is_recomputed():
    x = np.arange(5.0).reshape(1, 1, 5)  # 5 * 1.5 = 7.5: seven outputs, a step of 2/3 or of 5/7
    given = nn.interpolate(x, scale_factor=1.5, mode="linear").data.ravel()
    again = nn.interpolate(x, scale_factor=1.5, mode="linear", recompute_scale_factor=True).data.ravel()
    np.testing.assert_allclose(given, np.clip((np.arange(7) + 0.5) / 1.5 - 0.5, 0, 4), atol=1e-12)
    np.testing.assert_allclose(again, np.clip((np.arange(7) + 0.5) * 5 / 7 - 0.5, 0, 4), atol=1e-12)
    np.testing.assert_array_equal(again, nn.interpolate(x, size=7, mode="linear").data.ravel())


def test_area_is_adaptive_averaging():
    row = np.arange(1.0, 6).reshape(1, 1, 5)
    np.testing.assert_array_equal(nn.interpolate(row, size=3, mode="area").data.ravel(), [1.5, 3, 4.5])
    row = np.arange(1.0, 4).reshape(1, 1, 3)
    np.testing.assert_array_equal(nn.interpolate(row, size=5, mode="area").data.ravel(), [1, 1.5, 2, 2.5, 3])


def test_polynomials_are_reproduced():
    """With corners aligned lines stay lines; cubic convolution goes through all elements, and constants stay."""
    line = np.linspace(-1, 2, 7)
    fine = np.linspace(-1, 2, 31)
    np.testing.assert_allclose(
        nn.interpolate(line.reshape(1, 1, -1), 31, mode="linear", align_corners=True).data.ravel(), fine, atol=1e-12
    )
    y = nn.interpolate(np.tile(line, (1, 1, 7, 1)), 31, mode="bicubic", align_corners=True).data[0, 0]
    constant = nn.interpolate(np.ones((1, 1, 4, 5)), (9, 3), mode="bicubic", antialias=True).data
    np.testing.assert_allclose(constant, 1, atol=1e-12)
    np.testing.assert_allclose(y, np.tile(y[0], (31, 1)), atol=1e-12)
    np.testing.assert_allclose(y[0, ::5], line, atol=1e-12)


def test_an_element_without_weight_does_not_count(pulled):
    x = np.array([[[1.0, 2, np.inf, 4]]])
    np.testing.assert_array_equal(nn.interpolate(x, 4, mode="linear").data, x)
    y = nn.interpolate(x, 7, mode="linear", align_corners=True).data.ravel()
    np.testing.assert_array_equal(y, [1, 1.5, 2, np.inf, np.inf, np.inf, 4])
    y = nn.interpolate(x, 8, mode="linear").data.ravel()
    np.testing.assert_array_equal(y, [1, 1.25, 1.75, np.inf, np.inf, np.inf, np.inf, 4])
    _, gx = pulled(
        lambda x: nn.interpolate(x, 3, mode="linear", align_corners=True),
        np.array([[[1, np.nan, 2]]]),
        np.ones((1, 1, 5)),
    )
    np.testing.assert_array_equal(gx.ravel(), [1, 0, np.nan, 0, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_integers_by_their_nearest(dtype):
    x = np.array([[[0, 1, 100]]], dtype)
    y = nn.interpolate(x, 6)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.data.ravel(), [0, 0, 1, 1, 100, 100])
    with pytest.raises(TypeError, match=f"interpolate: argument 'input' has dtype {np.dtype(dtype)}; it must be float"):
        nn.interpolate(x, 6, mode="linear")


def test_places_are_where_they_are_in_float32():
    """2 elements to 41: the middle output begins at an edge; rounding must not take it to the other side."""
    for n, m in [(2, 41), (2, 47), (2, 83), (4, 82)]:
        x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
        y = nn.interpolate(x, m, mode="nearest-exact").data.ravel()
        middle = (2 * np.arange(m) + 1) * n / (2 * m)
        at_an_edge = middle == np.floor(middle)
        np.testing.assert_array_equal(y[at_an_edge], middle[at_an_edge])


def test_a_volume_at_once(rng):
    x = rng.standard_normal((1, 2, 3, 4, 5))
    y = nn.interpolate(x, (5, 2, 7), mode="trilinear").data
    rows = np.moveaxis(x, 2, -1).reshape(-1, 1, 3)
    depth = np.moveaxis(nn.interpolate(rows, 5, mode="linear").data.reshape(1, 2, 4, 5, 5), -1, 2)
    planes = nn.interpolate(depth.reshape(2, 5, 4, 5), (2, 7), mode="bilinear").data
    np.testing.assert_allclose(y, planes.reshape(y.shape), atol=1e-12)


def test_results_are_fresh_and_nothing_is_saved():
    x = ac.tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    with ac.Tape() as tape:
        y = nn.interpolate(x, 3)
    assert tape[0].saved == ()
    y.data[...] = 0
    assert x.data.all()


ERRORS = [
    ({}, ValueError, ["'size'", "'scale_factor'", "None and None", "just one"]),
    ({"size": 3, "scale_factor": 2}, ValueError, ["3 and 2", "just one"]),
    ({"size": (3, 3, 3)}, ValueError, ["size", "3", "2"]),
    ({"size": 0}, ValueError, ["size", "0", "at least 1"]),
    ({"size": 2.0}, TypeError, ["size", "2.0", "integers"]),
    ({"scale_factor": (1, 2, 3)}, ValueError, ["'scale_factor'", "3 entries", "2 spatial axes"]),
    ({"scale_factor": -1.0}, ValueError, ["'scale_factor'", "-1.0", "positive"]),
    ({"scale_factor": math.nan}, ValueError, ["'scale_factor'", "nan", "positive"]),
    ({"scale_factor": "2"}, ValueError, ["'scale_factor'", "'2'"]),
    ({"scale_factor": None, "size": None}, ValueError, ["just one"]),
    ({"scale_factor": ("2", 1)}, TypeError, ["'scale_factor'", "numbers"]),
    ({"scale_factor": 0.1}, ValueError, ["'scale_factor'", "0.1", "(4, 5)", "(0, 0)", "empty"]),
    ({"size": 3, "recompute_scale_factor": True}, ValueError, ["'recompute_scale_factor'", "'size'"]),
    ({"size": 3, "mode": "cubic"}, ValueError, ["'mode'", "'cubic'", "'bicubic'"]),
    ({"size": 3, "mode": "linear"}, ValueError, ["'mode'", "'linear'", "1 spatial axis", "has 2"]),
    ({"size": 3, "mode": "trilinear"}, ValueError, ["'mode'", "'trilinear'", "3 spatial axes", "has 2"]),
    ({"size": 3, "align_corners": True}, ValueError, ["'align_corners'", "True", "'nearest'", "'bilinear'"]),
    ({"size": 3, "mode": "area", "align_corners": False}, ValueError, ["'align_corners'", "False", "'area'"]),
    ({"size": 3, "antialias": True}, ValueError, ["'antialias'", "'nearest'", "'bicubic'"]),
    ({"size": 3, "layout": "NWC"}, ValueError, ["'layout'", "'NWC'", "4 axes"]),
    ({"size": 3, "x": (4, 5)}, ValueError, ["'input'", "2 axes", "at least 3"]),
    ({"size": 3, "x": (1, 1, 0, 5)}, ValueError, ["'input'", "(1, 1, 0, 5)", "empty"]),
    ({"size": 3, "x": (1,) * 6}, ValueError, ["'nearest'", "1 to 3 spatial axes", "has 4"]),
    ({"size": 3, "dtype": bool}, TypeError, ["'input'", "bool"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(case, error, parts):
    case = dict(case)
    with pytest.raises(error) as caught:
        nn.interpolate(np.zeros(case.pop("x", (1, 1, 4, 5)), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("interpolate: ")
    for part in parts:
        assert part in message


def test_every_axis_alone_is_its_matrix():
    for mode, align, antialias in itertools.product(["bilinear", "bicubic"], [False, True], [False, True]):
        for n, m in [(1, 4), (7, 3), (3, 7), (5, 5), (2, 1)]:
            eye = np.eye(n).reshape(n, 1, n, 1)
            columns = nn.interpolate(eye, (m, 1), mode=mode, align_corners=align, antialias=antialias).data[:, 0, :, 0]
            np.testing.assert_allclose(columns.T, matrix(mode, n, m, None, align, antialias), atol=1e-12)
