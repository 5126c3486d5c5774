"""Running totals along rows, a few of which go on at once: the bits are NumPy's, whatever the number of rows."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native.loops.nests import Array
from graphc.native.loops.scans import ABREAST, Scan, Scans, scan

F4 = np.dtype("float32")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "bool"])
@pytest.mark.parametrize("shape", [(2 * ABREAST - 1, 9), (2 * ABREAST, 1), (2 * ABREAST + 3, 130), (3, 50, 7), (70, 8)])
@pytest.mark.usefixtures("wholly_native")
def test_running_totals_of_any_number_of_rows_are_numpys(dtype, shape):
    rng = np.random.default_rng(len(shape))
    values, decay = (rng.normal(scale=1.1, size=shape).astype(dtype) for _ in range(2))
    x, y = gr.placeholder("x", shape, dtype), gr.placeholder("y", shape, dtype)
    outputs = [op(x, -1, exclusive=exclusive, reverse=reverse) for op in (gr.cumsum, gr.cumprod)
               for exclusive in (False, True) for reverse in (False, True)]  # fmt: skip
    outputs += [gr.cumsum(gr.transpose(x), 0)]
    if np.dtype(dtype).kind == "f":
        outputs += [gr.linear_recurrence(y, x, -1), gr.linear_recurrence(y, x, -1, reverse=True)]
    expected = gr.compile([x, y], outputs, backend="numpy")(values, decay)
    for threads in (1, 2, 3):
        found = gr.compile([x, y], outputs, backend="native", threads=threads)(values, decay)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_rows_go_on_together_where_threads_still_have_enough_of_them():
    def nest(rows, step):
        array = Array(F4, (step, 1 if step > 1 else 100))
        return scan((array,), array, (rows,), 100, "cumsum")

    assert type(nest(2 * ABREAST, 100)) is Scans
    assert type(nest(2 * ABREAST - 1, 100)) is Scan
    assert type(nest(2 * ABREAST, 1)) is Scan, "columns go on side by side anyway"
    assert nest(2 * ABREAST + 1, 100).rows == 3
    assert nest(1000, 100).ns < Scan((), (Array(F4, (100, 1)),), (1000,), 100, "cumsum").ns / 2
