"""Calls that are native code: arguments that they take, and those that go through Python."""

import sys

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from entries import Slow, entered, matrices, needs_entries, rosenbrock

pytestmark = [needs_entries, pytest.mark.usefixtures("each_way")]

rng = np.random.default_rng(0)


class Own(np.ndarray):
    pass


class Real(float):
    pass


READONLY = np.arange(15.0).reshape(3, 5)
READONLY.flags.writeable = False
UNUSUAL = {
    "fortran": np.asfortranarray(READONLY), "strided": np.arange(30.0).reshape(3, 10)[:, ::2],
    "reversed": np.arange(15.0)[::-1].reshape(3, 5)[:, ::-1], "swapped": READONLY.astype(">f8"),
    "misaligned": np.frombuffer(b"\0" + READONLY.tobytes(), "u1")[1:].view("f8").reshape(3, 5),
    "f32": READONLY.astype("f4"), "ints": READONLY.astype("i4"), "lists": READONLY.tolist(),
    "subclass": READONLY.view(Own), "read-only": READONLY, "tuples": tuple(map(tuple, READONLY.tolist())),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_arrays_are_taken_all_the_same(kind):
    f, given, other = matrices(), UNUSUAL[kind], rng.normal(size=(3, 5))
    total, product = f(given, other)
    np.testing.assert_allclose(total, np.add(given, other))
    np.testing.assert_allclose(product, np.sum(np.multiply(given, other)))
    assert (type(total), type(product)) == (np.ndarray, np.float64)


OTHER = [(1, 2), (Real(1.0), 2.0), (np.float32(1), 2.0), (np.int8(1), 2.0), (1.0, np.array(2))]


@pytest.mark.parametrize("args", OTHER)
def test_other_numbers_mean_what_they_mean_to_python_code(args):
    f = rosenbrock()
    assert f(*args) == f._slow(*args) == f(1.0, 2.0)


WHOLE = (0, 1, -1, 127, 128, -128, -129, 255, 256, 2**24, 2**24 + 1, -(2**31), 2**31, 2**53, 2**53 + 1, 2**63 - 1,
         -(2**63), 2**63, 2**64 - 1, 2**64, 10**39, 10**400)  # fmt: skip


@pytest.mark.parametrize(
    "dtype", [*(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)), "float32", "float64"]
)
def test_python_integers_are_taken_natively_where_the_dtype_holds_them(dtype, only_native):
    x = gr.placeholder("x", (), dtype)
    f = entered(gr.compile([x], x + x, backend="native"), 1)
    assert [outcome(f, number) for number in WHOLE] == [outcome(f._slow, number) for number in WHOLE]
    largest = 2 ** (np.finfo(dtype).nmant + 1) if dtype[0] == "f" else min(np.iinfo(dtype).max, 2**63 - 1)
    only_native()
    assert [f(0), f(largest)] == [0, np.add(*np.full(2, largest, dtype))]
    for other in (largest + 1, True):
        with pytest.raises(Slow):
            f(other)


def outcome(f, number):
    try:
        result = f(number)
    except gr.FeedError as error:
        return str(error)
    return type(result), result


WRONG = {"shape": (np.ones((3, 4)), np.ones((3, 5))), "rank": (np.ones(15), np.ones((3, 5))), "few": (np.ones((3, 5)),),
         "higher rank": (np.ones((3, 5, 2)), np.ones((3, 5))),
         "many": (np.ones((3, 5)),) * 3, "none": (None, None), "complex": (np.ones((3, 5), complex), np.ones((3, 5))),
         "transposed": (np.ones((5, 3)), np.ones((3, 5))),
         "node": (gr.placeholder("x", (3, 5)),) * 2, "text": ("1", "2"), "numbers": (1.5, 2.5)}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_errors_are_those_of_python_code(kind):
    f = matrices()
    with pytest.raises(gr.GraphcError) as expected:
        f._slow(*WRONG[kind])
    with pytest.raises(type(expected.value)) as error:
        f(*WRONG[kind])
    assert str(error.value) == str(expected.value)


def test_arguments_named_in_order_are_taken_natively(only_native):
    f = rosenbrock()
    expected, reference = f(1.5, 2.0), sys.getrefcount("x")
    only_native()
    for _ in range(100):
        assert f(1.5, y=2.0) == f(x=1.5, y=2.0) == expected
    assert abs(sys.getrefcount("x") - reference) < 5
    others = [((), {"y": 2.0, "x": 1.5}), ((1.5,), {"x": 2.0}), ((1.5,), {"z": 2.0}), ((1.5, 2.0), {"y": 2.0}),
              ((), {"x": 1.5}), ((), {"x": 1.5, "y": 2.0, "z": 3.0})]  # fmt: skip
    for args, named in others:
        with pytest.raises(Slow):
            f(*args, **named)


def test_other_names_go_through_python():
    f = rosenbrock()
    assert f(y=2.0, x=1.5) == f(**{"".join(["", "x"]): 1.5, "y": 2.0}) == f(1.5, 2.0)
    with pytest.raises(gr.FeedError, match="no input called z"):
        f(1.5, z=2.0)
    with pytest.raises(gr.FeedError, match="given twice"):
        f(1.5, x=2.0)
