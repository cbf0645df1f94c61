"""What drift's tests find, and how soon: ``python -m benchmarks.drift [NAME/REVISION …]``.

Test pictures, which no baseline has seen, go through the real recipe and the revision's own network
once, as they are and shifted. Streams are drawn from them with replacement, and counted as a
transformer counts. Of every shift a hundred streams begin as usual and shift at any moment; for
false alarms, a hundred days of 10,000 pictures are followed in which nothing does. ``--labels``
has labels alone, and classes that double: what is weakest, in a minute for more of both.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from artifact import ImageInput, Revision, known, open_revision
from artifact.statistics import BRIGHTNESS, LABEL, STATISTICS
from artifact.trust import FAMILIAR_FROM
from monitoring.drift.counts import Counts, plus
from monitoring.drift.shift import BLOCK
from monitoring.drift.watch import Watch
from predictor.loading import load
from training.baseline import answers
from training.data import LabelledImages, data_folder, load_data
from transformer.classification.statistics import AnswerStatistics
from transformer.pictures.preprocess import prepare
from transformer.pictures.statistics import PictureStatistics

OTHER = {"MNIST": "FashionMNIST", "FashionMNIST": "MNIST"}
A_DAY = 10_000
USUAL_BLOCKS = 20
"""Before a shift: as many as the longest window has."""

PROMISED, FOLLOWED = 1_000, 3_000
STRANGERS = 0.05
LEFT, RADIUS, DEGREES = 0.8, 1.0, 20

Picked = NDArray[np.intp]


def darker(image: Image.Image) -> Image.Image:
    return image.point(lambda level: round(LEFT * level))


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(RADIUS))


def turned(image: Image.Image) -> Image.Image:
    return image.rotate(DEGREES, Image.Resampling.BILINEAR)


SHIFTS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "brightness −20 %": darker,
    f"blur, {RADIUS:g} pixel": blurred,
    f"rotation {DEGREES}°": turned,
}


@dataclass(frozen=True)
class Pool:
    """Pictures that were answered.

    Attributes:
        places: of each picture in the bins of each statistic; -1 where it is not counted.
        names: of the bins.
        right: whether the answer is.
    """

    places: Mapping[str, NDArray[np.intp]]
    names: Mapping[str, tuple[str, ...]]
    right: NDArray[np.bool_]

    def counts(self, picked: Picked) -> Counts:
        return {
            name: dict(
                zip(
                    self.names[name],
                    np.bincount(places[picked] + 1, minlength=len(self.names[name]) + 1)[
                        1:
                    ].tolist(),
                    strict=True,
                )
            )
            for name, places in self.places.items()
        }


class Stream(NamedTuple):
    """Where pictures come from, once they have shifted.

    Attributes:
        draw: counts of so many of them.
        accuracy: share of right answers among them.
    """

    draw: Callable[[int], Counts]
    accuracy: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("revisions", nargs="*", default=["mnist/2", "fashion-mnist/3"])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    parser.add_argument("--days", type=int, default=100, help="in which nothing shifts")
    parser.add_argument("--streams", type=int, default=100, help="of each shift")
    parser.add_argument("--labels", action="store_true", help="of labels alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    failed = False
    for identity in options.revisions:
        name, _, number = identity.partition("/")
        revision = open_revision(options.models, name, number)
        data = data_folder(options.data)
        simulation = Simulation(revision, data, options.seed, options.labels)
        print(f"\n{identity}\n")
        failed |= not simulation.report_shifts(options.streams)
        failed |= not simulation.report_quiet(options.days)
    return int(failed)


class Simulation:
    """Streams of one revision's test pictures.

    Args:
        labels: whether of labels alone.
    """

    def __init__(self, revision: Revision, data: Path, seed: int, labels: bool = False) -> None:
        card = revision.card
        self._random = np.random.default_rng(seed)
        held_out: dict[str, dict[str, int]] = defaultdict(dict)
        for statistic, place, count in known(card.baseline, "baseline").counts(
            card.contract.labels
        ):
            held_out[statistic][place] = count
        self._held_out: Counts = held_out
        kind = known(card.data, "data").name
        self._test = load_data(kind, data).test
        run = load(revision).outputs
        judge = AnswerStatistics(card.contract)

        def pool(
            images: LabelledImages, change: Callable[[Image.Image], Image.Image] | None = None
        ) -> Pool:
            return answered(revision, run, judge, images, change)

        self._usual = pool(self._test)
        self._shifted: dict[str, Pool] = {}
        self._others: Pool | None = None
        if labels:
            # Brightness counts the pictures.
            counted = {name: self._usual.places[name] for name in (BRIGHTNESS.name, LABEL)}
            self._usual = replace(self._usual, places=counted)
            self._held_out = {LABEL: held_out[LABEL]}
            return
        self._shifted = {name: pool(self._test, change) for name, change in SHIFTS.items()}
        self._others = pool(load_data(OTHER[kind], data).test)

    def report_shifts(self, streams: int) -> bool:
        print(
            "| shift | found after, median | worst | within 1,000 | told of | accuracy | estimated"
            " at the end | interval holds it |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        everything = True
        for name, stream in self._streams():
            found: list[int] = []
            told: Counter[str] = Counter()
            estimates: list[float] = []
            held = 0
            for _ in range(streams):
                watch, after = self._followed(stream)
                found.append(after)
                told.update(seen.shift.statistic for seen in watch.seen.values())
                if watch.accuracy is not None:
                    estimates.append(watch.accuracy.estimate)
                    held += watch.accuracy.low <= stream.accuracy <= watch.accuracy.high
            within = sum(after <= PROMISED for after in found)
            everything &= within == streams
            first = ", ".join(f"{name} {n}" for name, n in told.most_common(2))
            print(
                f"| {name} | {statistics.median(found):.0f} | {max(found)} | {within} of {streams}"
                f" | {first} | {stream.accuracy:.1%} | {_middle(estimates)} | {held} of {streams} |"
            )
        return everything

    def report_quiet(self, days: int) -> bool:
        """Follow what does not shift; a new alarm is one that begins."""
        watch = self._watch()
        alarms: list[str] = []
        highest = 0.0
        there: set[str] = set()
        for _ in range(days * A_DAY // BLOCK):
            watch.add(self._draw(BLOCK), 0)
            highest = max(highest, *(shift.evidence for shift in watch.latest.values()))
            now = {name for name, shift in watch.latest.items() if shift.is_there}
            alarms += now - there
            there = now
        print(
            f"\n{days} days of {A_DAY:,} pictures that are as they were: {len(alarms)} false alarms"
            f" {Counter(alarms) or ''}; highest evidence {highest:.2f}"
        )
        return len(alarms) < max(1, days / 100)

    def _streams(self) -> list[tuple[str, Stream]]:
        usual = float(self._usual.right.mean())
        streams = [
            (
                name,
                Stream(lambda n, pool=pool: pool.counts(self._any(n)), float(pool.right.mean())),  # type: ignore[misc]
            )
            for name, pool in self._shifted.items()
        ]
        for label in range(int(self._test.labels.max()) + 1):
            shares = self._doubled(label)
            accuracy = float((shares * self._usual.right).sum())
            streams.append((f"class {label} doubles", Stream(self._weighted(shares), accuracy)))
        if self._others is not None:
            mixed = Stream(self._mixed, (1 - STRANGERS) * usual)
            streams.append((f"{STRANGERS:.0%} of the other data set", mixed))
        return streams

    def _followed(self, stream: Stream) -> tuple[Watch, int]:
        """A watch that has seen a shift for 1,000 pictures, and after how many it told of it."""
        watch = self._watch()
        for _ in range(USUAL_BLOCKS):
            watch.add(self._draw(BLOCK), 0)
        # The shift begins inside a block.
        before = int(self._random.integers(0, BLOCK))
        waiting = self._draw(before)
        watch.seen.clear()
        seen, found = 0, 0
        while seen < PROMISED or (not found and seen < FOLLOWED):
            count = BLOCK - before if seen == 0 else BLOCK
            drawn = stream.draw(count)
            watch.add(plus(waiting, drawn) if seen == 0 else drawn, 0)
            seen += count
            if not found and any(shift.is_there for shift in watch.latest.values()):
                found = seen
        return watch, found or FOLLOWED

    def _watch(self) -> Watch:
        return Watch(self._held_out, self._held_out)

    def _any(self, count: int) -> Picked:
        return self._random.integers(0, len(self._test), count)

    def _draw(self, count: int) -> Counts:
        return self._usual.counts(self._any(count))

    def _mixed(self, count: int) -> Counts:
        assert self._others is not None
        strange = int(self._random.binomial(count, STRANGERS))
        known_ones = self._usual.counts(self._any(count - strange))
        return plus(known_ones, self._others.counts(self._any(strange)))

    def _doubled(self, label: int) -> NDArray[np.float64]:
        """Chances of the test pictures, where a class has twice its share."""
        of_it = self._test.labels == label
        share = of_it.mean()
        once = (1 - 2 * share) / (~of_it).sum()
        chances: NDArray[np.float64] = np.where(of_it, 2 * share / of_it.sum(), once)
        return chances

    def _weighted(self, shares: NDArray[np.float64]) -> Callable[[int], Counts]:
        def draw(count: int) -> Counts:
            return self._usual.counts(self._random.choice(len(shares), count, p=shares))

        return draw


def _middle(shares: Sequence[float]) -> str:
    return f"{statistics.median(shares):.1%}" if shares else "–"


def answered(
    revision: Revision,
    run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]],
    judge: AnswerStatistics,
    images: LabelledImages,
    change: Callable[[Image.Image], Image.Image] | None,
) -> Pool:
    """All pictures through recipe and network, once."""
    contract = revision.card.contract
    spec = contract.input_as(ImageInput)
    pictures = []
    for image in images.images:
        picture = Image.fromarray(image)
        pictures.append(prepare(picture if change is None else change(picture), spec))
    outputs = answers(run, pictures)
    numbers = PictureStatistics(spec).of(np.stack([item.planes for item in pictures]))
    judged, labels = judge.judged(outputs)
    places = {}
    # Of those that are unsure, confidence is not counted.
    sure = np.ones(len(images), bool) if len(outputs) == 1 else outputs[1] >= FAMILIAR_FROM
    for name, values in (numbers | judged).items():
        bounds = np.array(STATISTICS[name].bounds, np.float32)
        if name == "confidence":
            places[name] = np.full(len(images), -1)
            places[name][sure] = bounds.searchsorted(values)
        else:
            places[name] = bounds.searchsorted(values)
    assert labels is not None
    places[LABEL] = labels
    names = {name: STATISTICS[name].bins for name in places if name != LABEL}
    return Pool(places, {**names, LABEL: contract.labels}, labels == images.labels)


if __name__ == "__main__":
    raise SystemExit(main())
