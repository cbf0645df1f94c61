from __future__ import annotations

from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from common.metrics import SECONDS, Counts, Distributions, Levels


def test_values_are_in_the_bucket_whose_bound_they_reach() -> None:
    registry = CollectorRegistry()
    child = Distributions("d", "Some.", ("m",), registry, bounds=(1.0, 2.0)).labels("a")
    for value in (0.5, 1.0, 1.5, 7.0):
        child.observe(value)

    def below(bound: str) -> float | None:
        return registry.get_sample_value("d_bucket", {"m": "a", "le": bound})

    assert [below(bound) for bound in ("1.0", "2.0", "+Inf")] == [2, 3, 4]
    assert registry.get_sample_value("d_sum", {"m": "a"}) == 10
    assert registry.get_sample_value("d_count", {"m": "a"}) == 4


def test_durations_have_bounds_from_a_fifth_of_a_millisecond_to_a_minute() -> None:
    assert (SECONDS[0], SECONDS[-1]) == (0.0002, 60.0)
    assert list(SECONDS) == sorted(set(SECONDS))
    # No bucket is so wide that a quantile within it says nothing.
    assert max(high / low for low, high in pairwise(SECONDS)) <= 3


def test_a_trace_is_named_in_openmetrics_alone() -> None:
    registry = CollectorRegistry()
    Counts("c", "Some.", (), registry).labels().add(2)
    child = Distributions("d", "Some.", (), registry).labels()
    child.observe(0.003, "ab" * 16)
    child.observe(0.003)
    child.observe(0.9)
    text = exposition.generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["c"].samples[0].value == 2
    named = [s for s in families["d"].samples if s.exemplar is not None]
    assert [(s.labels["le"], s.exemplar.labels) for s in named] == [
        ("0.004", {"trace_id": "ab" * 16})
    ]
    assert named[0].exemplar.value == 0.003
    assert "trace_id" not in generate_latest(registry).decode()


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Counts("c", "Some.", (), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Levels("c", "Others.", (), list, registry)


def test_a_metric_is_described_before_anything_is_counted() -> None:
    registry = CollectorRegistry()
    Counts("c", "Some.", ("m",), registry)
    assert "# TYPE c_total counter" in generate_latest(registry).decode()
