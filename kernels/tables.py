"""Linear maps along one axis, as tables of places and weights: resampling, windows over channels.

Output ``i`` of such a map is a weighted sum of a few input elements,

    y[i] = sum over starts[i] <= k < starts[i+1] of  weights[k] * x[places[k]]

which is a sparse matrix in row form (CSR). Its transpose is a matrix of the same form, so that what applies the one
(:mod:`.resampling`) applies the other, and each output still collects its own sum. A map and its transpose travel
together, as :class:`AxisMap`.

Weights that are exactly zero are left out: an output that falls on an input element is that element, whatever
stands next to it, an infinity included. Nothing here imports Numba.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The free parameter of cubic convolution (Keys 1981): how steep the curve is next to the samples.
CUBIC_STEEPNESS = -0.75
CUBIC_STEEPNESS_ANTIALIAS = -0.5


class Table(NamedTuple):
    """A sparse matrix along one axis; immutable by convention.

    Attributes
    ----------
    size : int
        Elements of the input.
    starts : ndarray of int64, shape (out + 1,)
        Where the entries of each output begin.
    places : ndarray of int64
        Which input element an entry reads.
    weights : ndarray of float64
        What it is multiplied with.
    """

    size: int
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def out(self) -> int:
        """Elements of the output."""
        return self.starts.size - 1

    def transposed(self) -> "Table":
        """Return the table of the transposed matrix, whose entries stand in the order of the outputs of this one."""
        rows = np.repeat(np.arange(self.out, dtype=np.int64), np.diff(self.starts))
        order = np.argsort(self.places, kind="stable")
        counts = np.bincount(self.places, minlength=self.size)
        return Table(self.out, _starts(counts), rows[order], self.weights[order])


class AxisMap(NamedTuple):
    """A linear map along one axis, and its transpose."""

    forward: Table
    backward: Table

    @property
    def transposed(self) -> "AxisMap":
        """The same two, the other way round."""
        return AxisMap(self.backward, self.forward)

    @classmethod
    def of(cls, size: int, index: NDArray[Any], weight: NDArray[Any]) -> "AxisMap":
        """Make a map from the places that each output reads, and their weights, both of shape (out, K).

        Examples
        --------
        >>> average = AxisMap.of(3, np.array([[0, 1], [1, 2]]), np.full((2, 2), 0.5))
        >>> average.backward.starts, average.backward.places
        (array([0, 1, 3, 4]), array([0, 0, 1, 1]))
        """
        kept = weight != 0
        table = Table(
            size, _starts(kept.sum(axis=1)), index[kept].astype(np.int64), np.asarray(weight[kept], np.float64)
        )
        return cls(table, table.transposed())


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Where the entries of each row begin, from their numbers."""
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


# ---------------------------------------------------------------- windows


@functools.lru_cache(maxsize=64)
def window_map(size: int, before: int, after: int) -> AxisMap:
    """Return the map that sums each element with so many before and after it; there is nothing beyond the ends.

    Examples
    --------
    >>> window_map(3, 1, 0).forward.places
    array([0, 0, 1, 1, 2])
    """
    index = np.arange(size)[:, None] + np.arange(-before, after + 1)
    inside = (index >= 0) & (index < size)
    return AxisMap.of(size, index, inside.astype(np.float64))


# ---------------------------------------------------------------- resampling


@functools.lru_cache(maxsize=256)
def nearest_map(size: int, out: int, scale: float | None, exact: bool, single: bool) -> AxisMap:
    """Return the map of each output to one input element.

    Parameters
    ----------
    size, out : int
        At least 1.
    scale : float or None
        Outputs for each input element; None: ``out / size``.
    exact : bool
        Take the element that the centre of the output falls into, and not the one that its first edge does.
    single : bool
        Compute places in float32. Where an output begins exactly at the edge of an element, rounding decides which
        one it reads, and results are to be those of PyTorch, which computes places in the dtype of the data and
        rounds them to float32 before it takes the integer.

    Examples
    --------
    >>> nearest_map(4, 3, None, False, False).forward.places, nearest_map(4, 3, None, True, False).forward.places
    (array([0, 1, 2]), array([0, 2, 3]))
    """
    real: Any = np.float32 if single else np.float64
    step = _step(size, out, scale, real)
    i: NDArray[Any] = np.arange(out).astype(real)
    if exact:
        # Rounded once to float32, as a fused multiply-add does: the product is exact in float64.
        left = ((i + 0.5) * np.float64(step) - 0.5).astype(real)
        place = np.maximum(left, 0) + real(0.5)
    else:
        place = i * step
    place = np.floor(place.astype(np.float32))
    index = np.minimum(place.astype(np.int64), size - 1)
    return AxisMap.of(size, index[:, None], np.ones((out, 1)))


def _step(size: int, out: int, scale: float | None, real: Any = np.float64) -> Any:
    """Input elements for each output."""
    return real(1.0 / scale) if scale is not None else real(size) / real(out)


def _places(size: int, out: int, scale: float | None, align_corners: bool) -> NDArray[np.float64]:
    """Return where outputs lie between the centres of the input elements, which are at 0, 1, 2, ..."""
    i = np.arange(out, dtype=np.float64)
    if align_corners:
        return i * ((size - 1) / (out - 1) if out > 1 else 0.0)
    return (i + 0.5) * _step(size, out, scale) - 0.5


@functools.lru_cache(maxsize=256)
def linear_map(size: int, out: int, scale: float | None, align_corners: bool) -> AxisMap:
    """Return the map to straight lines between neighbouring elements, constant outside of the outermost centres.

    Parameters
    ----------
    size, out : int
        At least 1.
    scale : float or None
        Outputs for each input element; None: ``out / size``. Of no consequence with `align_corners`, or if
        ``out == size``: then every output is its input element, as in PyTorch.
    align_corners : bool
        Place the centres of the first and last outputs on those of the first and last elements; else outputs
        are parts of the same interval as the elements.

    Examples
    --------
    >>> table = linear_map(2, 4, None, False).forward
    >>> table.places, table.weights
    (array([0, 0, 1, 0, 1, 1]), array([1.  , 0.75, 0.25, 0.25, 0.75, 1.  ]))
    """
    place = np.arange(out, dtype=np.float64) if out == size else _places(size, out, scale, align_corners)
    place = np.clip(place, 0, size - 1)
    first = np.floor(place).astype(np.int64)
    part = place - first
    index = np.stack([first, np.minimum(first + 1, size - 1)], axis=1)
    return AxisMap.of(size, index, np.stack([1 - part, part], axis=1))


def _cubic(distance: NDArray[np.float64], steepness: float) -> NDArray[np.float64]:
    """The kernel of cubic convolution (Keys 1981, with free parameter `steepness`)."""
    a, t = steepness, np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def cubic_map(size: int, out: int, scale: float | None, align_corners: bool) -> AxisMap:
    """Return the map of cubic convolution: four neighbours each, those beyond the ends being the outermost elements.

    Parameters
    ----------
    size, out, scale, align_corners
        As in :func:`linear_map`.

    Examples
    --------
    >>> cubic_map(4, 3, None, True).forward.weights
    array([ 1.     , -0.09375,  0.59375,  0.59375, -0.09375,  1.     ])
    """
    place = _places(size, out, scale, align_corners)
    first = np.floor(np.clip(place, -4, size + 4))  # beyond, all four are the outermost element
    part = np.clip(place - first, 0, 1)
    offset = np.arange(-1, 3)
    index = np.clip(first[:, None].astype(np.int64) + offset, 0, size - 1)
    return AxisMap.of(size, index, _cubic(part[:, None] - offset, CUBIC_STEEPNESS))


@functools.lru_cache(maxsize=256)
def antialias_map(size: int, out: int, scale: float | None, align_corners: bool, cubic: bool) -> AxisMap:
    """Return the map whose kernel, where it shrinks an axis, is as much wider: no element goes unseen.

    Parameters
    ----------
    size, out, scale, align_corners
        As in :func:`linear_map`; `align_corners` changes only the step, as in PyTorch.
    cubic : bool
        The kernel of cubic convolution, and not a triangle.

    Notes
    -----
    Weights of each output are divided by their sum, and elements beyond the ends have none.

    Examples
    --------
    >>> table = antialias_map(4, 2, None, False, False).forward
    >>> table.places, table.weights * 7
    (array([0, 1, 2, 1, 2, 3]), array([3., 3., 1., 1., 3., 3.]))
    """
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = _step(size, out, scale)
    widened = max(step, 1.0)
    reach = (2.0 if cubic else 1.0) * widened
    centre = step * (np.arange(out) + 0.5)
    first = np.clip(np.trunc(centre - reach + 0.5), 0, size).astype(np.int64)
    last = np.clip(np.trunc(centre + reach + 0.5), 0, size).astype(np.int64)
    index = first[:, None] + np.arange(max(int((last - first).max()), 1))
    distance = (index - centre[:, None] + 0.5) / widened
    weight = _cubic(distance, CUBIC_STEEPNESS_ANTIALIAS) if cubic else np.maximum(1 - np.abs(distance), 0)
    weight = np.where(index < last[:, None], weight, 0)
    total = weight.sum(axis=1, keepdims=True)
    return AxisMap.of(size, index, np.divide(weight, total, out=np.zeros_like(weight), where=total != 0))


@functools.lru_cache(maxsize=256)
def area_map(size: int, out: int) -> AxisMap:
    """Return the map of averages over ``floor(i * size / out) <= k < ceil((i + 1) * size / out)``.

    Examples
    --------
    >>> area_map(5, 3).forward.places
    array([0, 1, 1, 2, 3, 3, 4])
    """
    i = np.arange(out, dtype=np.int64)
    first, last = i * size // out, -(-(i + 1) * size // out)
    index = first[:, None] + np.arange(math.ceil(size / out) + 1)
    inside = index < last[:, None]
    return AxisMap.of(size, index, inside / (last - first)[:, None])
