"""Reading and writing by index."""

from __future__ import annotations

import time

import numpy as np
import pytest

import autograd_conv as ac

KEYS = [
    0,
    -1,
    np.int64(2),
    slice(1, 3),
    slice(None, None, -2),
    slice(3, 1),
    ...,
    None,
    (0, 1),
    (slice(None), 0),
    (..., 0),
    (0, ..., None, slice(1, None)),
    (None, slice(None), None),
    (),
    [0, 2, 0],
    [],
    np.array([[0, 1], [3, 3]]),
    (np.array([0, 3, 0]), np.array([1, 1, 1])),
    (slice(None), [2, 0, 2]),
    ([0, 2], slice(None), [1, 1]),
    (np.array([[0], [1]]), [0, 2]),
    (1, [0, 2, 2]),
    (..., [1, 1, 0]),
    np.array([True, False, True, True]),
    (slice(1, None), np.array([True, False, True])),
    (np.array([True, False, True, False]), [0, 2]),
    np.arange(24).reshape(4, 3, 2) % 3 == 0,
    np.zeros((4, 3, 2), bool),
    np.True_,
    (np.uint8(1), slice(None)),
]


def _name(key):
    return repr(key).replace("\n", "")[:40]


@pytest.mark.parametrize("key", KEYS, ids=_name)
def test_reading(agrees, rng, key):
    agrees(lambda x: _tensor(x)[key], lambda x: x[key], rng.standard_normal((4, 3, 2)), by_name=False)


@pytest.mark.parametrize("key", KEYS, ids=_name)
@pytest.mark.parametrize("whole", [True, False])
def test_writing(agrees, rng, key, whole):
    """Whole values, and a number that is broadcast."""
    x = rng.standard_normal((4, 3, 2))
    value = np.asarray(rng.standard_normal(x[key].shape if whole else ()))

    def ours(x, value):
        y = _tensor(x) * 1
        y[key] = value
        return y

    def theirs(x, value):
        y = x * 1
        y[key] = value
        return y

    agrees(ours, theirs, x, value, by_name=False)


def _tensor(x):
    return x if isinstance(x, ac.Tensor) else ac.tensor(x)


def test_reading_to_third_order(rng):
    x = rng.standard_normal((3, 2))
    ac.testing.check_vjp(lambda x: x[[0, 2, 0]] ** 3, x, order=3, atol=1e-5)


def test_tensors_are_indices(rng):
    x = ac.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    rows = ac.tensor([0, 2, 0])
    assert x[rows].shape == (3, 3)
    assert x[ac.tensor(1)].shape == (3,)
    assert x[ac.tensor(1), rows[:2]].shape == (2,)
    positive = x[x > 0]
    positive.sum().backward()
    np.testing.assert_array_equal(x.grad, x.numpy() > 0)
    assert x[rows[0] : rows[1]].shape == (2, 3)
    x[x < 0] = 0.0
    assert (x.numpy() >= 0).all()


def test_index_arrays_are_copied(rng):
    x = ac.tensor(rng.standard_normal(4), requires_grad=True)
    index, mask = np.array([0, 1]), np.array([True, False, False, False])
    y = x[index].sum() + 10 * x[mask].sum()
    index[:] = 3
    mask[:] = True
    y.backward()
    np.testing.assert_array_equal(x.grad, [11, 1, 0, 0])


def test_repeated_reading_adds_up_rows_and_elements(rng):
    for shape, key in [((5,), [1, 1, 4]), ((5, 3), [1, -4, 4]), ((5, 3), ([1, 1], [2, 2]))]:
        x = ac.tensor(rng.standard_normal(shape), requires_grad=True)
        y = x[key]
        g = rng.standard_normal(y.shape)
        y.backward(g)
        expected = np.zeros(shape)
        np.add.at(expected, key, g)
        np.testing.assert_allclose(x.grad, expected)


def test_last_write_wins_and_earlier_values_get_nothing(rng):
    x, v = ac.tensor(rng.random(4), requires_grad=True), ac.tensor(rng.random(3), requires_grad=True)
    y = x * 1
    y[[2, 0, 2]] = v
    np.testing.assert_array_equal(y.numpy()[[2, 0]], v.numpy()[[2, 1]])
    g = rng.standard_normal(4)
    y.backward(g)
    np.testing.assert_array_equal(v.grad, [0, g[0], g[2]])
    np.testing.assert_array_equal(x.grad, [0, g[1], 0, g[3]])


def test_loop_into_a_preallocated_array(rng):
    def recurrence(x):
        out = ac.zeros(x.shape)
        out[0] = x[0]
        for i in range(1, len(x)):
            out[i] = 0.5 * out[i - 1] * x[i] + ac.sin(x[i])
        return out

    ac.testing.check_vjp(recurrence, rng.standard_normal(6))

    def table(x, w):
        out = ac.zeros((3, 4))
        for i in range(3):
            for j in range(4):
                out[i, j] = (x[i : i + 2, j : j + 2] * w).sum()
        return out

    x, w = rng.standard_normal((4, 5)), rng.standard_normal((2, 2))
    ac.testing.check_vjp(table, x, w)


def test_assignment_to_leaf_and_to_result(rng):
    x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = ac.tensor(5.0, requires_grad=True)
    square = x * x
    x[1] = v
    (x * x + square).sum().backward()
    np.testing.assert_array_equal(x.grad, [2 + 2, 4, 6 + 6])
    assert v.grad == 10

    x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = ac.exp(x)  # its record keeps y
    y[0] = 2 * y[1]
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [0, 3 * np.exp(2), np.exp(3)])


def test_augmented_assignment_to_a_part(rng):
    x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[1:] *= x[:2]
    y[0] += 4 * y[2]
    y.backward([1.0, 1.0, 1.0])
    # y = (x0 + 4 x2 x1, x1 x0, x2 x1)
    np.testing.assert_array_equal(x.grad, [1 + 2, 12 + 1 + 3, 8 + 2])


def test_overlapping_assignment():
    x = ac.tensor(np.arange(5.0))
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x.numpy(), [0, 0, 1, 2, 3])
    x[:] = x
    np.testing.assert_array_equal(x.numpy(), [0, 0, 1, 2, 3])
    x[...] = x[::-1]
    np.testing.assert_array_equal(x.numpy(), [3, 2, 1, 0, 0])


def test_assignment_never_shows_elsewhere(rng):
    given = rng.standard_normal(4)
    x = ac.tensor(given, requires_grad=True)
    held = x.data
    view, twin, product = x[1:3], x.detach(), x * x
    before = held.copy()
    x[1] = 100.0
    for values in (held, given, twin.numpy()):
        np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(view.numpy(), before[1:3])
    product.sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * before)


def test_assignment_without_recording(rng):
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with ac.no_grad():
        x[0] = 10.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])
    assert x.is_leaf
    z = (x * 3).sum()
    x.grad = None
    z.backward()
    np.testing.assert_array_equal(x.grad, [3, 3])


def test_assignment_is_in_place_when_nobody_looks():
    out = ac.zeros(1000)
    address = out._array.__array_interface__["data"][0]
    v = ac.tensor(2.0, requires_grad=True)
    for i in range(1000):
        out[i] = v
    assert out._array.__array_interface__["data"][0] == address
    out.sum().backward()
    assert v.grad == 1000


def test_assignments_cost_the_same_in_large_arrays():
    def seconds(n):
        out, v = ac.zeros(n), ac.tensor(1.0, requires_grad=True)
        best = np.inf
        for start in range(5):
            begin = time.perf_counter()
            for i in range(start * 50, start * 50 + 50):
                out[i] = v
            best = min(best, time.perf_counter() - begin)
        return best

    seconds(1000)
    assert seconds(10**6) < 20 * seconds(1000)


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        (9, 1.0, IndexError, r"setitem\(x: float64 \(4,\)"),
        ("a", 1.0, IndexError, "indices are integers"),
        (1.5, 1.0, IndexError, "indices are integers"),
        ((0, 0), 1.0, IndexError, "too many indices"),
        (slice(2), [1.0, 2.0, 3.0], ValueError, "could not broadcast"),
        ([0, 9], [7.0, 8.0], IndexError, "out of bounds"),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_failed_assignment_changes_nothing(key, value, error, message, held):
    x = ac.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = x * 2
    before = y.numpy()
    keep = y.data if held else None
    with pytest.raises(error, match=message):
        y[key] = value
    np.testing.assert_array_equal(y.numpy(), before)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 2, 2, 2])
    del keep


def test_failed_conversion_changes_nothing():
    x = ac.zeros(3, dtype=int)
    with pytest.raises(RuntimeWarning):
        x[:] = np.array([1.0, 2.0, np.nan])
    np.testing.assert_array_equal(x.numpy(), [0, 0, 0])


@pytest.mark.parametrize(
    ("key", "message"), [(9, "getitem"), ("a", "indexing"), (1.0, "indexing"), ((0, 0), "getitem")]
)
def test_failed_reading(key, message):
    with pytest.raises(IndexError, match=message):
        ac.ones(3)[key]


def test_assigning_what_is_differentiable_to_integers_is_an_error():
    x, v = ac.tensor([1, 2]), ac.tensor(1.5, requires_grad=True)
    with pytest.raises(TypeError, match=r"value requires grad, but .* int64"):
        x[0] = v
    x[0] = v.detach()
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    with ac.no_grad():
        x[1] = v
    np.testing.assert_array_equal(x.numpy(), [1, 1])


def test_assignment_of_other_kinds_of_values(rng):
    x = ac.zeros((2, 3), dtype=np.float32)
    v = ac.tensor([1.0, 2.0], requires_grad=True)
    x[0] = [v[0], 5, v[1]]
    x[1:] = np.ones((1, 1, 3))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy(), [[1, 5, 2], [1, 1, 1]])
    x[:, 0] = v[None, None]
    (x * x).sum().backward()
    assert v.grad.dtype == np.float64
    np.testing.assert_array_equal(v.grad, [2, 4 + 4])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [1, [0, 2, -1, 0], [[0, 1], [1, 1]], []])
def test_take(agrees, rng, axis, indices):
    indices = np.asarray(indices, int)
    agrees(ac.take, np.take, rng.standard_normal((3, 4)), indices=indices, axis=axis)


def test_take_outside(rng):
    x = rng.standard_normal((3, 4))
    for mode in ("wrap", "clip"):
        np.testing.assert_array_equal(
            ac.take(x, [-7, 5, 2], 1, mode=mode).numpy(), np.take(x, [-7, 5, 2], 1, mode=mode)
        )
    with pytest.raises(IndexError, match="getitem"):
        ac.take(x, [4], 1)
    with pytest.raises(TypeError, match="take: indices have dtype float64"):
        ac.take(x, [0.5])
    with pytest.raises(ValueError, match="take: mode"):
        ac.take(x, 0, mode="no")


def test_take_and_put_along_axis(agrees, rng):
    x = rng.standard_normal((3, 4))
    for axis in (0, 1, -1):
        index = np.argsort(x, axis)[:2, :2]
        index = index if axis else index[:, :1].repeat(4, 1)
        index = index if axis == 0 else np.argsort(x, 1)[:, :2]
        agrees(ac.take_along_axis, np.take_along_axis, x, indices=index, axis=axis)
        y, v = ac.tensor(x), ac.tensor(rng.standard_normal(index.shape), requires_grad=True)
        expected = x.copy()
        np.put_along_axis(expected, index, v.numpy(), axis)
        ac.put_along_axis(y, index, v, axis)
        np.testing.assert_array_equal(y.numpy(), expected)
        y.sum().backward()
        np.testing.assert_array_equal(v.grad, np.ones(index.shape))
    agrees(ac.take_along_axis, np.take_along_axis, x, indices=np.array([3, 0, 0]), axis=None)
    with pytest.raises(ValueError, match="take_along_axis: indices have shape"):
        ac.take_along_axis(x, [0], 0)


def test_positions_and_selection(rng):
    x = np.round(rng.standard_normal((3, 4)))
    t = ac.tensor(x, requires_grad=True)
    for ours, theirs in zip(np.nonzero(t), np.nonzero(x)):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    np.testing.assert_array_equal(np.argwhere(t), np.argwhere(x))
    np.testing.assert_array_equal(np.flatnonzero(t), np.flatnonzero(x))
    np.testing.assert_array_equal(ac.compress([True, False, True], t, 0).numpy(), x[[0, 2]])
    np.testing.assert_array_equal(np.extract(x > 0, t).numpy(), x[x > 0])
    ac.testing.check_vjp(lambda x: ac.compress([True, False, True], x, 1), rng.standard_normal((3, 4)))


def test_iteration_and_unpacking():
    x = ac.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x
    (a * b).sum().backward()
    np.testing.assert_array_equal(x.grad, [[3, 4], [1, 2]])
