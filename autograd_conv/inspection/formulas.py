"""What the rules compute, for readers: formulas of the main primitives, and the source text of every rule.

The formulas are the one table of their kind, by the names of primitives and of their arguments. `gy` is the cotangent
of the output `y`; indices are those of docs/convolution.md.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Callable
from typing import Any

from ..tape import Record

__all__ = ["FORMULAS", "formula", "rule_source", "rules_of"]

_PADPAD = (
    "gx = padpad(gy) correlated with w, rotated by 180 degrees, inputs and outputs exchanged\n"
    "gx[n,c,h,v] = sum over o and over the taps u, t of  w[o,c,u,t] * gy[n,o,i,j],\n"
    "              where i*S + u*D - P = h and j*S + t*D - P = v\n"
    "(sources 000 to 004; docs/convolution.md, Gather and Scatter)"
)
_WEIGHT = (
    "gw = the padded input correlated with gy\n"
    "gw[o,c,u,t] = sum over n,i,j of  xpad[n,c, i*S + u*D, j*S + t*D] * gy[n,o,i,j]\n"
    "(sources 000, 003, 004; docs/convolution.md)"
)
_CHANNEL_SUM = "gb[o] = sum over n,i,j of  gy[n,o,i,j]"
_BACK = "back to the shape of the argument; no number changes"

FORMULAS: dict[str, dict[str, str]] = {
    "absolute": {"x": "gx = gy * sign(x)"},
    "add": {"x": "gx = gy, summed over the axes that were broadcast", "y": "likewise for y"},
    "avg_pool": {"x": "gx[h] = sum over the windows that read x[h] of  gy / (elements of the window)"},
    "batch_norm": {
        "x": "y = w * z + b with z = (x - mean) * s and s = 1 / sqrt(variance + eps), channel by channel, so\n"
        "gx = w * s * (gy - mean(gy) - z * mean(gy * z)); with an activation, gy is 0 where y is",
        "w": "gw = sum over n,i,j of  gy * z",
        "b": "gb = sum over n,i,j of gy",
    },
    "batch_norm_given": {
        "x": "y = (x - mean) * factor + shift with a given mean, so  gx = gy * factor, channel by channel",
        "factor": "gfactor = sum over n,i,j of  gy * (x - mean)",
        "shift": "gshift = sum over n,i,j of gy",
    },
    "broadcast_to": {"x": "gx = gy, summed over the axes that were broadcast"},
    "channel_sum": {"x": "gx[n,c,h,w] = gy[c]"},
    "clip": {"x": "gx = gy where x lies between the bounds, else 0"},
    "correlate": {"x": _PADPAD, "w": _WEIGHT, "bias": _CHANNEL_SUM},
    "correlate_relu": {
        "x": "y = relu(correlate(x, w) + b); with gy set to 0 where y is 0,\n" + _PADPAD,
        "w": "with gy set to 0 where y is 0,\n" + _WEIGHT,
        "bias": _CHANNEL_SUM.replace("gy[n,o,i,j]", "gy[n,o,i,j] where y[n,o,i,j] is not 0"),
    },
    "correlate_input_gradient": {
        "gy": "the derivative of the input gradient with respect to gy is the convolution again: ggy = correlate(g, w)",
        "w": _WEIGHT.replace("the padded input", "g, padded,"),
    },
    "correlate_weight_gradient": {
        "x": "gx = the input gradient for the kernel g: padpad(gy) correlated with g, rotated",
        "gy": "ggy = correlate(x, g)",
    },
    "cos": {"x": "gx = -gy * sin(x)"},
    "cross_entropy": {
        "x": "y = -sum over k of q[k] * log softmax(x)[k], so  gx = gy * (softmax(x) * sum(q) - q)",
        "q": "gq = -gy * log softmax(x)",
    },
    "divide": {"x": "gx = gy / y", "y": "gy' = -gy * x / y^2"},
    "exp": {"x": "gx = gy * exp(x) = gy * ans"},
    "expand_dims": {"x": _BACK},
    "flatten": {"x": _BACK},
    "getitem": {"x": "gx = 0 but where elements were read: there their cotangents, added up"},
    "linear": {
        "x": "y = x w^T + bias, so  gx = gy w",
        "w": "gw = gy^T x, summed over all samples",
        "bias": "gb = gy, summed over all samples",
    },
    "log": {"x": "gx = gy / x"},
    "log_softmax": {"x": "gx = gy - softmax(x) * sum(gy)"},
    "matmul": {"x": "gx = gy @ y^T", "y": "gy' = x^T @ gy"},
    "max": {"x": "gx = gy where x is the maximum, in equal parts if several are; else 0"},
    "max_pool": {
        "x": "gx[h] = sum over the windows whose maximum is x[h] of gy; 0 where x was never the maximum\n"
        "(the first of equals in row-major order; its offset in the window is all that is saved)",
    },
    "maximum": {"x": "gx = gy where x > y, half of it where they are equal", "y": "the same with x and y exchanged"},
    "mean": {"x": "gx = gy / (number of averaged elements), for each of them"},
    "moveaxis": {"x": _BACK},
    "multiply": {"x": "gx = gy * y", "y": "gy' = gy * x"},
    "negative": {"x": "gx = -gy"},
    "nll_loss": {"x": "gx = -gy * weight at the place of the label, else 0"},
    "pad": {"x": "gx = the inner part of gy"},
    "power": {"x": "gx = gy * y * x^(y - 1)", "y": "gy' = gy * x^y * log(x)"},
    "reciprocal": {"x": "gx = -gy / x^2"},
    "relu": {"x": "gx = gy where x > 0, else 0"},
    "relu_gate": {"g": "gg = g where the rectifier let through, else 0"},
    "reshape": {"x": _BACK},
    "sigmoid": {"x": "gx = gy * ans * (1 - ans)"},
    "sin": {"x": "gx = gy * cos(x)"},
    "softmax": {"x": "gx = ans * (gy - sum(gy * ans))"},
    "sqrt": {"x": "gx = gy / (2 * ans)"},
    "square": {"x": "gx = 2 * gy * x"},
    "squeeze": {"x": _BACK},
    "subtract": {"x": "gx = gy, summed over the axes that were broadcast", "y": "gy' = -gy, likewise"},
    "sum": {"x": "gx = gy, for each of the summed elements"},
    "swapaxes": {"x": _BACK},
    "tanh": {"x": "gx = gy * (1 - ans^2)"},
    "transpose": {"x": _BACK},
    "var": {"x": "gx = 2 * gy * (x - mean(x)) / (number of elements - ddof)"},
    "where": {"x": "gx = gy where the condition holds, else 0", "y": "gy' = gy where it does not, else 0"},
}


def formula(record: Record, argument: str) -> str:
    """The formula of the cotangent of an argument; empty if the table has none."""
    return FORMULAS.get(record.name, {}).get(argument, "")


def rules_of(record: Record) -> list[tuple[str, Callable[..., Any]]]:
    """The rules that a sweep through the record uses, with the names of the arguments that they serve."""
    plan = record.plan
    if plan.joint is not None:
        wanted = [plan.primitive._argument(k) for k, parent in enumerate(record.parents) if parent is not None]
        return [(", ".join(dict.fromkeys(wanted)), plan.joint[0])]
    return [(plan.primitive._argument(argnum), rule) for argnum, rule, _, _ in plan.rules if rule is not None]


@functools.cache
def rule_source(rule: Callable[..., Any]) -> str:
    """The text of a rule alone, also of a lambda among others in a call; empty if there is none to be had.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor(1.0, requires_grad=True)
    >>> with ac.Tape() as tape:
    ...     y = ac.sin(x)
    >>> [(argument, rule)] = rules_of(tape[0])
    >>> argument, rule_source(rule)
    ('x', 'lambda g, x: g * np.cos(x)')
    """
    try:
        code = rule.__code__
        lines = linecache.getlines(code.co_filename) or inspect.getsourcelines(inspect.getmodule(rule))[0]  # type: ignore[arg-type]
        source = "".join(lines)
        found = _node_of(code, _tree(source))
    except (AttributeError, OSError, SyntaxError, TypeError, ValueError):
        return ""
    if found is None:
        return ""
    first = min([found.lineno, *(decorator.lineno for decorator in getattr(found, "decorator_list", []))])
    text = "".join(lines[first - 1 : found.end_lineno])
    if isinstance(found, ast.Lambda):
        text = ast.get_source_segment(source, found) or ""
        head, *rest = text.split("\n")
        return "\n".join([head, textwrap.dedent("\n".join(rest))]) if rest else head
    return textwrap.dedent(text).rstrip()


@functools.lru_cache(maxsize=16)
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def _node_of(code: Any, tree: ast.Module) -> Any:
    """The definition that was compiled to `code`: it begins in the same line, and the code lies within it."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column is not None]
    # The first positions belong to the definition as a whole.
    known = next((place for place in places if place != (code.co_firstlineno, 0)), None)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            continue
        begin = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        arguments = node.args
        own = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
        if begin != code.co_firstlineno or own != names:
            continue
        if isinstance(node, ast.FunctionDef):
            return node
        if known is None:  # Python 3.12 does not say where a lambda that only returns a constant stands
            if isinstance(node.body, ast.Constant):
                return node
        elif (node.lineno, node.col_offset) <= known <= (node.end_lineno or node.lineno, node.end_col_offset or 0):
            return node
    return None
