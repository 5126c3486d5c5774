"""The checks that follow from declarations: each must see a planted fault and say where it is."""

import numpy as np
import pytest

import graphc as gr
from graphc.op import OPS, Op, broadcast, broadcast_floats
from graphc.samples import call, cases, numbers, reals
from graphc.testing import check_composite, check_gradient, check_op


def planted(body, **facts):
    """An op made by hand, so that it is in no table."""
    fields = {"name": "planted", "infer": broadcast_floats, "samples": reals(0.5, 2), "arity": 1, "elementwise": True}
    return Op(body=body, **{**fields, **facts})


def right(x, *, out=None):
    """The exponential."""
    return np.exp(x, out=out)


def unordered(a, b):
    """The difference."""
    return np.subtract(a, b)


def stride_dependent(x):
    """The exponential of packed elements."""
    return np.exp(x) if x.flags.c_contiguous else np.sin(x)


def out_ignored(x, *, out=None):
    """The exponential, but never in `out`."""
    return np.exp(x)


def out_read_late(a, b, *, out=None):
    """a + 2 b, but `out` is written before b is read again."""
    return np.add(np.add(a, b, out=out), b, out=out)


def undocumented(x):
    return np.exp(x)


def product(a, b):
    """The product."""
    return np.multiply(a, b)


def slope(g, y, x):
    return (g * y,)


def off(g, y, x):
    return (g * (y * 1.001),)


FAULTS = {
    "derivative off by 0.1 %": (planted(right, vjp=off), "wrong derivative.*order 1"),
    "derivative off for the second operand": (
        planted(product, arity=2, vjp=lambda g, y, a, b: (g * b, g * (a * 1.001))), "wrong derivative.*order 1"),
    "derivative off at order 2": (
        planted(right, vjp=lambda g, y, x: (g * gr.stop_gradient(y),)), "wrong derivative.*order 2"),
    "derivative forgotten": (planted(right, vjp=lambda g, y, x: (None,)), "wrong derivative.*order 1.* is 0,"),
    "type rule keeps integers": (planted(right, infer=broadcast, samples=numbers(0, 2)), "has type i64.*returns f64"),
    "type rule forgets broadcasting": (planted(product, infer=lambda a, b: a, arity=2), r"has type f64\[3, 1\]"),
    "body depends on strides": (planted(stride_dependent, vjp=slope), "strided operands"),
    "out ignored": (planted(out_ignored, writes_out=True), "out=a fresh buffer"),
    "out read late": (planted(out_read_late, arity=2, writes_out=True), "out=operand 1"),
    "not commutative": (planted(unordered, infer=broadcast, arity=2, commutative=True), "reversed"),
    "no samples": (planted(right, samples=None), "has no samples"),
    "no docstring": (planted(undocumented), "has no docstring"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_check_op_sees(fault, monkeypatch):
    op, complaint = FAULTS[fault]
    monkeypatch.setitem(OPS, "planted", op)
    with pytest.raises(AssertionError, match=f"(?s)planted.*{complaint}.*In (its|the) declaration"):
        check_op(op)


def test_check_op_accepts_what_is_right(monkeypatch):
    op = planted(right, vjp=slope, writes_out=True)
    monkeypatch.setitem(OPS, "planted", op)
    check_op(op)


def test_check_op_sees_text_that_reads_back_differently(monkeypatch):
    other = gr.Graph(None, [gr.exp(gr.placeholder("y"))])
    monkeypatch.setattr("graphc.text.parse", lambda text: other)
    with pytest.raises(AssertionError, match=r"(?s)exp.* is printed as.*and read back as"):
        check_op(gr.exp)


def test_check_composite_sees_a_wrong_rule_inside():
    op = planted(right, vjp=off)

    def doubled(x: gr.Node) -> gr.Node:
        """Twice the planted op."""
        return op(x) * 2

    doubled.samples = cases(call("f64[3]"))
    with pytest.raises(AssertionError, match=r"doubled.*order 1"):
        check_composite(doubled)


def test_check_gradient_names_the_node_and_both_numbers():
    op = planted(right, vjp=off)
    x = gr.variable("x", np.array([0.3, 0.7]))
    y = gr.sum(op(x) * x).named("loss")
    numbers_and_node = r"(?s)order 1 .* is [-\d.e]+, but central differences give [-\d.e]+ ± .*%loss"
    with pytest.raises(gr.GradientError, match=numbers_and_node):
        check_gradient(y, [x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_gradient_accepts_placeholders_variables_and_inner_nodes(dtype):
    x, w = gr.placeholder("x", ("n", 2), dtype), gr.variable("w", np.array([0.5, -1.5], dtype))
    inner = gr.tanh(x * w)
    y = gr.exp(inner) * gr.sin(x)
    check_gradient(y, [x, w, inner], {x: np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], dtype)}, order=3)
