"""`warmup`: compile, or load, the kernels of usual networks before they are needed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import Context
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from . import nn, optim
from .ops.shape import reshape
from .tensor import Tensor, tensor

__all__ = ["warmup"]

CLASSES = 10


def warmup(dtypes: Iterable[Any] = ("float32",)) -> float:
    """Compile the kernels that convolutional networks usually need, or load them from the cache.

    Kernels are compiled when they are first used, once for a machine, and kept on disk. A program that wants no
    such wait later calls this when it starts; the installation of a server, or the building of an image, calls it
    once, with ``AUTOGRAD_CONV_CACHE_DIR`` naming a directory that later processes may only read.

    Parameters
    ----------
    dtypes : iterable of dtype
        float32, float64, or both: each has kernels of its own.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    TypeError
        If `dtypes` is a single dtype, or contains what is none.
    ValueError
        If it contains another dtype.

    Notes
    -----
    It trains tiny networks for one step, through the public functions, so that what they use is ready:

    - convolution in two dimensions with bias, forward and both gradients, of NCHW arrays and of channels-last ones:
      first layers (one channel, three; 3x3 and 5x5), 3x3 with half a vector to four vectors of output channels
      (register tiles differ in width), 1x1 with stride 1 (whose loop computes large matrix products too) and 2,
      depthwise, and for float32 Winograd's;
    - ReLU, maximum and average pooling (of whole vectors of channels and of half ones), batch normalization, a linear
      layer, cross-entropy, each with its gradients;
    - steps of `optim.SGD` with momentum and of `optim.Adam`.

    All sizes, strides, paddings and kernel extents share these kernels. Others (transposed convolution is among the
    above; small groups, one- and three-dimensional pools, interpolation, ...) are compiled when they are first used.

    Arrays, Tensors, recording state, random numbers and settings of the caller are not touched. It may run in a thread
    beside other work, which waits only for kernels that are being compiled. Without a cache that can be written,
    what it compiles serves this process. With ``NUMBA_DISABLE_JIT=1`` there is nothing to do.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> ac.warmup(dtypes=())
    0.0
    """
    if isinstance(dtypes, (str, type, np.dtype)):
        raise TypeError(
            f"warmup: argument 'dtypes' is {dtypes!r}; it must be a sequence of dtypes, such as ('float32',)"
        )
    parsed = []
    for dtype in dtypes:
        try:
            parsed.append(np.dtype(dtype))
        except TypeError:
            raise TypeError(f"warmup: argument 'dtypes' contains {dtype!r}, which is no dtype") from None
        if parsed[-1] not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"warmup: argument 'dtypes' contains {parsed[-1]}; it may contain float32 and float64")
    if not parsed:
        return 0.0
    start = time.perf_counter()
    from numba.core import config

    if not config.DISABLE_JIT:
        for dtype in dict.fromkeys(parsed):
            Context().run(_train, dtype)  # a recording state of its own, whatever the caller's is
    return time.perf_counter() - start


def _train(dtype: np.dtype[Any]) -> None:
    length = kernels.emitter.lanes(dtype.itemsize)
    widths = [length // 2, length, 3 * length // 2, *[count * length for count in (2, 3, 4)]]
    methods = ("direct", "winograd") if dtype == np.float32 else ("direct",)
    for channels, layout in ((1, "NCHW"), (3, "NHWC")):
        parameters: list[Tensor] = []
        loss = _network(dtype, channels, layout, widths, methods, parameters)
        loss.backward()
        optim.SGD(parameters, lr=0.1, momentum=0.9).step()
        optim.Adam(parameters, lr=0.1).step()


def _network(
    dtype: np.dtype[Any],
    channels: int,
    layout: str,
    widths: list[int],
    methods: tuple[str, ...],
    parameters: list[Tensor],
) -> Tensor:
    """The loss of a network on two images of 32 x 32 pixels; its parameters are appended to `parameters`."""

    def parameter(*shape: int) -> Tensor:
        parameters.append(tensor(np.full(shape, 0.01, dtype), requires_grad=True))
        return parameters[-1]

    def convolve(x: Tensor, outputs: int, size: int = 3, groups: int = 1, **settings: Any) -> Tensor:
        weight = parameter(outputs, x.shape[1] // groups, size, size)
        return nn.conv2d(x, weight, parameter(outputs), padding=size // 2, groups=groups, **settings)

    # Pictures as they come: the first layer converts them, or finds their channels last in memory.
    images = np.zeros((2, channels, 32, 32), dtype)
    if layout == "NHWC":
        images = np.zeros((2, 32, 32, channels), dtype).transpose(0, 3, 1, 2)
    x = tensor(images, requires_grad=True)
    x = nn.max_pool2d(convolve(x, widths[0]) + convolve(x, widths[0], size=5), 2)
    for width in widths[1:]:
        x = nn.relu(convolve(x, width))
    x = nn.max_pool2d(x, 2)
    x = nn.batch_norm(x, None, None, parameter(x.shape[1]), parameter(x.shape[1]), training=True)
    for method in methods:
        x = x + convolve(x, x.shape[1], method=method)
    x = convolve(x, x.shape[1], groups=x.shape[1])
    x = convolve(x, x.shape[1], size=1)
    x = nn.avg_pool2d(convolve(x, widths[0], size=1, stride=2), 2)
    flat = reshape(x, (x.shape[0], -1))
    logits = nn.linear(flat, parameter(CLASSES, flat.shape[1]), parameter(CLASSES))
    pooled = nn.global_avg_pool2d(x)
    scores = nn.linear(pooled, parameter(CLASSES, pooled.shape[1]), parameter(CLASSES))
    return nn.cross_entropy(logits + scores, np.zeros(2, np.int64))
