"""The steps of a run, in order, and what a finished one leaves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from registry.errors import DamagedError


class Step(str, Enum):
    """Named after the state that it leads to."""

    ARRIVED = "arrived"
    CHECKED = "checked"
    TRAINED = "trained"
    EVALUATED = "evaluated"
    PUBLISHED = "published"
    ROLLED_OUT = "rolled-out"


STEPS = tuple(Step)
APPROVABLE = STEPS[1:]
"""What a person can be asked before: all but that something arrived."""


class Outcome(str, Enum):
    """How a step ended; the second one ends the run."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Result:
    """What a step left.

    Attributes:
        why: for people: what was found, or the reason of a refusal.
        against: of an evaluation, the revision that was live.
        details: what later steps need, and numbers for people.
    """

    step: Step
    outcome: Outcome
    at: str
    by: str
    why: str = ""
    against: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Result:
        """Raises DamagedError: it is none; names where it was found."""
        try:
            document = json.loads(data)
            steps = {"step": Step(document["step"]), "outcome": Outcome(document["outcome"])}
            return cls(**{**document, **steps})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{where} is no result of a step: {error}") from None


class Verdict(str, Enum):
    """What a person says of a step that waits."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Decision:
    """A person's word on whether a run may go on to a step."""

    step: Step
    verdict: Verdict
    at: str
    by: str
    why: str = ""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Decision:
        """Raises DamagedError: it is none; names where it was found."""
        try:
            document = json.loads(data)
            kinds = {"step": Step(document["step"]), "verdict": Verdict(document["verdict"])}
            return cls(**{**document, **kinds})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{where} is no decision: {error}") from None
