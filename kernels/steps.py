"""Steps of optimizers, in one pass over memory each, on all cores.

Each function does to its arrays, element by element and rounding by rounding, what the formula in its description does
when it is written with NumPy's functions; so which of the two ran cannot be seen in the results. NumPy goes over
memory once for each operation: some ten times for a step of Adam.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .jit import kernel
from .threads import parallel_for

Array = NDArray[Any]

# Elements of an item of work: some microseconds.
BLOCK = 16384

BYTES_PER_NANOSECOND = 10.0


# No licence to reorder or to fuse a multiplication with an addition: each operation rounds as NumPy's does.
@kernel
def _descend(
    start: int, stop: int, p: Array, g: Array, v: Array, numbers: Array, decayed: bool, first: bool, nesterov: bool,
    block: int,
) -> None:  # fmt: skip
    """Compute blocks ``start <= item < stop`` of `p`, and of `v` if it is not empty."""
    lr, decay, momentum, share = numbers[0], numbers[1], numbers[2], numbers[3]
    begin, end = start * block, stop * block
    target, slope = p[begin:end], g[begin:end]
    if v.size == 0:
        for i in range(target.size):
            value = target[i]
            along = slope[i] + decay * value if decayed else slope[i]
            target[i] = value - lr * along
        return
    velocity = v[begin:end]
    for i in range(target.size):
        value = target[i]
        along = slope[i] + decay * value if decayed else slope[i]
        moving = along if first else momentum * velocity[i] + share * along
        velocity[i] = moving
        along = along + momentum * moving if nesterov else moving
        target[i] = value - lr * along


@kernel
def _adapt(
    start: int, stop: int, p: Array, g: Array, average: Array, square: Array, numbers: Array, decayed: bool, block: int
) -> None:
    """Compute blocks ``start <= item < stop`` of `p`, `average` and `square`."""
    decay, shrink, beta1, rest1, beta2, rest2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    bias, eps, rate = numbers[6], numbers[7], numbers[8]
    begin, end = start * block, stop * block
    target, slope, mean, power = p[begin:end], g[begin:end], average[begin:end], square[begin:end]
    for i in range(target.size):
        value = target[i] * shrink
        along = slope[i] + decay * value if decayed else slope[i]
        mean[i] = mean[i] * beta1 + rest1 * along
        power[i] = power[i] * beta2 + rest2 * (along * along)
        target[i] = value - mean[i] / (np.sqrt(power[i]) / bias + eps) * rate


def covers(p: Array, *state: Array | None) -> bool:
    """Whether these loops can step `p` with this `state`: contiguous, writable, all float32 or all float64."""
    return p.dtype.char in "fd" and all(
        array is None or (array.flags.carray and array.dtype == p.dtype) for array in (p, *state)
    )


def _run(loop: Any, p: Array, g: Array, state: tuple[Array, ...], numbers: tuple[float, ...], *flags: Any) -> None:
    lines = [array.reshape(-1) for array in (p, contiguous(g, p.dtype), *state)]
    parallel_for(
        loop, -(-p.size // BLOCK), *lines, np.array(numbers, p.dtype), *flags, BLOCK,
        nanoseconds=(len(lines) + 1) * p.nbytes / BYTES_PER_NANOSECOND,
    )  # fmt: skip


def descend(
    p: Array, g: Array, v: Array | None, *, lr: float, decay: float, momentum: float, share: float, first: bool,
    nesterov: bool,
) -> None:  # fmt: skip
    """A step of gradient descent, with momentum if there is an array `v` for it::

        g = g + decay * p                  # unless decay is 0
        v = momentum * v + share * g       # the first time: v = g
        g = g + momentum * v               # if nesterov, else g = v
        p = p - lr * g

    Parameters
    ----------
    p, v : ndarray, C-contiguous, float32 or float64
        Parameter and velocity, of the same shape and dtype. Modified in place.
    g : ndarray, of the shape of `p`
        Its gradient.
    lr, decay, momentum, share : float
    first, nesterov : bool

    Notes
    -----
    Cost: one pass over memory that reads three arrays and writes two.
    """
    velocity = np.empty(0, p.dtype) if v is None else v
    _run(_descend, p, g, (velocity,), (lr, decay, momentum, share), decay != 0, first, nesterov)


def adapt(
    p: Array, g: Array, average: Array, square: Array, *, decay: float, shrink: float, beta1: float, beta2: float,
    bias: float, eps: float, rate: float,
) -> None:  # fmt: skip
    """A step of Adam::

        p = p * shrink
        g = g + decay * p                  # unless decay is 0
        average = average * beta1 + (1 - beta1) * g
        square = square * beta2 + (1 - beta2) * (g * g)
        p = p - average / (sqrt(square) / bias + eps) * rate

    Parameters
    ----------
    p, average, square : ndarray, C-contiguous, float32 or float64
        Of the same shape and dtype. Modified in place.
    g : ndarray, of the shape of `p`
        Its gradient.
    decay, shrink, beta1, beta2, bias, eps, rate : float

    Notes
    -----
    Cost: one pass over memory that reads four arrays and writes three.
    """
    numbers = decay, shrink, beta1, 1 - beta1, beta2, 1 - beta2, bias, eps, rate
    _run(_adapt, p, g, (average, square), numbers, decay != 0)
