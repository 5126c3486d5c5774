"""Text: values, attributes and sizes are printed exactly."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import round_trip

import graphc as gr
from graphc.ir import freeze
from graphc.op import OPS
from graphc.text import parse
from graphc.text.dims import parse_dim
from graphc.text.literals import value_text
from graphc.text.reader import Reader
from graphc.text.values import read_value
from graphc.types import DTYPES, Dim, Type

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


def test_a_size_has_one_form_however_it_was_made():
    a = Dim("a")
    assert (a - 1) // a == 0
    assert parse_dim("floor((a - 1)/a)") == 0
    assert parse_dim("2*(a + 1)") == 2 * a + 2


@pytest.mark.parametrize("text", [
    "", "2 3", "a b", "a/2", "1.5", "a**b", "a**99", "f(a)", "a+", "(a", "a)", "__import__('os')", "a.b", "floor(a/2",
    "a/0", "9" * 30, "(" * 50 + "a" + ")" * 50, "a[0]", "a or b",
])  # fmt: skip
def test_what_is_no_size_is_refused(text):
    with pytest.raises(gr.FormatError, match="expected a size"):
        parse_dim(text)
