"""The handwritten digits that scikit-learn ships: loaded, split, described, and drawn with characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.demo.extras import needs

Array: TypeAlias = np.ndarray[Any, Any]
SIDE = 8
BRIGHTEST = 16


@dataclass(frozen=True)
class Digits:
    """Pictures as rows of 64 values in 0 … 1, and their classes 0 … 9: a part to learn from and a part held out."""

    pictures: Array
    classes: Array
    held_out_pictures: Array
    held_out_classes: Array


def load() -> Digits:
    """The 1,797 digits; every fifth is held out, the same ones each time, each class in the same share."""
    with needs("scikit-learn"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    pictures, classes = load_digits(return_X_y=True)
    scaled = (pictures / BRIGHTEST).astype("float32")
    parts = train_test_split(scaled, classes.astype("int64"), test_size=0.2, random_state=0, stratify=classes)
    return Digits(parts[0], parts[2], parts[1], parts[3])


def describe(digits: Digits) -> str:
    """Shapes, dtypes, the range of the values, and how often each class occurs."""
    pictures, lowest, highest = digits.pictures, digits.pictures.min(), digits.pictures.max()
    counts = [np.bincount(classes, minlength=10) for classes in (digits.classes, digits.held_out_classes)]
    rows = {"class": range(10), "training": counts[0], "held out": counts[1]}
    return "\n".join([
        f"{len(digits.classes)} pictures to learn from, {len(digits.held_out_classes)} held out",
        f"a picture   {SIDE} × {SIDE} pixels as {pictures.shape[1]} {pictures.dtype} values, {lowest:g} … {highest:g}",
        f"a class     {digits.classes.min()} … {digits.classes.max()}, {digits.classes.dtype}",
        "",
        *(f"{label:<12}" + "".join(f"{count:>5}" for count in row) for label, row in rows.items()),
    ])  # fmt: skip


def draw(digits: Digits, *, width: int = 80, characters: str = " ▄▀█") -> str:
    """The first picture of each class, two pixels to a character, as many as fit."""
    shown = min(10, max(1, width // SIDE))
    firsts = [digits.pictures[np.flatnonzero(digits.classes == k)[0]] for k in range(shown)]
    dark = np.hstack([picture.reshape(SIDE, SIDE) for picture in firsts]) > 0.4
    lines = (2 * dark[::2] + dark[1::2]).astype(int)
    return "\n".join("".join(characters[code] for code in line).rstrip() for line in lines)


def confusion(classes: Array, predicted: Array) -> str:
    """How often each class (a row) was taken for each class (a column); a dot is a zero."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (classes, predicted), 1)
    header = "".join(f"{k:>4}" for k in range(10))
    rows = [f"{k:>4} " + "".join(f"{count or '·':>4}" for count in row) for k, row in enumerate(counts)]
    return "\n".join([f"     {header}  predicted", *rows])
