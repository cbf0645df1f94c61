"""How far two engines' answers to the same batch are from each other."""

from __future__ import annotations

import numpy as np

from predictor.engines import Arrays


def largest_difference(found: Arrays, expected: Arrays) -> float:
    """The largest distance of a value from what is expected, over all outputs.

    Probabilities are compared as they are, also those that travel as 255ths in bytes; outputs with
    values above 1 (coordinates, features) in units of the largest of them.

    Returns:
        Infinity where shapes or numbers of outputs are not the same; NaN where a value is.
    """
    if [rows.shape for rows in found] != [rows.shape for rows in expected]:
        return float("inf")
    differences = [0.0]
    for one, other in zip(found, expected, strict=True):
        wanted = other.astype(np.float64)
        bytes_ = other.dtype == np.uint8
        unit = 255.0 if bytes_ else max(1.0, float(np.abs(wanted).max(initial=0.0)))
        differences.append(float(np.abs(one - wanted).max(initial=0.0)) / unit)
    return float(np.max(differences))
