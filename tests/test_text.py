"""Text: what is printed reads back as the same graph, and text that is wrong gets a sentence with its line."""

import contextlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc.ir import freeze
from graphc.op import OPS
from graphc.text import parse, to_text, value_names
from graphc.text.dims import parse_dim
from graphc.text.literals import value_text
from graphc.text.reader import Reader
from graphc.text.values import read_value
from graphc.types import DTYPES, Dim, Type


def round_trip(graph):
    """The graph read back from its text; fails unless it is the same graph and prints the same."""
    text = str(graph)
    read = parse(text)
    assert str(read) == text
    assert read.structure() == graph.structure()
    assert read.name == graph.name
    return read


def test_a_graph_reads_like_the_code_that_made_it():
    x = gr.placeholder("x", ("batch", 784))
    y = gr.placeholder("y", ("batch",), "int64")
    W = gr.variable("W", np.zeros((784, 10), "f4"))
    with gr.scope("head"):
        logits = (x @ W).named("logits")
    graph = gr.Graph([x, y], [gr.sum(gr.tanh(logits) * 0.1, axis=0)], "mlp")
    assert str(round_trip(graph)) == (
        "graph mlp(%x: f32[batch, 784], %y: i64[batch]) {\n"
        "  %W = variable : f32[784, 10]\n"
        "  %head/logits = matmul(%x, %W) : f32[batch, 10]\n"
        "  %tanh = tanh(%head/logits) : f32[batch, 10]\n"
        "  %constant = constant(0.1) : f32[]\n"
        "  %multiply = multiply(%tanh, %constant) : f32[batch, 10]\n"
        "  %sum = sum(%multiply) {axis=(0,), keepdims=False} : f32[10]\n"
        "  return %sum\n"
        "}"
    )


@pytest.mark.parametrize("name", [None, "plain", "two words", "it's", 'say "so"', "", "a\nb", "ö", "graph", "(", "#"])
def test_graphs_keep_their_names(name):
    x = gr.placeholder("x")
    assert round_trip(gr.Graph([x], [x], name)).name == name


def test_no_outputs_and_no_inputs():
    round_trip(gr.Graph([], []))
    round_trip(gr.Graph([gr.placeholder("unused")], []))


def test_the_same_output_twice():
    x = gr.placeholder("x")
    round_trip(gr.Graph([x], [x, gr.exp(x), x]))


# Values.

VALUES = [
    0, -3, 10**30, 0.0, -0.0, 1e-300, 0.1, math.inf, -math.inf, math.nan, True, False, None, "", "it's \"#\" {},\n\\",
    b"\x00\xff", (), (1,), (1, (2.0, ("x", None))), np.dtype("float32"), np.dtype("bool"), Dim("n"), 2 * Dim("n") + 1,
    (Dim("n") + 3) // 2, (3, Dim("n")), Type(np.dtype("float64"), (Dim("n"), 3)), Dim("nan"), -1 * Dim("inf"),
    Dim("f32"), Dim("graph") + 1, Dim("None"), Dim("dim"), Dim("floor"), Dim("lambda"), (Dim("inf"), math.inf),
]  # fmt: skip


def read_back(text):
    reader = Reader(text + "}", "text")
    value = read_value(reader, lambda reader: pytest.fail("no graph stands here"))
    assert reader.peek("}")
    return value


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_exact(value):
    assert freeze(read_back(value_text(value))) == freeze(value)


def test_the_payload_of_a_nan_survives():
    for bits in (0x7FF8000000000001, 0xFFF8000000000000, 0x7FF4000000000000):
        value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
        assert struct.pack(">d", read_back(value_text(value))) == bits.to_bytes(8, "big")


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
atoms = plain | st.sampled_from([Dim("n"), *DTYPES.values()])


@given(st.recursive(atoms, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12))
def test_any_value_is_exact(value):
    assert freeze(read_back(value_text(value))) == freeze(value)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3), (5, 6)], ids=str)
def test_arrays_are_exact(dtype, shape):
    size = math.prod(shape)
    data = np.random.default_rng(size).integers(0, 256, size * dtype.itemsize, "u1").tobytes()
    array = np.frombuffer(data, dtype).reshape(shape) if dtype.kind != "b" else np.arange(size).reshape(shape) % 2 == 0
    read = read_back(value_text(array))
    assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert not read.flags.writeable
    round_trip(gr.Graph([], [gr.constant(array)]))


@given(st.floats(width=32), st.floats(width=16))
def test_short_floats_are_exact(single, half):
    for scalar in (np.float32(single), np.float16(half)):
        assert freeze(read_back(value_text(scalar))) == freeze(scalar)


def test_small_constants_are_decimals_and_large_ones_bytes():
    small = str(gr.Graph([], [gr.constant([0.1, 1e-20, 3.0], "f4"), gr.constant(True), gr.constant([2**63], "u64")]))
    assert "constant(0.1, 1e-20, 3.0) : f32[3]" in small
    assert "constant(True) : bool[]" in small
    assert "constant(9223372036854775808) : u64[1]" in small
    large = str(gr.Graph([], [gr.constant(np.zeros(10**6))]))
    assert large.count("\n") == 3
    assert len(large) < 20_000


def test_a_value_without_a_text_form_prints_its_type(monkeypatch):
    graph = gr.Graph([], [any_op(monkeypatch, value=frozenset())])
    assert "{value=<builtins.frozenset>}" in str(graph)
    with pytest.raises(gr.FormatError, match=r"^line 2: <builtins.frozenset> stands for a value that has no text"):
        parse(str(graph))


def any_op(monkeypatch, **attrs):
    """A node whose op has just these attributes."""
    op = gr.Op("any_op", body=None, infer=lambda **attrs: Type(np.dtype("float32"), ()), attributes=tuple(attrs))
    monkeypatch.setitem(OPS, "any_op", op)
    return op(**attrs)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_attributes_are_exact(value, monkeypatch):
    round_trip(gr.Graph([], [any_op(monkeypatch, first=value, second=(value, value))]))


def test_graphs_in_attributes_are_blocks(monkeypatch):
    x = gr.placeholder("x", 3)
    inner = gr.Graph([x], [gr.tanh(x), gr.constant([1.0] * 3)], "inner")
    outer = gr.Graph([], [any_op(monkeypatch, body=inner, branches=(inner, inner), n=1)])
    text = str(round_trip(outer))
    assert "  %any_op = any_op() {body=graph inner(%x: f32[3]) {\n    %tanh = tanh(%x) : f32[3]\n" in text
    deep = inner
    for _ in range(20):
        deep = gr.Graph([], [any_op(monkeypatch, body=deep)])
    round_trip(deep)


def test_several_results(monkeypatch):
    from graphc.types import TupleType

    f32 = np.dtype("float32")
    for elements in ([], [Type(f32, (2,))], [Type(f32, ()), Type(f32, (Dim("n") // 2, 3))]):
        kind = TupleType(elements)
        op = gr.Op("any_op", body=None, infer=lambda kind=kind: kind)
        monkeypatch.setitem(OPS, "any_op", op)
        made = op()
        round_trip(gr.Graph([], [made, *made]))


# Sizes.

OPERATIONS = [lambda a, b: a + b, lambda a, b: b - a, lambda a, b: a * b, lambda a, b: a // b]


@given(st.data())
def test_sizes_are_exact(data):
    a, b = Dim("a"), Dim("batch")
    dim = data.draw(st.sampled_from([a, b]))
    for _ in range(data.draw(st.integers(0, 5))):
        other = data.draw(st.sampled_from([a, b, 2, 3, 7]))
        dim = data.draw(st.sampled_from(OPERATIONS))(dim, other)
        if isinstance(dim, int):
            dim = a + dim
    assert parse_dim(str(dim)) == dim
    sizes = {"a": 5, "batch": 12}
    assert parse_dim(str(dim)).substitute(sizes) == dim.substitute(sizes)


@pytest.mark.parametrize("text", [
    "", "2 3", "a b", "a/2", "1.5", "a**b", "a**99", "f(a)", "a+", "(a", "a)", "__import__('os')", "a.b", "floor(a/2",
    "a/0", "9" * 30, "(" * 50 + "a" + ")" * 50, "a[0]", "a or b",
])  # fmt: skip
def test_what_is_no_size_is_refused(text):
    with pytest.raises(gr.FormatError, match="expected a size"):
        parse_dim(text)


# Names.


def names(*outputs):
    graph = gr.Graph(None, outputs)
    found = value_names(graph.nodes)
    round_trip(graph)
    return [found[node] for node in graph.nodes]


def test_names_are_different():
    x = gr.placeholder("x")
    a, b = gr.exp(x).named("logits"), gr.sin(x).named("logits")
    assert names(a, b, gr.tanh(x), gr.tanh(a)) == ["%x", "%logits", "%logits_1", "%tanh", "%tanh_1"]


def test_inputs_keep_their_names_for_feeds():
    x = gr.placeholder("tanh_1")
    assert names(gr.exp(x).named("tanh_1"), gr.tanh(x), gr.tanh(x)) == ["%tanh_1", "%tanh_1_1", "%tanh", "%tanh_2"]


def test_users_names_that_look_made_survive():
    x = gr.placeholder("x")
    first = gr.tanh(x)
    assert names(first, gr.tanh(first).named("tanh"), gr.tanh(x)) == ["%x", "%tanh_1", "%tanh", "%tanh_2"]
    assert names(first, gr.exp(first).named("tanh_2"), gr.tanh(x)) == ["%x", "%tanh", "%tanh_2", "%tanh_1"]


def test_names_that_text_cannot_hold_are_changed():
    x = gr.placeholder("x")
    assert names(gr.exp(x).replace(name="a b%{"), gr.exp(x).replace(name="")) == ["%x", "%a_b__", "%_"]


some_names = st.sampled_from([None, "exp", "exp_1", "tanh", "tanh_1", "tanh_1_1", "x"])


@given(st.lists(st.tuples(st.sampled_from(["exp", "tanh"]), some_names), max_size=8))
def test_any_names_read_back(nodes):
    value = gr.placeholder("x")
    outputs = []
    for op, name in nodes:
        made = OPS[op](value)
        value = made.named(name) if name else made
        outputs.insert(0, value)
    round_trip(gr.Graph(None, outputs))


def test_handwritten_names_stay():
    graph = parse("graph(%x: f32[]) { %a = tanh(%x) : f32[] %tanh_7 = tanh(%a) : f32[] return %tanh_7, %a }")
    assert [node.name for node in graph.nodes] == ["x", "a", "tanh_7"]
    assert parse("graph(%x: f32[]) { %tanh = tanh(%x) : f32[] return %tanh }").outputs[0].name is None


# Reading.


def test_comments_are_for_people():
    x = gr.placeholder("x", 3)
    graph = gr.Graph([x], [gr.exp(gr.tanh(x))])
    remarks = {"exp": "about exp:\n%exp # {"}
    text = to_text(graph, comments=lambda node: remarks.get(node.op.name, ""))
    assert "  %exp = exp(%tanh) : f32[3]  # about exp: %exp # {\n" in text
    assert "tanh(%x) : f32[3]\n" in text
    assert parse("# before\n" + text + "  # behind\n").structure() == graph.structure()


def test_short_text_is_for_people():
    graph = gr.Graph([], [gr.constant(np.arange(1000.0)), gr.constant([1.0, 2.0, 3.0])])
    text = to_text(graph, short=True)
    assert "constant(0.0, 1.0, 2.0, …) : f64[1000]" in text
    assert "constant(1.0, 2.0, 3.0) : f64[3]" in text
    with pytest.raises(gr.FormatError, match="short=True"):
        parse(text)


def test_nodes_know_their_line_of_the_text():
    graph = parse("graph(%x: f32[]) {\n\n  %tanh = tanh(%x) : f32[]\n  return %tanh\n}", source="model.txt")
    assert graph.outputs[0].origin.where() == "model.txt:3"


def test_variables_come_without_a_value():
    graph = parse("graph() {\n  %W = variable : f32[2]\n  return %W\n}")
    with pytest.raises(gr.GraphError, match="no value yet"):
        _ = graph.variables[0].value
    graph.variables[0].value = [1.0, 2.0]
    assert graph.outputs[0].eval().tolist() == [1.0, 2.0]


def test_text_holds_no_lines_of_the_user():
    assert ".py" not in str(gr.Graph(None, [gr.exp(gr.placeholder("x"))]))


def chain(length):
    x = gr.placeholder("x", 3)
    y = x
    for i in range(length // 2):
        y = gr.tanh(y)
        y = y * x if i % 3 else y + 1.5
    return gr.Graph([x], [y])


def test_long_chains():
    round_trip(chain(20_000))


@pytest.mark.slow
def test_a_million_nodes():
    graph = chain(1_000_000)
    assert str(parse(str(graph))) == str(graph)


# Errors. `@` stands for the statement in the second line.

WRONG = [
    ("", "line 1: expected a graph such as graph name(%x: f32[3]) {, got the end of the text"),
    ("{", "line 1: expected a graph such as graph name(%x: f32[3]) {, got {"),
    ("graph(%x) {}", "line 1: expected a colon and a type such as f32[batch, 784], got ) {}"),
    ("graph(%x: f32) {}", "line 1: expected a colon and a type such as f32[batch, 784], got : f32) {}"),
    ("graph(%x: f99[3]) {}", "line 1: expected a type such as f32[batch, 784], got 'f99[3]'"),
    ("graph(%x: f32[-1]) {}", "line 1: expected dims ≥ 0, got f32[-1]"),
    ("graph(%x: f32[n/2]) {}", "line 1: expected a size that is a whole number, got 'n/2'"),
    ("graph(%x: f32[3] %y: f32[3]) {}", "line 1: expected ), got %y: f32[3]) {}"),
    ("graph(%x: f32[4294967296, 4294967296]) {}", "line 1: [4294967296, 4294967296] has 18446744073709551616 elements"),
    ("graph(%x: f32[3], %x: f32[3]) {}", "line 1: %x is defined twice"),
    ("graph(%x: f32[3]) {}", "line 1: expected a value such as %y = tanh(%x) : f32[3], or return %y, got }"),
    ("graph(%x: f32[3]) {\nreturn %y }", "line 2: %y is not defined above"),
    ("graph(%x: f32[3]) {\nreturn %x", "line 2: expected }, got the end of the text"),
    ("graph(%x: f32[3]) {\nreturn %x }\n.", "line 3: expected nothing after the graph's }, got ."),
    ("@ %y tanh(%x)", "expected a value such as %y = tanh(%x) : f32[3], or return %y, got %y tanh(%x)"),
    ("@ %y = tahn(%x) : f32[3]", "no op is called tahn"),
    ("@ %y = tanh(%x)", "expected a colon and a type such as f32[batch, 784], got return %x }"),
    ("@ %y = tanh(%x) : f32[4]", "expected %y to have type f32[3], as tanh(f32[3]) does, got f32[4]"),
    ("@ %y = tanh(%x) : f64[3]", "expected %y to have type f32[3], as tanh(f32[3]) does, got f64[3]"),
    ("@ %y = tanh(%z) : f32[3]", "%z is not defined above"),
    ("@ %y = tanh(3) : f32[3]", "expected values such as %x as operands, got '3'"),
    ("@ %y = tanh(%x, %x) : f32[3]", "tanh does not fit here: tanh takes 1 operands, got 2"),
    ("@ %y = tanh(%x) {axis=0} : f32[3]", "tanh has no attribute axis"),
    ("@ %y = sum(%x) : f32[]", "sum does not fit here: TypeError: "),
    ("@ %y = sum(%x) {axis=(0,), keepdims} : f32[]", "expected an attribute such as axis=(0,), got keepdims} : f32[]"),
    ("@ %y = sum(%x) {axis=(0), keepdims=False} : f32[]", 'expected "," in a tuple, got ), keepdims=False} : f32[]'),
    ("@ %y = sum(%x) {axis=(0,), axis=(0,)} : f32[]", "attribute axis is given twice"),
    ("@ %y = sum(%x) {axis=(0,) keepdims=False} : f32[]", "expected }, got keepdims=False} : f32[]"),
    ("@ %y = sum(%x) {axis=} : f32[]", "expected a value such as 3, 0.5, None, 'text', (0, 1) or f32, got } : f32[]"),
    ("@ %y = sum(%x) {axis=__import__('os')} : f32[]", "expected a size such as 3, batch or 2*batch + 1, got"),
    ("@ %y = sum(%x) {axis='a' 'b'} : f32[]", "expected }, got 'b'} : f32[]"),
    ("@ %x = tanh(%x) : f32[3]", "%x is defined twice"),
    ("@ %c = constant(1.0, 2.0) : f32[3]", "expected 3 elements of f32[3], got 1.0, 2.0"),
    ("@ %c = constant(1.0, x) : f32[2]", "expected 2 elements of f32[2], got 1.0, x"),
    ("@ %c = constant(300) : i8[]", "expected 1 elements of i8[], got 300"),
    ("@ %c = constant(1) : f32[n]", "expected a constant to have integer dims, got f32[n]"),
    ("@ %c = constant : f32[3]", "expected a constant such as %c = constant(1.0, 2.0) : f32[2]"),
    ('@ %c = constant("AAAA") : f32[3]', 'expected 3 elements of f32[3], got "AAAA"'),
    ('@ %c = constant("eJxjYKAAAAAwAAE=") : f32[3]', "expected 3 elements of f32[3], got"),
    ("@ %p = placeholder : f32[3]", "expected placeholders between the graph's parentheses, as in graph(%x: f32[3]) {"),
    ("@ %y = item(%x) {index=" + "(" * 99 + " : f32[3]", "expected graphs and tuples to nest at most 60 deep"),
    ("@ %y = item(%x) {index=" + "9" * 9999 + "} : f32[3]", "expected a number, got 9999"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_text_gets_a_sentence(text, message):
    if text.startswith("@"):
        text = f"graph(%x: f32[3]) {{\n{text[1:]}\nreturn %x }}"
        message = f"line {2 if 'colon' not in message else 3}: {message}"
    with pytest.raises(gr.FormatError) as raised:
        parse(text)
    assert raised.value.problem.startswith(message)


def test_the_source_is_named():
    with pytest.raises(gr.FormatError, match=r"^line 1 of model\.txt: expected a graph"):
        parse("", source="model.txt")


def test_what_is_no_text_gets_a_sentence():
    with pytest.raises(gr.FormatError, match="expected the text of a graph, got 3 of type int"):
        parse(3)


def test_compressed_constants_cannot_explode():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(10**7))).decode()
    with pytest.raises(gr.FormatError, match="expected 3 elements"):
        parse(f'graph() {{ %c = constant("{bomb}") : f32[3] return %c }}')


@given(st.text(alphabet="graph(%xy:f32[3]){}=tanh sum,\n#'\"0.1-@return", max_size=60))
def test_any_text_reads_or_gets_a_sentence(text):
    for whole in (text, f"graph(%x: f32[3]) {{\n  %y = sum(%x) {text}\n  return %y\n}}"):
        with contextlib.suppress(gr.FormatError):
            parse(whole)
