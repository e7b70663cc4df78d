"""Derivative operators: functions of functions.

They take a function of arrays and return its derivatives, or functions that compute them. Arguments may be
arrays, numbers and Tensors, also in nested lists, tuples, dictionaries and dataclasses (`trees`).

What comes in decides what goes out: for arrays and numbers, arrays and numbers; for Tensors, Tensors. Where a result
depends on Tensors from outside (an argument with a history, or one that the function closes over, as in a
derivative of a derivative), it is a Tensor with a history, so that operators nest to any order.

References
----------
A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 3 and 5. Forward derivatives are
computed by two reverse sweeps: the vector-Jacobian product is linear in its cotangent, and its own transpose is
the Jacobian-vector product (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .calls import Call, Function, call_on_tensors, fit, is_recorded, positions, scalar_output
from .gradients import grad as _grad
from .tape import enable_grad, no_grad
from .tensor import Tensor, as_tensor, raw
from .trees import flatten, unflatten

__all__ = [
    "elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "stop_gradient", "value_and_grad", "vjp",
]  # fmt: skip


def _ones(output: Any) -> list[Any]:
    return [np.ones(output.shape, output.dtype)]


# --- reverse ---------------------------------------------------------------------------------------------


def vjp(function: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Value of a function, and the function that computes its vector-Jacobian products there.

    Parameters
    ----------
    function : callable
        Of arrays; returns an array or a nested structure of arrays.
    *primals : tree of array_like
        Where. Derivatives are taken with respect to all of them.
    has_aux : bool
        Whether `function` returns a pair, of which only the first is differentiated.

    Returns
    -------
    value : tree
        What `function` returned.
    pullback : callable
        ``pullback(cotangent)``, with a cotangent of the structure of `value`, returns a tuple with the cotangent of
        each of `primals`. It may be called several times.
    auxiliary : any
        Only with `has_aux`.

    Raises
    ------
    TypeError
        If a leaf of `primals` has no derivative (an integer array, a string).

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> value, pullback = ac.vjp(lambda x, y: x * np.sin(y), 2.0, np.array([0.0, 1.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (np.float64(0.0), array([2., 0.]))
    """
    call = call_on_tensors("vjp", function, primals, {}, tuple(range(len(primals))), has_aux)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        leaves, structure = flatten(cotangent)
        if structure != call.output_structure:
            raise ValueError(
                f"vjp: the cotangent has the structure {structure!r}, "
                f"the value of the function {call.output_structure!r}"
            )
        cotangents = [
            fit("vjp", "cotangent", leaf, output) if is_recorded(output) else None
            for leaf, output in zip(leaves, call.outputs)
        ]
        return tuple(unflatten(call.structure, call.pull_back(cotangents, retain=True)))

    value = call.value()
    return (value, pullback, call.auxiliary) if has_aux else (value, pullback)


def grad(
    outputs: Any,
    inputs: Any = None,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
) -> Any:
    """Gradients of Tensors that were computed, or, given a function, the function that computes its gradient.

    Parameters
    ----------
    outputs : Tensor, sequence of Tensors, or callable
        What to differentiate.
    inputs : Tensor or sequence of Tensors
        With respect to what. For a callable: as `argnums`.
    grad_outputs, retain_graph, create_graph
        See `autograd_conv.gradients.grad`; they do not apply to a callable.
    argnums : int or sequence of int
        For a callable: the positional arguments to differentiate with respect to.
    has_aux : bool
        For a callable: whether it returns a pair ``(scalar, auxiliary)``.

    Returns
    -------
    tuple of Tensor, or callable
        For Tensors: one gradient for each input. For a function: the function that takes its arguments and returns
        its gradient, of the structure of the argument (with `has_aux`: ``(gradient, auxiliary)``).

    Raises
    ------
    TypeError
        If Tensors are given without `inputs`.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor(3.0, requires_grad=True)
    >>> ac.grad(x**2, x)
    (Tensor(6., dtype=float64),)
    >>> print(ac.grad(ac.grad(lambda x: x**3))(3.0))
    18.0
    """
    if isinstance(outputs, Tensor) or not callable(outputs):
        if inputs is None:
            raise TypeError("grad: argument 'inputs' is missing: the Tensors to differentiate with respect to")
        return _grad(outputs, inputs, grad_outputs, retain_graph, create_graph)
    if grad_outputs is not None or retain_graph or create_graph:
        raise TypeError(
            "grad: grad_outputs, retain_graph and create_graph belong to Tensors; the gradient of a function takes "
            "none of them (and can be differentiated again as it is)"
        )
    both = value_and_grad(outputs, argnums if inputs is None else inputs, has_aux)

    @functools.wraps(outputs, updated=())
    def gradient(*args: Any, **keywords: Any) -> Any:
        value, result = both(*args, **keywords)
        return (result, value[1]) if has_aux else result

    return gradient


def value_and_grad(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that computes a scalar function together with its gradient.

    Parameters
    ----------
    function : callable
        Returns one scalar.
    argnums : int or sequence of int
        Positional arguments to differentiate with respect to; each may be a nested structure of arrays.
    has_aux : bool
        Whether `function` returns a pair ``(scalar, auxiliary)``.

    Returns
    -------
    callable
        Takes the arguments of `function`, returns ``(value, gradient)``, with `has_aux`
        ``((value, auxiliary), gradient)``. The gradient has the structure of the argument; it is a tuple if
        `argnums` is a sequence.

    Raises
    ------
    ValueError
        When called: if the value is no scalar, or there are fewer arguments than `argnums` says.

    Examples
    --------
    As ``scipy.optimize.minimize`` wants it, with ``jac=True``:

    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> bowl = ac.value_and_grad(lambda x: np.sum(x**2))
    >>> bowl(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """

    @functools.wraps(function, updated=())
    def value_and_gradient(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        numbers = positions("value_and_grad", argnums, len(args))
        call = call_on_tensors("value_and_grad", function, args, keywords, numbers, has_aux)
        output = scalar_output("value_and_grad", call)
        gradients = unflatten(call.structure, call.pull_back(_ones(output)))
        value = call.value()
        result = gradients[0] if isinstance(argnums, (int, np.integer)) else tuple(gradients)
        return ((value, call.auxiliary) if has_aux else value), result

    return value_and_gradient


def elementwise_grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The function that computes the derivative of each output element with respect to its own input element.

    Parameters
    ----------
    function : callable
        Each element of its result depends on the element in the same place of the arguments, and on no other.
    argnums : int or sequence of int
        Positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of `function`, returns the derivatives, of the shape of the argument. (For any other
        function: the sums of the columns of the Jacobian.)

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> ac.elementwise_grad(np.tanh)(np.array([0.0, 1.0]))
    array([1.        , 0.41997434])
    """

    @functools.wraps(function, updated=())
    def derivative(*args: Any, **keywords: Any) -> Any:
        numbers = positions("elementwise_grad", argnums, len(args))
        call = call_on_tensors("elementwise_grad", function, args, keywords, numbers)
        cotangents = [_ones(output)[0] if is_recorded(output) else None for output in call.outputs]
        gradients = unflatten(call.structure, call.pull_back(cotangents))
        return gradients[0] if isinstance(argnums, (int, np.integer)) else tuple(gradients)

    return derivative


def jacobian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The function that computes all partial derivatives of the elements of a result.

    Parameters
    ----------
    function : callable
        Returns an array, or a nested structure of arrays.
    argnums : int or sequence of int
        Positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Jacobian, of shape ``result.shape + argument.shape``. With
        structures: for each leaf of the result, the structure of the argument with a Jacobian in each leaf.

    Notes
    -----
    Cost: one reverse sweep for each element of the result.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> ac.jacobian(lambda x: np.array([[1.0, 2.0], [3.0, 4.0]]) @ x)(np.array([5.0, 6.0]))
    array([[1., 2.],
           [3., 4.]])
    """

    @functools.wraps(function, updated=())
    def all_partials(*args: Any, **keywords: Any) -> Any:
        numbers = positions("jacobian", argnums, len(args))
        call = call_on_tensors("jacobian", function, args, keywords, numbers)
        blocks = []
        for k, output in enumerate(call.outputs):
            rows = []
            shape, dtype = np.shape(raw(output)), raw(output).dtype if hasattr(raw(output), "dtype") else float
            for index in np.ndindex(shape):
                seed = np.zeros(shape, dtype)
                seed[index] = 1
                cotangents: list[Any] = [None] * len(call.outputs)
                cotangents[k] = seed
                rows.append(call.pull_back(cotangents, retain=True))
            columns = []
            for i, value in enumerate(call.inputs):
                parts = [row[i] for row in rows]
                columns.append(_stack(parts, shape + value.shape, value.dtype, call))
            gradients = unflatten(call.structure, columns)
            blocks.append(gradients[0] if isinstance(argnums, (int, np.integer)) else tuple(gradients))
        return unflatten(call.output_structure, blocks)

    return all_partials


def _stack(parts: list[Any], shape: tuple[int, ...], dtype: Any, call: Call) -> Any:
    if not parts:
        empty = np.zeros(shape, dtype)
        return as_tensor(empty) if call.as_tensors else empty
    stacked = np.stack(parts).reshape(shape)
    return stacked if not isinstance(stacked, np.ndarray) or stacked.ndim else stacked[()]


def hessian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The function that computes all second partial derivatives of a scalar function.

    Parameters
    ----------
    function : callable
        Returns one scalar.
    argnums : int or sequence of int
        Positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Hessian, of shape ``argument.shape + argument.shape``.

    Notes
    -----
    Cost: one reverse sweep for each element of the arguments, through the record of a gradient. For the product
    with a vector alone, `hvp` takes one.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> ac.hessian(lambda x: np.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return jacobian(grad(function, argnums=argnums), argnums)


# --- forward ---------------------------------------------------------------------------------------------


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    """Value and directional derivative: the Jacobian-vector product.

    Parameters
    ----------
    function : callable
        Of arrays; returns an array or a nested structure of arrays.
    primals : sequence of trees of array_like
        Where: the arguments.
    tangents : sequence of trees of array_like
        In which direction: the same structure.
    has_aux : bool
        Whether `function` returns a pair, of which only the first is differentiated.

    Returns
    -------
    value : tree
        What `function` returned.
    tangent : tree
        Its derivative in the direction of `tangents`, of the same structure.
    auxiliary : any
        Only with `has_aux`.

    Raises
    ------
    TypeError
        If `primals` or `tangents` is no sequence.
    ValueError
        If `tangents` has another structure than `primals`.

    Notes
    -----
    Two reverse sweeps: the vector-Jacobian product ``v -> J^T v`` is linear, and its transpose is ``J``. Cost: a small
    multiple of that of the function, however many arguments and results there are.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> value, tangent = ac.jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> print(value, tangent)
    8.0 12.0
    """
    for role, values in (("primals", primals), ("tangents", tangents)):
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"jvp: argument {role!r} is a {type(values).__name__}; it must be a tuple of arguments")
    call = call_on_tensors("jvp", function, tuple(primals), {}, tuple(range(len(primals))), has_aux)
    directions, structure = flatten(list(tangents))
    if structure != call.structure:
        raise ValueError(f"jvp: tangents have the structure {structure!r}, primals {call.structure!r}")
    directions = [fit("jvp", "tangent", leaf, value) for leaf, value in zip(directions, call.inputs)]
    result = unflatten(call.output_structure, _push_forward(call, directions))
    return (call.value(), result, call.auxiliary) if has_aux else (call.value(), result)


def _push_forward(call: Call, directions: Sequence[Any]) -> list[Any]:
    live = [output for output in call.outputs if is_recorded(output)]
    cotangents = [Tensor(np.zeros(output.shape, output.dtype), requires_grad=True) for output in live]
    found: dict[int, Any] = {}
    if live:
        with enable_grad():
            back = _grad(live, call.inputs, cotangents, create_graph=True)
        reached = [(g, direction) for g, direction in zip(back, directions) if g.requires_grad]
        if reached:
            outputs, seeds = zip(*reached)
            forward = _grad(outputs, cotangents, seeds, retain_graph=call.outside, create_graph=call.outside)
            found = {id(output): value for output, value in zip(live, forward)}
    results = []
    for output in call.outputs:
        if id(output) in found:
            results.append(call.result(found[id(output)]))
        else:
            zeros = np.zeros_like(raw(output))
            results.append(as_tensor(zeros) if call.as_tensors else zeros[()])
    return results


def hvp(function: Function, argnums: int = 0) -> Function:
    """The function that computes products of a Hessian with vectors.

    Parameters
    ----------
    function : callable
        Returns one scalar.
    argnums : int
        The positional argument to differentiate with respect to; it may be a nested structure of arrays.

    Returns
    -------
    callable
        ``product(*args, vector)``: the arguments of `function`, then a vector of the structure of the
        differentiated argument; returns the Hessian times the vector, of that structure.

    Notes
    -----
    The gradient of ``<gradient, vector>``: a small multiple of the cost of the function; the Hessian is never formed.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> ac.hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])
    """

    @functools.wraps(function, updated=())
    def product(*args: Any, **keywords: Any) -> Any:
        if len(args) < 2:
            raise TypeError("hvp: the product takes the arguments of the function, and then the vector")
        *point, vector = args
        (number,) = positions("hvp", argnums, len(point))
        call = call_on_tensors("hvp", function, point, keywords, (number,))
        output = scalar_output("hvp", call)
        leaves, structure = flatten([vector])
        if structure != call.structure:
            raise ValueError(f"hvp: the vector has the structure {structure!r}, the argument {call.structure!r}")
        directions = [fit("hvp", "vector", leaf, value) for leaf, value in zip(leaves, call.inputs)]
        with enable_grad():
            gradient = call.differentiate(_ones(output), True, True)
        reached = [(g, direction) for g, direction in zip(gradient, directions) if g.requires_grad]
        if reached:
            outputs, seeds = zip(*reached)
            results = _grad(outputs, call.inputs, seeds, retain_graph=call.outside, create_graph=call.outside)
        else:
            results = tuple([as_tensor(np.zeros(value.shape, value.dtype)) for value in call.inputs])
        return unflatten(call.structure, [call.result(value) for value in results])[0]

    return product


# --- no derivative ---------------------------------------------------------------------------------------


def stop_gradient(tree: Any) -> Any:
    """The same values, treated as constants by differentiation.

    Parameters
    ----------
    tree : tree of array_like
        Tensors in it are replaced by Tensors without history; everything else stays as it is.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> print(ac.grad(lambda x: x * ac.stop_gradient(x))(3.0))
    3.0
    """
    leaves, structure = flatten(tree)
    with no_grad():
        return unflatten(structure, [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves])
