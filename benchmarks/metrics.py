"""What counting costs a request: ``python -m benchmarks.metrics``.

Counts as the transformer does for one request that is answered, alone in its batch, and prints the
processor's microseconds for each part and for all of them, the best of several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.metrics import SECONDS
from serving.metrics import BatchTally, Sizes, Tally
from transformer.metrics import TransformerTally

GOAL_MICROSECONDS = 3.0
ROUTE = "/v1/models/{model}:predict"


def microseconds(work: Callable[[], object], count: int, rounds: int = 7) -> float:
    """Processor time of one call, the least of ``rounds``."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(count):
            work()
        best = min(best, time.process_time() - started)
    return best / count * 1e6


def parts() -> dict[str, Callable[[], object]]:
    """What is counted for a request, by name."""
    registry = CollectorRegistry()
    tally, transformer = Tally(registry), TransformerTally(registry)
    meter = BatchTally(registry).of("m", lambda: 0)
    decode = transformer.decode_seconds.labels("m")
    attempts = transformer.hop_attempts.labels()
    unsure = transformer.unsure

    def answer() -> None:
        sizes = Sizes(1, 500, 400, 784)
        tally.count_answer("m", "1", "v1", ROUTE, "200", 0.004, sizes)

    def call() -> None:
        attempts.add()
        transformer.count_call("m", "1", 0.003)

    return {
        "answer: requests, seconds, instances, sizes": answer,
        "decode": lambda: decode.observe(0.0003),
        "batch: queue, requests, instances": lambda: meter.observe([0.0001], 1),
        "call: hop, attempts": call,
        "unsure": lambda: unsure.labels("m", "1").add(0),
    }


def of_the_library() -> dict[str, Callable[[], object]]:
    """The same by ``prometheus_client``, each number with its lock."""
    registry = CollectorRegistry()
    counter = Counter("c", "Some.", ("m",), registry=registry).labels("m")
    histogram = Histogram("h", "Some.", ("m",), registry=registry, buckets=SECONDS).labels("m")
    return {"one count": counter.inc, "one observation": lambda: histogram.observe(0.004)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="requests a round")
    options = parser.parse_args()
    print("| part | µs a request |\n| --- | --- |")
    every = 0.0
    for name, work in parts().items():
        found = microseconds(work, options.count)
        every += found
        print(f"| {name} | {found:.2f} |")
    print(f"| all of it; the goal is {GOAL_MICROSECONDS:g} | {every:.2f} |")
    for name, work in of_the_library().items():
        print(f"| prometheus_client, {name} | {microseconds(work, options.count):.2f} |")
    return 0 if every <= GOAL_MICROSECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
