"""Right answers for photographs, by kind and size; and what is flagged as of no class.

``python -m benchmarks.subjects mnist/1 mnist/2 --data ../shared/data`` photographs pictures of
the official test set by a seeded generator, brings them to the network as the transformer does, and
computes with the revision's export. The first revision is what there was before. With ``--url``, a
sample goes over HTTP to a running service as well, and must be answered the same.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import FAMILIARITY, ImageInput, Revision, known, open_revision
from artifact.trust import FAMILIAR_FROM
from benchmarks.subject_plot import plot
from client.http import PredictClient
from predictor.engines.engine import EngineOptions, Session
from predictor.engines.onnx_runtime import OnnxRuntimeEngine
from training.data import ImageData, load_data
from training.photographs import KINDS, SIZES, Shot, shots
from training.photographs.strangers import STRANGERS, strangers
from training.photographs.subjects import photograph_digit
from transformer.pictures.preprocess import Prepared, prepare

PLAIN = 10_000
STRANGERS_EACH = 500
OVER_HTTP = 40
BATCH = 32

Counts = dict[tuple[str, tuple[float, float]], list[int]]
"""Right and all, by kind and size."""


@dataclass
class Result:
    """What one revision made of the photographs.

    Attributes:
        plain: right answers of ``PLAIN`` test images as they are.
        flagged: share that is called unsure, by what it is.
    """

    identity: str
    counts: Counts = field(default_factory=dict)
    plain: int = 0
    flagged: dict[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        right, every = np.sum(list(self.counts.values()), axis=0)
        return float(right) / float(every)


class Candidate:
    """A revision as it is served: the transformer's preprocessing and ONNX Runtime."""

    def __init__(self, revision: Revision) -> None:
        self.card = revision.card
        self._spec = self.card.contract.input_as(ImageInput)
        self._session: Session = OnnxRuntimeEngine().load(revision, EngineOptions())
        self.result = Result(self.card.identity)

    def answers(self, pictures: Iterable[Image.Image]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """``(n,)`` classes, and ``(n,)`` whether they are called unsure."""
        prepared = [prepare(picture, self._spec) for picture in pictures]
        parts = [self._ask(prepared[i : i + BATCH]) for i in range(0, len(prepared), BATCH)]
        labels, unsure = zip(*parts, strict=True)
        return np.concatenate(labels), np.concatenate(unsure)

    def _ask(self, items: Sequence[Prepared]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        outputs = self._session.run(np.stack([item.tensor for item in items]))
        unsure = np.array([item.subjects == 0 for item in items])
        if FAMILIARITY in self.card.contract.outputs:
            unsure |= outputs[1] < FAMILIAR_FROM
        return outputs[0].argmax(axis=1), unsure


def measure(
    candidates: Sequence[Candidate], data: ImageData, other: ImageData, count: int, seed: int
) -> list[Shot]:
    """Fill in the candidates' results; gives the first photographs, for a sample over HTTP."""
    test = data.test
    order = np.random.default_rng(seed).permutation(len(test))[:count].tolist()
    sample: list[Shot] = []
    for start in range(0, count, BATCH):
        taken = list(shots(data.name, test.images, seed, order[start : start + BATCH]))
        sample += taken[: OVER_HTTP - len(sample)]
        pictures = [_decoded(shot.photograph.data) for shot in taken]
        for candidate in candidates:
            labels, _ = candidate.answers(pictures)
            for shot, label in zip(taken, labels.tolist(), strict=True):
                cell = candidate.result.counts.setdefault((shot.kind, shot.size), [0, 0])
                cell[0] += label == test.labels[shot.number]
                cell[1] += 1
    plain = test.images[:PLAIN]
    unknown = strange_pictures(other, seed)
    for candidate in candidates:
        labels, unsure = candidate.answers(map(Image.fromarray, plain))
        candidate.result.plain = int((labels == test.labels[:PLAIN]).sum())
        if FAMILIARITY in candidate.card.contract.outputs:
            candidate.result.flagged["test images"] = float(unsure.mean())
            for name, pictures in unknown.items():
                candidate.result.flagged[name] = float(candidate.answers(pictures)[1].mean())
    return sample


def strange_pictures(other: ImageData, seed: int) -> dict[str, list[Image.Image]]:
    """Pictures of none of the classes: as small as a data set's, and photographed."""
    random = np.random.default_rng([seed, 1])
    found = {
        name: list(map(Image.fromarray, strangers(name, STRANGERS_EACH, seed + 100)))
        for name in STRANGERS
    }
    found["the other data set"] = list(map(Image.fromarray, other.test.images[:STRANGERS_EACH]))
    letters = strangers("letter", STRANGERS_EACH // 5, seed + 101)
    found["letters, photographed"] = [
        _decoded(photograph_digit(letter, "pen", random.uniform(0.1, 0.8), random).data)
        for letter in letters
    ]
    nothing = np.zeros((28, 28), np.uint8)
    found["paper with nothing on it"] = [
        _decoded(photograph_digit(nothing, "pen", 0.5, random).data) for _ in range(40)
    ]
    return found


def over_http(url: str, sample: Sequence[Shot], data: ImageData, candidate: Candidate) -> int:
    """Right answers of a running service to the sample.

    Raises:
        PredictError: it does not answer.
    """
    client = PredictClient(url)
    right = 0
    for shot in sample:
        answer = client.predict(candidate.card.name, [shot.photograph.data])
        right += answer["predictions"][0]["class_id"] == data.test.labels[shot.number]
    return right


def table(results: Sequence[Result], dataset: str) -> str:
    """Markdown: a row a kind, a column a size; each cell before and after."""
    sizes = SIZES[dataset]
    head = " | ".join(f"{100 * low:g} to {100 * high:g} %" for low, high in sizes)
    lines = [f"| {dataset} | {head} | all |", "|" + " --- |" * (len(sizes) + 2)]
    for kind in (*KINDS[dataset], "all"):
        columns: list[tuple[float, float] | None] = [*sizes, None]
        cells = [
            " → ".join(f"{_share(result.counts, kind, size):.1%}" for result in results)
            for size in columns
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(counts: Counts, kind: str, size: tuple[float, float] | None) -> float:
    chosen = [cell for (k, s), cell in counts.items() if kind in (k, "all") and size in (s, None)]
    right, every = np.sum(chosen, axis=0) if chosen else (0, 0)
    return float(right / every) if every else float("nan")


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.subjects")
    parser.add_argument("revisions", nargs="+", metavar="NAME/REVISION", help="before, then after")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the data sets' folder")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where revisions are")
    parser.add_argument("--count", type=int, default=2000, help="photographs")
    parser.add_argument("--seed", type=int, default=1, help="of the generator")
    parser.add_argument("--url", help="of a running service, which answers a sample")
    parser.add_argument("--plot", type=Path, help="a PNG of before and after")
    options = parser.parse_args()
    pairs = [identity.partition("/")[::2] for identity in options.revisions]
    candidates = [Candidate(open_revision(options.models, *pair)) for pair in pairs]
    data = load_data(known(candidates[-1].card.data, "data").name, options.data)
    (other_name,) = set(KINDS) - {data.name}
    other = load_data(other_name, options.data)
    sample = measure(candidates, data, other, options.count, options.seed)
    results = [candidate.result for candidate in candidates]
    print(table(results, data.name))
    for result in results:
        print(f"\n{result.identity}: photographs {result.accuracy:.2%}", end="; ")
        print(f"test images as they are {result.plain} of {PLAIN}")
        print(json.dumps({name: round(share, 4) for name, share in result.flagged.items()}))
    if options.url:
        right = over_http(options.url, sample, data, candidates[-1])
        print(f"over HTTP: {right} of {len(sample)} photographs right")
    if options.plot:
        options.plot.write_bytes(plot(results, data.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
