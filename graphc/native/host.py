"""The machine we compile for: LLVM's view of it, from IR text to machine code in memory."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import llvmlite.binding as llvm


def processor() -> str:
    """The first part of LLVM's name for this machine: x86_64, aarch64."""
    return str(llvm.get_default_triple()).partition("-")[0]


@cache
def machine() -> Any:
    """LLVM's target machine for this host, with every vector extension it has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(opt=3, cpu=llvm.get_host_cpu_name(), features=features(), jit=True)


def features() -> str:
    """The host's instruction sets, as LLVM writes them."""
    return str(llvm.get_host_cpu_features().flatten())


@cache
def identity() -> str:
    """What machine code depends on beside the IR: processor, instruction sets and LLVM's version."""
    version = ".".join(map(str, llvm.llvm_version_info))
    return f"{llvm.get_default_triple()} {llvm.get_host_cpu_name()} {features()} LLVM {version}"


FINAL = "; final\n"
"""The first line of IR that is written as it should run: LLVM's passes would only take time."""


def object_code(text: str) -> bytes:
    """Machine code for an IR module, optimized; raises RuntimeError where LLVM rejects the text."""
    return bytes(machine().emit_object(_optimized(text)))


def assembly(text: str) -> str:
    """The same as assembly, to read."""
    return str(machine().emit_assembly(_optimized(text)))


def _optimized(text: str) -> Any:
    module = llvm.parse_assembly(text)
    module.verify()
    if not text.startswith(FINAL):
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        builder = llvm.create_pass_builder(machine(), options)
        builder.getModulePassManager().run(module, builder)
    return module


_libraries = itertools.count()


@cache
def _linker() -> Any:
    return llvm.create_lljit_compiler(machine())


class Loaded:
    """Machine code in memory, kept as long as this object lives; `addresses` are those of the symbols."""

    def __init__(self, code: bytes, *symbols: str) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(code)
        for symbol in symbols:
            builder.export_symbol(symbol)
        self._library = builder.link(_linker(), f"kernel{next(_libraries)}")
        self.addresses = tuple(int(self._library[symbol]) for symbol in symbols)
        self.address = self.addresses[0]
