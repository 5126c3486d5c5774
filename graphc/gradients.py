"""Gradients as nodes, and a backward graph that answers questions.

    back = gradients(loss, [W, b])     # a sequence of nodes, in the order of wrt
    print(back)                        # each backward node with the forward node and the rule it came from
    back.contributions(W)              # one entry per edge of the sum over paths
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from graphc import ops
from graphc.errors import GradientError, label
from graphc.ir import Graph, Node, made_by, origin_here, topological
from graphc.op import lift
from graphc.types import Type

if TYPE_CHECKING:
    from graphc.passes.backward import Adjoints, Contribution


class Source(NamedTuple):
    """Where a backward node came from. `argument` is None for the sum over several edges, and for the seed."""

    forward: Node
    argument: int | None
    rule: str


class Backward(Sequence[Node]):
    """The gradients of y with respect to `wrt`, and the whole backward graph behind them."""

    def __init__(self, y: Node, wrt: Sequence[Node], gradients: Sequence[Node], adjoints: Adjoints) -> None:
        self.y = y
        self.wrt = tuple(wrt)
        self.gradients = tuple(gradients)
        self.adjoints = adjoints

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Node]: ...
    def __getitem__(self, index: int | slice) -> Node | Sequence[Node]:
        return self.gradients[index]

    def __len__(self) -> int:
        return len(self.gradients)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.gradients)

    @cached_property
    def graph(self) -> Graph:
        """The graph whose outputs are the gradients."""
        return Graph(None, self.gradients, f"backward of {self.y.name}" if self.y.name else "backward")

    def adjoint(self, node: Node) -> Node | None:
        """The node that holds d y / d node, or None where y does not depend on it."""
        return self.adjoints.of.get(node)

    def contributions(self, node: Node) -> tuple[Contribution, ...]:
        """One entry per edge into the sum: consumer, argument index, contribution node, the op's rule."""
        return tuple(self.adjoints.contributions.get(node, ()))

    @cached_property
    def _sources(self) -> dict[Node, Source]:
        """Every backward node by the edge that made it: what a rule made is what its contribution needs."""
        sources = {adjoint: Source(forward, None, adjoint.op.name) for forward, adjoint in self.adjoints.of.items()
                   if adjoint.origin.forward is forward}  # fmt: skip
        for contributions in self.adjoints.contributions.values():
            for consumer, argument, node, rule in contributions:
                stack = [node]
                while stack:
                    made = stack.pop()
                    if made.origin.forward is consumer and made not in sources:
                        sources[made] = Source(consumer, argument, rule)
                        stack.extend(made.inputs)
        return sources

    def origin(self, backward_node: Node) -> Source | None:
        """The forward node, argument index and rule that a backward node came from; None for a forward node."""
        return self._sources.get(backward_node)

    @cached_property
    def _path_counts(self) -> dict[Node, int]:
        counts = {self.y: 1}
        for node in reversed(topological([self.y])):
            if node not in counts:
                counts[node] = sum(counts[edge.consumer] for edge in self.contributions(node))
        return counts

    def paths(self, node: Node) -> int:
        """How many paths lead from a node to y: the terms of the sum that its adjoint stands for. Exact."""
        return self._path_counts.get(node, 0)

    def explain(self, node: Node) -> str:
        """The sum behind one adjoint, in words: its edges, their rules and nodes, and the number of paths."""
        from graphc.inspect.explain import explain

        return explain(self, node)

    def to_dot(self, path: str | os.PathLike[str] | None = None) -> str:
        """Forward and backward graph as DOT text, each a cluster; also written to `path` when given."""
        from graphc.inspect.dot import to_dot

        return to_dot(self, path)

    def __str__(self) -> str:
        from graphc.inspect.explain import backward_text

        return backward_text(self)

    def __repr__(self) -> str:
        return f"<Backward of {self.y!r} with respect to {len(self)} nodes>"


Unconnected = Literal["raise", "zero"]


def gradients(y: Node, wrt: Node | Sequence[Node], *, seed: Any = None, unconnected: Unconnected = "raise") -> Backward:
    """The gradients of y with respect to placeholders, variables or inner nodes.

    A y that is not a scalar needs a `seed` of its shape, and the result is seedᵀ · dy/dwrt. `unconnected="zero"` gives
    zeros where y does not depend on a node; the default raises GradientError and says where the path ends. A path
    through a flat op (floor, sign) does connect: the derivative is 0.
    """
    from graphc.passes.backward import backward  # with it come all passes, which `import graphc` need not load

    targets = list(wrt) if isinstance(wrt, Iterable) and not isinstance(wrt, Node) else [wrt]
    if unconnected not in ("raise", "zero"):
        raise GradientError(f'expected unconnected to be "raise" or "zero", got {unconnected!r}',
                            remedy='"zero" gives zeros where y does not depend on a node')  # fmt: skip
    for node in (y, *targets):
        _check_differentiable(node)
    adjoints = backward(y, _seed(y, seed), targets)
    return Backward(y, targets, [_gradient(y, node, adjoints, unconnected) for node in targets], adjoints)


def _check_differentiable(node: Node) -> None:
    if not isinstance(node, Node):
        remedy = "gr.gradients(y, nodes) takes several" if isinstance(node, (list, tuple)) else "pass nodes of a graph"
        raise GradientError(f"expected a node, got {node!r} of type {type(node).__name__}", remedy=remedy)
    if not node.type.is_float:
        raise GradientError(f"expected a node of a float dtype, got {node.type}: only reals have derivatives",
                            nodes=[node], remedy='convert it with .astype("float32") before it is used')  # fmt: skip


def _seed(y: Node, seed: Any) -> Node:
    with made_by(origin_here().derived(y, "seed")):
        if seed is None:
            if y.shape != ():
                raise GradientError(
                    f"expected a scalar to differentiate, got {y.type}", nodes=[y],
                    remedy="reduce it (.sum(), .mean()), pass seed=..., or use gr.jacobian",
                )  # fmt: skip
            return ops.ones_like(y)
        start = lift(seed, y.dtype) if isinstance(seed, (int, float)) else lift(seed)
        if start.shape != y.shape:
            raise GradientError(f"expected a seed of y's type {y.type}, got {start.type}", nodes=[y, start],
                                remedy="give one number for every element of y")  # fmt: skip
        return start if start.dtype == y.dtype else start.astype(y.dtype)


def _gradient(y: Node, node: Node, adjoints: Adjoints, unconnected: Unconnected) -> Node:
    adjoint = adjoints.of.get(node)
    if adjoint is not None:
        return adjoint
    last = path_end(y, node, adjoints) if unconnected == "raise" else None
    if unconnected == "zero" or (last is not None and last.op.flat):
        with made_by(origin_here().derived(y, "zero")):
            return ops.zeros_like(node)
    if last is None:
        raise GradientError(f"{label(y)} does not depend on {label(node)}: no path leads from it", nodes=[y, node],
                            remedy='drop it from wrt, or pass unconnected="zero"')  # fmt: skip
    raise GradientError(
        f"no derivative passes {last.op.name}, where every path from wrt to y ends", nodes=[last, node, y],
        remedy='use a differentiable op there, drop the node from wrt, or pass unconnected="zero"',
    )  # fmt: skip


def path_end(y: Node, node: Node, adjoints: Adjoints) -> Node | None:
    """The first node on the way from `node` to y that no derivative passes, or None where there is no way."""
    reached = {node}
    for candidate in topological([y]):
        if candidate not in reached and any(source in reached for source in candidate.inputs):
            if candidate in adjoints.of or (isinstance(candidate.type, Type) and not candidate.type.is_float):
                return candidate
            reached.add(candidate)
    return None


def grad(y: Node, x: Node) -> Node:
    """The gradient of a scalar y with respect to x."""
    return gradients(y, [x])[0]


def jvp(y: Node, x: Node, v: Any) -> Node:
    """The derivative of y along a direction v of x: J · v, with y's type.

    The vector-Jacobian product Jᵀ · u is linear in u, so its own vector-Jacobian product with v is J · v.
    """
    _check_differentiable(y)
    u = ops.zeros_like(y)
    pulled = gradients(y, [x], seed=u)[0]
    return gradients(pulled, [u], seed=_direction(x, v), unconnected="zero")[0]


def hvp(y: Node, x: Node, v: Any) -> Node:
    """The Hessian of a scalar y times a direction v of x, without the Hessian: one gradient of a gradient."""
    return gradients(grad(y, x), [x], seed=_direction(x, v), unconnected="zero")[0]


def _direction(x: Node, v: Any) -> Node:
    direction = lift(v, x.dtype) if isinstance(v, (int, float)) else lift(v)
    if direction.shape != x.shape:
        raise GradientError(f"expected a direction of x's type {x.type}, got {direction.type}", nodes=[x],
                            remedy="give one number for every element of x")  # fmt: skip
    return direction


def jacobian(y: Node, x: Node) -> Node:
    """dy/dx with shape y.shape + x.shape: row by row, or column by column where x has fewer elements than y."""
    for node in (y, x):
        _check_differentiable(node)
        if not node.type.is_static:
            raise GradientError(
                f"expected static shapes for a Jacobian, got {node.type}", nodes=[node],
                remedy="declare the placeholder with integer dims, or use gr.jvp and seeds",
            )  # fmt: skip
    if y.size <= x.size:
        rows = [gradients(y, [x], seed=unit, unconnected="zero")[0] for unit in _units(y)]
        return ops.reshape(ops.stack(rows), (*y.shape, *x.shape)) if rows else ops.zeros((*y.shape, *x.shape), x.dtype)
    columns = [jvp(y, x, unit) for unit in _units(x)]
    if not columns:
        return ops.zeros((*y.shape, *x.shape), y.dtype)
    return ops.reshape(ops.stack(columns, axis=-1), (*y.shape, *x.shape))


def _units(node: Node) -> Iterator[Node]:
    """The unit vectors of a node's type."""
    flat = ops.eye(node.size, dtype=node.dtype)
    for index in range(node.size):
        yield ops.reshape(flat[index], node.shape)


def hessian(y: Node, x: Node) -> Node:
    """The second derivatives of a scalar y, with shape x.shape + x.shape."""
    return jacobian(grad(y, x), x)
