"""The machine we compile for: LLVM's view of it, from IR text to machine code in memory."""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from graphc.native.code.background import apart
from graphc.native.code.images import image_of, is_image, mapped
from graphc.native.code.pages import give_back_pages
from graphc.native.code.spelling import writers

give_back_pages()  # loading LLVM touches much of it that compiling does not need


class Host(NamedTuple):
    """What LLVM knows of this machine: its name for it, for the model of its processor, its instruction sets."""

    triple: str
    model: str
    features: str


@cache
def this_host() -> Host:
    """The machine this process runs on. While LLVM looks at it, the writers' sources are read: every kernel is found
    by both."""

    def meanwhile(looks: threading.Thread) -> None:
        writers()
        looks.join()

    return apart(lambda: Host(str(llvm.get_default_triple()), str(llvm.get_host_cpu_name()),
                              str(llvm.get_host_cpu_features().flatten())), meanwhile)  # fmt: skip


def processor() -> str:
    """The first part of LLVM's name for this machine: x86_64, aarch64."""
    return this_host().triple.partition("-")[0]


UNFINISHED = frozenset(["ampere1b", "oryon-1"])
"""Processors whose model in LLVM lacks instructions: where it meets one of those, it ends the process."""


def processor_model() -> str:
    """LLVM's name for the model of this machine's processor, by which it orders instructions."""
    model = this_host().model
    return "generic" if model in UNFINISHED else model


def machine(effort: int = 3) -> Any:
    """LLVM's target machine for this host, with every vector extension it has. One serves one thread at a time."""
    return _target().create_target_machine(opt=effort, cpu=processor_model(), features=features(), jit=True)


_idle: dict[int, list[Any]] = {0: [], 3: []}
"""Machines that no thread uses, by effort."""


@contextmanager
def _some_machine(effort: int) -> Iterator[Any]:
    try:
        found = _idle[effort].pop()
    except IndexError:
        found = machine(effort)
    try:
        yield found
    finally:
        _idle[effort].append(found)


@cache
def start() -> None:
    """Have LLVM's code generator started. It takes a millisecond, but fifteen beside a thread that computes."""

    def fill() -> None:
        for effort, idle in _idle.items():
            idle.append(machine(effort))

    apart(fill)


@cache
def _target() -> Any:
    """LLVM's code generator for this host."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def features() -> str:
    """The host's instruction sets, as LLVM writes them."""
    return this_host().features


@cache
def identity() -> str:
    """What machine code depends on beside the IR: processor, instruction sets and LLVM's version."""
    version = ".".join(map(str, llvm.llvm_version_info))
    return f"{this_host().triple} {processor_model()} {features()} LLVM {version}"


def links_images() -> bool:
    """Whether object files become images here (`images.py`)."""
    return sys.platform == "linux" and processor() == "x86_64" and "-linux-" in this_host().triple


FINAL = "; final\n"
"""The first line of IR that is written as it should run: LLVM's passes would only take time."""
BRIEF = FINAL + "; brief\n"
"""The first lines of IR that is compiled with little effort, for it runs for so short a time."""


def object_code(text: str) -> bytes:
    """An object file for an IR module, optimized; raises RuntimeError where LLVM rejects the text.

    Threads compile at the same time: LLVM's binding locks each of its functions, so they are called past that lock, in
    a context of their own.
    """
    with _optimized(text) as module, _some_machine(_effort(text)) as target:
        return _emitted(target, module)


def assembly(text: str) -> str:
    """The same as assembly, to read."""
    with _optimized(text) as module, _some_machine(_effort(text)) as target:
        return str(target.emit_assembly(module))


def _effort(text: str) -> int:
    return 0 if text.startswith(BRIEF) else 3


def _emitted(target: Any, module: Any) -> bytes:
    message = ctypes.c_char_p()
    buffer = _unlocked("LLVMPY_TargetMachineEmitToMemory")(target, module, 1, ctypes.byref(message))
    if not buffer:
        raise RuntimeError((message.value or b"LLVM wrote no code").decode())
    try:
        return ctypes.string_at(_short("LLVMPY_GetBufferStart")(buffer), _short("LLVMPY_GetBufferSize")(buffer))
    finally:
        _short("LLVMPY_DisposeMemoryBuffer")(buffer)


@contextmanager
def _optimized(text: str) -> Iterator[Any]:
    """LLVM's module for some IR, for a while."""
    context = _short("LLVMPY_ContextCreate")()
    try:
        module = _read(text, context)
        try:
            if not text.startswith(FINAL):
                _run_passes(module)
            yield module
        finally:
            _short("LLVMPY_DisposeModule")(module)
    finally:
        _short("LLVMPY_ContextDispose")(context)


def _run_passes(module: Any) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    with _some_machine(3) as target:
        builder = llvm.create_pass_builder(target, options)
        builder.getModulePassManager().run(module, builder)


def _read(text: str, context: Any) -> Any:
    message = ctypes.c_char_p()
    module = _short("LLVMPY_ParseAssembly")(context, text.encode(), ctypes.byref(message))
    if not module or _short("LLVMPY_VerifyModule")(module, ctypes.byref(message)):
        raise RuntimeError((message.value or b"LLVM does not say why").decode())
    return module


@cache
def _unlocked(name: str, kind: Any = ctypes.CDLL) -> Any:
    """A function of LLVM's binding without the binding's lock."""
    locked = getattr(ffi.lib, name)
    function = getattr(kind(ffi.lib._name), name)
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function


def _short(name: str) -> Any:
    """One that takes less time than it takes to get Python's lock back from a thread that computes: 5 ms."""
    return _unlocked(name, ctypes.PyDLL)


def locks() -> list[Any]:
    """What LLVM's binding locks its functions by, as far as it is known."""
    lock = getattr(getattr(ffi.lib, "_lock", None), "_lock", None)
    return [] if lock is None else [lock]


_libraries = itertools.count()


_linkers: dict[str, Any] = {}


def _linker() -> Any:
    """What holds all machine code of the process that LLVM links.

    It has to be one, however many threads ask first: the code of another would go with it. It is kept to the end of the
    process, when threads may still be running some of its code.
    """
    if "host" not in _linkers:
        made = llvm.create_lljit_compiler(machine())
        if _linkers.setdefault("host", made) is made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    return _linkers["host"]


def linked(file: bytes, *symbols: str) -> bytes:
    """An object file as it is kept and loaded: as an image, or as it is, for LLVM to link."""
    return (image_of(file, symbols) if links_images() else None) or file


class Loaded:
    """Machine code in memory, an image or an object file; `addresses` are those of the symbols.

    LLVM keeps what it links as long as this object lives.
    """

    def __init__(self, code: bytes, *symbols: str) -> None:
        self.addresses = tuple(mapped(code)) if is_image(code) else self._link(code, symbols)
        self.address = self.addresses[0]

    def _link(self, file: bytes, symbols: Sequence[str]) -> tuple[int, ...]:
        builder = llvm.JITLibraryBuilder().add_object_img(file)
        for symbol in symbols:
            builder.export_symbol(symbol)
        self._library = builder.link(_linker(), f"kernel{next(_libraries)}")
        return tuple(int(self._library[symbol]) for symbol in symbols)
