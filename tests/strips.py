"""What tests of strips share: programs in which every chain pays, and a look at the bytes that their strips touch."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

import graphc as gr
from graphc.ir import Graph, Node
from graphc.native import program as native_program
from graphc.native import schedule
from graphc.native.code.elementwise import is_native
from graphc.native.finishing import is_along, is_finishable
from graphc.native.program import NativeProgram
from graphc.passes import DEFAULT
from graphc.passes.fuse import fuse

LINKS = {
    "product": lambda h, other, rng: h @ _weights(rng, h.shape[-1], int(rng.choice([16, 40]))),
    "turned": lambda h, other, rng: h @ _weights(rng, 40, h.shape[-1]).T + 0.5,
    "cell": lambda h, other, rng: gr.sigmoid(h) * gr.tanh(h * 1.5) + 0.25 * h,
    "other": lambda h, other, rng: gr.tanh(h + other) if h.shape == other.shape else h * 0.5,
    "softmax": lambda h, other, rng: gr.nn.softmax(h) * 4,
    "centred": lambda h, other, rng: h - gr.mean(h, -1, keepdims=True),
    "halves": lambda h, other, rng: gr.concatenate([h[..., : h.shape[-1] // 2] * 2, gr.exp(-abs(h[..., -9:]))], -1),
    "beside": lambda h, other, rng: gr.tanh(gr.concatenate([h, other], -1)[..., :80]) if _fit(h, other) else -h,
    "flipped": lambda h, other, rng: h[..., ::-1] * 0.5,
    "padded": lambda h, other, rng: gr.pad(h[..., 3:], [(0, 0)] * (h.ndim - 1) + [(1, 2)]),
    "stacked": lambda h, other, rng: gr.stack([gr.tanh(h), h * 0.5, gr.exp(-h * h)])[int(rng.integers(3))],
    "rows moved": lambda h, other, rng: gr.roll(gr.tanh(h), 3, 0),
    "rows added": lambda h, other, rng: h - gr.mean(h, 0, keepdims=True),
    "rows across": lambda h, other, rng: gr.tanh(h.T @ h * 0.1)[: h.shape[0] // 2 * 2] if h.ndim == 2 else h + 1,
    "rows cut": lambda h, other, rng: h[h.shape[0] // 3 :] if h.shape[0] > 20 else h * 2,
    "rows chosen": lambda h, other, rng: gr.take(gr.tanh(h), np.arange(h.shape[0])[::-1].copy(), axis=0),
}
"""By name: a next value from one value, another and a generator of random numbers."""


def random_chain(seed, length=12):
    """A graph of values over rows, most of which need only their own row, and arrays to feed it."""
    rng = np.random.default_rng(seed)
    dtype = rng.choice(["float32", "float64"], p=[0.8, 0.2])
    rows, columns = int(rng.choice([12, 24])), int(rng.choice([16, 40]))
    shape = (rows, columns) if rng.integers(4) else (6, 10, columns)
    x, w = gr.placeholder("x", shape, dtype), gr.placeholder("w", (columns, columns), dtype)
    made = [x, gr.tanh(x @ w)]
    for name in rng.choice(list(LINKS), length):
        made.append(LINKS[name](made[-1], made[int(rng.integers(len(made)))], rng).astype(dtype))
    outputs = [made[-1], *(made[int(at)] for at in rng.integers(len(made), size=2))]
    if rng.integers(2):
        loss = gr.add_n(*(gr.sum(output * output) for output in outputs))
        outputs += gr.gradients(loss, [x, w])
    return Graph([x, w], outputs), [0.3 * rng.standard_normal(node.shape).astype(dtype) for node in (x, w)]


def _fit(x, y):
    return x.shape[:-1] == y.shape[:-1]


def _weights(rng, *shape):
    return gr.constant(0.3 * rng.standard_normal(shape).astype("f4"))


THRESHOLDS = ("LEAST_STRIP_NS", "LEAST_STRIP_SHARE", "LOOP_NS", "WAKING_NS")


def every_chain_pays(monkeypatch):
    """Until the end of a test."""
    for name in THRESHOLDS:
        monkeypatch.setattr(schedule, name, -1e18)


def fused(graph):
    """A graph as the native backend gets it."""
    return fuse(DEFAULT.run(graph).graph, fusible=is_native, finishes=(is_finishable, is_along))


def programs(graph, monkeypatch, threads=(1, 2, 3)):
    """Programs that should agree: for some threads, and strip by strip on one, from the first and from the last."""
    made = [NativeProgram(graph, count) for count in threads]
    alone = [NativeProgram(graph, count) for count in threads if count > 1]
    with monkeypatch.context() as patch:
        patch.setattr(native_program, "schedule", backwards)
        alone += [NativeProgram(graph, count) for count in threads if count > 1]
    for program in alone:
        program.helpers = None
    return made + alone


def backwards(works, threads):
    """The schedule, with the strips of each chain in the other order."""
    return [replace(stage, strips=stage.strips and replace(stage.strips, tasks=stage.strips.tasks[::-1]))
            for stage in schedule.schedule(works, threads)]  # fmt: skip


def same_bits(graph, arrays, monkeypatch, state=None, runs=3):
    """The programs of a graph, which agree in every bit, and what they give."""
    made = programs(graph, monkeypatch)
    targets = [None] * len(graph.outputs)
    expected = made[0].run(arrays, state or {}, targets)
    for program in made[1:]:
        strips_are_apart(program)
        for _ in range(runs if program.helpers else 1):
            for one, other in zip(expected, program.run(arrays, state or {}, targets), strict=True):
                assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    return made, expected


def strips_of(program):
    """The chains of a program."""
    return [stage.strips for stage in program.stages if stage.strips is not None]


def strips_are_apart(program):
    """Check, byte by byte where results lie, that no strip touches what another one writes."""
    for chain in strips_of(program):
        count = len(chain.tasks)
        touched = defaultdict(lambda strips=count: np.zeros((strips, 2, 0), bool))
        for reach in (reach for work in chain.works for reach in work.cut(count).reaches):
            base, start = _place(reach.memory, reach.start, program)
            more = max(start + reach.step * (count - 1) + reach.length - touched[base].shape[2], 0)
            touched[base] = np.pad(touched[base], ((0, 0), (0, 0), (0, more)))
            for strip in range(count):
                first = start + strip * reach.step
                touched[base][strip, int(reach.written), first : first + reach.length] = True
        for by_strip in touched.values():
            written, either = by_strip[:, 1].any(0), by_strip.any(1).sum(0)
            assert not (written & (either > 1)).any()


def _place(memory, start, program):
    """Whose bytes those of a memory are, and from which on."""
    memories = program.memories
    if memory in memories.offsets:
        return "arena", memories.offsets[memory] + start
    memory = memories.lent.get(memory, memory)
    return memory if isinstance(memory, Node) else id(memory), start
