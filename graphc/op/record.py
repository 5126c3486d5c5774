"""The record of an op: all that generic code knows of it, and how it is applied."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from graphc.errors import DTypeError, GraphcError, GraphError
from graphc.ir import NO_ATTRS, Node, WeakConstant, attrs_key, origin_here
from graphc.operators import OPS, call
from graphc.samples import Samples
from graphc.types import SHORT_NAMES, AnyType, weak_dtype

Infer = Callable[..., AnyType]
Cotangents = Sequence["Node | None"]
_PYTHON_SCALARS = (bool, int, float, complex)
_MAX_REMEMBERED = 4096


def signature_text(function: Callable[..., Any]) -> str:
    """The parameters of an op or formula as a caller needs them: names and defaults, without types."""
    shown = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in shown.parameters.values()]
    return str(shown.replace(parameters=bare, return_annotation=shown.empty))


class Hole:
    """An operand that stands for any value: what rewrite patterns are made of. Ops applied to holes give holes."""

    __slots__ = ()

    def apply(self, op: Op, args: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        """The pattern of an op over these arguments, one of which is a hole."""
        raise NotImplementedError


class Cut(NamedTuple):
    """One way to cut a call into parts: along an axis of the result, and that axis of each operand, or None where every
    part needs the whole operand. `least` is the size below which parts would be slow. The part of `out` that a body
    gets is contiguous only if the axis is the first one longer than 1."""

    axis: int
    operands: tuple[int | None, ...]
    least: int = 1


@dataclass(frozen=True)
class Reduction:
    """How a reduction over the axes that its attribute `axis` names adds up: the total of no elements (a number, or the
    "lowest" or "highest" of a dtype), and the elementwise op that takes a total one element further."""

    start: float | str
    combine: str
    place: bool = False
    """Whether the result is not the total, an extreme, but where its first element stands."""


@dataclass(frozen=True, eq=False)
class Op:
    """What graphc knows of an operation. Generic code reads these fields and never asks for an op by name.

    `body(*arrays, **attrs)` is the only semantics. `infer(*types, **attrs)` gives the result's type or raises.
    `vjp(g, y, *operands, **attrs)` gives a cotangent node, or None, per operand, ignoring broadcasting.
    `signature(*args, **kwargs)` turns what a user writes into `(operands, attrs)` where the two differ.
    """

    name: str
    body: Callable[..., Any]
    infer: Infer
    vjp: Callable[..., Cotangents] | None = None
    samples: Samples | None = None
    signature: Callable[..., tuple[Sequence[Any], dict[str, Any]]] | None = None
    elementwise: bool = False
    commutative: bool = False
    flat: bool = False
    """Whether the derivative is 0 wherever it exists (floor, sign), so that a path through it adds nothing."""
    reduction: Reduction | None = None
    """What makes a reduction one, so that its elements may be taken in parts, wherever they are computed."""
    view: bool = False
    """Whether the result may share memory with the first operand."""
    unpacks: bool = False
    """Whether the operand is the tuple of another op's results, which no other op takes."""
    leaf: bool = False
    """Whether two nodes of this op are never the same value, however alike they look."""
    effort: float | Callable[..., float] = 1.0
    """What an element of the result costs, in multiples of one addition, for the cost model: a number, or a function
    `(y, *operands, **attrs)` of the static types and attributes (a matrix product's depends on its inner dim)."""
    cuts: Callable[..., Sequence[Cut]] | None = None
    """`cuts(y, *operands, **attrs)` gives, of the static types, the ways in which a large call falls into independent
    ones, for the executor. An elementwise op needs none, and the body must be able to write to `out`."""
    blas: bool = False
    """Whether the body works in BLAS or LAPACK, whose own threads the executor holds to one."""
    temporaries: float | Callable[..., float] = 0.0
    """The bytes that the body allocates on the way to its result, as a multiple of its largest array, or a function
    `(y, *operands, **attrs)` of the static types and attributes that gives them: for the memory plan, measured. What
    NumPy converts where operands are of several dtypes is not counted."""
    arity: int | None = 0
    """The number of operands, or None for any number."""
    attributes: tuple[str, ...] = ()
    writes_out: bool = False
    _types: dict[Any, AnyType] = field(default_factory=dict, repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Node:
        """A node that applies this op; numbers and arrays among the operands are lifted to constants."""
        if self.signature is not None:
            for arg in args:
                if isinstance(arg, Hole):
                    return arg.apply(self, args, kwargs)  # type: ignore[no-any-return]  # a pattern among patterns
            try:
                args, kwargs = self.signature(*args, **kwargs)  # type: ignore[assignment]
            except GraphcError as error:
                raise error.about([arg for arg in args if isinstance(arg, Node)], origin_here().where()) from None
            except TypeError as error:
                raise self._misused(args, kwargs) or error from None
        elif kwargs and not kwargs.keys() <= set(self.attributes):
            surplus = ", ".join(sorted(kwargs.keys() - set(self.attributes)))
            raise GraphError(f"{self.name} has no attribute {surplus}", remedy=self._usage()).about(
                [arg for arg in args if isinstance(arg, Node)], origin_here().where())  # fmt: skip
        for arg in args:
            if type(arg) is not Node:
                for hole in args:
                    if isinstance(hole, Hole):
                        return hole.apply(self, args, kwargs)  # type: ignore[no-any-return]  # the same
                args = self.lift(args)
                break
        return self.make(args, MappingProxyType(kwargs) if kwargs else NO_ATTRS)

    def make(self, operands: tuple[Node, ...], attrs: Mapping[str, Any] = NO_ATTRS) -> Node:
        """A node from operands and attributes that are already in their stored form."""
        origin = origin_here()
        try:
            kind = self.infer_type(operands, attrs)
        except GraphcError as error:
            raise error.about(operands, origin.where()) from None
        return Node(self, operands, attrs, kind, None, origin)

    def infer_type(self, operands: Sequence[Node], attrs: Mapping[str, Any]) -> AnyType:
        """The type of the result; remembered by the operands' types and the attributes, unless there are only these: a
        constant's take longer to look at than to tell the type of."""
        types = tuple([operand.type for operand in operands])
        if not types:
            self.check_operands(operands)
            return self.infer(**attrs)
        key = (types, attrs_key(attrs)) if attrs else types
        kind = self._types.get(key)
        if kind is None:
            self.check_operands(operands)
            kind = self.infer(*types, **attrs)
            if len(self._types) >= _MAX_REMEMBERED:
                self._types.clear()
            self._types[key] = kind
        return kind

    def check_operands(self, operands: Sequence[Node]) -> None:
        """Raise GraphError unless there are as many operands as the op takes, each of them one array."""
        if self.arity is not None and len(operands) != self.arity:
            raise GraphError(f"{self.name} takes {self.arity} operands, got {len(operands)}", remedy=self._usage())
        if not self.unpacks:
            for operand in operands:
                _ = operand.array_type  # raises for a tuple

    def _misused(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> GraphError | None:
        """What is wrong with the arguments of a call, or None where the signature takes them."""
        try:
            inspect.signature(self.signature).bind(*args, **kwargs)  # type: ignore[arg-type]
        except TypeError as error:
            return GraphError(f"{self.name} cannot take these arguments: {error}", remedy=self._usage()).about(
                [arg for arg in args if isinstance(arg, Node)], origin_here().where())  # fmt: skip
        return None

    def _usage(self) -> str:
        return f"call it as {self.name}{signature_text(self)}"

    def lift(self, args: Iterable[Any]) -> tuple[Node, ...]:
        """The operands as nodes. Python scalars take the dtype of the other operands (NumPy 2's weak promotion)."""
        args = tuple(args)
        try:
            lifted = [arg if isinstance(arg, Node) or type(arg) in _PYTHON_SCALARS else lift(arg) for arg in args]
            dtypes = [arg.dtype for arg in lifted if isinstance(arg, Node) and not isinstance(arg, WeakConstant)]
            return tuple([_beside(arg, dtypes) for arg in lifted])
        except GraphcError as error:
            raise error.about([arg for arg in args if isinstance(arg, Node)], origin_here().where()) from None

    def __get__(self, instance: object, owner: type | None = None) -> Op:
        """Itself. Only what has this method does help() show as a function, with its parameters."""
        return self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return find_op, (self.name,)


def _beside(operand: Any, dtypes: Sequence[np.dtype[Any]]) -> Node:
    """An operand beside others of these dtypes: a Python number, or a constant made of one, takes theirs."""
    if isinstance(operand, WeakConstant) and dtypes:
        dtype = _weak_beside(operand.attrs["value"].item(), dtypes)
        return operand if dtype is operand.dtype else call("astype", operand, dtype=dtype)
    return operand if isinstance(operand, Node) else lift(operand, _weak_beside(operand, dtypes))


def _weak_beside(scalar: Any, dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    if isinstance(scalar, complex):
        raise DTypeError(f"graphc has no complex numbers, got {scalar!r}", remedy="compute with two real numbers")
    dtype = weak_dtype(scalar, dtypes)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= scalar <= np.iinfo(dtype).max:
        raise DTypeError(f"the Python integer {scalar} does not fit beside an operand of dtype {SHORT_NAMES[dtype]}",
                         remedy="convert the operand to a wider dtype with .astype")  # fmt: skip
    return dtype


def lift(value: Any, dtype: np.dtype[Any] | None = None) -> Node:
    """A node for any operand a user may write: itself, or a constant."""
    if isinstance(value, Node):
        return value
    return call("constant", value, dtype)


def find_op(name: str) -> Op:
    """The op of that name, or a sentence."""
    if name not in OPS:
        raise GraphError(f"no op is called {name}",
                         remedy="see `graphc ops` for the list, or import the module that declares it")  # fmt: skip
    return OPS[name]
