"""Memory that is used again: never while anything can still see it, and never without bound."""

import gc
import threading

import numpy as np
import pytest
from autograd_conv.kernels import arrays, workspace

import autograd_conv as ac
from autograd_conv import nn

LARGE = 1 << 20


@pytest.fixture(autouse=True)
def _nothing_kept():
    gc.collect()
    workspace.release()
    yield
    workspace.release()


def _address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_the_last_view_is_gone():
    first = workspace.lend(LARGE)
    place = _address(first)
    view = first[10:].view(np.int8)
    export = memoryview(first)
    del first
    assert _address(workspace.lend(LARGE)) != place
    del view
    assert _address(workspace.lend(LARGE)) != place
    export.release()
    assert _address(workspace.lend(LARGE)) == place


def test_all_views_of_lent_memory_have_the_same_base():
    whole = workspace.lend(LARGE)
    array = np.ndarray((1000,), np.float32, whole, 64)
    for view in (array, array[3:], array.reshape(10, 100).T):
        assert view.base is whole


def test_memory_of_any_size_serves_for_any_other():
    held = [workspace.lend(LARGE) for _ in range(4)]
    places = [_address(array) for array in held]
    del held[1], held[1]  # two neighbours make one hole
    assert _address(workspace.lend(2 * LARGE)) == places[1]
    small = workspace.lend(LARGE // 2)
    assert _address(small) == places[1]
    assert small.size >= LARGE // 2
    assert _address(workspace.lend(LARGE)) == places[1] + small.size
    assert _address(workspace.lend(3 * LARGE)) > places[3]


def test_blocks_of_random_sizes_never_overlap_and_all_come_back():
    rng = np.random.default_rng(3)
    held = {}
    for step in range(400):
        if len(held) > 12 or (held and rng.random() < 0.4):
            array, value = held.pop(int(rng.choice(list(held))))
            assert (array == value).all()
        else:
            array = workspace.lend(int(rng.integers(1, 300_000)))
            array[:] = step % 251
            held[step] = array, step % 251
    del array
    held.clear()
    workspace.release()
    assert (workspace.kept_bytes(), workspace._account.lent, workspace._regions) == (0, 0, [])


def test_more_than_a_region_is_to_be_had_and_holes_are_given_back_while_others_are_lent():
    large = workspace.lend(workspace._REGION_BYTES + 1)
    large[0] = large[-1] = 1
    held = [workspace.lend(LARGE) for _ in range(3)]
    held[2][:] = 7
    del held[0]
    workspace.release()
    assert workspace.kept_bytes() == 0
    assert (held[1] == 7).all()
    with pytest.raises(MemoryError, match=str(1 << 60)):
        workspace.lend(1 << 60)


def test_release_gives_everything_back():
    lent = [workspace.lend(LARGE) for _ in range(3)]
    assert workspace.kept_bytes() == 0
    lent.clear()
    assert workspace.kept_bytes() >= 3 * LARGE
    workspace.release()
    assert workspace.kept_bytes() == 0


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(workspace, "MOST_KEPT_BYTES", 5 * LARGE)
    lent = [workspace.lend(LARGE) for _ in range(9)]
    lent.clear()
    assert 4 * LARGE <= workspace.kept_bytes() <= 5 * LARGE


def test_sizes_that_are_not_used_any_more_make_room_for_others(monkeypatch):
    monkeypatch.setattr(workspace, "SPARE_BYTES", 0)
    for size in range(1, 40):
        workspace.lend(size * LARGE // 4)  # all sizes are different, and one buffer at a time is in use
    assert workspace.kept_bytes() <= 1.25 * 10 * LARGE


def test_a_destructor_that_runs_while_the_lock_is_held_waits_for_nobody():
    lent = workspace.lend(LARGE)
    with workspace._lock:
        del lent
    assert workspace.kept_bytes() >= LARGE


def test_threads_never_share_what_is_lent():
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for step in range(300):
            array = workspace.lend(int(rng.integers(1, 6)) * 40_000)
            array[:] = seed * 16 + step % 16
            held.append((array, seed * 16 + step % 16))
            if len(held) > 5:
                array, value = held.pop(int(rng.integers(0, 5)))
                if not (array == value).all():
                    errors.append((seed, step))
            with workspace.scratch((50_000,), np.uint8) as other:
                other[:] = 255

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_results_that_are_kept_are_never_written_again(rng):
    x = ac.tensor(rng.standard_normal((4, 8, 40, 40)).astype(np.float32))
    w = rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
    kept = []
    for k in range(6):
        y = nn.relu(nn.conv2d(x, w + k, padding=1))
        kept.append((y, y.numpy(), y.data[1:, :, ::2], nn.max_pool2d(y, 2)))
    for y, values, part, pooled in kept:
        np.testing.assert_array_equal(y.data, values)
        np.testing.assert_array_equal(part, values[1:, :, ::2])
        np.testing.assert_array_equal(pooled.data, values.reshape(4, 8, 20, 2, 20, 2).max((3, 5)))


def test_a_change_of_lent_memory_that_the_tape_needs_is_noticed(rng):
    x = ac.tensor(rng.standard_normal((4, 8, 40, 40)).astype(np.float32), requires_grad=True)
    y = nn.relu(x)
    z = y.reshape(-1) * y.reshape(-1)
    y.data[0] += 1.0
    with pytest.raises(ac.AutodiffError, match="was changed in place"):
        (z.sum() + y.sum()).backward()


def test_outputs_lie_half_a_page_apart_from_what_is_read_meanwhile():
    source = np.zeros(100_000, np.float32)
    for shape in ((100_000,), (3, 70_001)):
        array = arrays.empty_apart(shape, np.float32, source)
        assert array.flags.carray
        assert _address(array) % 64 == 0
        assert abs((_address(array) - _address(source)) % 4096 - 2048) < 64
