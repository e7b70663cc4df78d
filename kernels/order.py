"""In which order the axes of an array lie in memory."""

from typing import Any

from numpy.typing import NDArray


def memory_order(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the axes of `array` from the one with the longest strides to the one with the shortest.

    What is done in this order leaves an array in the layout that it came in: a result that a user sees as
    (N, C, H, W) may lie in memory as (N, H, W, C).

    Examples
    --------
    >>> import numpy as np
    >>> memory_order(np.zeros((2, 3, 4, 5)).transpose(0, 3, 1, 2))
    (0, 2, 3, 1)
    """
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
