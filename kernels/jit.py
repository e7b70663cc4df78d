"""How kernels are compiled: the ``kernel`` decorator, and a cache on disk that cannot do harm.

Numba's own ``cache=True`` does not notice a change in another file that a kernel calls into, and fails on
read-only installations. Here compiled code is found under a key that covers the sources of *all* kernels, the
versions of everything that takes part in compiling, and the processor. Whatever is wrong with the cache - a
truncated file, another process writing at the same time, a directory that cannot be written - means that the
kernel is compiled again, and never an error.

Where the cache is, the first of these that can be written:

1. the environment variable ``AUTOGRAD_CONV_CACHE_DIR``;
2. ``autograd_conv`` in the directory that Numba's ``NUMBA_CACHE_DIR`` names;
3. ``autograd_conv`` in the user's cache directory (``$XDG_CACHE_HOME``, ``~/.cache``; ``~/Library/Caches`` on
   macOS, ``%LOCALAPPDATA%`` on Windows);
4. a directory of the user's own in the system's directory for temporary files.

Entries are pickles, so a directory that somebody else could write is not used.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import platform
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

CACHE_DIRECTORY_ENVIRONMENT = "AUTOGRAD_CONV_CACHE_DIR"

SUM_FLAGS = {"reassoc", "contract", "nsz", "arcp"}
"""The licence given to the compiler in sums: it may reorder, fuse multiplication and addition, ignore the
sign of zero, and multiply by reciprocals. It may not assume that there are no NaN and no infinity (``nnan``,
``ninf`` are missing on purpose), and kernels in which these decide, such as maximum pooling, take no flag."""

# Settings of Numba that change the code it emits, beyond the description of the processor.
_CODE_SETTINGS = (
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "ENABLE_AVX",
    "LOOP_VECTORIZE",
    "OPT",
    "SLP_VECTORIZE",
    "LLVM_REFPRUNE_PASS",
)


class _Uncachable(Exception):
    """Raised when a kernel has no description that is the same in every process."""


# ---------------------------------------------------------------- where


def _candidate_directories() -> Iterable[Path]:
    """Yield the directories of the module's description, in order."""
    own = os.environ.get(CACHE_DIRECTORY_ENVIRONMENT)
    if own:
        yield Path(own)
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR) / "autograd_conv"
    if sys.platform == "win32":
        user = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        user = os.path.expanduser("~/Library/Caches")
    else:
        user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if user and os.path.isabs(user):
        yield Path(user) / "autograd_conv"
    identity = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"autograd_conv-{identity}"


def _usable(directory: Path) -> bool:
    """Make `directory` and return whether we can write it and no stranger can."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid"):
            status = directory.stat()
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & stat.S_IWOTH:
                return False
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


def _sources_digest(directory: Path) -> str:
    """Return a hash of every Python file in `directory`, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def cache_key(sources: Path | None = None) -> str:
    """Return the name of the directory that holds code compiled from these sources, by this software, here.

    Parameters
    ----------
    sources : Path, optional
        The directory whose Python files count; that of this module, if omitted.

    Returns
    -------
    str
        A hash of the sources, of the versions of Python, NumPy, Numba and llvmlite, and of the processor.

    Raises
    ------
    OSError
        If the sources cannot be read.
    """
    here = Path(__file__).resolve().parent if sources is None else sources
    description = (
        _sources_digest(here),
        sys.version,
        np.__version__,
        numba.__version__,
        llvmlite.__version__,
        platform.machine(),
        llvmlite.binding.get_process_triple(),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    )
    return hashlib.sha256(repr(description).encode()).hexdigest()[:32]


@functools.cache
def cache_directory() -> Path | None:
    """Return the directory that compiled kernels are kept in, or None if no place can be written."""
    try:
        key = cache_key()
        for candidate in _candidate_directories():
            # The parent is tested too: what a stranger can write above us he can swap.
            if _usable(candidate) and _usable(candidate / key):
                return candidate / key
    except Exception:  # no cache is better than no kernel
        pass
    return None


# ---------------------------------------------------------------- what


def _describe(value: Any) -> str:
    """Return a description of a value that a kernel's closure holds: equal in all processes, or raise."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return "(" + ",".join(map(_describe, value)) + ")"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(_describe, value))) + "}"
    function = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    if inspect.isfunction(function):
        return _describe_function(function)
    if isinstance(value, (type, np.dtype, numba.types.Type)):
        return str(value)
    raise _Uncachable(type(value))


def _describe_function(function: Any) -> str:
    """Return name, place, code and closure of a function; its file is hashed with the other sources."""
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    code = function.__code__
    digest = hashlib.sha256(code.co_code + repr((code.co_names, code.co_varnames)).encode()).hexdigest()
    return (
        f"{function.__module__}.{function.__qualname__}:{code.co_firstlineno}:{digest}"
        + _describe(function.__defaults__)
        + _describe(cells)
    )


def _name_apart(function: Callable[..., Any]) -> None:
    """Give a function that has a closure a name that tells what is in it.

    Functions that one factory made with different values have one name. Numba numbers what it compiles, to tell such
    functions apart for the linker; but it counts from 1 in each process. Two functions from the cache, which two
    processes compiled, may have the same name and the same number, and one of them would be called for the other.
    """
    if function.__closure__:
        with contextlib.suppress(_Uncachable, ValueError):  # ValueError: a cell is empty, so there is no description
            digest = hashlib.sha256(_describe_function(function).encode()).hexdigest()[:16]
            function.__qualname__ = f"{function.__qualname__}.{digest}"


class _Cache:
    """Compiled code of one function, one file for each signature.

    It stands in for the cache object of a Numba dispatcher, of which it has the methods. A file is a SHA-256
    checksum followed by what Numba says makes up the compiled code, pickled.
    """

    _CHECKSUM_BYTES = 32

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function = function
        self._options = options

    @property
    def cache_path(self) -> str | None:
        """The directory, or None."""
        directory = cache_directory()
        return None if directory is None else str(directory)

    def enable(self) -> None:
        """Do nothing: the cache is on from the beginning."""

    def disable(self) -> None:
        """Do nothing: the cache stays on."""

    def flush(self) -> None:
        """Do nothing: entries cannot become stale."""

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        directory = cache_directory()
        shown = str(signature)
        if directory is None or " at 0x" in shown:  # a function as an argument: its name says too little
            return None
        function = self._function
        home = inspect.getfile(function)
        foreign = ""
        if Path(home).resolve().parent != Path(__file__).resolve().parent:  # not covered by the key
            foreign = home + hashlib.sha256(Path(home).read_bytes()).hexdigest()
        settings = [(name, getattr(config, name, None)) for name in _CODE_SETTINGS]
        options = sorted((name, _describe(value)) for name, value in self._options.items())
        description = (shown, codegen.magic_tuple(), settings, options, _describe_function(function), foreign)
        digest = hashlib.sha256(repr(description).encode()).hexdigest()[:32]
        return directory / f"{function.__module__.rpartition('.')[2]}.{function.__name__}-{digest}.bin"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled code for `signature`, or None."""
        try:
            from numba.core.compiler import CompileResult

            target_context.refresh()
            path = self._path(signature, target_context.codegen())
            if path is None:
                return None
            content = path.read_bytes()
            checksum, payload = content[: self._CHECKSUM_BYTES], content[self._CHECKSUM_BYTES :]
            if hashlib.sha256(payload).digest() != checksum:
                return None
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever it is, compiling again is right
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep compiled code for other processes, if that is possible."""
        temporary = None
        try:
            from numba.core.serialize import dumps

            if result.library.has_dynamic_globals or any(not lifted.can_cache for lifted in result.lifted):
                return
            path = self._path(signature, result.codegen)
            if path is None:
                return
            payload = dumps(result._reduce())
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, path)  # readers see nothing or everything
            temporary = None
        except Exception:  # a full disk, a directory that went away, a Numba that is built differently
            pass
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


# ---------------------------------------------------------------- how


@overload
def kernel(function: F) -> F: ...
@overload
def kernel(*, fastmath: Iterable[str] = ..., **options: Any) -> Callable[[F], F]: ...


def kernel(function: Any = None, *, fastmath: Iterable[str] = (), **options: Any) -> Any:
    """Compile a loop over ndarrays with Numba: without the interpreter lock, and with our cache.

    Parameters
    ----------
    function : callable
        Its arguments are arrays, numbers, and tuples of them.
    fastmath : iterable of str
        :data:`SUM_FLAGS` for a sum, nothing where NaN or infinity decide.
    **options
        Further options of :func:`numba.njit`, such as ``inline="always"``.

    Returns
    -------
    callable
        What :func:`numba.njit` returns; with ``NUMBA_DISABLE_JIT=1``, the function, with NumPy's warnings off.

    Notes
    -----
    Division follows NumPy (by zero: infinity or NaN), and indices are not checked unless
    ``NUMBA_BOUNDSCHECK=1`` asks for it.
    """
    if function is None:
        return functools.partial(kernel, fastmath=fastmath, **options)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath) or False, **options}
    _name_apart(function)
    dispatcher = numba.njit(**options)(function)
    if dispatcher is function:
        # NumPy's scalars warn of overflow and NaN where compiled arithmetic does not.
        return np.errstate(all="ignore")(function)
    if hasattr(dispatcher, "_cache"):  # unless another Numba names it differently
        dispatcher._cache = _Cache(function, options)
    return dispatcher
