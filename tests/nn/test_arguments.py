"""Arguments that are none: what all neural functions say of them, by one table of calls."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

ones = np.ones
IMAGE, LOGITS = ones((2, 4, 6, 6)), ones((5, 4))
POOLED = nn.max_pool2d(IMAGE, 2, return_indices=True)

# One good call of each function.
CALLS = {
    "conv1d": {"input": ones((2, 4, 6)), "weight": ones((3, 4, 2)), "bias": ones(3), "stride": 1, "padding": 0,
               "dilation": 1, "groups": 1},
    "conv2d": {"input": IMAGE, "weight": ones((3, 4, 2, 2)), "bias": ones(3), "stride": 1, "padding": 0,
               "dilation": 1, "groups": 1},
    "conv3d": {"input": IMAGE[None], "weight": ones((3, 2, 2, 2, 2)), "bias": ones(3), "stride": 1},
    "conv_transpose2d": {"input": IMAGE, "weight": ones((4, 3, 2, 2)), "bias": ones(3), "stride": 2, "padding": 0,
                         "output_padding": 1, "groups": 1, "dilation": 1},
    "conv2d_input": {"input_size": (2, 4, 6, 6), "weight": ones((3, 4, 2, 2)), "grad_output": ones((2, 3, 5, 5)),
                     "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv2d_weight": {"input": IMAGE, "weight_size": (3, 4, 2, 2), "grad_output": ones((2, 3, 5, 5)), "stride": 1},
    "max_pool2d": {"input": IMAGE, "kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False,
                   "return_indices": False},
    "avg_pool2d": {"input": IMAGE, "kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False,
                   "count_include_pad": True, "divisor_override": 3},
    "lp_pool2d": {"input": IMAGE, "norm_type": 2.0, "kernel_size": 2, "stride": 2, "ceil_mode": False},
    "adaptive_avg_pool2d": {"input": IMAGE, "output_size": 2},
    "adaptive_max_pool2d": {"input": IMAGE, "output_size": 2, "return_indices": False},
    "fractional_max_pool2d": {"input": IMAGE, "kernel_size": 2, "output_size": 2, "return_indices": False},
    "fractional_max_pool3d": {"input": IMAGE[None], "kernel_size": 1, "output_ratio": 0.5},
    "global_avg_pool2d": {"input": IMAGE},
    "global_max_pool2d": {"input": IMAGE},
    "max_unpool2d": {"input": POOLED[0].data, "indices": POOLED[1].data, "kernel_size": 2, "stride": 2, "padding": 0},
    "unfold": {"input": IMAGE, "kernel_size": 2, "dilation": 1, "padding": 0, "stride": 2},
    "fold": {"input": ones((2, 16, 9)), "output_size": 6, "kernel_size": 2, "dilation": 1, "padding": 0, "stride": 2},
    "pad": {"input": IMAGE, "pad": (1, 1), "value": 0.0},
    "pixel_shuffle": {"input": IMAGE, "upscale_factor": 2},
    "pixel_unshuffle": {"input": IMAGE, "downscale_factor": 2},
    "channel_shuffle": {"input": IMAGE, "groups": 2},
    "interpolate": {"input": IMAGE, "size": 3, "mode": "bilinear", "align_corners": True, "antialias": False},
    "grid_sample": {"input": IMAGE, "grid": ones((2, 3, 3, 2)), "align_corners": False},
    "affine_grid": {"theta": ones((2, 2, 3)), "size": (2, 4, 3, 3), "align_corners": False},
    "local_response_norm": {"input": IMAGE, "size": 2, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
    "relu": {"input": LOGITS},
    "sigmoid": {"input": LOGITS},
    "silu": {"input": LOGITS},
    "tanh": {"input": LOGITS},
    "leaky_relu": {"input": LOGITS, "negative_slope": 0.1},
    "elu": {"input": LOGITS, "alpha": 1.0},
    "softplus": {"input": LOGITS, "beta": 1.0, "threshold": 20.0},
    "softmax": {"input": LOGITS, "axis": 1},
    "log_softmax": {"input": LOGITS, "axis": 1},
    "dropout": {"input": LOGITS, "p": 0.5, "training": True},
    "linear": {"input": LOGITS, "weight": ones((3, 4)), "bias": ones(3)},
    "flatten": {"input": IMAGE, "start_axis": 1, "end_axis": -1},
    "batch_norm": {"input": LOGITS, "running_mean": ones(4), "running_var": ones(4), "weight": ones(4),
                   "bias": ones(4), "training": False, "momentum": 0.1, "eps": 1e-5},
    "cross_entropy": {"input": LOGITS, "target": np.array([0, 1, 2, 3, 0]), "weight": ones(4), "ignore_index": -100,
                      "reduction": "mean", "label_smoothing": 0.1},
    "nll_loss": {"input": LOGITS, "target": np.array([0, 1, 2, 3, 0]), "weight": ones(4), "ignore_index": -100,
                 "reduction": "mean"},
    "mse_loss": {"input": LOGITS, "target": LOGITS, "reduction": "mean", "weight": LOGITS},
    "binary_cross_entropy_with_logits": {"input": LOGITS, "target": LOGITS, "weight": ones(4), "reduction": "mean",
                                         "pos_weight": ones(4)},
}  # fmt: skip


def arguments(kind):
    """(function, argument) of all arguments whose good value is of that kind."""
    return [(name, key) for name, call in CALLS.items() for key, value in call.items() if isinstance(value, kind)]


def refuse(name, argument, value, error, *parts):
    with pytest.raises(error, match=f"^{name}: ") as caught:
        getattr(nn, name)(**{**CALLS[name], argument: value})
    message = str(caught.value)
    assert argument.strip("_").replace("_size", "") in message
    for part in parts:
        assert part in message


# Rooms whose functions have their own table of mistakes, in test_functions.py.
ELSEWHERE = {
    "attention", "ctc", "distance", "dropouts", "embedding", "group_normalization", "margin_loss", "piecewise",
    "regression_loss", "smooth",
}  # fmt: skip


def test_the_table_covers_every_function():
    public = {name for name in dir(nn) if callable(getattr(nn, name)) and not name.startswith("_")}
    public = {name for name in public if getattr(nn, name).__module__.rpartition(".")[2] not in ELSEWHERE}
    stem = lambda name: re.sub(r"\dd", "", name)  # noqa: E731
    assert {stem(name) for name in public} == {stem(name) for name in CALLS}
    for name, call in CALLS.items():
        getattr(nn, name)(**call)


@pytest.mark.parametrize(("name", "argument"), arguments(np.ndarray))
def test_what_is_no_array_of_numbers(name, argument):
    for value in (object(), {}, "text", ["text"], [object()]):
        refuse(name, argument, value, TypeError)
    if argument not in ("bias", "weight", "pos_weight", "running_mean", "running_var") or name.startswith("conv2d_"):
        refuse(name, argument, None, TypeError, "None")
    refuse(name, argument, [[1.0], [2.0, 3.0]], ValueError, "is no array")


@pytest.mark.parametrize(
    ("name", "argument"), [pair for pair in arguments(np.ndarray) if pair[0] not in ("flatten", "pad", "tanh")]
)
def test_complex_numbers(name, argument):
    if "shuffle" not in name:  # these move elements of every kind
        refuse(name, argument, CALLS[name][argument] * 1j, TypeError, "complex128")


@pytest.mark.parametrize(("name", "argument"), arguments(bool))
def test_flags_are_booleans(name, argument):
    """What was meant for another parameter is not taken for True."""
    for value in (1, 0, 2.0, "same", (1, 1), math.nan):
        refuse(name, argument, value, TypeError, "must be True or False", repr(value))
    getattr(nn, name)(**{**CALLS[name], argument: np.bool_(CALLS[name][argument])})


INTEGERS = [pair for pair in arguments(int) if not isinstance(CALLS[pair[0]][pair[1]], bool)]


@pytest.mark.parametrize(("name", "argument"), INTEGERS)
def test_integers_are_integers(name, argument):
    for value in (1.5, "1", True, {1, 2}):
        if argument == "padding" and value == "1":
            refuse(name, argument, value, ValueError, "'1'")
        else:
            refuse(name, argument, value, TypeError, repr(value), "integer")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        pair
        for pair in INTEGERS
        if pair[1] in ("stride", "dilation", "kernel_size", "padding", "output_padding", "groups")
    ],
)
def test_integers_beyond_64_bits(name, argument):
    for value in (2**63, 2**200, -(2**63) - 1):
        with pytest.raises(ValueError, match=f"^{name}: "):
            getattr(nn, name)(**{**CALLS[name], argument: value})


def test_what_was_parsed_for_a_setting_does_not_hold_for_an_equal_one():
    """1, True and 1.0 are equal, and hash alike: what is remembered of calls must tell them apart."""
    image, kernel = ac.tensor(IMAGE), ac.tensor(ones((3, 4, 2, 2)))
    for good, bad in ((1, True), (1, 1.0), ((1, 1), (1, True)), ((1, 1), (1.0, 1))):
        for name in ("stride", "dilation"):
            nn.conv2d(image, kernel, **{name: good})
            nn.max_pool2d(image, 2, **{name: good})
            with pytest.raises(TypeError, match=name):
                nn.conv2d(image, kernel, **{name: bad})
            with pytest.raises(TypeError, match=name):
                nn.max_pool2d(image, 2, **{name: bad})
    nn.max_pool2d(image, 2, ceil_mode=False)
    with pytest.raises(TypeError, match="ceil_mode"):
        nn.max_pool2d(image, 2, ceil_mode=0)
    steps = [1, 1]
    nn.conv2d(image, kernel, stride=steps)
    steps[:] = 2, 2
    assert nn.conv2d(image, kernel, stride=steps).shape == (2, 3, 3, 3)


@pytest.mark.parametrize(("name", "argument"), arguments(float))
def test_numbers_are_numbers(name, argument):
    each_axis = argument == "output_ratio"
    for value in ("1", {}, 1j) if each_axis else ("1", {}, 1j, (1.0, 2.0), [1.0], ones(2)):
        refuse(name, argument, value, TypeError, "number")
    if (name, argument) not in (("pad", "value"), ("fractional_max_pool3d", "output_ratio")):
        refuse(name, argument, None, TypeError, "number", "None")
    getattr(nn, name)(**{**CALLS[name], argument: np.float32(CALLS[name][argument])})


def test_ranges_of_numbers():
    for p in (-0.1, 1.1, math.nan):
        refuse("dropout", "p", p, ValueError, "between 0 and 1")
        refuse("cross_entropy", "label_smoothing", p, ValueError, "between 0 and 1")
    for eps in (-1e-9, math.nan):
        refuse("batch_norm", "eps", eps, ValueError, "at least 0")
    for axis in (2, -3):
        refuse("softmax", "axis", axis, IndexError, "between -2 and 1")


def test_lists_of_tensors_keep_their_history():
    """A list with Tensors in it was taken for numbers, and no gradient reached them."""
    t = ac.tensor([1.0, -2.0], requires_grad=True)
    nn.relu([t, 3 * t]).backward([[1.0, 1.0], [10.0, 10.0]])
    np.testing.assert_array_equal(t.grad, [31.0, 0.0])
    t.grad = None
    nn.conv1d([[t]], [[[t[0], 2.0]]]).backward([[[1.0]]])
    np.testing.assert_array_equal(t.grad, [2.0, 2.0])
    t.grad = None
    nn.max_pool1d([t], 2).backward([[1.0]])
    np.testing.assert_array_equal(t.grad, [1.0, 0.0])
    t.grad = None
    nn.mse_loss([t], [[0.0, 0.0]], "sum").backward()
    np.testing.assert_array_equal(t.grad, [2.0, -4.0])


def test_order_of_parameters_of_pytorch():
    """Positional calls mean the same, here and there; what is ours alone comes behind, or by keyword only."""
    torch = pytest.importorskip("torch")
    functional, gradients = torch.nn.functional, torch.nn.grad
    dropped = ("size_average", "reduce", "inplace", "dtype", "_stacklevel", "out")
    compared = 0
    public = {name for name in dir(nn) if callable(getattr(nn, name)) and not name.startswith("_")}
    for name in sorted(public & {*dir(functional), *dir(gradients)}):
        function = getattr(functional, f"{name}_with_indices", None) or getattr(functional, name, None)
        function = function or getattr(gradients, name)
        try:
            theirs = inspect.signature(function).parameters
        except (TypeError, ValueError):  # written in another language
            found = re.match(r"\s*\w+\((.*?)\)", function.__doc__)
            if found is None:
                continue
            theirs = {item.split("=")[0].strip(): None for item in found[1].split(", ")}
        keyword_only = [key for key, p in theirs.items() if p is not None and p.kind == p.KEYWORD_ONLY]
        names = [{"dim": "axis"}.get(key, key) for key in theirs if key not in (*dropped, *keyword_only)]
        ours = [p.name for p in inspect.signature(getattr(nn, name)).parameters.values() if p.kind != p.KEYWORD_ONLY]
        assert ours[: len(names)] == names, name
        assert ours[len(names) :] == (["divisor_override"] if name == "avg_pool1d" else []), name
        compared += 1
    assert compared >= 40


# What PyTorch refuses and we take on purpose: docs/differences.md.
ON_PURPOSE = {
    "padding": ("same", "valid"),
    "output_size": (None,),
    "fractional_max_pool3d kernel_size": (3,),  # output size + kernel size - 1 is just the size
    "fractional_max_pool3d output_ratio": (1,),
}
SETTINGS = (0, -1, -7, 1, 3, 1.5, math.nan, "a", "same", None, True, (), (0, 0), (-1, 2), (1, 2, 3), (1.0, 2.0),
            (None, 2), ("a", "b"), (1, 1, 1, 1, 1), {}, object)  # fmt: skip
SHAPES = (
    lambda x: x[0],
    lambda x: x[None],
    lambda x: x[..., None],
    lambda x: x[..., :1],
    lambda x: x[:, :-1] if x.ndim > 1 else x[:-1],
    lambda x: np.concatenate([x, x], min(1, x.ndim - 1)),
    lambda x: x.astype(complex),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_what_pytorch_refuses_is_refused(name):
    """Every argument in turn is replaced; where PyTorch raises, so do we, with our own words."""
    torch = pytest.importorskip("torch")
    theirs = (
        getattr(torch.nn.functional, name, None) or getattr(torch.nn.grad, name, None) or getattr(torch, name, None)
    )
    if theirs is None:
        return  # ours alone
    call = CALLS[name]
    for argument, good in call.items():
        bad = [change(good) for change in SHAPES] if isinstance(good, np.ndarray) else SETTINGS
        for value in bad:
            changed = {**call, argument: value}
            rename = {"axis": "dim", "start_axis": "start_dim", "end_axis": "end_dim"}
            converted = {
                rename.get(key, key): torch.tensor(v) if isinstance(v, (np.ndarray, np.generic)) else v
                for key, v in changed.items()
            }
            try:
                theirs(**converted)
            except Exception:  # of any kind: what it says is not for us to repeat
                refused = True
            else:
                refused = False
            try:
                getattr(nn, name)(**changed)
            except (ValueError, TypeError, IndexError) as error:
                assert str(error).startswith(f"{name}: "), (argument, value, error)  # noqa: PT017
            else:
                if isinstance(value, (np.ndarray, np.generic)):
                    assert not refused, (argument, value.shape, value.dtype)
                else:
                    allowed = ON_PURPOSE.get(argument, ()) + ON_PURPOSE.get(f"{name} {argument}", ())
                    assert not refused or value in allowed, (argument, value)
