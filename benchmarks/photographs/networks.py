"""Networks of torchvision with weights of a seed: as a file for peers, imported for the service."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image

from benchmarks.answers import Expected
from benchmarks.architectures.choice import Architecture
from benchmarks.architectures.comparison import run_import
from benchmarks.architectures.originals import build
from benchmarks.candidate import CandidateError
from benchmarks.networks import Network
from benchmarks.peers.torchvision_network import WEIGHTS
from benchmarks.peers.variables import (
    PUBLISHED_VARIABLE,
    ROOT_VARIABLE,
    TORCHVISION_VARIABLE,
)
from benchmarks.questions import Known

SEED = 0
QUALITY = 90
PUBLISHED = "published.txt"


@dataclass(frozen=True)
class PhotographNetwork(Network):
    """One network of torchvision, in a folder of its own.

    Two workers of a peer with one thread each, since a pass takes longer than all else: so both
    cores compute.

    Attributes:
        name: torchvision's.
        root: holds ``weights.pth``, and ``models`` with the imported revision.
        published: torchvision's name of the weights whose preprocessing it takes.
    """

    name: str
    published: str
    workers: ClassVar[int] = 2
    batch: ClassVar[int] = 8

    @property
    def title(self) -> str:
        return self.name

    @property
    def model(self) -> str:
        return architecture(self.name).model

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def environment(self) -> dict[str, str]:
        return {
            ROOT_VARIABLE: str(self.root.absolute()),
            TORCHVISION_VARIABLE: self.name,
            PUBLISHED_VARIABLE: self.published,
        }


def architecture(name: str) -> Architecture:
    return Architecture("torchvision", name, "classification")


def prepare_network(name: str, folder: Path, photographs: Sequence[Path]) -> PhotographNetwork:
    """Make the weights and import them, unless both are there.

    Raises:
        CandidateError: the import refuses it.
    """
    root = folder / name
    if not (root / PUBLISHED).exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        original = build(architecture(name), SEED, photographs)
        torch.save(original.network.state_dict(), root / WEIGHTS)
        refused = run_import(architecture(name), original.published, root)
        if refused is not None:
            raise CandidateError(f"{name}: {refused}")
        (root / PUBLISHED).write_text(original.published)
    return PhotographNetwork(root, "1", name, (root / PUBLISHED).read_text())


def known_answers(network: PhotographNetwork, photographs: Sequence[Path]) -> list[Known]:
    """Each photograph as a JPEG, with the original's answer to it."""
    original = build(architecture(network.name), SEED, photographs)
    found = []
    for path in photographs:
        encoded = as_jpeg(path)
        (row,) = original.probabilities([io.BytesIO(encoded)])
        best = int(row.argmax())
        found.append((encoded, Expected(best, float(row[best]))))
    return found


def as_jpeg(path: Path) -> bytes:
    """A photograph at its own size, as cameras and pages send it."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
