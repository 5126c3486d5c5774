"""Machine code as images: what LLVM's linker makes of an object file, without LLVM."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from graphc.native.calls.capi import can_enter
from graphc.native.code import host, images
from graphc.native.code.images import image_of, is_image, mapped

pytestmark = pytest.mark.skipif(not host.links_images(), reason="LLVM links object files here")

FUNCTION = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
CODE = """
define double @twice(double %x) noinline {
  %y = fmul double %x, 2.0
  ret double %y
}
define double @more(double %x) {
  %y = call double @twice(double %x)
  %z = fadd double %y, 0.125
  ret double %z
}
"""
MEMORY = """
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @memset(ptr, i32, i64)
define void @moved(ptr %to, ptr %from) {
  %a = call ptr @memcpy(ptr %to, ptr %from, i64 24)
  %b = call ptr @memset(ptr %to, i32 0, i64 8)
  %c = call ptr @memcpy(ptr %to, ptr %from, i64 4)
  ret void
}
"""


def imaged(text, *symbols):
    return image_of(host.object_code(host.FINAL + text), symbols)


def test_functions_call_each_other_and_read_their_constants():
    twice, more = map(FUNCTION, mapped(imaged(CODE, "twice", "more")))
    assert (twice(3.0), more(3.0)) == (6.0, 6.125)


def test_linked_by_llvm_they_do_the_same():
    loaded = host.Loaded(host.object_code(host.FINAL + CODE), "more", "twice")
    more, twice = map(FUNCTION, loaded.addresses)
    assert (twice(3.0), more(3.0)) == (6.0, 6.125)


def test_functions_of_the_c_library_are_called():
    (address,) = mapped(imaged(MEMORY, "moved"))
    to, source = np.ones(3), np.arange(5.0, 8.0)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)(to.ctypes.data, source.ctypes.data)
    np.testing.assert_array_equal(to, [0.0, 6.0, 7.0])  # 4 bytes of 5.0 are zeros


UNKNOWN = """
declare void @no_such_function()
define void @f() {
  call void @no_such_function()
  ret void
}
"""


def test_an_unknown_function_is_named():
    image = imaged(UNKNOWN, "f")
    with pytest.raises(AttributeError, match="no_such_function"):
        mapped(image)


WRITTEN = """
@count = global i64 1
define i64 @f() {
  %x = load i64, ptr @count
  store i64 2, ptr @count
  ret i64 %x
}
"""
ADDRESS = """
@table = constant ptr @f
define ptr @f() {
  %x = load volatile ptr, ptr @table
  ret ptr %x
}
"""


def test_constants_may_be_addresses():
    (address,) = mapped(imaged(ADDRESS, "f"))
    assert ctypes.CFUNCTYPE(ctypes.c_size_t)(address)() == address


@pytest.mark.parametrize("start", [1, 0])
def test_data_is_written_and_each_time_that_it_is_loaded_there_is_some_of_its_own(start):
    image = imaged(WRITTEN.replace("global i64 1", f"internal global i64 {start}"), "f")
    for _ in range(2):
        f = ctypes.CFUNCTYPE(ctypes.c_int64)(*mapped(image))
        assert [f(), f()] == [start, 2]


THREADS_OWN = WRITTEN.replace("global", "thread_local global")


def test_what_knows_others_otherwise_than_by_address_is_left_to_llvm():
    assert imaged(THREADS_OWN, "f") is None


@pytest.mark.parametrize("file", [b"", b"\x7fELF", b"MZ" + bytes(98), b"\x7fELF\x02\x01\x01" + bytes(93)])
def test_files_of_other_kinds_are_left_to_llvm(file):
    assert image_of(file, []) is None


def test_an_object_file_is_no_image():
    assert is_image(imaged(CODE, "more"))
    assert not is_image(host.object_code(host.FINAL + CODE))


def test_where_the_system_lets_no_new_code_run_that_is_said(monkeypatch):
    def refuse(*arguments):
        ctypes.set_errno(13)
        return -1

    class Library:
        mprotect = staticmethod(refuse)

    image = imaged(CODE, "more")
    monkeypatch.setattr(images, "_library", lambda: Library)
    with pytest.raises(OSError, match="no new machine code"):
        mapped(image)


PROGRAM = """
import numpy as np, graphc as gr
from graphc.native.calls import calling
written, text = [], calling.text
calling.text = lambda places, name: written.append(name) or text(places, name)
x = gr.placeholder("x", (300, 40))
w = gr.variable("w", np.ones((40, 20), "float32"))
loss = gr.mean(gr.square(gr.tanh(x @ w)))
step = gr.compile([x], loss, updates={w: w - 0.1 * gr.grad(loss, w)})
for _ in range(3):  # from the second on, calls are native code
    loss = step(np.linspace(0, 1, 12000, dtype="float32").reshape(300, 40))
print(loss.tobytes().hex())
from graphc.native.code import host
print(host._target.cache_info().currsize, len(host._linkers), len(written))
"""


def test_a_process_that_finds_its_code_on_disk_starts_no_code_generator_and_writes_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    first, second = (subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], check=True, text=True,
                                    stdout=subprocess.PIPE).stdout.splitlines() for _ in range(2))  # fmt: skip
    assert first[0] == second[0]
    assert (first[1], second[1]) == (f"1 0 {2 * can_enter()}", "0 0 0")


REFUSED = """
import numpy as np, graphc as gr
from graphc.native.code import images
def refuse(start, nbytes):
    raise OSError("the system lets no new machine code be run")
images._make_runnable = refuse
x = gr.placeholder("x", (7,), "float64")
print(gr.compile([x], x * 3 + 1)(np.arange(7.0)).tolist())
"""


def test_entries_that_the_system_lets_nobody_run_are_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    subprocess.run([sys.executable, "-c", REFUSED.replace("images._make", "images.unused")], check=True)
    done = subprocess.run([sys.executable, "-c", REFUSED], check=True, text=True, capture_output=True)
    assert done.stdout.strip() == str([1.0, 4.0, 7.0, 10.0, 13.0, 16.0, 19.0])
    assert "the system lets no new machine code be run" in done.stderr
    assert "damaged" not in done.stderr
