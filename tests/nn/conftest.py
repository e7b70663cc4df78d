"""Oracles for the neural functions: nested loops over the definitions, which import nothing of ours."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest


def _count(size, kernel, stride, before, after, dilation):
    """Count the windows that fit into the padded input, one by one."""
    windows = 0
    while windows * stride + (kernel - 1) * dilation < size + before + after:
        windows += 1
    return windows


def _count_ceil(size, kernel, stride, before, after, dilation):
    """Count windows that start in the input or in the padding before it, until one reaches the end."""
    windows = 1
    while (windows - 1) * stride + (kernel - 1) * dilation < size + before + after - 1:
        if windows * stride >= size + before:
            break
        windows += 1
    return windows


def _same(size, kernel, stride, dilation):
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _reads(sizes, kernel, stride, padding, dilation, out):
    """Yield (output, tap, input) index tuples for all taps in the input; the last one may be None: padding."""
    n = len(sizes)
    for i in itertools.product(*map(range, out)):
        for u in itertools.product(*map(range, kernel)):
            h = tuple(i[a] * stride[a] + u[a] * dilation[a] - padding[a][0] for a in range(n))
            yield i, u, h, all(0 <= h[a] < sizes[a] for a in range(n))


def _conv(x, w, bias, gy, stride, padding, dilation, groups=1):
    """Return y, gx, gw, gb of a convolution, channels first: one small product for each output, tap and group.

    x (N, C, ...), w (O, C//G, ...), gy as y, or None: then only y. stride, dilation: one for each axis;
    padding: a pair for each axis.
    """
    sizes, kernel = x.shape[2:], w.shape[2:]
    out = tuple(_count(*axis) for axis in zip(sizes, kernel, stride, *zip(*padding), dilation))
    per_group, outputs = w.shape[1], w.shape[0] // groups
    y = np.zeros((x.shape[0], w.shape[0], *out), np.result_type(x, w))
    if bias is not None:
        y += bias.reshape(-1, *(1,) * len(sizes))
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for i, u, h, inside in _reads(sizes, kernel, stride, padding, dilation, out):
        if not inside:
            continue
        for g in range(groups):
            c, o = slice(g * per_group, (g + 1) * per_group), slice(g * outputs, (g + 1) * outputs)
            taps = w[(o, slice(None), *u)]  # (O/G, C/G)
            y[(slice(None), o, *i)] += x[(slice(None), c, *h)] @ taps.T
            if gy is not None:
                gx[(slice(None), c, *h)] += gy[(slice(None), o, *i)] @ taps
                gw[(o, slice(None), *u)] += gy[(slice(None), o, *i)].T @ x[(slice(None), c, *h)]
    if gy is None:
        return y
    return y, gx, gw, gy.sum(axis=(0, *range(2, gy.ndim)))


def _wins(value, best, column_first):
    """Whether a later value takes the place of the best so far."""
    if value != value:
        return True  # the last NaN of all
    return best == best and value > best


def _max_pool(x, kernel, stride, padding, dilation, gy=None, ceil=False, ties="row"):
    """Return y, indices, gx of a maximum pool, channels first: every element of every window is looked at."""
    sizes = x.shape[2:]
    count = _count_ceil if ceil else _count
    out = tuple(count(*axis) for axis in zip(sizes, kernel, stride, *zip(*padding), dilation))
    y = np.zeros(x.shape[:2] + out, x.dtype)
    indices = np.zeros(y.shape, np.int64)
    gx = np.zeros(x.shape)
    taps = list(itertools.product(*map(range, kernel)))
    if ties == "column":
        taps.sort(key=lambda u: u[::-1])
    for n, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
        for i in itertools.product(*map(range, out)):
            best = place = None
            for u in taps:
                h = tuple(i[a] * stride[a] + u[a] * dilation[a] - padding[a][0] for a in range(len(sizes)))
                if all(0 <= h[a] < sizes[a] for a in range(len(sizes))):
                    value = x[(n, c, *h)]
                    if best is None or _wins(value, best, ties == "column"):
                        best, place = value, h
            y[(n, c, *i)] = best
            indices[(n, c, *i)] = np.ravel_multi_index(place, sizes)
            if gy is not None:
                gx[(n, c, *place)] += gy[(n, c, *i)]
    return y, indices, gx


def _avg_pool(x, kernel, stride, padding, gy=None, ceil=False, include_pad=True, divisor=None):
    """Return y and gx of an average pool, channels first."""
    sizes = x.shape[2:]
    count = _count_ceil if ceil else _count
    dilation = (1,) * len(sizes)
    out = tuple(count(*axis) for axis in zip(sizes, kernel, stride, *zip(*padding), dilation))
    y, gx = np.zeros(x.shape[:2] + out), np.zeros(x.shape)
    every = (slice(None), slice(None))
    for i in itertools.product(*map(range, out)):
        starts = [i[a] * stride[a] - padding[a][0] for a in range(len(sizes))]
        padded = inside = 1
        window = []
        for a, start in enumerate(starts):
            end = start + kernel[a]
            padded *= min(end, sizes[a] + padding[a][1]) - start
            inside *= min(end, sizes[a]) - max(start, 0)
            window.append(slice(max(start, 0), min(end, sizes[a])))
        by = divisor or (padded if include_pad else inside)
        y[(*every, *i)] = x[(*every, *window)].sum(axis=tuple(range(2, x.ndim))) / by
        if gy is not None:
            gx[(*every, *window)] += (gy[(*every, *i)] / by).reshape(*gy.shape[:2], *(1,) * len(sizes))
    return y, gx


@pytest.fixture
def oracle():
    """Forward and gradient of convolution and pooling by nested loops."""
    return SimpleNamespace(conv=_conv, max_pool=_max_pool, avg_pool=_avg_pool, same=_same)


@pytest.fixture
def pulled():
    """``pulled(function, gy, *arrays)``: the output and the gradients of the arrays, all as ndarrays."""
    import autograd_conv as ac

    def pull(function, gy, *arrays):
        tensors = [None if array is None else ac.tensor(array, requires_grad=True) for array in arrays]
        y = function(*tensors)
        y.backward(gy)
        return y.numpy(), *[None if tensor is None else tensor.grad for tensor in tensors]

    return pull
