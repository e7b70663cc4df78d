"""Functions that reduce axes, or accumulate along one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import autograd_conv as ac

AXES = [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2), ()]
DIFFERENTIABLE = ["sum", "mean", "var", "std", "prod", "max", "min", "ptp"]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize(("axis", "keepdims"), list(itertools.product(AXES, [False, True])))
def test_reduction(agrees, rng, name, axis, keepdims):
    x = rng.standard_normal((3, 4, 2))
    derivatives = 2 if axis in (None, 1, (0, 2)) else 1
    agrees(getattr(ac, name), getattr(np, name), x, derivatives=derivatives, rtol=1e-10, axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("name", DIFFERENTIABLE[:3] + ["prod", "max", "min", "logsumexp"])
def test_reduction_of_a_number(rng, name):
    x = rng.standard_normal(())
    ac.testing.check_vjp(getattr(ac, name), np.asarray(x))
    assert getattr(ac, name)(x).shape == ()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
@pytest.mark.parametrize("name", ["sum", "prod", "logsumexp"])
def test_reduction_of_nothing(name, shape):
    neutral = {"sum": 0.0, "prod": 1.0, "logsumexp": -np.inf}[name]
    for axis in (None, *range(len(shape))):
        x = ac.tensor(np.ones(shape), requires_grad=True)
        y = getattr(ac, name)(x, axis=axis)
        assert y.shape == np.ones(shape).sum(axis).shape
        assert (y.numpy() == neutral).all()
        y.backward(np.ones(y.shape))
        assert x.grad.shape == shape


def test_mean_of_nothing_is_nan_with_a_warning():
    x = ac.tensor(np.ones((0, 2)), requires_grad=True)
    with pytest.warns(RuntimeWarning, match=r"empty|invalid"):
        y = x.mean(axis=0)
    assert np.isnan(y.numpy()).all()
    y.sum().backward()
    assert x.grad.shape == (0, 2)


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("ddof", [0, 1, 1.5])
def test_spread_with_ddof(agrees, rng, name, ddof):
    x = rng.standard_normal((4, 3))
    agrees(getattr(ac, name), getattr(np, name), x, rtol=1e-10, axis=0, ddof=ddof)
    corrected = getattr(ac, name)(x, axis=0, correction=ddof)
    np.testing.assert_array_equal(corrected.numpy(), getattr(ac, name)(x, axis=0, ddof=ddof).numpy())


def test_spread_refuses_two_corrections():
    with pytest.raises(ValueError, match=r"ddof=1 and correction=2"):
        ac.var([1.0, 2.0], ddof=1, correction=2)


def test_std_without_spread_has_gradient_zero():
    x = ac.tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], requires_grad=True)
    (first,) = ac.grad(x.std(axis=1).sum(), x, create_graph=True)
    assert (first.numpy()[0] == 0).all()
    np.testing.assert_allclose(first.numpy()[1], np.array([-1, 0, 1]) / (3 * np.std([1, 2, 3])))
    (second,) = ac.grad((first * first).sum(), x)
    assert np.isfinite(second.numpy()).all()


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_prod_is_exact_with_zeros(rng, zeros, n):
    x = rng.uniform(0.5, 2, n)
    x[rng.permutation(n)[:zeros]] = 0
    ac.testing.check_vjp(ac.prod, x, order=3)
    ac.testing.check_vjp(ac.cumprod, x, order=3)
    t = ac.tensor(x, requires_grad=True)
    t.prod().backward()
    others = [np.prod(np.delete(x, k)) for k in range(n)]
    np.testing.assert_allclose(t.grad, others, rtol=1e-14)


def test_prod_with_zeros_along_axes(rng):
    x = rng.standard_normal((3, 4, 2))
    x[0, 1] = x[2, 1, 0] = 0
    for axis in (0, 1, (0, 2), (2, 0), None):
        ac.testing.check_vjp(ac.prod, x, axis=axis)


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_split_evenly(name):
    x = ac.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    getattr(ac, name)(x, axis=1).backward([1.0, 6.0])
    first = [0, 0.5, 0.5] if name == "max" else [1, 0, 0]
    np.testing.assert_array_equal(x.grad, [first, [2, 2, 2]])


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_is_the_extreme(name):
    x = ac.tensor([[1.0, np.nan, 3.0], [1.0, 2.0, 4.0]], requires_grad=True)
    y = getattr(x, name)(axis=1)
    assert np.isnan(y.numpy()[0])
    assert np.isfinite(y.numpy()[1])
    y.backward([1.0, 1.0])
    np.testing.assert_array_equal(x.grad[0], [0, 1, 0])


def test_extreme_with_initial_and_where(rng):
    x = rng.standard_normal((3, 4))
    mask = rng.random((3, 4)) < 0.5
    for axis in (None, 0, 1):
        settings = {"axis": axis, "initial": 0.1, "where": mask}
        np.testing.assert_array_equal(ac.max(x, **settings).numpy(), np.max(x, **settings))
        np.testing.assert_array_equal(np.min(ac.tensor(x), **settings), np.min(x, **settings))
        ac.testing.check_vjp(ac.max, x, **settings)
    assert ac.max([], initial=2.0).item() == 2


def test_sums_with_initial_where_and_dtype(rng):
    x = rng.standard_normal((3, 4))
    mask = rng.random(4) < 0.6
    for name in ("sum", "prod"):
        for settings in ({"initial": 2.0}, {"where": mask}, {"axis": 1, "where": mask, "initial": 3.0}):
            np.testing.assert_allclose(getattr(ac, name)(x, **settings).numpy(), getattr(np, name)(x, **settings))
            ac.testing.check_vjp(getattr(ac, name), x, **settings)
    np.testing.assert_allclose(ac.mean(x, axis=0, where=mask[:3, None]), np.mean(x, axis=0, where=mask[:3, None]))
    assert ac.sum(np.ones(3, np.float32), dtype=np.float64).dtype == np.float64
    assert ac.sum(np.ones(3, np.int8)).dtype == np.sum(np.ones(3, np.int8)).dtype
    assert ac.sum([True, True]).item() == 2


def test_where_keeps_nan_out_of_the_gradient():
    x = ac.tensor([1.0, np.nan, np.inf], requires_grad=True)
    ac.sum(x, where=[True, False, False]).backward()
    np.testing.assert_array_equal(x.grad, [1, 0, 0])
    y = ac.tensor([1.0, np.nan], requires_grad=True)
    total = np.nansum(y)
    assert total.item() == 1
    total.backward()
    np.testing.assert_array_equal(y.grad, [1, 0])


def test_out_is_a_tensor():
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    out = ac.zeros(())
    result = np.sum(x, out=out)
    assert result is out
    assert out.item() == 3
    out.backward()
    np.testing.assert_array_equal(x.grad, [1, 1])


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum, np.logical_or, np.logical_and])
def test_reduce_of_ufuncs(rng, ufunc):
    x = rng.standard_normal((3, 4))
    for settings in ({}, {"axis": 1}, {"axis": None}, {"axis": (0, 1), "keepdims": True}):
        result = ufunc.reduce(ac.tensor(x), **settings)
        assert isinstance(result, ac.Tensor)
        np.testing.assert_allclose(result.numpy(), ufunc.reduce(x, **settings))
    if ufunc in (np.add, np.multiply):
        for settings in ({}, {"axis": 1}):
            result = ufunc.accumulate(ac.tensor(x), **settings)
            np.testing.assert_allclose(result.numpy(), ufunc.accumulate(x, **settings))


@pytest.mark.parametrize("name", ["all", "any", "argmax", "argmin", "count_nonzero"])
def test_answers_without_derivative(rng, name):
    x = np.round(rng.standard_normal((3, 4)))
    x[0] = 0
    for settings in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
        for result in (
            getattr(ac, name)(x, **settings),
            getattr(np, name)(ac.tensor(x, requires_grad=True), **settings),
        ):
            expected = np.asarray(getattr(np, name)(x, **settings))
            assert isinstance(result, ac.Tensor)
            assert not result.requires_grad
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_cumulative(agrees, rng, name, axis):
    for shape in ((3, 4), (1, 3), (0, 2)):
        agrees(getattr(ac, name), getattr(np, name), rng.standard_normal(shape), axis=axis)


def test_cumulative_by_the_array_api(rng):
    x = rng.standard_normal((3, 4))
    for name, start in (("cumulative_sum", 0), ("cumulative_prod", 1)):
        function = getattr(ac, name)
        plain = getattr(np, "cumsum" if start == 0 else "cumprod")(x, 1)
        np.testing.assert_allclose(function(x, axis=1).numpy(), plain)
        longer = function(x, axis=1, include_initial=True).numpy()
        np.testing.assert_allclose(longer, np.concatenate([np.full((3, 1), start), plain], 1))
        ac.testing.check_vjp(function, x, axis=-1, include_initial=True)
        with pytest.raises(ValueError, match=rf"{name}: x has shape \(3, 4\)"):
            function(x)


@pytest.mark.parametrize(("n", "axis"), [(0, 0), (1, 0), (2, -1), (5, 0)])
def test_diff(agrees, rng, n, axis):
    agrees(ac.diff, np.diff, rng.standard_normal((3, 4)), n=n, axis=axis)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp(agrees, rng, axis, keepdims):
    def reference(x, **settings):
        return np.log(np.sum(np.exp(x), **settings))

    x = rng.standard_normal((3, 4))
    agrees(ac.logsumexp, reference, x, by_name=False, axis=axis, keepdims=keepdims)


def test_logsumexp_is_stable():
    x = ac.tensor([[1000.0, 1000.0], [-1000.0, -1001.0], [-np.inf, 0.0], [-np.inf, -np.inf]], requires_grad=True)
    y = ac.logsumexp(x, axis=1)
    np.testing.assert_allclose(y.numpy(), [1000 + np.log(2), -1000 + np.log1p(np.exp(-1)), 0, -np.inf], rtol=1e-15)
    (first,) = ac.grad(y, x, np.ones(4), create_graph=True)
    softmax = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(first.numpy(), [[0.5, 0.5], [softmax, 1 - softmax], [0, 1], [0, 0]])
    (second,) = ac.grad(first[:, 0].sum(), x)
    assert not np.isnan(second.numpy()).any()
    assert ac.logsumexp(ac.tensor([np.inf, 1.0])).item() == np.inf
    assert np.isnan(ac.logsumexp([np.nan, 1.0]).item())
    assert ac.logsumexp([1, 2]).dtype == np.float64


def test_average(agrees, rng):
    x, w = rng.random((3, 4)), rng.random((3, 4)) + 0.5
    agrees(lambda a: ac.average(a, axis=0), lambda a: np.average(a, axis=0), x)
    agrees(lambda a, b: ac.average(a, 1, b), lambda a, b: np.average(a, 1, b), x, w)
    agrees(lambda a, b: ac.average(a, 0, b), lambda a, b: np.average(a, 0, b), x, w[:, 0].copy())
    _, total = ac.average(x, 0, w[:, 0], returned=True)
    np.testing.assert_allclose(total.numpy(), np.full(4, w[:, 0].sum()))
    with pytest.raises(TypeError, match="average: weights"):  # as NumPy's
        ac.average(x, None, w[0])
    with pytest.raises(ValueError, match="average: weights"):
        ac.average(x, 1, w[:2, 0])
    with pytest.raises(ZeroDivisionError, match="average: the weights"):
        ac.average(x, 1, [1.0, -1.0, 0.0, 0.0])


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
@pytest.mark.parametrize("shape", [(3, 4, 2), (4, 3, 5)])
def test_median(agrees, rng, shape, axis):
    agrees(ac.median, np.median, rng.standard_normal(shape), axis=axis, keepdims=True)


def test_median_of_nan():
    x = ac.tensor([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]], requires_grad=True)
    y = np.median(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), [np.nan, 2])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_sort(agrees, rng, axis):
    agrees(ac.sort, np.sort, rng.permutation(np.arange(12.0)).reshape(3, 4), axis=axis)
    x = rng.integers(0, 3, (3, 4))
    np.testing.assert_array_equal(ac.argsort(x, axis, stable=True), np.argsort(x, axis, kind="stable"))


def test_searchsorted():
    edges = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    np.testing.assert_array_equal(np.searchsorted(edges, [0.5, 2.0, 4.0]), [0, 1, 3])
    np.testing.assert_array_equal(ac.searchsorted(edges, 2.0, "right"), 2)


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "all", "argmax"])
def test_axis_that_is_not_there(name):
    function = "max" if name == "ptp" else name
    with pytest.raises(np.exceptions.AxisError) as caught:
        getattr(ac, name)(np.ones((2, 3)), axis=2)
    assert function in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))


def test_extreme_of_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"max\(x: float64 \(0,\)\)"):
        ac.max([])
