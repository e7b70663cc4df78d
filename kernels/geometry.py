"""Sizes of sliding windows: effective kernel, output size, padding. The one place that computes them.

Everything here works on plain Python integers, one spatial axis at a time, except :class:`Window`, which
collects three axes and is what every kernel takes. One- and two-dimensional windows are three-dimensional
ones with leading axes of length one: an axis of length one costs nothing.

Along one axis, with ``size`` input elements, a kernel of ``kernel`` taps, and ``before``/``after`` elements of
padding, output ``i`` reads the input elements ``i * stride + u * dilation - before`` for ``0 <= u < kernel``;
those outside ``[0, size)`` are padding.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

Axes = tuple[int, int, int]

AXES = 3  # the number of spatial axes of every window
LIMIT = 2**63  # what kernels count with


def _integer(value: Any, function: str, argument: str, shown: Any) -> int:
    """Return `value` as an int, or raise TypeError or ValueError; `shown` is the whole argument, for the message."""
    if type(value) is int and -LIMIT <= value < LIMIT:
        return value
    whole = f" in {shown!r}" if shown is not value else ""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{function}: {argument} must be made of integers, got {value!r}{whole}")
    if not -LIMIT <= number < LIMIT:
        raise ValueError(f"{function}: {argument} must fit into 64 bits, got {value!r}{whole}")
    return number


def _is_sequence(value: Any) -> bool:
    """Return whether `value` holds entries in an order: not so strings, sets, and arrays without axes."""
    if isinstance(value, (list, tuple)):
        return True
    unordered = (str, bytes, dict, set, frozenset)
    return hasattr(value, "__len__") and not isinstance(value, unordered) and getattr(value, "ndim", 1) > 0


def per_axis(value: Any, n: int, function: str, argument: str, minimum: int | None = None) -> tuple[int, ...]:
    """Return `value` as `n` integers, one for each axis.

    Parameters
    ----------
    value : int or sequence of int
        One integer for all axes, or a sequence of `n` of them (or of one, which then holds for all axes).
    n : int
        The number of axes.
    function, argument : str
        What error messages call the operation and the parameter.
    minimum : int, optional
        The smallest value allowed.

    Raises
    ------
    TypeError
        If `value` holds anything but integers (a bool is not one).
    ValueError
        If the sequence has another length, or a value lies below `minimum`.

    Examples
    --------
    >>> per_axis(2, 2, "conv2d", "stride")
    (2, 2)
    >>> per_axis([2, 1], 2, "conv2d", "stride")
    (2, 1)
    >>> per_axis((0, 1), 2, "conv2d", "stride", minimum=1)
    Traceback (most recent call last):
        ...
    ValueError: conv2d: stride must be at least 1 on every axis, got (0, 1)
    """
    if _is_sequence(value):
        values = tuple(_integer(entry, function, argument, value) for entry in value)
        if len(values) not in (1, n):
            raise ValueError(
                f"{function}: {argument} must be one integer or {n} of them, one for each spatial axis, "
                f"got {len(values)}: {value!r}"
            )
        if len(values) != n:
            values = values * n
    else:
        values = (_integer(value, function, argument, value),) * n
    if minimum is not None and min(values) < minimum:
        raise ValueError(f"{function}: {argument} must be at least {minimum} on every axis, got {value!r}")
    return values


def extent(kernel: int, dilation: int) -> int:
    """Return the effective kernel: how many input elements a dilated kernel spans.

    Examples
    --------
    >>> extent(3, 1), extent(3, 2), extent(1, 5)
    (3, 5, 1)
    """
    return dilation * (kernel - 1) + 1


def output_size(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil_mode: bool = False
) -> int:
    """Return how many windows fit along one axis: ``floor((size + before + after - extent) / stride) + 1``.

    Parameters
    ----------
    size, kernel, stride, before, after, dilation : int
        As in the module's description.
    ceil_mode : bool
        Round up, so that a last window may hang over the end of the padded input; unless that window
        would start at or beyond ``size + before``, where it could see nothing but padding.

    Returns
    -------
    int
        The number of windows; zero or less if the kernel is larger than the padded input.

    Examples
    --------
    >>> output_size(6, 3, 2, 0, 0, 1), output_size(3, 2, 1, 4, 4, 1)
    (2, 10)
    >>> [output_size(n, k, s, p, p, d, ceil_mode=True)
    ...  for n, k, s, p, d in [(5, 2, 2, 1, 1), (9, 4, 4, 2, 1), (4, 3, 3, 0, 1), (7, 2, 3, 0, 1), (6, 3, 2, 1, 2)]]
    [3, 3, 2, 3, 3]
    """
    spare = size + before + after - extent(kernel, dilation)
    if ceil_mode:
        out = -(-spare // stride) + 1
        if (out - 1) * stride >= size + before:
            out -= 1
        return out
    return spare // stride + 1


def remainder(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Return how many elements at the end of the padded input no window reads.

    Examples
    --------
    >>> remainder(6, 3, 2, 0, 0, 1), remainder(7, 3, 2, 0, 0, 1)
    (1, 0)
    """
    return (size + before + after - extent(kernel, dilation)) % stride


def unpooled_size(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Return the smallest input of a pool whose last window ends with it: what unpooling gives by default.

    Inputs of up to ``stride - 1`` elements more pool to the same `size`; rounded up, of as many less.

    Examples
    --------
    >>> unpooled_size(3, 2, 2, 0, 0), unpooled_size(3, 3, 2, 1, 1)
    (6, 5)
    """
    return (size - 1) * stride + kernel - before - after


def adaptive_run(index: int, size: int, out: int) -> tuple[int, int]:
    """Return begin and end of region `index` when `out` regions cover `size` elements.

    From ``floor(index * size / out)`` to ``ceil((index + 1) * size / out)``. Element k lies in the regions i
    for which ``adaptive_run(i, size, out)`` holds k, and these are those that ``adaptive_run(k, out, size)``
    holds: what makes the transpose of adaptive pooling an adaptive pooling again.

    Examples
    --------
    >>> [adaptive_run(i, 5, 3) for i in range(3)], [adaptive_run(k, 3, 5) for k in range(5)]
    ([(0, 2), (1, 4), (3, 5)], [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)])
    """
    return index * size // out, -(-(index + 1) * size // out)


def input_gradient_padding(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> tuple[int, int]:
    """Return the outer padding of `padpad`, which makes the input gradient a correlation (source 001).

    ``gx = correlate(padpad(gy), rot180_transposed(w))`` with stride 1 and the same dilation, where `padpad`
    puts ``stride - 1`` zeros between neighbours and, around them, ``extent - 1 - before`` zeros before and
    ``extent - 1 - after + remainder`` after. Negative numbers crop. Source 001 has neither the remainder nor
    the dilation.

    Examples
    --------
    With the remainder the result is as long as the input: the correlation of the padded and spread gradient
    has ``8`` elements for an input of ``8``.

    >>> size, kernel, stride, before, after, dilation = 8, 3, 2, 0, 0, 1
    >>> out = output_size(size, kernel, stride, before, after, dilation)
    >>> outer = input_gradient_padding(size, kernel, stride, before, after, dilation)
    >>> outer
    (2, 3)
    >>> output_size((out - 1) * stride + 1, kernel, 1, *outer, dilation)
    8

    Padding beyond ``kernel - 1`` crops:

    >>> input_gradient_padding(3, 2, 1, 4, 4, 1)
    (-3, -3)
    """
    reach = extent(kernel, dilation) - 1
    return reach - before, reach - after + remainder(size, kernel, stride, before, after, dilation)


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the padding that gives ``ceil(size / stride)`` outputs, the odd element at the end."""
    out = -(-size // stride)
    total = max((out - 1) * stride + extent(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def parse_padding(
    padding: Any,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    function: str,
) -> tuple[tuple[int, int], ...]:
    """Return `padding` as a pair (before, after) for each spatial axis.

    Parameters
    ----------
    padding : int, sequence, "same" or "valid"
        An integer for all sides; a sequence with, for each axis, an integer (both sides) or a pair
        (before, after); ``"valid"``: none; ``"same"``: what gives ``ceil(size / stride)`` outputs, with the
        odd element after the input.
    sizes, kernel, stride, dilation : tuple of int
        One entry for each spatial axis.
    function : str
        What error messages call the operation.

    Raises
    ------
    TypeError
        If an entry is neither an integer nor a pair of them.
    ValueError
        If an amount is negative, a sequence has a wrong length, or a string is unknown.

    Examples
    --------
    >>> parse_padding((1, 2), (9, 9), (3, 3), (1, 1), (1, 1), "conv2d")
    ((1, 1), (2, 2))
    >>> parse_padding(((0, 1), (2, 0)), (9, 9), (3, 3), (1, 1), (1, 1), "conv2d")
    ((0, 1), (2, 0))
    >>> parse_padding("same", (5, 4), (3, 2), (2, 2), (1, 1), "conv2d")
    ((1, 1), (0, 0))
    """
    n = len(sizes)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding == "same":
            return tuple(_same(*axis) for axis in zip(sizes, kernel, stride, dilation))
        raise ValueError(f'{function}: padding must be "same", "valid", or integers, got {padding!r}')
    if not is_asymmetric(padding):
        return tuple((p, p) for p in per_axis(padding, n, function, "padding", minimum=0))
    if len(padding) != n:
        raise ValueError(
            f"{function}: padding must have one pair (before, after) for each of the {n} spatial axes, "
            f"got {len(padding)}: {padding!r}"
        )
    pairs = []
    for entry in padding:
        if not _is_sequence(entry):
            entry = (entry, entry)
        if len(entry) != 2:
            raise ValueError(f"{function}: padding must be made of pairs (before, after), got {entry!r} in {padding!r}")
        before, after = (_integer(p, function, "padding", padding) for p in entry)
        if before < 0 or after < 0:
            raise ValueError(f"{function}: padding must be at least 0 on every side, got {padding!r}")
        pairs.append((before, after))
    return tuple(pairs)


def is_asymmetric(padding: Any) -> bool:
    """Return whether `padding` is given as pairs (before, after) on at least one axis."""
    return _is_sequence(padding) and any(_is_sequence(entry) for entry in padding)


def _embed(fill: int, values: Sequence[int]) -> Axes:
    """Return `values`, one for each of the last axes, with `fill` for the axes before them."""
    depth, height, width = (fill,) * (AXES - len(values)) + tuple(values)
    return depth, height, width


class Window(NamedTuple):
    """A window that slides over three spatial axes; immutable and hashable.

    Every field holds one integer for each axis (depth, height, width). Make one with :meth:`of`, which
    validates; the kernels trust the fields.

    Attributes
    ----------
    size : input elements
    kernel : taps of the kernel
    stride : steps between neighbouring windows
    dilation : steps between neighbouring taps; 1 means none
    before, after : elements of padding
    out : windows
    """

    size: Axes
    kernel: Axes
    stride: Axes
    dilation: Axes
    before: Axes
    after: Axes
    out: Axes

    @classmethod
    def of(
        cls,
        function: str,
        sizes: Any,
        kernel: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> "Window":
        """Parse and validate what a user gave and return the window.

        Parameters
        ----------
        function : str
            What error messages call the operation.
        sizes : sequence of 1 to 3 int
            The spatial shape of the input; their count is the number of axes of everything else.
        kernel, stride, dilation : int or sequence of int
            As :func:`per_axis` takes them; at least 1.
        padding : int, sequence, "same" or "valid"
            As :func:`parse_padding` takes it.
        ceil_mode : bool
            As in :func:`output_size`.

        Raises
        ------
        TypeError, ValueError
            As :func:`per_axis` and :func:`parse_padding`; and if the effective kernel is larger than the
            padded input.

        Examples
        --------
        >>> window = Window.of("conv2d", (9, 8), (3, 2), (2, 3), (2, 1), (2, 3))
        >>> window.out, window.spatial(2)
        ((1, 5, 3), (5, 3))
        >>> Window.of("conv1d", (4,), 3, padding=1, dilation=4)
        Traceback (most recent call last):
            ...
        ValueError: conv1d: the kernel is larger than the padded input on spatial axis 0:
        effective kernel 9 (kernel 3, dilation 4), padded input 6 (input 4, padding 1 + 1)
        """
        arguments = (sizes, kernel, stride, padding, dilation)
        if all(map(_is_plain, arguments)):
            return _cached_window(function, *arguments, bool(ceil_mode))
        return _parse_window(function, *arguments, bool(ceil_mode))

    @classmethod
    def transposed(
        cls,
        function: str,
        sizes: Any,
        kernel: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
    ) -> "Window":
        """Return the window of the correlation whose input gradient is a transposed convolution.

        What the transposed convolution reads is what the correlation writes: ``window.out`` holds `sizes`, and
        ``window.size`` the size of the result,
        ``(size - 1) * stride - before - after + extent + output_padding``.

        Parameters
        ----------
        function, sizes, kernel, stride, dilation
            As in :meth:`of`; `sizes` is the spatial shape of what the transposed convolution reads, at least 1.
        padding : int, sequence, "same" or "valid"
            As :func:`parse_padding` takes it; ``"same"`` makes the result ``size * stride`` elements long: its
            padding is that of the ``"same"`` correlation of so many elements.
        output_padding : int or sequence of int
            Elements added at the end; less than the stride or the dilation. 0 with ``"same"``.

        Raises
        ------
        TypeError, ValueError
            As in :meth:`of`; and if the result would have no elements.

        Examples
        --------
        >>> Window.transposed("conv_transpose1d", (3,), 3, 2, 1, 1).size
        (1, 1, 6)
        >>> Window.transposed("conv_transpose1d", (3,), 3, 2, "same").size
        (1, 1, 6)
        """
        sizes = tuple(sizes)
        n = len(sizes)
        if not 1 <= n <= AXES:
            raise ValueError(f"{function}: from 1 to {AXES} spatial axes are supported, got {n}")
        sizes = per_axis(sizes, n, function, "input size", minimum=1)
        kernel = per_axis(kernel, n, function, "kernel size", minimum=1)
        stride = per_axis(stride, n, function, "stride", minimum=1)
        dilation = per_axis(dilation, n, function, "dilation", minimum=1)
        extra = per_axis(output_padding, n, function, "output_padding", minimum=0)
        if isinstance(padding, str) and padding == "same":
            if any(extra):
                raise ValueError(
                    f'{function}: output_padding must be 0 with padding "same", which settles the size of the '
                    f"result, got {output_padding!r}"
                )
            results = [size * step for size, step in zip(sizes, stride)]
            return _parse_window(function, results, kernel, stride, padding, dilation, False)
        pairs = parse_padding(padding, sizes, kernel, stride, dilation, function)
        results = []
        for axis in range(n):
            if extra[axis] >= max(stride[axis], dilation[axis]):
                raise ValueError(
                    f"{function}: output_padding must be less than the stride or the dilation, got "
                    f"output_padding {extra[axis]}, stride {stride[axis]}, dilation {dilation[axis]}"
                )
            spans = extent(kernel[axis], dilation[axis])
            result = (sizes[axis] - 1) * stride[axis] - sum(pairs[axis]) + spans + extra[axis]
            if result < 1:
                raise ValueError(
                    f"{function}: the result would have size {result} on spatial axis {axis}: input {sizes[axis]}, "
                    f"stride {stride[axis]}, effective kernel {spans}, padding {pairs[axis][0]} + {pairs[axis][1]}, "
                    f"output_padding {extra[axis]}"
                )
            results.append(result)
        return cls(
            _embed(1, results),
            _embed(1, kernel),
            _embed(1, stride),
            _embed(1, dilation),
            _embed(0, [before for before, _ in pairs]),
            _embed(0, [after for _, after in pairs]),
            _embed(1, sizes),
        )

    def spatial(self, n: int) -> tuple[int, ...]:
        """Return the spatial shape of the output for a window of `n` axes: the last `n` entries of `out`."""
        return self.out[AXES - n :]

    @property
    def taps(self) -> int:
        """How many elements the kernel has."""
        return self.kernel[0] * self.kernel[1] * self.kernel[2]


def _is_plain(value: Any) -> bool:
    """Return whether equal values of this kind are the same to :func:`_parse_window` (1, True and 1.0 are not)."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) is int or type(value) is str


def _parse_window(
    function: str, sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Window:
    """Do the work of :meth:`Window.of`."""
    sizes = tuple(sizes)
    n = len(sizes)
    if not 1 <= n <= AXES:
        raise ValueError(f"{function}: from 1 to {AXES} spatial axes are supported, got {n}")
    sizes = per_axis(sizes, n, function, "input size", minimum=0)
    kernel = per_axis(kernel, n, function, "kernel size", minimum=1)
    stride = per_axis(stride, n, function, "stride", minimum=1)
    dilation = per_axis(dilation, n, function, "dilation", minimum=1)
    pairs = parse_padding(padding, sizes, kernel, stride, dilation, function)
    out = []
    for axis in range(n):
        before, after = pairs[axis]
        spans, padded = extent(kernel[axis], dilation[axis]), sizes[axis] + before + after
        count = output_size(sizes[axis], kernel[axis], stride[axis], before, after, dilation[axis], ceil_mode)
        if count < 1:  # a larger kernel fits once only if ceil_mode lets it hang over the end
            raise ValueError(
                f"{function}: the kernel is larger than the padded input on spatial axis {axis}: "
                f"effective kernel {spans} (kernel {kernel[axis]}, dilation {dilation[axis]}), "
                f"padded input {padded} (input {sizes[axis]}, padding {before} + {after})"
            )
        out.append(count)
    return Window(
        _embed(1, sizes),
        _embed(1, kernel),
        _embed(1, stride),
        _embed(1, dilation),
        _embed(0, [before for before, _ in pairs]),
        _embed(0, [after for _, after in pairs]),
        _embed(1, out),
    )


# A network has few windows and slides them often: what has been parsed once is looked up.
_cached_window = functools.lru_cache(maxsize=1024)(_parse_window)


@functools.lru_cache(maxsize=1024)
def blind_window(window: Window) -> tuple[int, int] | None:
    """Return (axis, index) of the first window that sees nothing but padding, or None if there is none.

    A window sees the input if, on every axis, one of its taps does; so the axes are looked at one by one.

    Examples
    --------
    >>> blind_window(Window.of("pool", (4,), 2, padding=((2, 0),)))
    (2, 0)
    >>> blind_window(Window.of("pool", (4,), 2, padding=((1, 1),))) is None
    True
    """
    for axis in range(AXES):
        size, before, stride = window.size[axis], window.before[axis], window.stride[axis]
        for i in range(window.out[axis]):
            short = before - i * stride  # how far before the input the window starts
            if short <= 0:
                break  # this window and later ones start in the input, or behind it: below
            first = -(-short // window.dilation[axis])  # the first tap that is not before the input
            if first >= window.kernel[axis] or first * window.dilation[axis] >= short + size:
                return axis, i
        last = window.out[axis] - 1
        if last >= 0 and last * stride >= before + size:
            return axis, -(-(before + size) // stride)
    return None


def check_pool_padding(function: str, window: Window, padding: Any) -> None:
    """Raise ValueError if a pool's padding hides windows from the input.

    Parameters
    ----------
    function : str
        What the message calls the operation.
    window : Window
    padding : int, sequence, "same" or "valid"
        As the user gave it. Integers for both sides of an axis may be at most half of the effective kernel
        (PyTorch's rule); for every form, no window may lie wholly in padding.

    Examples
    --------
    >>> check_pool_padding("max_pool1d", Window.of("max_pool1d", (4,), 2, padding=2), 2)
    Traceback (most recent call last):
        ...
    ValueError: max_pool1d: padding must be at most half of the effective kernel: padding 2, effective kernel 2
    """
    if not isinstance(padding, str) and not is_asymmetric(padding):
        for before, kernel, dilation in zip(window.before, window.kernel, window.dilation):
            spans = extent(kernel, dilation)
            if 2 * before > spans:
                raise ValueError(
                    f"{function}: padding must be at most half of the effective kernel: "
                    f"padding {before}, effective kernel {spans}"
                )
    check_windows_see(function, window)


def check_windows_see(function: str, window: Window) -> None:
    """Raise ValueError if a window lies wholly in padding.

    Examples
    --------
    >>> check_windows_see("max_pool1d", Window.of("max_pool1d", (4,), 2, padding=((2, 0),)))
    Traceback (most recent call last):
        ...
    ValueError: max_pool1d: no window may lie wholly in padding, window 0 on axis -1 does:
    input 4, padding 2 + 0, kernel 2, dilation 1, stride 1
    """
    blind = blind_window(window)
    if blind is not None:
        axis, index = blind
        raise ValueError(
            f"{function}: no window may lie wholly in padding, window {index} on axis {axis - AXES} does: "
            f"input {window.size[axis]}, padding {window.before[axis]} + {window.after[axis]}, "
            f"kernel {window.kernel[axis]}, dilation {window.dilation[axis]}, stride {window.stride[axis]}"
        )
