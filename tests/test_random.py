"""Random numbers: fixed by their key, distributed as they say, independent where they should be."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
from scipy import stats
from values import assert_explained, value

import graphc as gr
import graphc.random
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.ops.quantile import log, normal_quantile
from graphc.ops.random import BLOCK
from graphc.passes.specialize import specialize
from graphc.testing import check_composite, check_gradient
from graphc.text import parse

KEY = gr.random.key(2024)
MANY = 200_000
CHANCE = 1e-3
"""The fixed seeds below give p-values above this; a generator that is wrong gives smaller ones almost always."""


# The same key, the same numbers


def test_known_numbers():
    """What the words of Philox become is part of the definition."""
    key = gr.constant(np.array([1, 2], "u8"))
    words = np.random.Philox(key=np.array([1, 2], "u8"), counter=0).random_raw(2)
    words = words.tolist()
    assert value(gr.random.uniform(key, (2,), dtype="f64")).tolist() == [(word >> 11) / 2**53 for word in words]
    halves = [half >> 8 for word in words for half in (word % 2**32, word >> 32)]
    assert value(gr.random.uniform(key, 3)).tolist() == [half / 2**24 for half in halves[:3]]


def test_numbers_that_never_change():
    key = gr.random.key(0)
    keys = evaluate([key, gr.random.split(key)[1], gr.random.fold_in(key, 1)])
    assert [words.tolist() for words in keys] == [
        [15793235383387715774, 12390638538380655177], [15189160366194578140, 14098145439289023150],
        [6593286206677252513, 11570076281104695815]]  # fmt: skip
    assert [float(number).hex() for number in value(gr.random.normal(key, 3, "f64"))] == [
        "-0x1.190340ffe451dp+1", "-0x1.4ceccef525ffep-1", "-0x1.2430aace88f00p-4"]  # fmt: skip
    assert value(gr.random.permutation(key, 6)).tolist() == [0, 3, 5, 1, 2, 4]


def draws(key):
    numbers = [gr.random.uniform(key, (3, 5)), gr.random.normal(key, 7, "f64"), gr.random.bernoulli(key, 0.5, 20)]
    return [*numbers, gr.random.permutation(key, 9), *gr.random.split(key), gr.random.fold_in(key, 3)]


def bits(arrays):
    return [np.asarray(array).tobytes() for array in arrays]


def test_the_same_key_gives_the_same_bits_on_any_thread():
    expected = bits(evaluate(draws(KEY)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: bits(evaluate(draws(gr.random.key(2024)))), range(16))) == [expected] * 16


def test_another_key_gives_other_numbers():
    ours, theirs = (bits(evaluate(draws(gr.random.key(seed)))) for seed in (2024, 2025))
    assert all(a != b for a, b in zip(ours, theirs, strict=True))


def test_another_process_gives_the_same_bits():
    script = "import graphc.random as r; from graphc.evaluate import evaluate\n" \
             "print(evaluate([r.normal(r.key(2024), 3000, 'f64')])[0].tobytes().hex())"  # fmt: skip
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert printed.strip() == value(gr.random.normal(KEY, 3000, "f64")).tobytes().hex()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [gr.random.uniform, gr.random.normal])
def test_a_shorter_draw_is_the_start_of_a_longer_one(draw, dtype):
    longer = value(draw(KEY, (2 * BLOCK + 3,), dtype=dtype))
    for count in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1):
        assert value(draw(KEY, count, dtype=dtype)).tobytes() == longer[:count].tobytes()


def test_shapes_lay_the_same_numbers_out():
    assert value(gr.random.normal(KEY, (3, 4))).tolist() == value(gr.random.normal(KEY, 12)).reshape(3, 4).tolist()


def test_a_key_may_be_fed_and_a_step_folded_in():
    key, step = gr.placeholder("key", (2,), "uint64"), gr.placeholder("step", (), "int64")
    y = gr.random.normal(gr.random.fold_in(key, step), 3)
    fed = {key: np.array([7, 8], "u8")}
    first, again, other = (value(y, {**fed, step: np.int64(n)}).tolist() for n in (0, 0, 1))
    assert first == again != other
    assert first == value(gr.random.normal(gr.random.fold_in(np.array([7, 8], "u8"), 0), 3)).tolist()


# The distributions they say


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype):
    x = value(gr.random.uniform(KEY, MANY, dtype=dtype))
    assert x.dtype == dtype
    assert 0 <= x.min() < 1e-4 < 1 - 1e-4 < x.max() < 1
    assert stats.kstest(x, stats.uniform.cdf).pvalue > CHANCE
    low_bits = np.ldexp(x, 24 if dtype == "float32" else 53).astype("i8") & 255
    assert stats.chisquare(np.bincount(low_bits, minlength=256)).pvalue > CHANCE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    x = value(gr.random.normal(KEY, MANY, dtype))
    assert x.dtype == dtype
    assert stats.kstest(x, stats.norm.cdf).pvalue > CHANCE
    moments = [np.mean(x.astype("f8") ** power) for power in (1, 2, 3, 4)]
    errors = np.sqrt(np.array([1, 2, 15, 96]) / MANY)
    assert (np.abs(moments - np.array([0, 1, 0, 3])) < 4 * errors).all()
    assert stats.kstest(np.abs(x[np.abs(x) > 2.5]), lambda t: 1 - stats.norm.sf(t) / stats.norm.sf(2.5)).pvalue > CHANCE


def test_uniform_between_bounds():
    x = value(gr.random.uniform(KEY, MANY, -2, 5))
    assert -2 <= x.min() < -1.999 < 4.999 < x.max() <= 5
    assert stats.kstest(x, stats.uniform(-2, 7).cdf).pvalue > CHANCE
    rows = value(gr.random.uniform(KEY, (1000, 2), [0.0, 10.0], np.array([1, 11])))
    assert (np.floor(rows) == [0, 10]).all()
    assert rows.dtype == np.float32


@pytest.mark.parametrize("p", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_bernoulli(p):
    hits = value(gr.random.bernoulli(KEY, p, MANY))
    assert hits.dtype == bool
    assert stats.binomtest(int(hits.sum()), MANY, p).pvalue > CHANCE


def test_bernoulli_of_an_array_of_chances():
    p = gr.placeholder("p", (3,))
    y = gr.random.bernoulli(KEY, p, (2000, 3))
    assert np.abs(value(y, {p: np.array([0.0, 0.25, 1.0], "f4")}).mean(0) - [0, 0.25, 1]).max() < 0.04
    assert gr.random.bernoulli(KEY, p).shape == (3,)


def test_permutation():
    orders = np.array(evaluate([gr.random.permutation(key, 4) for key in gr.random.split(KEY, 2400)]))
    assert (np.sort(orders, 1) == np.arange(4)).all()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > CHANCE


# Independence


def normals(key):
    return value(gr.random.normal(key, 50_000, "f64"))


def test_draws_of_related_keys_are_independent():
    left, right = gr.random.split(KEY)
    folded = [gr.random.fold_in(KEY, n) for n in (0, 1, 2**64 - 1)]
    keys = [KEY, left, right, *folded, gr.random.fold_in(left, 0), gr.random.key(2025)]
    correlations = np.corrcoef([normals(key) for key in keys])
    assert np.abs(correlations - np.eye(len(keys))).max() < 4.5 / np.sqrt(50_000)


def test_keys_never_meet():
    folded = [gr.random.fold_in(KEY, n) for n in range(-50, 50)]
    keys = [KEY, *gr.random.split(KEY, 50), *folded, *map(gr.random.key, range(50))]
    assert len({tuple(key.tolist()) for key in evaluate(keys)}) == len(keys)
    assert bits(evaluate(gr.random.split(KEY, 2))) == bits(evaluate(gr.random.split(KEY, 5)[:2]))


# The quantile function behind `normal`


def test_the_quantile_function_against_mpmath():
    rng = np.random.default_rng(0)
    tails = [10.0 ** rng.uniform(-16, -0.5, 150), 1 - 2.0 ** -np.arange(2, 53), [2.0**-53]]
    chances = np.concatenate([rng.uniform(0, 1, 150), *tails])
    with mpmath.workdps(40):
        exact = [mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(float(p)) - 1) for p in chances]
        errors = [abs(mpmath.mpf(float(z)) / e - 1) for z, e in zip(normal_quantile(chances), exact, strict=True) if e]
    assert max(errors) < 1e-15


def test_the_logarithm_against_mpmath():
    x = np.concatenate([10.0 ** np.random.default_rng(0).uniform(-16, 0, 300), [0.5, 1.0, 2.0**-52, 1 - 2.0**-53]])
    with mpmath.workdps(40):
        exact = [mpmath.log(mpmath.mpf(float(v))) for v in x]
        errors = [abs(mpmath.mpf(float(z)) - e) / np.spacing(abs(float(e))) for z, e in zip(log(x), exact, strict=True)]
    assert max(errors) < 1


# As part of a graph


@pytest.mark.parametrize("draw", [getattr(gr.random, name) for name in gr.random.__all__ if name != "key"])
def test_declared_samples(draw):
    check_composite(draw)


def test_derivatives_pass_to_the_bounds():
    low, high = gr.placeholder("low", (3,), "f64"), gr.placeholder("high", (), "f64")
    y = gr.random.uniform(KEY, (2, 3), low, high, "f64")
    check_gradient(y * y, [low, high], {low: np.arange(3.0), high: np.float64(9)})


def test_reparametrized_normals_have_derivatives():
    mean, spread = gr.placeholder("mean", (), "f64"), gr.placeholder("spread", (), "f64")
    y = (mean + spread * gr.random.normal(KEY, (50,), "f64")) ** 2
    check_gradient(y, [mean, spread], {mean: np.float64(0.5), spread: np.float64(2)})


def test_symbolic_shapes():
    x = gr.placeholder("x", ("batch", 3))
    y = x * gr.random.bernoulli(KEY, 0.5, x.shape) + gr.random.permutation(KEY, x.shape[0])[:, None]
    graph = specialize(Graph([x], [y]), sizes={"batch": 4})
    kept = value(gr.random.bernoulli(KEY, 0.5, (4, 3)))
    order = value(gr.random.permutation(KEY, 4))
    expected = np.ones((4, 3), "f4") * kept + order[:, None]
    assert evaluate(graph.outputs, {graph.inputs[0]: np.ones((4, 3), "f4")})[0].tolist() == expected.tolist()


def test_text():
    text = str(Graph(None, [gr.random.normal(gr.random.fold_in(KEY, 1), (2, 3))]))
    assert "{shape=(2, 3), dtype=f32} : f32[2, 3]" in text
    assert bits(evaluate(parse(text).outputs)) == bits([value(gr.random.normal(gr.random.fold_in(KEY, 1), (2, 3)))])


REAL, WORDS = gr.placeholder("real", (2,)), gr.placeholder("words", (3,), "uint64")
MISTAKES = [
    (lambda: gr.random.key(-1), gr.DTypeError, "an int ≥ 0, got -1", ""),
    (lambda: gr.random.key(0.5), gr.DTypeError, "an int ≥ 0, got 0.5", "fold_in"),
    (lambda: gr.random.normal(REAL, 3), gr.DTypeError, "key of type u64[2], got f32[2]", "gr.random.key(seed)"),
    (lambda: gr.random.uniform(WORDS, 3), gr.ShapeError, "key of type u64[2], got u64[3]", "gr.random.key(seed)"),
    (lambda: gr.random.normal(7, 3), gr.DTypeError, "key of type u64[2], got i64[]", "gr.random.key(seed)"),
    (lambda: gr.random.permutation(REAL, 3), gr.DTypeError, "key of type u64[2]", "gr.random.key(seed)"),
    (lambda: gr.random.normal(KEY, 3, "float16"), gr.DTypeError, "random numbers, got float16", "astype"),
    (lambda: gr.random.uniform(KEY, 3, dtype="i4"), gr.DTypeError, "random numbers, got int32", "astype"),
    (lambda: gr.random.uniform(KEY, 3, [0.0, 1.0]), gr.ShapeError, "got [3] and [2]", ""),
    (lambda: gr.random.uniform(KEY, (), [0.0, 1.0]), gr.ShapeError, "broadcast to [], got", "larger shape"),
    (lambda: gr.random.bernoulli(KEY, [0.1, 0.2], ()), gr.ShapeError, "broadcast to [], got", "larger shape"),
    (lambda: gr.random.split(KEY, -1), gr.ShapeError, "number of keys to be an int ≥ 0", ""),
    (lambda: gr.random.split(REAL), gr.DTypeError, "key of type u64[2]", "gr.random.key(seed)"),
    (lambda: gr.random.fold_in(KEY, 0.5), gr.DTypeError, "an integer to fold into a key, got f64[]", "one"),
    (lambda: gr.random.fold_in(KEY, [1, 2]), gr.DTypeError, "an integer to fold into a key, got i64[2]", "one"),
    (lambda: gr.random.permutation(KEY, -1), gr.ShapeError, "a dim ≥ 0, got -1", ""),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "kind", "problem", "remedy"), MISTAKES)
def test_mistakes_are_explained(mistake, kind, problem, remedy):
    assert_explained(mistake, kind, problem, remedy)
