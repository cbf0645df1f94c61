"""A model that has hardly seen two of its classes, and parts that arrive afterwards.

Everything is real: the data sets in a folder, checks, training, both revisions asked, the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save

from artifact import Architecture, Contract, DataSource, write_revision
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.settings import LifecycleSettings
from lifecycle.watch import Watch, open_watch
from registry.samples import Samples
from tests.conftest import make_card, make_contract
from tests.training.synthetic import images
from training.data import ImageData, LabelledImages
from training.fit import fit
from training.settings import TrainingSettings

SEED = 5
SMALL = Architecture("two-convolutions", {"classes": 10})
"""Learns the synthetic pictures in seconds."""

LATE = (8, 9)
"""Classes that the synthetic live revision has hardly seen."""

SETTINGS = "epochs: 4\nbatch_size: 32\nlr: 0.05\naverage: 0.8\nkeep: last\nprecision: fp32\n"


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
    card = make_card(
        model,
        "1",
        contract=contract,
        architecture=architecture,
        temperature=1.0,
        data=DataSource(model, version.digest, len(train), own.validation, len(tests)),
    )
    write_revision(folder / "models", card, save(result.weights))
    return Scene(model, classes, place, watch, folder)


def synthetic(folder: Path) -> Scene:
    """Of pictures with a bar whose row tells the class."""
    (folder / "settings.yaml").write_text(SETTINGS)
    live = without(images(500), LATE, but=2)
    settings = folder / "settings.yaml"
    return scene(folder, "mnist", make_contract(), live, images(150, 1), SMALL, settings, epochs=4)


def good_part() -> LabelledImages:
    """Of the late classes."""
    return only(images(600, 3), *LATE)


def bad_part() -> LabelledImages:
    """Pictures of other classes that are called one of the late ones."""
    others = only(images(1200, 4), 0, 1, 2, 3, 4)
    return LabelledImages(others.images, np.full_like(others.labels, LATE[0]))


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
