"""Every op, one file per family. An op is declared once, in its family's file, and nowhere else.

Inside the families, derivatives reach ops of other families as `ops.where(...)`: looked up when a gradient is built.
"""

from graphc.ops import (
    arithmetic,
    choice,
    comparison,
    creation,
    cumulative,
    einstein,
    exponential,
    gathering,
    indexing,
    joining,
    lengthening,
    lookup,
    matrix,
    product,
    random,
    reduction,
    rounding,
    shape,
    sorting,
    special,
    statistics,
    trigonometric,
    update,
)
from graphc.ops import fused as fused  # its op is made by a pass, never by hand
from graphc.ops.arithmetic import *
from graphc.ops.choice import *
from graphc.ops.comparison import *
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
from graphc.ops.creation import *
from graphc.ops.cumulative import *
from graphc.ops.einstein import *
from graphc.ops.exponential import *
from graphc.ops.gathering import *
from graphc.ops.indexing import *
from graphc.ops.joining import *
from graphc.ops.lengthening import *
from graphc.ops.lookup import *
from graphc.ops.matrix import *
from graphc.ops.product import *
from graphc.ops.random import *
from graphc.ops.reduction import *
from graphc.ops.rounding import *
from graphc.ops.shape import *
from graphc.ops.sorting import *
from graphc.ops.special import *
from graphc.ops.statistics import *
from graphc.ops.trigonometric import *
from graphc.ops.update import *

__all__ = [
    "add_n", "astype", "constant", "dim_size", "full_like", "item", "ones_like", "placeholder",
    "stop_gradient", "variable", "zeros_like",
]  # fmt: skip
__all__ += arithmetic.__all__
__all__ += choice.__all__
__all__ += comparison.__all__
__all__ += creation.__all__
__all__ += cumulative.__all__
__all__ += einstein.__all__
__all__ += exponential.__all__
__all__ += gathering.__all__
__all__ += indexing.__all__
__all__ += joining.__all__
__all__ += lengthening.__all__
__all__ += lookup.__all__
__all__ += matrix.__all__
__all__ += product.__all__
__all__ += random.__all__
__all__ += reduction.__all__
__all__ += rounding.__all__
__all__ += shape.__all__
__all__ += sorting.__all__
__all__ += special.__all__
__all__ += statistics.__all__
__all__ += trigonometric.__all__
__all__ += update.__all__
