"""Which source pixels a target pixel needs: the geometry that forward and input gradient have in common.

Along each axis, position ``i`` and tap ``u`` read the source at ``i * step + shift[u]``, and write the target at
``i * target_step + target_first``. Forward is one `Gather`. The input gradient ``gx[h]`` takes the taps ``u`` for which
``h + P - u*D`` is a multiple of the stride: those are the same for all ``h`` with the same ``h mod S`` (a *phase*), so
each phase is one `Gather`, over its taps only, and nothing is multiplied by an inserted zero.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .geometry import Window

Array = NDArray[Any]


class Gather(NamedTuple):
    """Which source pixel a target pixel needs for each tap, along depth, height and width.

    Attributes
    ----------
    positions : tuple of 3 int
        How many along each axis.
    step : tuple of 3 int
        Distance, in the source, of neighbouring positions.
    shifts : tuple of 3 tuples of int
        For each tap, where in the source position 0 reads.
    size : tuple of 3 int
        Extents of the source.
    target_step, target_first : tuple of 3 int
        Where in the target the positions lie.
    """

    positions: tuple[int, int, int]
    step: tuple[int, int, int]
    shifts: tuple[tuple[int, ...], ...]
    size: tuple[int, int, int]
    target_step: tuple[int, int, int]
    target_first: tuple[int, int, int]

    @property
    def taps(self) -> int:
        """Number of taps."""
        return len(self.shifts[0]) * len(self.shifts[1]) * len(self.shifts[2])


class Reach(NamedTuple):
    """Which taps of an axis lie inside the source, for compiled code. Positions with the same taps are a *class*.

    Attributes
    ----------
    shifts : ndarray, shape (taps,)
    classes : ndarray, shape (positions,)
        The class of each position; they are numbered as they come.
    low, high : ndarray, shape (number of classes,)
        Inside are the taps ``low <= u < high``.
    """

    shifts: Array
    classes: Array
    low: Array
    high: Array


@functools.lru_cache(maxsize=256)
def reaches(gather: Gather) -> tuple[tuple[Reach, Reach, Reach], bool]:
    """Return the `Reach` of each axis, and whether any position has a tap outside. Read only."""
    found = []
    padded = False
    for count, step, shifts, size in zip(gather.positions, gather.step, gather.shifts, gather.size):
        places = np.arange(count)[:, None] * step + np.array(shifts, np.int64)
        inside = (places >= 0) & (places < size)
        # Shifts rise or fall, so what is inside is one run of taps.
        low = np.where(inside.any(1), inside.argmax(1), 0)
        high = low + inside.sum(1)
        change = np.ones(count, bool)
        change[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        padded = padded or not inside.all()
        found.append(Reach(np.array(shifts, np.int64), np.cumsum(change) - 1, low[change], high[change]))
    return (found[0], found[1], found[2]), padded


@functools.lru_cache(maxsize=256)
def forward(window: Window) -> Gather:
    """The pixels that windows read."""
    shifts = tuple(
        tuple(tap * window.dilation[axis] - window.before[axis] for tap in range(window.kernel[axis]))
        for axis in range(3)
    )
    return Gather(window.out, window.stride, shifts, window.size, (1, 1, 1), (0, 0, 0))


class Phase(NamedTuple):
    """A phase of the input gradient.

    Attributes
    ----------
    gather : Gather
        From the gradient of the output.
    taps : tuple of 3 slice
        Which taps of the kernel it takes.
    """

    gather: Gather
    taps: tuple[slice, slice, slice]


@functools.lru_cache(maxsize=256)
def phases(window: Window) -> tuple[list[Phase], bool]:
    """Return the phases of the input gradient that have taps, and whether there are others, where it is 0."""
    axes = [_axis_phases(window, axis) for axis in range(3)]
    found = []
    for first_d, count_d, taps_d, shifts_d in axes[0]:
        for first_h, count_h, taps_h, shifts_h in axes[1]:
            for first_w, count_w, taps_w, shifts_w in axes[2]:
                if shifts_d and shifts_h and shifts_w:
                    gather = Gather(
                        (count_d, count_h, count_w), (1, 1, 1), (shifts_d, shifts_h, shifts_w), window.out,
                        window.stride, (first_d, first_h, first_w),
                    )  # fmt: skip
                    found.append(Phase(gather, (taps_d, taps_h, taps_w)))
    return found, any(not shifts for axis in axes for _, _, _, shifts in axis)


def _axis_phases(window: Window, axis: int) -> list[tuple[int, int, slice, tuple[int, ...]]]:
    """For each phase of an axis: first position, number of positions, taps, and where position 0 reads each.

    Position ``h = first + i*S`` and tap ``u`` meet output ``i + shift`` with ``shift = (first + P - u*D) / S``. The
    taps of a phase are equally far from each other.
    """
    stride, dilation = window.stride[axis], window.dilation[axis]
    found = []
    for first in range(min(stride, window.size[axis])):
        taps, shifts = [], []
        for tap in range(window.kernel[axis]):
            distance = first + window.before[axis] - tap * dilation
            if distance % stride == 0:
                taps.append(tap)
                shifts.append(distance // stride)
        count = -(-(window.size[axis] - first) // stride)
        which = slice(taps[0], taps[-1] + 1, taps[1] - taps[0] if len(taps) > 1 else 1) if taps else slice(0)
        found.append((first, count, which, tuple(shifts)))
    return found
