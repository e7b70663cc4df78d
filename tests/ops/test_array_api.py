"""The Python Array API standard: what is in the namespace, and libraries written for it that take Tensors."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import autograd_conv as ac

# The standard's functions that take keywords of its own, with all of their keywords (2024.12).
KEYWORDS = {
    "all": "axis keepdims", "any": "axis keepdims", "arange": "stop step dtype device",
    "argmax": "axis keepdims", "argmin": "axis keepdims", "argsort": "axis descending stable",
    "asarray": "dtype device copy", "astype": "copy device", "clip": "min max", "concat": "axis",
    "count_nonzero": "axis keepdims", "cumulative_prod": "axis dtype include_initial",
    "cumulative_sum": "axis dtype include_initial", "diff": "axis n prepend append",
    "empty": "dtype device", "empty_like": "dtype device", "expand_dims": "axis", "eye": "k dtype device",
    "flip": "axis", "from_dlpack": "device copy", "full": "dtype device", "full_like": "dtype device",
    "linspace": "dtype device endpoint", "max": "axis keepdims", "mean": "axis keepdims",
    "meshgrid": "indexing", "min": "axis keepdims", "ones": "dtype device", "ones_like": "dtype device",
    "prod": "axis dtype keepdims", "repeat": "axis", "reshape": "copy", "roll": "axis",
    "searchsorted": "side sorter", "sort": "axis descending stable", "squeeze": "axis", "stack": "axis",
    "std": "axis correction keepdims", "sum": "axis dtype keepdims", "take": "axis",
    "take_along_axis": "axis", "tensordot": "axes", "tril": "k", "triu": "k", "unstack": "axis",
    "var": "axis correction keepdims", "vecdot": "axis", "zeros": "dtype device", "zeros_like": "dtype device",
}  # fmt: skip

NAMES = {
    "": (
        "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or "
        "bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to can_cast ceil clip conj copysign cos cosh "
        "divide e equal exp expm1 finfo floor floor_divide greater greater_equal hypot iinfo imag inf isdtype "
        "isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or "
        "logical_xor matmul matrix_transpose maximum minimum moveaxis multiply nan negative newaxis nextafter "
        "nonzero not_equal permute_dims pi positive pow real reciprocal remainder result_type round sign signbit "
        "sin sinh sqrt square subtract tan tanh tile trunc unique_all unique_counts unique_inverse unique_values "
        "where bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128 "
    ),
    "linalg": (
        "cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank "
        "matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm "
    ),
    "fft": ("fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn "),
}


def test_the_namespace_of_a_tensor_is_the_package():
    assert ac.tensor([1.0]).__array_namespace__() is ac
    assert ac.tensor([1.0]).__array_namespace__(api_version=ac.__array_api_version__) is ac
    with pytest.raises(ValueError, match="1999"):
        ac.tensor([1.0]).__array_namespace__(api_version="1999.12")


@pytest.mark.parametrize(("room", "name"), [(room, name) for room, names in NAMES.items() for name in names.split()])
def test_name(room, name):
    assert hasattr(getattr(ac, room) if room else ac, name)


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_stand_in_the_signature(name):
    parameters = inspect.signature(getattr(ac, name)).parameters
    missing = [keyword for keyword in KEYWORDS[name].split() if keyword not in parameters]
    assert not missing


CREATION = {
    "arange": (3.0,), "asarray": ([1.0, 2.0],), "empty": (3,), "empty_like": ([1.0],), "eye": (2,), "full": (2, 1.0),
    "full_like": ([1.0], 2.0), "linspace": (0.0, 1.0, 3), "ones": ((2, 2),), "ones_like": ([1.0],), "zeros": (2,),
    "zeros_like": ([1.0],),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATION)
def test_creation_on_a_device(name):
    function = getattr(ac, name)
    result = function(*CREATION[name], device="cpu", dtype=np.float32)
    expected = getattr(np, name)(*CREATION[name], dtype=np.float32)
    assert result.device == "cpu"
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    if not name.startswith("empty"):
        np.testing.assert_array_equal(result.numpy(), expected)
    with pytest.raises(ValueError, match=f"{name}.*'gpu'"):
        function(*CREATION[name], device="gpu")


def test_asarray_copies_or_not():
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    assert ac.asarray(x, copy=False) is x
    y = ac.asarray(x, copy=True)
    assert y is not x
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])
    with pytest.raises(ValueError, match="copy"):
        ac.asarray(x, dtype=np.float32, copy=False)
    with pytest.raises(ValueError, match="copy"):
        ac.asarray([1.0], copy=False)


def test_descending_order_is_stable():
    values = np.array([[2.0, 1.0, 2.0, 3.0], [0.0, 0.0, 5.0, 0.0]])
    x = ac.tensor(values, requires_grad=True)
    np.testing.assert_array_equal(ac.argsort(x, descending=True).numpy(), [[3, 0, 2, 1], [2, 0, 1, 3]])
    y = ac.sort(x, descending=True, axis=0)
    np.testing.assert_array_equal(y.numpy(), -np.sort(-values, axis=0))
    g = np.arange(8.0).reshape(2, 4)
    y.backward(g)
    expected = np.zeros_like(values)
    np.put_along_axis(expected, np.argsort(-values, axis=0, kind="stable"), g, axis=0)
    np.testing.assert_array_equal(x.grad, expected)


def test_bounds_of_clip_by_any_name():
    x = ac.tensor([1.0, 2.0, 3.0])
    for result in (ac.clip(x, 1.5, 2.5), ac.clip(x, min=1.5, max=2.5), ac.clip(a=x, a_min=1.5, a_max=2.5)):
        np.testing.assert_array_equal(result.numpy(), [1.5, 2.0, 2.5])
    np.testing.assert_array_equal(np.clip(x, a_min=None, a_max=2.5).numpy(), [1.0, 2.0, 2.5])


def test_namespace_info():
    info = ac.__array_namespace_info__()
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.capabilities()["boolean indexing"]
    assert info.capabilities()["data-dependent shapes"]
    assert info.default_dtypes()["real floating"] == ac.zeros(1).dtype
    assert info.default_dtypes()["integral"] == np.int64
    assert set(info.dtypes(kind="complex floating")) == {"complex64", "complex128"}
    assert set(info.dtypes(kind=("bool", "signed integer"))) == {"bool", "int8", "int16", "int32", "int64"}
    assert all(np.dtype(name) == dtype for name, dtype in info.dtypes().items())
    with pytest.raises(ValueError, match="fractions"):
        info.dtypes(kind="fractions")
    with pytest.raises(ValueError, match="gpu"):
        info.dtypes(device="gpu")


def test_dtypes():
    assert ac.isdtype(ac.float32, "real floating")
    assert not ac.isdtype(ac.int8, "real floating")
    assert ac.isdtype(ac.uint8, ("integral", "bool"))
    assert ac.finfo(ac.float32).eps == np.finfo(np.float32).eps
    assert ac.iinfo(ac.int8).max == 127
    assert ac.result_type(ac.tensor([1], dtype=np.int8), ac.float32) == np.float32
    assert (ac.tensor([1.0], dtype=np.float32) * 2.0).dtype == np.float32


def test_moving_to_the_only_device():
    x = ac.tensor([1.0])
    assert x.to_device("cpu") is x
    with pytest.raises(ValueError, match="tpu"):
        x.to_device("tpu")


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.complex128, np.bool_])
def test_dlpack_there_and_back(dtype):
    values = np.array([[1, 0, 3], [4, 5, 0]], dtype)
    x = ac.tensor(values)
    theirs = np.from_dlpack(x)
    np.testing.assert_array_equal(theirs, values)
    back = ac.from_dlpack(values, device="cpu")
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.numpy(), values)
    assert x.__dlpack_device__() == values.__dlpack_device__()


def test_dlpack_shares_memory_only_when_asked():
    values = np.array([1.0, 2.0])
    ours = ac.from_dlpack(values)
    values[0] = 7.0
    np.testing.assert_array_equal(ours.numpy(), [1.0, 2.0])
    with pytest.raises(BufferError, match="copy"):
        ac.from_dlpack(values, copy=False)
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    again = ac.from_dlpack(x, copy=False)
    again[0] = 5.0
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])
    assert not again.requires_grad
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(torch.from_dlpack(x.detach()).numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(ac.from_dlpack(torch.tensor([3.0])).numpy(), [3.0])


# --- libraries written for the standard --------------------------------------------------------------------------

# What stands before each program: SciPy decides when it is imported whether it takes arrays of other kinds.
_HEAD = """
import numpy as np
import autograd_conv as ac

def check(name, function, *values, tolerance=1e-6):
    '''Value as of NumPy arrays; gradient in a random direction against central differences of NumPy arrays.'''
    rng = np.random.default_rng(0)
    tensors = [ac.tensor(value, requires_grad=True) for value in values]
    result = function(*tensors)
    assert isinstance(result, ac.Tensor), (name, type(result))
    expected = np.asarray(function(*values))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-12, err_msg=name)
    seed = rng.normal(size=expected.shape)
    result.backward(seed)
    ways = [rng.normal(size=value.shape) for value in values]
    step = 1e-6
    ahead = function(*[value + step * way for value, way in zip(values, ways)])
    behind = function(*[value - step * way for value, way in zip(values, ways)])
    slope = np.sum(seed * (np.asarray(ahead) - np.asarray(behind)) / (2 * step))
    ours = sum(np.sum(tensor.grad * way) for tensor, way in zip(tensors, ways))
    assert abs(slope - ours) <= tolerance * (1 + abs(slope)), (name, slope, ours)
"""


def _run(program):
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + textwrap.dedent(program)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_functions_of_scipy_differentiate():
    scipy = pytest.importorskip("scipy")
    if tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15):
        pytest.skip("fewer functions of older versions of SciPy take arrays of other kinds")
    _run("""
        from scipy import fft, integrate, optimize, signal, special, stats
        rng = np.random.default_rng(1)
        x, y = rng.uniform(0.5, 2.0, (2, 12))
        for name in "zscore skew kurtosis gmean hmean variation tmean tvar tstd sem kstat circmean entropy".split():
            check(name, getattr(stats, name), x)
        check("third moment", lambda x: stats.moment(x, 3), x)
        check("zmap", stats.zmap, x, y)
        for name in "logsumexp softmax log_softmax gammaln erf erfc expit ndtr digamma entr".split():
            check(name, getattr(special, name), x)
        check("xlogy", special.xlogy, x, y)
        check("rel_entr", special.rel_entr, x, y)
        check("trapezoid", lambda y, x: integrate.trapezoid(y, np.cumsum(x)), x, y)
        check("fftconvolve", signal.fftconvolve, x, y)
        check("power of a signal", lambda x: abs(signal.hilbert(x)) ** 2, x)
        check("rfft", lambda x: abs(fft.rfft(x)) ** 2, x)
        check("rosen", optimize.rosen, x)
        check("rosen_der", optimize.rosen_der, x, tolerance=1e-5)
    """)


def test_estimators_of_scikit_learn_differentiate():
    pytest.importorskip("sklearn")
    _run("""
        import sklearn
        from sklearn import decomposition, linear_model, preprocessing
        from sklearn.metrics import pairwise
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(12, 3)) * [1.0, 2.0, 4.0], rng.normal(size=12)

        def ridge(x, y):
            return linear_model.Ridge(alpha=0.1, solver="svd").fit(x, y).coef_

        def variances(x):
            return decomposition.PCA(2, svd_solver="full").fit(x).explained_variance_

        with sklearn.config_context(array_api_dispatch=True):
            check("Ridge", ridge, x, y)
            check("PCA", variances, x)
            check("MinMaxScaler", lambda x: preprocessing.MinMaxScaler().fit_transform(x), x)
            check("rbf_kernel", lambda x: pairwise.rbf_kernel(x, x + 1.0), x)
    """)
