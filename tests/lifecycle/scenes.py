"""A model that has hardly seen two of its classes, and parts that arrive afterwards.

Everything is real: the data sets in a folder, checks, training, both revisions asked, the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifact import Architecture, Contract
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.settings import LifecycleSettings
from lifecycle.watch import Watch, open_watch
from registry.samples import Samples
from training.data import ImageData, LabelledImages
from training.fit import fit
from training.publish import publish
from training.settings import TrainingSettings

SEED = 5


@dataclass
class Scene:
    """One model's inbox, with a watch over it."""

    model: str
    classes: tuple[str, ...]
    place: Place
    watch: Watch
    folder: Path

    def drop(self, name: str, data: LabelledImages) -> Run:
        """Have a part arrive, and its run done."""
        folder = self.folder / "inbox" / self.model
        folder.mkdir(exist_ok=True)
        np.savez(
            folder / name, images=data.images, labels=data.labels, classes=np.array(self.classes)
        )
        assert not self.watch.look()
        marks = {part.path: part.mark for part in self.place.inbox.parts()}
        return self.place.runs.read(self.place.runs.seen(marks[f"{self.model}/{name}"]))


def samples(data: LabelledImages, classes: tuple[str, ...]) -> Samples:
    return Samples.of(list(data.images), [classes[i] for i in data.labels], classes)


def scene(
    folder: Path,
    model: str,
    contract: Contract,
    train: LabelledImages,
    tests: LabelledImages,
    architecture: Architecture,
    settings: Path,
    epochs: int,
) -> Scene:
    """A live revision that was trained with ``train``, and a pinned test set."""
    read = LifecycleSettings(
        registry=str(folder / "store"),
        lifecycle_inbox=str(folder / "inbox"),
        lifecycle_settings=settings,
    )
    watch, place = open_watch(read, "ada", folder / "models", folder / "work", 0.0)
    classes = contract.labels
    version = place.datasets.add(model, samples(train, classes))
    place.datasets.add(f"{model}-test", samples(tests, classes), split="heldout")
    own = TrainingSettings(
        model=model,
        architecture=architecture.name,
        arguments=architecture.arguments,
        epochs=epochs,
        batch_size=64,
        validation=max(1, len(train) // 10),
        lr=0.1,
        average=0.9,
        precision="fp32",
        keep="last",
    )
    data = ImageData(model, train, tests, classes, version.digest)
    result = fit(own, data, contract, None, None, None, SEED, folder)
    publish(own, data, contract, [result], folder / "models", "1")
    return Scene(model, classes, place, watch, folder)


def without(data: LabelledImages, classes: tuple[int, ...], but: int) -> LabelledImages:
    """All but the pictures of some classes, and of those the first few."""
    kept = ~np.isin(data.labels, classes)
    for label in classes:
        kept[np.flatnonzero(data.labels == label)[:but]] = True
    return data.subset(np.flatnonzero(kept))


def only(data: LabelledImages, *classes: int) -> LabelledImages:
    return data.subset(np.flatnonzero(np.isin(data.labels, classes)))


def shifted(data: LabelledImages) -> LabelledImages:
    """Every label the next one's: a mistake of whoever labelled."""
    return LabelledImages(data.images, (data.labels + 1) % 10)
