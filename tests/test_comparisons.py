"""`==` and `!=` of nodes: identity, and never a silent answer about values that there are none of yet."""

import operator
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import graphc as gr

VALUES = [3, 3.0, 3j, True, np.float32(3), np.bool_(True), Fraction(1, 2), Decimal("1"), [1, 2], (1, 2), [], (),
          np.array([1.0, 2.0]), np.array(1)]  # fmt: skip


@pytest.mark.parametrize("compare", [operator.eq, operator.ne])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_comparison_with_a_value_names_what_compares_values(value, compare):
    x = gr.placeholder("x", (2,))
    with pytest.raises(gr.GraphError, match="no number or array") as caught:
        compare(x, value)
    assert "gr.equal" in caught.value.remedy
    with pytest.raises(gr.GraphError):
        compare(value, x)


@pytest.mark.parametrize("other", [None, "x", b"x", object(), {1}, {}, gr.placeholder("x", (2,)), gr.add, np.float32],
                         ids=lambda other: type(other).__name__)  # fmt: skip
def test_a_node_is_no_other_object(other):
    x = gr.placeholder("x", (2,))
    assert (x == other) is False
    assert x != other
    assert x not in [other]


def test_containers_find_nodes_by_identity():
    x, y = gr.placeholder("x", (2,)), gr.placeholder("x", (2,))
    assert x in [None, "x", y, x]
    assert [y, x, None].index(x) == 1
    assert {x: 1, y: 2, (x, y): 3, 4: 5}[x, y] == 3
    assert {x, y, (x,), 1} == {1, (x,), y, x}
    assert [x, [y]] == [x, [y]] != [x, [x]]
