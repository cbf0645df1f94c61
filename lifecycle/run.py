"""A run: what arrived, how far it has come, and what people said of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lifecycle.step import APPROVABLE, Decision, Outcome, Result, Step, Verdict
from registry.errors import DamagedError

DIGITS = 12
"""Of a digest, in a run's id."""


def run_id(model: str, digest: str) -> str:
    """Of what has a digest: the same thing is the same run."""
    return f"{model}-{digest.removeprefix('sha256:')[:DIGITS]}"


@dataclass(frozen=True)
class Arrival:
    """What a run begins with.

    Attributes:
        id: of the run: the same arrival is the same run.
        part: where what arrived lies, such as ``boots.npz`` in the inbox; empty where nothing did,
            and the model is trained anew with what there is.
        digest: of the part's files, or of what a retraining begins from.
        why: for people, such as ``drift``.
    """

    id: str
    model: str
    part: str
    digest: str
    at: str
    by: str
    why: str = ""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Arrival:
        """Raises DamagedError: it is none; names where it was found."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise DamagedError(f"{where} tells of no arrival: {error}") from None


@dataclass(frozen=True)
class Run:
    """As its objects in the store say.

    Attributes:
        results: by step; of evaluations, the newest.
        evaluations: by the revision that was live.
        failures: messages of steps that failed and are done again.
        awaited: steps that it has waited before for a person.
        ended: whether its end has been written down and told.
    """

    arrival: Arrival
    results: Mapping[Step, Result] = field(default_factory=dict)
    evaluations: Mapping[str, Result] = field(default_factory=dict)
    decisions: Mapping[Step, Decision] = field(default_factory=dict)
    failures: Mapping[Step, list[str]] = field(default_factory=dict)
    awaited: Collection[Step] = ()
    ended: bool = False

    @property
    def id(self) -> str:
        return self.arrival.id

    @property
    def model(self) -> str:
        return self.arrival.model

    @property
    def refusal(self) -> Result | None:
        """What ended it short of its goal."""
        found = [*self.results.values(), *self.evaluations.values()]
        return next((r for r in found if r.outcome is Outcome.REFUSED), None)

    @property
    def is_over(self) -> bool:
        return Step.ROLLED_OUT in self.results or self.refusal is not None

    def next_step(self, live: str) -> Step | None:
        """What is to be done; None where nothing is any more.

        Args:
            live: the revision that answers now. Another one than the evaluation compared with
                means another evaluation, unless it is the run's own.
        """
        if self.is_over:
            return None
        for step in APPROVABLE:
            if step is Step.EVALUATED:
                if live not in self.evaluations and live != self.revision:
                    return step
            elif step not in self.results:
                return step
        raise AssertionError("unreachable")

    @property
    def waits(self) -> Step | None:
        """The step that waits for a person's word, if one does."""
        if self.is_over:
            return None
        return next((s for s in self.awaited if s not in self.decisions), None)

    def rejection(self, step: Step) -> Decision | None:
        decision = self.decisions.get(step)
        return decision if decision and decision.verdict is Verdict.REJECTED else None

    def details(self, step: Step) -> dict[str, Any]:
        """What a finished step left for later ones."""
        return self.results[step].details

    @property
    def revision(self) -> str:
        """That it published; empty before."""
        found = self.results.get(Step.PUBLISHED)
        return "" if found is None else str(found.details.get("revision", ""))

    @property
    def state(self) -> str:
        """For people: the last step, or ``refused``."""
        if self.refusal is not None:
            return "refused"
        return [Step.ARRIVED, *(s for s in APPROVABLE if s in self.results)][-1].value

    @property
    def why(self) -> str:
        """For people: the reason of its end, or what the last step found."""
        if self.refusal is not None:
            return self.refusal.why
        found = [self.results[s].why for s in APPROVABLE if s in self.results]
        return found[-1] if found else self.arrival.why
