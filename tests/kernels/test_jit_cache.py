"""The cache of compiled kernels: it saves time, and does no harm whatever happens to it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
import sys
import numpy as np
from autograd_conv.kernels import jit

@jit.kernel
def double(start: int, stop: int, a) -> None:
    for i in range(start, stop):
        a[i] *= 2

a = np.arange(4.0)
double(0, 4, a)
assert a.tolist() == [0, 2, 4, 6], a
hits = sum(double.stats.cache_hits.values()) if hasattr(double, "stats") else None
print(hits, jit.cache_directory())
"""


def _without_numba():
    """Return the environment without settings of Numba, such as NUMBA_DISABLE_JIT, and without notices."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return {**kept, "AUTOGRAD_CONV_QUIET": "1"}


def _python(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**_without_numba(), **environment},
    )


def _run(script, **environment):
    result = _python(script, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip().partition(" ")[::2]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(KERNEL)
    return path


def test_the_second_process_finds_what_the_first_compiled(script, tmp_path):
    place = tmp_path / "cache"
    hits, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=str(place))
    assert hits == "0"
    assert Path(directory).parent == place
    (entry,) = Path(directory).iterdir()
    assert entry.name.startswith("__main__.double-")
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=str(place)) == ("1", directory)


FACTORY = """
import sys
import numpy as np
from autograd_conv.kernels import jit

def make(factor):
    @jit.kernel
    def inner(a) -> None:  # sorting makes it too long to be inlined
        b = np.sort(a)
        c = np.sort(b[::-1])
        for i in range(a.size):
            a[i] = c[i] * factor

    @jit.kernel
    def outer(a) -> None:
        inner(a)
        a /= factor
        inner(a)

    return outer

for factor in map(int, sys.argv[1:]):
    a = np.ones(2)
    make(factor)(a)
    assert a.tolist() == [factor, factor], (factor, a)
"""


def test_kernels_of_one_factory_from_several_processes_are_not_mistaken_for_each_other(tmp_path):
    """Numba numbers functions of equal names, from 1 in each process: cached ones can have the same number."""
    script = tmp_path / "factory.py"
    script.write_text(FACTORY)
    environment = {**_without_numba(), "AUTOGRAD_CONV_CACHE_DIR": str(tmp_path / "cache")}
    for factors in (["2"], ["3"], ["2", "3"], ["3", "2"]):
        subprocess.run([sys.executable, str(script), *factors], check=True, timeout=120, env=environment)


def test_a_damaged_entry_is_compiled_again_and_mended(script, tmp_path):
    place = str(tmp_path / "cache")
    _, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=place)
    (entry,) = Path(directory).iterdir()
    whole = entry.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        entry.write_bytes(damaged)
        assert _run(script, AUTOGRAD_CONV_CACHE_DIR=place)[0] == "0"
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=place)[0] == "1"


def test_an_entry_that_is_a_directory_is_no_error(script, tmp_path):
    place = str(tmp_path / "cache")
    _, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=place)
    (entry,) = Path(directory).iterdir()
    entry.unlink()
    entry.mkdir()
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=place)[0] == "0"
    assert [path.name for path in Path(directory).iterdir()] == [entry.name]  # no temporary file stays


def test_a_place_that_cannot_be_used_is_passed_over(script, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    home = tmp_path / "home"
    hits, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=str(blocked), XDG_CACHE_HOME=str(home), HOME=str(home))
    assert hits == "0"
    assert blocked.read_text() == "not a directory"
    assert tmp_path in Path(directory).parents


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_a_place_that_strangers_can_write_is_not_used(script, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    home = tmp_path / "home"
    _, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=str(shared), XDG_CACHE_HOME=str(home), HOME=str(home))
    assert shared not in Path(directory).parents
    assert not list(shared.iterdir())


def test_no_place_at_all(script, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    nowhere = str(blocked / "below")
    script.write_text(
        "import tempfile\n"
        f"tempfile.gettempdir = lambda: {nowhere!r}\n" + KERNEL
    )  # fmt: skip
    environment = {"AUTOGRAD_CONV_CACHE_DIR": nowhere, "XDG_CACHE_HOME": nowhere, "HOME": nowhere}
    assert _run(script, LOCALAPPDATA=nowhere, **environment) == ("0", "None")


NEVER_WRITABLE = """
from autograd_conv.kernels import jit
jit._writable = lambda directory: False
"""


def test_a_cache_that_can_only_be_read_is_read(script, tmp_path):
    place, home = tmp_path / "cache", str(tmp_path / "home")
    environment = {"AUTOGRAD_CONV_CACHE_DIR": str(place), "XDG_CACHE_HOME": home, "HOME": home}
    _run(script, **environment)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    (tmp_path / "sitecustomize.py").write_text(NEVER_WRITABLE)
    assert _run(script, PYTHONPATH=str(tmp_path), **environment) == ("1", "None")
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert not Path(home).exists()


def test_what_is_missing_in_a_cache_that_can_only_be_read_goes_elsewhere(script, tmp_path):
    place, home = tmp_path / "cache", tmp_path / "home"
    environment = {"AUTOGRAD_CONV_CACHE_DIR": str(place), "XDG_CACHE_HOME": str(home), "HOME": str(home)}
    _, directory = _run(script, **environment)
    (entry,) = Path(directory).iterdir()
    entry.unlink()
    (tmp_path / "sitecustomize.py").write_text(
        f"from autograd_conv.kernels import jit\nwritable = jit._writable\n"
        f"jit._writable = lambda directory: {str(place)!r} not in str(directory) and writable(directory)\n"
    )
    hits, elsewhere = _run(script, PYTHONPATH=str(tmp_path), **environment)
    assert (hits, Path(elsewhere).name) == ("0", Path(directory).name)
    assert home in Path(elsewhere).parents
    assert _run(script, PYTHONPATH=str(tmp_path), **environment) == ("1", elsewhere)
    assert not list(Path(directory).iterdir())


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_a_readable_place_that_strangers_can_write_is_not_read(script, tmp_path):
    place, home = tmp_path / "cache", str(tmp_path / "home")
    environment = {"AUTOGRAD_CONV_CACHE_DIR": str(place), "XDG_CACHE_HOME": home, "HOME": home}
    _, directory = _run(script, **environment)
    Path(directory).chmod(0o777)
    hits, elsewhere = _run(script, **environment)
    assert (hits, place in Path(elsewhere).parents) == ("0", False)


def test_numba_cache_dir_is_respected(script, tmp_path):
    _, directory = _run(script, NUMBA_CACHE_DIR=str(tmp_path / "numba"), AUTOGRAD_CONV_CACHE_DIR="")
    assert Path(directory).parent == tmp_path / "numba" / "autograd_conv"


def test_racing_processes(script, tmp_path):
    place = str(tmp_path / "cache")
    environment = {**_without_numba(), "AUTOGRAD_CONV_CACHE_DIR": place}
    command = [sys.executable, "-W", "error", str(script)]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    for racer in racers:
        _, error = racer.communicate(timeout=120)
        assert (racer.returncode, error) == (0, "")
    hits, directory = _run(script, AUTOGRAD_CONV_CACHE_DIR=place)
    assert hits == "1"
    assert len(list(Path(directory).iterdir())) == 1


def test_another_numba_inside_is_no_error(script, tmp_path):
    # As if the parts of Numba that the cache needs had been renamed.
    broken = "import numba.core.compiler\ndel numba.core.compiler.CompileResult._rebuild\n"
    place = str(tmp_path / "cache")
    _run(script, AUTOGRAD_CONV_CACHE_DIR=place)
    script.write_text(broken + KERNEL)
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=place)[0] == "0"


LONG_WAITS = "from autograd_conv.kernels import jit\njit.NOTICE_SECONDS = 0.0\n"


def test_a_long_compilation_is_announced_once_in_one_line(script, tmp_path):
    place = str(tmp_path / "cache")
    second = KERNEL.replace("double", "twice").partition("hits")[0]
    script.write_text(LONG_WAITS + second + KERNEL + "print(*[name for name, _ in jit.compilations()])")
    result = _python(script, AUTOGRAD_CONV_CACHE_DIR=place, AUTOGRAD_CONV_QUIET="0")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "__main__.twice __main__.double"
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("autograd_conv: compiling kernels for this machine, once (")
    assert place in result.stderr
    loaded = _python(script, AUTOGRAD_CONV_CACHE_DIR=place, AUTOGRAD_CONV_QUIET="")
    assert (loaded.returncode, loaded.stderr, loaded.stdout.splitlines()[-1]) == (0, "", "")


def test_the_announcement_can_be_switched_off_and_goes_through_logging(script, tmp_path):
    script.write_text(LONG_WAITS + KERNEL)
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=str(tmp_path / "first"), AUTOGRAD_CONV_QUIET="1")[0] == "0"
    log = tmp_path / "log"
    script.write_text(f"import logging\nlogging.basicConfig(filename={str(log)!r})\n" + LONG_WAITS + KERNEL)
    result = _python(script, AUTOGRAD_CONV_CACHE_DIR=str(tmp_path / "second"), AUTOGRAD_CONV_QUIET="0")
    assert (result.returncode, result.stderr) == (0, "")
    assert log.read_text().startswith("WARNING:autograd_conv:")


def test_the_announcement_says_when_nothing_can_be_kept(script, tmp_path):
    script.write_text(LONG_WAITS + NEVER_WRITABLE + KERNEL)
    result = _python(script, AUTOGRAD_CONV_QUIET="0")
    assert result.returncode == 0
    assert "no place to keep them can be written: AUTOGRAD_CONV_CACHE_DIR may name one" in result.stderr


def test_only_kernels_of_ours_are_counted_and_the_collector_is_as_it_was(script, tmp_path):
    script.write_text(
        LONG_WAITS
        + """
import gc, numba, numpy as np

@numba.njit
def theirs(a):
    return np.cumsum(a)  # compiled, and not ours

@jit.kernel
def ours(a):
    return np.empty(3, a.dtype)[0] * 0 + a[0]  # parts of it are compiled by themselves

@jit.kernel
def wrong(a):
    return a.nothing_like_it

a = np.ones(3)
theirs(a)
assert jit.compilations() == [] and gc.isenabled()
ours(a)
assert [name for name, _ in jit.compilations()] == ["__main__.ours"] and gc.isenabled()
gc.disable()
try:
    wrong(a)
except numba.TypingError:
    pass
else:
    raise AssertionError
assert not gc.isenabled()
gc.enable()
ours(a.astype(np.float32))
assert gc.isenabled()
assert [name for name, _ in jit.compilations()] == ["__main__.ours", "__main__.wrong", "__main__.ours"]
print("fine")
"""
    )
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=str(tmp_path / "cache"))[0] == "fine"


def test_without_jit(script, tmp_path):
    place = tmp_path / "cache"
    assert _run(script, AUTOGRAD_CONV_CACHE_DIR=str(place), NUMBA_DISABLE_JIT="1")[0] == "None"


def test_a_change_in_any_source_changes_the_key(tmp_path):
    from autograd_conv.kernels import jit

    copy = tmp_path / "kernels"
    shutil.copytree(Path(jit.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    key = jit.cache_key(copy)
    assert key == jit.cache_key()
    for path in copy.glob("*.py"):
        content = path.read_bytes()
        path.write_bytes(content + b"\n# changed\n")
        assert jit.cache_key(copy) != key
        path.write_bytes(content)
    assert jit.cache_key(copy) == key
    (copy / "another.py").write_text("")
    assert jit.cache_key(copy) != key


def test_the_key_covers_processor_and_versions(monkeypatch):
    import llvmlite.binding
    import numba
    import numpy as np
    from autograd_conv.kernels import jit

    key = jit.cache_key()
    for owner, name, value in [
        (numba, "__version__", "0"),
        (np, "__version__", "0"),
        (llvmlite.binding, "get_host_cpu_name", lambda: "abacus"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert jit.cache_key() != key


def test_a_closure_is_part_of_the_description():
    from autograd_conv.kernels import jit

    def make(rows, inner=None):
        def body(a):
            return (inner, a * rows)

        return body

    describe = jit._describe_function
    assert describe(make(1)) == describe(make(1))
    assert describe(make(1)) != describe(make(2))
    assert describe(make(1, make(3))) != describe(make(1, make(4)))
    with pytest.raises(jit._Uncachable):
        describe(make(object()))


def test_importing_the_package_does_not_import_numba():
    code = """
import sys
import autograd_conv.kernels
from autograd_conv.kernels import arrays, geometry, naive, threads
assert "numba" not in sys.modules
from autograd_conv import kernels
assert set(kernels.__all__) <= set(dir(kernels))
kernels.correlation.correlate
assert "numba" in sys.modules
try:
    kernels.nothing
except AttributeError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout == "module 'autograd_conv.kernels' has no attribute 'nothing'\n", result.stderr
