"""Depthwise convolution and groups of a few channels: both memory orders, against nested loops."""

import numpy as np
import pytest
from autograd_conv.kernels import correlation, grouped, planes
from autograd_conv.kernels.geometry import Window

TOLERANCE = {"f": 2e-5, "d": 1e-12}

# N, C, H, W, O, kernel, stride, padding, dilation, G: widths below, at and above vectors and tiles.
CASES = [
    (2, 6, 9, 20, 6, (3, 3), (1, 1), (1, 1), (1, 1), 6),
    (1, 17, 8, 16, 17, (3, 3), (1, 1), (1, 1), (1, 1), 17),
    (1, 33, 5, 35, 33, (5, 5), (2, 2), (2, 2), (1, 1), 33),
    (2, 4, 11, 33, 4, (3, 3), (2, 2), (1, 1), (1, 1), 4),
    (1, 3, 13, 50, 3, (2, 3), (3, 3), (0, 1), (1, 1), 3),
    (1, 5, 12, 19, 5, (7, 7), (1, 1), (3, 3), (1, 1), 5),
    (1, 4, 14, 22, 4, (3, 3), (1, 2), (4, 2), (3, 2), 4),
    (1, 4, 7, 23, 4, (3, 3), (1, 1), (4, 5), (1, 1), 4),  # more padding than kernel: the gradient crops
    (1, 3, 3, 24, 3, (1, 9), (1, 1), (0, 4), (1, 1), 3),  # a row that no tile unrolls
    (1, 4, 1, 31, 4, (1, 3), (1, 1), (0, 1), (1, 1), 4),
    (2, 16, 6, 18, 16, (3, 3), (1, 1), (1, 1), (1, 1), 4),
    (1, 40, 6, 17, 40, (3, 3), (2, 1), (1, 1), (1, 2), 20),
    (1, 16, 5, 20, 16, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (1, 4, 8, 21, 12, (3, 3), (1, 1), (1, 1), (1, 1), 4),  # a multiplier
    (1, 12, 6, 18, 8, (3, 2), (1, 1), (1, 0), (1, 1), 4),
]


def _case(case, dtype, seed=0):
    batch, channels, height, width, outputs, kernel, stride, padding, dilation, groups = case
    window = Window.of("test", (height, width), kernel, stride, padding, dilation)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *window.size, channels)).astype(dtype)
    w = rng.standard_normal((*window.kernel, channels // groups, outputs)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    gy = rng.standard_normal((batch, *window.out, outputs)).astype(dtype)
    return window, x, w, b, gy, groups


def _order(array, first):
    """The same values, with channels first or last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 4, 1)), 1, 4) if first else array


def _three(window, x, w, b, gy, groups):
    return (
        correlation.correlate(x, w, b, window, groups),
        correlation.correlate_input_gradient(gy, w, window, groups),
        correlation.correlate_weight_gradient(x, gy, window, groups),
    )


@pytest.mark.parametrize("first", [True, False], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("case", CASES)
def test_against_nested_loops(oracle, case, dtype, first):
    window, x, w, b, gy, groups = _case(case, dtype)
    padding = tuple(zip(window.before, window.after))
    expected = oracle.all_three(x, w, b, gy, window.stride, padding, window.dilation, groups)
    actual = _three(window, _order(x, first), w, b, _order(gy, first), groups)
    for name, ours, theirs in zip(("y", "gx", "gw"), actual, expected):
        assert ours.dtype == dtype, name
        scale = max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name)


@pytest.mark.parametrize("groups", [8, 2])
def test_results_lie_in_memory_as_their_arguments_do(groups):
    window, x, w, _, gy, _ = _case((2, 8, 6, 20, 8, (3, 3), (1, 1), (1, 1), (1, 1), groups), "f")
    for first in (True, False):
        y, gx, _ = _three(window, _order(x, first), w, None, _order(gy, first), groups)
        for result in (y, gx):
            assert (np.moveaxis(result, 4, 1) if first else result).flags.c_contiguous


@pytest.mark.parametrize("first", [True, False], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "w", "gy"])
def test_padding_is_not_multiplied_and_special_values_get_through(oracle, where, value, first):
    window, x, w, b, gy, groups = _case((1, 4, 5, 19, 4, (3, 3), (1, 1), (1, 1), (1, 1), 4), "d")
    arrays = {"x": x, "w": w, "gy": gy}
    arrays[where][tuple(0 for _ in range(4)) + (1,)] = value  # a corner
    arrays[where][tuple(n - 1 for n in arrays[where].shape)] = value
    padding = tuple(zip(window.before, window.after))
    with np.errstate(invalid="ignore"):
        expected = oracle.all_three(x, w, b, gy, window.stride, padding, window.dilation, groups)
    actual = _three(window, _order(x, first), w, b, _order(gy, first), groups)
    for name, ours, theirs in zip(("y", "gx", "gw"), actual, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("first", [True, False], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[11]])
def test_bitwise_the_same_for_every_number_of_threads(eager_threads, case, first):
    window, x, w, b, gy, groups = _case(case, "f")
    arguments = window, _order(x, first), w, b, _order(gy, first), groups
    eager_threads.set_num_threads(1)
    expected = [result.tobytes() for result in _three(*arguments)]
    for threads in (2, 3):
        eager_threads.set_num_threads(threads)
        assert [result.tobytes() for result in _three(*arguments)] == expected


def test_which_cases_the_two_rooms_serve():
    window = Window.of("test", (8, 32), 3, 1, 1)
    assert planes.serves(window, 1, 1)
    assert planes.serves(window, 2, 6)
    assert not planes.serves(window, 64, 64)
    assert not planes.serves(Window.of("test", (3, 8, 32), 3, 1, 1), 1, 1)
    assert not planes.serves(Window.of("test", (32, 32), 9, 1, 4), 1, 1)
    assert grouped.serves(4, 1, 1, 8)
    assert not grouped.serves(4, 1, 1, 1)
    assert grouped.serves(4, 1, 2, 8)
    assert not grouped.serves(4, 1, 5, 8)
    assert not grouped.serves(4, 3, 3, 8)
