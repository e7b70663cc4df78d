"""Primitives: functions of arrays that the tape records, and their vector-Jacobian products (VJPs).

A primitive takes arrays as positional arguments and settings (axes, strides, ...) as keyword arguments.
Called with ndarrays it is the function that it was made from. Called with a Tensor it returns a Tensor, and
records itself if a gradient will be wanted.

A VJP is an ordinary function, registered next to the forward with `Primitive.defvjp`, under the name of the
argument that it differentiates. Its first parameter is the cotangent ``g`` of the output. *Its other
parameters say, by their names, what it needs*, and that is all that a record keeps:

==================  ======================================================================================
name                value
==================  ======================================================================================
an argument's name  the array that was passed (for ``*arrays``: the tuple of all of them)
``<arg>shape_of``     its shape (the array itself is not kept)
``<arg>dtype_of``     its dtype
``ans``             the output (a tuple, if there are several)
a residual's name   what the forward returned beside its output for just this purpose
a setting's name    the setting
``index``           for an argument ``*arrays``: which of them the cotangent is wanted for
==================  ======================================================================================

VJPs are written with NumPy functions and with primitives. In a plain sweep they get ndarrays and run at
NumPy's speed; with ``create_graph=True`` they get Tensors, are recorded, and so can be differentiated again:
every order of derivative follows from the first.

The cotangent of a complex array z is ``dL/dRe(z) + i dL/dIm(z)``: the direction of steepest ascent, as in PyTorch. For
a complex differentiable function that is ``g * conj(f'(z))``, or ``conj(rule(conj(g)))`` with the rule of the real
function; so one rule serves real and complex arrays (see `primitive`, `holomorphic`).
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from sys import getrefcount
from typing import Any

import numpy as np

from . import memory
from .errors import AutodiffError, explain_failure
from .memory import SEALS, next_number, settle
from .plans import (
    ANSWER,
    ARGUMENT,
    DTYPE,
    INDEX,
    RESIDUAL,
    SETTING,
    SHAPE,
    Plan,
    Plans,
    Rule,
    picker,
    shape_of,
)  # fmt: skip
from .tape import STATE, Output, Record, keep, made_at, new_record
from .tensor import Tensor, raw, wrap

__all__ = ["PRIMITIVES", "Primitive", "primitive", "repeat_to", "unbroadcast"]

_new = object.__new__

_NUMBERS = frozenset([float, int])

# References to an array that a call alone holds: the name it has there, and the argument of getrefcount.
_OWN_RESULT = 2

# What rules return: of arrays without axes, NumPy's functions make scalars.
_ARRAY = np.ndarray
_ARRAYS = (np.ndarray, np.generic)

# One dictionary for all records without settings. Nobody writes to it.
_NO_SETTINGS: dict[str, Any] = {}


PRIMITIVES: weakref.WeakSet[Primitive] = weakref.WeakSet()
"""All primitives that there are."""


class Primitive:
    """A function of arrays with registered VJPs; made by `primitive`.

    Attributes
    ----------
    name : str
        For records, messages and tables.
    arguments : tuple of str
        Names of the array arguments.
    variadic : str or None
        Name of the argument that takes all arrays, if there is one (``*arrays``).
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        *,
        name: str | None = None,
        arguments: Sequence[str] | None = None,
        residuals: Sequence[str] = (),
        broadcasts: bool = False,
        multiple: bool = False,
        holomorphic: bool = True,
    ) -> None:
        self.forward = forward
        self.name = name or forward.__name__
        self.__name__ = self.name
        self.__qualname__ = self.name
        self.__doc__ = forward.__doc__
        self.__module__ = getattr(forward, "__module__", __name__)
        self.__wrapped__ = forward
        self.residuals = (residuals,) if isinstance(residuals, str) else tuple(residuals)
        self.broadcasts = broadcasts
        self.multiple = multiple
        self.holomorphic = holomorphic
        self.variadic: str | None = None
        self.settings: dict[str, Any] = {}
        if arguments is None:
            names = []
            for parameter in inspect.signature(forward).parameters.values():
                if parameter.kind is parameter.VAR_POSITIONAL:
                    self.variadic = parameter.name
                elif parameter.kind is parameter.KEYWORD_ONLY:
                    self.settings[parameter.name] = parameter.default
                elif parameter.kind is not parameter.VAR_KEYWORD:
                    names.append(parameter.name)
            arguments = names
        self.arguments = tuple(arguments)
        self._rules: dict[str, Rule] = {}
        self._joint: Rule | None = None
        self._plans = Plans(self)
        PRIMITIVES.add(self)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    # --- registration ---------------------------------------------------------------------------------

    def defvjp(self, joint: Rule | None = None, /, **rules: Rule) -> Primitive:
        """Register vector-Jacobian products.

        Parameters
        ----------
        joint : callable, optional
            One rule for all arguments, for cotangents that share work. It has a parameter ``needs`` (a tuple
            of bool, one for each argument) and returns as many cotangents, None where none is needed.
        **rules : callable
            A rule for each differentiable argument, under the argument's name. See the top of this module for
            what a rule may ask for. Arguments without a rule are constants, if they are no floating-point
            arrays; else a gradient with respect to them is an error that names them.

        Returns
        -------
        Primitive
            Itself.

        Raises
        ------
        TypeError
            If there is no argument of that name, or a rule asks for a name that means nothing.
        """
        names = (*self.arguments, self.variadic)
        for name, rule in rules.items():
            if name not in names:
                raise TypeError(
                    f"defvjp: primitive {self.name!r} has no argument {name!r}; its arguments are "
                    f"{', '.join(repr(n) for n in names if n)}"
                )
            self._parse(rule)
        if joint is not None:
            self._parse(joint, extra=("needs",))
            self._joint = joint
        self._rules.update(rules)
        self._plans.clear()
        return self

    def _parse(self, rule: Rule, extra: Sequence[str] = ()) -> list[tuple[int, Any]]:
        """Where the parameters of `rule` after the cotangent come from."""
        code = rule.__code__
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not parameters:
            raise TypeError(f"defvjp: a rule of primitive {self.name!r} takes no cotangent; its first parameter is g")
        sources: list[tuple[int, Any]] = []
        for parameter in parameters[1:]:
            stem, _, kind = parameter.rpartition("_")
            if parameter in self.arguments:
                sources.append((ARGUMENT, self.arguments.index(parameter)))
            elif parameter == self.variadic:
                sources.append((ARGUMENT, -1))
            elif parameter == "ans":
                sources.append((ANSWER, 0))
            elif parameter in self.residuals:
                sources.append((RESIDUAL, self.residuals.index(parameter)))
            elif kind in ("shape", "dtype") and (stem in self.arguments or stem == self.variadic):
                which = -1 if stem == self.variadic else self.arguments.index(stem)
                sources.append((SHAPE if kind == "shape" else DTYPE, which))
            elif parameter == "index" and self.variadic:
                sources.append((INDEX, 0))
            elif parameter in self.settings or parameter in extra:
                sources.append((SETTING, parameter))
            else:
                raise TypeError(
                    f"defvjp: a rule of primitive {self.name!r} asks for {parameter!r}, which is none of its "
                    f"arguments {self.arguments}, settings {tuple(self.settings)}, residuals {self.residuals}, "
                    "'ans', '<argument>shape_of' or '<argument>dtype_of'"
                )
        return sources

    def plan_for(self, pattern: int) -> Plan:
        """Make the plan for the arguments whose bits are set in `pattern`, below its leading one."""
        plan = Plan(self)

        def place(sources: list[tuple[int, Any]], argnum: int) -> tuple[Any, ...]:
            placed: list[Any] = []
            for kind, which in sources:
                if kind == SETTING:
                    placed.append(which)
                elif kind == INDEX:
                    placed.append(-1 - (argnum - len(self.arguments)))
                else:
                    placed.append(plan.slot(kind, which))
            return tuple(placed)

        if self._joint is not None:
            plan.joint = self._joint, place(self._parse(self._joint, extra=("needs",)), 0)
        else:
            for argnum, requested in enumerate(f"{pattern:b}"[1:]):
                if requested == "1":
                    rule = self._rules.get(self._argument(argnum))
                    sources = () if rule is None else place(self._parse(rule), argnum)
                    in_saved = all(type(source) is int and source >= 0 for source in sources)
                    plan.rules.append((argnum, rule, len(sources) if in_saved else -1, sources))
        count = len(self.arguments) + 1 if self.variadic else pattern.bit_length() - 1
        plan.pick = picker(plan.saves, count, len(self.residuals))
        plan.shapes = any(kind == SHAPE for kind, _ in plan.saves)
        return plan

    def _argument(self, argnum: int) -> str:
        if argnum < len(self.arguments):
            return self.arguments[argnum]
        return self.variadic or f"argument {argnum}"

    def register_hook(self, hook: Rule) -> Any:
        """Let `hook` see every cotangent of the rules; see `autograd_conv.hooks.register_primitive_hook`."""
        from .hooks import register_primitive_hook

        return register_primitive_hook(self, hook)

    # --- forward ----------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.apply(args, settings)

    # These three are the cost of every operation: written for speed, each in one piece. Equal shapes are one tuple,
    # which saves memory, and time of the garbage collector, whose passes over long tapes take a third of it.

    def apply(self, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """``self(*args, **settings)``. The record keeps `settings` itself, which nobody may change."""
        for arg in args:
            if isinstance(arg, Tensor):
                break
        else:
            return self._compute(args, settings)
        arrays: list[Any] = []
        parents: list[Any] = []
        untouched = True  # nobody but us can write to the arrays
        pattern = 1  # a leading one, then for each argument whether it has a node
        for arg in args:
            if type(arg) is Tensor or isinstance(arg, Tensor):
                if arg._exposed:
                    settle(arg)
                    if arg._exposed:
                        untouched = False
                arrays.append(arg._array)
                node = arg._node
                parents.append(node)
                pattern += pattern if node is None else pattern + 1
            else:
                if isinstance(arg, np.ndarray):
                    untouched = False
                arrays.append(arg)
                parents.append(None)
                pattern += pattern
        try:
            result = self.forward(*arrays, **settings)
        except Exception as error:
            explain_failure(error, self._describe(arrays))
            raise
        residuals: Sequence[Any] = ()
        if self.residuals:
            result, *residuals = result
        if self.multiple:
            return self._finish_multiple(result, args, arrays, parents, pattern, settings, residuals)
        if type(result) is np.ndarray and result.base is None and getrefcount(result) <= _OWN_RESULT:
            output = wrap(result)  # of memory that nobody else holds
        else:
            output = self._own(result, args, arrays)
        if pattern != 1 << len(args):
            recording, tapes = STATE.get()
            array = output._array
            dtype = array.dtype
            if recording and dtype.kind in "fc":
                plan = self._plans[pattern]
                if untouched and plan.pick is not None:
                    shapes: Sequence[Any] = ()
                    if plan.shapes:
                        shapes = [a.shape if type(a) is np.ndarray else shape_of(a) for a in arrays]
                    if self.variadic is None:
                        saved = plan.pick((*arrays, array, *residuals, *shapes))
                    else:
                        fixed = plan.fixed
                        first, others = arrays[:fixed], tuple(arrays[fixed:])
                        saved = plan.pick((*first, others, array, *residuals, *shapes[:fixed], tuple(shapes[fixed:])))
                else:
                    saved = plan.save(args, arrays, array, residuals)
                output._node = new_record(
                    plan, settings or _NO_SETTINGS, tuple(parents), saved, array.shape, dtype, tapes, arrays
                )
        return output

    def unary(self, x: Any, settings: dict[str, Any] = _NO_SETTINGS) -> Any:
        """``self(x, **settings)`` for one array and one output: the usual case of a call, unrolled.

        The record keeps `settings` itself, which nobody may change.
        """
        if type(x) is np.ndarray:
            return self._compute((x,), settings)
        if type(x) is not Tensor or x._exposed:
            return self.apply((x,), settings)
        given = x._array
        try:
            array = self.forward(given, **settings) if settings else self.forward(given)
        except Exception as error:
            explain_failure(error, self._describe([given]))
            raise
        residuals: Sequence[Any] = ()
        if self.residuals:
            array, *residuals = array
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        output: Tensor = _new(Tensor)
        output._leaf = None
        output._exposed = output._shared = False
        if array is given:  # a forward that hands its argument through
            array = array.view()
        base = array.base
        if base is not None and (base is given or base is given.base):
            x._shared = output._shared = True
        output._array = array
        node = x._node
        if node is not None:
            recording, tapes = STATE.get()
            dtype = array.dtype
            if recording and (dtype is node.dtype or dtype.kind in "fc"):
                plan = self._plans[3]
                if not plan.saves:
                    saved: tuple[Any, ...] = ()
                elif plan.pick is None:
                    saved = plan.save((x,), (given,), array, residuals)
                elif residuals:
                    saved = plan.pick((given, array, *residuals, node.shape))
                else:
                    saved = plan.pick((given, array, node.shape))
                record = Record()
                record.number = next_number()
                record.plan = plan
                record.settings = settings
                record.first = node
                record.second = record.others = None
                record.saved = saved
                shape = array.shape
                record.shape = node.shape if shape == node.shape else shape
                record.dtype = dtype
                record.kept = False
                if tapes:
                    keep(tapes, record, (given,))
                output._node = record
                return output
        output._node = None
        return output

    def binary(self, x: Any, y: Any) -> Any:
        """``self(x, y)`` for two arrays, of which the output is no view, and no settings: a call, unrolled."""
        a, b = x, y
        x_node = y_node = None
        untouched = True
        if type(x) is Tensor and not x._exposed:
            a, x_node = x._array, x._node
        elif type(x) is np.ndarray:
            untouched = False
        elif type(x) not in _NUMBERS:
            return self.apply((x, y), _NO_SETTINGS)
        if type(y) is Tensor and not y._exposed:
            b, y_node = y._array, y._node
        elif type(y) is np.ndarray and type(x) is Tensor:
            untouched = False
        elif type(y) not in _NUMBERS or type(x) is not Tensor:
            return self.apply((x, y), _NO_SETTINGS)
        try:
            array = self.forward(a, b)
        except Exception as error:
            explain_failure(error, self._describe([a, b]))
            raise
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        output: Tensor = _new(Tensor)
        output._array = array
        output._leaf = None
        output._exposed = output._shared = False
        pattern = (4 if x_node is None else 6) if y_node is None else (5 if x_node is None else 7)
        if pattern != 4:
            recording, tapes = STATE.get()
            dtype = array.dtype
            if recording and dtype.kind in "fc":
                plan = self._plans[pattern]
                if not plan.saves:
                    saved: tuple[Any, ...] = ()
                elif not untouched or plan.pick is None:
                    saved = plan.save((x, y), (a, b), array, ())
                elif plan.shapes:
                    saved = plan.pick((a, b, array, shape_of(a), shape_of(b)))
                else:
                    saved = plan.pick((a, b, array))
                record = Record()
                record.number = next_number()
                record.plan = plan
                record.settings = _NO_SETTINGS
                record.first = x_node
                record.second = y_node
                record.others = ()
                record.saved = saved
                shape = array.shape
                node: Any = y_node if x_node is None else x_node
                record.shape = node.shape if shape == node.shape else shape
                record.dtype = dtype
                record.kept = False
                if tapes:
                    keep(tapes, record, (a, b))
                output._node = record
                return output
        output._node = None
        return output

    def _compute(self, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """What the forward makes of arrays, of which none is a Tensor."""
        try:
            result = self.forward(*args, **settings)
        except Exception as error:
            explain_failure(error, self._describe(args))
            raise
        return result[0] if self.residuals else result

    def _finish_multiple(
        self,
        results: Any,
        args: Sequence[Any],
        arrays: list[Any],
        parents: list[Any],
        pattern: int,
        settings: dict[str, Any],
        residuals: Sequence[Any],
    ) -> tuple[Tensor, ...]:
        """The second half of a call, for primitives with several outputs."""
        outputs = tuple([self._own(array, args, arrays) for array in results])
        recording, tapes = STATE.get()
        if recording and pattern != 1 << len(args) and any(output.dtype.kind in "fc" for output in outputs):
            answer = tuple([output._array for output in outputs])
            plan = self._plans[pattern]
            saved = plan.save(args, arrays, answer, residuals)
            shapes = tuple([array.shape for array in answer])
            dtypes = tuple([array.dtype for array in answer])
            record = new_record(plan, settings or _NO_SETTINGS, tuple(parents), saved, shapes, dtypes, tapes, arrays)
            for k, output in enumerate(outputs):
                if output.dtype.kind in "fc":
                    output._node = Output(record, k)
        return outputs

    def _own(self, array: Any, args: Sequence[Any], arrays: list[Any]) -> Tensor:
        """A Tensor around an output, which may be a view of an argument."""
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        base = array.base
        if base is None:
            for given in arrays:
                if given is array:  # a forward that hands its argument through
                    base = array
                    array = array.view()
                    break
            else:
                return wrap(array)
        shared = False
        for arg, given in zip(args, arrays):
            if type(given) is np.ndarray and (base is given or base is given.base):
                if isinstance(arg, Tensor):
                    shared = True
                    array = memory.share(arg, array)
                else:  # the memory is the caller's
                    array = array.copy()
        output = wrap(array)
        output._shared = shared
        return output

    def _describe(self, arrays: Sequence[Any]) -> str:
        parts = []
        for argnum, array in enumerate(arrays):
            if isinstance(array, np.ndarray):
                parts.append(f"{self._argument(argnum)}: {array.dtype} {array.shape}")
            else:
                parts.append(f"{self._argument(argnum)}: {type(array).__name__}")
        return f"{self.name}({', '.join(parts)})"

    # --- backward -----------------------------------------------------------------------------------------

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        """Return ``(parent, cotangent)`` for the arguments of `record` that need one.

        Parameters
        ----------
        record : Record
            An application of this primitive, not freed.
        g : array or tuple
            Cotangent of the output; a tuple with None for outputs that nothing used, if there are several.
        needed : set of int or None
            Numbers of the nodes that matter; None: all.
        create_graph : bool
            Whether cotangents are Tensors, and the rules are to be recorded.
        """
        saved: tuple[Any, ...] = record.saved  # type: ignore[assignment]
        plan: Plan = record.plan
        if SEALS:
            self._check_unchanged(record, saved, plan)
        if self.multiple:
            g = tuple(
                [
                    _zeros(shape, dtype, create_graph) if part is None and dtype.kind in "fc" else part
                    for part, shape, dtype in zip(g, record.shape, record.dtype)
                ]
            )
        if create_graph:
            saved = self._as_tensors(record, saved, plan)
        # Rules of holomorphic functions are those of real ones; what they need for complex values happens here.
        dtype = record.dtype
        turned = self.holomorphic and (_any_complex(dtype) if self.multiple else dtype.kind == "c")
        if turned:
            g = _conjugate(g)
        if plan.joint is not None:
            return self._pull_back_jointly(record, g, saved, needed, create_graph, turned)
        parents: Any = record.others or (record.first, record.second)
        result: list[tuple[Any, Any]] = []
        for argnum, rule, count, sources in plan.rules:
            parent: Any = parents[argnum]
            if needed is not None and parent.number not in needed:
                continue
            if rule is None:
                raise self._missing(argnum)
            try:
                if count == 0:
                    cotangent = rule(g)
                elif count == 1:
                    cotangent = rule(g, saved[sources[0]])
                elif count == 2:
                    cotangent = rule(g, saved[sources[0]], saved[sources[1]])
                else:
                    cotangent = rule(g, *self._values(sources, saved, record.settings))
            except Exception as error:
                explain_failure(error, self._blame(argnum, parent))
                raise
            if turned and cotangent is not None:
                cotangent = np.conjugate(cotangent)
            if (
                create_graph
                or (type(cotangent) is not _ARRAY and not isinstance(cotangent, _ARRAYS))
                or cotangent.dtype is not parent.dtype
                or cotangent.shape != parent.shape
            ):
                cotangent = self._fit(cotangent, argnum, parent, create_graph)
            result.append((parent, cotangent))
        return result

    def _values(self, sources: tuple[Any, ...], saved: tuple[Any, ...], settings: dict[str, Any]) -> list[Any]:
        """What a rule asked for beside the cotangent."""
        values = []
        for source in sources:
            if type(source) is int:
                values.append(saved[source] if source >= 0 else -1 - source)
            else:
                values.append(settings[source] if source in settings else self.settings[source])
        return values

    def _missing(self, argnum: int) -> AutodiffError:
        return AutodiffError(
            f"backward: primitive {self.name!r} has no VJP for argument {self._argument(argnum)!r}; register "
            f"one with {self.name}.defvjp({self._argument(argnum)}=...), or detach() what is passed to it"
        )

    def _pull_back_jointly(
        self, record: Record, g: Any, saved: tuple[Any, ...], needed: set[int] | None, create_graph: bool, turned: bool
    ) -> list[tuple[Any, Any]]:
        rule, sources = record.plan.joint
        needs = tuple([node is not None and (needed is None or node.number in needed) for node in record.parents])
        available = {**self.settings, **record.settings, "needs": needs}
        values = [saved[s] if type(s) is int else available[s] for s in sources]
        try:
            cotangents = rule(g, *values)
        except Exception as error:
            explain_failure(error, f"VJP of {self.name!r}")
            raise
        if not isinstance(cotangents, (tuple, list)) or len(cotangents) != len(needs):
            raise AutodiffError(
                f"backward: the joint VJP of primitive {self.name!r} returned "
                f"{len(cotangents) if isinstance(cotangents, (tuple, list)) else type(cotangents).__name__}, "
                f"not {len(needs)} cotangents, one for each argument"
            )
        if turned:
            cotangents = _conjugate(tuple(cotangents))
        return [
            (parent, self._fit(cotangent, argnum, parent, create_graph))
            for argnum, (parent, wanted, cotangent) in enumerate(zip(record.parents, needs, cotangents))
            if wanted and cotangent is not None
        ]

    def _fit(self, cotangent: Any, argnum: int, parent: Any, create_graph: bool) -> Any:
        """Check a cotangent against its argument; unbroadcast and cast it, here and nowhere else."""
        if cotangent is None:
            return _zeros(parent.shape, parent.dtype, create_graph)
        kind = type(cotangent)
        if kind is not np.ndarray:
            if create_graph:
                if not isinstance(cotangent, Tensor):
                    cotangent = wrap(np.array(cotangent))
            elif not isinstance(cotangent, np.generic):
                cotangent = np.asarray(raw(cotangent))
        elif create_graph:
            cotangent = wrap(cotangent.copy())
        shape = parent.shape
        if cotangent.shape != shape:
            if not self.broadcasts:
                raise AutodiffError(
                    f"{self._blame(argnum, parent)} returned a cotangent of shape {cotangent.shape}; "
                    f"the argument has shape {shape}"
                )
            try:
                cotangent = unbroadcast(cotangent, shape)
            except ValueError as error:
                explain_failure(error, self._blame(argnum, parent))
                raise
        dtype = parent.dtype
        if cotangent.dtype != dtype:
            if cotangent.dtype.kind not in "biufc":
                raise AutodiffError(
                    f"{self._blame(argnum, parent)} returned a cotangent of dtype {cotangent.dtype}; the argument "
                    f"has dtype {dtype}"
                )
            # A real argument of a function with complex values: the part of the cotangent that it can feel.
            if cotangent.dtype.kind == "c" and dtype.kind != "c":
                cotangent = cotangent.real
            cotangent = cotangent.astype(dtype)
        return cotangent

    def _blame(self, argnum: int, parent: Any) -> str:
        return f"VJP of {self.name!r} for argument {self._argument(argnum)!r} ({parent.dtype}, shape {parent.shape})"

    def _check_unchanged(self, record: Record, saved: tuple[Any, ...], plan: Plan) -> None:
        for value in saved:
            if isinstance(value, np.ndarray):
                base = value.base
                if id(value if base is None else base) in SEALS:
                    break
            elif type(value) is tuple:
                break
        else:
            return  # the usual case: what is sealed is none of this record's
        intact: list[Any] = []
        for (kind, which), value in zip(plan.saves, saved):
            if kind not in (ARGUMENT, ANSWER):
                continue
            for array in value if isinstance(value, tuple) else (value,):
                if not isinstance(array, np.ndarray) or any(array is other for other in intact):
                    continue
                intact.append(array)
                if memory.changed_since(array, record.number):
                    what = "output" if kind == ANSWER else f"argument {self._argument(max(which, 0))!r}"
                    raise AutodiffError(
                        f"backward: the {what} of {self.name!r} ({array.dtype}, shape {array.shape}{made_at(record)}) "
                        "was changed in place after it was recorded, and the tape still needs its old values; call "
                        "backward() before the change, or change a copy"
                    )

    def _as_tensors(self, record: Record, saved: tuple[Any, ...], plan: Plan) -> tuple[Any, ...]:
        """The saved values as Tensors that know their history, for rules that are to be recorded."""
        values: list[Any] = []
        fixed = len(self.arguments)
        for (kind, which), value in zip(plan.saves, saved):
            if kind == ARGUMENT and which >= 0:
                value = _with_node(value, record.parents[which] if which < len(record.parents) else None)
            elif kind == ARGUMENT:
                value = tuple([_with_node(v, node) for v, node in zip(value, record.parents[fixed:])])
            elif kind == ANSWER and self.multiple:
                value = tuple(
                    [wrap(v, Output(record, k) if v.dtype.kind in "fc" else None) for k, v in enumerate(value)]
                )
            elif kind == ANSWER:
                value = wrap(value, record)
            elif kind == RESIDUAL:
                value = _with_node(value, None)
            values.append(value)
        return tuple(values)


def _with_node(value: Any, node: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value if node is None else wrap(np.asarray(value), node)
    result = wrap(value, node)
    result._shared = True  # the record holds the same array
    return result


def _any_complex(dtypes: tuple[np.dtype[Any], ...]) -> bool:
    """Whether any of several outputs is complex."""
    return any(dtype.kind == "c" for dtype in dtypes)


def _conjugate(g: Any) -> Any:
    if type(g) is tuple:
        return tuple([None if part is None else np.conjugate(part) for part in g])
    return np.conjugate(g)


def _zeros(shape: tuple[int, ...], dtype: Any, create_graph: bool) -> Any:
    zeros = np.zeros(shape, dtype)
    return wrap(zeros) if create_graph else zeros


def unbroadcast(cotangent: Any, shape: tuple[int, ...]) -> Any:
    """Sum `cotangent` over the axes along which an argument of shape `shape` was broadcast.

    Parameters
    ----------
    cotangent : ndarray or Tensor
        Of the broadcast shape.
    shape : tuple of int
        Shape of the argument.

    Returns
    -------
    ndarray or Tensor
        Of shape `shape`.

    Raises
    ------
    ValueError
        If `shape` does not broadcast to the shape of `cotangent`.

    Notes
    -----
    Broadcasting repeats a value; the transpose of repeating is adding up.

    Examples
    --------
    >>> import numpy as np
    >>> unbroadcast(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    given = cotangent.shape
    axes = _repeated_axes(given, shape)
    if axes is None:
        # A rule may return less than the broadcast shape (a constant, say): repeat it first.
        if np.broadcast_shapes(given, shape) != shape:
            raise ValueError(f"a cotangent of shape {given} does not fit an argument of shape {shape}")
        return repeat_to(cotangent, shape)
    total = np.add.reduce(cotangent, axis=axes) if axes else cotangent
    return total if total.shape == shape else total.reshape(shape)


@lru_cache(maxsize=1024)
def _repeated_axes(given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of shape `given` that broadcasting repeated or put in front of `shape`; None if it did not."""
    extra = len(given) - len(shape)
    if extra < 0:
        return None
    axes = list(range(extra))
    for axis, n in enumerate(shape, extra):
        if given[axis] != n:
            if n != 1:
                return None
            axes.append(axis)
    return tuple(axes)


# Elements up to which repeated values are written out: NumPy's detour to a view takes about as long (2 microseconds).
_WRITTEN_OUT = 4096


def repeat_to(values: Any, shape: tuple[int, ...]) -> Any:
    """``np.broadcast_to(values, shape)`` for rules, quick for small arrays; a view if `shape` is large.

    Parameters
    ----------
    values : ndarray, NumPy scalar or Tensor
    shape : tuple of int
        To which the shape of `values` can be broadcast.

    Returns
    -------
    ndarray or Tensor
        Of shape `shape`; not to be written to.
    """
    if isinstance(values, Tensor) or math.prod(shape) > _WRITTEN_OUT:
        return np.broadcast_to(values, shape)
    result = np.empty(shape, values.dtype)
    result[...] = values
    return result


def primitive(
    forward: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    arguments: Sequence[str] | None = None,
    residuals: str | Sequence[str] = (),
    broadcasts: bool = False,
    multiple: bool = False,
    holomorphic: bool = True,
) -> Any:
    """Make a primitive of a function of arrays. Works as a decorator, with or without parentheses.

    Parameters
    ----------
    forward : callable
        Takes arrays as positional arguments and settings by keyword; returns an array. It must not write to
        its arguments.
    name : str, optional
        By default that of `forward`.
    arguments : sequence of str, optional
        Names of the array arguments, for functions whose signature cannot be read (NumPy's own).
    residuals : str or sequence of str
        Names of values that `forward` returns after its output, for VJPs only. Constants for
        differentiation: integers and masks, say.
    broadcasts : bool
        Whether arguments are broadcast as by a universal function, so that cotangents are to be summed over
        the repeated axes.
    multiple : bool
        Whether `forward` returns a tuple of arrays.
    holomorphic : bool
        Whether rules are written as if everything were real, which is right for functions that are complex
        differentiable: the engine conjugates the cotangent before and after. Without it, a rule is handed the cotangent
        ``dL/dRe(y) + i dL/dIm(y)`` of a complex output, and returns the same of a complex argument.

    Returns
    -------
    Primitive

    Examples
    --------
    >>> import autograd_conv as ac
    >>> @ac.primitive
    ... def cube(x):
    ...     return x * x * x
    >>> def cube_vjp(g, x):
    ...     return 3 * x**2 * g
    >>> cube.defvjp(x=cube_vjp)
    <primitive cube>
    >>> x = ac.tensor([1.0, 2.0], requires_grad=True)
    >>> cube(x).sum().backward()
    >>> x.grad
    array([ 3., 12.])
    """

    def make(function: Callable[..., Any]) -> Primitive:
        return Primitive(
            function,
            name=name,
            arguments=arguments,
            residuals=residuals,
            broadcasts=broadcasts,
            multiple=multiple,
            holomorphic=holomorphic,
        )

    return make if forward is None else make(forward)
