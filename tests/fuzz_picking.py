"""What steps of random programs pick from: values that fit, most of them among the last ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc as gr


class Unfit(Exception):
    """A step has nothing to work on."""


class Picker:
    """A pool of values, with the means to choose among them; everything follows from `rng`."""

    inputs: list[gr.Node]
    variables: list[gr.Node]
    nodes: list[gr.Node]
    exact: dict[gr.Node, bool]
    """Whether every executor has a value to the last bit."""
    rng: np.random.Generator
    kinks: bool
    """Whether ops with kinks may take any value."""
    columns: int
    dtype: str
    own_dtype: str
    """That of the program, which its twin takes in another one."""
    has_slopes: bool

    def last(self, fits: Callable[[gr.Node], bool]) -> gr.Node:
        found = [node for node in self.nodes if fits(node)]
        if not found:
            raise Unfit
        return found[-1 - min(int(self.rng.geometric(0.25)) - 1, len(found) - 1)]

    def float(self, rank: int = 0) -> gr.Node:
        return self.last(lambda node: node.type.is_float and node.ndim >= rank)

    def kinked(self) -> gr.Node:
        """An operand for an op with kinks."""
        return self.float() if self.kinks else self.sure("f")

    def sure(self, kinds: str = "fiub", rank: int = 0) -> gr.Node:
        """An operand for an op with jumps."""
        return self.last(lambda node: self.exact[node] and node.dtype.kind in kinds and node.ndim >= rank)

    def any(self, rank: int = 0) -> gr.Node:
        return self.last(lambda node: node.ndim >= rank)

    def like(self, node: gr.Node) -> gr.Node:
        """A float that broadcasts with another."""
        return self.last(lambda other: other.type.is_float and fit(node.shape, other.shape))

    def same(self, node: gr.Node) -> gr.Node:
        return self.of(node, lambda other: other.shape == node.shape)

    def of(self, node: gr.Node, fits: Callable[[gr.Node], bool]) -> gr.Node:
        """A value of a node's dtype, converted if both are floats: so twins of other dtypes pick the same ones."""
        found = self.last(lambda other: kind_of(other) == kind_of(node) and fits(other))
        return self.converted(found, node.dtype)

    def converted(self, node: gr.Node, dtype: Any) -> gr.Node:
        """A value in another dtype."""
        if node.dtype == dtype:
            return node
        made = node.astype(dtype)
        self.exact[made] = self.exact[node]
        return made

    def one(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def number(self) -> float:
        return float(self.one(0.5, -1.0, 2.0, 0.0, 1.0, 0.25, -0.5, 3.0, 0.1))

    def axis(self, node: gr.Node) -> int:
        return int(self.rng.integers(-node.ndim, node.ndim))

    def known(self, node: gr.Node) -> int:
        """An axis of known size."""
        axes = [axis for axis, dim in enumerate(node.shape) if isinstance(dim, int)]
        if not axes:
            raise Unfit
        return self.one(*axes)

    def below(self, size: int) -> int:
        return int(self.rng.integers(size)) if size > 0 else 0

    def moved(self, node: gr.Node, *sources: gr.Node) -> tuple[gr.Node, bool]:
        """A value that is as exact as what it is made of."""
        return node, all(self.exact[source] for source in sources)


def kind_of(node: gr.Node) -> Any:
    return "float" if node.type.is_float else node.dtype


def fit(one: Sequence[Any], other: Sequence[Any]) -> bool:
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return all(a == 1 or b == 1 or a == b for a, b in pairs)
