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

Entries are looked for there too, and before that in those of the places above it that can only be read: a cache that
was filled once (:func:`autograd_conv.warmup`) serves a read-only installation, or many users. Entries are pickles, so
a directory that somebody else could write, or that belongs to neither the user nor the system, is not used.

A process that spends more than `NOTICE_SECONDS` on compiling says so once, in one line on the logger
``autograd_conv``: on the standard error, unless the program has set up logging otherwise. With the environment
variable ``AUTOGRAD_CONV_QUIET`` it does not.
"""

import contextlib
import functools
import gc
import hashlib
import inspect
import logging
import os
import pickle
import platform
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config, event

F = TypeVar("F", bound=Callable[..., Any])

CACHE_DIRECTORY_ENVIRONMENT = "AUTOGRAD_CONV_CACHE_DIR"
QUIET_ENVIRONMENT = "AUTOGRAD_CONV_QUIET"

# Who waits longer than this wants to know what for.
NOTICE_SECONDS = 1.0

SUM_FLAGS = {"reassoc", "contract", "nsz", "arcp"}
"""The licence given to the compiler in sums: it may reorder, fuse multiplication and addition, ignore the
sign of zero, and multiply by reciprocals. It may not assume that there are no NaN and no infinity (``nnan``,
``ninf`` are missing on purpose), and kernels in which these decide, such as maximum pooling, take no flag."""

INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For kernels that only kernels call: code to be called from Python, which takes time to compile, is left out."""

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


def _safe(directory: Path) -> bool:
    """Return whether `directory` exists, is ours or the system's, and no stranger can write it."""
    try:
        status = directory.stat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (status.st_uid in (os.getuid(), 0) and not status.st_mode & stat.S_IWOTH)


def _writable(directory: Path) -> bool:
    """Make `directory` and return whether it is safe and we can write it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _safe(directory):
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
            if _writable(candidate) and _writable(candidate / key):
                return candidate / key
    except Exception:  # no cache is better than no kernel
        pass
    return None


@functools.cache
def readable_directories() -> tuple[Path, ...]:
    """Return the directories that compiled kernels are looked for in, in order, `cache_directory` being the last."""
    own = cache_directory()  # makes it, if need be
    found = []
    try:
        key = cache_key()
        for candidate in _candidate_directories():
            if candidate / key == own:
                break
            if _safe(candidate) and _safe(candidate / key):
                found.append(candidate / key)
    except Exception:
        pass
    return (*found,) if own is None else (*found, own)


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

    def _name(self, signature: Any, codegen: Any) -> str | None:
        """Return the name of the file for `signature`, or None if nothing can be kept."""
        shown = str(signature)
        if " at 0x" in shown:  # a function as an argument: its name says too little
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
        return f"{function.__module__.rpartition('.')[2]}.{function.__name__}-{digest}.bin"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled code for `signature`, or None."""
        try:
            from numba.core.compiler import CompileResult

            target_context.refresh()
            directories = readable_directories()
            name = self._name(signature, target_context.codegen()) if directories else None
            if name is None:
                return None
            for directory in directories:
                payload = self._payload(directory / name)
                if payload is not None:
                    return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever it is, compiling again is right
            pass
        return None

    def _payload(self, path: Path) -> bytes | None:
        """Return what was kept in `path`, or None if there is nothing whole."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, payload = content[: self._CHECKSUM_BYTES], content[self._CHECKSUM_BYTES :]
        return payload if hashlib.sha256(payload).digest() == checksum else None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep compiled code for other processes, if that is possible."""
        temporary = None
        try:
            from numba.core.serialize import dumps

            if result.library.has_dynamic_globals or any(not lifted.can_cache for lifted in result.lifted):
                return
            directory = cache_directory()
            name = None if directory is None else self._name(signature, result.codegen)
            if directory is None or name is None:
                return
            path = directory / name
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


# ---------------------------------------------------------------- how long


class _Watch(event.Listener):
    """Sees each compilation of a kernel: keeps the time, and tells the user of a long wait.

    Numba calls it under its compiler lock, so by one thread at a time. Meanwhile the garbage collector is off: Numba
    makes millions of objects that live until it is done, and looking through them again and again takes a tenth
    of the time.
    """

    def __init__(self) -> None:
        self.compilations: list[tuple[str, float]] = []
        self._depth = 0
        self._start = 0.0
        self._collecting = False
        self._told = False

    def on_start(self, event: Any) -> None:
        """Begin, unless it is a part of a kernel that is being compiled, or somebody else's function."""
        if self._depth == 0 and not isinstance(getattr(event.data["dispatcher"], "_cache", None), _Cache):
            return
        self._depth += 1
        if self._depth == 1:
            self._collecting = gc.isenabled()
            gc.disable()
            self._start = time.perf_counter()

    def on_end(self, event: Any) -> None:
        """End what `on_start` began."""
        if self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            if self._collecting:
                gc.enable()
            function = event.data["dispatcher"].py_func
            name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
            self.compilations.append((name, time.perf_counter() - self._start))
            seconds = sum(taken for _, taken in self.compilations)
            if seconds > NOTICE_SECONDS and not self._told:
                self._told = True
                _tell(seconds)


def _tell(seconds: float) -> None:
    """Log what is going on, and whether it will happen again."""
    if os.environ.get(QUIET_ENVIRONMENT, "0") not in ("", "0"):
        return
    directory = cache_directory()
    once, where = ", once", f"they are kept in {directory}"
    if directory is None:
        once, where = "", f"no place to keep them can be written: {CACHE_DIRECTORY_ENVIRONMENT} may name one"
    logging.getLogger("autograd_conv").warning(
        "autograd_conv: compiling kernels for this machine%s (%.1f s so far); %s", once, seconds, where
    )


_watch = _Watch()
with contextlib.suppress(Exception):  # unless another Numba has no such events
    event.register("numba:compile", _watch)


def compilations() -> list[tuple[str, float]]:
    """Return name and seconds of each kernel that this process has compiled, in order, with all that it calls.

    Kernels that were loaded from the cache are not among them.
    """
    return list(_watch.compilations)


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
