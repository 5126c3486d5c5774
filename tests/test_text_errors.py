"""Text that is wrong gets a sentence with its line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc.text import parse

# `@` stands for the statement in the second line.

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
