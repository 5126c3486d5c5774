"""What indexing says of mistakes, when the graph is declared and when it runs."""

import numpy as np
import pytest
from values import assert_explained

import graphc as gr
from graphc.evaluate import evaluate

X, BATCH = gr.placeholder("x", (2, 3)), gr.placeholder("batch", ("n", 3))
LONG = gr.placeholder("long", (3,), "bool")
NODE, TRUE, REAL = (gr.placeholder(dtype, (2,), dtype) for dtype in ("int64", "bool", "float32"))
MISTAKES = [
    (lambda: X[2], gr.ShapeError, "index 2 is out of range for axis 0 of size 2", "from -2 to 1"),
    (lambda: X[[0, -3]], gr.ShapeError, "index -3 is out of range for axis 0 of size 2", "from -2 to 1"),
    (lambda: X[0, 0, 0], gr.ShapeError, "at most 2 indices for a value of rank 2, got 3", "drop an index"),
    (lambda: X[NODE, NODE, NODE], gr.ShapeError, "at most 2 indices for a value of rank 2, got 3", "drop an index"),
    (lambda: X[..., ...], gr.ShapeError, "at most one ...", "write the other axes out"),
    (lambda: X[::0], gr.ShapeError, "step of a slice to be an int other than 0", ""),
    (lambda: X[NODE[0] :], gr.ShapeError, "got a node", "gr.take"),
    (lambda: X[0.5:], gr.DTypeError, "bounds of a slice to be ints, got 0.5", ""),
    (lambda: X[0.5], gr.DTypeError, "positions to be integers, got f64", "astype"),
    (lambda: X[REAL], gr.DTypeError, "positions to be integers, got f32[2]", "astype"),
    (lambda: X[TRUE], gr.ShapeError, "how many elements a mask of type bool[2] selects", "gr.where"),
    (lambda: X[[True, False, True]], gr.ShapeError, "mask of size 2 along axis 0, got 3", "np.flatnonzero(mask)"),
    (lambda: BATCH[[True, False]], gr.ShapeError, "mask of size n along axis 0, got 2", "np.flatnonzero(mask)"),
    (lambda: BATCH[-2:1], gr.ShapeError, "depends on n", "same end"),
    (lambda: X[NODE, [0, 1, 2]], gr.ShapeError, "broadcast together, got [2] and [3]", "make the dims equal"),
    (lambda: gr.set_at(X, 0, [1.0, 2.0]), gr.ShapeError, "f32[2] does not broadcast to [3]", ""),
    (lambda: gr.set_at(NODE, 0, 0.5), gr.DTypeError, "values of dtype int64, got f64[]", "astype"),
    (lambda: gr.set_at(X, TRUE, np.ones((2, 3))), gr.ShapeError, "one value for all entries of a mask", "gr.where"),
    (lambda: gr.add_at(X, LONG, 1.0), gr.ShapeError, "leading axes of f32[2, 3], got bool[3]", "sizes"),
    (lambda: gr.add_at(TRUE, [0, 0], True), gr.DTypeError, "numbers to add to, got bool[2]", "gr.set_at"),
    (lambda: gr.take(X, REAL), gr.DTypeError, "positions to be integers", "astype"),
    (lambda: gr.take(X, 0, axis=2), gr.ShapeError, "axis 2 is out of range", "from -2 to 1"),
    (lambda: gr.take_along_axis(X, NODE, 1), gr.ShapeError, "the ranks are 2 and 1", "gr.take"),
    (lambda: gr.setitem(X, REAL, index=(0,)), gr.ShapeError, "values of shape [3], got f32[2]", "gr.set_at"),
    (lambda: gr.setitem(X, NODE, index=(0,)), gr.DTypeError, "values of dtype float32", "gr.set_at"),
    (lambda: gr.gather(X, NODE, axes=(2,), at=0), gr.ShapeError, "for each looked-up axis", ""),
    (lambda: gr.gather(X, REAL, axes=(0,), at=0), gr.DTypeError, "integer positions, got f32[2]", "astype"),
    (lambda: gr.getitem(X, index=(5,)), gr.ShapeError, "position 5 is not on axis 0 of size 2", "longer"),
    (lambda: gr.getitem(X, index=("x",)), gr.ShapeError, "a stored index of ints", ""),
    (lambda: gr.getitem(X, index=(0, 0, 0)), gr.ShapeError, "more parts than f32[2, 3] has axes", ""),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "kind", "problem", "remedy"), MISTAKES)
def test_mistakes_are_explained(mistake, kind, problem, remedy):
    assert_explained(mistake, kind, problem, remedy)


@pytest.mark.parametrize("build", [
    lambda x, i: x[i], lambda x, i: x[:, i], lambda x, i: x[i, i], lambda x, i: gr.take_along_axis(x, i[None], 1),
    lambda x, i: gr.set_at(x, i, 0.0), lambda x, i: gr.add_at(x, i, 1.0), lambda x, i: gr.last_writes(i, sizes=(2,)),
])  # fmt: skip
@pytest.mark.parametrize("outside", [7, -7, 2**63])
def test_positions_outside_raise_when_the_graph_runs(build, outside):
    i = gr.placeholder("i", (1,), "uint64" if outside > 7 else "int64")
    with pytest.raises(gr.ExecutionError, match="IndexError"):
        evaluate([build(X, i)], {X: np.zeros((2, 3), "f4"), i: np.array([outside], i.dtype)})
