"""Products in native code: right for any shape, strides, batch and epilogue, within their operands' memory, and the
same bits however their blocks are shared out."""

import ctypes
import itertools
import mmap
import threading
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from guarded import PAGE, forbid
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code import host
from graphc.native.code.vectors import Unit, host_unit
from graphc.native.code.writer import SYMBOL
from graphc.native.gemm import blocking
from graphc.native.gemm.epilogues import STORED, Access, Epilogue
from graphc.native.gemm.limits import limits_of, share_of
from graphc.native.gemm.product import Product

UNITS = {"host": host_unit(), "32 bytes": Unit(32, 16, masked=False), "16 bytes": Unit(16, 16, masked=False),
         "16 bytes, 32 registers": Unit(16, 32, masked=False)}  # fmt: skip
DTYPES = ["float32", "float64"]
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Fence:
    """Memory with an unreadable page before and behind it: reading or writing past the end kills the process."""

    def __init__(self, nbytes):
        self.inside = -(-max(nbytes, 1) // PAGE) * PAGE
        self.map = mmap.mmap(-1, self.inside + 2 * PAGE)
        self.begin = ctypes.addressof(ctypes.c_char.from_buffer(self.map)) + PAGE
        forbid(self.begin - PAGE)
        forbid(self.begin + self.inside)


def fenced(array, *, at_end=True):
    """A copy of an array with the same strides, flush with the end (or the start) of fenced memory."""
    if array.size == 0:
        return array
    low = sum((size - 1) * step for size, step in zip(array.shape, array.strides, strict=True) if step < 0)
    high = sum((size - 1) * step for size, step in zip(array.shape, array.strides, strict=True) if step > 0)
    nbytes = high - low + array.itemsize
    fence = Fence(nbytes)
    memory = (ctypes.c_char * nbytes).from_address(fence.begin + (fence.inside - nbytes if at_end else 0))
    view = np.ndarray(array.shape, array.dtype, memory, -low, array.strides)
    view[...] = array
    KEPT.append(fence)
    return view


KEPT = []


def steps(array):
    """Strides in elements."""
    return tuple(step // array.itemsize for step in array.strides)


def access(array):
    return Access(steps(array), array.dtype)


def product_of(a, b, c, epilogue=STORED, unit=None):
    """The product that computes c from a and b, which broadcast over c's batch axes."""
    batch = c.shape[:-2]
    a, b = (np.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    return Product(batch, *c.shape[-2:], a.shape[-1], c.dtype, steps(a), steps(b), steps(c), epilogue, unit)


def affine(*addends, alpha=1.0):
    """alpha · value + the addends: a bias along rows (row stride 0), a bias along columns, an accumulated array."""

    def emit(b, value, operand):
        value = value if alpha == 1.0 else b.fmul(value, ir.Constant(value.type, alpha))
        for number in range(len(addends)):
            value = b.fadd(value, operand(number), flags=("contract",))
        return [value]

    return Epilogue(("affine", alpha), emit, addends)


def rectified(before):
    """max(·, 0) of an epilogue's value; NaN stays."""

    def emit(b, value, operand):
        (value,), zero = before.emit(b, value, operand), ir.Constant(value.type, 0.0)
        return [b.select(b.fcmp_ordered("<=", value, zero), zero, value)]

    return Epilogue(("rectified", before.key), emit, before.operands)


def masked_where_positive(condition):
    """where(condition > 0, ·, 0), as in the derivative of a rectifier."""

    def emit(b, value, operand):
        zero = ir.Constant(value.type, 0.0)
        return [b.select(b.fcmp_ordered(">", operand(0), zero), value, zero)]

    return Epilogue("masked where positive", emit, (condition,))


def both(product):
    """A product with code of its own, and with code for any number of rows if it may have that."""
    general = replace(product, general=True)
    return [product, general] if general.plan.general else [product]


@cache
def compiled(write, layout):
    """The code of a stage, which programs keep by its layout, too."""
    return host.Loaded(host.object_code(write(layout)), SYMBOL)


def run(product, *arrays, order=None):
    """All stages, block by block in the given order of blocks (a function from their number to their order)."""
    scratch = fenced(np.full(max(product.scratch_bytes, 1), 255, np.uint8), at_end=False)
    words = [x.ctypes.data for x in ([*arrays, scratch] if product.scratch_bytes else arrays)] + [*product.numbers]
    table = (ctypes.c_void_p * len(words))(*words)
    for stage in product.stages:
        kernel = KERNEL(compiled(stage.write, stage.layout).address)
        for first, last in order(stage.blocks) if order else [(0, stage.blocks)]:
            kernel(ctypes.addressof(table), first, last, 0)


def close(c, a, b, more=0.0):
    """Fail unless each element is as near to the exact product as rounding at every step allows."""
    exact = np.matmul(a.astype("f8"), b.astype("f8")) + more
    size = np.matmul(np.abs(a).astype("f8"), np.abs(b).astype("f8")) + np.abs(more)
    bound = (a.shape[-1] + 4) * np.finfo(c.dtype).eps * size
    if c.dtype == np.float64:
        bound *= 2  # the reference is rounded as well
    assert np.all(np.abs(c - exact) <= bound + np.finfo(c.dtype).tiny)


def matrix(rng, shape, dtype, *, transposed=False, at_end=True):
    values = rng.normal(size=shape).astype(dtype)
    if transposed:
        values = np.swapaxes(np.ascontiguousarray(np.swapaxes(values, -1, -2)), -1, -2)
    return fenced(values, at_end=at_end)


def check(rng, batch, m, n, k, dtype="float32", *, ta=False, tb=False, tc=False, unit=None, batch_a=None, batch_b=None):
    """Compute and compare one product, its operands at the end and at the start of their memory."""
    for at_end in (True, False):
        a = matrix(rng, ((batch if batch_a is None else batch_a) + (m, k)), dtype, transposed=ta, at_end=at_end)
        b = matrix(rng, ((batch if batch_b is None else batch_b) + (k, n)), dtype, transposed=tb, at_end=at_end)
        c = matrix(rng, (*batch, m, n), dtype, transposed=tc, at_end=at_end)
        c.fill(np.nan)
        for product in both(product_of(a, b, c, unit=unit)):
            c.fill(np.nan)
            run(product, a, b, c)
            close(c, a, b)
    KEPT.clear()


ODD = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 70]


@pytest.mark.parametrize("seed", range(24))
def test_odd_shapes(seed):
    rng = np.random.default_rng(seed)
    m, n, k = (int(x) for x in rng.choice(ODD, 3))
    ta, tb, tc = (bool(x) for x in rng.integers(2, size=3))
    check(rng, (), m, n, k, DTYPES[seed % 2], ta=ta, tb=tb, tc=tc and seed % 3 == 0)


@pytest.mark.parametrize("unit", list(UNITS)[1:])
@pytest.mark.parametrize("shape", [(7, 5, 3), (17, 33, 20), (3, 19, 64), (33, 7, 9), (1, 50, 31), (50, 1, 31)])
@pytest.mark.parametrize("transposes", [(0, 0), (1, 1)])
def test_any_vector_unit(unit, shape, transposes):
    rng = np.random.default_rng(0)
    dtype = DTYPES[sum(shape) % 2]
    check(rng, (), *shape, dtype, ta=bool(transposes[0]), tb=bool(transposes[1]), unit=UNITS[unit])


@pytest.mark.parametrize("transposes", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(
    "shape", [(1, 100, 60), (100, 1, 60), (1, 1, 1000), (40, 30, 1), (1, 1, 1), (2, 100, 33), (100, 3, 33)]
)
def test_thin_shapes(shape, transposes):
    check(np.random.default_rng(1), (), *shape, "float32", ta=transposes[0], tb=transposes[1])


@pytest.mark.parametrize(
    ("m", "n", "k", "ta", "tb"),
    [
        (200, 512, 130, False, False),  # columns of B lie on conflicting lines: copied in the block
        (130, 512, 1500, False, False),
        (512, 200, 130, True, False),  # rows of A on conflicting lines
        (300, 260, 80, False, True),  # B transposed in the block
        (20, 30, 5000, False, True),  # k in parts
        (20, 30, 9000, True, False),
        (2, 3, 70000, False, True),
        (600, 70, 70, False, False),  # several blocks of rows
        (1, 2100, 301, False, False),  # rows of B streamed
        (3, 2001, 2101, True, False),  # and so with more rows of A
        (1, 20, 999, False, False),  # a single tile with sums side by side
        (1, 1, 3333, True, True),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_shapes(m, n, k, ta, tb, dtype):
    check(np.random.default_rng(2), (), m, n, k, dtype, ta=ta, tb=tb)


@pytest.mark.parametrize(
    ("batch", "batch_a", "batch_b"),
    [
        ((3,), (3,), (3,)),
        ((2, 3), (2, 3), (2, 3)),
        ((2, 3), (2, 1), (1, 3)),
        ((4,), (4,), ()),  # one B: the batch is rows
        ((4,), (), (4,)),
        ((2, 3), (), (3,)),
        ((300,), (300,), (300,)),
        ((1, 5), (1, 5), (1, 5)),
    ],
)
@pytest.mark.parametrize("transposes", [(False, False), (True, False), (False, True)])
def test_batches(batch, batch_a, batch_b, transposes):
    ta, tb = transposes
    check(np.random.default_rng(3), batch, 5, 6, 7, ta=ta, tb=tb, batch_a=batch_a, batch_b=batch_b)


@pytest.mark.parametrize("n", [1, 6, 70])
def test_batches_of_rows_with_one_matrix(n):
    check(np.random.default_rng(3), (3, 1), 5, n, 40, batch_b=())
    check(np.random.default_rng(3), (2, 3), 1, n, 40, batch_b=())


def test_packed_batches():
    check(np.random.default_rng(4), (3, 2), 270, 260, 64, tb=True)
    check(np.random.default_rng(4), (3, 2), 270, 260, 64, tb=True, batch_b=(1, 2))
    check(np.random.default_rng(4), (3, 2), 512, 130, 130, ta=True, batch_a=(3, 1))


@pytest.mark.parametrize(("unit", "dtype"), list(itertools.product(["host", "32 bytes"], DTYPES)))
@pytest.mark.parametrize(("batch", "m", "n", "k"), [((), 70, 67, 300), ((2,), 67, 64, 270), ((), 70, 140, 4100)])
def test_rows_on_pages_of_their_own_are_packed(batch, m, n, k, unit, dtype):
    rng = np.random.default_rng(7)
    wide = fenced(rng.normal(size=(*batch, k, 1024)).astype(dtype))
    b, c = matrix(rng, (*batch, k, n), dtype), matrix(rng, (*batch, m, n), dtype)
    addend = matrix(rng, (*batch, m, n), dtype)
    for a in (wide[..., :m], wide[..., 1024 - m :]):
        a, expected = np.swapaxes(a, -1, -2), affine(access(addend))
        product = product_of(a, b, c, expected, UNITS[unit])
        assert product.plan.packs_a
        assert len(product.stages) == 2 + (k > 4000)
        c.fill(np.nan)
        run(product, a, b, c, addend, order=lambda blocks: [(i, i + 1) for i in reversed(range(blocks))])
        close(c, a, b, addend.astype("f8"))
    KEPT.clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_strides(dtype):
    rng = np.random.default_rng(5)
    big = fenced(rng.normal(size=(60, 200)).astype(dtype))
    for a, b in [(big[:20, 3:180:3], big[1:60, 10:90:2]), (big[19::-1, :40], big[40:0:-1, 90::-1]),
                 (big[:, :9].T, big[::-1, ::-3]), (np.broadcast_to(big[0, :40], (6, 40)), big[:40, 4:9]),
                 (big[:7, :40], np.broadcast_to(big[0, :40, None], (40, 18)))]:  # fmt: skip
        c = fenced(np.zeros((2 * a.shape[0], 3 * b.shape[1]), dtype))
        for target in (c[: a.shape[0], : b.shape[1]], c[::2, ::3], c[::-2, ::-3]):
            c.fill(np.nan)
            run(product_of(a, b, target), a, b, target)
            close(target, a, b)
            assert np.isnan(c).sum() == c.size - target.size
    KEPT.clear()


@pytest.mark.parametrize(("m", "n", "k", "batch"), [(0, 3, 4, ()), (3, 0, 4, ()), (3, 4, 5, (0,)), (0, 0, 0, ())])
def test_empty_results_need_no_kernel(m, n, k, batch):
    a, b, c = np.zeros((*batch, m, k)), np.zeros((*batch, k, n)), np.zeros((*batch, m, n))
    product = product_of(a, b, c)
    assert product.stages == ()
    assert product.scratch_bytes == 0
    assert product.flops == 0


@pytest.mark.parametrize("shape", [(3, 4), (1, 9), (9, 1), (40, 70)])
def test_no_terms_give_zero(shape):
    m, n = shape
    a, b, c = np.zeros((m, 0)), np.zeros((0, n)), fenced(np.full((m, n), np.nan))
    run(product_of(a, b, c, affine(Access((0, 0), np.dtype("f8")))), a, b, c, fenced(np.array([2.5])))
    np.testing.assert_array_equal(c, 2.5)


@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 40, 33), (33, 70, 40), (4, 4, 100)])
def test_nan_and_infinity_spread_as_they_should(shape, tb):
    m, n, k = shape
    rng = np.random.default_rng(6)
    for place in range(3):
        a, b = matrix(rng, (m, k), "float32"), matrix(rng, (k, n), "float32", transposed=tb)
        c = matrix(rng, (m, n), "float32")
        a[m // 2, [0, k // 2, k - 1][place]] = np.inf
        b[[k - 1, 0, k // 2][place], n - 1] = np.nan
        run(product_of(a, b, c), a, b, c)
        expected = a.astype("f8") @ b.astype("f8")
        np.testing.assert_array_equal(np.isnan(c), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(c), np.isinf(expected))


# ------------------------------------------------------------------------------------------------------- epilogues


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 40, 33), (40, 1, 33), (33, 70, 40), (20, 30, 5000)])
@pytest.mark.parametrize("unit", ["host", "32 bytes"])
def test_affine_epilogue(shape, dtype, unit):
    m, n, k = shape
    rng = np.random.default_rng(7)
    a, b = matrix(rng, (m, k), dtype), matrix(rng, (k, n), dtype)
    row, column, other = (matrix(rng, size, dtype) for size in [(1, n), (m, 1), (m, n)])
    views = [np.broadcast_to(x, (m, n)) for x in (row, column, other)]
    for alpha, addends in [(1.0, views[:1]), (0.5, views[1:2]), (-2.0, views), (1.0, [])]:
        c = fenced(np.full((m, n), np.nan, dtype))
        for product in both(product_of(a, b, c, affine(*map(access, addends), alpha=alpha), UNITS[unit])):
            c.fill(np.nan)
            run(product, a, b, c, *addends)
            close(c, dtype_times(a, alpha), b, sum(x.astype("f8") for x in addends) if addends else 0.0)
    KEPT.clear()


def dtype_times(a, alpha):
    return a * a.dtype.type(alpha)


@pytest.mark.parametrize("shape", [(5, 7, 9), (33, 70, 40), (20, 30, 5000), (1, 60, 30)])
def test_accumulating_in_place(shape):
    m, n, k = shape
    rng = np.random.default_rng(8)
    a, b, c = matrix(rng, (m, k), "float32"), matrix(rng, (k, n), "float32"), matrix(rng, (m, n), "float32")
    for product in both(product_of(a, b, c, affine(access(c)))):
        before = c.copy()
        run(product, a, b, c, c)
        close(c, a, b, before)


def test_a_layer_and_its_derivative_in_one_kernel_each():
    rng = np.random.default_rng(9)
    x, w, bias = (matrix(rng, size, "float32") for size in [(33, 40), (40, 50), (1, 50)])
    h = fenced(np.empty((33, 50), "f4"))
    bias = np.broadcast_to(bias, (33, 50))
    run(product_of(x, w, h, rectified(affine(access(bias)))), x, w, h, bias)
    expected = np.maximum(x.astype("f8") @ w + bias, 0)
    np.testing.assert_allclose(h, expected, atol=1e-4)
    g, v, d = matrix(rng, (33, 21), "float32"), matrix(rng, (50, 21), "float32"), fenced(np.empty((33, 50), "f4"))
    run(product_of(g, v.T, d, masked_where_positive(access(h))), g, v.T, d, h)
    np.testing.assert_allclose(d, np.where(h > 0, g.astype("f8") @ v.T, 0), atol=1e-4)


def test_a_rectifier_keeps_nan():
    a, b, c = np.array([[np.nan, 1.0]]), np.eye(2), np.zeros((1, 2))
    run(product_of(a, b, c, rectified(affine())), a, b, c)
    assert np.isnan(c).all()


def general(operand, result):
    """2·value + operand where the value is below the operand, else -value; and whether value > 0 beside it."""

    def emit(b, value, read):
        below = b.fcmp_ordered("<", value, read(0))
        sum_ = b.fadd(b.fmul(value, ir.Constant(value.type, 2.0)), read(0))
        return [b.select(below, sum_, b.fneg(value)), b.fcmp_ordered(">", value, ir.Constant(value.type, 0.0))]

    return Epilogue("general", emit, (access(operand),), (access(result),))


@pytest.mark.parametrize(
    ("batch", "m", "n", "k", "one_b"),
    [((), 5, 7, 9, False), ((), 33, 70, 40, False), ((), 1, 40, 33, False), ((), 40, 1, 33, False),
     ((), 20, 30, 5000, False), ((3,), 9, 10, 11, False), ((2, 3), 9, 10, 11, True), ((2, 2), 9, 1, 11, True),
     ((), 4, 30, 40, False), ((), 1, 300, 1000, False), ((), 3, 7, 1000, False), ((), 37, 5, 1000, False),
     ((2, 3), 17, 20, 30, False), ((), 21, 9, 40, False)],
)  # fmt: skip
@pytest.mark.parametrize("lies", ["in rows", "in columns", "apart"])
def test_general_epilogue(batch, m, n, k, one_b, lies):
    rng = np.random.default_rng(10)
    a = matrix(rng, (*batch, m, k), "float64")
    b = matrix(rng, (() if one_b else batch) + (k, n), "float64", transposed=True)
    c, other = (matrix(rng, (*batch, m, n), "float64", transposed=lies == "in columns") for _ in range(2))
    if lies == "apart":
        c = fenced(np.full((*batch, 2 * m, 3 * n), np.nan))[..., ::2, ::3]
    positive = fenced(np.zeros((*batch, m, n), "?"))
    value = a @ b
    for product in both(product_of(a, b, c, general(other, positive))):
        c.fill(np.nan)
        run(product, a, b, c, other, positive)
        np.testing.assert_allclose(c, np.where(value < other, 2 * value + other, -value), rtol=1e-11, atol=1e-10)
        np.testing.assert_array_equal(positive, value > 0)
    KEPT.clear()


@pytest.mark.parametrize("apart", [1, 2])
def test_half_precision_operands_and_results(apart):
    rng = np.random.default_rng(11)
    a, b = matrix(rng, (9, 8), "float32"), matrix(rng, (8, 20), "float32")
    c = fenced(np.zeros((9, 20 * apart), "f4"))[:, ::apart]
    half, result = matrix(rng, (9, 20), "float16"), fenced(np.zeros((9, 20), "f2"))
    epilogue = Epilogue("half", lambda b, value, operand: [value, b.fadd(value, operand(0))],
                        (access(half),), (access(result),))  # fmt: skip
    run(product_of(a, b, c, epilogue), a, b, c, half, result)
    np.testing.assert_array_equal(result, (c + half.astype("f4")).astype("f2"))


@pytest.mark.parametrize("n", [16, 50])
def test_mathematics_in_an_epilogue(n):
    rng = np.random.default_rng(12)
    a, b, c = matrix(rng, (33, 40), "float32"), matrix(rng, (40, n), "float32"), fenced(np.zeros((33, n), "f4"))
    product = product_of(a, b, c, Epilogue("tanh", lambda b, value, operand: [vecmath.emit(b, "tanh", value)]))
    run(product, a, b, c)
    np.testing.assert_allclose(c, np.tanh(a.astype("f8") @ b), atol=2e-5)


# ---------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize(
    ("batch", "m", "n", "k", "tb"),
    [((), 64, 64, 64, False), ((), 200, 512, 130, False), ((), 300, 260, 80, True), ((), 20, 30, 5000, False),
     ((7,), 30, 40, 50, False), ((300,), 4, 4, 4, False), ((), 1, 3000, 500, True), ((), 512, 1024, 1, False)],
)  # fmt: skip
def test_bits_do_not_depend_on_how_blocks_are_shared_out(batch, m, n, k, tb):
    rng = np.random.default_rng(13)
    a, b = matrix(rng, (*batch, m, k), "float32"), matrix(rng, (*batch, k, n), "float32", transposed=tb)
    c, again = (fenced(np.full((*batch, m, n), np.nan, "f4")) for _ in range(2))
    product = product_of(a, b, c)
    assert any(stage.blocks > 1 for stage in product.stages)
    run(product, a, b, c)
    orders = [lambda n: [(i, i + 1) for i in rng.permutation(n)], lambda n: [(n // 3, n), (0, n // 3)]]
    for order in orders:
        again.fill(np.nan)
        run(product, a, b, again, order=order)
        assert again.tobytes() == c.tobytes()
    KEPT.clear()


def test_threads_work_on_blocks_of_one_product():
    rng = np.random.default_rng(14)
    a, b = matrix(rng, (300, 80), "float32"), matrix(rng, (80, 260), "float32", transposed=True)
    c, again = (fenced(np.full((300, 260), np.nan, "f4")) for _ in range(2))
    product = product_of(a, b, c)
    run(product, a, b, c)
    scratch = np.zeros(product.scratch_bytes, np.uint8)
    table = (ctypes.c_void_p * 4)(*[x.ctypes.data for x in (a, b, again, scratch)])
    for stage in product.stages:
        kernel, blocks = KERNEL(compiled(stage.write, stage.layout).address), iter(range(stage.blocks))

        def work(kernel=kernel, blocks=blocks):
            for block in blocks:
                kernel(ctypes.addressof(table), block, block + 1, 0)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert again.tobytes() == c.tobytes()


# ------------------------------------------------------------------------------------------------------- the object


def test_equal_descriptions_are_one_kernel():
    first, second = (Product((), 4, 5, 6, np.dtype("f4"), (6, 1), (5, 1), (5, 1), affine(alpha=2.0)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first.stages == second.stages
    assert first != Product((), 4, 5, 6, np.dtype("f4"), (6, 1), (5, 1), (5, 1), affine(alpha=3.0))


@pytest.mark.parametrize("unit", ["host", "16 bytes"])
@pytest.mark.parametrize(
    ("batch", "n", "k", "form"),
    [((), 512, 784, "forward"), ((), 10, 256, "forward"), ((), 256, 10, "backward"), ((), 784, 512, "weights"),
     ((), 4, 70, "backward"), ((5,), 64, 32, "forward"), ((2, 3), 64, 32, "backward")],
)  # fmt: skip
def test_any_number_of_rows_has_the_same_code(batch, n, k, form, unit):
    rng = np.random.default_rng(15)
    bias = matrix(rng, (1, n), "float32")
    layouts, texts = set(), set()
    for rows in (64, 80, 112, 125, 160):
        if batch:
            rows, batch = 64, (rows // 16, *batch[1:])
        if form == "weights":
            a, b = matrix(rng, (k, rows), "float32", transposed=True), matrix(rng, (rows, n), "float32")
        else:
            a = matrix(rng, (*batch, rows, k), "float32")
            b = matrix(rng, (*batch, k, n), "float32", transposed=form == "backward")
        c = fenced(np.full((*batch, a.shape[-2], n), np.nan, "f4"))
        addend = np.broadcast_to(bias, c.shape)
        product = replace(product_of(a, b, c, affine(access(addend)), UNITS[unit]), general=True)
        assert product.plan.general
        run(product, a, b, c, addend)
        close(c, a, b, addend)
        layouts.add(product.stages[0].layout)
        texts.add(product.stages[0].text)
    assert len(texts) == len(layouts) == 1
    KEPT.clear()


def product_over(rng, m, n, k, unit):
    """A product over the rows of both its factors, as a derivative by weights is, with its operands."""
    a, b = matrix(rng, (m, k), "float32", transposed=True), matrix(rng, (k, n), "float32")
    c, scale = fenced(np.full((m, n), np.nan, "f4")), matrix(rng, (1, 1), "float32")
    addend = np.broadcast_to(scale, c.shape)
    return replace(product_of(a, b, c, affine(access(addend)), UNITS[unit]), general=True), a, b, c, addend


@pytest.mark.parametrize("unit", ["host", "16 bytes"])
@pytest.mark.parametrize(
    ("m", "n", "steps"),
    [(96, 64, (9, 33, 100, 500)), (10, 256, (64, 200, 1000)), (256, 10, (40, 100, 200)), (1, 96, (8, 64, 300)),
     (128, 512, (64, 100, 700)), (128, 512, (2000, 3100, 7000)), (64, 64, (4100, 6000)), (1024, 256, (300, 640, 1000)),
     (1024, 96, (3000, 4500))],
)  # fmt: skip
def test_any_length_of_k_has_the_same_code(m, n, steps, unit):
    rng = np.random.default_rng(17)
    written = set()
    for k in steps:
        product, *arrays = product_over(rng, m, n, k, unit)
        assert product.plan.any_k
        run(product, *arrays)
        a, b, c, addend = arrays
        close(c, a, b, addend)
        written.add(tuple((stage.layout, stage.write, stage.text) for stage in product.stages))
        KEPT.clear()
    assert len(written) == 1


HEIGHTS = (9, 6, 4, 8)
"""On each unit, so many heights of tiles serve 62 numbers of rows, for ten columns and for forty."""


@pytest.mark.parametrize(("unit", "most"), [*zip(UNITS, HEIGHTS, strict=True)])
def test_any_number_of_rows(unit, most):
    rng = np.random.default_rng(18)
    heights = set()
    for m in range(8, 70):
        for n in (10, 40):
            a, b = matrix(rng, (m, 24), "float32"), matrix(rng, (24, n), "float32")
            c, other = fenced(np.full((m, n), np.nan, "f4")), matrix(rng, (m, n), "float32")
            product = replace(product_of(a, b, c, affine(access(other)), UNITS[unit]), general=True)
            assert product.plan.any_rows
            assert -(-m // product.plan.rows.width) * product.plan.rows.width <= m + max(m / 8, 4)
            run(product, a, b, c, other)
            close(c, a, b, other)
            heights.add((n, product.plan.rows.width))
        KEPT.clear()
    assert len(heights) <= most


@pytest.mark.parametrize(("batch", "m", "n", "k", "tb"), [((2,), 9, 33, 5000, False), ((5,), 32, 64, 784, True),
                                                         ((2, 3), 7, 15, 3000, False)])  # fmt: skip
def test_batches_of_products_that_cut_k(batch, m, n, k, tb):
    for dtype in ("float32", "float64"):
        check(np.random.default_rng(k), batch, m, n, k, dtype, tb=tb)


@pytest.mark.parametrize(("lengths", "most"), [([10, 40], 110), ([1000, 5000], 160)])
def test_equal_layouts_are_one_text(lengths, most):
    rng, texts = np.random.default_rng(16), {}
    for _ in range(150):
        m, n, k = (int(rng.choice(sizes)) for sizes in ([16, 24, 33, 40, 64], [8, 33], lengths))
        ta, tb, count = bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(1, 4))
        a, b = ((1, m) if ta else (k, 1)), ((1, k) if tb else (n, 1))
        batch = (2, count) if count > 2 else (count,) if count > 1 else ()
        outer = [int(np.prod(batch[i + 1 :])) for i in range(len(batch))]
        sizes = (m * k, a), (k * n, b), (m * n, (n, 1))
        strides = [(*(step * size for step in outer), *inner) for size, inner in sizes]
        product = Product(batch, m, n, k, np.dtype("f4"), *strides, general=True)
        for stage in product.stages:
            texts.setdefault((stage.layout, stage.write), set()).add(stage.text)
    assert all(len(written) == 1 for written in texts.values())
    assert len(texts) < most


def test_blocks_follow_from_the_shape():
    product = Product((), 784, 512, 128, np.dtype("f4"), (1, 784), (512, 1), (512, 1))
    assert product.flops == 2 * 784 * 512 * 128
    assert 16 <= product.stages[-1].blocks <= 100
    assert product.scratch_bytes == 0


def test_the_fence_catches_a_read_past_the_end():
    script = "import sys; sys.path.insert(0, 'tests'); import test_gemm as t, numpy as np, ctypes;" \
             "x = t.fenced(np.zeros(3)); ctypes.c_char.from_address(x.ctypes.data + 24).value"  # fmt: skip
    import subprocess
    import sys

    status = subprocess.run([sys.executable, "-c", script], check=False).returncode
    assert status not in (0, 1), "1 is that of an exception"


@pytest.mark.parametrize("unit", UNITS)
def test_a_narrow_strip_that_is_copied_on_the_way_several_steps_at_once(unit):
    check(np.random.default_rng(0), (), 65, 64, 2000, ta=True, tb=True, tc=True, unit=UNITS[unit])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("k", [993, 997, 1057])
def test_the_last_of_many_parts_is_long_enough_to_be_turned(k, unit, monkeypatch):
    monkeypatch.setattr(blocking, "COPIED_PART_BYTES", 128)  # as if k were some millions
    check(np.random.default_rng(0), (), 8, 20, k, ta=True, tb=True, unit=UNITS[unit])


def test_each_panel_of_a_factor_is_turned_in_one_block_while_the_other_factor_stays_in_a_cache():
    def blocks(m, n, k):
        cut = Product((), m, n, k, np.dtype("f4"), (k, 1), (1, k), (n, 1), unit=UNITS["host"]).plan
        return cut.tiles.count, cut.panels.count

    assert blocks(512, 512, 128)[0] == 1
    assert min(blocks(2048, 512, 128)) > 1  # the other factor takes 1 MB
    assert blocks(512, 512, 128)[1] >= blocking.BLOCKS


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("m", "n", "k"), [(509, 17, 60), (512, 72, 512), (64, 20, 100), (75, 33, 300)])
def test_what_is_computed_transposed_is_turned_in_registers_and_stored_as_vectors(m, n, k, unit, monkeypatch):
    monkeypatch.setattr("graphc.native.gemm.product.prefers_transpose", lambda p, unit: p.m > p.n)
    rng, dtype = np.random.default_rng(0), DTYPES[m % 2]
    check(rng, (), m, n, k, dtype, ta=True, unit=UNITS[unit])
    check(rng, (2,), m, n, k, dtype, ta=True, unit=UNITS[unit])
    a, b, c = matrix(rng, (m, k), dtype, transposed=True), matrix(rng, (k, n), dtype), matrix(rng, (m, n), dtype)
    bias, addend = matrix(rng, (n,), dtype), matrix(rng, (m, n), dtype)
    epilogue = affine(Access((0, 1), bias.dtype), access(addend), alpha=0.5)
    for product in both(product_of(a, b, c, epilogue, UNITS[unit])):
        run(product, a, b, c, bias, addend)
        close(c, a * c.dtype.type(0.5), b, bias + addend)
        assert product.axes.swapped
        if m == 512 and not product.plan.any_rows:  # nothing is left beside whole squares
            assert "store float" not in product.stages[-1].text
    KEPT.clear()


def staircase(rows, columns, k, rng):
    """From where to where some rows and columns are not zero, further and further down; some are zero everywhere."""
    return [np.sort(np.sort(rng.integers(0, k + 1, (size, 2)), axis=1), axis=0) for size in (rows, columns)]


def inside(ranges, k):
    return (ranges[:, :1] <= np.arange(k)) & (np.arange(k) < ranges[:, 1:])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", ["", "ab", "abc"])
@pytest.mark.parametrize(("m", "n", "k"), [(200, 70, 90), (70, 300, 40), (65, 64, 2000), (1024, 64, 300)])
def test_limits_leave_out_what_is_zero_or_not_read(m, n, k, transposed, dtype, unit):
    rng = np.random.default_rng(m + n)
    rows, columns = staircase(m, n, k, rng)
    read, _ = staircase(m, 0, n, rng)
    a = rng.standard_normal((2, m, k)) * inside(rows, k)
    b = rng.standard_normal((2, k, n)) * inside(columns, k).T
    a, b, c = (array.astype(dtype) for array in (a, b, np.full((2, m, n), np.nan)))
    a, b, c = (np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) if name in transposed else x
               for x, name in ((a, "a"), (b, "b"), (c, "c")))  # fmt: skip
    a, b, c = map(fenced, (a, b, c))
    product = replace(product_of(a, b, c, unit=UNITS[unit]), limited=True)
    right = np.matmul(a.astype("f8"), b.astype("f8"))
    for some in ((rows, None, None), (None, columns, None), (rows, columns, read)):
        limits = limits_of(product, *some)
        assert 0 < share_of(product, limits) <= 1
        for exact in (True, False):
            run(product, a, b, c, limits, np.array([exact]))
            wanted = inside(read, n) if exact and some[2] is not None else np.True_
            assert np.isfinite(c).all()
            assert np.abs(np.where(wanted, c - right, 0)).max() <= (k + 200) * np.finfo(dtype).eps
    KEPT.clear()
