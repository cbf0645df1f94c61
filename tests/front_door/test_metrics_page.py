"""docs/metrics.md lists what the servers expose: every metric, its type and its labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from accounts.database import Database, open_database
from accounts.experiment_metrics import RunningExperiments
from accounts.feedback_metrics import FeedbackTally
from common.metrics import Family, Levels
from edge.metrics import EdgeTally
from monitoring.drift.exposition import DriftLevels
from predictor.metrics import PredictorTally
from serving.metrics import BatchTally, Tally
from tests.conftest import ROOT
from transformer.metrics import TransformerTally
from transformer.pictures.tally import PictureTally

ROW = re.compile(r"^\| `([a-z_]+)` \| (\w+) \| (\w+) \| ([^|]*)\| [^|]+ \|$", re.MULTILINE)

Described = dict[str, tuple[str, tuple[str, ...]]]
"""Type and labels by name."""

NO_DATABASE = Database(open_database("sqlite://"))
"""What is exposed is described without asking it."""


class Listing(CollectorRegistry):
    """A registry that says what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        self.collectors.append(collector)


def listed(*of: str) -> Described:
    """What the page says of these processes' metrics."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    return {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, whose, labels in ROW.findall(text)
        if whose in of
    }


def exposed(*tallies: Callable[[CollectorRegistry], object]) -> Described:
    registry = Listing()
    kept = [tally(registry) for tally in tallies]
    found = dict(_described(registry))
    assert len(kept) == len(tallies)
    return found


def _described(registry: Listing) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    for collector in registry.collectors:
        for family in collector.families if isinstance(collector, PictureTally) else [collector]:
            assert isinstance(family, (Family, Levels))
            (metric,) = family.describe()
            suffix = "_total" if metric.type == "counter" else ""
            yield metric.name + suffix, (metric.type, family.label_names)


@pytest.mark.parametrize(
    ("of", "tallies"),
    [
        (("both", "transformer"), (Tally, BatchTally, TransformerTally, PictureTally)),
        (("both", "predictor"), (Tally, BatchTally, PredictorTally)),
        (("edge",), (EdgeTally,)),
        (("drift",), (partial(DriftLevels, {}),)),
        (("console",), (FeedbackTally, partial(RunningExperiments, NO_DATABASE))),
    ],
    ids=("transformer", "predictor", "edge", "drift", "console"),
)
def test_the_page_lists_what_is_exposed(
    of: tuple[str, ...], tallies: tuple[Callable[[CollectorRegistry], object], ...]
) -> None:
    assert exposed(*tallies) == listed(*of)


def test_names_follow_the_conventions() -> None:
    every = listed("both", "transformer", "predictor", "edge", "drift", "console")
    for name, (kind, _) in every.items():
        assert name.startswith("vision_"), name
        assert name.endswith("_total") == (kind == "counter"), name
        if kind == "histogram":
            units = ("_seconds", "_bytes", "_pixels", "_requests", "_instances", "_ratio")
            assert name.endswith(units), name
