"""The tape: records of what was computed, and the sweep that walks them backwards.

A differentiable Tensor points to a *node*. A `Leaf` stands for a Tensor that a user made; a `Record` for the
application of a primitive, with the nodes of its arguments (its *parents*) and the arrays that its
vector-Jacobian products need. Nodes never point to Tensors, so nothing here is a reference cycle: a graph
lives as long as a Tensor (or a `Tape`) that needs it, and vanishes by reference counting alone.

This module knows no NumPy function and no primitive: it asks each record's primitive to pull a cotangent
back (`Record.primitive.pull_back`), and adds what arrives at the same node.

References
----------
A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 3: the incremental reverse
mode, of which `sweep` is the non-recursive form.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from .errors import AutodiffError
from .memory import SMALL, Slot, add, next_number

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Leaf", "Node", "Output", "Record", "Tape", "enable_grad", "is_grad_enabled", "no_grad", "sweep"]


class Differentiable(Protocol):
    """What the tape needs to know of a primitive."""

    name: str
    multiple: bool

    def pull_back(
        self, record: Record, g: Any, needed: set[int] | None, create_graph: bool
    ) -> list[tuple[Any, Any]]: ...


class Leaf:
    """The node of a Tensor that a user made with ``requires_grad=True``; holds its gradient.

    Attributes
    ----------
    number : int
        Position in the order of creation, shared with records.
    shape, dtype : tuple of int, numpy.dtype
        Of the Tensor, and so of each cotangent that arrives here.
    grad : ndarray or None
        The accumulated gradient.
    key : int
        Another name of `number`: see `Output`.
    """

    __slots__ = ("__weakref__", "dtype", "grad", "number", "shape")
    key: int

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.number = next_number()
        self.shape = shape
        self.dtype = dtype
        self.grad: np.ndarray | None = None


Leaf.key = Leaf.number  # type: ignore[misc]  # one slot, two names


class Record:
    """One application of a primitive.

    Attributes
    ----------
    number : int
        Position in the order of creation: a record's parents have smaller numbers than itself.
    plan : autograd_conv.plans.Plan
        Of which primitive; which arguments need a cotangent, and where their rules find what was saved.
    settings : dict
        Keyword arguments of the primitive.
    parents : tuple of (Node or None)
        One for each positional argument; None for a constant. Kept as `first`, `second` and `others` (all of them if
        there are more than two; else the empty tuple for two and None for one), because a tuple would be one more
        object for the garbage collector to go through.
    saved : tuple or None
        What the rules of the requested arguments need, no more; None once freed.
    shape, dtype
        Of the output; tuples of them if the primitive has several outputs.
    kept : bool
        Whether a `Tape` keeps the record, so that a sweep must not free it.
    key : int
        Another name of `number`: see `Output`.
    """

    __slots__ = (
        "__weakref__", "dtype", "first", "kept", "number", "others", "plan", "saved", "second", "settings", "shape",
    )  # fmt: skip

    # There is no __init__: calling one would cost as much as all else here. `new_record` fills the slots.
    number: int
    settings: dict[str, Any]
    plan: Any
    first: Node | None
    second: Node | None
    others: tuple[Node | None, ...] | None
    saved: tuple[Any, ...] | None
    shape: Any
    dtype: Any
    kept: bool
    key: int

    @property
    def parents(self) -> tuple[Node | None, ...]:
        others = self.others
        return others or ((self.first,) if others is None else (self.first, self.second))

    @parents.setter
    def parents(self, nodes: tuple[Node | None, ...]) -> None:
        self.first = nodes[0] if nodes else None
        self.second = nodes[1] if len(nodes) == 2 else None
        self.others = None if len(nodes) == 1 else nodes if len(nodes) > 2 else ()

    @property
    def primitive(self) -> Differentiable:
        """What was applied."""
        primitive: Differentiable = self.plan.primitive
        return primitive

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return self.primitive.name

    def __repr__(self) -> str:
        state = "" if self.saved is not None else ", freed"
        return f"<Record {self.number}: {self.name} -> {self.shape} {self.dtype}{state}>"


Record.key = Record.number  # type: ignore[misc]

RECALLS: WeakKeyDictionary[Record, Any] = WeakKeyDictionary()
"""For records that let go of what they saved, what makes them whole again (see `checkpointing`)."""


LINES: WeakKeyDictionary[Leaf | Record, str] = WeakKeyDictionary()
"""For nodes that a tape or `detect_anomaly` watched, the line of the user's program that made them: for messages."""


def made_at(node: Any) -> str:
    """Where a node was made, as part of a message; empty if nobody watched."""
    line = LINES.get(node.record if isinstance(node, Output) else node)
    return f", made at {line}" if line else ""


HOOKS: WeakKeyDictionary[Leaf | Record, Any] = WeakKeyDictionary()
"""For nodes whose cotangent somebody wants to see or to replace, what does that (see `hooks`)."""


def new_record(
    plan: Any,
    settings: dict[str, Any],
    parents: tuple[Node | None, ...],
    saved: tuple[Any, ...],
    shape: Any,
    dtype: Any,
    tapes: tuple[Tape, ...],
    args: Sequence[Any] = (),
) -> Record:
    """Make a record, and let `tapes` keep it, with the values of its arguments.

    `Primitive.unary` and `Primitive.binary` do the same in place.
    """
    record = Record()
    record.number = next_number()
    record.plan = plan
    record.settings = settings
    record.parents = parents
    record.saved = saved
    record.shape = shape
    record.dtype = dtype
    record.kept = False
    if tapes:
        keep(tapes, record, args)
    return record


def keep(tapes: tuple[Tape, ...], record: Record, args: Sequence[Any]) -> None:
    """Let `tapes` keep a record, with the values of its arguments."""
    for tape in tapes:
        tape.keep(record, args)


class Output:
    """The node of one of several outputs of a record, whose number it has; `key` tells it from the others."""

    __slots__ = ("dtype", "index", "key", "number", "record", "shape")

    def __init__(self, record: Record, index: int) -> None:
        self.number = record.number
        self.key = record.number, index
        self.record = record
        self.index = index
        self.shape: tuple[int, ...] = record.shape[index]
        self.dtype: np.dtype[Any] = record.dtype[index]


Node: TypeAlias = Leaf | Record | Output


# --- recording state -----------------------------------------------------------------------------------


class State(NamedTuple):
    """Recording state of a thread or of an asynchronous task."""

    recording: bool
    tapes: tuple[Tape, ...]


# A context variable is per thread and per task by construction, and cheap to read.
_INITIAL = State(True, ())
STRICT: ContextVar[bool] = ContextVar("autograd_conv.strict", default=False)
"""Whether an input that nothing depends on is an error: inside `detect_anomaly`."""

STATE: ContextVar[State] = ContextVar("autograd_conv.state", default=_INITIAL)
IN_SWEEP: ContextVar[bool] = ContextVar("autograd_conv.in_sweep", default=False)
"""Whether a sweep is being recorded: for tapes, which tell its records from those of a forward computation."""


class _Recording(ContextDecorator):
    """Context manager and decorator that sets whether operations are recorded, and restores it."""

    _recording: bool

    def __init__(self) -> None:
        self._tokens: list[Token[State]] = []

    def __enter__(self) -> None:
        state = STATE.get()
        self._tokens.append(STATE.set(State(self._recording, state.tapes)))

    def __exit__(self, *exception: object) -> None:
        STATE.reset(self._tokens.pop())

    def _recreate_cm(self) -> _Recording:
        # A decorated function may be entered from several threads at once: each call has its own tokens.
        return type(self)()


class no_grad(_Recording):  # named as a verb, like the PyTorch one
    """Stop recording inside a ``with`` block or a decorated function; per thread and per async task.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([1.0, 2.0], requires_grad=True)
    >>> with ac.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _recording = False


class enable_grad(_Recording):
    """Record again inside a ``with`` block or a decorated function, within `no_grad`."""

    _recording = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded, here and now."""
    return STATE.get().recording


class Tape:
    """Keeps, in order, every record made inside its ``with`` block.

    Without a tape, records belong to the Tensors that they produced and vanish with them; a sweep frees what
    it has used. The records of a tape stay whole until the tape is dropped or cleared, so they can be
    inspected, and differentiated more than once.

    Parameters
    ----------
    values : bool
        Whether to keep the arrays that the operations were applied to, beyond those that their records save: what
        `check` and pictures of a run need. Without, a tape holds no more memory than its records do.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> with ac.Tape() as tape:
    ...     y = ac.sum(x * x)
    >>> [record.name for record in tape]
    ['multiply', 'sum']
    >>> y.backward()
    >>> y.backward()  # the tape kept the records, so a second sweep finds what it needs
    >>> x.grad
    array([ 4.,  8., 12.])
    """

    def __init__(self, values: bool = True) -> None:
        self.records: list[Record] = []
        self.lines: list[str] = []
        self.in_sweep: list[bool] = []
        self.values = values
        self.arguments: dict[int, tuple[Any, ...]] = {}
        self._tokens: list[Token[State]] = []

    def __enter__(self) -> Tape:
        state = STATE.get()
        self._tokens.append(STATE.set(State(state.recording, (*state.tapes, self))))
        return self

    def __exit__(self, *exception: object) -> None:
        STATE.reset(self._tokens.pop())

    def keep(self, record: Record, args: Sequence[Any] = ()) -> None:
        """Append a record with where it was made, and mark it so that sweeps leave it whole."""
        record.kept = True
        self.records.append(record)
        if self.values:
            self.arguments[record.number] = tuple(args)
        line = LINES[record] = user_line()
        self.lines.append(line)
        self.in_sweep.append(IN_SWEEP.get())

    def clear(self) -> None:
        """Let go of all records; from now on sweeps may free them."""
        for record in self.records:
            record.kept = False
        self.records.clear()
        self.lines.clear()
        self.in_sweep.clear()
        self.arguments.clear()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Keep nothing inside the ``with`` block. Operations there are differentiable all the same."""
        state = STATE.get()
        token = STATE.set(State(state.recording, tuple([tape for tape in state.tapes if tape is not self])))
        try:
            yield
        finally:
            STATE.reset(token)

    def watch(self, *tensors: Any) -> None:
        """Let Tensors require grad, so that what follows can be differentiated with respect to them.

        Raises
        ------
        TypeError
            If one of them is no Tensor, or not floating-point or complex.
        """
        for k, tensor in enumerate(tensors):
            if not hasattr(tensor, "requires_grad"):
                raise TypeError(f"Tape.watch: argument {k} is a {type(tensor).__name__}; it must be a Tensor")
            tensor.requires_grad = True

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected: str = "none",
        create_graph: bool = False,
    ) -> Any:
        """Gradient of a target, or of the sum of several, with respect to sources; as often as you like.

        Parameters
        ----------
        target : Tensor, or tree of Tensors
        sources : Tensor, or tree of Tensors
            Leaves or intermediate results.
        output_gradients : array_like, or tree of the structure of `target`, optional
            Cotangents to begin with; needed unless a target has one element.
        unconnected : {"none", "zero"}
            What stands for the gradient of a source that no target depends on.
        create_graph : bool
            Whether the result can be differentiated again.

        Returns
        -------
        Tensor or None, or tree of them
            Of the structure of `sources`.
        """
        from .gradients import gradient_of_trees

        return gradient_of_trees(target, sources, output_gradients, unconnected, create_graph)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def __repr__(self) -> str:
        return f"<Tape of {len(self.records)} records>"

    # --- looking: see `inspection` ------------------------------------------------------------------------

    def __str__(self) -> str:
        """A table: index, primitive, arguments, output, what is saved and its bytes, source line."""
        from .inspection.table import table

        return table(self)

    def check(self, *, seed: int = 0, directions: int = 4) -> list[Any]:
        """Compare the VJPs of every record, at the values of this run, with central differences of its forward.

        Parameters
        ----------
        seed : int
            For the random cotangents and directions.
        directions : int
            How many directions to try for each argument.

        Returns
        -------
        list of Suspicion
            Records whose VJP disagrees, each with index, primitive, argument, source line and reason; print them.

        Raises
        ------
        ValueError
            If the tape was made with ``values=False``.

        Notes
        -----
        Operations at a kink, where no derivative exists, are not accused; batch normalization, whose statistics are
        not computed in its record, is left out (`testing.check_gradients` checks whole functions). In single precision
        only errors of more than about two parts in a thousand show. Cost: ``2 * directions`` evaluations of each
        forward and one of its VJPs.
        """
        from .inspection.checks import check_tape

        if not self.values:
            raise ValueError(
                "Tape.check: this tape was made with values=False, so that there is nothing to compare with"
            )
        return list(check_tape(self, seed=seed, directions=directions))

    def summary(self) -> str:
        """A table of primitives: how many records, and the bytes that they keep."""
        from .inspection.table import summary

        return summary(self)

    def plot(self, path: str | os.PathLike[str] | None = None, names: Mapping[str, Any] | None = None) -> str:
        """Draw the graph of the records as SVG: parameters, activations and gradients, with their sizes.

        A leaf that is used again much later is drawn again, beside its next use.

        Parameters
        ----------
        path : str or path, optional
            File to write.
        names : mapping of str to Tensor, optional
            What to call leaves and results: ``{"weight": w}``.

        Returns
        -------
        str
            The SVG text, which notebooks show as a picture.

        Raises
        ------
        TypeError
            If `names` is no mapping of names to Tensors.

        Examples
        --------
        >>> import autograd_conv as ac
        >>> x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> with ac.Tape() as tape:
        ...     y = ac.sum(x * x)
        >>> picture = tape.plot(names={"x": x})
        >>> picture.startswith("<svg"), picture.count('class="box activation"')
        (True, 2)
        """
        from .inspection.drawing import plot

        return plot(self, path, names)

    def page(
        self,
        path: str | os.PathLike[str] | None = None,
        output: Any = None,
        grad: Any = None,
        names: Mapping[str, Any] | None = None,
    ) -> str:
        """An HTML page that steps through the backward sweep: cotangents as pictures, formulas, and the graph.

        Runs the sweep once, and changes no ``grad``. The page needs no network. Of a long tape it shows the last 500
        records, of large arrays a part, and says so. Records that had let go of what they saved (see `checkpoint`) are
        whole afterwards.

        Parameters
        ----------
        path : str or path, optional
            File to write.
        output : Tensor, optional
            Where the sweep begins; by default the result of the last record of a forward computation.
        grad : array_like, optional
            Its cotangent; 1, if it has one element.
        names : mapping of str to Tensor, optional
            What to call leaves and results.

        Returns
        -------
        str
            The HTML text, which notebooks show as a page.

        Raises
        ------
        ValueError
            If the tape is empty; if `grad` is missing or has another shape than `output`.
        TypeError
            If `names` is no mapping of names to Tensors, or `output` no Tensor.
        AutodiffError
            If `output` does not require grad; as for `Tensor.backward`.
        """
        from .inspection.page import page

        return page(self, path, output, grad, names)

    def _repr_html_(self) -> str:
        from .inspection.notebook import tape_html

        return tape_html(self)


_PACKAGE = os.path.dirname(__file__) + os.sep
_KERNELS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "kernels") + os.sep
_DEMO = os.path.join(_PACKAGE, "demo") + os.sep  # programs as a user writes them


def user_line() -> str:
    """File and line, outside this package, that the running operation was called from."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_PACKAGE, _KERNELS)) or name.startswith(_DEMO):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def is_sole_parent(record: Record, position: int) -> bool:
    """Whether that parent is a record that only `record` can reach: no Tensor, other record, tape or hook does."""
    parent = record.parents[position]
    return type(parent) is Record and sys.getrefcount(parent) <= _SOLE_PARENT and not (len(HOOKS) and parent in HOOKS)


def _references_to_sole_parent() -> int:
    """What `is_sole_parent` counts of such a parent."""

    def count(record: Record, position: int) -> int:
        parent = record.parents[position]
        return sys.getrefcount(parent)

    record = Record()
    record.parents = (Record(),)
    return count(record, 0)


_SOLE_PARENT = _references_to_sole_parent()


def saved_bytes(record: Record) -> int:
    """Bytes of the arrays that `record` keeps (arrays shared with other records count in each)."""
    total, stack = 0, list(record.saved or ())
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            stack.extend(value)
        elif hasattr(value, "nbytes"):
            total += value.nbytes
    return total


# --- the sweep -----------------------------------------------------------------------------------------


def _needed(roots: Sequence[Node], targets: set[int]) -> set[int]:
    """Numbers of the nodes on a path from `roots` to a node whose number is in `targets`."""
    found: dict[int, Record] = {}
    stack: list[Any] = list(roots)
    while stack:
        node = stack.pop()
        if type(node) is Output:
            node = node.record
        if type(node) is Record and node.number not in found:
            found[node.number] = node
            stack += node.parents
    needed = set(targets)
    for number in sorted(found):  # parents before children
        if _leads_to(found[number], needed):
            needed.add(number)
    return needed


def _leads_to(record: Record, needed: set[int]) -> bool:
    """Whether the number of a parent of `record` is in `needed`."""
    return not needed.isdisjoint([parent.number for parent in record.parents if parent is not None])


def sweep(
    roots: Sequence[tuple[Node, Any]],
    targets: Sequence[Node] | None,
    *,
    retain_graph: bool,
    create_graph: bool,
) -> tuple[list[Leaf], dict[Any, Any], list[Any]]:
    """Walk the records below `roots` backwards and return the cotangents that arrive.

    Parameters
    ----------
    roots : sequence of (Node, cotangent)
        Where to start. Cotangents are ndarrays, or Tensors if `create_graph`.
    targets : sequence of Node or None
        Compute only what these need; None: all leaves.
    retain_graph : bool
        Whether records keep what they saved.
    create_graph : bool
        Whether the pull-backs are recorded themselves.

    Returns
    -------
    leaves : list of Leaf
        The leaves that were reached.
    waiting : dict
        Their cotangents, by number; to be popped one by one, so that nothing here holds them any more.
    cotangents : list
        One for each target, None where nothing arrived.

    Raises
    ------
    AutodiffError
        If a record on the way was freed, or an array that it saved was changed since.

    Notes
    -----
    Records are taken from a heap in the reverse order of their creation, which is a topological order,
    because a record's parents existed before it. No recursion: depth is bounded by memory only. Each record
    lets go of its saved arrays as soon as it has been used. Cost: one heap operation for each record besides
    the pull-backs; none along a chain, where there is never more than one to go on with.

    The first cotangent of a node may alias anything (a VJP may return what it was given, or keep what it
    returns), so it is written to only if nothing else holds it. A sum is the engine's own, and whatever else
    arrives at the node is added to it in place. Of small arrays a new sum costs less than to find that out.
    """
    hooks = HOOKS if len(HOOKS) else None
    wanted = None if targets is None else {node.number for node in targets}
    needed = None if wanted is None else _needed([node for node, _ in roots], wanted)
    waiting: dict[Any, Any] = {}  # cotangents, by the number of their node; (number, index) for an Output
    summed: set[Any] = set()  # where the cotangent that waits is a sum, which is ours to write to
    pending: dict[int, Record] = {}
    leaves: dict[int, Leaf] = {}
    heap: list[int] = []
    arrived: dict[Any, Any] = {}
    arriving: list[tuple[Any, Any]] = [pair for pair in roots if needed is None or pair[0].number in needed]
    while True:
        following: Any = None  # the record to go on with, as long as no other one waits
        complete: Any = None  # its cotangent
        for node, cotangent in arriving:
            kind = type(node)
            if kind is not Leaf:
                if following is not None:  # both have to queue
                    waiting[following.number] = complete
                    pending[following.number] = following
                    heappush(heap, -following.number)
                    following = complete = None
                elif kind is Record and not heap:
                    following, complete = node, cotangent
                    continue
            key = node.key
            if key not in waiting:
                waiting[key] = cotangent
                if kind is Record:
                    pending[key] = node
                    heappush(heap, -key)
                elif kind is Leaf:
                    leaves[key] = node
                elif node.number not in pending:
                    pending[node.number] = node.record
                    heappush(heap, -node.number)
            elif create_graph or cotangent.size <= SMALL:
                waiting[key] = waiting[key] + cotangent
            elif key in summed:
                waiting[key] += cotangent
            else:
                waiting[key] = add(Slot(waiting.pop(key)), cotangent)
                summed.add(key)
        if following is not None:
            record, cotangent = following, complete
            following = complete = None  # so that nothing holds the cotangent longer than need be
            number = record.number
            primitive = record.plan.primitive
        elif heap:
            number = -heappop(heap)
            record = pending.pop(number)
            primitive = record.plan.primitive
            if primitive.multiple:
                cotangent = tuple([waiting.pop((number, k), None) for k in range(len(record.shape))])
            else:
                cotangent = waiting.pop(number)
        else:
            break
        if hooks is not None and record in hooks:
            cotangent = hooks[record](cotangent, create_graph)
        if wanted is not None and number in wanted:
            if primitive.multiple:
                arrived.update({(number, k): part for k, part in enumerate(cotangent)})
            else:
                arrived[number] = cotangent
            if not _leads_to(record, needed):  # type: ignore[arg-type]
                arriving = []
                continue
        if record.saved is None and record in RECALLS:
            RECALLS[record]()
        if record.saved is None:
            raise AutodiffError(
                f"backward: the record of {record.name!r} (output shape {record.shape}{made_at(record)}) was already "
                "used and freed; pass retain_graph=True to the first backward() or grad() to go through it again"
            )
        arriving = []  # so that nothing here holds the cotangent but this function, once
        arriving = primitive.pull_back(record, cotangent, needed, create_graph)
        if not (retain_graph or record.kept):
            record.saved = None
    if hooks is not None:
        for number, leaf in leaves.items():
            if leaf in hooks:
                waiting[number] = hooks[leaf](waiting[number], create_graph)
    if targets is None:
        return list(leaves.values()), waiting, []
    for number in leaves:
        arrived[number] = waiting.pop(number)
    return [], waiting, [arrived.get(node.key) for node in targets]
