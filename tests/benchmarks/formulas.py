"""What the programs of the survey compute: functions of a namespace with NumPy's names and of arrays."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

# Formulas that several programs use.


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def log_softmax(xp: Any, x: Any) -> Any:
    z = x - xp.max(x, axis=-1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))


def sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


def logsumexp(xp: Any, x: Any) -> Any:
    top = xp.max(x, axis=1)
    return top + xp.log(xp.sum(xp.exp(x - top[:, None]), axis=1))


def normalized(xp: Any, x: Any) -> Any:
    return x / xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))


def standardized(xp: Any, x: Any, axis: int) -> Any:
    centered = x - xp.mean(x, axis, keepdims=True)
    return centered / xp.sqrt(xp.mean(centered * centered, axis, keepdims=True) + 1e-5)


def squares(xp: Any, x: Any) -> Any:
    return xp.sum(x**2)


# Programs of more than a line.


def layer_norm(xp: Any, x: Any, g: Any, b: Any) -> Any:
    return squares(xp, standardized(xp, x, -1) * g + b)


def batch_norm(xp: Any, x: Any) -> Any:
    return xp.sum(standardized(xp, x, 0) ** 3)


def laplace(xp: Any, x: Any) -> Any:
    return squares(xp, x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2] - 4 * x[1:-1, 1:-1])


def neighbours(xp: Any, x: Any) -> Any:
    return xp.roll(x, 1, 0) + xp.roll(x, -1, 0) + xp.roll(x, 1, 1) + xp.roll(x, -1, 1)


def heat(xp: Any, x: Any) -> Any:
    return squares(xp, x + 0.1 * (neighbours(xp, x) - 4 * x))


def wave(xp: Any, u: Any, v: Any) -> Any:
    for _ in range(5):
        v = v + 0.1 * (neighbours(xp, u) - 4 * u)
        u = u + 0.1 * v
    return xp.sum(u * u)


def total_variation(xp: Any, x: Any) -> Any:
    here = x[:-1, :-1]
    return xp.sum(xp.sqrt((x[1:, :-1] - here) ** 2 + (x[:-1, 1:] - here) ** 2 + 1e-3))


def huber(xp: Any, x: Any, y: Any) -> Any:
    d = x - y
    return xp.mean(xp.where(xp.abs(d) < 1, 0.5 * d**2, xp.abs(d) - 0.5))


def gelu(xp: Any, x: Any) -> Any:
    return xp.sum(0.5 * x * (1 + xp.tanh(0.79788456 * (x + 0.044715 * x**3))))


def rbf(xp: Any, x: Any, y: Any) -> Any:
    distances = xp.sum(x * x, axis=1)[:, None] + xp.sum(y * y, axis=1)[None, :] - 2 * (x @ y.T)
    return xp.sum(xp.exp(-distances))


def gram(xp: Any, x: Any) -> Any:
    return xp.sum(xp.exp(-xp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=-1)))


def pairwise(xp: Any, x: Any, y: Any) -> Any:
    return xp.sum(xp.sqrt(xp.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=-1) + 1))


def potential(xp: Any, q: Any) -> Any:
    return -xp.sum(1 / xp.sqrt(xp.sum((q[:, None, :] - q[None, :, :]) ** 2, axis=-1) + 0.1))


def covariance(xp: Any, x: Any) -> Any:
    centered = x - xp.mean(x, axis=0)
    return squares(xp, centered.T @ centered / 2000)


def attention(xp: Any, q: Any, k: Any, v: Any) -> Any:
    return squares(xp, xp.matmul(softmax(xp, xp.matmul(q, xp.swapaxes(k, 1, 2)) / 8), v))


def heads(xp: Any, x: Any, wq: Any, wk: Any, wv: Any) -> Any:
    q, k, v = (xp.transpose(xp.reshape(x @ w, (8, 64, 4, 32)), (0, 2, 1, 3)) for w in (wq, wk, wv))
    return squares(xp, xp.matmul(softmax(xp, xp.matmul(q, xp.swapaxes(k, 2, 3)) * 0.17), v))


def rotary(xp: Any, x: Any, c: Any, s: Any) -> Any:
    left, right = x[..., :32], x[..., 32:]
    return squares(xp, xp.concatenate([left * c - right * s, left * s + right * c], axis=-1))


def shifts(x: Any) -> list[Any]:
    return [x[:, i : i + 26, j : j + 26, :] for i in range(3) for j in range(3)]


def convolution_by_columns(xp: Any, x: Any, w: Any) -> Any:
    return squares(xp, xp.maximum(xp.concatenate(shifts(x), axis=-1) @ w, 0))


def convolution_by_products(xp: Any, x: Any, w: Any) -> Any:
    return squares(xp, xp.maximum(sum(part @ w[i] for i, part in enumerate(shifts(x))), 0))


def recurrence(xp: Any, x: Any, h: Any, wz: Any, wr: Any, wh: Any, uz: Any, ur: Any, uh: Any) -> Any:
    for t in range(10):
        z, r = sigmoid(xp, x[t] @ wz + h @ uz), sigmoid(xp, x[t] @ wr + h @ ur)
        h = (1 - z) * h + z * xp.tanh(x[t] @ wh + (r * h) @ uh)
    return xp.sum(h * h)


def gates(xp: Any, g: Any, c: Any) -> Any:
    i, f, o, n = (g[:, at : at + 128] for at in range(0, 512, 128))
    return xp.sum(sigmoid(xp, o) * xp.tanh(sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(n)))


def kalman(xp: Any, x: Any, p: Any, a: Any, h: Any) -> Any:
    p = p @ p.T
    for _ in range(10):
        p = a @ p @ a.T + 0.1 * np.eye(4)
        k = (p @ h.T) / (h @ p @ h.T + 1.0)
        p = p - k @ (h @ p)
        x = a @ x + k[:, 0] * 0.3
    return xp.sum(x * x) + xp.sum(p)


def mandelbrot(xp: Any, x: Any, y: Any) -> Any:
    a, b = x, y
    for _ in range(20):
        a, b = a * a - b * b + x, 2 * a * b + y
        inside = (a * a + b * b) < 4
        a, b = xp.where(inside, a, 2.0), xp.where(inside, b, 0.0)
    return xp.sum(a)


def life(xp: Any, x: Any) -> Any:
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    n = sum(xp.roll(xp.roll(x, i, 0), j, 1) for i, j in around)
    return xp.where(xp.equal(n, 3) | (xp.equal(x, 1) & xp.equal(n, 2)), 1, 0)


def k_means(xp: Any, x: Any, c: Any) -> Any:
    distances = xp.sum(x * x, axis=1)[:, None] - 2 * x @ c.T + xp.sum(c * c, axis=1)[None, :]
    return xp.mean(xp.min(distances, axis=1))


def mixture(xp: Any, x: Any, m: Any, s: Any) -> Any:
    scaled = (x[:, None, :] - m[None]) * xp.exp(s)[None]
    return xp.sum(logsumexp(xp, -0.5 * xp.sum(scaled**2, axis=2) + xp.sum(s, axis=1)[None, :]))


def page_rank(xp: Any, m: Any, v: Any) -> Any:
    return squares(xp, reduce(lambda v, _: 0.85 * (m @ v) + 0.15 / 300, range(20), v))


def asian_option(xp: Any, z: Any, s: Any) -> Any:
    paths = 100 * xp.exp(xp.cumsum(0.1 * s * z - 0.005 * s * s, axis=1))
    return xp.mean(xp.maximum(xp.mean(paths, axis=1) - 100, 0))


def polynomial_features(xp: Any, x: Any, w: Any) -> Any:
    return xp.mean((xp.stack([x**i for i in range(6)], axis=1) @ w - xp.sin(x)) ** 2)


def word_vectors(xp: Any, e: Any, f: Any, *, words: Any) -> Any:
    dots = xp.sum(xp.take(e, words, axis=0) * xp.take(f, words[::-1].copy(), axis=0), axis=1)
    return xp.sum(xp.log(1 + xp.exp(-dots)))


def gated(xp: Any, x: Any, a: Any, b: Any) -> Any:
    return squares(xp, (x @ a) * sigmoid(xp, x @ a) * (x @ b))


def rms_norm(xp: Any, x: Any, g: Any) -> Any:
    return squares(xp, x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * g)


def rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def deep(xp: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    return xp.mean((xp.maximum(xp.maximum(x @ a, 0) @ b, 0) @ c) ** 2)
