"""Handwritten digits, learned in a few seconds by a network whose gradient you can read.

    python docs/examples/train_digits.py [EPOCHS] [PICTURE.png]

Prints the backward graph, then the loss and the accuracy on digits never learned from; draws both if given a file name.
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import graphc as gr

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 30
BATCH = 64

# The data: 1,797 pictures of 8 × 8 pixels as rows of 64 numbers, each with a class from 0 to 9. A fifth is held out.
pictures, classes = load_digits(return_X_y=True)
pictures = (pictures / 16).astype("float32")
parts = train_test_split(pictures, classes, test_size=0.2, stratify=classes, random_state=0)
pictures, held_out_pictures, classes, held_out_classes = parts

# The network: two dense layers. Nothing is computed yet: every line declares nodes. "batch" is a size that stays open.
rng = np.random.default_rng(0)
x = gr.placeholder("x", ("batch", 64))
y = gr.placeholder("y", ("batch",), dtype="int64")
with gr.scope("hidden"):
    W1 = gr.variable("W", rng.normal(0, np.sqrt(2 / 64), (64, 128)).astype("float32"))
    b1 = gr.variable("b", np.zeros(128, "float32"))
    hidden = gr.relu(x @ W1 + b1).named("activation")
with gr.scope("output"):
    W2 = gr.variable("W", rng.normal(0, np.sqrt(2 / 128), (128, 10)).astype("float32"))
    b2 = gr.variable("b", np.zeros(10, "float32"))
    logits = (hidden @ W2 + b2).named("logits")
loss = gr.losses.softmax_cross_entropy(logits, y).named("loss")
right = gr.equal(gr.argmax(logits, axis=1), y)

# The backward graph is made of nodes like any other: print it, ask it, or build the next graph on it.
parameters = [W1, b1, W2, b2]
gradients = gr.gradients(loss, parameters)
print(gradients)

# One function that learns from a batch, and one that only looks.
step = gr.compile([x, y], loss, updates=gr.optim.adam(gradients, parameters, lr=3e-3))
look = gr.compile([x, y], [loss, right])

history = []
for epoch in range(1, EPOCHS + 1):
    order = rng.permutation(len(classes))
    losses = [step(pictures[batch], classes[batch]) for batch in np.split(order, range(BATCH, len(order), BATCH))]
    held_out_loss, hits = look(held_out_pictures, held_out_classes)
    history.append((np.mean(losses), held_out_loss, hits.mean()))
    print(f"epoch {epoch:>2}: loss {np.mean(losses):.4f}, held out {held_out_loss:.4f}, accuracy {hits.mean():.2%}")

if len(sys.argv) > 2:
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, columns, label in zip(figure.subplots(1, 2), ([0, 1], [2]), ("loss", "held-out accuracy"), strict=True):
        axes.plot(range(1, EPOCHS + 1), np.array(history)[:, columns])
        axes.set(xlabel="epoch", ylabel=label)
    figure.savefig(sys.argv[2])
