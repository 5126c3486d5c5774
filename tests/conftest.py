"""What several test files share."""

import os
import sys
import tempfile
import warnings
from importlib.util import find_spec

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from graphc import compiler
from graphc.executable import Executable
from graphc.executor import schedule, units

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--bless", action="store_true", help="write what the code makes now into the golden files")
    parser.addoption("--programs", type=int, default=400, help="how many random programs long searches run")


EACH = 4
"""So many programs a test of a long search."""
FIRST = 1000
"""Where it begins: shorter ones are of other programs."""


def pytest_generate_tests(metafunc):
    """A test that takes `seeds` is one of a long search for programs that go wrong."""
    if "seeds" in metafunc.fixturenames:
        starts = range(FIRST, FIRST + metafunc.config.getoption("--programs"), EACH)
        metafunc.parametrize("seeds", [range(start, start + EACH) for start in starts], ids=starts)


@pytest.fixture
def wholly_native():
    """Every level is shared among threads, however little it gains, and a kernel that NumPy computes is an error."""
    from fuzz_checks import everything_parallel

    with everything_parallel(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", ".* encountered in .*")
        yield


@pytest.fixture
def bless(request):
    """Whether golden files are to be written."""
    return request.config.getoption("--bless")


def pytest_configure(config):
    """Kernels are compiled once in a session: its workers share a directory, which goes with it.

    What NumPy multiplies to compare with, it multiplies on one thread: others would wait for work in loops, on cores
    that the other workers have.
    """
    threadpool_limits(1, "blas")
    if "GRAPHC_CACHE" not in os.environ:
        config.graphc_cache = tempfile.TemporaryDirectory(prefix="graphc-kernels-")
        os.environ["GRAPHC_CACHE"] = config.graphc_cache.name


def pytest_unconfigure(config):
    if hasattr(config, "graphc_cache"):
        del os.environ["GRAPHC_CACHE"]
        config.graphc_cache.cleanup()


@pytest.fixture(scope="session", autouse=True)
def pages_stay():
    """LLVM's pages stay from test to test: having them mapped again took a fifth of all the time.

    They are given back in processes that tests start, and where a test is `fresh`.
    """
    with pytest.MonkeyPatch.context() as patched:
        if find_spec("llvmlite"):
            from graphc.native.code import background, library

            for module in (background, library):
                patched.setattr(module, "give_back_pages", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_modules(tmp_path_factory):
    """Where Python is told to write no bytecode beside the modules, the processes that tests start find it elsewhere:
    they would compile graphc a hundred times."""
    with pytest.MonkeyPatch.context() as patched:
        if sys.dont_write_bytecode:
            patched.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patched.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture
def fine(monkeypatch):
    """In the NumPy executor everything is worth a run, blocks and threads: so small graphs show what large ones do."""
    for name, value in (("PART_NS", 1.0), ("LEAST_ELEMENTS", 2), ("MOST_ELEMENTS", 4), ("SHORT_NS", 1.0)):
        monkeypatch.setattr(units, name, value)
    monkeypatch.setattr(schedule, "WAKE_NS", 0.1)


@pytest.fixture(params=["short", "long"])
def each_way(request, monkeypatch):
    """Calls that are native code keep the interpreter's lock in a short run and let go of it in a long one."""
    from graphc.native.calls import entry

    if request.param == "long":
        monkeypatch.setattr(entry, "LONGEST_NS", -1.0)
    return request.param


@pytest.fixture
def only_native(monkeypatch):
    """A function that makes calls fail from then on that go through Python."""
    from entries import Slow

    def raise_slow(self, /, *args, **named):
        raise Slow

    return lambda: monkeypatch.setattr(Executable, "_slow", raise_slow)


@pytest.fixture(params=[(64, 32, True), (32, 16, False), (16, 16, False)], ids=["64 bytes", "32 bytes", "16 bytes"])
def each_unit(request, monkeypatch):
    """Kernels have vectors of each kind, whatever the host's are: those of 64 bytes are masked at the end of a row."""
    from graphc.native.code.vectors import Unit
    from graphc.native.kernel import lanes, stages

    vector_bytes, registers, masked = request.param
    for module in (lanes, stages):
        monkeypatch.setattr(module, "host_unit", lambda: Unit(vector_bytes, registers, masked=masked))


@pytest.fixture(params=["native", "numpy"])
def each_backend(request, monkeypatch):
    """What `backend="auto"` means in a test that runs on either: the reference stays as tested as what replaces it."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setattr(compiler, "_native_runs", lambda: False)
    return request.param


KEPT = []
"""Machine code that sleeping threads may still be in."""


@pytest.fixture
def fresh(monkeypatch):
    """A function that has the process forget all native code, for this test; none is kept on disk."""
    from graphc.native import products
    from graphc.native.calls import install
    from graphc.native.code import background, cache, host, library, pages, spelling
    from graphc.native.code.library import LIBRARY
    from graphc.native.kernel import combining, facts

    monkeypatch.setenv("GRAPHC_CACHE", "")
    for module in (background, library):
        monkeypatch.setattr(module, "give_back_pages", pages.give_back_pages)

    def keep():
        KEPT.append((LIBRARY._by_structure, LIBRARY._by_content, getattr(Executable, install.KEPT, None)))

    def forget():
        keep()
        monkeypatch.setattr(LIBRARY, "_by_structure", {})
        monkeypatch.setattr(LIBRARY, "_by_content", {})
        monkeypatch.setattr(LIBRARY, "_disk", cache.DiskCache(LIBRARY._problems.append))
        monkeypatch.setattr(Executable, "__call__", Executable._slow)
        monkeypatch.delattr(Executable, install.KEPT, raising=False)
        for cached in (facts.copying, combining.combining, products.compiled, spelling.writers, pages._unwritten,
                       host.this_host):  # fmt: skip
            cached.cache_clear()

    yield forget
    keep()
