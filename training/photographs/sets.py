"""Sets of photographs, one of each picture of a data set, by kind and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.photographs.scene import Photograph
from training.photographs.subjects import PENS, photograph_digit, photograph_garment

Take = Callable[[NDArray[np.uint8], str, float, np.random.Generator], Photograph]

TAKES: dict[str, Take] = {"MNIST": photograph_digit, "FashionMNIST": photograph_garment}
KINDS: dict[str, Sequence[str]] = {
    "MNIST": tuple(PENS),
    "FashionMNIST": tuple(
        f"{manner}, {ground}" for manner in ("flat-lay", "cut-out") for ground in ("light", "dark")
    ),
}
SIZES: dict[str, Sequence[tuple[float, float]]] = {
    "MNIST": ((0.08, 0.2), (0.2, 0.4), (0.4, 0.8)),
    "FashionMNIST": ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9)),
}
"""Shares of the frame's shorter side, by data set."""


class Shot(NamedTuple):
    """One photograph with what is known of it.

    Attributes:
        number: of the picture it was made from.
        size: which of the data set's ``SIZES``.
    """

    number: int
    kind: str
    size: tuple[float, float]
    photograph: Photograph


def shots(
    dataset: str, images: NDArray[np.uint8], seed: int, indices: Sequence[int] | None = None
) -> Iterator[Shot]:
    """A photograph of each image, of a random kind and size; each depends on seed and number alone.

    Args:
        images: ``(n, 28, 28)``.
        indices: those that are wanted; None for all.
    """
    take, kinds, sizes = TAKES[dataset], KINDS[dataset], SIZES[dataset]
    for number in range(len(images)) if indices is None else indices:
        random = np.random.default_rng([seed, number])
        kind = kinds[int(random.integers(len(kinds)))]
        size = sizes[int(random.integers(len(sizes)))]
        photograph = take(images[number], kind, random.uniform(*size), random)
        yield Shot(number, kind, size, photograph)
