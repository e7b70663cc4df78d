"""Checking of vector-Jacobian products against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .gradients import grad
from .tensor import Tensor, raw
from .trees import flatten, unflatten

__all__ = ["GradientMismatch", "Kink", "check_gradients", "check_vjp"]

# Central differences have an error of h**2 from the third derivative and of eps/h from rounding; their
# sum is smallest near the cube root of the machine's epsilon, about 6e-6 in float64.
_STEP = float(np.cbrt(np.finfo(np.float64).eps))


class GradientMismatch(AssertionError):
    """A VJP and central differences disagree."""


def check_vjp(
    function: Callable[..., Any],
    *args: Any,
    order: int = 2,
    seed: int = 0,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    max_elements: int = 64,
    **settings: Any,
) -> None:
    r"""Check the VJPs of a function at a point, for one random cotangent.

    Parameters
    ----------
    function : callable
        Takes Tensors, returns a Tensor or a tuple of Tensors: a primitive, or anything made of primitives.
    *args : array_like
        The point. Floating-point arrays are converted to float64, complex ones to complex128, and differentiated;
        integers, booleans and anything that is no array are passed as they are. Keep away from kinks and ties.
    order : int
        Check derivatives up to this order: the VJP is a function of the point and of the cotangent, and is
        checked in turn.
    seed : int
        For the cotangents, and for the choice of elements.
    rtol, atol : float
        Allowed difference: ``atol + rtol * scale``, where the scale is the larger of the two values compared,
        and at least a thousandth of the largest value of the gradient.
    max_elements : int
        At most so many elements of each argument are checked, chosen at random.
    **settings
        Keyword arguments for `function`.

    Raises
    ------
    GradientMismatch
        If a VJP disagrees with central differences, has another shape or dtype than its argument, or if the
        function changes its arguments. Names function, argument, order, the worst element and both values.

    Notes
    -----
    For a cotangent :math:`v`, the VJP with respect to :math:`x` is the gradient of
    :math:`\langle v, f(x)\rangle`, whose element k is compared with
    :math:`\langle v, f(x + h e_k) - f(x - h e_k)\rangle / 2h`. Cost: two evaluations of the function for each
    element checked, at each order; twice that for complex elements, whose real and imaginary parts are moved in turn.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> ac.testing.check_vjp(ac.exp, [0.1, 0.2])
    >>> wrong = ac.primitive(lambda x: x**3, name="wrong").defvjp(x=lambda g, x: 3.003 * x**2 * g)
    >>> ac.testing.check_vjp(wrong, [0.5, 2.0])
    Traceback (most recent call last):
        ...
    autograd_conv.testing.GradientMismatch: check_vjp of wrong, argument 0 (shape (2,)), order 1: ...
    """
    name = str(getattr(function, "name", None) or getattr(function, "__name__", repr(function)))
    points = [_as_point(arg) for arg in args]
    _check(
        lambda *tensors: function(*tensors, **settings),
        name,
        points,
        1,
        order,
        seed,
        rtol,
        atol,
        max_elements,
    )


def _as_point(arg: Any) -> Any:
    values = raw(arg)
    if isinstance(values, (np.ndarray, np.generic, float, complex, list, tuple)):
        array = np.asarray(values)
        if array.dtype.kind in "fc":
            return array.astype(np.float64 if array.dtype.kind == "f" else np.complex128)
        return arg if array.dtype.kind == "O" else array
    return arg


def _outputs(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def _is_float(point: Any) -> bool:
    return isinstance(point, np.ndarray) and point.dtype.kind in "fc"


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """A cotangent for an output; None for one that has none."""
    if dtype.kind == "c":
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return rng.standard_normal(shape) if dtype.kind == "f" else None


def _check(
    function: Callable[..., Any],
    name: str,
    points: Sequence[Any],
    order: int,
    last_order: int,
    seed: int,
    rtol: float,
    atol: float,
    max_elements: int,
) -> None:
    rng = np.random.default_rng(seed + order)
    wanted = [k for k, point in enumerate(points) if _is_float(point)]

    def tensors(values: Sequence[Any]) -> list[Any]:
        return [Tensor(v, requires_grad=True) if _is_float(v) else v for v in values]

    arguments = tensors(points)
    outputs = _outputs(function(*arguments))
    for k in wanted:
        if not np.array_equal(arguments[k].data, points[k], equal_nan=True):
            raise GradientMismatch(f"check_vjp of {name}: the function changed its argument {k}")
    cotangents = [_random(rng, out.shape, out.dtype) for out in outputs]
    live = [k for k, out in enumerate(outputs) if out.requires_grad]
    if live:
        gradients = [
            result.data
            for result in grad(
                [outputs[k] for k in live],
                [arguments[k] for k in wanted],
                [cotangents[k] for k in live],
            )
        ]
    else:
        gradients = [np.zeros_like(points[k]) for k in wanted]

    def projected(values: Sequence[Any]) -> float:
        results = _outputs(function(*tensors(values)))
        return float(sum(np.sum(v.conj() * raw(out)).real for v, out in zip(cotangents, results) if v is not None))

    for k, gradient in zip(wanted, gradients):
        point = points[k]
        where = f"check_vjp of {name}, argument {k} (shape {point.shape}), order {order}"
        if gradient.shape != point.shape or gradient.dtype != point.dtype:
            raise GradientMismatch(f"{where}: the cotangent has shape {gradient.shape} and dtype {gradient.dtype}")
        chosen = np.arange(point.size)
        if point.size > max_elements:
            chosen = np.sort(rng.choice(point.size, max_elements, replace=False))
        numerical = np.zeros(chosen.size, point.dtype)
        for i, flat in enumerate(chosen):
            for direction in (1, 1j) if point.dtype.kind == "c" else (1,):
                step = _STEP * max(1.0, abs(point.flat[flat])) * direction
                sides = []
                for sign in (1, -1):
                    moved = point.copy()
                    moved.flat[flat] += sign * step
                    sides.append((projected([*points[:k], moved, *points[k + 1 :]]), moved.flat[flat]))
                numerical[i] += direction * (sides[0][0] - sides[1][0]) / abs(sides[0][1] - sides[1][1])
        analytical = gradient.reshape(-1)[chosen]
        scale = np.maximum(np.abs(numerical), np.abs(analytical))
        allowed = atol + rtol * np.maximum(scale, 1e-3 * scale.max(initial=0.0))
        excess = np.abs(numerical - analytical) / allowed
        excess[~np.isfinite(excess)] = np.inf
        if excess.size and excess.max() > 1:
            worst = int(np.argmax(excess))
            index = tuple(int(i) for i in np.unravel_index(chosen[worst], point.shape))
            raise GradientMismatch(
                f"{where}: worst element {index}: the VJP gives {analytical[worst]:.9g}, central differences "
                f"{numerical[worst]:.9g}; {int((excess > 1).sum())} of {chosen.size} elements disagree"
            )

    if order < last_order:
        n = len(points)
        seeds = [v for v in cotangents if v is not None]

        def vjp(*values: Any) -> tuple[Tensor, ...]:
            results = [out for out in _outputs(function(*values[:n])) if out.dtype.kind in "fc"]
            pairs = [(out, v) for out, v in zip(results, values[n:]) if out.requires_grad]
            if not pairs:
                return tuple(Tensor(np.zeros(values[k].shape, values[k].dtype)) for k in wanted)
            outs, vs = zip(*pairs)
            return grad(outs, [values[k] for k in wanted], vs, create_graph=True)

        _check(vjp, name, [*points, *seeds], order + 1, last_order, seed, rtol, atol, max_elements)


class Kink(NamedTuple):
    """Where a function has no derivative: differences to the two sides disagree.

    Attributes
    ----------
    leaf : int
        Which array of the arguments, counted through nested structures.
    element : tuple of int
        Its index in that array.
    left, right : float
        Slopes on both sides.
    """

    leaf: int
    element: tuple[int, ...]
    left: float
    right: float


def check_gradients(
    function: Callable[..., Any],
    *args: Any,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    seed: int = 0,
    max_elements: int = 64,
) -> list[Kink]:
    """Check the gradients of a whole function of one's own against central differences.

    Parameters
    ----------
    function : callable
        Takes the arguments, returns Tensors, also in nested structures; made of functions of this package and of
        NumPy's. For one random combination of its results, its gradient is compared.
    *args : tree of array_like
        The point. Floating-point and complex arrays, Tensors and numbers in nested structures are differentiated with
        respect to, in double precision; everything else is passed as it is.
    rtol, atol : float
        Allowed difference, as for `check_vjp`.
    seed : int
        For the combination of results, and for the choice of elements.
    max_elements : int
        At most so many elements of each array are checked, chosen at random.

    Returns
    -------
    list of Kink
        Elements at which the function has no derivative (as ``relu`` at 0), so that there was nothing to compare with.
        Empty if it is smooth there.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong; names the array, the worst element, and both values.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> ac.testing.check_gradients(lambda p: np.tanh(p["w"] @ p["x"]), {"w": np.eye(2), "x": np.ones(2)})
    []
    >>> ac.testing.check_gradients(ac.nn.relu, np.array([0.0, 1.0]))[0].element
    (0,)
    """
    leaves, structure = flatten(list(args))
    points = [_as_point(leaf) for leaf in leaves]
    wanted = [k for k, point in enumerate(points) if _is_float(point)]
    rng = np.random.default_rng(seed)

    def outputs_at(values: Sequence[Any], recorded: bool) -> tuple[list[Any], list[Any]]:
        tensors = [Tensor(v, requires_grad=recorded and _is_float(v)) if _is_float(v) else v for v in values]
        results = flatten(function(*unflatten(structure, tensors)))[0]
        return tensors, [out for out in results if isinstance(out, Tensor) and out.dtype.kind in "fc"]

    tensors, outputs = outputs_at(points, True)
    weights: list[Any] = [_random(rng, out.shape, out.dtype) for out in outputs]
    if len(outputs) == 1 and outputs[0].size == 1:  # a loss: its own slopes are what one wants to read
        weights = [np.ones(outputs[0].shape)]
    live = [k for k, out in enumerate(outputs) if out.requires_grad]
    gradients = [np.zeros_like(points[k]) for k in wanted]
    if live and wanted:
        found = grad([outputs[k] for k in live], [tensors[k] for k in wanted], [weights[k] for k in live])
        gradients = [result.data for result in found]

    def value(values: Sequence[Any]) -> float:
        _, results = outputs_at(values, False)
        return float(sum(np.sum(np.conj(v) * raw(out)).real for v, out in zip(weights, results)))

    middle = value(points)
    kinks = []
    for k, gradient in zip(wanted, gradients):
        point = points[k]
        chosen = np.arange(point.size)
        if point.size > max_elements:
            chosen = np.sort(rng.choice(point.size, max_elements, replace=False))
        largest = float(np.max(np.abs(gradient), initial=0.0))
        for flat in chosen:
            index = tuple(int(i) for i in np.unravel_index(flat, point.shape))
            for direction in (1, 1j) if point.dtype.kind == "c" else (1,):
                step = _STEP * max(1.0, abs(point.flat[flat]))
                sides = []
                for sign in (1, -1):
                    moved = point.copy()
                    moved.flat[flat] += sign * step * direction
                    sides.append(value([*points[:k], moved, *points[k + 1 :]]))
                right, left = (sides[0] - middle) / step, (middle - sides[1]) / step
                numerical = (right + left) / 2
                analytical = float((np.conj(direction) * gradient.flat[flat]).real)
                scale = max(abs(numerical), abs(analytical), 1e-3 * largest)
                if abs(numerical - analytical) <= atol + rtol * scale:
                    continue
                if abs(right - left) > 0.01 * (abs(right) + abs(left)) + 1e-3 * atol / step * 1e-6:
                    kinks.append(Kink(k, index, left, right))
                    continue
                raise GradientMismatch(
                    f"check_gradients of {getattr(function, '__name__', function)!r}, array {k} (shape {point.shape}), "
                    f"element {index}: the gradient is {analytical:.9g}, central differences give {numerical:.9g}"
                )
    return kinks
