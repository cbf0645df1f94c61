"""The cards of revisions as they lie here: contract and digest, before a pod is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from artifact import ArtifactError, ModelCard, RevisionNotFoundError, open_revision
from rollout.errors import RefusedError
from rollout.record import Entry


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


def nowhere_else(_model: str, _revision: str) -> Expected | None:
    return None


@dataclass(frozen=True)
class Cards:
    """A folder of ``<model>/<revision>/model.json``.

    Attributes:
        elsewhere: what is known of a revision that is not in the folder.
    """

    root: Path
    elsewhere: Callable[[str, str], Expected | None] = nowhere_else

    def expected(self, model: str, revision: str) -> Expected:
        """By the card; without one only the revision's name is known.

        Raises:
            RefusedError: there is a card, but it is not valid.
        """
        if "/" in revision:
            return Expected(model, "", "", None)
        try:
            found = open_revision(self.root, model, revision)
        except RevisionNotFoundError:
            return self.elsewhere(model, revision) or Expected(model, revision, "", None)
        except ArtifactError as error:
            raise RefusedError(str(error)) from None
        return Expected(model, revision, found.digest, found.card)

    def all_expected(self, models: dict[str, str], entry: Entry | None = None) -> list[Expected]:
        """Of several models; where there is no card, by the digest of a history entry."""
        found = []
        for model, revision in models.items():
            item = self.expected(model, revision)
            if entry is not None and not item.digest and entry.models.get(model) == revision:
                item = replace(item, digest=entry.digests.get(model, ""))
            found.append(item)
        return found

    def digests(self, models: dict[str, str]) -> dict[str, str]:
        """Digest by model, as far as there are cards."""
        found = {item.model: item.digest for item in self.all_expected(models)}
        return {model: digest for model, digest in found.items() if digest}

    def admit(self, model: str, revision: str, running: str) -> Expected:
        """See that a new revision may replace the running one.

        Raises:
            RefusedError: it is not there, its card is not valid, its files are not those that
                its card names, or its contract is another.
        """
        try:
            new = open_revision(self.root, model, revision)
            new.check_files()
        except ArtifactError as error:
            raise RefusedError(f"{model}/{revision} is refused: {error}") from None
        old = self.expected(model, running)
        if old.card is not None and not new.card.answers(old.card.contract):
            raise RefusedError(
                f"{model}/{revision} is refused: its contract is {new.card.contract.digest}, that "
                f"of {model}/{running} is {old.contract}, which it does not accept; a new contract "
                "takes a model name of its own"
            )
        return Expected(model, revision, new.digest, new.card)

    def admit_beside(self, model: str, revision: str, running: str) -> Expected:
        """See that a new revision may run beside another one, each in a pod of its own.

        Its files lie in storage, and its contract may be another: the transformer beside it has
        the same card. What is asked of the model stays the same.

        Raises:
            RefusedError: nobody knows its card, or that is not valid, or of another task.
        """
        new, old = self.expected(model, revision), self.expected(model, running)
        if new.card is None:
            raise RefusedError(
                f"{model}/{revision} is refused: its card is not in {self.root}, and no registry "
                "that VISION_REGISTRY names has it, so nobody could tell whether its pod answers "
                "as that revision"
            )
        task = new.card.contract.task
        if old.card is not None and old.card.contract.task != task:
            raise RefusedError(
                f"{model}/{revision} is refused: it is of {task}, {model}/{running} of "
                f"{old.card.contract.task}; another task takes an InferenceService of its own"
            )
        return new
