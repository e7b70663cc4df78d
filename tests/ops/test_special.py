"""Special functions against SciPy, where installed, closed forms, and central differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import special

RNG = np.random.default_rng(0)
WIDE = np.concatenate(
    [
        RNG.standard_normal(300) * 4,
        RNG.standard_normal(100) * 60,
        10.0 ** RNG.uniform(-200, 8, 100),
        -(10.0 ** RNG.uniform(-200, 3, 60)),
        [0.0, -0.0, np.inf, np.nan, 1, 2, 3, 0.5],
    ]
)
UNIT = np.concatenate(
    [RNG.uniform(0, 1, 200), 10.0 ** RNG.uniform(-250, 0, 50), 1 - 10.0 ** RNG.uniform(-15, -1, 50), [0, 1]]
)

CASES = {
    "erf": WIDE, "erfc": WIDE, "gammaln": WIDE, "digamma": WIDE, "psi": WIDE, "expit": WIDE, "log_expit": WIDE,
    "ndtr": WIDE, "log_ndtr": WIDE[np.abs(WIDE) < 1e150], "gamma": WIDE[np.abs(WIDE) < 60], "gammasgn": WIDE,
    "erfinv": np.concatenate([UNIT, -UNIT, [1.5, np.nan]]), "erfcinv": np.concatenate([2 * UNIT, [-1]]),
    "ndtri": UNIT, "logit": UNIT, "entr": np.concatenate([UNIT, WIDE]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_scipy(name):
    scipy_special = pytest.importorskip("scipy.special")
    x = CASES[name]
    with np.errstate(all="ignore"):
        ours, theirs = getattr(special, name)(x).data, getattr(scipy_special, name)(x)
    np.testing.assert_allclose(ours, theirs, rtol=2e-11, atol=1e-300 if name != "digamma" else 1e-14)


def test_values_by_their_definitions():
    x = np.array([-2.5, -0.3, 0.0, 0.4, 3.0])
    np.testing.assert_allclose(special.erf(x).data, [math.erf(v) for v in x], rtol=1e-15)
    np.testing.assert_allclose(special.erf(special.erfinv(np.tanh(x))).data, np.tanh(x), rtol=1e-14, atol=1e-300)
    positive = np.array([0.1, 0.5, 1.0, 4.0, 30.0])
    np.testing.assert_allclose(special.gammaln(positive).data, [math.lgamma(v) for v in positive], atol=1e-14)
    # digamma(1) = -Euler's constant, and psi(x + 1) = psi(x) + 1/x.
    assert special.digamma(1.0).item() == pytest.approx(-0.5772156649015329, rel=1e-14)
    np.testing.assert_allclose(special.digamma(x + 1.1).data - special.digamma(x + 0.1).data, 1 / (x + 0.1), rtol=1e-12)
    assert special.polygamma(1, 1.0).item() == pytest.approx(math.pi**2 / 6, rel=1e-14)
    assert special.polygamma(1, 0.5).item() == pytest.approx(math.pi**2 / 2, rel=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 6])
def test_polygamma_on_both_sides_of_zero(n):
    scipy_special = pytest.importorskip("scipy.special")
    x = np.concatenate([RNG.uniform(0.01, 50, 100), -RNG.uniform(0.05, 20, 100), 10.0 ** RNG.uniform(-5, 10, 50)])
    np.testing.assert_allclose(special.polygamma(n, x).data, scipy_special.polygamma(n, x), rtol=2e-9)
    np.testing.assert_array_equal(special.polygamma(1, np.array([0.0, -3.0])).data, [np.inf, np.inf])
    assert np.isnan(special.digamma(-3.0).data)


POSITIVE = np.array([[0.2, 0.7, 1.3], [2.4, 5.0, 0.9]])


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (special.erf, (POSITIVE - 1,)),
        (special.erfc, (POSITIVE - 1,)),
        (special.erfinv, (np.tanh(POSITIVE - 1),)),
        (special.erfcinv, (POSITIVE / 4,)),
        (special.ndtr, (POSITIVE - 2,)),
        (special.ndtri, (POSITIVE / 6,)),
        (special.log_ndtr, (np.array([-40.0, -20.5, -19.5, -3.0, 0.5, 4.0]),)),
        (special.gammaln, (POSITIVE,)),
        (special.gammaln, (-POSITIVE - 0.05,)),
        (special.gamma, (POSITIVE,)),
        (special.digamma, (POSITIVE,)),
        (lambda x: special.polygamma(2, x), (POSITIVE,)),
        (special.beta, (POSITIVE, POSITIVE[0] + 0.3)),
        (special.betaln, (POSITIVE, POSITIVE[0] + 0.3)),
        (lambda x: special.multigammaln(x, 3), (POSITIVE + 1.5,)),
        (special.expit, (POSITIVE - 2,)),
        (special.log_expit, (POSITIVE - 2,)),
        (special.logit, (POSITIVE / 6,)),
        (special.xlogy, (POSITIVE, POSITIVE[0] + 0.1)),
        (special.xlogy, (np.zeros(2), np.array([0.5, 2.0]))),
        (special.xlog1py, (POSITIVE, POSITIVE[0])),
        (special.entr, (POSITIVE,)),
        (special.rel_entr, (POSITIVE, POSITIVE[0] + 0.2)),
        (special.kl_div, (POSITIVE, POSITIVE[0] + 0.2)),
        (special.logsumexp, (POSITIVE,)),
        (lambda x: special.logsumexp(x, axis=-1), (POSITIVE,)),
        (lambda x: special.logsumexp(x, axis=(0, 1), keepdims=True), (POSITIVE,)),
        (lambda x, b: special.logsumexp(x, axis=1, b=b), (POSITIVE, POSITIVE[0])),
        (lambda x, b: special.logsumexp(x, axis=0, b=b), (POSITIVE[0], POSITIVE)),
        (lambda x, b: special.logsumexp(x, b=b, return_sign=True)[0], (POSITIVE, -POSITIVE)),
        (special.softmax, (POSITIVE,)),
        (lambda x: special.softmax(x, axis=0), (POSITIVE,)),
        (lambda x: special.log_softmax(x, axis=-1), (POSITIVE,)),
    ],
)
def test_derivatives_of_first_and_second_order(function, args):
    ac.testing.check_vjp(function, *args, rtol=1e-4)


def test_sums_of_exponentials_at_the_edges():
    scipy_special = pytest.importorskip("scipy.special")
    for values in ([1000.0, 1000.0], [-1000.0, -1001.0], [-np.inf, -np.inf], [np.inf, 0.0], [-np.inf, 0.0]):
        assert special.logsumexp(values).item() == pytest.approx(scipy_special.logsumexp(values))
    x = ac.tensor([-np.inf, -np.inf], requires_grad=True)
    special.logsumexp(x).backward()
    np.testing.assert_array_equal(x.grad, [0, 0])
    assert special.logsumexp(np.zeros((0, 2)), axis=0).data.tolist() == [-np.inf, -np.inf]
    value, sign = special.logsumexp([1.0, 2.0], b=[1.0, -1.0], return_sign=True)
    expected = scipy_special.logsumexp([1.0, 2.0], b=[1.0, -1.0], return_sign=True)
    assert (value.item(), sign.item()) == pytest.approx(expected)


def test_entropies_at_zero():
    scipy_special = pytest.importorskip("scipy.special")
    x, y = np.meshgrid([-1.0, 0.0, 0.5, np.inf, np.nan], [-1.0, 0.0, 2.0, np.inf, np.nan])
    with np.errstate(all="ignore"):
        for name in ("rel_entr", "xlogy", "xlog1py"):
            np.testing.assert_array_equal(
                np.nan_to_num(getattr(special, name)(x, y).data, nan=7),
                np.nan_to_num(getattr(scipy_special, name)(x, y), nan=7),
                name,
            )
    a = ac.tensor([0.0, 0.0], requires_grad=True)
    b = ac.tensor([0.0, 2.0], requires_grad=True)
    special.xlogy(a, b).sum().backward()
    np.testing.assert_allclose(a.grad, [0, np.log(2)])
    np.testing.assert_array_equal(b.grad, [0, 0])


def test_dtypes_and_layouts():
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    for name in ("erf", "gammaln", "expit", "log_ndtr", "digamma", "softmax"):
        assert getattr(special, name)(np.abs(x)).dtype == np.float32
        np.testing.assert_array_equal(
            getattr(special, name)(np.abs(x).T[::-1]).data, getattr(special, name)(np.abs(x.T[::-1].copy())).data
        )
    assert special.erf(3).dtype == np.float64
    assert special.erf(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: special.erf(1j), TypeError, "erf: argument of dtype complex128"),
        (lambda: special.polygamma(-1, 1.0), ValueError, "'n' is -1"),
        (lambda: special.polygamma(1.5, 1.0), TypeError, "'n' is 1.5"),
        (lambda: special.multigammaln(0.5, 2), ValueError, r"above \(d - 1\) / 2"),
        (lambda: special.multigammaln(5.0, 0), ValueError, "'d' is 0"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
