"""NumPy's functions that compute: a line for each case, its first and second derivatives included."""

from __future__ import annotations

import numpy as np
import pytest

_rng = np.random.default_rng(7)


def R(*shape):
    """Random numbers without two that are equal, away from integers, zeros and halves."""
    count = int(np.prod(shape))
    steps = _rng.permutation(count) - count // 2
    return (0.5 * steps / max(1, count // 8) + _rng.uniform(0.13, 0.17, count)).reshape(shape)


def P(*shape):
    """Positive numbers."""
    return np.abs(R(*shape)) + 0.4


def N(*shape):
    """With some NaN, but not in all places of any row or column."""
    x = R(*shape)
    x.reshape(-1)[::5] = np.nan
    return x


def case(name, *args, order=2, rtol=1e-12, integers=True, **settings):
    label = ",".join([str(getattr(a, "shape", a)) for a in args] + [f"{k}={v}" for k, v in settings.items()])
    return pytest.param(name, args, settings, order, rtol, integers, id=f"{name}({label[:60]})")


AXES = (None, 0, 1, -1, (0, 2), (-1, 0))
MASK = np.array([[True, False, True, True], [True, True, False, True], [False, True, True, True]])

REDUCTIONS = [
    *[
        case(f, R(2, 3, 2), axis=axis, keepdims=keep)
        for f in ("sum", "mean", "prod", "max", "min", "ptp", "var", "std")
        for axis, keep in zip(AXES, (False, True) * 3)
    ],
    *[
        case(f, N(2, 5, 3), axis=axis, integers=False)
        for f in ("nansum", "nanprod", "nanmean", "nanmax", "nanmin")
        for axis in (None, 1, (0, 1), -2)
    ],
    *[
        case(f, N(2, 5, 3), axis=axis, ddof=1, integers=False)
        for f in ("nanvar", "nanstd")
        for axis in (None, 1, (0, 1))
    ],
    *[case(f, R(3, 4), where=MASK) for f in ("sum", "prod", "mean", "var", "std")],
    *[
        case(f, R(3, 4), axis=0, where=[[True], [False], [True]], keepdims=True)
        for f in ("sum", "prod", "mean", "var", "std")
    ],
    *[case(f, R(3, 4), axis=1, where=MASK, initial=bound) for f, bound in (("max", -9.0), ("min", 9.0))],
    *[case(f, R(3, 4), axis=1, initial=2.5, integers=False) for f in ("sum", "prod")],
    *[case(f, R(3), axis=0, initial=0.01, integers=False) for f in ("max", "min")],
    *[case(f, R(0, 3), axis=0) for f in ("sum", "prod")],
    *[case(f, R(0, 3), axis=1) for f in ("sum", "prod", "max", "mean", "var", "median")],
    *[case(f, R()) for f in ("sum", "prod", "mean", "max", "var", "median", "nansum", "nanmax", "nanmean")],
    case("sum", np.array([True, False])),
    case("mean", np.arange(6).reshape(2, 3), axis=1),
    case("sum", R(3, 2), dtype=np.float64),
    case("mean", R(3, 2), axis=0, dtype=np.float64),
    case("average", R(3, 4), axis=(0, 1), weights=P(3, 4)),
    case("average", R(3, 4, 2), axis=(2, 0), weights=P(2, 3)),
    case("average", R(3, 4), -1, P(4), returned=True),
    case("average", R(3, 4), 0, P(3, 4), keepdims=True),
    case("var", R(3, 4), axis=1, mean=np.zeros((3, 1)), integers=False),
    case("std", R(5), correction=1),
]

CUMULATIVE = [
    *[case(f, R(3, 4), axis=axis) for f in ("cumsum", "cumprod") for axis in (None, 0, -1)],
    *[case(f, N(3, 4), axis=axis, integers=False) for f in ("nancumsum", "nancumprod") for axis in (None, 0, 1)],
    *[case(f, R(3, 4), axis=1, include_initial=True) for f in ("cumulative_sum", "cumulative_prod")],
    *[case(f, R(2, 0), axis=1) for f in ("cumsum", "cumprod")],
    case("cumsum", R(), axis=None),
    case("cumsum", R(3), dtype=np.float64),
]

METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip

ORDER = [
    *[case("quantile", R(7), [0.0, 0.13, 0.5, 0.77, 1.0], method=method) for method in METHODS],
    *[case("nanquantile", N(4, 7), 0.3, axis=1, method=method, integers=False) for method in METHODS],
    *[case("percentile", R(3, 4, 2), [30, 60], axis=axis, keepdims=True) for axis in AXES],
    *[case("nanpercentile", N(3, 4, 2), 30.0, axis=axis, integers=False) for axis in (None, 1, (0, 2))],
    *[
        case(f, R(3, 4, 2), axis=axis, keepdims=keep)
        for f in ("median", "nanmedian")
        for axis in AXES
        for keep in (False, True)
    ],
    case("nanmedian", N(5, 4), axis=0, integers=False),
    case("quantile", R(), 0.5),
    case("quantile", R(3), [[0.2], [0.5]]),
    case("quantile", R(6), 0.4, method="inverted_cdf", weights=np.array([1.0, 2, 3, 1, 1, 2]), integers=False),
    case(
        "quantile",
        R(2, 3),
        0.4,
        axis=1,
        method="inverted_cdf",
        weights=np.array([[1.0, 2, 3], [1, 1, 2]]),
        integers=False,
    ),
    *[case("sort", R(3, 4), axis=axis) for axis in (None, 0, -1)],
    case("sort", R(0, 2)),
    case("sort", R(5), kind="stable"),
    *[case("partition", R(9), kth) for kth in (0, 4, -1, [2, 5])],
    case("partition", R(3, 5), 2, axis=None),
    case("unique", np.array([3.5, 1.25, 3.5, 2.0]), order=0),
    case("unique", np.array([[1.5, 2], [1.5, 2], [0, 1]]), axis=0, order=0),
    case("unique", R(2, 4)),
    case("unique", R(3, 2), axis=-1),
    case("unique", np.array([2.5, 1, 2.5]), True, True, True, order=0),
    case("unique_all", R(2, 3)),
    case("unique_counts", R(4)),
    case("unique_inverse", R(2, 3)),
    case("union1d", R(4), R(3)),
    case("setdiff1d", R(5), R(2)),
    case("setxor1d", R(3), R(3)),
    case(
        "intersect1d", np.array([1.5, 2.5, 3.5]), np.array([3.5, 9, 1.5]), return_indices=True, order=0, integers=False
    ),
    case("sort_complex", np.array([3, 1, 2])),
]

CALCULUS = [
    *[case("diff", R(3, 4), n, axis) for n in (0, 1, 2, 3) for axis in (0, -1)],
    case("diff", R(3, 4), 1, 1, 0.5, R(3, 2), integers=False),
    case("diff", R(3), prepend=np.array([1.0]), append=2.0, integers=False),
    case("diff", np.array([True, False, True])),
    case("ediff1d", R(2, 3)),
    case("ediff1d", R(4), R(2), R(1), integers=False),
    *[case("gradient", R(4, 5), edge_order=edge) for edge in (1, 2)],
    *[case("gradient", R(4, 5), axis=axis) for axis in (0, -1)],
    case("gradient", R(4, 5), 0.5, edge_order=2),
    case("gradient", R(4, 5), P(4).cumsum(), P(5).cumsum(), edge_order=2, integers=False),
    case("gradient", R(3, 4), 2.0, P(4).cumsum(), integers=False),
    case("gradient", R(5), P(5).cumsum(), edge_order=1, integers=False),
    *[case("trapezoid", R(3, 4), axis=axis) for axis in (0, -1)],
    case("trapezoid", R(3, 4), P(4).cumsum()),
    case("trapezoid", R(3, 4), P(3, 4).cumsum(0), axis=0),
    case("trapezoid", R(3, 4), None, 0.3),
    case("interp", R(3, 4), np.array([-2.0, -1.05, 0.05, 1.1, 2.3]), R(5), integers=False),
    case("interp", R(7) * 3, np.array([-1.0, -0.5, 0.75, 1.2]), R(4), -5.0, 7.0, integers=False),
    case("interp", R(6) * 4, np.array([2.7, 0.3, 1.9]), R(3), period=3.3, integers=False),
    case("interp", R(3), np.array([0.01]), R(1), integers=False),
    case("interp", 0.25, np.array([0.0, 1.0]), np.array([2.0, 5.0])),
    case("interp", np.array([-1.0, 0, 0.5, 1, 2]), np.array([0.0, 1]), R(2), order=0),
    case("unwrap", R(12) * 4),
    case("unwrap", R(3, 4) * 4, axis=0),
    case("unwrap", R(8) * 3, period=2.0, integers=False),
    *[case(f, R(5), R(3), mode) for f in ("convolve", "correlate") for mode in ("full", "same", "valid")],
    *[case(f, R(3), R(4), mode) for f in ("convolve", "correlate") for mode in ("full", "same", "valid")],
    *[case(f, R(4), R(2), mode) for f in ("convolve", "correlate") for mode in ("full", "same", "valid")],
    *[case(f, R(2), R(6), mode) for f in ("convolve", "correlate") for mode in ("full", "same", "valid")],
    case("cov", R(3, 5)),
    case("cov", R(5)),
    case("cov", R(2, 4), R(4), integers=False),
    case("cov", R(4, 2), rowvar=False, bias=True),
    case("cov", R(2, 4), ddof=0, fweights=np.array([1, 2, 1, 3])),
    case("cov", R(2, 4), aweights=P(4), integers=False),
    case("cov", R(2, 4), fweights=np.array([1, 2, 1, 3]), aweights=P(4), integers=False),
    case("corrcoef", R(3, 5), rtol=1e-9),
    case("corrcoef", R(2, 4), R(4), rtol=1e-9, integers=False),
    case("corrcoef", R(6)),
]

ELEMENTS = [
    *[
        case(f, x, integers=False)
        for f in ("sinc", "i0")
        for x in (R(3, 4), np.array([0.0, 1e-9, 0.5, -2.0, 7.0]), R(), R(0, 2))
    ],
    *[
        case(f, R(3, 4))
        for f in (
            "fix",
            "round",
            "around",
            "real",
            "imag",
            "angle",
            "nan_to_num",
            "real_if_close",
            "spacing",
            "modf",
            "frexp",
        )
    ],
    case("angle", R(4), deg=True),
    case("round", R(5) * 100, -1),
    case("round", R(5), decimals=2),
    case("nan_to_num", np.array([1.5, -2.5]), nan=3.0),
    case("divmod", R(3, 4), P(4)),
    case("divmod", R(2, 3), 0.7),
    case("ldexp", R(3, 2), np.array([2, -3])),
    case("frexp", np.array([0.3, 5.0, -7.0])),
    case("copysign", R(4), R(4)),
    case("heaviside", R(4), R(1)),
    case("clip", R(3, 4), -0.5, R(4), order=1),
    case("clip", R(4), None, 0.5),
    case("clip", R(4), -0.4, None),
    case("where", MASK, R(3, 4), R(4)),
    case("where", MASK, R(), 2.0),
    case("choose", np.array([[0, 2, 1], [1, 1, 0]]), [R(2, 3), R(3), R(2, 1)], integers=False),
    case("choose", np.array([0, 3, -1]), [R(3), R(3)], mode="wrap"),
    case("choose", np.array([0, 3, -1]), [R(3), R(3)], mode="clip"),
    case("select", [MASK, ~MASK[:1]], [R(3, 4), R(4)], 2.5, integers=False),
    case("select", [MASK[0], MASK[1]], [R(4), R(4)], integers=False),
    case("logaddexp", R(3, 1), R(4)),
    case("logaddexp2", R(3, 1), R(4)),
    case("float_power", P(3), R(3), integers=False),
]

PRODUCTS = [
    case("matvec", R(2, 3, 4), R(4)),
    case("matvec", R(3, 4), R(2, 4)),
    case("vecmat", R(3), R(2, 3, 4)),
    case("vecmat", R(2, 3), R(3, 4)),
    case("vecdot", R(2, 3), R(3)),
    case("vecdot", R(3, 2), R(3, 1), axis=0),
    case("cross", R(2, 3), R(3)),
    case("cross", R(3, 2), R(2, 3), 0, -1, 0),
    case("cross", R(3, 2), R(3, 2), axis=0),
    case("kron", R(2, 3), R(2)),
    case("outer", R(2, 2), R(3)),
    case("inner", R(2, 3), R(4, 3)),
    case("dot", R(2, 3), R(4, 3, 2)),
    case("vdot", R(2, 3), R(3, 2)),
    case("tensordot", R(2, 3, 4), R(4, 3), ([1, 2], [1, 0])),
    case("trace", R(3, 4), 1),
    case("einsum", "ij,jk,k->i", R(2, 3), R(3, 2), R(2)),
    case("einsum", "ii->i", R(3, 3)),
]

POLYNOMIALS = [
    *[case("vander", R(4), N, increasing) for N in (None, 3, 0) for increasing in (False, True)],
    case("polyval", R(4), R(2, 3)),
    case("polyval", R(3), R()),
    case("polyadd", R(3), R(2)),
    case("polysub", R(2), R(4)),
    case("polymul", R(3), R(2)),
    case("polydiv", R(2), R(3), integers=False),
    case("polyder", R(4)),
    case("polyder", R(4), 2),
    case("polyint", R(3)),
    case("polyint", R(3), 2, np.array([0.5, 2.0]), integers=False),
    case("polyint", R(3), 2, 0.5, integers=False),
    case("poly", R(3)),
    case("roots", np.array([1.5, -3.0, -1.7, 2.1]), rtol=1e-9, order=1, integers=False),
    case("polyfit", R(6), R(6), 2, rtol=1e-9, integers=False),
    case("polyfit", R(5), R(5, 2), 1, rtol=1e-9, integers=False),
    case("polyfit", R(6), R(6), 2, w=P(6), rtol=1e-9, integers=False),
]

HISTOGRAMS = [
    case("bincount", np.array([0, 2, 2, 5]), R(4)),
    case("histogram", np.array([0.3, 1.5, 2.0, 3.0]), [0, 1, 2, 3], weights=P(4), integers=False, order=0),
    case("histogram", R(20), 4, integers=False, order=0),
    case("histogram", R(20), density=True, integers=False, order=0),
    case("digitize", R(5), np.array([-1.0, 0.0, 1.0]), integers=False),
    case("histogram2d", R(9), R(9), 3, integers=False, order=0),
    case("histogramdd", R(9, 2), 2, integers=False, order=0),
    case("histogram_bin_edges", R(9), integers=False, order=0),
]


@pytest.mark.parametrize(
    ("name", "args", "settings", "order", "rtol", "integers"),
    [*REDUCTIONS, *CUMULATIVE, *ORDER, *CALCULUS, *ELEMENTS, *PRODUCTS, *POLYNOMIALS, *HISTOGRAMS],
)
def test_agrees_with_numpy(conforms, name, args, settings, order, rtol, integers):
    conforms(name, args, settings, order, rtol, integers)
