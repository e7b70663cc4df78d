"""Reshaping, joining, splitting, padding and repeating; conversions; new Tensors."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

CASES = [
    ("reshape", (2, 6), {"shape": (3, -1)}),
    ("reshape", (2, 6), {"shape": -1}),
    ("reshape", (2, 6), {"shape": (4, 3), "order": "F"}),
    ("reshape", (0, 3), {"shape": (3, 0)}),
    ("reshape", (), {"shape": (1, 1)}),
    ("ravel", (2, 3), {}),
    ("ravel", (2, 3), {"order": "F"}),
    ("transpose", (2, 3, 4), {}),
    ("transpose", (2, 3, 4), {"axes": (1, 2, 0)}),
    ("transpose", (2, 3, 4), {"axes": (-1, 0, -2)}),
    ("matrix_transpose", (2, 3, 4), {}),
    ("swapaxes", (2, 3, 4), {"axis1": 0, "axis2": -1}),
    ("moveaxis", (2, 3, 4), {"source": 0, "destination": -1}),
    ("moveaxis", (2, 3, 4), {"source": (0, 2), "destination": (1, 0)}),
    ("rollaxis", (2, 3, 4), {"axis": 2}),
    ("rollaxis", (2, 3, 4), {"axis": 0, "start": 3}),
    ("rollaxis", (2, 3, 4), {"axis": -1, "start": -2}),
    ("squeeze", (1, 3, 1), {}),
    ("squeeze", (1, 3, 1), {"axis": -1}),
    ("squeeze", (1, 3, 1), {"axis": (0, 2)}),
    ("expand_dims", (2, 3), {"axis": 1}),
    ("expand_dims", (2, 3), {"axis": (0, -1)}),
    ("broadcast_to", (3, 1), {"shape": (2, 3, 4)}),
    ("broadcast_to", (), {"shape": (2,)}),
    ("broadcast_to", (1, 3), {"shape": (0, 3)}),
    ("atleast_1d", (), {}),
    ("atleast_2d", (), {}),
    ("atleast_2d", (3,), {}),
    ("atleast_2d", (2, 3, 4), {}),
    ("atleast_3d", (), {}),
    ("atleast_3d", (3,), {}),
    ("atleast_3d", (3, 4), {}),
    ("flip", (2, 3), {}),
    ("flip", (2, 3), {"axis": -1}),
    ("flip", (2, 3, 4), {"axis": (0, 2)}),
    ("flipud", (2, 3), {}),
    ("fliplr", (2, 3), {}),
    *[("rot90", (2, 3), {"k": k}) for k in (-1, 0, 1, 2, 3, 5)],
    ("rot90", (2, 3, 4), {"k": 1, "axes": (2, 1)}),
    ("roll", (2, 3), {"shift": 1}),
    ("roll", (2, 3), {"shift": -4, "axis": 1}),
    ("roll", (2, 3), {"shift": (1, 2), "axis": (0, 1)}),
    ("roll", (2, 3), {"shift": 1, "axis": (0, 1)}),
    ("array_split", (7, 2), {"indices_or_sections": 3}),
    ("split", (6, 2), {"indices_or_sections": 3}),
    ("split", (2, 6), {"indices_or_sections": [1, 4], "axis": -1}),
    ("hsplit", (2, 6), {"indices_or_sections": 2}),
    ("vsplit", (2, 6), {"indices_or_sections": 2}),
    ("dsplit", (1, 2, 6), {"indices_or_sections": [5]}),
    ("tile", (2, 3), {"reps": 2}),
    ("tile", (2, 3), {"reps": (2, 1, 3)}),
    ("tile", (2, 1, 3), {"reps": (2, 2)}),
    ("tile", (2, 3), {"reps": (0, 2)}),
    ("tile", (), {"reps": 3}),
    ("repeat", (2, 3), {"repeats": 2}),
    ("repeat", (2, 3), {"repeats": 3, "axis": -1}),
    ("repeat", (2, 3), {"repeats": [1, 0, 2], "axis": 1}),
    ("repeat", (2, 3), {"repeats": 0, "axis": 0}),
    ("copy", (2, 3), {}),
    ("pad", (2, 3), {"pad_width": 1}),
    ("pad", (2, 3), {"pad_width": ((1, 0), (2, 3)), "constant_values": 7.0}),
    ("pad", (2, 3), {"pad_width": ((1, 2), (2, 3)), "constant_values": ((1, 2), (3, 4))}),
    ("pad", (), {"pad_width": 1}),
    ("pad", (0, 3), {"pad_width": 1}),
    *[("pad", (3, 4), {"pad_width": ((1, 2), (2, 0)), "mode": m}) for m in ("edge", "reflect", "symmetric", "wrap")],
    ("pad", (3, 4), {"pad_width": 7, "mode": "reflect"}),
    ("diagonal", (3, 4), {}),
    ("diagonal", (3, 4), {"offset": -1}),
    ("diagonal", (3, 4), {"offset": 9}),
    ("diagonal", (2, 3, 4), {"offset": 1, "axis1": 2, "axis2": 0}),
    ("trace", (3, 4, 2), {"offset": 1}),
    ("diag", (3,), {"k": -1}),
    ("diag", (3, 4), {"k": 1}),
    ("diagflat", (2, 2), {}),
    ("tril", (3, 4), {"k": 1}),
    ("triu", (2, 3, 4), {"k": -1}),
    ("tril", (3,), {}),
    ("triu", (0, 3), {}),
]


@pytest.mark.parametrize(("name", "shape", "settings"), CASES)
def test_rearrangement(agrees, rng, name, shape, settings):
    agrees(getattr(ac, name), getattr(np, name), np.asarray(rng.standard_normal(shape)), **settings)


def _sequence(function):
    return lambda *arrays, **settings: function(arrays, **settings)


@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("concatenate", [(2, 3), (1, 3), (0, 3)], {}),
        ("concatenate", [(2, 3), (2, 1)], {"axis": -1}),
        ("concatenate", [(2, 3), (4,)], {"axis": None}),
        ("concatenate", [(2, 3)], {}),
        ("stack", [(2, 3), (2, 3), (2, 3)], {}),
        ("stack", [(2, 3), (2, 3)], {"axis": -1}),
        ("stack", [(), ()], {}),
        ("vstack", [(3,), (2, 3)], {}),
        ("hstack", [(3,), (2,)], {}),
        ("hstack", [(2, 3), (2, 1)], {}),
        ("dstack", [(3,), (3,)], {}),
        ("dstack", [(2, 3), (2, 3)], {}),
        ("column_stack", [(3,), (3, 2)], {}),
    ],
)
def test_joining(agrees, rng, name, shapes, settings):
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    agrees(_sequence(getattr(ac, name)), _sequence(getattr(np, name)), *arrays, **settings)


def test_append(rng):
    x = rng.standard_normal((2, 3))
    np.testing.assert_array_equal(np.append(ac.tensor(x), [1.0]), np.append(x, [1.0]))
    ac.testing.check_vjp(ac.append, x, x[:, :1], axis=1)


def test_joining_constants_and_one_tensor_twice(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    y = np.concatenate([np.ones(2), x, x, [5.0]])
    g = rng.standard_normal(9)
    y.backward(g)
    np.testing.assert_allclose(x.grad, g[2:5] + g[5:8])


def test_concatenate_promotes_and_converts(rng):
    a, b = ac.tensor(np.ones(2, np.float32), requires_grad=True), ac.tensor(np.ones(2), requires_grad=True)
    y = ac.concat([a, b])
    assert y.dtype == np.float64
    y.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    assert ac.stack([a, b], dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="concatenate: no arrays"):
        ac.concat([])
    with pytest.raises(ValueError, match="concatenate"):
        ac.concat([np.ones((2, 3)), np.ones((2, 2))])


def test_unstack(rng):
    x = rng.standard_normal((2, 3, 4))
    ac.testing.check_vjp(ac.unstack, x, axis=1)
    assert [t.shape for t in ac.unstack(x, axis=-1)] == [(2, 3)] * 4
    t = ac.tensor(x, requires_grad=True)
    first, *_ = ac.unstack(t)
    first.backward(np.ones((3, 4)))  # the cotangent of what nothing used is zero
    np.testing.assert_array_equal(t.grad, np.stack([np.ones((3, 4)), np.zeros((3, 4))]))


def test_split_refuses_unequal_parts():
    with pytest.raises(ValueError, match=r"split: axis 0 has length 7, which indices_or_sections=3 does not divide"):
        ac.split(np.ones(7), 3)


def test_broadcast_arrays_and_meshgrid(rng):
    x, y, z = rng.random(3), rng.random(4), rng.random(2)
    ac.testing.check_vjp(ac.broadcast_arrays, x[:, None], y)
    for settings in ({}, {"indexing": "ij"}, {"sparse": True}, {"sparse": True, "indexing": "ij"}):
        for ours, theirs in zip(ac.meshgrid(x, y, z, **settings), np.meshgrid(x, y, z, **settings)):
            np.testing.assert_array_equal(ours.numpy(), theirs)
        ac.testing.check_vjp(ac.meshgrid, x, y, z, **settings)
    with pytest.raises(ValueError, match="meshgrid: indexing"):
        ac.meshgrid(x, y, indexing="yx")


def test_negative_padding_crops(rng):
    x = rng.standard_normal((4, 5))
    y = ac.pad(x, ((-1, 2), (1, -3)))
    expected = np.pad(x[1:, :2], ((0, 2), (1, 0)))
    np.testing.assert_array_equal(y.numpy(), expected)
    for widths in (((-1, 2), (1, -3)), ((-4, 0), (0, -5)), ((-2, -2), (0, 0)), ((-5, 2), (0, 0)), ((3, -6), (0, 0))):
        try:
            ac.pad(x, widths)
        except ValueError:
            assert widths[0] in ((-5, 2), (3, -6))
        else:
            ac.testing.check_vjp(ac.pad, x, pad_width=widths)
    with pytest.raises(ValueError, match="crop more from axis 0 than its length 4"):
        ac.pad(x, ((-5, 2), (0, 0)))


def test_pad_by_axis_names_and_refusals(rng):
    x = rng.standard_normal((2, 3))
    np.testing.assert_array_equal(ac.pad(x, {-1: (1, 2)}).numpy(), np.pad(x, ((0, 0), (1, 2))))
    with pytest.raises(ValueError, match="pad_width names axis 2"):
        ac.pad(x, {2: 1})
    with pytest.raises(ValueError, match="mode is 'lin'"):
        ac.pad(x, 1, "lin")
    with pytest.raises(ValueError, match="only mode 'constant'"):
        ac.pad(x, -1, "edge")
    with pytest.raises(ValueError, match=r"must broadcast to \(2, 2\)"):
        ac.pad(x, ((1, 2), (1, 2), (1, 2)))
    with pytest.raises(TypeError, match="widths must be integers"):
        ac.pad(x, 1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ac.reshape(x, (4, 2)), r"reshape\(x: float64 \(2, 3\)\)"),
        (lambda x: ac.transpose(x, (0, 0)), "transpose"),
        (lambda x: ac.squeeze(x, 0), "squeeze"),
        (lambda x: ac.broadcast_to(x, (2, 2)), "broadcast_to"),
        (lambda x: ac.rot90(x, 1, (0, 0)), "rot90: axes"),
        (lambda x: ac.repeat(x, [1, 2], 1), "broadcast"),
        (lambda x: ac.diagonal(x, 0, 1, -1), "diagonal: axis1=1 and axis2=-1"),
        (lambda x: ac.diagonal([1.0]), "diagonal: a has shape"),
        (lambda x: ac.diag(x[None]), "diag: v has shape"),
        (lambda x: ac.reshape(x, 6, "Q"), "reshape: order"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(ac.ones((2, 3)))


def test_views_do_not_alias(rng):
    x = ac.tensor(rng.standard_normal((2, 3)))
    before = x.numpy()
    for view in (x.reshape(-1), x.T, x[0], ac.flip(x), ac.broadcast_to(x, (2, 2, 3)), ac.squeeze(x), ac.ravel(x)):
        view.data[...] = 7
        np.testing.assert_array_equal(x.numpy(), before)
        y = view * 1
        y[...] = 3
        view[...] = 5
        np.testing.assert_array_equal(x.numpy(), before)
        assert (view.numpy() == 5).all()


def test_broadcast_result_can_be_written_after_its_source_is_gone():
    y = ac.broadcast_to(ac.tensor([1.0, 2.0]), (2, 2))
    y[0, 0] = 9.0
    np.testing.assert_array_equal(y.numpy(), [[9, 2], [1, 2]])
    z = ac.broadcast_to(ac.tensor([1.0, 2.0]), (2, 2))
    z.data[0, 0] = 9.0
    np.testing.assert_array_equal(z.numpy(), [[9, 2], [1, 2]])


# --- conversions -------------------------------------------------------------------------------------------


def test_array_of_tensors_is_differentiable(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    y = ac.array([[x[0], 2.0, x[1]], (x[2], x[0], np.float64(4))])
    g = rng.standard_normal((2, 3))
    y.backward(g)
    np.testing.assert_allclose(x.grad, [g[0, 0] + g[1, 1], g[0, 2], g[1, 0]])
    ac.testing.check_vjp(lambda t: ac.array([t, [1.0, 2.0, 3.0], t * t]), rng.standard_normal(3))
    with pytest.raises(ValueError, match="array: the items"):
        ac.array([x, x[0]])


def test_lists_of_tensors_are_arrays_everywhere(rng):
    a, b = (ac.tensor(v, requires_grad=True) for v in (1.0, 2.0))
    (ac.sum([a, b]) + ac.max([a, b]) + ac.matmul([a, b], [b, a])).backward()
    assert (a.grad, b.grad) == (1 + 0 + 4, 1 + 1 + 2)


def test_array_keeps_float32_beside_numbers():
    x = ac.tensor(np.float32(1), requires_grad=True)
    assert ac.array([x, 2.0, 3]).dtype == np.float32
    assert ac.array([x, np.float64(2)]).dtype == np.float64
    assert ac.array([x, 1j]).dtype == np.complex64
    assert ac.array([x, 2], dtype=float).dtype == np.float64
    assert ac.array(x, ndmin=2).shape == (1, 1)


def test_array_of_deeply_nested_lists_needs_no_recursion():
    nested = ac.tensor(1.0, requires_grad=True)
    for _ in range(40):
        nested = [nested]
    assert ac.array(nested).shape == (1,) * 40


def test_asarray_hands_tensors_back():
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    assert ac.asarray(x) is x
    assert ac.asarray(x, copy=True) is not x
    assert ac.asarray(x, np.float32).dtype == np.float32
    assert not ac.asarray([1, 2]).requires_grad


def test_astype():
    x = ac.tensor([1.5, 2.5], requires_grad=True)
    y = x.astype(np.float32)
    (y * y).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, [3, 5])
    assert not x.astype(int).requires_grad
    assert ac.astype(x, float, copy=False) is x
    assert ac.astype(x, float) is not x
    if hasattr(np, "astype"):
        assert np.astype(x, np.float32).dtype == np.float32


# --- creation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("zeros", [(2, 3)], {}),
        ("ones", [2], {"dtype": np.float32}),
        ("full", [(2,), 7.0], {}),
        ("arange", [2, 9, 3], {}),
        ("linspace", [0, 1, 5], {}),
        ("logspace", [0, 2, 3], {}),
        ("geomspace", [1, 8, 4], {}),
        ("eye", [2, 3, 1], {}),
        ("identity", [3], {}),
        ("tri", [3, 4, 1], {}),
        ("zeros_like", [np.ones((2, 3), np.float32)], {}),
        ("ones_like", [np.ones(2, int)], {"dtype": float}),
        ("full_like", [np.ones(2), 3], {}),
    ],
)
def test_creation(name, args, kwargs):
    result, expected = getattr(ac, name)(*args, **kwargs), getattr(np, name)(*args, **kwargs)
    assert isinstance(result, ac.Tensor)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)
    if name.endswith("_like"):
        assert isinstance(getattr(np, name)(ac.tensor(args[0]), *args[1:], **kwargs), ac.Tensor)
    assert ac.empty((2, 3)).shape == ac.empty_like(np.ones((2, 3))).shape == (2, 3)


def test_created_tensors_may_require_grad():
    x = ac.zeros(3, requires_grad=True)
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 2, 2])


def test_questions_about_types_and_shapes():
    x = ac.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)
    assert np.result_type(x, np.float64) == ac.result_type(x, ac.float64) == np.float64
    assert np.can_cast(x.dtype, ac.float64)
    assert np.allclose(x, 1)
    assert np.array_equal(x, np.ones((2, 3)))
    assert ac.newaxis is None
    assert x[ac.newaxis].shape == (1, 2, 3)
