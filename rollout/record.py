"""What a rollout writes down: the lock, the step in progress, and what has happened."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from rollout.errors import NotFoundError
from rollout.inferenceservice import Predictor, held_models

KEPT_ENTRIES = 200
KEPT_WHY = 1000
"""Characters of a reason: log lines may be long, and a ConfigMap takes 1 MiB in all."""
KEPT_STABLE = 50
"""Entries with a predictor's spec, which are what one can roll back to."""


class Step(str, Enum):
    """Where a change of the predictor stands; written before the step is taken."""

    STAGING = "staging"
    """The new predictor is written, at 0 %, and has not been found good yet."""
    OPEN = "open"
    """A canary has its share, and waits for a promotion or a rollback."""
    SETTLING = "settling"
    """The new predictor is good and gets all traffic."""
    RESTORING = "restoring"
    """The new predictor was no good or not wanted: the old one is put back."""


class Action(str, Enum):
    """What a history entry tells of."""

    FOUND = "found"
    CHANGED = "changed elsewhere"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABANDONED = "canary rolled back"
    REFUSED = "refused"
    FAILED = "failed to start"
    DISCARDED = "discarded"


STABLE = (Action.FOUND, Action.CHANGED, Action.PROMOTED, Action.ROLLED_BACK)
"""Entries that tell of a state of the whole predictor."""


@dataclass(frozen=True)
class Lock:
    """Who is at work; ``renewed`` counts up, so that others can see that it does not."""

    holder: str
    since: str
    renewed: int


@dataclass(frozen=True)
class Stop:
    """Somebody asks the command that holds the lock to stop where it stands."""

    by: str
    at: str


@dataclass(frozen=True)
class Operation:
    """One change of the predictor under way.

    Attributes:
        step: see ``Step``.
        model, revision: what is new; ``was`` is the model's revision before.
        digest: of the new revision's ``model.json``; empty where its card is not at hand.
        percent: of the canary, as asked; None for a rollback.
        before, after: the predictor's spec without the split.
        stable: the Knative revision that has the traffic while ``after`` starts.
        candidate: the Knative revision of ``after``; empty until it is known.
        created_before: KServe's ``latestCreatedRevision`` before the last write.
        generation: the InferenceService's after our last write.
        by, since, why: for the history.
        target: history entry that a rollback goes to; None for a canary.
        progress: what ``auto`` needs to go on after an interruption.
    """

    step: Step
    model: str
    revision: str
    was: str
    digest: str
    percent: int | None
    before: Predictor
    after: Predictor
    stable: str
    candidate: str
    created_before: str
    generation: int
    by: str
    since: str
    why: str
    target: int | None = None
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        if self.target is None:
            kind = "deployment" if self.percent is None else "canary"
            what = f"{self.model}/{self.revision}" if self.model else "a spec with the same models"
            return f"the {kind} of {what}"
        return f"the rollback to entry {self.target}"

    @classmethod
    def read(cls, document: dict[str, Any]) -> Operation:
        return cls(**{**document, "step": Step(document["step"])})


@dataclass(frozen=True)
class Entry:
    """One line of the history.

    Attributes:
        models: revision by model that the predictor holds from here on (stable entries).
        digests: of those revisions, as their pods answered.
        spec: key of the predictor's spec in ``Record.specs`` (stable entries).
        parent: the stable entry beneath this one: where a rollback goes.
        restores: the entry that a rollback went back to.
    """

    number: int
    at: str
    by: str
    action: Action
    model: str
    revision: str
    digest: str
    why: str
    knative_revision: str = ""
    models: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    spec: str = ""
    parent: int | None = None
    restores: int | None = None

    @classmethod
    def read(cls, document: dict[str, Any]) -> Entry:
        return cls(**{**document, "action": Action(document["action"])})


@dataclass(frozen=True)
class Judged:
    """The last change that was judged on evidence, which is kept after its end.

    Attributes:
        entry: of the history, which says how it ended, and why.
        progress: the operation's.
    """

    entry: int
    was: str
    progress: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """All of it, as one object that is swapped as a whole.

    Attributes:
        uid: the InferenceService's that the names of Knative revisions are of; empty in records
            that do not say.
    """

    lock: Lock | None = None
    stop: Stop | None = None
    operation: Operation | None = None
    history: tuple[Entry, ...] = ()
    specs: dict[str, Predictor] = field(default_factory=dict)
    judged: Judged | None = None
    uid: str = ""

    def of_service(self, uid: str, at: str) -> Record:
        """The record as the InferenceService with that ``uid`` has it; see ``anew``."""
        if self.uid in ("", uid):
            return replace(self, uid=uid)
        return self.anew(uid, at)

    def anew(self, uid: str, at: str) -> Record:
        """The record for an InferenceService that was made anew, as it is after a disaster.

        Knative counts its revisions from the beginning again, so that a name in the record would
        be another one's: all are forgotten. What was under way has ended with them; specs, by
        which a rollback goes back, are as good as before.
        """
        history = tuple(replace(entry, knative_revision="") for entry in self.history)
        record = replace(self, lock=None, stop=None, operation=None, history=history, uid=uid)
        if (lost := self.operation) is None:
            return record
        return record.with_entry(
            Action.DISCARDED,
            at,
            "unknown",
            f"{lost.title} ended with the InferenceService, which was made anew",
            lost.model,
            lost.revision,
            lost.digest,
            discarded=lost.after,
        )

    @property
    def current(self) -> Entry | None:
        """The newest stable entry."""
        return next((e for e in reversed(self.history) if e.action in STABLE), None)

    def entry(self, number: int) -> Entry:
        for entry in self.history:
            if entry.number == number:
                return entry
        raise NotFoundError(f"the history has no entry {number}")

    def steps_back(self, steps: int) -> Entry:
        """The stable entry that many steps beneath the current one; 0 is the current.

        Raises:
            NotFoundError: the history does not reach that far.
        """
        entry = self.current
        for done in range(steps):
            if entry is None or entry.parent is None:
                raise NotFoundError(f"the history reaches {done} step(s) back, not {steps}")
            entry = self.entry(entry.parent)
        if entry is None:
            raise NotFoundError("the history is empty")
        return entry

    def predictor_of(self, entry: Entry) -> Predictor:
        """The predictor's spec of a stable entry.

        Raises:
            NotFoundError: the entry is so old that it is no longer kept.
        """
        if entry.spec not in self.specs:
            raise NotFoundError(f"entry {entry.number} is too old: its spec is no longer kept")
        return self.specs[entry.spec]

    def observed(
        self, predictor: Predictor, knative_revision: str, digests: dict[str, str], at: str
    ) -> Record:
        """The record with what runs, if it is not what was written last.

        So a rollback can come back to what was deployed without this program.
        """
        current = self.current
        if current is not None and self.specs.get(current.spec) == predictor:
            return self
        first = current is None
        return self.with_entry(
            Action.FOUND if first else Action.CHANGED,
            at,
            "unknown",
            "what ran when this history began"
            if first
            else "applied without this program (a deployment, or by hand)",
            knative_revision=knative_revision,
            predictor=predictor,
            digests={model: digest for model, digest in digests.items() if digest},
        )

    def with_entry(
        self,
        action: Action,
        at: str,
        by: str,
        why: str,
        model: str = "",
        revision: str = "",
        digest: str = "",
        knative_revision: str = "",
        predictor: Predictor | None = None,
        digests: dict[str, str] | None = None,
        restores: Entry | None = None,
        discarded: Predictor | None = None,
    ) -> Record:
        """One entry more; a stable one (with ``predictor``) becomes the current.

        Args:
            discarded: a spec that is kept to be read, and is not what a rollback goes to.
        """
        number = self.history[-1].number + 1 if self.history else 1
        why = why if len(why) <= KEPT_WHY else why[: KEPT_WHY - 1] + "…"
        entry = Entry(number, at, by, action, model, revision, digest, why, knative_revision)
        specs = self.specs
        if predictor is not None:
            key = spec_key(predictor)
            specs = {**specs, key: predictor}
            beneath = self.current.number if self.current else None
            entry = replace(
                entry,
                models=held_models(predictor),
                digests=digests or {},
                spec=key,
                parent=restores.parent if restores else beneath,
                restores=restores.number if restores else None,
            )
        if discarded is not None:
            key = spec_key(discarded)
            specs = {**specs, key: discarded}
            entry = replace(entry, models=held_models(discarded), spec=key)
        history = (*self.history, entry)[-KEPT_ENTRIES:]
        kept = [e.spec for e in history if e.spec][-KEPT_STABLE:]
        return replace(self, history=history, specs={k: v for k, v in specs.items() if k in kept})

    def to_data(self) -> dict[str, str]:
        """As a ConfigMap's ``data``: one JSON document a key."""
        parts = {
            "lock": None if self.lock is None else asdict(self.lock),
            "stop": None if self.stop is None else asdict(self.stop),
            "operation": None if self.operation is None else asdict(self.operation),
            "history": [asdict(entry) for entry in self.history],
            "specs": self.specs,
            "judged": None if self.judged is None else asdict(self.judged),
            "uid": self.uid,
        }
        return {name: json.dumps(part, separators=(",", ":")) for name, part in parts.items()}

    @classmethod
    def from_data(cls, data: dict[str, str]) -> Record:
        lock = json.loads(data.get("lock", "null"))
        stop = json.loads(data.get("stop", "null"))
        operation = json.loads(data.get("operation", "null"))
        judged = json.loads(data.get("judged", "null"))
        return cls(
            stop=None if stop is None else Stop(**stop),
            lock=None if lock is None else Lock(**lock),
            operation=None if operation is None else Operation.read(operation),
            history=tuple(Entry.read(item) for item in json.loads(data.get("history", "[]"))),
            specs=json.loads(data.get("specs", "{}")),
            judged=None if judged is None else Judged(**judged),
            uid=json.loads(data.get("uid", '""')),
        )


def spec_key(predictor: Predictor) -> str:
    """A short name for a predictor's spec, the same for the same content."""
    canonical = json.dumps(predictor, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
