"""The rest of NumPy's namespace: what is handed on as it is, what takes the values of Tensors, what is left out.

A name of ``numpy.__all__`` that stands neither here nor in a module beside is a mistake, which a test finds.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import OUT_OF_SCOPE
from .constants import question

# Types, settings and tools that have nothing to do with derivatives. They are NumPy's own.
SAME = [
    "False_", "ScalarType", "True_", "base_repr", "binary_repr", "byte", "cdouble", "clongdouble",
    "complexfloating", "csingle", "double", "dtype", "errstate", "floating", "format_float_positional",
    "format_float_scientific", "generic", "get_printoptions", "geterr", "geterrcall", "half", "index_exp",
    "inexact", "int_", "intc", "integer", "intp", "isscalar", "issubdtype", "iterable", "little_endian", "long",
    "longdouble", "longlong", "mintypecode", "ndindex", "number", "printoptions", "promote_types", "s_",
    "sctypeDict", "set_printoptions", "seterr", "seterrcall", "short", "signedinteger", "single", "typecodes",
    "typename", "ubyte", "uint", "uintc", "uintp", "ulong", "ulonglong", "unsignedinteger", "ushort",
]  # fmt: skip
# Extended precision exists on some machines only.
SAME += [name for name in ("float96", "float128", "complex192", "complex256") if hasattr(np, name)]

__all__ = list(SAME)
globals().update({name: getattr(np, name) for name in SAME})

for _write in (np.save, np.savez, np.savez_compressed, np.savetxt):  # what is written are values
    question(_write)

_REASONS = {
    "dates are no numbers that can be differentiated": (
        "busday_count busday_offset busdaycalendar datetime64 datetime_as_string datetime_data is_busday isnat "
        "timedelta64"
    ),
    "texts, records and Python objects are no numbers": (
        "bytes_ char character flexible object_ rec recarray record str_ strings void"
    ),
    "newer releases of NumPy have it under another name; see isin and trapezoid": "in1d trapz",
    "NumPy advises against matrices; arrays with two axes do the same": "asmatrix bmat matrix",
    "it reads files; make a Tensor of the array, as in autograd_conv.tensor(numpy.loadtxt(...))": (
        "fromfile fromregex genfromtxt load loadtxt memmap"
    ),
    "it writes files, and the values of Tensors too; autograd_conv.save keeps Tensors": (
        "save savetxt savez savez_compressed"
    ),
    "it walks through the memory of arrays, and Tensors have values only; see ndindex and ndenumerate": (
        "broadcast flatiter nditer nested_iters"
    ),
    "it makes arrays of Python objects; see vectorize and primitive": "frompyfunc",
    "a class, whose instances hold ndarrays; see polyval and its neighbours": "poly1d",
    "a type that Tensor stands beside": "ndarray ufunc",
    "it is about NumPy's installation": (
        "core ctypeslib dtypes exceptions f2py get_include getbufsize info lib setbufsize "
        "show_config show_runtime test testing typing"
    ),
    "masked arrays are a type of their own; see where and the where= of reductions": "ma",
    "it leaves the real numbers where arguments demand it; convert them to complex numbers first": "emath",
    "classes, whose instances hold ndarrays; see polyval and its neighbours": "polynomial",
    "random numbers are constants; draw them with numpy.random": "random",
    "a namespace of its own, autograd_conv.linalg and autograd_conv.fft": "fft linalg",
}
for _reason, _names in _REASONS.items():
    OUT_OF_SCOPE.update(dict.fromkeys(_names.split(), _reason))
