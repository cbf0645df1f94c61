"""The step ``evaluated``: the trained revision beside the live one, on the same pictures.

Both answer as they do when they are served, with the transformer's preprocessing and the engine
that the predictor would take, but in this process. They are judged by the rules of a rollout's
gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, Revision, known
from lifecycle.data import KEEPS, data_of, labelled
from lifecycle.errors import StoppedError
from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.publication import candidate
from lifecycle.run import Run
from predictor.loading import LoadedRevision, load
from rollout.evidence import Rules, judge_comparison, sign_test
from rollout.gate import Comparison, compare
from rollout.labelled import LabelledSet
from serving.model import Answered
from tasks import find_task
from transformer.direct import DirectModel
from transformer.hop import ClientSettings, PredictorClient

TESTS, HELD_OUT = "the pinned test set", "the new data's held-out part"
MESSAGE_BYTES = 1 << 30


def evaluate(place: Place, run: Run) -> Found:
    """Compare; stops the run where the new revision is worse.

    On the test set a difference counts if chance does not explain it (the exact sign test on the
    pictures that only one of the two got right). On the held-out part of the new data, which the
    run is for, it must be right at least as often; and plainly more often where it is right less
    often on the test set, for many small losses are a large one.
    """
    live = place.pulled(run.model, place.live(run.model))
    new = candidate(place, run, place.folder(run.id) / "candidate")
    data = data_of(place, run)
    rules = Rules(confidence=place.settings.lifecycle_confidence)
    sides = [load(revision) for revision in (live, new)]
    contract = new.card.contract
    found = {
        name: _compare(sides, labelled(samples, contract))
        for name, samples in ((TESTS, data.tests), (HELD_OUT, data.held_out))
        if len(samples)
    }
    reasons = judge_comparison(found[TESTS], new.card.revision, new.digest, rules)
    reasons = [f"{TESTS}: {reason}" for reason in reasons]
    if HELD_OUT in found and found[HELD_OUT].canary.correct < found[HELD_OUT].stable.correct:
        reasons.append(_said(HELD_OUT, found[HELD_OUT]))
    evidence = "; ".join(_said(name, one) for name, one in found.items())
    place.runs.keep_report(
        run, f"evaluation-{live.card.revision}.md", _report(run, live, new, found, reasons)
    )
    numbers = {name: one.to_json() for name, one in found.items()}
    if not reasons and _loses(found, rules):
        raise StoppedError(
            f"not better than {live.card.identity}, so nothing is published, and its pictures "
            f"stay in the data: {evidence}",
            {**numbers, KEEPS: True},
        )
    if reasons:
        raise StoppedError(f"worse than {live.card.identity}: {'; '.join(reasons)}", numbers)
    return Found(f"against {live.card.identity}: {evidence}", numbers)


def _loses(found: Mapping[str, Comparison], rules: Rules) -> bool:
    tests = found[TESTS]
    if tests.canary.correct >= tests.stable.correct:
        return False
    new = found.get(HELD_OUT)
    return new is None or sign_test(new.canary_only, new.stable_only) >= 1 - rules.confidence


class _InProcess(PredictorClient):
    """Asks a revision that is in this process."""

    def __init__(self, loaded: LoadedRevision) -> None:
        super().__init__(ClientSettings("localhost:1", 1.0, 1, MESSAGE_BYTES))
        self._loaded = loaded

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        loaded = self._loaded
        outputs = tuple(np.asarray(rows) for rows in loaded.outputs(batch))
        return outputs, Answered(loaded.card.revision, loaded.digest, len(batch))


def _compare(sides: list[LoadedRevision], questions: LabelledSet) -> Comparison:
    async def asked() -> Comparison:
        with ThreadPoolExecutor(1) as executor:
            stable, canary = (
                DirectModel(one.card.name, one.card.contract, _InProcess(one), executor)
                for one in sides
            )
            return await compare(sides[1].card.name, questions, stable, canary, 0.0)

    return asyncio.run(asked())


def _said(name: str, found: Comparison) -> str:
    task = find_task(found.task)
    chance = sign_test(found.canary_only, found.stable_only)
    return (
        f"{name}: {task.score_text(found.canary.correct, found.images)}, the live one "
        f"{task.score_text(found.stable.correct, found.images)} (p = {chance:.2g} that it is "
        "no better)"
    )


def _report(
    run: Run,
    live: Revision,
    new: Revision,
    found: Mapping[str, Comparison],
    reasons: list[str],
) -> str:
    """For people, as Markdown."""
    rows = [
        f"| {name} | {one.images} | {one.stable.correct:g} | {one.canary.correct:g} "
        f"| {one.stable_only} | {one.canary_only} "
        f"| {sign_test(one.canary_only, one.stable_only):.2g} "
        f"| {sign_test(one.stable_only, one.canary_only):.2g} |"
        for name, one in found.items()
    ]
    lines = [
        f"# {new.card.identity} against {live.card.identity}",
        "",
        f"Run {run.id}: {run.arrival.part or run.arrival.why}, by {run.arrival.by}, "
        f"{run.arrival.at}.",
        "",
        "| on | pictures | live right | new right | only live | only new | p better | p worse |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Digest of the new one: {new.digest}; of its data: {known(new.card.data, 'data').digest}.",
        "",
        *([f"Refused: {reason}." for reason in reasons] or ["Accepted."]),
    ]
    return "\n".join(lines) + "\n"
