"""Every op, one file per family. An op is declared once, in its family's file, and nowhere else.

Inside the families, derivatives reach ops of other families as `ops.where(...)`: looked up when a gradient is built.
"""

from graphc.ops import reduction, shape, statistics
from graphc.ops.core import (
    add_n,
    astype,
    constant,
    dim_size,
    full_like,
    item,
    ones_like,
    placeholder,
    stop_gradient,
    variable,
    zeros_like,
)
from graphc.ops.reduction import *
from graphc.ops.shape import *
from graphc.ops.statistics import *

__all__ = [
    "add_n", "astype", "constant", "dim_size", "full_like", "item", "ones_like", "placeholder",
    "stop_gradient", "variable", "zeros_like",
]  # fmt: skip
__all__ += reduction.__all__
__all__ += shape.__all__
__all__ += statistics.__all__
