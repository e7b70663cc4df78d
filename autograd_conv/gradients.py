"""Gradients as Tensors, of any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import memory
from .errors import AutodiffError
from .tape import IN_SWEEP, STATE, STRICT, Node, State, made_at, sweep
from .tensor import ArrayLike, Tensor, seed_for, wrap
from .trees import flatten, flatten_like, unflatten

__all__ = ["grad", "gradient_of_trees"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Vector-Jacobian products of `outputs` with respect to `inputs`, as Tensors; no ``grad`` is touched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensors
        What to differentiate. The results for several outputs add up.
    inputs : Tensor or sequence of Tensors
        With respect to what: leaves or intermediate results.
    grad_outputs : array_like or sequence of (array_like or None), optional
        A cotangent for each output. A Tensor in it is differentiated through if `create_graph`.
    retain_graph : bool
        Keep what the records saved, to go through them again.
    create_graph : bool
        Record the sweep itself, so that the results can be differentiated; implies `retain_graph`.

    Returns
    -------
    tuple of Tensor
        One for each input, of its shape and dtype; zeros if no output depends on it.

    Raises
    ------
    AutodiffError
        As for `Tensor.backward`, and for an input that does not require grad.
    TypeError
        If an output or input is no Tensor.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor(3.0, requires_grad=True)
    >>> (first,) = ac.grad(x**3, x, create_graph=True)
    >>> (second,) = ac.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    output_list = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    input_list = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        seeds: list[Any] = [None] * len(output_list)
    elif isinstance(outputs, Tensor) and not (isinstance(grad_outputs, (list, tuple)) and len(grad_outputs) == 1):
        seeds = [grad_outputs]
    else:
        seeds = list(grad_outputs)  # type: ignore[arg-type]
    found = _gradients("grad", output_list, input_list, seeds, retain_graph, create_graph)
    if STRICT.get() and None in found:
        k = found.index(None)
        where = made_at(input_list[k]._node)
        raise AutodiffError(
            f"grad: no output depends on inputs[{k}] (shape {input_list[k].shape}{where}); its gradient would be zero"
        )
    zeros = [wrap(np.zeros(value.shape, value.dtype)) if g is None else g for value, g in zip(input_list, found)]
    return tuple(zeros)


def _gradients(
    name: str,
    output_list: Sequence[Tensor],
    input_list: Sequence[Tensor],
    seeds: Sequence[Any],
    retain_graph: bool,
    create_graph: bool,
) -> list[Tensor | None]:
    """A gradient for each input; None where no output depends on it."""
    if len(seeds) != len(output_list):
        raise ValueError(f"{name}: {len(seeds)} grad_outputs for {len(output_list)} outputs; give one for each")
    for role, values in (("outputs", output_list), ("inputs", input_list)):
        for k, value in enumerate(values):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}: {role}[{k}] is a {type(value).__name__}; it must be a Tensor")
            if value._node is None:
                raise AutodiffError(
                    f"{name}: {role}[{k}] (shape {value.shape}) does not require grad; "
                    + ("nothing was recorded for it" if role == "outputs" else "make it with requires_grad=True")
                )
    roots: list[tuple[Node, Any]] = []
    for output, seed in zip(output_list, seeds):
        array: Any = seed_for(name, output, seed)
        if create_graph:
            array = seed.astype(output.dtype, copy=False) if isinstance(seed, Tensor) else wrap(np.array(array))
        roots.append((output._node, array))  # type: ignore[arg-type]
    state = STATE.get()
    token = STATE.set(State(True, state.tapes)) if create_graph else None
    mark = IN_SWEEP.set(True) if create_graph else None
    try:
        _, _, cotangents = sweep(
            roots,
            [value._node for value in input_list],  # type: ignore[misc]
            retain_graph=retain_graph or create_graph,
            create_graph=create_graph,
        )
    finally:
        if token is not None:
            STATE.reset(token)
        if mark is not None:
            IN_SWEEP.reset(mark)
    results: list[Tensor | None] = []
    cotangents.reverse()
    for _ in input_list:
        slot = memory.Slot(cotangents.pop())
        if slot._array is None:
            results.append(None)
        elif isinstance(slot._array, Tensor):
            results.append(slot._array)
        else:
            # A cotangent may alias a seed or a saved array: the result has memory of its own.
            results.append(wrap(memory.unshared(slot)))
    return results


def gradient_of_trees(target: Any, sources: Any, output_gradients: Any, unconnected: str, create_graph: bool) -> Any:
    """See `Tape.gradient`."""
    if unconnected not in ("none", "zero"):
        raise ValueError(f"Tape.gradient: argument 'unconnected' is {unconnected!r}; it must be 'none' or 'zero'")
    targets, structure = flatten(target)
    inputs, shape = flatten(sources)
    seeds: list[Any] = [None] * len(targets)
    if output_gradients is not None:
        seeds = flatten_like(structure, output_gradients)
    for role, values in (("target", targets), ("sources", inputs)):
        for value in values:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"Tape.gradient: argument {role!r} holds a {type(value).__name__}; it must hold Tensors"
                )
    connected = [(value, seed) for value, seed in zip(targets, seeds) if value.requires_grad]
    chosen = [value for value in inputs if value.requires_grad]
    found: Iterator[Tensor | None] = iter([None] * len(chosen))
    if connected and chosen:
        outputs, given = zip(*connected)
        found = iter(_gradients("Tape.gradient", outputs, chosen, given, True, create_graph))
    results = [next(found) if value.requires_grad else None for value in inputs]
    if unconnected == "zero":
        results = [wrap(np.zeros(v.shape, v.dtype)) if g is None else g for v, g in zip(inputs, results)]
    return unflatten(shape, results)
