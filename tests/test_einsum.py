"""Einstein sums: NumPy's results for any subscripts, in visible steps, with derivatives that are such steps again."""

import subprocess
import sys

import numpy as np
import pytest
from values import value

import graphc as gr
from graphc.ops.contraction import _einsum as step
from graphc.testing import check_gradient

RNG = np.random.default_rng(3)


def steps(subscripts, *shapes):
    """The names of the ops that an einsum becomes."""
    nodes = [gr.placeholder(f"x{i}", shape) for i, shape in enumerate(shapes)]
    return [node.op.name for node in gr.Graph(nodes, [gr.einsum(subscripts, *nodes)]).nodes if not node.op.leaf]


def random_einsum(rng):
    """Subscripts with repeated labels, lone labels, sizes of 1 and an ellipsis now and then; and operands for them."""
    sizes = {label: int(rng.integers(1, 4)) for label in "abcde"}
    inputs, operands = [], []
    for _ in range(rng.integers(1, 5)):
        labels = "".join(rng.choice([*sizes], rng.integers(0, 4)))
        lead = tuple(rng.choice([1, 2], rng.integers(0, 3)).tolist()) if rng.random() < 0.3 else None
        shape = tuple(1 if rng.random() < 0.1 and labels.count(label) == 1 else sizes[label] for label in labels)
        inputs.append(labels if lead is None else "..." + labels)
        operands.append(rng.standard_normal((*(lead or ()), *shape)))
    used = sorted({*"".join(inputs)} - {"."})
    output = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)])
    dots = "..." if any("..." in labels for labels in inputs) else ""
    return ",".join(inputs) + (f"->{dots}{output}" if rng.random() < 0.8 else ""), operands


@pytest.mark.parametrize("seed", range(8))
def test_random_subscripts_give_what_numpy_gives(seed):
    rng = np.random.default_rng(seed)
    compared = 0
    for _ in range(40):
        subscripts, operands = random_einsum(rng)
        try:
            expected = np.einsum(subscripts, *operands)
        except ValueError:  # sizes of 1 beside the same label in one operand
            with pytest.raises(gr.ShapeError):
                gr.einsum(subscripts, *operands)
            continue
        node = gr.einsum(subscripts, *operands)
        assert node.shape == expected.shape, subscripts
        np.testing.assert_allclose(value(node), expected, rtol=1e-12, atol=1e-12, err_msg=subscripts)
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("seed", range(6))
def test_derivatives_of_random_subscripts(seed):
    rng = np.random.default_rng(100 + seed)
    subscripts, operands = random_einsum(rng)
    leaves = [gr.placeholder(f"x{i}", operand.shape, "float64") for i, operand in enumerate(operands)]
    check_gradient(gr.einsum(subscripts, *leaves), leaves, dict(zip(leaves, operands, strict=True)), order=2)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u8", "f2", "f4"])
@pytest.mark.parametrize("subscripts", ["ab,bc->ca", "ab,ab->a", "ab,ab->", "ab,cb->", "abc,bca->ab", "ab,b->a"])
def test_results_have_numpys_dtype_and_wrap_as_numpys_do(subscripts, dtype):
    sizes = {"a": 40, "b": 5, "c": 3}
    operands = [RNG.integers(0, 5, [sizes[label] for label in labels]).astype(dtype)
                for labels in subscripts.split("->")[0].split(",")]  # fmt: skip
    expected = np.einsum(subscripts, *operands)
    found = value(gr.einsum(subscripts, *operands))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol={"f2": 5e-3, "f4": 1e-6}.get(dtype, 0))


# Steps


@pytest.mark.parametrize(("subscripts", "shapes", "expected"), [
    ("ij,jk->ik", [(2, 3), (3, 4)], ["matmul"]),
    ("ij,kj->ik", [(2, 3), (4, 3)], ["transpose", "matmul"]),
    ("ij,jk->ki", [(2, 3), (3, 4)], ["transpose", "transpose", "matmul"]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)], ["matmul"]),
    ("bsd,dh->bsh", [(5, 2, 3), (3, 4)], ["matmul"]),
    ("bhqd,bhkd->bhqk", [(5, 2, 3, 4), (5, 2, 6, 4)], ["transpose", "matmul"]),
    ("i,i->", [(3,), (3,)], ["matmul"]),
    ("ij,j->i", [(2, 3), (3,)], ["matmul"]),
    ("i,ij->j", [(2,), (2, 3)], ["matmul"]),
    ("ij->ji", [(2, 3)], ["transpose"]),
    ("ij->", [(2, 3)], ["sum"]),
    ("ij,ij->ij", [(2, 3), (2, 3)], ["multiply"]),
    ("i,j->ij", [(2,), (3,)], ["reshape", "multiply"]),
    ("ij,ij->i", [(2, 3), (2, 3)], ["einsum"]),
    ("bqhd,bkhd->bhqk", [(5, 2, 3, 4), (5, 6, 3, 4)], ["einsum"]),
    ("bsd,dhe->bshe", [(5, 2, 3), (3, 4, 6)], ["einsum"]),
    ("ij,kl->", [(2, 3), (4, 5)], ["sum", "sum", "multiply"]),
    ("abik,bakj->abij", [(2, 3, 4, 5), (3, 2, 5, 6)], ["einsum"]),
])  # fmt: skip
def test_a_step_is_the_plainest_op_that_does_it(subscripts, shapes, expected):
    assert sorted(steps(subscripts, *shapes)) == sorted(expected)
    operands = [RNG.standard_normal(shape) for shape in shapes]
    np.testing.assert_allclose(value(gr.einsum(subscripts, *operands)), np.einsum(subscripts, *operands), rtol=1e-11)


def test_a_chain_is_contracted_in_the_cheapest_order():
    a, b, v = (gr.placeholder(name, shape) for name, shape in [("a", (50, 60)), ("b", (60, 70)), ("v", (70,))])
    y = gr.einsum("ij,jk,k->i", a, b, v)
    inner = y.inputs[1]
    assert (y.inputs[0], inner.inputs) == (a, (b, v)), "matrix times vector twice, never matrix times matrix"


def test_symbolic_sizes_count_as_a_nominal_size_in_the_order():
    a, b, v = (gr.placeholder(name, shape) for name, shape in [("a", ("n", "n")), ("b", ("n", "n")), ("v", ("n",))])
    y = gr.einsum("ij,jk,k->i", a, b, v)
    assert str(y.type) == "f32[n]"
    assert all(node.ndim < 2 or node.op.leaf for node in gr.Graph(None, [y]).nodes)
    check_gradient(y, [a], {a: np.eye(3, dtype="f4"), b: np.ones((3, 3), "f4"), v: np.ones(3, "f4")}, order=1)


def test_two_operands_load_no_search_for_an_order():
    code = """
import sys, graphc as gr
x = gr.placeholder("x", (2, 2))
gr.einsum("ij,jk", x, x)
assert "opt_einsum" not in sys.modules
gr.einsum("ij,jk,kl", x, x, x)
assert "opt_einsum" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# The primitive


def test_the_derivative_of_a_contraction_is_a_contraction():
    q, k = gr.placeholder("q", (2, 3, 4, 5)), gr.placeholder("k", (2, 6, 4, 5))
    g = gr.placeholder("g", (2, 4, 3, 6))
    dq, dk = gr.gradients(gr.einsum("bqhd,bkhd->bhqk", q, k), [q, k], seed=g)
    for node, operand in ((dq, q), (dk, k)):
        assert node.op.name == "einsum"
        assert node.type == operand.type
    assert {dq.attrs["subscripts"], dk.attrs["subscripts"]} == {"bhqk,bkhd->bqhd", "bhqk,bqhd->bkhd"}


@pytest.mark.parametrize("subscripts", [
    "abc,bcd->ad", "abc,bcd->da", "abc,dcb->ad", "abc,bcd->abd", "abc,cbd->bad", "abc,acd->dba", "abc,abc->",
    "abc,bc->a", "abc,cab->b"])  # fmt: skip
def test_the_body_gives_the_same_in_a_buffer_and_for_strided_operands(subscripts):
    inputs, output = subscripts.split("->")
    sizes = dict(zip("abcd", (2, 3, 4, 5), strict=True))
    a, b = (RNG.standard_normal([2 * sizes[label] for label in labels])[(slice(None, None, 2),) * len(labels)]
            for labels in inputs.split(","))  # fmt: skip
    expected = np.einsum(subscripts, a, b)
    out = np.full([sizes[label] for label in output], np.nan)
    for result in (step.body(a, b, subscripts=subscripts), step.body(a, b, subscripts=subscripts, out=out), out):
        np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_the_effort_of_a_contraction_counts_its_inner_elements():
    a, b = gr.placeholder("a", (2, 3, 4)).type, gr.placeholder("b", (3, 4, 5)).type
    attrs = {"subscripts": "abc,bcd->ad"}
    assert step.effort(step.infer(a, b, **attrs), a, b, **attrs) == 2 * 3 * 4


@pytest.mark.parametrize("subscripts", ["aab,bc->ac", "ab,bc->a", "ab,bc->abcd", "abc,bc->a", "ab,bc->aca"])
def test_the_primitive_takes_distinct_labels_each_in_two_places(subscripts):
    with pytest.raises(gr.ShapeError, match=r"gr\.einsum"):
        step(np.ones((2, 3)), np.ones((3, 4)), subscripts=subscripts)


# Sentences


@pytest.mark.parametrize(("subscripts", "count", "sentence"), [
    ("ij,jk->ik", 1, "is for 2 operands, got 1"),
    ("ij,jk->ik", 3, "is for 2 operands, got 3"),
    ("ijk,jk->ik", 2, "a letter per axis of operand 0, of rank 2"),
    ("i1,jk->ik", 2, "a letter per axis of operand 0"),
    ("ij,jk->ii", 2, "distinct labels of operands for the result, got 'ii'"),
    ("ij,jk->iz", 2, "got 'iz'"),
    ("ij,jk->ik", 2, "one size for the label 'j': 3 and 2 are different sizes"),
    ("ii,jk->ik", 2, "one size for the label 'i'"),
    ("...i,...i->i", 2, "under an ellipsis that the result lacks"),
    ("ij...k", 1, "a letter per axis"),
])  # fmt: skip
def test_what_does_not_fit_raises_a_sentence(subscripts, count, sentence):
    operands = [gr.placeholder(f"x{i}", (2, 3)) for i in range(count)]
    with pytest.raises(gr.ShapeError) as caught:
        gr.einsum(subscripts, *operands)
    message = str(caught.value)
    assert sentence in message
    assert "Remedy:" in message
    assert "test_einsum.py" in message


def test_the_interleaved_form_raises_a_sentence():
    with pytest.raises(gr.ShapeError, match='write einsum\\("ij,jk->ik", a, b\\)'):
        gr.einsum(gr.placeholder("x", (2, 3)), [0, 1])
