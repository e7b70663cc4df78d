"""What is kept of an array is never used after the array changed, whoever changes it and by whatever way."""

import gc
import os
import threading

import numpy as np
import pytest
from autograd_conv.kernels import keeping
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import memory, nn, optim


class Snapshot:
    """A store that remembers what the memory held when it was opened."""

    def __init__(self, root):
        self.values = np.array(root)


def assert_unchanged():
    for root, owner, store in list(memory.KEPT.values()):
        assert owner() is not None
        np.testing.assert_array_equal(np.asarray(root()), store.values)


# Each takes the world: Tensors `t`, things that a user holds `held`, a generator of random numbers `rng`.


def _new(t, held, rng):
    t.append(ac.tensor(rng.normal(size=(3, 4)), requires_grad=rng.random() < 0.5))


def _result(t, held, rng):
    t.append(_any(t, rng) * 2.0)


def _view(t, held, rng):
    x = _any(t, rng)
    change = rng.choice(["reshape", "T", "slice", "detach", "ravel"])
    made = {
        "reshape": lambda: x.reshape(-1),
        "T": lambda: x.T,
        "slice": lambda: x[::2],
        "detach": lambda: x.detach(),
        "ravel": lambda: x.ravel(),
    }[change]()
    t.append(made)


def _hold(t, held, rng):
    array = _any(t, rng).data
    what = rng.integers(4)
    held.append([array, array[1:], memoryview(array), np.from_dlpack(array)][what])


def _let_go(t, held, rng):
    if held:
        held.pop(rng.integers(len(held)))


def _write_held(t, held, rng):
    if held:
        array = np.asarray(held[rng.integers(len(held))])
        if array.flags.writeable:  # what DLPack gives need not be
            array[...] = rng.normal()


def _write_in_passing(t, held, rng):
    _any(t, rng).data[...] = rng.normal()


def _assign_data(t, held, rng):
    x = _any(t, rng)
    x.data = rng.normal(size=x.shape)


def _subtract_data(t, held, rng):
    _any(t, rng).data -= 1.0


def _assign_item(t, held, rng):
    with ac.no_grad():
        _any(t, rng)[0] = rng.normal()


def _in_place(t, held, rng):
    k = rng.integers(len(t))
    with ac.no_grad():
        t[k] += 1.0


def _out(t, held, rng):
    x = _any(t, rng)
    with ac.no_grad():
        np.multiply(x, 2.0, out=x)


def _copyto(t, held, rng):
    with ac.no_grad():
        np.copyto(_any(t, rng), rng.normal())


def _step(t, held, rng):
    leaves = [x for x in t if x.is_leaf and x.requires_grad]
    if leaves:
        for x in leaves:
            x.grad = rng.normal(size=x.shape)
        rule = [optim.SGD(leaves, 0.1, momentum=0.9), optim.Adam(leaves, 0.1)][rng.integers(2)]
        rule.step()


def _gradient(t, held, rng):
    x = ac.tensor(rng.normal(size=3), requires_grad=True)
    w = ac.tensor(rng.normal(size=3))
    memory.keep(w, Snapshot)
    y = (x * w).sum() + x.sum()
    if rng.random() < 0.5:
        del w
    y.backward()
    x.grad[...] = rng.normal()
    held.append(x.grad)
    t.append(ac.grad((x * x).sum(), [x])[0])


def _forget(t, held, rng):
    if len(t) > 1:
        t.pop(rng.integers(len(t)))


def _keep(t, held, rng):
    memory.keep(_any(t, rng), Snapshot)


def _any(t, rng):
    return t[rng.integers(len(t))]


ACTIONS = [
    _new, _result, _view, _view, _hold, _hold, _let_go, _let_go, _write_held, _write_held, _write_in_passing,
    _assign_data, _subtract_data, _assign_item, _in_place, _out, _copyto, _step, _gradient, _forget, _forget,
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(ACTIONS) - 1), max_size=40), st.integers(0, 2**32 - 1))
def test_memory_with_a_store_is_never_written_to(actions, seed):
    rng = np.random.default_rng(seed)
    memory.KEPT.clear()
    t, held = [], []
    _new(t, held, rng)
    try:
        for action in actions:
            for _ in range(2):
                _keep(t, held, rng)
            ACTIONS[action](t, held, rng)
            assert_unchanged()
    finally:
        memory.KEPT.clear()


def test_a_store_is_opened_again_once_the_user_let_go():
    w = ac.tensor([1.0, 2.0])
    memory.keep(w, Snapshot)
    assert memory.kept(w._array) is not None
    values = w.data
    assert memory.kept(w._array) is None
    memory.keep(w, Snapshot)
    assert memory.kept(w._array) is None
    values[0] = 5
    del values
    memory.keep(w, Snapshot)
    assert memory.kept(w._array).values.tolist() == [5, 2]


def test_a_store_goes_with_its_tensor_and_an_identity_used_again_finds_nothing():
    memory.KEPT.clear()
    for _ in range(50):
        w = ac.tensor(np.ones(100))
        assert memory.kept(w._array) is None
        memory.keep(w, Snapshot)
        assert len(memory.KEPT) == 1
        del w
        assert not memory.KEPT


def test_a_store_goes_with_a_tensor_that_only_the_collector_frees():
    memory.KEPT.clear()

    class Model:
        pass

    model = Model()
    model.itself, model.w = model, ac.tensor([1.0, 2.0])
    array = model.w._array
    memory.keep(model.w, Snapshot)
    del model
    gc.collect()
    assert memory.kept(array) is None


# --- convolutions -----------------------------------------------------------------------------------------


# So many that the direct loops pack kernels: with few they read them as they lie.
CHANNELS = 40


def images(rng):
    return rng.standard_normal((1, CHANNELS, 9, 10)).astype(np.float32)


def kernel(rng):
    return rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("method", ["direct", "winograd"])
def test_results_are_the_same_bit_for_bit_however_the_weights_change(method):
    rng = np.random.default_rng(0)
    x, w = ac.tensor(images(rng), requires_grad=True), ac.tensor(kernel(rng), requires_grad=True)
    gy = images(rng)

    def both(weights):
        y = nn.conv2d(x, weights, padding=1, method=method)
        return y.numpy(), ac.grad(y, [x], gy)[0].numpy()

    def assign():
        w.data = kernel(rng)

    def write_kept_view():
        rows[...] = 0

    def step():
        w.grad = kernel(rng)
        optim.SGD([w], 0.1).step()

    def item():
        with ac.no_grad():
            w[2] = 1.0

    rows = None
    for change in (lambda: None, assign, step, item, write_kept_view, step):
        if change is write_kept_view:
            rows = w.data[3:5]
            both(w)
        change()
        for _ in range(3):
            for got, expected in zip(both(w), both(w.data.copy())):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("method", ["direct", "winograd"])
def test_kernels_are_made_once_from_the_second_use_on(method, monkeypatch):
    made = []
    get = keeping.Kept.get
    monkeypatch.setattr(
        keeping.Kept,
        "get",
        lambda self, w, what, size, make: get(self, w, what, size, lambda: made.append(1) or make()),
    )
    rng = np.random.default_rng(1)
    x, w = ac.tensor(images(rng)), ac.tensor(kernel(rng))
    before = keeping.kept_bytes()
    counts = []
    for _ in range(4):
        nn.conv2d(x, w, padding=1, method=method)
        counts.append(len(made))
    assert counts == [0, 1, 1, 1]
    assert keeping.kept_bytes() > before
    w.data -= 1.0
    assert keeping.kept_bytes() == before
    nn.conv2d(x, w, padding=1, method=method)
    assert len(made) == 1


def test_no_more_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(keeping, "MOST_KEPT_BYTES", keeping.kept_bytes())
    rng = np.random.default_rng(2)
    x, w = ac.tensor(images(rng)), ac.tensor(kernel(rng))
    results = [nn.conv2d(x, w, padding=1).numpy() for _ in range(3)]
    assert keeping.kept_bytes() == keeping.MOST_KEPT_BYTES
    np.testing.assert_array_equal(results[0], results[2])


def test_one_kernel_in_several_roles():
    """Other strides, layouts and paddings read other parts of the same memory, in other orders."""
    rng = np.random.default_rng(3)
    x, w = ac.tensor(images(rng), requires_grad=True), ac.tensor(rng.standard_normal((3, 3, 3, 3)).astype(np.float32))
    square = ac.tensor(kernel(rng))
    calls = [
        lambda v: nn.conv2d(x, v, stride=2, padding=1, method="direct"),
        lambda v: nn.conv2d(x, v, padding=1, method="direct"),
        lambda v: nn.conv2d(x, v, padding=1, method="winograd"),
        lambda v: nn.conv_transpose2d(x, v, stride=2, method="direct"),
        lambda v: nn.conv2d(x, v.T.reshape(CHANNELS, CHANNELS, 3, 3), padding=1),
    ]
    small = [
        lambda v: nn.conv2d(x[:, :3], v, method="direct"),
        lambda v: nn.conv2d(x[:, :9].reshape(1, 10, 27, 3), v, layout="NHWC", method="direct"),
    ]
    for weights, functions in ((square, calls), (w, small)):
        fresh = weights.numpy()
        for _ in range(3):
            for function in functions:
                y, expected = function(weights), function(ac.tensor(fresh))
                np.testing.assert_array_equal(y.numpy(), expected.numpy())
                gy = rng.standard_normal(y.shape).astype(np.float32)
                for got, right in zip(ac.grad(y, [x], gy), ac.grad(expected, [x], gy)):
                    np.testing.assert_array_equal(got.numpy(), right.numpy())


def test_threads_may_share_weights():
    rng = np.random.default_rng(4)
    x, w = images(rng), ac.tensor(kernel(rng))
    expected = nn.conv2d(x, w.numpy(), padding=1).numpy()
    wrong = []

    def work():
        for _ in range(5):
            if not np.array_equal(nn.conv2d(x, w, padding=1).numpy(), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_keeps_on():
    rng = np.random.default_rng(5)
    x, w = images(rng), ac.tensor(kernel(rng))
    results = [nn.conv2d(x, w, padding=1).numpy() for _ in range(2)]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            same = np.array_equal(nn.conv2d(x, w, padding=1).numpy(), results[1])
            w.data *= 2.0
            doubled = [nn.conv2d(x, w, padding=1).numpy() for _ in range(3)]
            code = 0 if same and all(np.array_equal(y, 2 * results[1]) for y in doubled) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(nn.conv2d(x, w, padding=1).numpy(), results[1])
