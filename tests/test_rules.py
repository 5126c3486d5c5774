"""Every rule is what it says, and matches what the passes before it leave; the checker sees planted faults."""

import numpy as np
import pytest
from modules import pass_modules

import graphc as gr
from graphc import rules
from graphc.folding import fold_numbers
from graphc.ir import Graph
from graphc.passes.canonicalize import canonicalize
from graphc.passes.signs import signs
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Declined, node_rule, rule, sample
from graphc.samples import call
from graphc.testing_operands import trials
from graphc.testing_rules import check_rule, pair_of
from graphc.truth import true_values

DECLARED = [(name, value) for name, module in pass_modules().items() for value in vars(module).values()
            if isinstance(value, rules.AnyRule)]  # fmt: skip
IDS = [f"{name}.{one.name}" for name, one in DECLARED]
NORMAL_FORMS = ("canonicalize", "signs")


@pytest.mark.parametrize(("name", "one"), DECLARED, ids=IDS)
def test_rule(name, one):
    check_rule(one)


AFTER = [one for name, one in DECLARED if name not in NORMAL_FORMS and one is not fold_numbers]


@pytest.mark.parametrize("one", AFTER, ids=lambda one: one.name)
def test_left_side_is_in_normal_form(one):
    """A rule fires on what `canonicalize` and `signs` make of its left side."""
    for trial in trials(one):
        if pair_of(trial, one) is not None:
            normal = signs(canonicalize(Graph(None, [trial.build()[0]])))
            firings = Firings()
            apply_rules(normal, RuleSet([one]), firings)
            if firings.total:
                return
    pytest.fail(f"{one.name} fires on no normal form of its left side")


def test_rules_have_names_of_their_own():
    by_name = {}
    for name, one in DECLARED:
        assert by_name.setdefault(one.name, one) is one, f"two rules are called {one.name}, one of them in {name}"


# Planted faults: the checker must see each.


def complaint(one):
    with pytest.raises(gr.CompileError) as caught:
        check_rule(one)
    return str(caught.value)


def test_exact_rule_that_forgets_minus_zero():
    @rule
    def add_zero(x):
        """x + 0 = x"""
        return x + 0, x

    assert "its sides are np.float64(0.0) and np.float64(-0.0)" in complaint(add_zero)


def test_exact_rule_that_forgets_infinity():
    @rule
    def subtract_itself(x):
        """x − x = 0"""
        return x - x, 0

    assert "for np.float64(inf)" in complaint(subtract_itself)


def test_exact_rule_that_wraps_around():
    @rule
    def halve_twice(x):
        """(−x) · −1 = x, but not in 8 bits beside 64"""
        return -x * np.int64(-1), x

    assert "halve_twice" in complaint(halve_twice)


def test_exact_rule_that_is_off_by_an_ulp():
    @rule
    def multiply_twice(x, y):
        """x y y = x y²"""
        return x * y * y, x * gr.square(y)

    assert "multiply_twice is wrong" in complaint(multiply_twice)


def test_stabilizing_rule_that_goes_the_wrong_way():
    @rule(kind="stabilizing")
    def expanded(x):
        """expm1(x) = exp(x) − 1"""
        return gr.expm1(x), gr.exp(x) + (-1)

    assert "the true value is" in complaint(expanded)


def test_stabilizing_rule_with_a_wrong_factor():
    @rule(kind="stabilizing")
    def almost(x):
        """log(1 + x) ≈ log1p(x)"""
        return gr.log(x + 1), gr.log1p(x) * 1.0001

    assert "the true value is" in complaint(almost)


def test_fast_rule_that_is_no_identity():
    @rule(kind="fast")
    def factor(x, y, z):
        """x y + x z = x (y − z)"""
        return x * y + x * z, x * (y - z)

    assert "fast rule factor is wrong" in complaint(factor)


def test_fast_rule_that_is_not_exact_where_it_says_so():
    @rule(kind="fast", exact_when=lambda **binding: True)
    def quotient(x, y):
        """(x / y) y = x"""
        return gr.floor_divide(x, y) * y, x

    assert "quotient is wrong" in complaint(quotient)


def test_node_rule_that_is_wrong_for_some_dtype():
    @node_rule(lambda op, operands: op is gr.abs, samples=[sample(lambda x: gr.abs(-x), "f64[9]")])
    def even(node):
        """|−x| = |x|, but not for unsigned integers"""
        return gr.abs(node.inputs[0].inputs[0]) if node.inputs[0].op is gr.negative else None

    assert "for np.uint8(1)" in complaint(even)


def test_rule_that_costs_more():
    @rule
    def unsquare(x):
        """x² = |x| |x|"""
        return gr.square(x), gr.abs(x) * gr.abs(x)

    assert "its right side costs more" in complaint(unsquare)


def test_rule_that_matches_its_own_result():
    @rule
    def swap(x, y):
        """x + y = y + x"""
        return x + y, y + x

    assert "it matches what it made" in complaint(swap)


def test_rule_that_changes_the_type_never_fires():
    @rule
    def truth(x):
        """¬(x is NaN) = x"""
        return gr.logical_not(gr.isnan(x)), gr.tanh(x)

    assert "fires on none of its samples" in complaint(truth)


def test_rule_that_says_nothing():
    @rule
    def silent(x):
        return -(-x), x  # noqa: B002

    assert "says nothing" in complaint(silent)


# Declarations.


def test_left_side_names_all_attributes():
    with pytest.raises(gr.CompileError, match=r"write sum\(..., axis=..., keepdims=...\)"):

        @rule
        def incomplete(x):
            """Σ x = x"""
            return gr.sum(x), x


def test_left_side_is_an_op():
    with pytest.raises(gr.CompileError, match="the left side of rule hole is x, no op"):

        @rule
        def hole(x):
            """x = x"""
            return x, x


def test_a_refusal_is_written_down():
    @rule(samples=[call("f64[3]", axes=(0,))])
    def never(x, *, axes):
        """xᵀ = x"""
        return gr.transpose(x, axes=axes), lambda: Declined("not today")

    x = gr.placeholder("x", (2, 3))
    firings = Firings()
    graph = Graph([x], [x.T])
    assert apply_rules(graph, RuleSet([never]), firings) is graph
    assert firings.declined == {"never: not today": 1}


def test_an_error_in_a_right_side_declines():
    @rule
    def careless(x):
        """tanh(x) = x reshaped"""
        return gr.tanh(x), lambda: gr.reshape(x, 7)

    x = gr.placeholder("x", (2, 3))
    firings = Firings()
    graph = Graph([x], [gr.tanh(x)])
    assert apply_rules(graph, RuleSet([careless]), firings) is graph
    assert "careless" in next(iter(firings.declined))


def test_variadic_operands():
    @rule
    def flat(*terms):
        """Σ x = Σ x, backwards"""
        return gr.add_n(*terms), lambda: gr.maximum(terms[0], terms[-1])

    x, y, z = (gr.placeholder(name, (3,)) for name in "xyz")
    graph = apply_rules(Graph([x, y, z], [gr.add_n(x, y, z)]), RuleSet([flat]))
    assert graph.outputs[0].op is gr.maximum
    assert graph.outputs[0].inputs == (x, z)


def test_a_weak_constant_keeps_its_dtype():
    """gr.constant(0.1) is float64 beside float64; a right side that puts it beside float32 must not round it."""

    @rule(when=lambda x, c: x.dtype == np.float32, samples=[call("f32[3]", 0.1)])
    def cast_last(x, c):
        """float64(x) + c = float64(x + c), which is wrong: the types tell"""
        return gr.astype(x, dtype=np.dtype("f8")) + c, lambda: x + c

    x = gr.placeholder("x", (3,), "float32")
    after = apply_rules(Graph([x], [x.astype("f8") + gr.constant(0.1)]), RuleSet([cast_last]))
    assert after.outputs[0].type == gr.placeholder("y", (3,), "float64").type
    assert after.outputs[0].inputs[1].dtype == np.float64


def test_true_values_keep_what_floats_lose():
    """1 − σ(100) is e⁻¹⁰⁰ up to a factor of 1 + e⁻¹⁰⁰, log(1 + exp(1000)) is 1000, and 0 / 0 has no value."""
    x, y = gr.placeholder("x", (), "float64"), gr.placeholder("y", (), "float64")
    feed = {x: np.array(100.0), y: np.array(1000.0)}
    tail, log, none = true_values([1 - gr.sigmoid(x), gr.log(1 + gr.exp(y)), (x - x) / (y - y)], feed)
    assert tail == np.exp(-100)
    assert log == 1000
    assert np.isnan(none)
