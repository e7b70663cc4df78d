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
    """Return the environment without settings of Numba, such as NUMBA_DISABLE_JIT."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}


def _run(script, cwd=None, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**_without_numba(), **environment},
    )
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
