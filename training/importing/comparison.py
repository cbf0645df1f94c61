"""The network's answers beside those of the program that was made of it, picture by picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.agreement import largest_difference
from predictor.engines import Arrays
from training.importing.checks import ROUNDINGS
from training.importing.errors import ImportRefusedError

NUDGES = 4
"""Times that an input's last bits are changed."""

OTHERWISE = (
    "the ONNX program answers otherwise than the network, by {difference:.3g} where {tolerance:g} "
    "is allowed (--tolerance): it is not served{more}"
)
UNSTEADY = (
    ". A change of the input's last bits moves the network's own answers to {count} of your "
    "pictures by up to {moved:.2g}: it amplifies rounding there, whatever computes it"
)
NOTHING_LEFT = (
    "a change of the input's last bits moves the network's own answers by {moved:.2g} or more, to "
    "every picture that it was asked: nothing they could be compared with. Are these weights "
    "trained? If so, give pictures of the kind it knows: --samples FOLDER"
)
LEFT_OUT = (
    "{count} of {all} random and shipped pictures were left out of the comparison: the network's "
    "own answers to them change with the last bits of the input"
)


@dataclass(frozen=True)
class Compared:
    """What was compared.

    Attributes:
        batch: instances ``(n, c, h, w)`` that count.
        expected: the contract's outputs for them, as the network gives them.
        difference: the largest one of the program's.
        notes: what the user is told of it.
    """

    batch: NDArray[Any]
    expected: Arrays
    difference: float
    notes: tuple[str, ...] = ()


def compare(
    batch: NDArray[Any],
    expected: Arrays,
    found: Arrays,
    answer: Callable[[NDArray[Any]], Arrays],
    tolerance: float,
    own: int,
) -> Compared:
    """Set answers side by side.

    Pictures that say nothing about the program are left out: to what is unlike all it was trained
    with, a network may answer with its own roundings, and no two ways to compute it agree.

    Args:
        found: the program's outputs for ``batch``.
        answer: the network's.
        own: so many instances at the end are pictures of the user's, which always count.

    Raises:
        ImportRefusedError: the program answers otherwise, or no picture is left.
    """
    difference = largest_difference(found, expected)
    if difference <= tolerance:
        return Compared(batch, expected, difference)
    moved = movements(answer, batch, expected)
    # To the roundings of its input those of all its layers come.
    differences = by_instance(found, expected)
    is_rounding = (differences > tolerance) & (differences <= ROUNDINGS * moved)
    unsteady = (moved > tolerance) | is_rounding
    of_user = np.arange(len(batch)) >= len(batch) - own
    counts = of_user | ~unsteady
    if not counts.any():
        raise ImportRefusedError(NOTHING_LEFT.format(moved=moved.min()))
    batch = batch[counts]
    expected, found = (tuple(rows[counts] for rows in answers) for answers in (expected, found))
    difference = largest_difference(found, expected)
    if not difference <= tolerance:
        worst = moved[unsteady & of_user]
        more = UNSTEADY.format(count=len(worst), moved=worst.max()) if len(worst) else ""
        raise ImportRefusedError(
            OTHERWISE.format(difference=difference, tolerance=tolerance, more=more)
        )
    left_out = int((~counts).sum())
    note = LEFT_OUT.format(count=left_out, all=len(counts) - own)
    return Compared(batch, expected, difference, (note,))


def movements(
    answer: Callable[[NDArray[Any]], Arrays],
    batch: NDArray[Any],
    expected: Arrays,
) -> NDArray[np.float64]:
    """How far each instance's answers move if its input changes by its last bits ``(n,)``.

    Args:
        answer: the contract's outputs for a batch.
        expected: what it gives for ``batch``.
    """
    random = np.random.default_rng(0)
    moved = np.zeros(len(batch))
    for _ in range(NUDGES):
        steps = random.integers(-ROUNDINGS, ROUNDINGS, batch.shape, endpoint=True)
        found = answer(batch + steps.astype(np.float32) * np.spacing(batch))
        moved = np.maximum(moved, by_instance(found, expected))
    return moved


def by_instance(found: Arrays, expected: Arrays) -> NDArray[np.float64]:
    """The largest difference of each instance's answers ``(n,)``."""
    rows = [tuple(part[i : i + 1] for part in found) for i in range(len(found[0]))]
    wanted = [tuple(part[i : i + 1] for part in expected) for i in range(len(expected[0]))]
    return np.array([largest_difference(*pair) for pair in zip(rows, wanted, strict=True)])
