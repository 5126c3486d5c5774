"""Which lanes of vectors there are, as masks, some of which LLVM shall not know."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.native.code.scalars import I32, I64
from graphc.native.code.vectors import Piece

TRUTH = ir.IntType(1)


class Masks:
    """The masks of one kernel."""

    def __init__(self, function: ir.Function, builder: ir.IRBuilder) -> None:
        self._function, self.b = function, builder
        self._hidden: dict[tuple[int, int], Any] = {}
        self._are_kept = False

    def keep(self) -> None:
        """Have masks kept in registers throughout a kernel: LLVM makes constants anew in each block, even of a loop."""
        self._are_kept = True

    def of(self, piece: Piece) -> Any:
        """The mask of a piece."""
        if self._are_kept:
            return self.hidden(piece.width, piece.active)
        lanes = [int(i < piece.active) for i in range(piece.width)]
        return ir.Constant(ir.VectorType(TRUTH, piece.width), lanes)

    def hidden(self, width: int, active: int) -> Any:
        """A mask of the first lanes, but not of all, made once, from a number that LLVM does not know to be constant.

        What it does not know is the first bit beyond those lanes: one that is set in any case it would know.
        """
        if (width, active) not in self._hidden:
            with self.b.goto_entry_block():
                nothing = self.b.lshr(self._function.args[2], I64(63))  # blocks are no negative numbers
                bits = self.b.trunc(nothing, ir.IntType(width)) if width < 64 else nothing
                beyond = self.b.shl(bits, ir.Constant(bits.type, active))
                bits = self.b.or_(beyond, ir.Constant(bits.type, (1 << active) - 1))
                self._hidden[width, active] = self.b.bitcast(bits, ir.VectorType(TRUTH, width))
        return self._hidden[width, active]

    def lower_half(self, mask: Any) -> Any:
        """The mask of eight lanes for sixteen, of which the upper ones are not there.

        A vector of eight bytes is moved as half of one of sixteen. LLVM 22 clears the upper half of its mask by an
        instruction that it takes for a copy, so it leaves it out where it lays masks aside: the upper bytes were
        stored. Here they are cleared by a mask that it does not know.
        """
        return self.b.and_(twice(self.b, mask), self.hidden(16, 8))


def is_eight_bytes(kind: Any) -> bool:
    """Whether a vector is of eight numbers of a byte each."""
    return bool(kind.count == 8 and kind.element == ir.IntType(8))


def twice(b: ir.IRBuilder, vector: Any) -> Any:
    """A vector of eight, and once more behind itself."""
    return b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, 16), list(range(16))))
