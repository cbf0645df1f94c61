"""The baseline in a model card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from artifact import Baseline, InvalidCardError, ModelCard
from artifact.statistics import BINS, CONFIDENCE, MOST_LABELS, STATISTICS, label_bins
from tests.conftest import make_card, make_contract

LABELS = make_contract().labels
BASELINE = Baseline(
    pictures=7,
    bins=BINS,
    histograms={
        name: (7, *(0 for _ in statistic.bounds)) for name, statistic in STATISTICS.items()
    },
    labels=tuple(range(len(LABELS))),
    polarities={"light-on-dark": 7},
    right=(5, *(0 for _ in CONFIDENCE.bounds)),
    unsure_right=1,
)


def test_a_card_keeps_its_baseline_and_needs_none() -> None:
    assert ModelCard.from_json(make_card(baseline=BASELINE).to_json()).baseline == BASELINE
    assert ModelCard.from_json(make_card().to_json()).baseline is None


def test_its_counts_are_named_as_servers_name_theirs() -> None:
    counts = {(statistic, place): n for statistic, place, n in BASELINE.counts(LABELS)}
    assert counts["brightness", "0.02"] == 7
    assert counts["brightness", "+Inf"] == 0
    assert counts["label", LABELS[1]] == 1
    assert counts["polarity", "light-on-dark"] == 7
    assert counts["right", "0.2"] == 5
    assert counts["right", "unsure"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda b: b["histograms"]["brightness"].pop(), "baseline.histograms.brightness"),
        (lambda b: b["histograms"].update(colour=[1]), "baseline.histograms.colour"),
        (lambda b: b["labels"].append(1), "baseline.labels"),
        (lambda b: b["right"].pop(), "baseline.right"),
        (lambda b: b["right"].__setitem__(0, 8), "baseline.right"),
        (lambda b: b.update(pictures=0), "baseline.pictures"),
        (lambda b: b["polarities"].update(grey="many"), "baseline.polarities.grey"),
    ],
)
def test_a_fault_is_named(change: Callable[[Any], object], field: str) -> None:
    document = json.loads(make_card(baseline=BASELINE).to_json())
    change(document["baseline"])
    with pytest.raises(InvalidCardError) as found:
        ModelCard.from_json(json.dumps(document))
    assert [fault.field for fault in found.value.faults] == [field]


def test_bins_of_another_release_are_read_and_not_compared() -> None:
    document = json.loads(make_card(baseline=BASELINE).to_json())
    document["baseline"]["bins"] = BINS + 1
    document["baseline"]["histograms"] = {"hue": [1, 2]}
    document["baseline"]["right"] = [9]
    card = ModelCard.from_json(json.dumps(document))
    assert card.baseline is not None
    assert not card.baseline.is_comparable


def test_many_labels_share_bins_with_their_neighbours() -> None:
    labels = [f"class {number}" for number in range(1000)]
    bins = label_bins(labels)
    assert len(set(bins.names)) == MOST_LABELS
    assert bins.names[10] == "157–171: class 157 … class 171"
    assert {bins.places[number] for number in range(157, 172)} == {10}
    assert list(bins.places) == sorted(bins.places)
    sizes = [bins.places.count(place) for place in range(MOST_LABELS)]
    assert max(sizes) - min(sizes) == 1


def test_few_labels_are_counted_one_by_one() -> None:
    assert label_bins(LABELS) == (LABELS, tuple(range(len(LABELS))))
    assert label_bins([str(n) for n in range(MOST_LABELS + 1)]).names[:2] == ("0–1: 0 … 1", "2: 2")


def test_a_baseline_of_many_labels_has_a_count_a_bin() -> None:
    contract = replace(make_contract(), labels=tuple(map(str, range(1000))))
    baseline = replace(BASELINE, labels=(1,) * MOST_LABELS)
    card = replace(make_card(baseline=baseline), contract=contract)
    document = json.loads(card.to_json())
    assert ModelCard.from_json(json.dumps(document)).baseline == baseline
    counts = {(of, place): n for of, place, n in baseline.counts(contract.labels)}
    assert counts["label", "985–999: 985 … 999"] == 1
    document["baseline"]["labels"] = [1] * 1000
    with pytest.raises(InvalidCardError, match="labels"):
        ModelCard.from_json(json.dumps(document))
