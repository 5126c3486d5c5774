"""The code for other platforms than this one, as far as it can be looked at here: what of theirs it needs.

LLVM writes for any of them. Modules of every kind are compiled for each, as they would be there, and none may need a
function that processes there do not have, or lie within reach of something that may be loaded anywhere.
"""

import json
import os
import re
import warnings
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from test_native import SMALL, python

from graphc.native.code import cache

ELSEWHERE = """
import json, os, sys
sys.path.insert(0, {tests!r})
import llvmlite.binding as llvm
from object_files import references
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
found = llvm.FeatureMap({{name: True for name in {features!r}.split()}})
llvm.get_default_triple, llvm.get_host_cpu_name = lambda: {triple!r}, lambda: {processor!r}
llvm.get_host_cpu_features = lambda: found
target = llvm.Target.from_triple({triple!r})
llvm.Target.from_default_triple = lambda: target

import numpy as np, graphc as gr
from graphc.native import available, workers
from graphc.native.calls import calling
from graphc.native.calls.record import PLACES
from graphc.native.code import host, library

available.why_unusable, workers.WORKERS.have = lambda: "", lambda count: None
"""
COMPILED = """
undefined, kinds, modules = set(), set(), 0

class Loaded:
    def __init__(self, code, *symbols):
        global modules
        seen = references(code)
        undefined.update(seen.undefined)
        kinds.update(seen.kinds)
        modules += 1
        self.addresses = (4096,) * len(symbols)
        self.address = 4096

host.Loaded = Loaded
x, w, i = gr.placeholder("x", (300, 200), "float64"), gr.variable("w", np.ones((200, 100))), \\
          gr.placeholder("i", (300,), "int64")
z, m, k = gr.placeholder("z", (40, 33), "float32"), gr.placeholder("m", (5, 33), "bool"), gr.random.key(0)
loss, moved = gr.sum(gr.tanh(x @ w)), gr.transpose(gr.reshape(x, (30, 10, 200)), (0, 2, 1))
outputs = [loss, gr.grad(loss, x), gr.sum(gr.exp(x), axis=0), x[i], gr.cumsum(x, axis=0), gr.concatenate([x, x + 1]),
           moved - gr.sum(moved, axis=(1, 2), keepdims=True), gr.sin(z) + gr.lgamma(z) * gr.power(z, z), z.T @ z,
           gr.argmax(z, axis=1), gr.where(m, z[:5] % 3, 0) // 7, z.astype("float16") * 2, gr.random.normal(k, (9, 33)),
           gr.pad(z, 2, mode="reflect"), gr.cumsum(z, axis=1), z @ gr.ones(33, "float32"), i // 7 + i % 3,
           x @ gr.ones((200, 2), "float64"), gr.flip(x.astype("float32") * 2, 1)]
f = gr.compile([x, i, z, m], outputs, updates={{w: w * 0.5}}, backend="native", threads=2)
f.prepare()
assert library.LIBRARY.finish(library.LIBRARY._by_content.values())
places = dict(zip(PLACES, range(16, 16 + 8 * len(PLACES), 8)))
for name in ("method", "short", "long"):
    library.LIBRARY.kernel(("call", name), lambda: calling.text(places, name), "call", "shared").loaded
library.LIBRARY.driver
json.dump([modules, sorted(undefined), sorted(kinds)], sys.stdout)
"""

AVX2 = "avx avx2 bmi bmi2 f16c fma lzcnt popcnt sse4.1 sse4.2"
WORDS, ADDRESSES = {264, 266, 268, 269}, {257, 260}
"""Kinds on 64-bit ARM in ELF files: 16 bits of an address, in an instruction, and all 64."""
PLATFORMS = {
    "Windows, x86-64": ("x86_64-pc-windows-msvc-elf", "haswell", AVX2, {1, 24}),
    "Windows, x86-64 of 2003": ("x86_64-pc-windows-msvc-elf", "x86-64", "", {1, 24}),
    "Windows, x86-64 with a part of AVX-512": (
        "x86_64-pc-windows-msvc-elf", "haswell", f"{AVX2} avx512dq avx512f avx512vl prefer-256-bit", {1, 24}),
    "Windows, ARM": ("aarch64-pc-windows-msvc", "oryon-1", "", None),
    "macOS, x86-64": ("x86_64-apple-darwin22.0", "haswell", AVX2, {0}),
    "macOS, ARM": ("arm64-apple-darwin24.0", "apple-m1", "", {0, 1, 2, 5, 6}),
    "Linux, ARM": ("aarch64-unknown-linux-gnu", "neoverse-n1", "", {282, 283, *WORDS, *ADDRESSES}),
    "Linux, ARM whose model in LLVM lacks instructions": (
        "aarch64-unknown-linux-gnu", "ampere1b", "", {282, 283, *WORDS, *ADDRESSES}),
}  # fmt: skip
"""Triple, processor, its features, and the kinds of relocations that reach anywhere, or what lies in the same section.

On Windows llvmlite has files in the format ELF, too. LLVM 22 may end the process where it writes one for ARM, so that
llvmlite mends it there: here the file is one of Windows' own format, whose relocations say nothing.
"""
PROVIDED = {"bzero", "__bzero", "memcpy", "memmove", "memset", "__chkstk"}
"""What processes have: the C library, and on Windows what touches the pages of a large stack frame in turn."""
HALVES = {"__extendhfsf2", "__truncsfhf2"}
"""What converts 16-bit floats where the processor does not: kernels of them are NumPy's if a process lacks it."""


@pytest.mark.skipif(os.name == "nt", reason="llvmlite adds the format ELF to any platform's name there")
@pytest.mark.parametrize("platform", PLATFORMS)
def test_modules_of_every_kind_need_nothing_that_processes_lack(platform):
    triple, processor, features, kinds_in_reach = PLATFORMS[platform]
    tests = str(Path(__file__).parent)
    printed = python((ELSEWHERE + COMPILED).format(tests=tests, triple=triple, processor=processor, features=features),
                     GRAPHC_CACHE="")  # fmt: skip
    modules, undefined, kinds = json.loads(printed)
    assert modules >= 25
    assert set(undefined) <= PROVIDED | (HALVES if processor == "x86-64" else set())
    assert kinds_in_reach is None or set(kinds) <= kinds_in_reach


MASKED = """
class Loaded:
    def __init__(self, code, *symbols):
        self.addresses = (4096,) * len(symbols)
        self.address = 4096

host.Loaded = Loaded
llvm.set_option("", "--print-after=finalize-isel")
inputs, outputs = [], []
for n in (5, 41, 300):
    x, y = gr.placeholder(f"x{{n}}", (3, n), "float64"), gr.placeholder(f"y{{n}}", (3, n), "int64")
    k, m = gr.placeholder(f"k{{n}}", (3, 2 * n), "int8"), gr.placeholder(f"m{{n}}", (3, n), "bool")
    inputs += [x, y, k, m]
    rows = gr.where(m, k[:, ::2] + y, y - gr.sum(y, 1, keepdims=True))
    joined = gr.set_at(k, (slice(None), slice(None, None, 2)), y.astype("int8"))
    turns = [gr.minimum(k[:, i::2], k[:, 1 - i::2]) + i for i in range(2)]
    outputs += [rows.astype("int8"), x > gr.sum(x, 1, keepdims=True), x.astype("float16"), joined, gr.tanh(x) > 0.5,
                gr.flip(y, 1).astype("int16"), x.T @ x > 1, gr.stack(turns, 2)]
f = gr.compile(inputs, outputs, backend="native", threads=2)
f.prepare()
assert library.LIBRARY.finish(library.LIBRARY._by_content.values())
"""
AVX512 = f"{AVX2} avx512bw avx512cd avx512dq avx512f avx512vl"
ZERO_EXTENDED = re.compile(r"%\d+:vk\d+\w* = KMOV[BWD]kk .*")


@pytest.mark.skipif(os.name == "nt", reason="llvmlite adds the format ELF to any platform's name there")
@pytest.mark.parametrize("processor", ["skylake-avx512", "sapphirerapids", "znver4"])
def test_no_mask_is_widened_by_an_instruction_that_llvm_takes_for_a_copy(processor):
    """LLVM leaves copies out where it lays registers aside, and with them that the upper lanes are not there."""
    tests, triple = str(Path(__file__).parent), "x86_64-unknown-linux-gnu"
    printed = python((ELSEWHERE + MASKED).format(tests=tests, triple=triple, processor=processor, features=AVX512),
                     GRAPHC_CACHE="")  # fmt: skip
    assert "VMOVDQU8Z128mrk" in printed
    assert not ZERO_EXTENDED.findall(printed)


POSIX_ONLY = """
import ctypes, os, sys, warnings
import numpy as np, llvmlite.binding, scipy.special
warnings.simplefilter("error")
for name in ("fork", "register_at_fork", "getuid", "sched_getaffinity", "sched_setaffinity", "sched_yield"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
load = ctypes.CDLL.__init__

def load_by_name(self, name, *args, **named):
    if name is None:
        raise TypeError("argument of type 'NoneType' is not iterable")
    load(self, name, *args, **named)

ctypes.CDLL.__init__, sys.platform = load_by_name, "win32"
import graphc as gr
from graphc.native import driver
driver.os = type("os", (), {"name": "nt"})
x = gr.placeholder("x", ("n", 50), "float64")
v = gr.variable("v", np.ones(50))
loss = gr.sum(gr.tanh(x) @ v)
feed = np.random.default_rng(0).normal(size=(4000, 50))
results = []
for threads in (1, 3):
    v.value = np.ones(50)
    f = gr.compile([x], [loss, gr.grad(loss, x)], updates={v: v - gr.grad(loss, v)}, backend="native", threads=threads)
    results.append([f(feed) for _ in range(20)] + [v.value])
    assert type(f.plan.program).__name__ == "NativeProgram"
for one, many in zip(*results):
    assert all(np.array_equal(a, b) for a, b in zip(one, many))
np.testing.assert_allclose(results[0][0][0], np.tanh(feed).sum(), rtol=1e-12)
"""


def test_what_only_posix_has_is_not_needed(tmp_path):
    assert not python(POSIX_ONLY, GRAPHC_CACHE=str(tmp_path))
    assert list(tmp_path.iterdir())


def test_no_file_is_read_or_written_in_the_encoding_of_the_place(tmp_path):
    """Which on Windows is not UTF-8."""
    settings = {"PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "error::EncodingWarning"}
    assert not python(SMALL, GRAPHC_CACHE=str(tmp_path / "cache"), GRAPHC_DUMP=str(tmp_path / "dump"), **settings)
    assert len(list((tmp_path / "dump").iterdir())) >= 4


def test_entries_that_another_process_has_open_cost_no_warning(tmp_path):
    """On Windows none can be replaced then."""
    python(SMALL, GRAPHC_CACHE=str(tmp_path))
    entries = list(tmp_path.iterdir())
    for path in entries:
        path.write_bytes(b"damaged")
    opened = [open(path, "rb") for path in entries]  # noqa: SIM115  # in a list
    assert "cannot" not in python(SMALL, GRAPHC_CACHE=str(tmp_path))
    for file in opened:
        file.close()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in entries}


@pytest.mark.parametrize("function", ["replace", "unlink"])
def test_entries_in_use_are_left_as_they_are(function, tmp_path, monkeypatch):
    kept, disk, refuse = cache.content_key("kept"), cache.DiskCache(warnings.warn), getattr(cache.os, function)

    def refused(path, *others):
        if Path(others[0] if others else path).name == kept:
            raise PermissionError(13, "in use")
        refuse(path, *others)

    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "IN_USE", (PermissionError,))
    monkeypatch.setattr(cache, "LARGEST_BYTES", 100)
    monkeypatch.setattr(cache, "LOOKS_AT_NAMES", tuple("0123456789abcdef"))
    disk.put(kept, b"first" * 100)
    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("error")
        patched.setattr(cache.os, function, refused)
        disk.put(kept, b"other" * 100)
        disk.put(cache.content_key("more"), b"more")
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert not [name for name in names if name.startswith(".")]


def test_an_entry_that_is_being_replaced_is_not_there(tmp_path, monkeypatch):
    def refused(*args, **named):
        raise PermissionError(13, "in use")

    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "open", refused, raising=False)
    monkeypatch.setattr(cache, "IN_USE", ())
    told = []
    assert cache.DiskCache(told.append).get("entry") is None
    monkeypatch.setattr(cache, "IN_USE", (PermissionError,))
    assert cache.DiskCache(told.append).get("entry") is None
    assert ["cannot read" in problem for problem in told] == [True]
