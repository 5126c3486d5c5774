"""Loops around one function of graphc.native.vecmath, compiled for this machine: what a kernel makes of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code.host import Loaded, machine

FLOATS = {"f2": ir.HalfType(), "f4": ir.FloatType(), "f8": ir.DoubleType()}
I64, POINTER = ir.IntType(64), ir.PointerType()
BINARY = (
    "arctan2", "copysign", "floor_divide", "fmax", "fmin", "fmod", "heaviside", "hypot", "logaddexp", "logaddexp2",
    "maximum", "minimum", "nextafter", "power", "remainder", "xlogy",
)  # fmt: skip
Write = Callable[..., Any]


def loop_text(names: Sequence[str], dtype: str, *, fma: bool, lanes: int = 0, write: Write = vecmath.emit) -> str:
    """An IR module with a function for each name: for i in range(n): out[i] = function(operands[0][i], …)."""
    module = ir.Module("loops")
    for name in names:
        _write_loop(module, name, FLOATS[dtype] if not lanes else ir.VectorType(FLOATS[dtype], lanes), fma, write)
    return str(module)


def _write_loop(module: ir.Module, name: str, kind: Any, fma: bool, write: Write) -> None:
    count = 2 if name in BINARY else 1
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * (count + 1) + [I64]), f"loop_{name}")
    out, *operands, n = function.args
    for pointer in (out, *operands):
        pointer.add_attribute("noalias")
    entry, body, done = (function.append_basic_block(label) for label in ("entry", "body", "done"))
    builder = ir.IRBuilder(entry)
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(I64)
    i.add_incoming(ir.Constant(I64, 0), entry)
    places = [builder.gep(p, [i], source_etype=kind, inbounds=True) for p in (out, *operands)]
    values = [builder.load(place, typ=kind, align=1) for place in places[1:]]
    builder.store(write(builder, name, *values, fma=fma), places[0], align=1)
    following = builder.add(i, ir.Constant(I64, 1), flags=("nuw", "nsw"))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, n), body, done)
    builder.position_at_end(done)
    builder.ret_void()


@cache
def target(triple: str, cpu: str) -> Any:
    """LLVM's machine for another triple and processor; raises RuntimeError if this LLVM lacks it."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)


def optimized(text: str, machine: Any) -> Any:
    """The module after LLVM's passes at level 3, loop vectorization included."""
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


@dataclass(frozen=True)
class Loop:
    """A compiled function over arrays. `ir` and `assembly` are what LLVM made of it."""

    dtype: str
    ir: str
    assembly: str
    code: Loaded

    def __call__(self, *operands: Any) -> np.ndarray[Any, Any]:
        arrays = [np.ascontiguousarray(operand, self.dtype) for operand in operands]
        out = np.empty_like(arrays[0])
        self.run(out, *arrays)
        return out

    def run(self, *arrays: np.ndarray[Any, Any]) -> None:
        """Fill the first array."""
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays), ctypes.c_int64)
        kind(self.code.address)(*(array.ctypes.data for array in arrays), arrays[0].size)


@cache
def compile_elementwise(name: str, dtype: str, *, fma: bool | None = None, write: Write = vecmath.emit) -> Loop:
    """The loop around one function, for this machine."""
    has_fma = vecmath.host_has_fma() if fma is None else fma
    module = optimized(loop_text([name], dtype, fma=has_fma, write=write), machine())
    code = Loaded(machine().emit_object(module), f"loop_{name}")
    return Loop(dtype, str(module), machine().emit_assembly(module), code)
