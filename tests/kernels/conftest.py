"""Oracles for the kernels: nested loops over the definition, which import nothing of ours."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest


def _out(size, k, s, before, after, d):
    """Count the windows that fit, one by one."""
    count = 0
    while count * s + (k - 1) * d < size + before + after:
        count += 1
    return count


def _products(size, kernel, stride, before, dilation, out):
    """Yield (output, tap, input) index triples of three axes, for taps that lie in the input."""
    for i in itertools.product(*map(range, out)):
        for u in itertools.product(*map(range, kernel)):
            h = tuple(i[a] * stride[a] + u[a] * dilation[a] - before[a] for a in range(3))
            if all(0 <= h[a] < size[a] for a in range(3)):
                yield i, u, h


def _all_three(x, w, bias, gy, stride, padding, dilation, groups):
    """Return y, gx, gw of a correlation, in float64: a small matrix product for each output, tap and group.

    x (N, D, H, W, C), w (KD, KH, KW, C//G, O), gy as y or None; padding: pairs (before, after).
    """
    size, kernel = x.shape[1:4], w.shape[:3]
    per_group, outputs = w.shape[3:]
    out = tuple(_out(size[a], kernel[a], stride[a], *padding[a], dilation[a]) for a in range(3))
    y = np.zeros((x.shape[0], *out, outputs))
    if bias is not None:
        y += bias
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for i, u, h in _products(size, kernel, stride, [p[0] for p in padding], dilation, out):
        for group in range(groups):
            c = slice(group * per_group, (group + 1) * per_group)
            o = slice(group * (outputs // groups), (group + 1) * (outputs // groups))
            values, matrix = x[:, *h, c].astype(float), w[*u, :, o].astype(float)
            y[:, *i, o] += values @ matrix  # (N, C//G) @ (C//G, O//G)
            if gy is not None:
                cotangent = gy[:, *i, o].astype(float)
                gx[:, *h, c] += cotangent @ matrix.T
                gw[*u, :, o] += values.T @ cotangent
    return y, gx, gw


def _max_pool(x, kernel, stride, before, dilation, out, ties):
    """Return y, offset (row-major number of the tap) and flat index of the winner, window by window."""
    y = np.zeros((x.shape[0], *out, x.shape[4]), x.dtype)
    offset = np.zeros(y.shape, np.int64)
    index = np.zeros(y.shape, np.int64)
    for n, c in np.ndindex(x.shape[0], x.shape[4]):
        for i in itertools.product(*map(range, out)):
            seen = []
            for number, u in enumerate(itertools.product(*map(range, kernel))):
                h = tuple(i[a] * stride[a] + u[a] * dilation[a] - before[a] for a in range(3))
                if all(0 <= h[a] < x.shape[1 + a] for a in range(3)):
                    seen.append((number, u, h, x[(n, *h, c)]))
            nans = [entry for entry in seen if entry[3] != entry[3]]
            if nans:
                best = nans[-1]
            else:
                top = max(entry[3] for entry in seen)
                best = min(
                    (entry for entry in seen if entry[3] == top),
                    key=lambda entry: entry[1] if ties == "row" else entry[1][::-1],
                )
            y[(n, *i, c)] = best[3]
            offset[(n, *i, c)] = best[0]
            index[(n, *i, c)] = np.ravel_multi_index(best[2], x.shape[1:4])
    return y, offset, index


def _avg_pool(x, gy, kernel, stride, padding, dilation, out, count_include_pad, override):
    """Return y and gx of an average pool, in float64."""
    y, gx = np.zeros((x.shape[0], *out, x.shape[4])), np.zeros(x.shape)
    for i in itertools.product(*map(range, out)):
        inside, counted = [], 0
        for u in itertools.product(*map(range, kernel)):
            h = tuple(i[a] * stride[a] + u[a] * dilation[a] - padding[a][0] for a in range(3))
            if all(h[a] < x.shape[1 + a] + padding[a][1] for a in range(3)):
                counted += 1
            if all(0 <= h[a] < x.shape[1 + a] for a in range(3)):
                inside.append(h)
        divisor = override or (counted if count_include_pad else len(inside))
        for n, c in np.ndindex(x.shape[0], x.shape[4]):
            y[(n, *i, c)] = sum(float(x[(n, *h, c)]) for h in inside) / divisor
            for h in inside:
                gx[(n, *h, c)] += float(gy[(n, *i, c)]) / divisor
    return y, gx


def _disguises(a):
    """Yield (name, array) pairs: the values of `a` in memory of every kind."""
    yield "Fortran-ordered", np.asfortranarray(a)
    yield "reversed", np.ascontiguousarray(a[..., ::-1])[..., ::-1]
    yield "transposed", np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1)
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    yield "sliced", wide[..., ::2]
    locked = a.copy()
    locked.flags.writeable = False
    yield "read-only", locked
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    raw[...] = a
    yield "unaligned", raw
    yield "byte-swapped", a.astype(a.dtype.newbyteorder())


@pytest.fixture(scope="session")
def oracle():
    return SimpleNamespace(out=_out, all_three=_all_three, max_pool=_max_pool, avg_pool=_avg_pool, disguises=_disguises)


@pytest.fixture
def eager_threads(monkeypatch):
    """Split even the smallest work, and restore the number of threads afterwards."""
    from autograd_conv.kernels import threads

    before = threads.get_num_threads()
    monkeypatch.setattr(threads, "SERIAL_NANOSECONDS", 0)
    monkeypatch.setattr(threads, "RANGE_NANOSECONDS", 0)
    yield threads
    threads.set_num_threads(before)
