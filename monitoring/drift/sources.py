"""Where counters are read: Prometheus, or the servers themselves."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from prometheus_client.parser import text_string_to_metric_families

from monitoring.drift.series import BASELINE, NAMES, Series, Snapshot
from monitoring.report import TIMEOUT_SECONDS, PrometheusError, ask, ask_range

LOOK_BACK = "5m"
"""For how long a pod that has gone is still asked for."""

BASELINE_LOOK_BACK = "1d"
MOST_STEPS, LEAST_STEP_SECONDS = 1000, 15


class Moment(NamedTuple):
    """Counters at a time, seconds since the epoch."""

    time: float
    counters: Snapshot


class Source(Protocol):
    """Both raise PrometheusError where nobody answers."""

    def now(self) -> Moment: ...

    def baselines(self) -> Snapshot:
        """Of model cards, as predictors expose them."""
        ...


class Prometheus:
    """A Prometheus that scrapes the servers, or that they push to."""

    def __init__(self, url: str) -> None:
        self._url = url

    def now(self) -> Moment:
        found = ask(self._url, f"last_over_time({_selector(NAMES)}[{LOOK_BACK}])")
        counters = {_series(one["metric"]): float(one["value"][1]) for one in found}
        return Moment(time.time(), counters)

    def baselines(self) -> Snapshot:
        found = ask(self._url, f"last_over_time({_selector((BASELINE,))}[{BASELINE_LOOK_BACK}])")
        return {_series(one["metric"]): float(one["value"][1]) for one in found}

    def history(self, seconds: float, until: float) -> Iterator[Moment]:
        """What the counters were, from so long before ``until``, in steps."""
        step = max(LEAST_STEP_SECONDS, seconds / MOST_STEPS)
        query = f"last_over_time({_selector(NAMES)}[{max(step, 60):.0f}s])"
        moments: dict[float, dict[Series, float]] = {}
        for one in ask_range(self._url, query, until - seconds, until, step):
            series = _series(one["metric"])
            for at, value in one["values"]:
                moments.setdefault(at, {})[series] = float(value)
        for at in sorted(moments):
            yield Moment(at, moments[at])


class Servers:
    """Transformers and predictors, asked one by one.

    Args:
        targets: ``host:port`` of each; what a server has counted is gone when it ends.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets

    def now(self) -> Moment:
        return Moment(time.time(), self._read(NAMES))

    def baselines(self) -> Snapshot:
        return self._read((BASELINE,))

    def _read(self, names: Sequence[str]) -> Snapshot:
        found: dict[Series, float] = {}
        for target in self._targets:
            for family in text_string_to_metric_families(_page(target)):
                for sample in family.samples:
                    if sample.name in names:
                        labels = {**sample.labels, "__name__": sample.name, "instance": target}
                        found[_series(labels)] = sample.value
        return found


def _page(target: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=TIMEOUT_SECONDS) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, ValueError) as error:
        raise PrometheusError(f"{target} does not answer: {error}") from None


def _series(labels: dict[str, str]) -> Series:
    return frozenset(labels.items())


def _selector(names: Sequence[str]) -> str:
    return f'{{__name__=~"{"|".join(names)}"}}'
