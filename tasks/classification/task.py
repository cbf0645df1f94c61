"""Classification: pictures travel as base64 in JSON, answers are JSON, labels are indices."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ManyLabelsContract, Metrics, TaskMetrics
from artifact.fields import Fields
from tasks.errors import AnswerError, LabelsError
from tasks.labels import every_label, indices_of
from tasks.picture_task import prediction_of
from tasks.task import Question, Shown, Task

JSON = "application/json"
SAMPLE = "seven.png"
BAR = 30
"""Characters of a bar that stands for certainty."""


class Classification(Task):
    name = "classification"
    outputs = ("label", "class_id", "probability", "probabilities")
    # Fewer cost more each, and so do more: their activations leave the processor's cache (one core
    # of an AMD EPYC, PyTorch: 216 µs per image at 4, 159 at 32, 187 at 64).
    max_instances_per_pass = 32

    def read_contract(self, fields: Fields) -> Contract:
        if fields.has("thresholds"):
            return ManyLabelsContract.read(self.name, fields)
        return Contract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return Metrics.read(fields)

    def probe(self, contract: Contract) -> NDArray[Any]:
        return np.zeros((1, *contract.input.shape), np.float32)

    def question(self, picture: bytes) -> Question:
        return Question(_body(picture), JSON)

    def read_answer(self, contract: Contract, body: bytes) -> frozenset[int]:
        """The indices of the picture's labels: one, but of contracts of many."""
        return frozenset(indices_of(_named(contract, body), contract.labels))

    def read_answer_as(self, home: Contract, contract: Contract, body: bytes) -> frozenset[int]:
        """Labels that ``home`` does not have come after its own: in nothing are they right."""
        named = _named(contract, body)
        indices_of(named, contract.labels)
        return frozenset(indices_of(named, every_label(home, contract)))

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        if isinstance(contract, ManyLabelsContract):
            wanted = (len(images), len(contract.labels))
            if labels.shape != wanted or not np.isin(labels, (0, 1)).all():
                raise LabelsError(f"labels must be {wanted}, 1 of each that the image has, else 0")
            return
        if labels.ndim != 1 or len(labels) != len(images):
            raise LabelsError("labels must be (n,), one per image")
        if labels.dtype.kind not in "iu":
            raise LabelsError(f"labels must be integers, not {labels.dtype}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(contract.labels):
            raise LabelsError(f"labels must be 0 to {len(contract.labels) - 1}")

    def score(self, contract: Contract, answer: frozenset[int], label: Any) -> float:
        """Right or wrong; of many labels, how many are right of those that are there or named."""
        if not isinstance(contract, ManyLabelsContract):
            return float(answer == {int(label)})
        truth = set(np.flatnonzero(label).tolist())
        every = truth | answer
        return len(truth & answer) / len(every) if every else 1.0

    def same(self, contract: Contract, one: frozenset[int], other: frozenset[int]) -> bool:
        return one == other

    def score_text(self, total: float, count: int) -> str:
        return f"{total:g} of {count} right"

    def shown_question(self, picture: bytes, limit: int) -> Question:
        return Question(_body(picture, {"top_k": limit}), JSON)

    def show(self, body: bytes) -> Shown:
        """A line per class: label, percentage, bar."""
        try:
            top = [(str(e["label"]), float(e["probability"])) for e in prediction_of(body)["top"]]
        except (KeyError, TypeError, ValueError):
            raise AnswerError("the answer lists no classes") from None
        width = max((len(label) for label, _ in top), default=0)
        lines = [
            f"{label:<{width}}  {share:>7.2%}  {'█' * round(share * BAR)}".rstrip()
            for label, share in top
        ]
        return Shown("\n".join(lines))

    def sample(self, contract: Contract, names: Sequence[str]) -> str:
        """The first picture that is named after one of the labels, else of a seven."""
        labels = {_slug(label) for label in contract.labels}
        for name in sorted(names):
            if _slug(Path(name).stem) in labels:
                return name
        if SAMPLE not in names:
            raise LookupError(f"sample {SAMPLE} not found")
        return SAMPLE

    def curl(self, url: str, picture: str, name: str, options: str = "") -> str:
        path = shlex.quote(picture)
        body = f'{{"instances": [{{"base64": "\'$(base64 -w0 {path})\'"}}]}}'
        more = f"{options} " if options else ""
        return f"echo '{body}' |\n  curl -s {more}{url} -d @-"


def _named(contract: Contract, body: bytes) -> list[Any]:
    """The labels that an answer names."""
    prediction = prediction_of(body)
    try:
        if isinstance(contract, ManyLabelsContract):
            return [item["label"] for item in prediction["labels"]]
        return [prediction["label"]]
    except (KeyError, TypeError):
        raise AnswerError("the answer names no labels") from None


def _body(picture: bytes, parameters: dict[str, Any] | None = None) -> bytes:
    document: dict[str, Any] = {"instances": [{"base64": base64.b64encode(picture).decode()}]}
    if parameters:
        document["parameters"] = parameters
    return json.dumps(document).encode()


def _slug(text: str) -> str:
    return "-".join(text.lower().split())
