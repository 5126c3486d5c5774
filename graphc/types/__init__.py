"""Types of values: a dtype and a shape whose dims are integers or symbols.

`f32[batch, 784]` is the type of a float32 matrix with a symbolic first dim.
"""

from graphc.types.array import AnyType, TupleType, Type, has_masked, type_of
from graphc.types.dims import AnyDim, Dim, as_dim, broadcast_dim, product, substitute, unify
from graphc.types.dtypes import DTYPES, SHORT_NAMES, as_dtype, promote, weak_dtype
from graphc.types.shapes import (
    LARGEST_SIZE,
    Shape,
    as_shape,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    show_shape,
    size_of,
)

__all__ = [
    "DTYPES", "LARGEST_SIZE", "SHORT_NAMES", "AnyDim", "AnyType", "Dim", "Shape", "TupleType", "Type", "as_dim",
    "as_dtype", "as_shape", "broadcast_dim", "broadcast_shapes", "has_masked", "normalize_axes", "normalize_axis",
    "product", "promote", "show_shape", "size_of", "substitute", "type_of", "unify", "weak_dtype",
]  # fmt: skip
