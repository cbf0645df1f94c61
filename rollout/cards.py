"""The cards of revisions as they lie here: contract and digest, before a pod is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from artifact import ArtifactError, ModelCard, RevisionMissing, open_revision
from rollout.errors import RefusedError


@dataclass(frozen=True)
class Expected:
    """What the pods of a predictor must say of one model; empty digests are not compared."""

    model: str
    revision: str
    digest: str
    card: ModelCard | None

    @property
    def contract(self) -> str:
        return "" if self.card is None else self.card.contract.digest


def expected(cards: Path, model: str, revision: str) -> Expected:
    """By the local card; without one only the revision's name is known.

    Raises:
        RefusedError: there is a card, but it is not valid.
    """
    if "/" in revision:
        return Expected(model, "", "", None)
    try:
        found = open_revision(cards, model, revision)
    except RevisionMissing:
        return Expected(model, revision, "", None)
    except ArtifactError as error:
        raise RefusedError(str(error)) from None
    return Expected(model, revision, found.digest, found.card)


def admit(cards: Path, model: str, revision: str, running: str) -> Expected:
    """See that a new revision may stand in for the running one.

    Raises:
        RefusedError: it is not there, its card is not valid, its weights are not those that its
            card names, or its contract is another.
    """
    try:
        new = open_revision(cards, model, revision)
        if (new.folder / new.card.weights.file).exists():
            new.read_weights()
    except ArtifactError as error:
        raise RefusedError(f"{model}/{revision} is refused: {error}") from None
    old = expected(cards, model, running)
    if old.card is not None and old.contract != new.card.contract.digest:
        raise RefusedError(
            f"{model}/{revision} is refused: its contract is {new.card.contract.digest}, that of "
            f"{model}/{running} is {old.contract}; a new contract takes a model name of its own"
        )
    return Expected(model, revision, new.digest, new.card)
