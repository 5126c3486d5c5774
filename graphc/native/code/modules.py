"""Modules that have been written, as text."""

from __future__ import annotations

import re

from llvmlite import ir

from graphc.native.code.background import apart

# llvmlite fills a table of characters once. If an interrupt came meanwhile, or another thread, this process could write
# no module any more; here neither comes.
apart(ir.MetaDataString(ir.Module(), "").get_reference)

_PLAIN = '!{ !"llvm.loop.unroll.disable" }, !{ !"llvm.loop.vectorize.enable", i1 false }'
_LOOP_METADATA = tuple((re.compile(pattern, re.M), replacement) for pattern, replacement in (
    (r'^(!\d+) = !\{ !"access" \}', r"\1 = distinct !{}"),
    (r'^(!\d+) = !\{ !"plain loop \d+" \}', rf"\1 = distinct !{{ \1, {_PLAIN} }}"),
    (r'^(!\d+) = !\{ !"parallel loop \d+", (!\d+) \}',
     r'\1 = distinct !{ \1, !{ !"llvm.loop.parallel_accesses", \2 } }'),
))  # fmt: skip


def written(module: ir.Module) -> str:
    """The text of a module, of whose parts nothing is left.

    They refer to each other in circles, which Python looks for only later: those of 1,600 kernels held 1 GB.
    """
    text = _with_loop_metadata(str(module))
    for function in module.functions:
        for block in function.blocks:
            for part in (*block.instructions, block):
                vars(part).clear()
        for part in (*function.args, function):
            vars(part).clear()
    vars(module).clear()
    return text


def _with_loop_metadata(text: str) -> str:
    """Make loops' metadata refer to themselves and access groups distinct, which llvmlite cannot write."""
    end = text.find("\n!0 = ")  # metadata comes last
    code, metadata = (text[:end], text[end:]) if end >= 0 else (text, "")
    for pattern, replacement in _LOOP_METADATA:
        metadata = pattern.sub(replacement, metadata)
    return code + metadata
