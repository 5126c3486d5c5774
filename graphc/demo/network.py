"""The network and how it learns. This file uses graphc as any program would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import graphc as gr
from graphc.demo.digits import Array, Digits


@dataclass(frozen=True)
class Network:
    """A declared network: what goes in, what comes out, and what is learned."""

    x: gr.Node
    y: gr.Node
    logits: gr.Node
    loss: gr.Node
    parameters: tuple[gr.Variable, ...]

    @property
    def graph(self) -> gr.Graph:
        """The forward graph, from pictures and classes to the loss."""
        return gr.Graph([self.x, self.y], [self.loss], "digits")


def declare(hidden: Sequence[int], seed: int) -> Network:
    """A multi-layer perceptron over 64 pixels with hidden layers of these sizes, weights after He et al. (2015)."""
    rng = np.random.default_rng(seed)
    x = gr.placeholder("x", ("batch", 64))
    y = gr.placeholder("y", ("batch",), dtype="int64")
    parameters: list[gr.Variable] = []
    value = x
    for number, (before, after) in enumerate(pairwise((64, *hidden, 10)), start=1):
        if parameters:
            value = gr.nn.relu(value)
        with gr.scope(f"layer{number}"):
            W = gr.variable("W", rng.normal(0, np.sqrt(2 / before), (before, after)).astype("float32"))
            b = gr.variable("b", np.zeros(after, "float32"))
            value = value @ W + b
        parameters += [W, b]
    logits = value.named("logits")
    loss = gr.losses.softmax_cross_entropy(logits, y).named("loss")
    return Network(x, y, logits, loss, tuple(parameters))


@dataclass(frozen=True)
class Epoch:
    """What one pass over the pictures brought: mean losses, and the classes predicted for the pictures held out."""

    number: int
    loss: float
    held_out_loss: float
    accuracy: float
    predicted: Array


class Training:
    """A network's compiled training step and measurement, and the loop over epochs."""

    def __init__(self, network: Network, *, lr: float, batch: int, seed: int, **options: Any) -> None:
        self.batch = batch
        self.seed = seed
        inputs = [network.x, network.y]
        updates = gr.optim.adam(network.loss, network.parameters, lr=lr)
        self.step = gr.compile(inputs, network.loss, updates=updates, name="training step", **options)
        outputs = {"loss": network.loss, "predicted": gr.argmax(network.logits, axis=1)}
        self.measure = gr.compile(inputs, outputs, name="measurement", **options)

    def epoch(self, number: int, digits: Digits) -> Epoch:
        """Learn from every picture once, in an order of this epoch's own, then look at the pictures held out."""
        order = np.random.default_rng((self.seed, number)).permutation(len(digits.classes))
        batches = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
        losses = [self.step(digits.pictures[batch], digits.classes[batch]) for batch in batches]
        seen = self.measure(digits.held_out_pictures, digits.held_out_classes)
        return Epoch(
            number,
            loss=float(np.average(losses, weights=[len(batch) for batch in batches])),
            held_out_loss=float(seen["loss"]),
            accuracy=float(np.mean(seen["predicted"] == digits.held_out_classes)),
            predicted=seen["predicted"],
        )

    def run(self, digits: Digits, epochs: int) -> Iterator[Epoch]:
        """One epoch after the other."""
        return (self.epoch(number, digits) for number in range(1, epochs + 1))
