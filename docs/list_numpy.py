"""Write docs/numpy.md: what becomes of each function of NumPy's main namespace.

Run ``python docs/list_numpy.py`` after a change of `autograd_conv.ops`; a test compares. Everything on the page is read
from the package: the modules' own lists of names, and the tables in `autograd_conv.dispatch`.
"""

from __future__ import annotations

import importlib
import pkgutil
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np

import autograd_conv as ac
from autograd_conv import ops
from autograd_conv.dispatch import CONSTANT, OUT_OF_SCOPE
from autograd_conv.ops import numpy_names

PAGE = Path(__file__).parent / "numpy.md"

INTRODUCTION = """# NumPy's functions

Every name in `numpy.__all__` is on one of these lists (a test walks it). The functions stand in `autograd_conv` under
NumPy's names and with NumPy's signatures, and NumPy's own functions reach the same code when they are handed a Tensor:
`np.cumsum(t)` is `ac.cumsum(t)`. Universal functions have `out=`, `where=`, `dtype=`, `casting=` and the methods
`reduce`, `accumulate`, `reduceat`, `outer` and `at`.
What differs from NumPy is on [another page](differences.md#numpys-functions).

This page is written by `python docs/list_numpy.py`.
"""

WITH = """## With derivatives, of every order

"""

WITHOUT = """## Without derivative

Positions, counts, comparisons, whole numbers and new arrays: the results are Tensors without history, and `backward()`
of one says so. `floor` and other steps are differentiable, and their derivative is zero wherever it exists: they hand
back zeros. `nextafter` refuses.

"""

SAME = """## NumPy's own

Types, constants and settings. `autograd_conv` hands them on as they are.

"""

OUT = """## Out of scope

Handed a Tensor, these functions of NumPy say what is in the right column.

| | why |
|---|---|
"""

MORE = """## Not covered?

Whatever else of NumPy, or of a library that uses NumPy's protocols, is handed a Tensor says its name and what to do:
make it a primitive and register it.

```python
import numpy as np
import autograd_conv as ac


@ac.primitive
def root(x):
    return np.emath.sqrt(x)


root.defvjp(x=lambda g, ans: g / (2 * ans))
ac.register_numpy(np.emath.sqrt, root)

x = ac.tensor([4.0, 9.0], requires_grad=True)
np.emath.sqrt(x).sum().backward()
assert np.allclose(x.grad, [1 / 4, 1 / 6])
del ac.dispatch.FUNCTIONS[np.emath.sqrt]
```
"""


def modules() -> list[ModuleType]:
    return [importlib.import_module(f"{ops.__name__}.{found.name}") for found in pkgutil.iter_modules(ops.__path__)]


def is_constant(name: str) -> bool:
    return getattr(np, name, None) in CONSTANT


def is_function(name: str) -> bool:
    return hasattr(ac, name) and getattr(ac, name) is not getattr(np, name, None)


def names(module: ModuleType, constant: bool) -> list[str]:
    """The functions of a module that stand for one of NumPy's or of the Python Array API standard."""
    if module is numpy_names:
        return []
    return sorted([name for name in module.__all__ if is_function(name) and is_constant(name) == constant])


def families(constant: bool) -> str:
    """A table with a line for each module."""
    rows = ["| | |", "|---|---|"]
    for module in modules():
        found = names(module, constant) if hasattr(module, "__all__") else []
        if found:
            summary = (module.__doc__ or "").strip().splitlines()[0].split(": ")[0].rstrip(".")
            rows.append(f"| {summary} | {' '.join([f'`{name}`' for name in found])} |")
    return "\n".join(rows) + "\n"


def own() -> str:
    """Names that are NumPy's own objects; not those that exist on some machines only."""
    found = {name for module in modules() for name in getattr(module, "__all__", [])}
    found = {name for name in found if hasattr(ac, name) and not is_function(name)}
    found -= {"float96", "float128", "complex192", "complex256"}
    return textwrap.fill(" ".join([f"`{name}`" for name in sorted(found, key=str.lower)]), 118) + "\n"


def reasons() -> str:
    rows: dict[str, list[str]] = {}
    for name, reason in OUT_OF_SCOPE.items():
        rows.setdefault(reason, []).append(f"`{name}`")
    return "\n".join([f"| {' '.join(found)} | {reason} |" for reason, found in rows.items()]) + "\n"


def page() -> str:
    parts = [INTRODUCTION, WITH + families(False), WITHOUT + families(True), SAME + own(), OUT + reasons(), MORE]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
