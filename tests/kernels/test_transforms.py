"""Minimal filtering: the matrices are exact, and the emitted code multiplies by them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from autograd_conv.kernels.emitter import lanes
from autograd_conv.kernels.jit import kernel
from autograd_conv.kernels.transforms import Minimal, kernel_gradient_transform, kernel_transform, transform

ALGORITHMS = [
    Minimal(4, 3),
    Minimal(2, 5),
    Minimal(2, 3, "stride 2"),
    Minimal(4, 3, "gaps"),
    Minimal(4, 3, "gaps after"),
    Minimal(4, 3, "stride 2"),
    Minimal(3, 2),
    Minimal(1, 1),
]


def matrices(minimal):
    return {
        role: np.array(minimal.matrix(role), dtype=object)
        for role in ("input", "kernel", "output", "output_gradient", "kernel_gradient")
    }


def tensor_of_coefficients(minimal):
    """T[i, k, j]: what ``y[i]`` gets of ``g[k] * d[j]``: 1 where ``d[j]`` is the number at ``i + k``, by definition."""
    step = 2 if minimal.kind == "stride 2" else 1
    read = range(minimal.inputs)  # where the numbers are that are read
    if minimal.kind.startswith("gaps"):
        read = range(0 if minimal.kind == "gaps after" else 1, 2 * minimal.inputs + 1, 2)
    shape = (minimal.outputs, minimal.taps, minimal.inputs)
    expected = np.full(shape, Fraction(0), dtype=object)
    for i in range(minimal.outputs):
        for k in range(minimal.taps):
            if i * step + k in read:
                expected[i, k, read.index(i * step + k)] = Fraction(1)
    return expected


@pytest.mark.parametrize("minimal", ALGORITHMS, ids=str)
def test_the_matrices_compute_the_definition_exactly(minimal):
    m = matrices(minimal)
    assert m["input"].shape == (minimal.points, minimal.inputs)
    expected = tensor_of_coefficients(minimal)
    found = np.einsum("ip,pk,pj->ikj", m["output"], m["kernel"], m["input"])
    assert (found == expected).all()
    if minimal.kind == "plain":
        assert minimal.points == minimal.inputs
    gradient = np.einsum("kp,pi,pj->ikj", m["kernel_gradient"], m["output_gradient"], m["input"])
    assert (gradient == expected).all()


def test_matrices_for_input_and_output_are_exact_in_float32():
    for minimal in ALGORITHMS:
        for role in ("input", "output", "output_gradient"):
            assert all(Fraction(float(np.float32(float(a)))) == a for row in minimal.matrix(role) for a in row)


def addresses(arrays):
    return np.array([a.ctypes.data for a in arrays], np.int64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("minimal", ALGORITHMS[:5], ids=str)
@pytest.mark.parametrize("role", ["input", "kernel", "output_gradient"])
def test_transforms_that_gather(minimal, role, dtype, rng):
    itemsize = np.dtype(dtype).itemsize
    code, length = transform(minimal, role, itemsize), lanes(itemsize)

    @kernel
    def call(table, skip, columns, target, distance):
        code(table, skip, columns, target, distance)

    matrix = matrices(minimal)[role].astype(float)
    points, side = matrix.shape
    source = rng.standard_normal((side * side, 3 + length)).astype(dtype)
    table = addresses(source)
    for columns in (1, length):
        target = np.full((points * points, length + 2), np.nan, dtype)
        call(table.ctypes.data, 3, columns, target.ctypes.data, length + 2)
        right = np.einsum("pi,ijl,qj->pql", matrix, source[:, 3:].reshape(side, side, length).astype(float), matrix)
        right[..., columns:] = 0
        np.testing.assert_allclose(
            target[:, :length].reshape(right.shape), right, rtol=0, atol=60 * np.finfo(dtype).eps
        )
        assert np.isnan(target[:, length:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("minimal", ALGORITHMS[:5], ids=str)
@pytest.mark.parametrize("role", ["output", "kernel_gradient"])
def test_transforms_that_scatter(minimal, role, dtype, rng):
    itemsize = np.dtype(dtype).itemsize
    code, length = transform(minimal, role, itemsize), lanes(itemsize)

    @kernel
    def call(source, distance, table, skip, columns, start, check):
        code(source, distance, table, skip, columns, start, check)

    matrix = matrices(minimal)[role].astype(float)
    results, points = matrix.shape
    source = rng.standard_normal((points * points, length)).astype(dtype)
    start = rng.standard_normal(length).astype(dtype)
    for columns in (1, length - 1):
        target = np.full((results * results, 2 + length), np.nan, dtype)
        table = addresses(target)
        check = np.zeros(length, dtype)
        call(source.ctypes.data, length, table.ctypes.data, 2, columns, start.ctypes.data, check.ctypes.data)
        assert not check.any()
        right = (
            np.einsum("ip,pql,jq->ijl", matrix, source.reshape(points, points, length).astype(float), matrix) + start
        )
        found = target[:, 2 : 2 + columns].reshape(results, results, columns)
        np.testing.assert_allclose(found, right[..., :columns], rtol=0, atol=400 * np.finfo(dtype).eps)
        assert np.isnan(target[:, 2 + columns :]).all()
        assert np.isnan(target[:, :2]).all()
    source[0, 0] = np.inf
    call(source.ctypes.data, length, table.ctypes.data, 2, 1, start.ctypes.data, check.ctypes.data)
    assert np.isnan(check).tolist() == [True] + [False] * (length - 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("minimal", ALGORITHMS[:5], ids=str)
@pytest.mark.parametrize("backwards", [0, 1])
def test_transforms_of_kernels_whose_taps_lie_together(minimal, dtype, backwards, rng):
    itemsize = np.dtype(dtype).itemsize
    code, length = kernel_transform(minimal, itemsize), lanes(itemsize)

    @kernel
    def call(table, skip, backwards, target, distance):
        code(table, skip, backwards, target, distance)

    matrix = matrices(minimal)["kernel"].astype(float)
    points, side = matrix.shape
    source = rng.standard_normal((length, 2 + side * side)).astype(dtype)
    target = np.empty((points * points, length), dtype)
    table = addresses(source)
    call(table.ctypes.data, 2, backwards, target.ctypes.data, length)
    taps = source[:, 2:][:, :: -1 if backwards else 1].reshape(length, side, side).astype(float)
    right = np.einsum("pi,lij,qj->pql", matrix, taps, matrix)
    np.testing.assert_allclose(target.reshape(right.shape), right, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("minimal", ALGORITHMS[:5], ids=str)
def test_transforms_to_kernels_whose_taps_lie_together(minimal, dtype, rng):
    itemsize = np.dtype(dtype).itemsize
    code, length = kernel_gradient_transform(minimal, itemsize), lanes(itemsize)

    @kernel
    def call(source, distance, table, skip, check):
        code(source, distance, table, skip, check)

    matrix = matrices(minimal)["kernel_gradient"].astype(float)
    taps, points = matrix.shape
    source = rng.standard_normal((points * points, length)).astype(dtype)
    target = np.full((length, 1 + taps * taps + length), np.nan, dtype)
    table, check = addresses(target), np.zeros(length, dtype)
    call(source.ctypes.data, length, table.ctypes.data, 1, check.ctypes.data)
    right = np.einsum("ip,pql,jq->lij", matrix, source.reshape(points, points, length).astype(float), matrix)
    found = target[:, 1 : 1 + taps * taps].reshape(right.shape)
    np.testing.assert_allclose(found, right, rtol=0, atol=400 * np.finfo(dtype).eps)
    assert np.isnan(target[:, 0]).all()
    assert np.isnan(target[:, 1 + taps * taps :]).all()
    assert not check.any()
