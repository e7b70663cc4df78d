"""Channels-last memory travels through a network, forward and backward: it converts once, at its entrance."""

from __future__ import annotations

import numpy as np
import pytest
from autograd_conv.kernels import channelwise, correlation, maximum, outer, pooling, products, transposition

import autograd_conv as ac
from autograd_conv import nn

SEEN: list[np.ndarray] = []


@ac.primitive
def watched(x):
    return x.copy(order="K")


def _watched_x(g):
    SEEN.append(g)
    return g


watched.defvjp(x=_watched_x)


def _lies_channels_last(array):
    return np.moveaxis(array, 1, -1).flags.c_contiguous


def _layers(rng):
    w = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    one = rng.standard_normal((16, 16, 1, 1)).astype(np.float32)
    vector = np.ones(16, np.float32)
    return {
        "conv": lambda x: nn.conv2d(x, w, vector, padding=1),
        "pointwise": lambda x: nn.conv2d(x, one),
        "transposed": lambda x: nn.conv_transpose2d(x, w, stride=2, padding=1),
        "batch_norm": lambda x: nn.batch_norm(x, None, None, vector, vector, training=True),
        "evaluation": lambda x: nn.batch_norm(x, np.zeros(16), np.ones(16), vector, vector),
        "relu": nn.relu,
        "leaky_relu": nn.leaky_relu,
        "sigmoid": nn.sigmoid,
        "dropout": lambda x: nn.dropout(x, 0.3, rng=0),
        "max_pool": lambda x: nn.max_pool2d(x, 2),
        "avg_pool": lambda x: nn.avg_pool2d(x, 2),
        "residual": lambda x: nn.relu(x) + x,
        "scaled": lambda x: 2.0 * x - 1.0,
        "concatenated": lambda x: ac.concatenate([x, nn.relu(x)], axis=1),
    }


@pytest.mark.parametrize("name", list(_layers(np.random.default_rng(0))))
@pytest.mark.parametrize("large", [False, True])
def test_each_layer_keeps_the_order(rng, name, large):
    SEEN.clear()
    shape = (8, 24, 24, 16) if large else (2, 6, 6, 16)
    x = ac.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True).transpose(0, 3, 1, 2)
    layer = _layers(rng)[name]
    y = layer(watched(x))
    assert _lies_channels_last(y.data)
    g = np.ascontiguousarray(rng.standard_normal(y.shape).astype(np.float32).transpose(0, 2, 3, 1))
    y.backward(ac.tensor(g).transpose(0, 3, 1, 2).data)
    assert _lies_channels_last(SEEN.pop())


def test_a_network_converts_at_its_entrance_and_where_it_flattens(rng, monkeypatch):
    converted = []

    def counted(array, dtype):
        result = transposition.channels_last(array, dtype)
        if not np.shares_memory(result, array):
            converted.append(array.shape)
        return result

    for module in (channelwise, correlation, maximum, outer, pooling, products):
        if hasattr(module, "channels_last"):
            monkeypatch.setattr(module, "channels_last", counted)

    def parameter(*shape):
        return ac.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)

    w, v, fc = parameter(8, 3, 3, 3), parameter(8, 8, 3, 3), parameter(10, 8 * 16)
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    h = nn.relu(nn.batch_norm(nn.conv2d(x, w, padding=1), None, None, training=True))
    h = nn.max_pool2d(h + nn.relu(nn.conv2d(h, v, padding=1)), 2)
    h = nn.max_pool2d(nn.dropout(nn.conv2d(h, v, padding=1), 0.5, rng=0), 2)
    assert converted == []  # the first layer reads the planes of its input as they lie
    converted.clear()
    nn.cross_entropy(nn.linear(nn.flatten(h), fc), np.arange(4)).backward()
    assert converted == [(4, 1, 4, 4, 8)]
