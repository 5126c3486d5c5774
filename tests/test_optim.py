"""Optimizers: trajectories against the papers' formulas in NumPy, states, rates, clipping, and sentences."""

import math

import numpy as np
import pytest

import graphc as gr
from graphc import optim
from graphc.evaluate import evaluate
from graphc.testing import check_composite
from graphc.verify import check_names

pytestmark = pytest.mark.usefixtures("each_backend")

RNG = np.random.default_rng(2)
STEPS = 25
X, Y = RNG.standard_normal((8, 3)), RNG.standard_normal((8, 2))
START = {"W": RNG.standard_normal((3, 2)), "b": np.zeros(2)}


def model(dtype="float64"):
    """A regression with two parameters: the loss and the parameters."""
    w, b = (gr.variable(name, value, dtype) for name, value in START.items())
    return gr.losses.mse(X.astype(w.dtype) @ w + b, Y.astype(w.dtype)), [w, b]


def true_gradients(w, b):
    """The gradients of that loss, by hand."""
    slope = 2 * (X @ w + b - Y) / Y.size
    return [X.T @ slope, slope.sum(0)]


def train(updates, params, steps=STEPS):
    """The parameters after some steps, each of which reads old values only."""
    for _ in range(steps):
        new = evaluate(list(updates.values()))
        for variable, array in zip(updates, new, strict=True):
            assert array.dtype == variable.dtype
            assert array.shape == variable.shape
            variable.value = array
    return [param.value for param in params]


# The papers' formulas, written out. Each takes a parameter's value, its gradient, a dict of its own and the step t ≥ 1.


def sgd(w, g, s, t, *, lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    s["u"] = momentum * s.get("u", 0) + g
    return w - lr * (g + momentum * s["u"] if nesterov else s["u"])


def rmsprop(w, g, s, t, lr=1e-3, decay=0.9, eps=1e-8):
    s["v"] = decay * s.get("v", 0) + (1 - decay) * g**2
    return w - lr * g / (np.sqrt(s["v"]) + eps)


def adagrad(w, g, s, t, lr=0.01, eps=1e-10):
    s["s"] = s.get("s", 0) + g**2
    return w - lr * g / (np.sqrt(s["s"]) + eps)


def adamw(w, g, s, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g**2
    m_hat, v_hat = s["m"] / (1 - beta1**t), s["v"] / (1 - beta2**t)
    return w - lr * weight_decay * w - lr * m_hat / (np.sqrt(v_hat) + eps)


def adam(*args, **options):
    return adamw(*args, **options, weight_decay=0.0)


def expected_trajectory(rule, **options):
    values, states = [START["W"], START["b"]], [{}, {}]
    for t in range(1, STEPS + 1):
        grads = true_gradients(*values)
        values = [rule(w, g, s, t, **options) for w, g, s in zip(values, grads, states, strict=True)]
    return values


OPTIONS = [
    (sgd, {}), (sgd, {"lr": 0.1, "momentum": 0.9}), (sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    (sgd, {"lr": 0.1, "weight_decay": 0.1}),
    (sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    (rmsprop, {}), (rmsprop, {"lr": 0.02, "decay": 0.5, "eps": 0.1}), (adagrad, {}), (adagrad, {"lr": 0.5, "eps": 0.1}),
    (adam, {}), (adam, {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 0.1}), (adam, {"lr": 0.1, "beta1": 0.0}),
    (adamw, {}), (adamw, {"lr": 0.05, "weight_decay": 0.3, "eps": 0.01}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "options"), OPTIONS)
def test_trajectories_follow_the_papers(rule, options):
    loss, params = model()
    found = train(getattr(optim, rule.__name__)(loss, params, **options), params)
    for ours, theirs in zip(found, expected_trajectory(rule, **options), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_every_optimizer_has_a_trajectory():
    rules = {rule.__name__ for rule, _ in OPTIONS}
    assert rules == set(optim.__all__) - {"clip_by_global_norm", "cosine_decay"}


@pytest.mark.parametrize("rule", [sgd, rmsprop, adagrad, adam, adamw])
def test_single_precision_follows_double(rule):
    loss, params = model("float32")
    found = train(getattr(optim, rule.__name__)(loss, params, lr=0.05), params)
    for ours, theirs in zip(found, expected_trajectory(rule, lr=0.05), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_compiled_step_trains_and_keeps_count():
    loss, params = model()
    updates = optim.adam(loss, params, lr=0.05)
    step = gr.compile([], loss, updates=updates, backend="numpy")
    seen = [float(step()) for _ in range(STEPS)]
    for ours, theirs in zip((param.value for param in params), expected_trajectory(adam, lr=0.05), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert seen == sorted(seen, reverse=True)
    assert next(variable for variable in updates if variable.name == "adam/step").value == STEPS


def test_large_steps_and_flat_gradients_stay_finite():
    w = gr.variable("w", np.ones(3), "float32")
    updates = optim.adam([gr.zeros(3)], [w])
    next(variable for variable in updates if variable.name == "adam/step").value = 10**12
    np.testing.assert_array_equal(train(updates, [w], 2)[0], np.ones(3))


# State


def test_state_is_named_after_the_parameter_and_starts_at_zero():
    loss, params = model()
    names = {
        "sgd": ["W", "b"], "rmsprop": ["W", "b", "rmsprop/v/W", "rmsprop/v/b"],
        "adagrad": ["W", "adagrad/s/W", "adagrad/s/b", "b"],
        "adam": ["W", "adam/m/W", "adam/m/b", "adam/step", "adam/v/W", "adam/v/b", "b"],
    }  # fmt: skip
    for rule, expected in names.items():
        updates = getattr(optim, rule)(loss, params)
        assert sorted(variable.name for variable in updates) == expected
        for variable in set(updates) - set(params):
            np.testing.assert_array_equal(variable.value, np.zeros(variable.shape))


def test_a_scope_tells_two_optimizers_apart():
    loss, (w, b) = model()
    with gr.scope("slow"):
        slow = optim.adam(loss, [w], lr=1e-4)
    fast, same = optim.adam(loss, [b]), optim.adam(loss, [w])
    check_names([*slow, *fast])
    assert {"slow/adam/step", "adam/step"} <= {variable.name for variable in slow | fast}
    with pytest.raises(gr.GraphError, match=r"gr\.scope"):
        check_names([*same, *fast])


def test_half_precision_parameters_keep_their_state_in_single_precision():
    w = gr.variable("w", np.ones(4), "float16")
    for rule in (optim.sgd, optim.rmsprop, optim.adagrad, optim.adam, optim.adamw):
        updates = rule([gr.full(4, 1e-5, "float16")], [w], lr=0.1)
        assert {variable.dtype for variable in set(updates) - {w}} <= {np.dtype("f4"), np.dtype("i8")}
        new = evaluate([updates[w]])[0]
        assert new.dtype == np.float16
        assert np.isfinite(new).all()
    np.testing.assert_allclose(train(optim.adam([gr.full(4, 1e-5, "float16")], [w], lr=0.1), [w], 1)[0], 0.9, rtol=2e-3)


def test_moments_take_few_passes_over_an_array():
    w = gr.variable("w", np.zeros(1000), "float32")
    g = gr.placeholder("g", (1000,))
    plain = [(rule, {}) for rule in ("sgd", "rmsprop", "adagrad", "adam", "adamw")]
    counts = {}
    for rule, options in [*plain, ("sgd", {"momentum": 0.9})]:
        graph = gr.Graph([g], list(getattr(optim, rule)([g], [w], **options).values()))
        counts[rule + "".join(options)] = sum(node.shape == (1000,) and not node.op.leaf for node in graph.nodes)
        assert all(node.dtype != np.float64 or node.shape == () for node in graph.nodes)
    assert counts == {"sgd": 2, "sgdmomentum": 4, "rmsprop": 9, "adagrad": 7, "adam": 12, "adamw": 13}


# Rates and gradients


def test_gradients_and_backward_give_what_the_loss_gives():
    loss, params = model()
    back = gr.gradients(loss, params)
    expected = train(optim.adam(loss, params), params)
    for given in (back, list(back), tuple(back)):
        for param in params:
            param.value = START[param.name]
        for ours, theirs in zip(train(optim.adam(given, params), params), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_rate_may_be_a_schedule_over_a_step_of_the_users():
    loss, params = model()
    count = gr.variable("count", 0)
    lr = 0.1 / gr.sqrt(count.astype("float32") + 1)
    for rule, plain in ((optim.sgd, sgd), (optim.adam, adam), (optim.adamw, adamw), (optim.rmsprop, rmsprop)):
        for variable in (*params, count):
            variable.value = START.get(variable.name, 0)
        found = train(rule(loss, params, lr=lr) | {count: count + 1}, params)
        values, states = [START["W"], START["b"]], [{}, {}]
        for t in range(1, STEPS + 1):
            grads = true_gradients(*values)
            values = [plain(w, g, s, t, lr=0.1 / math.sqrt(t)) for w, g, s in zip(values, grads, states, strict=True)]
        for ours, theirs in zip(found, values, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_numpy_numbers_are_as_good_as_pythons():
    w = gr.variable("w", np.zeros(3), "float32")
    updates = optim.adam([gr.ones(3)], [w], lr=np.float64(0.1), beta1=np.float32(0.5), eps=np.float64(1e-8))
    graph = gr.Graph(None, list(updates.values()))
    assert all(node.dtype != np.float64 or node.shape == () for node in graph.nodes)


@pytest.mark.parametrize("name", ["clip_by_global_norm", "cosine_decay"])
def test_formula(name):
    check_composite(getattr(optim, name))


def test_clipping_scales_all_gradients_to_the_norm_and_leaves_small_ones_alone():
    grads = [np.array([3.0, 0.0]), np.array([[4.0]])]
    clipped = evaluate(optim.clip_by_global_norm(grads, 1.0))
    np.testing.assert_allclose(clipped[0], [0.6, 0.0])
    np.testing.assert_allclose(clipped[1], [[0.8]])
    for small in ([np.zeros(2), np.zeros(3)], [np.array([3.0]), np.array([4.0])]):
        for before, after in zip(small, evaluate(optim.clip_by_global_norm(small, 5.0)), strict=True):
            np.testing.assert_array_equal(after, before)


def test_clipping_adds_half_precision_up_in_single_precision_and_keeps_dtypes():
    grads = [np.full(100, 100.0, "f2"), np.zeros(2, "f4")]
    nodes = optim.clip_by_global_norm(grads, 10.0)
    assert [node.dtype for node in nodes] == [np.float16, np.float32]
    np.testing.assert_allclose(evaluate(nodes)[0], np.ones(100), rtol=1e-3)
    assert np.isnan(evaluate(optim.clip_by_global_norm([np.array([math.nan]), np.ones(2)], 1.0))[1]).all()


def test_the_cosine_warms_up_and_falls_to_zero():
    rates = [float(evaluate([optim.cosine_decay(step, 0.1, 10, warmup=2)])[0]) for step in range(12)]
    expected = [0.05, 0.1, *(0.05 * (1 + np.cos(np.pi * np.arange(9) / 8))), 0.0]
    np.testing.assert_allclose(rates, expected, atol=1e-8)


# Sentences


def problem(call, kind):
    with pytest.raises(kind, match="expected") as caught:
        call()
    message = str(caught.value)
    assert "Remedy:" in message
    assert "test_optim.py" in message
    return message


@pytest.mark.parametrize("rule", [optim.sgd, optim.rmsprop, optim.adagrad, optim.adam, optim.adamw])
def test_every_optimizer_checks_what_it_is_given(rule):
    loss, (w, b) = model()
    back = gr.gradients(loss, [w, b])
    count, x = gr.variable("n", 3), gr.placeholder("x", (3, 2))
    assert "a variable as a parameter" in problem(lambda: rule(loss, [w, x]), gr.GraphError)
    assert "a variable as a parameter" in problem(lambda: rule(loss, [w, "b"]), gr.GraphError)
    assert "a float dtype, got i64[]" in problem(lambda: rule(loss, [w, count]), gr.DTypeError)
    assert "once, got W twice" in problem(lambda: rule(loss, [w, b, w]), gr.GraphError)
    assert "got none" in problem(lambda: rule(loss, []), gr.GraphError)
    assert "got a node" in problem(lambda: rule(loss, w), gr.GraphError)
    assert "each of 1 parameters, got 2" in problem(lambda: rule(back, [w]), gr.GraphError)
    assert "each of 2 parameters, got 1" in problem(lambda: rule(back[:1], [w, b]), gr.GraphError)
    assert "shape [3, 2] for W, got f64[2]" in problem(lambda: rule(list(back)[::-1], [w, b]), gr.ShapeError)
    assert "got None" in problem(lambda: rule([back[0], None], [w, b]), gr.GraphError)
    assert "float dtype for b" in problem(lambda: rule([back[0], gr.constant([1, 2])], [w, b]), gr.DTypeError)
    assert "a scalar loss, got f64[3, 2]" in problem(lambda: rule(w * 2, [w, b]), gr.ShapeError)
    for lr in (0, -1.0, math.nan, math.inf, "0.1", True, None):
        assert "lr to be a number in (0, inf)" in problem(lambda lr=lr: rule(loss, [w, b], lr=lr), gr.GraphError)
    assert "lr to be a scalar" in problem(lambda: rule(loss, [w, b], lr=b), gr.GraphError)
    assert "lr to be a scalar" in problem(lambda: rule(loss, [w, b], lr=count), gr.GraphError)


@pytest.mark.parametrize(("rule", "options"), [
    (optim.sgd, {"momentum": 1.0}), (optim.sgd, {"momentum": -0.1}), (optim.sgd, {"weight_decay": -1e-4}),
    (optim.sgd, {"nesterov": True}), (optim.rmsprop, {"decay": 1.5}), (optim.adagrad, {"eps": -1.0}),
    (optim.adam, {"beta1": 1.0}), (optim.adam, {"beta2": math.nan}), (optim.adamw, {"weight_decay": "x"}),
])  # fmt: skip
def test_numbers_outside_their_range_raise(rule, options):
    loss, params = model()
    assert next(iter(options)) in problem(lambda: rule(loss, params, **options), gr.GraphError)


def test_formulas_check_their_numbers():
    problem(lambda: optim.clip_by_global_norm([np.ones(2)], 0), gr.GraphError)
    problem(lambda: optim.clip_by_global_norm([], 1.0), gr.GraphError)
    problem(lambda: optim.cosine_decay(0, 0.1, 10, warmup=10), gr.GraphError)


def test_a_parameter_that_the_loss_does_not_use_is_named():
    loss, (w, _) = model()
    spare = gr.variable("spare", np.zeros(2))
    with pytest.raises(gr.GradientError, match="spare"):
        optim.adam(loss, [w, spare])
