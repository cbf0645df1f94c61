"""Where runs take place: the store, the models, a folder to work in, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from artifact import ModelCard, Revision, open_revision, revisions_of
from lifecycle.errors import NeedError
from lifecycle.inbox import Inbox
from lifecycle.runs import Runs
from lifecycle.settings import LifecycleSettings
from local.following import LOCAL
from local.manifest import manifest_revision
from registry.datasets import Datasets
from registry.entry import Action, Event
from registry.revisions import Registry

Say = Callable[[str], None]


@dataclass
class Place:
    """What every step works with.

    Attributes:
        models: folder of revisions: what was live before there was a registry, and where
            `vision serve` finds what it serves.
        work: folder of what can be made again: downloads and checkpoints.
    """

    registry: Registry
    settings: LifecycleSettings
    inbox: Inbox
    models: Path
    work: Path
    say: Say
    runs: Runs = field(init=False)
    datasets: Datasets = field(init=False)

    def __post_init__(self) -> None:
        self.runs = Runs(self.registry.store)
        self.datasets = Datasets(self.registry)

    @property
    def service(self) -> str:
        return self.settings.lifecycle_service

    def folder(self, run_id: str) -> Path:
        """A run's own folder, made where it is not there."""
        folder = self.work / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def live(self, model: str) -> str:
        """The revision that answers now.

        One that was never rolled out by a registry is published and written down as found: it must
        be possible to go back to it.

        Raises:
            NeedError: there is no revision of the model at all.
        """
        open_times = [
            time
            for time in self.registry.state().live
            if (time.service, time.model) == (self.service, model) and not time.until
        ]
        if open_times:
            return open_times[-1].revision
        if self.service != LOCAL:
            raise NeedError(
                f"the registry does not know which revision of {model} {self.service} answers "
                "with: `python -m lifecycle.launch` on the cluster writes it down"
            )
        there = revisions_of(self.models, model)
        if not there:
            raise NeedError(
                f"there is no revision of {model} in {self.models} to begin with: train or import "
                "one first"
            )
        pinned = manifest_revision(model)
        revision = pinned if pinned in there else there[-1]
        self.registry.publish(open_revision(self.models, model, revision))
        why = "served before there was a registry"
        event = Event(
            Action.FOUND, self.registry.by, model, revision, why, {"service": self.service}
        )
        self.registry.record(event, f"found {model}/{revision}")
        return revision

    def card(self, model: str) -> ModelCard:
        """Of the live revision."""
        return self.registry.card(model, self.live(model))

    def pulled(self, model: str, revision: str) -> Revision:
        """A revision of the registry, in the folder to work in."""
        root = self.work / "models"
        self.registry.pull(model, revision, root)
        return open_revision(root, model, revision)
