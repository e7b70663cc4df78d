"""Routing by place: what pools that pick one element out of each region have in common.

Once it is settled which elements are picked, such a pool is linear: ``y = S x`` with at most a single 1 in each
row of S, kept as flat indices (`autograd_conv.kernels.places`). Derivatives of every order are S and its transpose
in turn: `gather` and `route`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import AXES, Axes
from ..primitive import Primitive, primitive
from .layout import Layout

__all__ = ["gather", "region_maximum", "route", "volume"]


def volume(layout: Layout, size: tuple[int, ...]) -> Axes:
    """The spatial shape `size` of an array as kernels see it: with three axes."""
    depth, height, width = (1,) * (AXES - layout.axes) + tuple(size)
    return depth, height, width


@primitive(name="route")
def route(gy: np.ndarray, place: np.ndarray, *, layout: Layout, size: tuple[int, ...]) -> np.ndarray:
    """Zeros of the spatial shape `size`, to which each element of `gy` is added at its place: ``S^T gy``.

    Parameters
    ----------
    gy : array, in the order of `layout`
    place : array of integers, shape (N, OD, OH, OW, C)
        The order of the kernels. A constant.
    layout : Layout
    size : tuple of int
    """
    return layout.restore(kernels.places.route(layout.canonical(gy), place, volume(layout, size)), gy.ndim)


@primitive(name="gather")
def gather(x: np.ndarray, place: np.ndarray, *, layout: Layout) -> np.ndarray:
    """The element of `x` at each place, or 0 for nowhere: ``S x``, the transpose of `route`."""
    return layout.restore(kernels.places.gather(layout.canonical(x), place), x.ndim)


route.defvjp(gy=lambda g, place, layout: gather(g, place, layout=layout))
gather.defvjp(x=lambda g, x_shape, place, layout: route(g, place, layout=layout, size=layout.spatial(x_shape)))


def region_maximum(name: str, tables: Callable[[np.ndarray, Any], Any]) -> tuple[Primitive, Primitive]:
    """Make two primitives of the maximum over regions: one returns values, the other one indices too.

    Parameters
    ----------
    name : str
    tables : callable
        Takes the input, shape (N, D, H, W, C), and the setting `regions`; returns the tables of the regions.

    Returns
    -------
    tuple of two Primitive
        Of the input, with settings `layout` and `regions`. Indices are flat, int64, of the shape of the values.
    """

    def plain(x: np.ndarray, *, layout: Layout, regions: Any) -> tuple[np.ndarray, np.ndarray]:
        canonical = layout.canonical(x)
        y, place = kernels.regions.max_regions(canonical, tables(canonical, regions))
        return layout.restore(y, x.ndim), place

    def with_indices(
        x: np.ndarray, *, layout: Layout, regions: Any
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        y, place = plain(x, layout=layout, regions=regions)
        return (y, layout.restore(place.astype(np.int64), x.ndim)), place

    values = primitive(plain, name=name, residuals="place")
    values.defvjp(x=lambda g, x_shape, place, layout: route(g, place, layout=layout, size=layout.spatial(x_shape)))
    both = primitive(with_indices, name=name, residuals="place", multiple=True)
    both.defvjp(x=lambda g, x_shape, place, layout: route(g[0], place, layout=layout, size=layout.spatial(x_shape)))
    return values, both
