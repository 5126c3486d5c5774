"""Every op of the registry in native code: derived from its samples, in every dtype that it takes."""

import inspect
import itertools
import sys

import numpy as np
import pytest

import graphc as gr
from graphc import catalog
from graphc.compiler import is_native as is_native_op
from graphc.evaluate import evaluate
from graphc.types import DTYPES, TupleType

pytest.importorskip("llvmlite")

from graphc.native.code.elementwise import is_native
from graphc.native.program import NativeProgram
from graphc.op import COMPOSITES, OPS
from graphc.passes.expand import expand
from graphc.passes.fuse import fuse
from graphc.testing import _samples
from graphc.testing_operands import special_values

rng = np.random.default_rng(0)
COMPUTED = [name for name, op in OPS.items() if op.samples is not None and not op.leaf]
SORTING = {"sort", "argsort", "top_k", "random_permutation"}
ULPS = {"f2": 4, "f4": 16, "f8": 16}
"""How far an element may be from NumPy's, in units of the last place of the largest one: what sums and functions are
rounded by. Data movement and integers are exact."""
LOOSE = {"spherical_jn": 512, "polygamma": 16, "lgamma": 64, "digamma": 64}
"""... and where SciPy itself is not that close."""


def native(inputs, outputs, threads=1):
    """The program of a graph, as the compiler makes it of what the passes leave."""
    graph = expand(gr.Graph(inputs, outputs), fusible=is_native)
    return NativeProgram(fuse(graph, fusible=is_native), threads)


def run(program, feeds):
    """The outputs of one run."""
    return program.run(feeds, {}, [None] * len(program.graph.outputs))


def python_steps(program):
    """What NumPy computes, and why."""
    return [work.why for work in program.works.listed if work.task is None and work.output is None]


def agrees(value, expected, ulps):
    """Fail unless types agree and values do to so many units in the last place of the largest."""
    expected = np.asarray(expected)
    assert np.asarray(value).dtype == expected.dtype
    assert np.shape(value) == expected.shape
    if expected.dtype.kind != "f" or not expected.size:
        np.testing.assert_array_equal(value, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    size = finite.max(initial=0).astype(expected.dtype)
    np.testing.assert_allclose(value, expected, rtol=0, atol=ulps * float(np.spacing(size)), equal_nan=True)


def check(inputs, outputs, feeds, ulps=0, *, by_numpy=()):
    """Run a graph natively and compare it with the bodies; only those reasons may be given for a call of NumPy."""
    with np.errstate(all="ignore"):
        expected = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    program = native(inputs, outputs)
    assert set(python_steps(program)) <= set(by_numpy)
    for _ in range(2):
        for value, reference in zip(run(program, feeds), expected, strict=True):
            agrees(value, reference, ulps)
    return program


def outputs_of(node):
    """A node's results: itself, or the items of its tuple."""
    if not isinstance(node.type, TupleType):
        return [node]
    return [OPS["item"](node, index=i) for i in range(len(node.type.elements))]


def in_dtype(sample, dtype):
    """The sample with its operands of a kind in another dtype, or None where the op does not take it."""
    if "body" in sample.node.attrs:  # a graph has dtypes of its own
        return None
    kind = next(iter(sample.feed)).dtype.kind
    feed = {p: gr.placeholder(p.name, p.shape, dtype) if p.dtype.kind == kind else p for p in sample.feed}
    operands = tuple(feed.get(operand, operand) for operand in sample.node.inputs)
    if not all(operand.op.name in ("placeholder", "constant") for operand in operands):
        return None
    try:
        with np.errstate(all="ignore"):
            values = {new: sample.feed[old].astype(new.dtype) for old, new in feed.items()}
            node = sample.node.op.make(operands, sample.node.attrs)
            evaluate([node], values)
    except (gr.GraphcError, ValueError):
        return None
    return node, values


def variants(name):
    """Graphs of one op: the samples as they are, and in every dtype that the op takes and no other sample has."""
    op = OPS[name]
    samples = list(_samples(name, op, op.samples.for_arity(op.arity or 0)))
    yield from ((sample.node, sample.feed) for sample in samples)
    seen = {signature(sample.node) for sample in samples}
    for sample, dtype in itertools.product(samples, DTYPES.values()):
        found = in_dtype(sample, dtype) if sample.feed else None
        if found is not None and signature(found[0]) not in seen:
            seen.add(signature(found[0]))
            yield found


def signature(node):
    """What a call's code depends on, all but the values."""
    return tuple((operand.op.name, operand.type) for operand in node.inputs), str(sorted(node.attrs.items()))


def batches(graphs, size):
    """Lists of so many graphs."""
    graphs = iter(graphs)
    while batch := list(itertools.islice(graphs, size)):
        yield batch


@pytest.mark.parametrize("name", [name for name in COMPUTED if name not in SORTING])
def test_op_is_native_and_has_the_values_of_its_body(name):
    for batch in batches(variants(name), 40):
        feed = {placeholder: value for _, values in batch for placeholder, value in values.items()}
        outputs = [value for node, _ in batch for value in outputs_of(node)]
        with np.errstate(all="ignore"):
            expected = evaluate(outputs, feed)
        program = native(list(feed), outputs)
        assert not python_steps(program)
        for node, value, reference in zip(outputs, run(program, list(feed.values())), expected, strict=True):
            ulps = LOOSE.get(name, ULPS.get(node.dtype.str[1:], 0))
            try:
                agrees(value, reference, ulps)
            except AssertionError as error:
                raise AssertionError(f"{node}: {[str(source.type) for source in node.inputs]}\n{error}") from None


def first_derivatives(y, feed):
    """The gradients of a weighted sum in all float operands, where there are any."""
    floats = [x for x in feed if x.dtype.kind == "f"]
    if isinstance(y.type, TupleType) or y.dtype.kind != "f" or not floats:
        return []
    weights = np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype)
    return gr.gradients(gr.sum(y * weights), floats, unconnected="zero")


@pytest.mark.parametrize("formula", [pytest.param(f, id=name) for name, f in COMPOSITES.items() if f.samples])
def test_formula_and_its_derivative_are_native(formula):
    parameters = inspect.signature(formula).parameters.values()
    arity = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    for sample in _samples(formula.__name__, formula, formula.samples.for_arity(arity)):
        outputs = [*outputs_of(sample.node), *first_derivatives(sample.node, sample.feed)]
        with np.errstate(all="ignore"):
            expected = evaluate(outputs, sample.feed)
        program = native(list(sample.feed), outputs)
        assert {why.split()[0] for why in python_steps(program)} <= SORTING
        for value, reference in zip(run(program, list(sample.feed.values())), expected, strict=True):
            agrees(value, reference, 64)


def test_the_exceptions_are_those_that_sort():
    assert {name for name in COMPUTED if not is_native_op(OPS[name])} == SORTING


def test_the_list_of_ops_names_the_exceptions():
    assert f"NumPy computes, also beside native code: {', '.join(sorted(SORTING))}." in catalog.table().split("\n")


@pytest.mark.parametrize("name", sorted(SORTING))
def test_what_sorts_is_computed_by_numpy_and_says_so(name):
    op = OPS[name]
    sample = next(_samples(name, op, op.samples.for_arity(op.arity or 0)))
    program = check(list(sample.feed), outputs_of(sample.node), list(sample.feed.values()),
                    by_numpy=[f"{name} has no native code", "item has no native code"])  # fmt: skip
    assert python_steps(program)


INTEGER = ["floor_divide", "remainder", "fmod", "gcd", "lcm", "left_shift", "right_shift", "reciprocal", "fmax", "fmin",
           "bitwise_count", "signbit", "sign", "abs", "square", "negative", "isnan", "isfinite", "power"]  # fmt: skip


@pytest.mark.parametrize("name", INTEGER)
def test_integers_have_numpys_answers_where_c_has_none(name):
    """All pairs of extremes, zeros and small numbers."""
    op, inputs, outputs, feeds = OPS[name], [], [], []
    for dtypes in itertools.product([dtype for dtype in DTYPES.values() if dtype.kind in "biu"], repeat=op.arity):
        values = [special_values(dtype) for dtype in dtypes]
        if name == "power":
            values[1] = values[1][(values[1] >= 0)]
        if name == "reciprocal" and sys.platform == "win32":  # 1 / 0 as an integer is another one there
            values[0] = values[0][values[0] != 0]
        grid = [np.ravel(one) for one in np.meshgrid(*values, indexing="ij")]
        operands = [gr.placeholder(f"x{len(inputs) + i}", one.shape, one.dtype) for i, one in enumerate(grid)]
        try:
            with np.errstate(all="ignore"):
                outputs.append(op(*operands))
        except gr.DTypeError:
            continue
        inputs += operands
        feeds += grid
    kinds = {output.dtype.kind for output in outputs}
    assert outputs
    check(inputs, [y for y in outputs if y.dtype.kind in "biu"], feeds)
    assert kinds - {"f"}


BEYOND = [3e9, -3e9, 1e10, -1e10, 300, -300, 7e4, -7e4, 1e19, 1.7e19, 2e20, -1.5, 0.999, 2.0**31, 2.0**63]


@pytest.mark.parametrize("source", DTYPES)
def test_conversions_are_numpys(source):
    """Floats that do not fit too: on x86-64 all of them, as NumPy converts arrays there; to i32 and i64 anywhere."""
    x = special_values(DTYPES[source])
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            x = np.concatenate([x, np.array(BEYOND, x.dtype)])
    x = np.repeat(x, 16)
    given = gr.placeholder("x", x.shape, x.dtype)
    for dtype in DTYPES.values():
        with np.errstate(all="ignore"):
            expected = x.astype(dtype)
            fits = slice(None)
            if x.dtype.kind == "f" and dtype.kind in "iu" and dtype.str[1:] not in ("i4", "i8"):
                limits = np.iinfo(dtype)
                fits = np.isfinite(x) & (np.trunc(x) >= limits.min) & (np.trunc(x) <= limits.max)
        y = given.astype(dtype) if dtype != x.dtype else given + 0 if dtype.kind != "b" else given
        if y is not given:
            np.testing.assert_array_equal(run(native([given], [y]), [x])[0][fits], expected[fits])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [3, 4, 5])
def test_small_powers_are_products(n, dtype):
    limits = np.finfo(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, limits.max, -limits.max, limits.tiny], dtype)
    spread = 10.0 ** np.linspace(np.log10(limits.tiny) / n - 1, np.log10(limits.max) / n, 9990)
    values = np.concatenate([special, np.where(np.arange(9990) % 2, spread, -spread)]).astype(dtype)
    x = gr.placeholder("x", values.shape, dtype)
    f = gr.compile([x], x**n, backend="native")
    assert not [node for kernel in f.graph.nodes if "body" in kernel.attrs for node in kernel.attrs["body"].nodes
                if node.op is gr.power]  # fmt: skip
    with np.errstate(all="ignore"):
        expected = values.astype(np.longdouble) ** n
        rounded = expected.astype(dtype)
        found = f(values)
        np.testing.assert_array_equal(found[:10], rounded[:10])
        np.testing.assert_array_equal(np.signbit(found), np.signbit(rounded))
        error = (found - expected)[10:] / np.spacing(np.abs(rounded[10:]))
    assert np.nanmax(np.abs(error)) <= 3


def test_a_small_power_of_halves_is_rounded_once():
    values = np.linspace(-9, 9, 999).astype("float16")
    x = gr.placeholder("x", values.shape, "float16")
    np.testing.assert_array_equal(gr.compile([x], x**5, backend="native")(values), values**5)


def test_negative_powers_raise_numpys_error_and_nothing_is_written():
    x, p = gr.placeholder("x", (3,), "int64"), gr.placeholder("p", (3,), "int64")
    w = gr.variable("w", np.zeros(3))
    f = gr.compile([x, p], gr.power(x, p), updates={w: w + 1}, backend="native")
    assert "has no native code" not in str(f.report())
    np.testing.assert_array_equal(f(np.array([2, -3, 7]), np.array([10, 3, 0])), [1024, -27, 1])
    with pytest.raises(gr.ExecutionError, match="power failed: ValueError: Integers to negative integer powers"):
        f(np.array([2, 3, 4]), np.array([1, -1, 2]))
    np.testing.assert_array_equal(w.value, np.ones(3))


# Layouts and sizes that samples do not have.


def transposed(x):
    """A view whose elements lie in another order."""
    return gr.transpose(x, tuple(range(x.ndim))[::-1])


LARGE = {
    "argmax of rows": lambda x: gr.argmax(x, axis=-1), "argmin of columns": lambda x: gr.argmin(x, axis=0),
    "argmax of a middle axis": lambda x: gr.argmax(x, axis=1, keepdims=True), "argmax of all": gr.argmax,
    "argmin of a transposed array": lambda x: gr.argmin(transposed(x), axis=0),
    "argmax of all, transposed": lambda x: gr.argmax(transposed(x)),
    "cumsum of rows": lambda x: gr.cumsum(x, -1), "cumsum of columns": lambda x: gr.cumsum(x, 0),
    "cumprod backwards": lambda x: gr.cumprod(x, 1, reverse=True),
    "cumsum without itself": lambda x: gr.cumsum(x, 1, exclusive=True),
    "cumsum backwards without itself": lambda x: gr.cumsum(x, 0, exclusive=True, reverse=True),
    "cumsum of a transposed array": lambda x: gr.cumsum(transposed(x), 0), "cumsum of all": gr.cumsum,
    "flip": gr.flip, "flip of an axis": lambda x: gr.flip(transposed(x), 1),
    "roll": lambda x: gr.roll(x, (3, -2), (0, 2)), "roll of all": lambda x: gr.roll(transposed(x), 17),
    "reshape of a transposed array": lambda x: gr.reshape(transposed(x), (-1,)),
    "pad": lambda x: gr.pad(x, ((1, 2), (0, 3), (4, 0)), constant_values=3),
    "pad by reflection": lambda x: gr.pad(x, 2, "reflect"), "tile": lambda x: gr.tile(x, (2, 1, 3)),
    "repeat": lambda x: gr.repeat(x, 3, 1), "stack": lambda x: gr.stack([x, x * 2], 1),
    "setitem": lambda x: gr.set_at(x, (slice(1, None), slice(None, None, 2)), 0),
    "max over a middle axis": lambda x: gr.max(x, 1), "min over outer axes": lambda x: gr.min(x, (0, 1)),
    "product over a middle axis": lambda x: gr.prod(x, (0, 2)), "trace": lambda x: gr.trace(x, axis1=1, axis2=2),
    "diagonal": lambda x: gr.diagonal(x, 1, 0, 2),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "i64", "i8", "u32", "bool"])
@pytest.mark.parametrize("case", LARGE)
def test_large_arrays_of_any_layout(case, dtype):
    x = gr.placeholder("x", (7, 33, 45), DTYPES[dtype])
    feed = rng.integers(-2, 3, x.shape) + (rng.normal(size=x.shape) / 8 if x.dtype.kind == "f" else 0)
    try:
        y = LARGE[case](x)
    except gr.DTypeError:
        pytest.skip("the op does not take this dtype")
    exact = not case.startswith(("product", "trace"))
    check([x], [y], [np.abs(feed).astype(x.dtype) if "prod" in case else feed.astype(x.dtype)], 0 if exact else 1e4)


@pytest.mark.parametrize("op", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_first_of_equals_and_the_first_nan_are_found(op, axis):
    feed = rng.integers(0, 3, (40, 50)).astype("f4")
    feed[5, 7] = feed[9, 3] = feed[9, 20] = np.nan
    feed[20:22] = -np.inf
    feed[25] = np.inf
    x = gr.placeholder("x", feed.shape, "float32")
    check([x], [getattr(gr, op)(x, axis=axis)], [feed])


def test_sums_over_any_axes_of_any_layout():
    x = gr.placeholder("x", (3, 4, 5, 600), "float32")
    feed = rng.normal(size=x.shape).astype("f4")
    axes = [axes for count in range(5) for axes in itertools.combinations(range(4), count)]
    check([x], [gr.sum(x, axis) for axis in axes] + [gr.sum(transposed(x), axis) for axis in axes], [feed], 64)


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "i64", "i8", "u16", "bool"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_products_with_one_number(size, dtype):
    x, y = (gr.placeholder(name, (size,), DTYPES[dtype]) for name in "xy")
    row, column = gr.reshape(x, (1, size)), gr.reshape(y[::-1], (size, 1))
    outputs = [x @ y, row @ column, row @ y, x @ column, gr.einsum("i,i->", x, y), gr.vdot(x[::-1], y)]
    check([x, y], outputs, [rng.integers(0, 6, size).astype(x.dtype) for _ in "xy"])


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "i64"])
def test_threads_share_the_blocks_of_a_dot_product(dtype):
    x, y = (gr.placeholder(name, (1_000_000,), DTYPES[dtype]) for name in "xy")
    feeds = [rng.integers(-9, 10, x.shape).astype(x.dtype) for _ in "xy"]
    program = native([x, y], [x @ y])
    assert max(work.task.blocks for work in program.works.listed if work.task is not None) > 1
    values = [run(native([x, y], [x @ y], threads), feeds)[0] for threads in (1, 2, 3)]
    assert values == [(feeds[0].astype("f8") @ feeds[1].astype("f8")).astype(x.dtype)] * 3


def test_a_dot_product_computes_its_factors():
    x, y = (gr.placeholder(name, (100_000,), "float32") for name in "xy")
    outputs = [gr.dot(gr.tanh(x), y), gr.einsum("ij,ij->i", gr.reshape(x, (100, 1000)) + 1, gr.reshape(y, (100, 1000)))]
    feeds = [rng.normal(size=x.shape).astype("f4") for _ in "xy"]
    program = check([x, y], outputs, feeds, 256)
    assert {node.op.name for node in program.graph.nodes} == {"placeholder", "reshape", "kernel"}
    for threads in 2, 3:
        for value, other in zip(run(program, feeds), run(native([x, y], outputs, threads), feeds), strict=True):
            np.testing.assert_array_equal(value, other)


def test_sums_and_products_of_f16_are_rounded_once():
    """Most sums are above what their terms can be added to in f16, where a column of 70,000 halves gives 1,024."""
    x, v = gr.placeholder("x", (70_000, 65), "float16"), gr.placeholder("v", (70_000,), "float16")
    a = (0.5 + rng.random(x.shape) / 8).astype("f2")
    b = (0.5 + rng.random(v.shape) / 8).astype("f2")
    a[:, 0] = 0.5
    wide_a, wide_b = a.astype("f8"), b.astype("f8")
    outputs = [gr.sum(x, 0), gr.sum(x, 1), gr.sum(v), gr.sum(gr.reshape(x, (-1, 130)) * 0.25, (0, 1)), v @ x, v @ v,
               gr.einsum("ij,ij->j", x, x), gr.sum(gr.transpose(x), 1), gr.prod(x + 0.5, 1)]  # fmt: skip
    with np.errstate(over="ignore"):
        expected = [wide_a.sum(0), wide_a.sum(1), wide_b.sum(), (wide_a * 0.25).astype("f2").sum(dtype="f8"),
                    wide_b @ wide_a, wide_b @ wide_b, (wide_a * wide_a).sum(0), wide_a.sum(0),
                    (wide_a + 0.5).astype("f2").prod(1, dtype="f8")]  # fmt: skip
        expected = [np.asarray(value).astype("f2") for value in expected]
    assert expected[0][0] == 35_000
    found = run(native([x, v], outputs), [a, b])
    for value, reference in zip(found, expected, strict=True):
        agrees(value, reference, 1)
    for threads in 2, 3:
        for value, other in zip(found, run(native([x, v], outputs, threads), [a, b]), strict=True):
            np.testing.assert_array_equal(value, other)


def test_views_of_empty_results_are_arrays():
    x = gr.placeholder("x", (0, 3), "float32")
    outputs = [gr.reshape(gr.roll(x, 1, 1), (3, 0, 5)), gr.transpose(gr.cumsum(x, 0)), gr.sum(x, 0), gr.max(x, 1),
               gr.concatenate([x, x]), x @ np.ones((3, 2), "f4"), np.ones((2, 0), "f4") @ x]  # fmt: skip
    check([x], outputs, [np.ones((0, 3), "f4")])


def test_sums_that_no_kernel_holds_take_a_loop():
    x = gr.placeholder("x", (3, 4, 90_000), "float64")
    program = check([x], [gr.sum(x, 1), gr.max(x, (0, 1))], [rng.normal(size=x.shape)], 4)
    assert {work.node.op.name for work in program.works.listed} == {"sum", "max"}


@pytest.mark.parametrize("dtype", ["i64", "i8", "u16", "bool", "f16"])
@pytest.mark.parametrize(("a", "b"), [((37, 29), (29, 53)), ((5, 1, 7, 9), (3, 9, 8)), ((9,), (9, 4)), ((6, 9), (9,))])
def test_products_of_integers_and_truth_values(a, b, dtype):
    x, y = gr.placeholder("x", a, DTYPES[dtype]), gr.placeholder("y", b, DTYPES[dtype])
    feeds = [rng.integers(0, 3, shape).astype(DTYPES[dtype]) for shape in (a, b)]
    check([x, y], [x @ y], feeds)
    if x.ndim > 1 < y.ndim:
        check([x, y], [gr.swapaxes(y, -1, -2) @ gr.swapaxes(x, -1, -2)], feeds)


EINSUMS = ["ij,ij->i", "ij,ij->j", "ij,ji->", "ijk,kj->ik", "ijk,ijk->ik", "ijk,jl->kil", "ijk,ljk->il",
           "ijk,ljm->kilm"]  # fmt: skip


@pytest.mark.parametrize("subscripts", EINSUMS)
@pytest.mark.parametrize("dtype", ["f64", "f32", "i64", "f16"])
def test_contractions_of_any_form(subscripts, dtype):
    sizes = dict(zip("ijklm", (6, 6, 7, 5, 4), strict=True))
    terms = subscripts.split("->")[0].split(",")
    inputs = [gr.placeholder(f"x{i}", [sizes[label] for label in term], DTYPES[dtype]) for i, term in enumerate(terms)]
    feeds = [rng.integers(-3, 4, x.shape).astype(x.dtype) for x in inputs]
    check(inputs, [gr.einsum(subscripts, *inputs)], feeds, 2 if dtype == "f16" else 0)


# Positions.


@pytest.mark.parametrize("index", ["i64", "i8", "u64", "u8"])
def test_lookups_at_several_arrays_of_positions(index):
    x = gr.placeholder("x", (9, 8, 70), "float32")
    i, j = gr.placeholder("i", (5, 1), DTYPES[index]), gr.placeholder("j", (6,), DTYPES[index])
    low = -8 if index.startswith("i") else 0
    feeds = [rng.normal(size=x.shape).astype("f4"), rng.integers(low, 8, (5, 1)).astype(i.dtype),
             rng.integers(low, 8, 6).astype(j.dtype)]  # fmt: skip
    t = transposed(x)
    check([x, i, j], [x[i, j], x[:, i], x[:, i, j], x[i, :, j], x[i], t[..., j], t[:, i, j], x[1, i]], feeds)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i16"])
def test_positions_that_repeat_are_added_and_written_in_order(dtype):
    x, i = gr.placeholder("x", (6, 200), DTYPES[dtype]), gr.placeholder("i", (300,), "int64")
    value, row = gr.placeholder("v", (300, 200), DTYPES[dtype]), gr.placeholder("r", (6, 300), DTYPES[dtype])
    feeds = [rng.integers(-9, 9, x.shape) / 3, rng.integers(-6, 6, 300), rng.normal(size=value.shape) * 50,
             rng.normal(size=row.shape) * 50]  # fmt: skip
    feeds = [feed.astype(node.dtype) for feed, node in zip(feeds, (x, i, value, row), strict=True)]
    outputs = [gr.add_at(x, i, value), gr.set_at(x, i, value), gr.add_at(x, (slice(None), i), row),
               gr.set_at(x, (slice(None), i), row)]  # fmt: skip
    check([x, i, value, row], outputs, feeds)


def test_loops_give_the_same_bits_for_any_number_of_threads():
    x, i = gr.placeholder("x", (50, 3000), "float32"), gr.placeholder("i", (800,), "int64")
    value = gr.placeholder("v", (800, 3000), "float32")
    feeds = [rng.normal(size=x.shape).astype("f4"), rng.integers(0, 50, 800), rng.normal(size=value.shape).astype("f4")]
    whole = gr.rint(x * 9).astype("int32")
    outputs = [gr.add_at(x, i, value), gr.cumsum(value, 0), gr.argmax(value, 0), gr.argmin(value, 1), value[:, i], x[i],
               gr.einsum("ij,kj->ijk", x[:, :30], value[:, :30]), gr.max(gr.reshape(value, (8, 100, 3000)), 1),
               whole @ whole.T, gr.random.normal(gr.random.key(3), (500, 500))]  # fmt: skip
    programs = [native([x, i, value], outputs, threads) for threads in (1, 2, 3)]
    assert any(stage.shared for stage in programs[1].stages)
    results = [run(program, feeds) for program in programs for _ in range(2)]
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, other)


OUTSIDE = {
    "x[i]": (lambda x, i: x[i], 5), "x[:, i]": (lambda x, i: x[:, i], -7), "x[i, i]": (lambda x, i: x[i, i], 5),
    "add": (lambda x, i: gr.add_at(x, i, np.ones((3, 6))), -6), "set": (lambda x, i: gr.set_at(x, i, 1.0), 2**62),
    "along": (lambda x, i: gr.take_along_axis(x, i[:, None], 0), 5),
    "nothing": (lambda x, i: x[:, 6:][i], 9), "lowest": (lambda x, i: x[i], -(2**63)),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_positions_outside_raise_with_the_node_and_nothing_is_written(case):
    build, position = OUTSIDE[case]
    x, i = gr.placeholder("x", (5, 6), "float64"), gr.placeholder("i", (3,), "int64")
    w = gr.variable("w", np.zeros(3))
    f = gr.compile([x, i], build(x, i), updates={w: w + 1}, backend="native")
    feed = rng.normal(size=(5, 6))
    f(feed, np.array([0, 1, -1]))
    with pytest.raises(gr.ExecutionError, match=r"failed: IndexError: index -?\d+ is out of bounds for axis \d"):
        f(feed, np.array([0, position, 1]))
    f(feed, np.array([0, 1, -1]))
    np.testing.assert_array_equal(w.value, [2, 2, 2])


# What is made from nothing.


def test_ranges_and_patterns_too_large_to_keep():
    outputs = [gr.arange(300_000), gr.arange(-5, 2e5, 0.7), gr.arange(9e4, dtype="float64"), gr.eye(500, 700, 3),
               gr.tri(600, 500, -2, dtype="int8"), gr.arange(50_000, dtype="float16")]  # fmt: skip
    check([], outputs, [])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers_are_those_of_the_bodies_bit_for_bit(dtype):
    key = gr.placeholder("key", (2,), "uint64")
    feed = np.array([7, 2**64 - 3], "u8")
    shapes = [(), (3,), (1023,), (2, 9000)]
    outputs = [draw(key, shape, dtype=dtype) for draw in (gr.random.uniform, gr.random.normal) for shape in shapes]
    check([key], [*outputs, *gr.random.split(key, 5)], [feed])


def test_searches_put_nan_last():
    known, x = gr.placeholder("k", (9,), "float32"), gr.placeholder("x", (4, 5), "float64")
    feeds = [np.array([-np.inf, -1, 0, 0, 0, 2, np.inf, np.nan, np.nan], "f4"), rng.normal(size=(4, 5)).round()]
    feeds[1][0] = [np.nan, np.inf, -np.inf, 0.0, 2.0]
    check([known, x], [gr.searchsorted(known, x, side) for side in ("left", "right")], feeds)


def test_loops_tell_a_zero_from_its_negative():
    x, feed = gr.placeholder("x", (7,), "f4"), np.arange(7, dtype="f4")
    for value in (0.0, -0.0, 0.0):
        y = gr.transpose(gr.reshape(gr.pad(x, 30, constant_values=value), (1, 67)))
        found = gr.compile([x], [y, gr.pad(x, 30, constant_values=value)], backend="native")(feed)
        for result in found:
            assert np.signbit(np.ravel(result)[0]) == np.signbit(value)
