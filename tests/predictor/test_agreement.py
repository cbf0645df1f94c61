from __future__ import annotations

import numpy as np
import pytest

from predictor.agreement import largest_difference


def test_probabilities_are_compared_as_they_are() -> None:
    expected = np.array([[0.25, 0.75]], np.float32)
    assert largest_difference((expected,), (expected,)) == 0
    found = np.array([[0.25, 0.5]], np.float32)
    assert largest_difference((found,), (expected,)) == 0.25


def test_larger_values_are_compared_in_units_of_the_largest() -> None:
    expected = np.array([[100.0, -400.0]], np.float32)
    assert largest_difference((expected + 4,), (expected,)) == 0.01


def test_bytes_are_255ths() -> None:
    levels = np.array([[0, 200]], np.uint8)
    assert largest_difference((levels + np.array([[1, 0]], np.uint8),), (levels,)) == 1 / 255


def test_the_output_that_differs_most_counts() -> None:
    zero, one = np.zeros((1, 2)), np.ones((1, 2))
    assert largest_difference((zero, zero), (zero, one)) == 1


def test_what_cannot_be_compared_is_never_equal() -> None:
    zero = np.zeros((1, 2))
    assert largest_difference((zero,), (zero, zero)) == float("inf")
    assert largest_difference((zero,), (zero.T,)) == float("inf")
    assert largest_difference((zero * np.nan,), (zero,)) != pytest.approx(0)
