"""Counting how many elements fall where.

Counts are constant between steps: no gradient reaches what is counted. Weights add up: gradients reach them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .constants import constant, dress, strip
from .conversion import asarray
from .indexing import scatter_add
from .reduction import sum
from .shape import ravel

__all__ = ["bincount", "digitize", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]

digitize = constant(np.digitize, "Number of the bin of each element.")
histogram_bin_edges = constant(np.histogram_bin_edges, "Edges of the bins of a histogram.")


def _has_history(weights: Any) -> bool:
    return isinstance(weights, (list, tuple)) or (isinstance(weights, Tensor) and weights.requires_grad)


@implements(np.bincount)
def bincount(x: ArrayLike, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each of the integers 0, 1, 2, ... occurs, or the sum of its weights.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Not negative.
    weights : array_like, shape (n,), optional
    minlength : int
        Least length of the result.

    Returns
    -------
    Tensor
        Gradients reach `weights`.
    """
    counts = np.bincount(strip(x), None if weights is None else strip(weights), minlength)
    if not _has_history(weights):
        return asarray(counts)
    result: Tensor = scatter_add(asarray(weights), np.asarray(strip(x), np.intp), counts.shape)
    return result


def _weighted(samples: Sequence[np.ndarray], edges: Sequence[np.ndarray], weights: ArrayLike, density: bool) -> Tensor:
    """The sums of the weights in each bin of a grid."""
    places, inside = [], np.ones(len(samples[0]), bool)
    for sample, edge in zip(samples, edges):
        place = np.searchsorted(edge, sample, side="right") - 1
        place[sample == edge[-1]] -= 1  # the last bin contains its right edge
        inside &= (place >= 0) & (place < len(edge) - 1)
        places.append(place)
    key = tuple([place[inside] for place in places])
    total: Tensor = scatter_add(ravel(weights)[inside], key, tuple([len(edge) - 1 for edge in edges]))
    if density:
        for axis, edge in enumerate(edges):
            total = total / np.diff(edge).reshape([-1 if k == axis else 1 for k in range(len(edges))])
        total = total / sum(ravel(weights)[inside])
    return total


@implements(np.histogram)
def histogram(
    a: ArrayLike,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Tensor, Tensor]:
    """How many elements lie in each bin, or the sums of their weights.

    Parameters
    ----------
    a, bins, range, density
        As for ``numpy.histogram``.
    weights : array_like, optional
        Of the shape of `a`; gradients reach them.

    Returns
    -------
    hist, bin_edges : Tensor
    """
    if not _has_history(weights):
        counts, edges = np.histogram(strip(a), strip(bins), strip(range), density=density, weights=raw(weights))
        return dress(counts), dress(edges)
    values = np.asarray(strip(a)).reshape(-1)
    edges = np.histogram_bin_edges(values, strip(bins), strip(range), np.asarray(raw(asarray(weights))).reshape(-1))
    return _weighted([values], [edges], weights, bool(density)), dress(edges)


@implements(np.histogramdd)
def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Tensor, list[Tensor]]:
    """How many points lie in each bin of a grid, or the sums of their weights, to which gradients flow.

    Parameters
    ----------
    sample, bins, range, density
        As for ``numpy.histogramdd``.
    weights : array_like, shape (n,), optional

    Returns
    -------
    hist : Tensor
    bin_edges : list of Tensor
    """
    points = strip(sample)
    counts, edges = np.histogramdd(points, strip(bins), strip(range), density, strip(weights))
    if not _has_history(weights):
        return dress(counts), list(dress(edges))
    columns = list(np.atleast_2d(points).T) if isinstance(points, np.ndarray) else [np.asarray(c) for c in points]
    return _weighted(columns, edges, weights, bool(density)), list(dress(edges))


@implements(np.histogram2d)
def histogram2d(
    x: ArrayLike,
    y: ArrayLike,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `histogramdd`, of points in the plane with coordinates `x` and `y`."""
    counts, *edges = np.histogram2d(strip(x), strip(y), strip(bins), strip(range), density, strip(weights))
    if _has_history(weights):
        counts = _weighted([np.asarray(strip(x)), np.asarray(strip(y))], edges, weights, bool(density))
    return dress(counts), dress(edges[0]), dress(edges[1])
