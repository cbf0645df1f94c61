"""What counting costs a request: ``python -m benchmarks.metrics``.

Counts as the transformer does for one request that is answered, alone in its batch, and prints the
processor's microseconds for each part and for all of them, the best of several rounds. What is
counted of pictures and answers (docs/drift.md) stands by itself: it looks at every pixel.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from artifact import ImageInput, ModelCard, open_revision
from common.metrics import SECONDS
from serving.metrics import BatchTally, Sizes, Tally
from transformer.classification.statistics import AnswerStatistics
from transformer.metrics import TransformerTally
from transformer.pictures.polarity import Polarity
from transformer.pictures.tally import PictureTally, Seen

GOAL_MICROSECONDS = 3.0
ROUTE = "/v1/models/{model}:predict"
MODEL = ("mnist", "2")
TOGETHER = (1, 8, 32)
"""Pictures in a call to the predictor."""


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


def pictures(card: ModelCard, together: int, is_fast: bool) -> Callable[[], object]:
    """What is counted of the pictures of a call, and of their answers.

    Args:
        is_fast: whether they come too fast to look at each, as at no clock's pace.
    """
    contract = card.contract
    spec = contract.input_as(ImageInput)
    seconds = itertools.repeat(0) if is_fast else itertools.count(step=1000)
    tally = PictureTally(CollectorRegistry(), seconds.__next__)
    meter = tally.of(card.name, spec, AnswerStatistics(contract))
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(len(contract.labels)), together).astype(np.float32)
    seen = Seen(
        card.revision,
        random.integers(0, 256, (together, *spec.shape), np.uint8),
        (probabilities, np.ones(together, np.float32))[: len(contract.outputs)],
        [Polarity.LIGHT_ON_DARK] * together,
        [spec.width * spec.height] * together,
    )
    return lambda: meter.add(seen)


def of_the_library() -> dict[str, Callable[[], object]]:
    """The same by ``prometheus_client``, each number with its lock."""
    registry = CollectorRegistry()
    counter = Counter("c", "Some.", ("m",), registry=registry).labels("m")
    histogram = Histogram("h", "Some.", ("m",), registry=registry, buckets=SECONDS).labels("m")
    return {"one count": counter.inc, "one observation": lambda: histogram.observe(0.004)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="requests a round")
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()
    print("| part | µs a request |\n| --- | --- |")
    every = 0.0
    for name, work in parts().items():
        found = microseconds(work, options.count)
        every += found
        print(f"| {name} | {found:.2f} |")
    print(f"| all of it; the goal is {GOAL_MICROSECONDS:g} | {every:.2f} |")
    card = open_revision(options.models, *MODEL).card
    for together in TOGETHER:
        work = pictures(card, together, False)
        found = microseconds(work, options.count // together) / together
        print(f"| a picture of {card.identity} looked at, {together} in a call | {found:.2f} |")
    found = microseconds(pictures(card, 1, True), options.count)
    print(f"| a picture passed over | {found:.2f} |")
    for name, work in of_the_library().items():
        print(f"| prometheus_client, {name} | {microseconds(work, options.count):.2f} |")
    return 0 if every <= GOAL_MICROSECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
