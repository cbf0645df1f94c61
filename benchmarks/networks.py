"""The networks that every candidate serves: the shipped one, and that of pytorch/examples.

Both are revisions of the model ``mnist`` under one model root, so that the service and its peers
read the same weights from the same files.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import save
from torch import nn

from artifact import (
    CARD_FILE,
    Architecture,
    DataSource,
    ImageInput,
    Metrics,
    SeedResult,
    open_revision,
    revisions_of,
    write_revision,
)
from benchmarks.peers.variables import REVISION_VARIABLE, ROOT_VARIABLE
from benchmarks.pictures import Pictures
from predictor.networks import build_network
from predictor.programs import program_for
from training.data import LabelledImages, evaluation_tensors
from training.export import export

MODEL = "mnist"
SHIPPED = "1"
TWO_CONVOLUTIONS = "two-convolutions"

TITLES = {SHIPPED: "the shipped network", TWO_CONVOLUTIONS: "two convolutions"}

BATCH = 64
SEED = 0
SAMPLES = 1000
"""Pictures that network and export are compared on."""


@dataclass(frozen=True)
class Network:
    """One revision of ``mnist`` under a model root.

    Attributes:
        workers: processes of a peer that computes in processes of its own.
        batch: most images of a forward pass of a peer.
    """

    root: Path
    revision: str
    workers: ClassVar[int] = 1
    batch: ClassVar[int] = 64

    @property
    def title(self) -> str:
        return TITLES[self.revision]

    @property
    def environment(self) -> dict[str, str]:
        """How a peer's process finds it."""
        return {ROOT_VARIABLE: str(self.root.absolute()), REVISION_VARIABLE: self.revision}


def prepare_networks(shipped: Path, root: Path, pictures: Pictures) -> dict[str, Network]:
    """Both networks by revision; the second is trained once, on the pictures given.

    Args:
        shipped: the folder of shipped revisions; ``root`` gets a copy of the models in it.
    """
    for name in sorted(path.name for path in shipped.iterdir() if path.is_dir()):
        for revision in revisions_of(shipped, name):
            if name == MODEL and revision != SHIPPED:
                continue  # of another contract: the second network could not stand beside it
            _copy(shipped / name / revision, root / name / revision)
    digest = _digest(pictures.train)
    folder = root / MODEL / TWO_CONVOLUTIONS
    if folder.exists():
        found = open_revision(root, MODEL, TWO_CONVOLUTIONS).card
        if found.data is None or found.data.digest != digest or not found.exports:
            shutil.rmtree(folder)
    if not folder.exists():
        _train(root, pictures, digest)
    return {revision: Network(root, revision) for revision in TITLES}


def _copy(source: Path, target: Path) -> None:
    """Copy a revision, unless it is there. Its card names its weights' digest."""
    if target.exists() and (target / CARD_FILE).read_bytes() != (source / CARD_FILE).read_bytes():
        shutil.rmtree(target)
    if not target.exists():
        shutil.copytree(source, target)


def _train(root: Path, pictures: Pictures, digest: str) -> None:
    """One pass over the training images: enough for answers that can be right or wrong."""
    shipped = open_revision(root, MODEL, SHIPPED).card
    started = time.monotonic()
    torch.manual_seed(SEED)
    architecture = Architecture("two-convolutions", {"classes": len(shipped.contract.labels)})
    network = build_network(architecture)
    images = evaluation_tensors(pictures.train, shipped.contract.input_as(ImageInput))
    labels = torch.from_numpy(pictures.train.labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    order = torch.randperm(len(labels))
    for batch in order.split(BATCH):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimiser.step()
    with torch.inference_mode():
        found = network(
            evaluation_tensors(pictures.test, shipped.contract.input_as(ImageInput))
        ).argmax(1)
    accuracy = float((found.numpy() == pictures.test.labels).mean())
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    seconds = round(time.monotonic() - started, 1)
    result = SeedResult(SEED, finished, 1, seconds, accuracy, accuracy, 0.0, 0.0, 1.0)
    card = replace(
        shipped,
        revision=TWO_CONVOLUTIONS,
        created=finished,
        architecture=architecture,
        temperature=1.0,
        parent=None,
        data=DataSource(
            pictures.source, digest, len(labels), len(pictures.test), len(pictures.test)
        ),
        training={"optimiser": "adam", "lr": 1e-3, "batch_size": BATCH, "epochs": 1},
        metrics=Metrics(SEED, accuracy, round(accuracy * len(pictures.test)), 0.0, seeds=(result,)),
        libraries={"torch": torch.__version__},
    )
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    program = program_for(card.contract, network.eval(), card.temperature)
    samples = evaluation_tensors(pictures.test, card.contract.input_as(ImageInput)).numpy()
    exported = export(program, card.contract, [samples[:SAMPLES]])
    write_revision(root, exported.named_in(card), save(weights), exported.files)


def _digest(data: LabelledImages) -> str:
    found = hashlib.sha256(data.images.tobytes())
    found.update(data.labels.tobytes())
    return "sha256:" + found.hexdigest()
