import random

import pytest

from accounts.sequential import difference, ratio


def sides(rng, rate, other, subjects, correlated=False):
    """Failures and requests of each subject of two sides."""

    def subject(probability):
        requests = rng.randint(1, 8)
        if correlated:
            # All of a subject's requests end alike.
            return (requests if rng.random() < probability else 0, requests)
        return (sum(rng.random() < probability for _ in range(requests)), requests)

    return (
        [subject(rate) for _ in range(subjects)],
        [subject(other) for _ in range(subjects)],
    )


def ends_at(one, other, step=25):
    """The first look at which the interval leaves zero out; None if none does."""
    for seen in range(step, len(one) + 1, step):
        found = difference(ratio(other[:seen], True), ratio(one[:seen], True), 0.05)
        if found.low is not None and not found.low <= 0 <= found.high:
            return seen
    return None


@pytest.mark.parametrize("correlated", [False, True])
def test_looking_all_the_time_finds_no_difference_where_there_is_none(correlated):
    rng = random.Random(5)
    found = [ends_at(*sides(rng, 0.1, 0.1, 500, correlated)) for _ in range(120)]
    # At 5 %, 12 or more of 120 come by chance once in a hundred times.
    assert sum(end is not None for end in found) < 12


def test_a_difference_is_found_and_sooner_the_larger_it_is():
    rng = random.Random(6)
    small = [ends_at(*sides(rng, 0.05, 0.1, 1500)) for _ in range(15)]
    large = [ends_at(*sides(rng, 0.05, 0.2, 1500)) for _ in range(15)]
    assert all(small) and all(large)
    assert sum(large) < sum(small) / 2


def test_with_few_subjects_nothing_is_known():
    found = difference(ratio([(0, 1000)] * 10, True), ratio([(900, 1000)] * 10, True), 0.05)
    assert (found.value, found.low, found.high) == (-0.9, None, None)


def test_none_seen_is_not_none_there_is():
    found = difference(ratio([(0, 1)] * 30, True), ratio([(0, 1)] * 30, True), 0.05)
    assert found.low < -0.05 and found.high > 0.05
