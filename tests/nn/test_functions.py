"""Neural functions that are neither convolutions nor pools: derivatives of higher order, random ones, errors."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)) * 2 + 0.03
P = RNG.random((3, 4)) * 0.8 + 0.1
SIGNS = np.where(RNG.random((3, 4)) < 0.5, -1, 1)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        *[(getattr(nn, name), (X,)) for name in (
            "relu6", "hardtanh", "hardsigmoid", "hardswish", "softsign", "tanhshrink", "hardshrink", "softshrink",
            "selu", "celu", "gelu", "mish", "logsigmoid", "glu", "softmin", "normalize",
        )],
        (lambda x: nn.gelu(x, "tanh"), (X,)),
        (lambda x: nn.threshold(x, 0.1, 2.0), (X,)),
        (nn.prelu, (X, RNG.random(4))),
        (lambda x: nn.rrelu(x, training=True, rng=0), (X,)),
        (lambda x: nn.gumbel_softmax(x, 0.7, rng=0), (X,)),
        (lambda x, w, b: nn.layer_norm(x, (4,), w, b), (X, P[0], P[1])),
        (lambda x, w: nn.rms_norm(x, 4, w), (X, P[0])),
        (lambda x: nn.group_norm(x, 2), (X,)),
        (lambda x: nn.instance_norm(x[None]), (X,)),
        (nn.cosine_similarity, (X, P)),
        (nn.pairwise_distance, (X, P)),
        (nn.pdist, (X,)),
        (nn.bilinear, (X, P, RNG.random((2, 4, 4)))),
        (lambda w: nn.embedding([[0, 2], [2, 1]], w), (X,)),
        (lambda w, s: nn.embedding_bag([0, 2, 2], w, [0, 1], mode="sum", per_sample_weights=s), (X, P[0, :3])),
        (lambda w: nn.embedding_bag([[0, 2], [2, 1]], w, mode="max"), (X,)),
        (nn.l1_loss, (X, P)),
        (nn.smooth_l1_loss, (X, P)),
        (nn.huber_loss, (X, P)),
        (nn.poisson_nll_loss, (X, P)),
        (nn.gaussian_nll_loss, (X, P, P + 0.5)),
        (nn.kl_div, (X, P)),
        (nn.binary_cross_entropy, (P, P[::-1].copy())),
        (lambda x: nn.hinge_embedding_loss(x, SIGNS), (X,)),
        (lambda a, b: nn.margin_ranking_loss(a, b, SIGNS), (X, P)),
        (lambda x: nn.soft_margin_loss(x, SIGNS), (X,)),
        (lambda a, b: nn.cosine_embedding_loss(a, b, [1, -1, 1]), (X, P)),
        (lambda x: nn.multi_margin_loss(x, [0, 3, 1], 2), (X,)),
        (lambda x: nn.multilabel_margin_loss(x, [[1, 0, -1, 2]] * 3), (X,)),
        (lambda x: nn.multilabel_soft_margin_loss(x, P > 0.5), (X,)),
        (nn.triplet_margin_loss, (X, P, X[:, ::-1].copy())),
        (nn.scaled_dot_product_attention, (X, P, P + 1)),
        (lambda x: nn.ctc_loss(nn.log_softmax(x, -1), [1, 1], [3], [2], blank=3, reduction="sum"), (X,)),
    ],
)  # fmt: skip
def test_first_and_second_derivatives(function, args):
    ac.testing.check_vjp(function, *args, rtol=1e-4, atol=1e-5, max_elements=12)


@pytest.mark.parametrize(
    "name", ["gelu", "selu", "hardswish", "softshrink", "l1_loss", "layer_norm", "normalize", "embedding"]
)
def test_single_precision_stays(name):
    x = ac.tensor(X, dtype=np.float32, requires_grad=True)
    calls = {
        "l1_loss": lambda: nn.l1_loss(x, 0.5),
        "layer_norm": lambda: nn.layer_norm(x, 4),
        "embedding": lambda: nn.embedding([1, 1], x),
    }
    y = calls.get(name, lambda: getattr(nn, name)(x))()
    y.backward(np.ones(y.shape))
    assert y.dtype == x.grad.dtype == np.float32


# --- random functions ------------------------------------------------------------------------------------


def test_dropout_of_channels():
    x = np.ones((20, 30, 4, 5))
    y = nn.dropout2d(x, 0.3, rng=0).data
    per_channel = y.reshape(20, 30, -1)
    assert ((per_channel == 0).all(-1) | (per_channel == per_channel[..., :1]).all(-1)).all()
    assert abs((per_channel[..., 0] == 0).mean() - 0.3) < 0.06
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert nn.dropout1d(np.ones((3, 5)), 0.5, rng=1).shape == (3, 5)
    assert nn.dropout3d(np.ones((2, 3, 2, 2, 2)), 1.0).data.sum() == 0
    np.testing.assert_array_equal(nn.dropout2d(x, 0.3, training=False).data, x)
    t = ac.tensor(x, requires_grad=True)
    nn.dropout2d(t, 0.3, rng=0).sum().backward()
    np.testing.assert_array_equal(t.grad, y)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(3).standard_normal((400, 500))
    for function in (nn.alpha_dropout, nn.feature_alpha_dropout):
        y = function(x, 0.2, True, rng=0).data
        assert abs(y.mean()) < 0.01
        assert abs(y.var() - 1) < 0.02
        np.testing.assert_array_equal(function(x, 0.2).data, x)
    t = ac.tensor(x[:3], requires_grad=True)
    nn.alpha_dropout(t, 0.2, True, rng=0).sum().backward()
    assert len(np.unique(t.grad)) == 2


def test_random_slopes_and_samples():
    x = -np.ones((100, 100))
    y = -nn.rrelu(x, 0.2, 0.4, True, rng=0).data
    assert 0.2 <= y.min() < 0.21
    assert 0.39 < y.max() <= 0.4
    logits = np.log([[0.7, 0.2, 0.1]]) + np.zeros((20000, 1))
    hard = nn.gumbel_softmax(logits, hard=True, rng=0)
    np.testing.assert_allclose(hard.data.mean(0), [0.7, 0.2, 0.1], atol=0.02)
    soft = nn.gumbel_softmax(logits, rng=0)
    np.testing.assert_array_equal(soft.data.argmax(1), hard.data.argmax(1))
    weights = RNG.standard_normal(logits.shape)
    gradients = []
    for flag in (False, True):
        t = ac.tensor(logits, requires_grad=True)
        nn.gumbel_softmax(t, hard=flag, rng=0).backward(weights)
        gradients.append(t.grad)
    np.testing.assert_array_equal(*gradients)


# --- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.hardtanh(X, 1.0, -1.0), ValueError, "'min_val' is 1"),
        (lambda: nn.softshrink(X, -1.0), ValueError, "'lambd' is -1"),
        (lambda: nn.celu(X, 0.0), ValueError, "'alpha' is 0"),
        (lambda: nn.rrelu(X, 0.5, 0.1), ValueError, "'lower' is 0.5"),
        (lambda: nn.prelu(X, np.ones(3)), ValueError, r"'weight' has shape \(3,\)"),
        (lambda: nn.glu(X[:, :3]), ValueError, "must be even"),
        (lambda: nn.gelu(X, "erf"), ValueError, "'erf'"),
        (lambda: nn.gelu(X * 1j), TypeError, "complex128"),
        (lambda: nn.gumbel_softmax(X, 0.0), ValueError, "'tau' is 0"),
        (lambda: nn.one_hot([-1]), IndexError, r"-1 at \(0,\)"),
        (lambda: nn.one_hot([3], 3), IndexError, "between 0 and 2"),
        (lambda: nn.one_hot([0.5]), TypeError, "float64"),
        (lambda: nn.embedding([5], X), IndexError, r"5 at \(0,\)"),
        (lambda: nn.embedding([0], X[0]), ValueError, r"\(4,\)"),
        (lambda: nn.embedding([0], X, padding_idx=3), IndexError, "'padding_idx' is 3"),
        (lambda: nn.embedding_bag([0, 1], X), ValueError, "'offsets' must be given"),
        (lambda: nn.embedding_bag([0, 1], X, [1]), ValueError, "begin with 0"),
        (lambda: nn.embedding_bag([[0, 1]], X, per_sample_weights=[[1.0, 2.0]]), ValueError, "mode='sum'"),
        (lambda: nn.embedding_bag([[0, 1]], X, max_norm=1.0), ValueError, "'max_norm'"),
        (lambda: nn.layer_norm(X, 3), ValueError, "'normalized_shape'"),
        (lambda: nn.layer_norm(X, 4, np.ones(3)), ValueError, "'weight'"),
        (lambda: nn.layer_norm(np.ones((2, 2), int), 2), TypeError, "int64"),
        (lambda: nn.group_norm(X, 3), ValueError, "'num_groups' is 3"),
        (lambda: nn.instance_norm(X), ValueError, "three axes"),
        (lambda: nn.instance_norm(X[None], use_input_stats=False), ValueError, "'running_mean'"),
        (lambda: nn.bilinear(X, X, np.ones((2, 3, 4))), ValueError, "'weight'"),
        (lambda: nn.pdist(X[0]), ValueError, "two axes"),
        (lambda: nn.l1_loss(X, X[:2]), ValueError, r"\(2, 4\)"),
        (lambda: nn.l1_loss(X, X, "avg"), ValueError, "'avg'"),
        (lambda: nn.huber_loss(X, X, delta=0), ValueError, "'delta' is 0"),
        (lambda: nn.gaussian_nll_loss(X, X, -P), ValueError, "negative"),
        (lambda: nn.binary_cross_entropy(X, P), ValueError, "between 0 and 1"),
        (lambda: nn.multi_margin_loss(X, [0, 1, 4]), IndexError, "between 0 and 3"),
        (lambda: nn.multi_margin_loss(X, [0, 1, 2], p=3), ValueError, "'p' is 3"),
        (lambda: nn.scaled_dot_product_attention(X, X[:, :2], X), ValueError, "'key'"),
        (lambda: nn.scaled_dot_product_attention(X, X, X, np.ones((3, 3)), is_causal=True), ValueError, "exclude"),
        (lambda: nn.ctc_loss(X, [1], [3], [2]), ValueError, "'targets' has 1 labels|between 0 and 1"),
        (lambda: nn.ctc_loss(X, [[9]], [3], [1]), IndexError, "between 0 and 3"),
        (lambda: nn.dropout2d(X, 0.5), ValueError, "axes"),
        (lambda: nn.alpha_dropout(X, 1.5), ValueError, "'p' is 1.5"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
