"""The gate's program: the same labelled images to the stable revision and to the new one.

``python -m rollout.gate`` runs in a Job made of the transformer's image, so that images become
tensors as they do in serving, and tensors travel as they do in serving: v2 in binary through the
cluster-local gateway, which routes by host. Both are asked in turn, image by image, after
both are warm. It measures and does not judge: one JSON object goes to standard output and to the
container's termination message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import Contract, ImageInput, ModelCard
from rollout.labelled import LabelledSet
from serving.errors import ServingError
from transformer.hop import HopSettings, PredictorHop
from transformer.preprocess import prepare

GATEWAY_PORT = 80
CALL_SECONDS = 20.0
MESSAGE_BYTES = 8 << 20
WARM_UP = 20
TERMINATION_LOG = Path("/dev/termination-log")


@dataclass
class Answers:
    """What one of the two gave.

    Attributes:
        revisions: of the model, as the answers named them.
        digests: likewise, of the artefact.
        classes: by image; -1 where there was no answer.
        errors: the first few, for people.
    """

    revisions: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    classes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """One side of the comparison; times in milliseconds, of calls that were answered."""

    revisions: list[str]
    digests: list[str]
    correct: int
    failures: int
    errors: list[str]
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Comparison:
    """What the gate found.

    Attributes:
        images: how many were asked of each.
        agreement: images to which both gave the same class.
        stable_only, canary_only: images that only the one got right.
    """

    model: str
    images: int
    stable: Measured
    canary: Measured
    agreement: int
    stable_only: int
    canary_only: int

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        document = json.loads(text)
        stable, canary = (Measured(**document.pop(side)) for side in ("stable", "canary"))
        return cls(stable=stable, canary=canary, **document)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


async def compare(
    model: str,
    contract: Contract,
    questions: LabelledSet,
    stable: PredictorHop,
    canary: PredictorHop,
    wake_seconds: float,
) -> Comparison:
    """Ask both the same; the order within a pair alternates, so that neither is always second.

    Raises:
        ServingError: one of them did not wake within ``wake_seconds``.
    """
    spec = contract.input_as(ImageInput)
    tensors = [
        prepare(Image.fromarray(image), spec).tensor[np.newaxis] for image in questions.images
    ]
    hops = {"stable": stable, "canary": canary}
    for hop in hops.values():
        await _wake(hop, model, contract, tensors[0], wake_seconds)
        for tensor in tensors[:WARM_UP]:
            await _ask(hop, model, contract, tensor, Answers())
    found = {"stable": Answers(), "canary": Answers()}
    for number, tensor in enumerate(tensors):
        order = ("stable", "canary") if number % 2 else ("canary", "stable")
        for side in order:
            await _ask(hops[side], model, contract, tensor, found[side])
    labels = [int(label) for label in questions.labels]
    a, b = found["stable"].classes, found["canary"].classes
    return Comparison(
        model=model,
        images=len(labels),
        stable=_measured(found["stable"], labels),
        canary=_measured(found["canary"], labels),
        agreement=sum(x == y != -1 for x, y in zip(a, b, strict=True)),
        stable_only=sum(x == t != y for x, y, t in zip(a, b, labels, strict=True)),
        canary_only=sum(y == t != x for x, y, t in zip(a, b, labels, strict=True)),
    )


async def _wake(
    hop: PredictorHop,
    model: str,
    contract: Contract,
    tensor: NDArray[np.float32],
    seconds: float,
) -> None:
    """Ask until there is an answer: it may be at zero, and its gateway slow to know of it."""
    until = time.monotonic() + seconds
    while True:
        try:
            await hop.infer(model, contract, tensor, {})
            return
        except ServingError:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(0.5)


async def _ask(
    hop: PredictorHop,
    model: str,
    contract: Contract,
    tensor: NDArray[np.float32],
    answers: Answers,
) -> None:
    started = time.perf_counter()
    try:
        values, answered = await hop.infer(model, contract, tensor, {})
    except ServingError as error:
        answers.failures += 1
        answers.classes.append(-1)
        if len(answers.errors) < 3:
            answers.errors.append(f"{type(error).__name__}: {error.message}")
        return
    answers.seconds.append(time.perf_counter() - started)
    answers.classes.append(int(values[0].argmax()))
    answers.revisions.add(answered.revision)
    answers.digests.add(answered.digest)


def _measured(answers: Answers, labels: list[int]) -> Measured:
    times = np.array(answers.seconds or [0.0]) * 1000
    return Measured(
        revisions=sorted(answers.revisions),
        digests=sorted(answers.digests),
        correct=sum(x == t for x, t in zip(answers.classes, labels, strict=True)),
        failures=answers.failures,
        errors=answers.errors,
        p50_ms=round(float(np.percentile(times, 50)), 3),
        p95_ms=round(float(np.percentile(times, 95)), 3),
    )


def gateway_hop(address: str) -> PredictorHop:
    """To ``host`` by the gateway's port, or to ``host:port``; routed by the host's name."""
    host, _, port = address.partition(":")
    return PredictorHop(
        HopSettings(
            target=f"{host}:{port or GATEWAY_PORT}",
            timeout_seconds=CALL_SECONDS,
            attempts=1,
            max_message_bytes=MESSAGE_BYTES,
            authority=host,
        )
    )


def main(arguments: list[str] | None = None, termination_log: Path = TERMINATION_LOG) -> int:
    parser = argparse.ArgumentParser(prog="python -m rollout.gate", description=__doc__)
    parser.add_argument("--card", type=Path, required=True, help="model.json of the new revision")
    parser.add_argument("--set", type=Path, required=True, help=".npz with images and labels")
    parser.add_argument("--stable", required=True, help="host[:port] of the stable revision")
    parser.add_argument("--canary", required=True, help="host[:port] of the new one")
    parser.add_argument("--wake-seconds", type=float, default=120.0)
    options = parser.parse_args(arguments)
    card = ModelCard.from_json(options.card.read_bytes())
    questions = LabelledSet.from_bytes(options.set.read_bytes())
    status = 0
    try:
        text = asyncio.run(_run(card, questions, options)).to_json()
    except ServingError as error:
        status, text = 1, f"{type(error).__name__}: {error.message}"
    print(text)
    if termination_log.exists():
        termination_log.write_text(text, encoding="utf-8")
    return status


async def _run(card: ModelCard, questions: LabelledSet, options: argparse.Namespace) -> Comparison:
    stable, canary = gateway_hop(options.stable), gateway_hop(options.canary)
    try:
        return await compare(
            card.name, card.contract, questions, stable, canary, options.wake_seconds
        )
    finally:
        await stable.close()
        await canary.close()


if __name__ == "__main__":
    sys.exit(main())
