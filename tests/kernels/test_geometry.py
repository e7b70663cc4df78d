"""Sizes of sliding windows, against counting and against the values of PyTorch."""

import itertools

import numpy as np
import pytest
from autograd_conv.kernels import geometry
from autograd_conv.kernels.geometry import Window


def _reads(size, kernel, stride, before, after, dilation):
    """Return, for each window that fits in the padded input, the padded positions that it reads."""
    windows = []
    while len(windows) * stride + (kernel - 1) * dilation < size + before + after:
        start = len(windows) * stride
        windows.append([start + u * dilation for u in range(kernel)])
    return windows


GRID = list(itertools.product(range(9), (1, 2, 3), (1, 2, 3), (0, 1, 4), (0, 2), (1, 2, 3)))


def test_output_size_and_remainder_against_counting():
    for size, kernel, stride, before, after, dilation in GRID:
        windows = _reads(size, kernel, stride, before, after, dilation)
        if not windows:
            continue
        assert geometry.output_size(size, kernel, stride, before, after, dilation) == len(windows)
        unread = size + before + after - 1 - windows[-1][-1]
        assert geometry.remainder(size, kernel, stride, before, after, dilation) == unread


def test_input_gradient_padding_restores_the_size():
    for size, kernel, stride, before, after, dilation in GRID:
        out = len(_reads(size, kernel, stride, before, after, dilation))
        if out:
            outer = geometry.input_gradient_padding(size, kernel, stride, before, after, dilation)
            spread = (out - 1) * stride + 1
            assert spread + sum(outer) - geometry.extent(kernel, dilation) + 1 == size


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "out"),
    [(5, 2, 2, 1, 1, 3), (9, 4, 4, 2, 1, 3), (4, 3, 3, 0, 1, 2), (7, 2, 3, 0, 1, 3), (6, 3, 2, 1, 2, 3)],
)
def test_ceil_mode(size, kernel, stride, padding, dilation, out):
    window = Window.of("pool", (size,), kernel, stride, padding, dilation, ceil_mode=True)
    assert window.spatial(1) == (out,)


def test_ceil_mode_with_asymmetric_padding_drops_a_window_in_the_padding():
    # starts at -1, 1, 3 and, rounded up, at 5 = size: in padding
    assert geometry.output_size(5, 2, 2, 1, 2, 1, ceil_mode=True) == 3


def test_window_of_one_two_and_three_axes():
    assert Window.of("f", (6,), 3, 2).out == (1, 1, 2)
    window = Window.of("f", (9, 8), (3, 2), (2, 3), (2, 1), (2, 3))
    assert window.spatial(2) == (5, 3)
    assert window.size == (1, 9, 8)
    assert window.kernel == (1, 3, 2)
    assert window.before == window.after == (0, 2, 1)
    assert Window.of("f", (4, 5, 6), (2, 3, 4)).spatial(3) == (3, 3, 3)
    assert window.taps == 6
    assert hash(window) == hash(Window.of("f", [9, 8], [3, 2], [2, 3], [2, 1], [2, 3]))


def test_padding_beyond_the_kernel_is_allowed():
    assert Window.of("f", (3,), 2, 1, 4).spatial(1) == (10,)


@pytest.mark.parametrize(
    ("sizes", "kernel", "stride", "dilation", "pairs"),
    [
        ((4,), (2,), (1,), (1,), ((0, 1),)),
        ((5,), (3,), (2,), (1,), ((1, 1),)),
        ((4,), (2,), (2,), (1,), ((0, 0),)),
        ((7, 7), (3, 4), (1, 1), (2, 1), ((2, 2), (1, 2))),
        ((5,), (1,), (3,), (1,), ((0, 0),)),
    ],
)
def test_same(sizes, kernel, stride, dilation, pairs):
    assert geometry.parse_padding("same", sizes, kernel, stride, dilation, "f") == pairs
    window = Window.of("f", sizes, kernel, stride, "same", dilation)
    assert window.spatial(len(sizes)) == tuple(-(-n // s) for n, s in zip(sizes, stride))


def test_forms_of_padding():
    def parse(padding, n=2):
        return geometry.parse_padding(padding, (9,) * n, (3,) * n, (1,) * n, (1,) * n, "f")

    assert parse(1) == ((1, 1), (1, 1))
    assert parse(np.int64(1)) == ((1, 1), (1, 1))
    assert parse([2]) == ((2, 2), (2, 2))
    assert parse((1, 2)) == ((1, 1), (2, 2))
    assert parse(((1, 2), (3, 4))) == ((1, 2), (3, 4))
    assert parse(np.array([[1, 2], [3, 4]])) == ((1, 2), (3, 4))
    assert parse(((1, 2), 3)) == ((1, 2), (3, 3))
    assert parse(((1, 2),), 1) == ((1, 2),)
    assert parse("valid", 3) == ((0, 0),) * 3


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"padding": -1}, ValueError, ["conv2d", "padding", "at least 0", "-1"]),
        ({"padding": ((0, 0), (0, -1))}, ValueError, ["conv2d", "padding", "at least 0", "-1"]),
        ({"padding": "full"}, ValueError, ["conv2d", "padding", "same", "valid", "full"]),
        ({"padding": (1, 2, 3)}, ValueError, ["padding", "2", "3", "(1, 2, 3)"]),
        ({"padding": ((1, 2, 3), (1, 2, 3))}, ValueError, ["padding", "pairs", "(1, 2, 3)"]),
        ({"padding": ((1, 2),)}, ValueError, ["padding", "pair", "2", "got 1"]),
        ({"padding": 1.0}, TypeError, ["padding", "integers", "1.0"]),
        ({"padding": (True, 1)}, TypeError, ["padding", "integers", "True"]),
        ({"padding": None}, TypeError, ["padding", "None"]),
        ({"stride": 0}, ValueError, ["conv2d", "stride", "at least 1", "0"]),
        ({"stride": (1, -2)}, ValueError, ["stride", "at least 1", "(1, -2)"]),
        ({"stride": True}, TypeError, ["stride", "integers", "True"]),
        ({"stride": "2"}, TypeError, ["stride", "integers", "'2'"]),
        ({"stride": ()}, ValueError, ["stride", "got 0"]),
        ({"dilation": 0}, ValueError, ["dilation", "at least 1", "0"]),
        ({"dilation": (1, 1, 1)}, ValueError, ["dilation", "got 3"]),
        ({"kernel": (0, 3)}, ValueError, ["kernel", "at least 1", "(0, 3)"]),
        ({"kernel": (3, 5), "dilation": 3, "padding": 2}, ValueError, ["effective kernel 13", "padded input 12"]),
        ({"sizes": (2, 3, 4, 5)}, ValueError, ["4"]),
    ],
)
def test_errors_name_function_argument_value_and_rule(arguments, error, words):
    arguments = {"sizes": (8, 8), "kernel": (3, 3), **arguments}
    with pytest.raises(error) as raised:
        Window.of("conv2d", **arguments)
    for word in words:
        assert word in str(raised.value)
    assert str(raised.value).startswith("conv2d: ")


def test_a_cached_window_does_not_hide_an_error():
    assert Window.of("f", (4, 4), (2, 2), (1, 1)) == Window.of("f", (4, 4), (2, 2), (1, 1))
    for stride in (True, 1.0, (True, 1), (1.0, 1)):
        with pytest.raises(TypeError):
            Window.of("f", (4, 4), (2, 2), stride)


def test_axis_of_length_zero_works_where_an_output_exists():
    assert Window.of("f", (0, 5), (2, 2), padding=1).spatial(2) == (1, 6)
    with pytest.raises(ValueError, match="padded input 0"):
        Window.of("f", (0, 5), (1, 1))


def test_pool_padding_above_half_is_an_error_for_integers():
    for kernel, dilation, padding, fine in [(2, 1, 1, True), (3, 1, 2, False), (3, 2, 2, True), (3, 2, 3, False)]:
        window = Window.of("max_pool1d", (9,), kernel, 1, padding, dilation)
        if fine:
            geometry.check_pool_padding("max_pool1d", window, padding)
        else:
            with pytest.raises(ValueError, match=rf"max_pool1d: .*half.*padding {padding}"):
                geometry.check_pool_padding("max_pool1d", window, padding)


def test_blind_windows_against_looking_at_each():
    found = set()
    for size, kernel, stride, before, after, dilation in GRID:
        windows = _reads(size, kernel, stride, before, after, dilation)
        if not windows:
            continue
        blind = [i for i, taps in enumerate(windows) if not any(before <= t < before + size for t in taps)]
        window = Window.of("pool", (size,), kernel, stride, ((before, after),), dilation)
        expected = (2, blind[0]) if blind else None
        result = geometry.blind_window(window)
        # Ours may name the first window behind the input although one before it is blind, too; never the reverse.
        assert (result is None) == (expected is None)
        if result is not None:
            assert result[1] in blind
        found.add(expected is None)
        if blind:
            with pytest.raises(ValueError, match="wholly in padding"):
                geometry.check_pool_padding("pool", window, ((before, after),))
        else:
            geometry.check_pool_padding("pool", window, ((before, after),))
    assert found == {True, False}


def test_asymmetric_pool_padding_above_half_is_fine_if_every_window_sees_the_input():
    window = Window.of("pool", (5,), 3, 1, ((2, 0),))
    geometry.check_pool_padding("pool", window, ((2, 0),))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "extra", "dilation", "result"),
    [
        (3, 1, 2, 0, 0, 1, 5),
        (3, 3, 2, 1, 1, 1, 6),
        (4, 3, 1, 0, 0, 2, 8),
        (3, 2, 1, 0, 1, 3, 7),
        (5, 4, 3, 2, 2, 1, 14),
    ],
)
def test_transposed(size, kernel, stride, padding, extra, dilation, result):
    window = Window.transposed("f", (size,), kernel, stride, padding, extra, dilation)
    assert window.size[2] == result == (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
    assert window.spatial(1) == (size,)
    if extra < stride:  # otherwise the correlation has more windows than the transposed convolution reads
        assert window == Window.of("f", (result,), kernel, stride, padding, dilation)


@pytest.mark.parametrize("size", range(1, 5))
@pytest.mark.parametrize("kernel", range(1, 5))
@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("dilation", [1, 2])
def test_transposed_same_is_the_adjoint_of_same(size, kernel, stride, dilation):
    window = Window.transposed("f", (size,), kernel, stride, "same", 0, dilation)
    assert window.size[2] == size * stride
    assert window.spatial(1) == (size,)
    assert window == Window.of("f", (size * stride,), kernel, stride, "same", dilation)


def test_transposed_errors():
    for arguments, words in [
        ({"output_padding": 2}, "output_padding 2, stride 2, dilation 1"),
        ({"output_padding": -1}, "output_padding must be at least 0"),
        ({"padding": "same", "output_padding": 1}, 'output_padding must be 0 with padding "same"'),
        ({"padding": 5}, "size -3"),
        ({"sizes": (0,)}, "at least 1"),
    ]:
        with pytest.raises(ValueError, match=f"^f: .*{words}"):
            Window.transposed("f", **{"sizes": (3,), "kernel": 3, "stride": 2, **arguments})


def test_ceil_mode_lets_a_larger_kernel_hang_over_the_end_once():
    assert Window.of("max_pool1d", (2,), 3, 2, 0, 1, True).spatial(1) == (1,)
    with pytest.raises(ValueError, match="max_pool1d: the kernel is larger than the padded input"):
        Window.of("max_pool1d", (2,), 4, 2, 0, 1, True)
    with pytest.raises(ValueError, match="effective kernel 3"):
        Window.of("max_pool1d", (2,), 3, 2, 0, 1, False)
