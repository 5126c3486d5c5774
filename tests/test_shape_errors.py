"""What a wrong shape, axis or rank is answered with: a sentence, a remedy, and the user's line."""

import numpy as np
import pytest

import graphc as gr

X, N = gr.placeholder("x", (2, 3)), gr.placeholder("n", ("n", 3))
SENTENCES = {
    "axis": (lambda: gr.sum(X, 2), "axis 2 is out of range for a value of rank 2"),
    "axis of a formula": (lambda: gr.mean(X, 2), "axis 2 is out of range for a value of rank 2"),
    "axis twice": (lambda: gr.max(X, (0, -2)), "axes (0, -2) name an axis twice"),
    "no axes": (lambda: gr.argmax(X, (0, 1)), "expected an axis to be an int, got (0, 1)"),
    "nothing to choose from": (lambda: gr.max(gr.constant(np.ones((2, 0))), 1), "axis 1 of f64[2, 0] is empty"),
    "reshape": (lambda: gr.reshape(X, (4, 2)), "f32[2, 3] has 6 elements, but [4, 2] has 8"),
    "two open dims": (lambda: gr.reshape(X, (-1, -1)), "expected at most one dim of -1, got (-1, -1)"),
    "no whole dim": (lambda: gr.reshape(X, (4, -1)), "the 6 elements of f32[2, 3] leave no whole size"),
    "reshape to a node": (lambda: gr.reshape(X, (gr.constant(3), -1)), "expected a dim to be an int, a name or None"),
    "symbolic reshape": (lambda: gr.reshape(N, ("n", 4)), "f32[n, 3] has 3*n elements, but [n, 4] has 4*n"),
    "broadcast_to": (lambda: gr.broadcast_to(X, (2, 4)), "f32[2, 3] does not broadcast to [2, 4]: 3 and 4"),
    "broadcast_to rank": (lambda: gr.broadcast_to(X, (3,)), "f32[2, 3] does not broadcast to [3]: its rank is higher"),
    "transpose": (lambda: gr.transpose(X, (0, 0)), "expected each axis of f32[2, 3] once, got axes (0, 0)"),
    "squeeze": (lambda: gr.squeeze(X, 1), "expected axis 1 of f32[2, 3] to have size 1, got 3"),
    "moveaxis": (lambda: gr.moveaxis(X, (0, 1), 0), "expected one place for each axis"),
    "roll": (lambda: gr.roll(X, (1, 2, 3), (0, 1)), "expected one shift per axis"),
    "concatenate": (lambda: gr.concatenate([X, X.T]), "f32[2, 3] and f32[3, 2] do not join along axis 0"),
    "concatenate ranks": (lambda: gr.concatenate([X, X[0]]), "do not join along axis 0: their ranks differ"),
    "concatenate nothing": (lambda: gr.concatenate([]), "expected a list of nodes or arrays, got []"),
    "stack": (lambda: gr.stack([X, X.T]), "expected arrays of one shape"),
    "split": (lambda: gr.split(X, 2, 1), "axis 1 of f32[2, 3] does not split into 2 pieces of one size"),
    "cuts out of order": (lambda: gr.split(X, [2, 1], 1), "expected indices in rising order to split axis 1"),
    "pad width": (lambda: gr.pad(X, (1, 2, 3)), "a width before and after each axis of f32[2, 3], got (1, 2, 3)"),
    "negative pad": (lambda: gr.pad(X, -1), "expected a dim ≥ 0, got -1"),
    "pad mode": (lambda: gr.pad(X, 1, "mirror"), "expected a mode of padding, got 'mirror'"),
    "repeat": (lambda: gr.repeat(X, (1, 2), 1), "expected a count for each element along axis 1 of f32[2, 3], got 2"),
    "norm": (lambda: gr.norm(X, 1), "expected one axis for a norm of order 1, got 2 axes of f32[2, 3]"),
    "recurrence": (lambda: gr.linear_recurrence(X, X.T), "expected a decay for each element"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_wrong_argument_is_answered_by_a_sentence_that_names_the_line(case):
    wrong, sentence = SENTENCES[case]
    with pytest.raises((gr.ShapeError, gr.GraphError)) as caught:
        wrong()
    message = str(caught.value)
    assert sentence in message
    assert "Remedy: " in message
    assert f"test_shape_errors.py:{wrong.__code__.co_firstlineno}" in message
