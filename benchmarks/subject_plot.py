"""Photographs answered right, before and after, by size and kind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

import matplotlib
import numpy as np

from training.photographs import KINDS, SIZES

matplotlib.use("Agg")

from matplotlib import pyplot as plt


class Measured(Protocol):
    """A revision's right answers and all, by kind and size."""

    identity: str
    counts: dict[tuple[str, tuple[float, float]], list[int]]


def plot(results: Sequence[Measured], dataset: str) -> bytes:
    """A PNG: a group of bars for each size and kind, a colour for each revision."""
    cells = [(kind, size) for size in SIZES[dataset] for kind in KINDS[dataset]]
    figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
    width = 0.8 / len(results)
    places = np.arange(len(cells))
    for number, result in enumerate(results):
        shares = [
            100 * right / max(1, every)
            for right, every in (result.counts.get(cell, [0, 0]) for cell in cells)
        ]
        offset = (number - (len(results) - 1) / 2) * width
        axes.bar(places + offset, shares, width, label=result.identity)
    labels = [f"{kind}\n{100 * low:g}–{100 * high:g} %" for kind, (low, high) in cells]
    axes.set_xticks(places, labels, fontsize=7)
    axes.set(ylabel="right, %", ylim=(0, 100), title=f"Photographs of {dataset}'s test set")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()
