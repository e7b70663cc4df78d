"""Neural functions that are neither convolutions nor pools: values and gradients against PyTorch, name by name."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

torch = pytest.importorskip("torch")
F = torch.nn.functional

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.standard_normal(shape)


KINKS = np.array([-np.inf, -6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0, np.inf, np.nan])
SIGNS = np.array([1.0, -1, -1, 1, 1])


def compare(name, args, options=None, torch_options=None, differentiate=None, rtol=1e-9):
    """Values, and gradients for a random cotangent, of one call."""
    options = options or {}
    ours = [ac.tensor(a, requires_grad=True) if _is_float(a) else a for a in args]
    theirs = [_torch(a) for a in args]
    wanted = [k for k, a in enumerate(args) if _is_float(a)] if differentiate is None else differentiate
    their_options = {key: _torch(value) for key, value in (options if torch_options is None else torch_options).items()}
    for k in wanted:
        theirs[k].requires_grad_(True)
    found = getattr(nn, name)(*ours, **options)
    expected = getattr(F, name)(*theirs, **their_options)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=rtol, atol=1e-12)
    assert found.shape == tuple(expected.shape)
    if not expected.requires_grad:
        return
    seed = np.random.default_rng(1).standard_normal(found.shape)
    found.backward(seed)
    expected.backward(torch.as_tensor(seed))
    for k in wanted:
        gradient = np.zeros(args[k].shape) if theirs[k].grad is None else theirs[k].grad.numpy()
        mine = np.zeros(args[k].shape) if ours[k].grad is None else ours[k].grad
        np.testing.assert_allclose(mine, gradient, rtol=rtol, atol=1e-11, err_msg=f"argument {k}")


def _is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _torch(a):
    return torch.tensor(a) if isinstance(a, np.ndarray) else a


@pytest.mark.parametrize("x", [real(3, 4) * 3, KINKS], ids=["random", "kinks"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("relu", {}),
        ("relu6", {}),
        ("hardtanh", {}),
        ("hardtanh", {"min_val": -0.5, "max_val": 3.0}),
        ("hardsigmoid", {}),
        ("threshold", {"threshold": 0.5, "value": 7.0}),
        ("softsign", {}),
        ("tanhshrink", {}),
        ("hardshrink", {}),
        ("hardshrink", {"lambd": 1.0}),
        ("softshrink", {}),
        ("selu", {}),
        ("celu", {}),
        ("celu", {"alpha": 0.5}),
        ("elu", {}),
        ("gelu", {}),
        ("gelu", {"approximate": "tanh"}),
        ("logsigmoid", {}),
        ("rrelu", {}),
    ],
)
def test_activations(name, options, x):
    if x is KINKS and name in ("softsign", "tanhshrink", "gelu", "selu", "celu", "elu"):
        x = x[np.isfinite(x)]  # at infinity PyTorch's formulas give NaN
    if x is KINKS and name == "hardsigmoid":
        x = x[:-1]  # PyTorch's gradient at NaN is 0
    compare(name, [x], options, rtol=1e-7)


@pytest.mark.parametrize("name", ["hardswish", "mish", "softsign", "tanhshrink", "gelu", "celu", "selu"])
def test_activations_at_the_edges(name):
    finite = KINKS[np.isfinite(KINKS)]
    if name not in ("selu", "celu"):
        compare(name, [finite], rtol=1e-7)
    if name in ("hardswish", "mish", "gelu", "selu", "celu"):
        x = ac.tensor(np.array([-np.inf, np.inf, -1e30, 1e30]), requires_grad=True)
        y = getattr(nn, name)(x)
        y.backward(np.ones(4))
        assert not np.isnan(y.data).any()
        assert not np.isnan(x.grad).any()


def test_gates_and_softmax_relatives():
    compare("glu", [real(3, 4)])
    compare("glu", [real(4, 3)], {"axis": 0}, {"dim": 0})
    compare("softmin", [real(3, 4)], {"axis": 1}, {"dim": 1})
    compare("prelu", [real(2, 3, 4), real(3)])
    compare("prelu", [real(2, 3), real(1)])
    compare("prelu", [KINKS, real(1)], differentiate=[0])


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("l1_loss", [real(3, 4), real(3, 4)], {}),
        ("smooth_l1_loss", [real(3, 4) * 2, real(3, 4)], {}),
        ("smooth_l1_loss", [real(3, 4) * 2, real(3, 4)], {"beta": 0.3}),
        ("smooth_l1_loss", [real(3, 4) * 2, real(3, 4)], {"beta": 0.0}),
        ("huber_loss", [real(3, 4) * 2, real(3, 4)], {"delta": 0.7}),
        ("mse_loss", [real(3, 4), real(3, 4)], {}),
        ("poisson_nll_loss", [real(3, 4), np.abs(real(3, 4)) * 3], {}),
        ("poisson_nll_loss", [np.abs(real(3, 4)), np.abs(real(3, 4)) * 3], {"log_input": False, "full": True}),
        ("gaussian_nll_loss", [real(3, 4), real(3, 4), np.abs(real(3, 4))], {}),
        ("gaussian_nll_loss", [real(3, 4), real(3, 4), np.abs(real(3, 1))], {"full": True}),
        ("gaussian_nll_loss", [real(3, 4), real(3, 4), np.abs(real(3))], {"eps": 0.3}),
        ("kl_div", [real(3, 4), np.abs(real(3, 4))], {}),
        ("kl_div", [real(3, 4), real(3, 4)], {"log_target": True}),
        ("binary_cross_entropy", [RNG.random((3, 4)), RNG.random((3, 4))], {}),
        ("hinge_embedding_loss", [real(5), SIGNS], {"margin": 0.7}),
        ("margin_ranking_loss", [real(5), real(5), SIGNS], {"margin": 0.2}),
        ("soft_margin_loss", [real(5), SIGNS], {}),
        ("cosine_embedding_loss", [real(5, 3), real(5, 3), SIGNS], {"margin": 0.1}),
        ("multi_margin_loss", [real(5, 4), np.array([0, 3, 1, 2, 2])], {}),
        ("multi_margin_loss", [real(5, 4), np.array([0, 3, 1, 2, 2])], {"p": 2, "margin": 0.5}),
        ("multilabel_margin_loss", [real(2, 4), np.array([[3, 0, -1, 1], [2, -1, 1, 1]])], {}),
        ("multilabel_soft_margin_loss", [real(3, 4), RNG.integers(0, 2, (3, 4)).astype(float)], {}),
        ("triplet_margin_loss", [real(5, 3), real(5, 3), real(5, 3)], {}),
        ("triplet_margin_loss", [real(5, 3), real(5, 3), real(5, 3)], {"swap": True, "p": 1.0, "margin": 2.0}),
        ("triplet_margin_with_distance_loss", [real(5, 3), real(5, 3), real(5, 3)], {"swap": True}),
    ],
)
def test_losses(name, args, options, reduction):
    skip_target = [k for k in range(len(args)) if _is_float(args[k]) and args[k] is not SIGNS]
    if name == "poisson_nll_loss":
        skip_target = [0]
    compare(name, args, {**options, "reduction": reduction}, differentiate=skip_target, rtol=1e-7)


def test_weighted_losses():
    weight = np.abs(real(3, 4))
    compare("l1_loss", [real(3, 4), real(3, 4)], {"weight": weight, "reduction": "none"})
    compare("binary_cross_entropy", [RNG.random((3, 4)), RNG.random((3, 4))], {"weight": weight})
    compare(
        "multilabel_soft_margin_loss",
        [real(3, 4), RNG.random((3, 4)).round()],
        {"weight": weight[0]},
        differentiate=[0],
    )
    compare("multi_margin_loss", [real(5, 4), np.array([0, 3, 1, 2, 2])], {"weight": weight[0]})
    compare("kl_div", [real(3, 4), np.abs(real(3, 4))], {"reduction": "batchmean"})
    compare("binary_cross_entropy", [np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])], differentiate=[])


@pytest.mark.parametrize(
    ("name", "args", "options", "theirs"),
    [
        ("layer_norm", [real(2, 3, 4)], {"normalized_shape": (4,)}, None),
        ("layer_norm", [real(2, 3, 4), (3, 4), real(3, 4), real(3, 4)], {"eps": 0.1}, None),
        ("rms_norm", [real(2, 3, 4), (4,), real(4)], {}, None),
        ("rms_norm", [real(2, 3, 4), (3, 4)], {"eps": 0.1}, None),
        ("group_norm", [real(2, 6, 3, 2), 3, real(6), real(6)], {}, None),
        ("group_norm", [real(2, 6)], {"num_groups": 2}, None),
        ("instance_norm", [real(2, 3, 4, 2)], {}, None),
        ("normalize", [real(3, 4)], {"p": 3.0}, None),
        ("normalize", [real(3, 4)], {"axis": 0}, {"dim": 0}),
        ("cosine_similarity", [real(3, 4), real(3, 4)], {}, None),
        ("cosine_similarity", [real(3, 1, 4), real(2, 4)], {"axis": -1}, {"dim": -1}),
        ("pairwise_distance", [real(3, 4), real(3, 4)], {"p": 1.0, "keepdim": True}, None),
        ("pairwise_distance", [real(3, 4), real(4)], {}, None),
        ("pdist", [real(4, 3)], {}, None),
        ("bilinear", [real(2, 5, 3), real(2, 5, 4), real(6, 3, 4), real(6)], {}, None),
    ],
)
def test_normalizations_and_distances(name, args, options, theirs):
    compare(name, args, options, theirs, rtol=1e-7)


def test_instance_norm_updates_running_statistics():
    x = real(2, 3, 4, 2)
    ours, theirs = [np.zeros(3), np.ones(3)], [torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)]
    nn.instance_norm(x, *ours, momentum=0.3)
    F.instance_norm(torch.tensor(x), *theirs, momentum=0.3)
    for mine, other in zip(ours, theirs):
        np.testing.assert_allclose(mine, other.numpy())
    found = nn.instance_norm(x, *ours, use_input_stats=False)
    np.testing.assert_allclose(found.data, F.instance_norm(torch.tensor(x), *theirs, use_input_stats=False).numpy())


def test_embeddings():
    index, table = RNG.integers(0, 5, (3, 4)), real(5, 2)
    index[0, :2] = 1
    compare("embedding", [index, table])
    compare("embedding", [index, table], {"padding_idx": 1, "scale_grad_by_freq": True})
    compare("embedding", [index[:0], table])
    np.testing.assert_array_equal(nn.one_hot(index).data, F.one_hot(torch.tensor(index)).numpy())
    np.testing.assert_array_equal(nn.one_hot(index, 7).data, F.one_hot(torch.tensor(index), 7).numpy())
    offsets = np.array([0, 3, 3, 7])
    for mode in ("mean", "sum", "max"):
        compare("embedding_bag", [index, table], {"mode": mode})
        compare("embedding_bag", [index.ravel(), table], {"mode": mode, "offsets": offsets})
        compare("embedding_bag", [index, table], {"mode": mode, "padding_idx": 1})
        compare(
            "embedding_bag", [index.ravel(), table], {"mode": mode, "offsets": offsets, "include_last_offset": True}
        )
    weights = real(3, 4)
    compare("embedding_bag", [index, table], {"mode": "sum", "per_sample_weights": weights})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": RNG.random((3, 5)) > 0.3},
        {"attn_mask": real(2, 1, 3, 5)},
    ],
)
def test_scaled_dot_product_attention(options):
    compare("scaled_dot_product_attention", [real(2, 2, 3, 4), real(2, 2, 5, 4), real(2, 2, 5, 6)], options, rtol=1e-7)


def test_attention_with_shared_heads_and_nothing_to_attend_to():
    compare(
        "scaled_dot_product_attention", [real(2, 4, 3, 4), real(2, 2, 5, 4), real(2, 2, 5, 6)], {"enable_gqa": True}
    )
    mask = np.zeros((3, 5), bool)
    x = ac.tensor(real(3, 4), requires_grad=True)
    out = nn.scaled_dot_product_attention(x, real(5, 4), real(5, 2), mask)
    out.sum().backward()
    np.testing.assert_array_equal(out.data, np.zeros((3, 2)))
    np.testing.assert_array_equal(x.grad, np.zeros((3, 4)))


@pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("case", ["plain", "masked", "extra", "separate", "heads"])
def test_multi_head_attention(case, batched):
    length, keys, batch, features, heads = 3, 5, 2, 8, 2
    sources = [real(length, batch, features), real(keys, batch, features), real(keys, batch, features)]
    if not batched:
        sources = [s[:, 0] for s in sources]
        batch = 1
    values = {
        "in_proj_weight": real(24, 8), "in_proj_bias": real(24), "bias_k": None, "bias_v": None, "add_zero_attn": False,
        "dropout_p": 0.0, "out_proj_weight": real(8, 8), "out_proj_bias": real(8),
    }  # fmt: skip
    options = {}
    if case == "masked":
        padding = np.zeros((batch, keys), bool)
        padding[0, 3:] = True
        options = {
            "attn_mask": real(batch * heads, length, keys),
            "key_padding_mask": padding if batched else padding[0],
        }
    if case == "extra":
        values |= {"bias_k": real(1, 1, 8), "bias_v": real(1, 1, 8), "add_zero_attn": True}
        options = {"attn_mask": np.triu(np.ones((length, keys), bool), 2)}
    if case == "separate":
        values["in_proj_weight"] = None
        options = {
            "use_separate_proj_weight": True,
            "q_proj_weight": real(8, 8),
            "k_proj_weight": real(8, 8),
            "v_proj_weight": real(8, 8),
        }
    if case == "heads":
        options = {"average_attn_weights": False}
    options |= {"training": False}
    ours = [ac.tensor(s, requires_grad=True) for s in sources]
    theirs = [torch.tensor(s, requires_grad=True) for s in sources]
    found = nn.multi_head_attention_forward(*ours, features, heads, *values.values(), **options)
    if not batched and case == "masked":
        options["key_padding_mask"] = padding[0]
    expected = F.multi_head_attention_forward(
        *theirs, features, heads, *map(_torch, values.values()), **{k: _torch(v) for k, v in options.items()}
    )
    for mine, other in zip(found, expected):
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-7, atol=1e-12)
    seed = np.random.default_rng(2).standard_normal(found[0].shape)
    found[0].backward(seed)
    expected[0].backward(torch.tensor(seed))
    for mine, other in zip(ours, theirs):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("layout", ["padded", "joined"])
def test_ctc_loss(reduction, layout):
    times, batch, classes = 9, 4, 5
    log = real(times, batch, classes)
    log = log - np.log(np.exp(log).sum(-1, keepdims=True))
    counts, durations = np.array([3, 0, 4, 1]), np.array([9, 6, 8, 2])
    targets = RNG.integers(1, classes, (batch, 4))
    targets[2] = [2, 2, 1, 1]  # repeated labels need a blank between them
    if layout == "joined":
        targets = np.concatenate([row[:n] for row, n in zip(targets, counts)])
    options = {"reduction": reduction}
    x, t = ac.tensor(log, requires_grad=True), torch.tensor(log, requires_grad=True)
    found = nn.ctc_loss(x, targets, durations, counts, **options)
    expected = F.ctc_loss(t, *map(torch.tensor, (targets, durations, counts)), **options)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-9)
    seed = np.random.default_rng(3).standard_normal(found.shape)
    found.backward(seed)
    expected.backward(torch.tensor(seed))
    # PyTorch's gradient supposes that log_probs came out of a log-softmax: compare what arrives before one.
    p = np.exp(log)
    mine, theirs = (g - p * g.sum(-1, keepdims=True) for g in (x.grad, t.grad.numpy()))
    np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-10)


def test_ctc_loss_of_targets_that_do_not_fit():
    log = np.log(np.full((2, 1, 3), 1 / 3))
    x = ac.tensor(log, requires_grad=True)
    assert nn.ctc_loss(x, [[1, 1]], [2], [2], reduction="sum").item() == np.inf
    loss = nn.ctc_loss(x, [[1, 1]], [2], [2], reduction="sum", zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(x.grad, np.zeros(log.shape))
    # Without a batch, and against all paths counted by hand.
    single = np.log(np.array([[0.5, 0.3, 0.2], [0.4, 0.1, 0.5]]))
    paths = 0.3 * 0.1 + 0.3 * 0.4 + 0.5 * 0.1
    assert nn.ctc_loss(single, [1], 2, 1, reduction="sum").item() == pytest.approx(-np.log(paths))
