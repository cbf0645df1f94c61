"""The gate's program: the same labelled images to the stable revision and to the new one.

``python -m rollout.gate`` runs in a Job made of the transformer's image, so that a picture goes
the same way to the predictor as in serving, through the cluster-local gateway, which routes by
host name. Each is asked after its own contract. Both are asked in turn, picture by picture, after
both are warm. It measures and does not judge: one JSON object goes to standard output and to the
container's termination message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from artifact import Contract, ModelCard
from rollout.errors import NotFoundError
from rollout.labelled import LabelledSet
from tasks import AnswerError, Question, Task, find_task
from transformer.direct import DirectError, DirectModel, DirectReply
from transformer.hop import ClientSettings, PredictorClient

GATEWAY_PORT = 80
CALL_SECONDS = 20.0
MESSAGE_BYTES = 32 << 20
"""As much as any of the manifests lets through: a tile's answer has a byte per class."""

WARM_UP = 20
TOLD = 3
"""Failures that are told in full."""

PART = "labelled."
"""How the parts of a labelled set begin that is too large for one file."""

TERMINATION_LOG = Path("/dev/termination-log")


class Asked(Protocol):
    """One revision of a model, and a way to it."""

    @property
    def contract(self) -> Contract:
        """That its answers are of."""

    async def ask(self, question: Question) -> DirectReply:
        """Send one question.

        Raises:
            DirectError: there was no answer.
        """


@dataclass
class Side:
    """One of the two, and what it gave.

    Attributes:
        revisions: of the model, as the answers named them.
        digests: likewise, of the artifact.
        score: sum over all images; an image without an answer adds nothing.
        errors: the first few, for people.
    """

    model: Asked
    revisions: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    score: float = 0.0
    failures: int = 0
    errors: list[str] = field(default_factory=list)


class Judged(NamedTuple):
    """One answer and how right it is; ``answer`` is None where there was none."""

    answer: Any
    score: float


@dataclass(frozen=True)
class Measured:
    """One side of the comparison; times in milliseconds, of requests that were answered.

    ``correct`` is the sum of all scores, each of which is 0 to 1: ``Task.score_text`` renders it.
    """

    revisions: list[str]
    digests: list[str]
    correct: float
    failures: int
    errors: list[str]
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Comparison:
    """What the gate found.

    Attributes:
        task: of the model.
        images: how many were asked of each.
        agreement: images to which both said the same.
        stable_only, canary_only: images that the one got right, or better right by more than the
            task's tolerance, and the other one did not.
    """

    model: str
    task: str
    images: int
    stable: Measured
    canary: Measured
    agreement: int
    stable_only: int
    canary_only: int

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        # Before there were other tasks, a rollout's record named none.
        document = {"task": "classification", **json.loads(text)}
        stable, canary = (Measured(**document.pop(side)) for side in ("stable", "canary"))
        return cls(stable=stable, canary=canary, **document)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


async def compare(
    name: str,
    questions: LabelledSet,
    stable: Asked,
    canary: Asked,
    wake_seconds: float,
    keep: Callable[[], None] = lambda: None,
) -> Comparison:
    """Ask both the same; the order within a pair alternates, so that neither is always second.

    Labels are those of the new revision's contract, whichever answers.

    Args:
        name: of the model.
        keep: called before every picture.

    Raises:
        DirectError: one of them did not wake within ``wake_seconds``.
    """
    contract = canary.contract
    task = find_task(contract.task)
    sides = {"stable": Side(stable), "canary": Side(canary)}
    for side in sides.values():
        await _wake(side.model, task.question(questions.picture(0)), wake_seconds, keep)
        for number in range(min(WARM_UP, len(questions))):
            question = task.question(questions.picture(number))
            await _ask(Side(side.model), task, contract, question, questions.labels[number])
            keep()
    agreement = stable_only = canary_only = 0
    for number in range(len(questions)):
        question = task.question(questions.picture(number))
        label = questions.labels[number]
        order = ("stable", "canary") if number % 2 else ("canary", "stable")
        keep()
        found = {side: await _ask(sides[side], task, contract, question, label) for side in order}
        a, b = found["stable"], found["canary"]
        if a.answer is not None and b.answer is not None:
            agreement += task.same(contract, a.answer, b.answer)
        stable_only += a.score > b.score + task.tolerance
        canary_only += b.score > a.score + task.tolerance
    return Comparison(
        model=name,
        task=task.name,
        images=len(questions),
        stable=_measured(sides["stable"]),
        canary=_measured(sides["canary"]),
        agreement=agreement,
        stable_only=stable_only,
        canary_only=canary_only,
    )


async def _wake(model: Asked, question: Question, seconds: float, keep: Callable[[], None]) -> None:
    """Ask until there is an answer: it may be at zero, and its gateway slow to know of it."""
    until = time.monotonic() + seconds
    while True:
        try:
            await model.ask(question)
            return
        except DirectError:
            if time.monotonic() >= until:
                raise
            keep()
            await asyncio.sleep(0.5)


async def _ask(side: Side, task: Task, home: Contract, question: Question, label: Any) -> Judged:
    try:
        reply = await side.model.ask(question)
        answer = task.read_answer_as(home, side.model.contract, reply.body)
        score = task.score(home, answer, label)
    except (DirectError, AnswerError) as error:
        side.failures += 1
        if len(side.errors) < TOLD:
            side.errors.append(str(error))
        return Judged(None, 0.0)
    side.seconds.append(reply.seconds)
    side.revisions.add(reply.revision)
    side.digests.add(reply.digest)
    side.score += score
    return Judged(answer, score)


def _measured(side: Side) -> Measured:
    times = np.array(side.seconds or [0.0]) * 1000
    return Measured(
        revisions=sorted(side.revisions),
        digests=sorted(side.digests),
        correct=round(side.score, 6),
        failures=side.failures,
        errors=side.errors,
        p50_ms=round(float(np.percentile(times, 50)), 3),
        p95_ms=round(float(np.percentile(times, 95)), 3),
    )


def read_set(path: Path) -> LabelledSet:
    """A labelled set in one file, or in a folder that holds its parts in the order of their names.

    Raises:
        NotFoundError: it is not there, or is none.
    """
    parts = sorted(path.glob(f"{PART}*")) if path.is_dir() else [path]
    try:
        return LabelledSet.from_bytes(b"".join(part.read_bytes() for part in parts))
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from None


def gateway_hop(address: str) -> PredictorClient:
    """To ``host`` by the gateway's port, or to ``host:port``; routed by the host's name."""
    host, _, port = address.partition(":")
    return PredictorClient(
        ClientSettings(
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
    parser.add_argument(
        "--stable-card", type=Path, help="of the stable one, where its contract is another"
    )
    parser.add_argument(
        "--set",
        type=Path,
        required=True,
        help=".npz with images and labels, or its parts",
    )
    parser.add_argument("--stable", required=True, help="host[:port] of the stable revision")
    parser.add_argument("--canary", required=True, help="host[:port] of the new one")
    parser.add_argument("--wake-seconds", type=float, default=120.0)
    options = parser.parse_args(arguments)
    card = ModelCard.from_json(options.card.read_bytes())
    stable_card = ModelCard.from_json((options.stable_card or options.card).read_bytes())
    status = 0
    try:
        questions = read_set(options.set)
        text = asyncio.run(_run(card, stable_card, questions, options)).to_json()
    except (DirectError, NotFoundError) as error:
        status, text = 1, str(error)
    print(text)
    if termination_log.exists():
        termination_log.write_text(text, encoding="utf-8")
    return status


async def _run(
    card: ModelCard, stable_card: ModelCard, questions: LabelledSet, options: argparse.Namespace
) -> Comparison:
    questions.check(card.contract)
    hops = [gateway_hop(options.stable), gateway_hop(options.canary)]
    try:
        with ThreadPoolExecutor(1) as executor:
            stable, canary = (
                DirectModel(card.name, asked.contract, hop, executor)
                for asked, hop in zip((stable_card, card), hops, strict=True)
            )
            return await compare(card.name, questions, stable, canary, options.wake_seconds)
    finally:
        for hop in hops:
            await hop.close()


if __name__ == "__main__":
    sys.exit(main())
