from dataclasses import replace

import pytest

from accounts.experiments import ExperimentView, Variant
from edge.assignment import choose

SUBJECTS = [f"acc_{number}" for number in range(3000)]


def experiment(percent=100, **shares):
    variants = tuple(Variant(name, "1", "http://127.0.0.1:1", n) for name, n in shares.items())
    return ExperimentView("new-shirt", "mnist", variants, percent=percent)


def assigned(plan):
    return {subject: getattr(choose(plan, subject), "name", None) for subject in SUBJECTS}


@pytest.mark.parametrize("shares", [{"a": 1, "b": 1}, {"a": 6, "b": 3, "c": 1}])
def test_shares_are_kept(shares):
    found = list(assigned(experiment(**shares)).values())
    for name, share in shares.items():
        assert found.count(name) / len(found) == pytest.approx(
            share / sum(shares.values()), abs=0.03
        )


def test_a_share_that_grows_takes_from_the_others_and_moves_nobody_else():
    before = assigned(experiment(a=40, b=40, c=20))
    after = assigned(experiment(a=40, b=40, c=60))
    moved = {(before[s], after[s]) for s in SUBJECTS if before[s] != after[s]}
    assert moved == {("a", "c"), ("b", "c")}


def test_more_take_part_and_nobody_changes_sides():
    few, many = assigned(experiment(10, a=1, b=1)), assigned(experiment(40, a=1, b=1))
    part = [subject for subject in SUBJECTS if few[subject]]
    assert len(part) / len(SUBJECTS) == pytest.approx(0.1, abs=0.02)
    assert all(many[subject] == few[subject] for subject in part)
    assert set(assigned(experiment(0, a=1, b=1)).values()) == {None}


def test_experiments_do_not_depend_on_one_another():
    one = assigned(experiment(a=1, b=1))
    other = assigned(replace(experiment(a=1, b=1), name="another"))
    alike = sum(one[subject] == other[subject] for subject in SUBJECTS)
    assert alike / len(SUBJECTS) == pytest.approx(0.5, abs=0.03)


def test_a_variant_without_a_share_has_nobody():
    assert set(assigned(experiment(a=0, b=1)).values()) == {"b"}
