"""``python -m benchmarks.capacity``: pods, nodes and money, and a day of Knative's autoscaler.

What a request costs is measured (``make bench``); prices are yours to say.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.capacity.autoscaler import Settings
from benchmarks.capacity.day import DAY, day, once
from benchmarks.capacity.service import Kind, Nodes, Outcome, simulate

MONTH_HOURS = 730
RATES = (10, 10_000, 1_000_000)
DAYS = (0.01, 100)
MOST = 10
"""Pods of each server, as overlays/production has it."""


@dataclass(frozen=True)
class Cost:
    """Of one request of one picture.

    Attributes:
        microseconds: CPU time by pod, many requests at once.
        cores: that one pod may use, and how full it is to be on average.
        platform: CPU time of Envoy, Kourier and queue-proxies. Assumed, not measured.
    """

    microseconds: dict[str, float]
    cores: dict[str, float]
    full: float = 0.6
    platform: float = 300.0

    def per_second(self, process: str) -> float:
        """Requests that one pod answers, at most."""
        return self.cores[process] * 1e6 / self.microseconds[process]

    def pods(self, process: str, rate: float) -> int:
        return max(1, math.ceil(rate / (self.per_second(process) * self.full)))

    def total_cores(self, rate: float) -> float:
        """Processors that so many requests a second keep busy, with what is to spare."""
        return rate * (sum(self.microseconds.values()) + self.platform) / 1e6 / self.full


@dataclass(frozen=True)
class Prices:
    """Attributes:
    node_cores, node_hour: of a node, in your money.
    usable: share of its processors that pods may have.
    """

    node_cores: int = 4
    node_hour: float = 0.2
    usable: float = 0.875

    def nodes(self, cores: float) -> int:
        return max(1, math.ceil(cores / (self.node_cores * self.usable)))


MEASURED = Cost({"check": 338.0, "servers": 302.0}, {"check": 1.0, "servers": 2.0})
"""benchmarks/REPORT.md: the check's 2,956 a second of one core, with the intent; transformer and
predictor together, one image a request. A pod of both has two cores to compute with."""

# Legs of a wake on a quiet node (docs/kubernetes.md, docs/runtime.md).
TRANSFORMER = Kind("transformer", 1.0, 0.005, 0.7 + 1.5, 275)
PREDICTOR = Kind("predictor", 1.0, 0.005, 0.6 + 1.3, 525)
ONE_POD = Kind("one pod", 1.0, 0.01, 1.2 + 1.5 + 0.4, 775)
WAKES = (("two services", (TRANSFORMER, PREDICTOR), 4.1), ("one pod", (ONE_POD,), 3.1))


def wake(row: tuple[Kind, ...]) -> float:
    """Seconds that the first request after zero waits."""
    row = tuple(replace(kind, per_second=1000.0) for kind in row)
    found = simulate(row, once(1.0), rest=30.0)
    return sum(seconds for seconds, _ in found.waits) + sum(kind.seconds for kind in row)


def gone(window: float, grace: float) -> float:
    """Seconds from the last request until the last pod is gone."""
    settings = Settings(window=window, grace=grace)
    kind = replace(ONE_POD, per_second=1000.0, settings=settings)
    found = simulate((kind,), once(1.0), rest=window + grace + 30.0)
    last = max(second for second, pods, _ in found.pods if pods[0])
    return last - 1.0 - kind.start


def reproduced() -> list[str]:
    lines = ["| what | simulated s | measured s |", "| --- | --- | --- |"]
    for name, row, measured in WAKES:
        lines.append(f"| first answer after zero, {name} | {wake(row):.1f} | {measured} |")
    for window, grace, measured_range in ((10, 10, "12 to 21"), (60, 30, "about 90")):
        least, most = gone(window, 0), gone(window, grace)
        what = f"last pod gone, window {window} s, grace {grace} s"
        lines.append(f"| {what} | {least:.0f} to {most:.0f} | {measured_range} |")
    return lines


def needed(cost: Cost, prices: Prices, rates: Iterable[int]) -> list[str]:
    lines = [
        "| requests/s | check | servers | cores | nodes | a month | a million requests |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rate in rates:
        pods = [cost.pods(process, rate) for process in cost.microseconds]
        cores = cost.total_cores(rate)
        nodes = prices.nodes(cores)
        month = nodes * prices.node_hour * MONTH_HOURS
        million = month / (rate * MONTH_HOURS * 3600) * 1e6
        cells = [f"{rate:,}", *(f"{n:,}" for n in pods), f"{cores:,.1f}", f"{nodes:,}"]
        lines.append("| " + " | ".join([*cells, f"{month:,.0f}", f"{million:.3f}"]) + " |")
    return lines


def days(cost: Cost, prices: Prices, rates: Iterable[float], seconds: int) -> list[str]:
    lines = [
        "| mean requests/s | kept | most pods | woken | refused | p99.9 waits s | nodes' hours "
        "| a day |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    nodes = Nodes(millicpu=round(1000 * prices.node_cores * prices.usable))
    for rate in rates:
        for minimum in (0, 2):
            settings = Settings(minimum=minimum, maximum=MOST)
            kind = replace(ONE_POD, per_second=cost.per_second("servers"), settings=settings)
            found = simulate((kind,), day(rate, seconds=seconds), nodes)
            lines.append(_day(rate, minimum, found, prices))
    return lines


def _day(rate: float, minimum: int, found: Outcome, prices: Prices) -> str:
    most = max(sum(pods) for _, pods, _ in found.pods)
    hours = found.node_seconds / 3600
    cells = (
        *(f"{rate:,g}", str(minimum), f"{most:,}", f"{found.woken / found.requests:.3%}"),
        *(f"{found.refused / found.requests:.3%}", f"{found.wait(0.999):.1f}"),
        *(f"{hours:,.0f}", f"{hours * prices.node_hour:,.2f}"),
    )
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--node-cores", type=int, default=Prices.node_cores)
    parser.add_argument("--node-hour", type=float, default=Prices.node_hour, help="its price")
    parser.add_argument(
        "--microseconds",
        type=float,
        default=MEASURED.microseconds["servers"],
        help="CPU time of a request in both servers: your pictures' and network's",
    )
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="requests a second")
    parser.add_argument(
        "--days", type=float, nargs="+", default=DAYS, help="means of a day's trace"
    )
    parser.add_argument("--seconds", type=int, default=DAY, help="of a day")
    options = parser.parse_args(arguments)
    prices = Prices(options.node_cores, options.node_hour)
    cost = replace(MEASURED, microseconds=MEASURED.microseconds | {"servers": options.microseconds})
    for lines in (
        needed(cost, prices, options.rates),
        reproduced(),
        days(cost, prices, options.days, options.seconds),
    ):
        print("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
