"""The kernels below unfolding, resizing and sampling, called with plain arrays: transposes, checks, tables."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from autograd_conv.kernels import columns, resampling, sampling, tables
from autograd_conv.kernels.geometry import Window


def dense(table):
    """A table as a matrix."""
    matrix = np.zeros((table.out, table.size))
    for i in range(table.out):
        for k in range(table.starts[i], table.starts[i + 1]):
            matrix[i, table.places[k]] += table.weights[k]
    return matrix


MAPS = {
    "emptied": tables.AxisMap.of(3, np.zeros((2, 2), int), np.zeros((2, 2))),
    "repeated": tables.AxisMap.of(3, np.array([[2], [2], [0]]), np.ones((3, 1))),
    "window": tables.window_map(5, 2, 1),
    "nearest": tables.nearest_map(5, 13, None, False, True),
    "linear": tables.linear_map(5, 13, None, False),
    "cubic": tables.cubic_map(5, 3, None, True),
    "antialias": tables.antialias_map(9, 2, None, False, True),
    "area": tables.area_map(7, 3),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_and_its_transpose(rng, name):
    forward, backward = MAPS[name]
    matrix = dense(forward)
    np.testing.assert_array_equal(dense(backward), matrix.T)
    np.testing.assert_array_equal(dense(backward.transposed()), matrix)
    assert MAPS[name].transposed.transposed == MAPS[name]
    assert (forward.weights != 0).all()
    for axis, shape in enumerate([(forward.size, 3, 2), (2, forward.size, 3), (2, 3, forward.size)]):
        x = rng.standard_normal(shape)
        for array in (x, np.asfortranarray(x)):
            y = resampling.apply_tables(array, [(axis, forward)])
            expected = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
            np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_weights_add_up_to_one(size):
    for out, align in itertools.product([1, 2, 5, 9], [False, True]):
        for axis_map in (
            tables.linear_map(size, out, None, align),
            tables.cubic_map(size, out, None, align),
            tables.antialias_map(size, out, None, align, False),
            tables.antialias_map(size, out, None, align, True),
            tables.area_map(size, out),
        ):
            np.testing.assert_allclose(dense(axis_map.forward).sum(axis=1), 1, rtol=1e-12)


def test_factors_that_lead_far_beyond_the_ends():
    for factor in (1e-5, 1e5):
        for axis_map in (tables.linear_map(3, 4, factor, False), tables.cubic_map(3, 4, factor, False)):
            np.testing.assert_allclose(dense(axis_map.forward).sum(axis=1), 1, rtol=1e-12)
        assert dense(tables.nearest_map(3, 4, factor, False, False).forward).sum() == 4


def test_no_steps_make_a_copy():
    x = np.ones((2, 3))
    y = resampling.apply_tables(x, [])
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, y)


def test_columns_say_what_does_not_fit():
    window = Window.of("unfold", (4, 5), 2)
    with pytest.raises(ValueError, match=r"unfold_windows: x must have shape \(P, 1, 4, 5, Q\), got \(1, 1, 4, 4, 1\)"):
        columns.unfold_windows(np.zeros((1, 1, 4, 4, 1)), window, True)
    with pytest.raises(ValueError, match=r"fold_windows: cols must have shape \(P, 4, 12, Q\), got \(1, 12, 4, 1\)"):
        columns.fold_windows(np.zeros((1, 12, 4, 1)), window, True)
    with pytest.raises(TypeError, match=r"unfold_windows: .*complex128"):
        columns.unfold_windows(np.zeros((1, 1, 4, 5, 1), complex), window, True)


def test_tables_say_what_does_not_fit():
    with pytest.raises(ValueError, match="apply_tables: axis 1 has length 3, its table is for 5"):
        resampling.apply_tables(np.zeros((2, 3)), [(1, MAPS["linear"].forward)])
    with pytest.raises(TypeError, match=r"apply_tables: .*bool"):
        resampling.apply_tables(np.zeros((2, 5), bool), [(1, MAPS["linear"].forward)])


def test_sampling_says_what_does_not_fit():
    x, points = np.zeros((1, 1, 2, 2, 3)), np.zeros((1, 4, 3))
    with pytest.raises(TypeError, match=r"sample: .* both be float32 or both float64, got float64 and float32"):
        sampling.sample(x, points.astype(np.float32), 2, "linear", "zeros")
    with pytest.raises(ValueError, match=r"sample: points must have shape \(1, 4, 3\), got \(2, 4, 3\)"):
        sampling.sample(x, np.zeros((2, 4, 3)), 2, "linear", "zeros")
    with pytest.raises(ValueError, match=r"splat: mode must be one of .* got 'area' and 'zeros'"):
        sampling.splat(np.zeros((1, 4, 3)), points, (1, 2, 2), 2, "area", "zeros")


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("border", sampling.BORDERS)
def test_sample_and_splat_of_every_order(rng, mode, border):
    """Transposes of each other; and each order is the slope of the one before it."""
    x = rng.standard_normal((2, 1, 4, 3, 35))
    points = np.concatenate([np.zeros((2, 6, 1)), rng.uniform(-2, 5, (2, 6, 2))], axis=2)
    g = rng.standard_normal((2, 6, 35))
    step = 1e-6

    def read(points, orders):
        return sampling.sample(x, points, 2, mode, border, orders)

    for orders in itertools.product([0], range(3), range(3)):
        y = read(points, orders)
        gx = sampling.splat(g, points, (1, 4, 3), 2, mode, border, orders)
        assert np.vdot(y, g) == pytest.approx(np.vdot(x, gx), rel=1e-9, abs=1e-9)
        for axis in (1, 2):
            move = step * np.eye(3)[axis]
            slope = (read(points + move, orders) - read(points - move, orders)) / (2 * step)
            derived = tuple(o + (a == axis) for a, o in enumerate(orders))
            np.testing.assert_allclose(read(points, derived), slope, rtol=1e-5, atol=1e-6)
