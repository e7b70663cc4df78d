"""Fourier transforms: values against NumPy, derivatives against central differences, gradients against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((2, 3, 4))
COMPLEX = REAL + 1j * RNG.standard_normal((2, 3, 4))

LINES = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
PLANES = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]
ONLY_REAL = ("rfft", "ihfft", "rfft2", "rfftn")


def arguments(name):
    return (REAL,) if name in ONLY_REAL else (REAL, COMPLEX)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("options", [{}, {"n": 3}, {"n": 7, "axis": 0}, {"axis": 1}, {"n": 1}, {"n": 5, "axis": -2}])
@pytest.mark.parametrize("name", LINES)
def test_along_one_axis(name, options, norm):
    for a in arguments(name):
        expected = getattr(np.fft, name)(a, norm=norm, **options)
        for function, x in ((getattr(ac.fft, name), a), (getattr(np.fft, name), ac.tensor(a))):
            result = function(x, norm=norm, **options)
            np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-12)
            assert result.dtype == expected.dtype
        ac.testing.check_vjp(lambda x: getattr(ac.fft, name)(x, norm=norm, **options), a, max_elements=12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axes": (0, 1)},
        {"axes": (2, 0), "norm": "ortho"},
        {"s": (2, 5), "axes": (-2, -1)},
        {"s": (4, -1), "axes": (0, 2)},
    ],
)
@pytest.mark.parametrize("name", PLANES)
def test_along_several_axes(name, options):
    for a in arguments(name):
        expected = getattr(np.fft, name)(a, **options)
        result = getattr(np.fft, name)(ac.tensor(a), **options)
        np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-12)
        ac.testing.check_vjp(lambda x: getattr(ac.fft, name)(x, **options), a, max_elements=12)


def test_shifts_and_frequencies():
    for axes in (None, 0, (1, 2), ()):
        for name in ("fftshift", "ifftshift"):
            expected = getattr(np.fft, name)(REAL, axes)
            np.testing.assert_array_equal(getattr(np.fft, name)(ac.tensor(REAL), axes).data, expected)
            ac.testing.check_vjp(lambda x, name=name, a=axes: getattr(ac.fft, name)(x, a), REAL, max_elements=8)
    np.testing.assert_array_equal(ac.fft.fftfreq(5, 0.1).data, np.fft.fftfreq(5, 0.1))
    np.testing.assert_array_equal(ac.fft.rfftfreq(6, d=2.0).data, np.fft.rfftfreq(6, 2.0))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("n", [None, 3, 6])
def test_gradients_are_those_of_pytorch(name, n):
    torch = pytest.importorskip("torch")
    a = arguments(name)[-1]
    x, t = ac.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    abs(getattr(ac.fft, name)(x, n) ** 3).sum().backward()
    abs(getattr(torch.fft, name)(t, n) ** 3).sum().backward()
    np.testing.assert_allclose(x.grad, t.grad.resolve_conj().numpy(), rtol=1e-9, atol=1e-9)


def test_round_trip_and_convolution_theorem():
    x, y = ac.tensor(REAL[0, 0], requires_grad=True), REAL[0, 1]
    cyclic = ac.fft.ifft(ac.fft.fft(x) * ac.fft.fft(y)).real
    np.testing.assert_allclose(cyclic.data, [sum(x.data[j] * y[(k - j) % 4] for j in range(4)) for k in range(4)])
    np.testing.assert_allclose(ac.fft.irfft(ac.fft.rfft(x)).data, x.data)


def test_single_precision_stays():
    x = ac.tensor(REAL.astype(np.float32), requires_grad=True)
    assert ac.fft.fft(x).dtype == np.complex64
    abs(ac.fft.rfft(x)).sum().backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ac.fft.fft(1.0), ValueError, "no axes"),
        (lambda: ac.fft.fft(REAL, n=0), ValueError, "0 points"),
        (lambda: ac.fft.fft(REAL, axis=3), np.exceptions.AxisError, "axis 3"),
        (lambda: ac.fft.fft(REAL, axis=0.5), TypeError, "'axis' is 0.5"),
        (lambda: ac.fft.fft(REAL, n=1.5), TypeError, "'n' is 1.5"),
        (lambda: ac.fft.fft(REAL, norm="none"), ValueError, "'none'"),
        (lambda: ac.fft.hfft(REAL, norm="none"), ValueError, "'none'"),
        (lambda: ac.fft.rfft(COMPLEX), TypeError, "complex128"),
        (lambda: ac.fft.fftn(REAL, s=(2,), axes=(0, 1)), ValueError, "different lengths"),
        (lambda: ac.fft.irfft(REAL[..., :1]), ValueError, "0 points"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
