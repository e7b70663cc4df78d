"""The primitive behind interpolation and sums over neighbouring channels: maps along axes.

It is linear, and its VJP is itself with transposed tables in the opposite order: every order of derivative follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.tables import AxisMap
from ..primitive import primitive

__all__ = ["Steps", "resample"]

Steps = tuple[tuple[int, AxisMap], ...]


@primitive
def resample(x: np.ndarray, *, steps: Steps) -> np.ndarray:
    """Apply linear maps along axes, one after the other; nothing is saved for the gradient."""
    return kernels.resampling.apply_tables(x, [(axis, axis_map.forward) for axis, axis_map in steps])


def _resample_vjp(g: Any, steps: Steps) -> Any:
    return resample(g, steps=tuple([(axis, axis_map.transposed) for axis, axis_map in reversed(steps)]))


resample.defvjp(x=_resample_vjp)
