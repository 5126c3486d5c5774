"""Values and gradients, for tests that look at them, and what a test asks of an error."""

from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate


def value(node, feed=None):
    """The value of one node."""
    return evaluate([node], feed)[0]


def value_at(function, *arrays):
    """A function of nodes at arrays."""
    return value(function(*map(gr.constant, arrays)))


def gradient_at(function, array, order=1):
    """The gradient of the sum of a function's elements, and so on up to `order`."""
    array = np.asarray(array, np.float64)
    x = gr.placeholder("x", array.shape, "float64")
    y = function(x)
    for done in range(order):
        y, = gr.gradients(gr.sum(y), [x], unconnected="zero" if done else "raise")
    return value(y, {x: array})


def assert_explained(mistake, kind, problem, remedy):
    """The mistake raises an error of that kind which says what is wrong, where, and what to do."""
    with pytest.raises(kind) as caught:
        mistake()
    assert problem in str(caught.value)
    assert remedy in caught.value.remedy
    assert f"{Path(mistake.__code__.co_filename).name}:" in caught.value.place
