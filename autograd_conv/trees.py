"""Nested structures of values: lists, tuples, named tuples, dictionaries and dataclasses, taken apart and rebuilt.

A *tree* is a leaf, or a container of trees. What is no container is a leaf: arrays, Tensors, numbers, strings,
functions. None is a container without leaves, so that optional parts of a structure need no special case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

__all__ = ["Structure", "flatten", "flatten_like", "tree_map", "unflatten"]


class Structure:
    """The shape of a tree without its leaves: what :func:`flatten` returns and :func:`unflatten` fills.

    Two structures are equal if they nest the same containers in the same way.
    """

    __slots__ = ("children", "kind", "labels")

    def __init__(self, kind: Any, labels: tuple[Hashable, ...] = (), children: tuple[Structure, ...] = ()) -> None:
        self.kind = kind
        self.labels = labels
        self.children = children

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        return (self.kind, self.labels, self.children) == (other.kind, other.labels, other.children)

    def __hash__(self) -> int:
        return hash((self.kind, self.labels, self.children))

    def __repr__(self) -> str:
        return f"Structure({_draw(self)})"

    def count(self) -> int:
        """How many leaves there are."""
        return 1 if self.kind is _LEAF else sum(child.count() for child in self.children)

    def fill(self, leaves: Iterator[Any]) -> Any:
        """The tree of this structure with the next values of `leaves`."""
        kind = self.kind
        if kind is _LEAF:
            return next(leaves)
        if kind is type(None):
            return None
        values = [child.fill(leaves) for child in self.children]
        if issubclass(kind, dict):
            return _rebuild_dict(kind, zip(self.labels, values))
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return kind(*values)
        if issubclass(kind, (list, tuple)):
            return kind(values)
        # A dataclass: fields that are no parameters of its __init__ are set afterwards.
        result = object.__new__(kind)
        for label, value in zip(self.labels, values):
            object.__setattr__(result, str(label), value)
        return result


class _Leaf:
    def __repr__(self) -> str:
        return "*"


_LEAF = _Leaf()
_LEAF_STRUCTURE = Structure(_LEAF)


def _rebuild_dict(kind: type, items: Iterable[tuple[Hashable, Any]]) -> Any:
    try:
        return kind(items)
    except TypeError:  # collections.defaultdict and its like take something else first
        return dict(items)


def _draw(structure: Structure) -> str:
    if structure.kind is _LEAF:
        return "*"
    inside = [_draw(child) for child in structure.children]
    if structure.labels:
        inside = [f"{label}={text}" for label, text in zip(structure.labels, inside)]
    return f"{structure.kind.__name__}({', '.join(inside)})"


def _open(tree: Any) -> tuple[tuple[Hashable, ...], list[Any]] | None:
    """Labels and children of a container; None for a leaf."""
    if isinstance(tree, dict):
        return tuple(tree), list(tree.values())
    if isinstance(tree, (list, tuple)):
        return (), list(tree)
    if tree is None:
        return (), []
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        labels = tuple(field.name for field in dataclasses.fields(tree))
        return labels, [getattr(tree, label) for label in labels]
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Take a tree apart.

    Parameters
    ----------
    tree : any
        Leaves in lists, tuples, named tuples, dictionaries and dataclasses, nested in any way.

    Returns
    -------
    leaves : list
        In the order of the containers.
    structure : Structure
        For :func:`unflatten`.

    Examples
    --------
    >>> leaves, structure = flatten({"w": [1.0, 2.0], "b": (3.0, None)})
    >>> leaves
    [1.0, 2.0, 3.0]
    >>> unflatten(structure, [10.0, 20.0, 30.0])
    {'w': [10.0, 20.0], 'b': (30.0, None)}
    """
    opened = _open(tree)
    if opened is None:
        return [tree], _LEAF_STRUCTURE
    labels, children = opened
    leaves: list[Any] = []
    structures = []
    for child in children:
        below, structure = flatten(child)
        leaves += below
        structures.append(structure)
    return leaves, Structure(type(tree), labels, tuple(structures))


def flatten_like(structure: Structure, tree: Any) -> list[Any]:
    """What stands in `tree` at the leaves of `structure`; None in the place of a container stands for all of it.

    Raises
    ------
    ValueError
        If `tree` has other containers, or another number of children.
    """
    if structure.kind is _LEAF:
        return [tree]
    opened = _open(tree)
    if tree is None or opened is None:
        if tree is not None and structure.children:
            raise ValueError(f"flatten_like: a {type(tree).__name__} stands in the place of {structure!r}")
        return [None] * structure.count()
    labels, children = opened
    if len(children) != len(structure.children) or (structure.labels and labels != structure.labels):
        raise ValueError(f"flatten_like: the tree has {flatten(tree)[1]!r} in the place of {structure!r}")
    return [leaf for child, below in zip(structure.children, children) for leaf in flatten_like(child, below)]


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Rebuild the tree of a structure with new leaves; the inverse of :func:`flatten`."""
    return structure.fill(iter(leaves))


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to each leaf of a tree, together with the leaves in its place in other trees.

    Raises
    ------
    ValueError
        If the trees have different structures.
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in others:
        below, found = flatten(other)
        if found != structure:
            raise ValueError(f"tree_map: the trees have different structures, {structure!r} and {found!r}")
        columns.append(below)
    return unflatten(structure, [function(*values) for values in zip(*columns)])
