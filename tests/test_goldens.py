"""Every golden file about a pass holds, and every other pass leaves its meaning alone."""

from dataclasses import replace

import golden
import pytest

from graphc.errors import CompileError

GOLDENS = golden.all_goldens()
PASSES = list(golden.passes().values())


def name_of(value):
    return f"{value.path.parent.name}/{value.path.stem}" if isinstance(value, golden.Golden) else value.name


@pytest.mark.parametrize("case", GOLDENS, ids=name_of)
def test_golden(case, bless):
    if bless:
        case = golden.blessed(case)
        case.path.write_text(case.text(), "utf-8")
    golden.check(case)


@pytest.mark.parametrize("one", PASSES, ids=name_of)
@pytest.mark.parametrize("case", GOLDENS, ids=name_of)
def test_other_pass(case, one):
    golden.check_other(case, one)


def test_goldens_are_short():
    for case in GOLDENS:
        for side in (case.before, case.after):
            assert side.count("\n") < 20, f"{case.path} shows more than one idea"


# Planted faults: the runner must see each.


@pytest.fixture
def planted(tmp_path):
    """A golden for cse whose expected output is right."""
    (tmp_path / "cse").mkdir()
    path = tmp_path / "cse" / "planted.txt"
    path.write_text("# Two equal nodes become one.\n" + DOUBLED)
    return golden.blessed(golden.read(path))


DOUBLED = """graph(%x: f64[4], %n: i64[4]) {
  %tanh = tanh(%x) : f64[4]
  %tanh_1 = tanh(%x) : f64[4]
  %add = add(%tanh, %tanh_1) : f64[4]
  return %add, %n
}"""


def test_what_the_pass_makes_passes(planted):
    golden.check(planted)


def test_another_text_fails(planted):
    with pytest.raises(AssertionError):
        golden.check(replace(planted, after=planted.before))


def test_a_wrongly_blessed_file_fails(planted, monkeypatch):
    """A pass that is wrong, and a file blessed with what it makes: the texts agree, the values do not."""
    wrong = golden.passes()["cse"]
    broken = replace(wrong, function=lambda graph: golden.parse(DOUBLED.replace("add(", "subtract(")))
    monkeypatch.setattr(golden, "passes", lambda: {"cse": broken})
    lied = golden.blessed(planted)
    assert "subtract" in lied.after
    with pytest.raises(AssertionError, match="output 0 computes"):
        golden.check(lied)


@pytest.mark.parametrize(("old", "new"), [
    ("add(%tanh, %tanh_1)", "multiply(%tanh, %tanh_1)"),
    ("%x: f64[4]", "%x: f64[4], %y: f64[4]"),
    ("return %add, %n", "return %n, %add"),
    ("return %add, %n", "return %add"),
    ("f64", "f32"),
])  # fmt: skip
def test_a_pass_that_changes_the_meaning_is_seen(planted, old, new):
    """Run over another pass's golden, a pass that is wrong has no expected text to be compared with."""
    faulty = replace(golden.passes()["cse"], function=lambda graph: golden.parse(DOUBLED.replace(old, new)))
    with pytest.raises((AssertionError, ValueError, CompileError)):
        golden.check_other(planted, faulty)


def test_zeros_of_either_sign_differ_where_a_pass_is_exact():
    assert not golden.same(0.0, -0.0, exact=True)
    assert golden.same(0.0, -0.0, exact=False)


def test_one_ulp_differs_where_a_pass_is_exact():
    assert not golden.same(1.0, 1.0 + 2**-52, exact=True)
    assert golden.same(1.0, 1.0 + 2**-52, exact=False)
    assert not golden.same(1.0, 1.0 + 2**-30, exact=False)
