"""What the native backend makes of bad input and a bad surrounding: right results, or an error that says what is wrong.

Caches that cannot be used, LLVM that fails, positions outside, processes that fork, are interrupted or end.
"""

import errno
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from test_native import SMALL, python

from graphc.native.code import background, cache

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users")
NOBODY = 65534


# The library.


LOADED = "import graphc.native.program"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked to take pages back")
@pytest.mark.parametrize("before", [LOADED, SMALL], ids=["loaded", "has compiled"])
def test_little_of_llvm_stays_in_memory(before):
    code = before + """
import re
with open("/proc/self/smaps") as lines:
    sizes = re.findall(r" (r[-w][-x]p) .*libllvmlite.*\\n(?:.*\\n)*?Rss: +([0-9]+) kB", lines.read())
held = {kind: sum(int(size) for of, size in sizes if of == kind) for kind, _ in sizes}
assert held["r-xp"] < 12_000 and held["r--p"] < 8_000, held
"""
    python(code, GRAPHC_CACHE="")


class Compiling:
    """A thread that compiles until it was waited for so many times."""

    def __init__(self, left, queue):
        self.left, self.queue = left, queue

    def is_alive(self):
        return self.left > 0

    def join(self, timeout):
        self.left -= 1
        if self.left == 2:
            assert self.queue.take() is not None


def test_llvm_holds_little_while_it_compiles_a_last_kernel(monkeypatch):
    """Not while others are left to begin: it would come to the same pages again."""
    queue, given = background.Queue(), []
    monkeypatch.setattr(background, "available_cores", lambda: 1)
    monkeypatch.setattr(background, "give_back_pages", lambda: given.append(thread.left))
    queue.put(lambda: None)
    thread = Compiling(4, queue)
    queue.attend(thread)
    assert given == [2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_files_of_any_name_may_be_mapped(tmp_path):
    """Their names are in what the system tells; it writes ends of lines otherwise, but only its own."""
    path = tmp_path / "a\x0c\u2028\n b"
    path.write_bytes(b"x")
    code = f"import mmap\nwith open({str(path)!r}, 'rb') as file:\n    kept = mmap.mmap(file.fileno(), 1, prot=1)\n"
    python(f"{code}\n{SMALL}", GRAPHC_CACHE="")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_first_program_may_be_made_in_a_forked_child():
    """What the loader has written of LLVM's constants is the parent's as well, and the system counts it otherwise."""
    code = f"""
import os
import graphc.native.program  # loads LLVM, and compiles nothing
child = os.fork()
{SMALL}
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    python(code, GRAPHC_CACHE="")


# The cache.

AS_NOBODY = f"""
import os, tempfile
import graphc as gr
asked = os.environ["GRAPHC_CACHE"]
with tempfile.TemporaryDirectory() as own:  # the modules may lie where nobody else can read
    os.environ["GRAPHC_CACHE"] = own
    gr.compile(y := gr.placeholder("y", (2,), "float64"), gr.exp(y), backend="native")([1.0, 2.0])
os.environ["GRAPHC_CACHE"] = asked
if os.getuid() == 0:
    os.setuid({NOBODY})
{SMALL}"""


@pytest.fixture
def reachable():
    """A directory that other users can reach, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@posix
def test_a_directory_that_may_only_be_read_costs_a_warning(reachable):
    if os.getuid() == 0:
        os.chown(reachable, NOBODY, -1)
    reachable.chmod(0o555)
    assert python(AS_NOBODY, GRAPHC_CACHE=str(reachable)).count("cannot write to it") == 1
    assert not list(reachable.iterdir())
    reachable.chmod(0o755)


@posix
def test_a_directory_of_another_user_is_not_used(reachable):
    reachable.chmod(0o755)
    foreign = str(reachable) if os.getuid() == 0 else "/usr"
    assert python(AS_NOBODY, GRAPHC_CACHE=foreign).count("it belongs to another user") == 1
    assert not list(reachable.iterdir())


@posix
def test_a_directory_that_may_not_be_entered_costs_a_warning(reachable):
    closed = reachable / "closed"
    (closed / "cache").mkdir(parents=True)
    reachable.chmod(0o755)
    closed.chmod(0o000)
    assert python(AS_NOBODY, GRAPHC_CACHE=str(closed / "cache")).count("cannot read it") == 1
    closed.chmod(0o700)


FULL = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
{SMALL}"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs limits on files")
def test_a_full_directory_costs_a_warning_and_keeps_no_half_an_entry(tmp_path):
    printed = python(FULL, GRAPHC_CACHE=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert printed.count("cannot write to it") == 1
    assert not list(tmp_path.iterdir())


def test_whole_entries_that_hold_no_code_are_replaced(tmp_path):
    assert not python(SMALL, GRAPHC_CACHE=str(tmp_path))
    entries = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in entries:
        junk = b"written by an older version"
        (tmp_path / name).write_bytes(hashlib.sha256(name.encode() + junk).digest() + junk)
    (tmp_path / "notes.txt").write_text("not an entry")
    assert "cannot be loaded" in python(SMALL, GRAPHC_CACHE=str(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in entries} == entries
    assert not python(SMALL, GRAPHC_CACHE=str(tmp_path))


TWO = SMALL + """
assert np.array_equal(gr.compile([x], gr.cumsum(x), backend="native")(np.arange(7.0)), np.cumsum(np.arange(7.0)))
assert np.array_equal(gr.compile([x], gr.sqrt(x) - 1, backend="native")(np.ones(7)), np.zeros(7))
"""


def test_an_entry_by_the_name_of_another_is_replaced(tmp_path):
    python(TWO, GRAPHC_CACHE=str(tmp_path))
    entries = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, content in zip(entries, [*list(entries.values())[1:], next(iter(entries.values()))], strict=True):
        (tmp_path / name).write_bytes(content)
    assert "damaged" in python(TWO, GRAPHC_CACHE=str(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in entries} == entries


def test_code_that_cannot_be_written_to_be_read_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    printed = python(SMALL, GRAPHC_CACHE="", GRAPHC_DUMP=str(tmp_path / "file"))
    assert printed.count("are not written") == 1
    assert "NumPy" not in printed


@posix
def test_the_cache_may_be_named_from_the_home_directory(tmp_path):
    assert not python(SMALL, GRAPHC_CACHE="~/kernels", HOME=str(tmp_path))
    assert list((tmp_path / "kernels").iterdir())


def test_code_for_another_processor_or_version_of_llvm_has_another_name(monkeypatch):
    names = set()
    for identity in ("x86 LLVM 19", "x86 LLVM 20", "arm LLVM 20"):
        names.add(cache.content_key("the same text", identity))
    assert len(names) == 3


def test_an_empty_name_turns_the_cache_off(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    assert not python(SMALL, GRAPHC_CACHE="", **home)
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_middle_of_writing_leaves_the_entry_there_was(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    told = []
    disk = cache.DiskCache(told.append)
    disk.put("key", b"before")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    disk.put("key", b"after")
    assert ["No space left" in problem for problem in told] == [True]
    assert disk.get("key") == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# Arguments.


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_arrays_without_elements(shape):
    x = gr.placeholder("x", ("n", *shape[1:]), "float64")
    outputs = [x * 2, gr.sum(gr.tanh(x)), gr.sum(x, axis=0), gr.prod(x, axis=-1), gr.concatenate([x, x + 1])]
    if len(shape) == 2:
        outputs += [x[:, None], x @ gr.transpose(x), gr.transpose(x) @ x]
    feed = np.zeros(shape)
    results = gr.compile([x], outputs, backend="native")(feed)
    for value, expected in zip(results, gr.compile([x], outputs, backend="numpy")(feed), strict=True):
        assert np.shape(value) == np.shape(expected)
        np.testing.assert_array_equal(value, expected)


OUTSIDE = {
    "gather": lambda x, i: x[i], "take": lambda x, i: gr.take(x, i, axis=0),
    "pairs": lambda x, i: x[i, i], "gradient": lambda x, i: gr.gradients(gr.sum(gr.square(x[i])), [x])[0],
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTSIDE)
@pytest.mark.parametrize("bad", [5, -6, 2**62, -(2**63)])
def test_positions_outside_raise_name_the_line_and_change_nothing(kind, bad):
    x, i = gr.placeholder("x", (5, 5), "float64"), gr.placeholder("i", (3,), "int64")
    w = gr.variable("w", np.zeros(2))
    f = gr.compile([x, i], OUTSIDE[kind](x, i), updates={w: w + 1}, backend="native")
    good = np.array([0, -5, 4])
    before = f(np.eye(5), good)
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match=r"index -?\d+ is out of bounds for axis 0 with size 5") as caught:
            f(np.eye(5), np.array([0, bad, 1]))
        assert "test_native_faults.py:" in str(caught.value)
    np.testing.assert_array_equal(w.value, [1, 1])
    np.testing.assert_array_equal(f(np.eye(5), good), before)


def test_a_body_that_raises_names_the_node_and_changes_nothing():
    x, p = gr.placeholder("x", (3,), "int64"), gr.placeholder("p", (3,), "int64")
    w = gr.variable("w", np.zeros(2))
    f = gr.compile([x, p], gr.sum(gr.power(x, p).named("y")) * 2, updates={w: w + 1}, backend="native")
    for _ in range(3):
        assert f([1, 2, 3], [2, 2, 2]) == 28
        with pytest.raises(gr.ExecutionError, match=r"power failed: ValueError: Integers to negative") as caught:
            f([1, 2, 3], [2, -1, 2])
        assert "%y (power): i64[3], made at tests/test_native_faults.py:" in str(caught.value)
        assert "%x (placeholder)" in str(caught.value)
    np.testing.assert_array_equal(w.value, [3, 3])


def test_overflow_and_invalid_values_are_results_without_warnings():
    x = gr.placeholder("x", (4,), "float32")
    f = gr.compile([x], [gr.exp(x), x / 0, gr.log(-x), gr.sqrt(-x), x * 1e38 * 1e38], backend="native")
    with np.errstate(all="raise"):
        f([1e4, -1.0, 0.0, np.nan])
        results = f([1e4, -1.0, 0.0, np.nan])
    np.testing.assert_allclose(results[0], [np.inf, np.exp(-1), 1, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(results[1], [np.inf, -np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(results[4], [np.inf, -np.inf, 0, np.nan])


# Processes.

BUSY = """
import sys, threading, time
sys.path.insert(0, "tests")
from test_native import trainer
step, w, x = trainer(2)
assert step(x) > 0
"""
ENDINGS = {
    "at once": "",
    "after workers fell asleep": "time.sleep(0.3)",
    "beside a thread that runs": """
threading.Thread(target=lambda: [step(x) for _ in range(10**6)], daemon=True).start()
time.sleep(0.2)""",
    "by an exception": "raise SystemExit(0)",
    "in a thread": """
thread = threading.Thread(target=lambda: [step(x) for _ in range(20)])
thread.start()""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_while_helpers_wait(ending):
    python(BUSY + ENDINGS[ending])


LONG = """
import os, signal, threading, time
import numpy as np, graphc as gr
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what they run in the background ignore it
x = gr.placeholder("x", (1000, 1000))
y = x
for _ in range(60):
    y = gr.tanh(y @ x)
f = gr.compile([x], gr.sum(y), backend="native")
feed = np.full((1000, 1000), 1e-3, "float32")
expected = f(feed)
threading.Timer(0.3, lambda: (times.append(time.process_time()), os.kill(os.getpid(), signal.SIGINT))).start()
times = []
try:
    while True:
        f(feed)
except KeyboardInterrupt:
    took = time.process_time() - times[0]
    assert f(feed) == expected
    print(f"interrupted after {took:.2f} s")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_long_run_can_be_interrupted():
    printed = python(LONG)
    assert "interrupted after" in printed
    assert float(printed.split("after ")[1].split()[0]) < 2, "a second of two threads"
