"""Augmented views of the training images, with what the teachers answer to each of them.

The student is taught about the very picture that it is shown, and about many of each image: "a good
teacher is patient and consistent" (Beyer et al., 2022, arXiv:2106.05237). Views are drawn, and
teachers asked, once for all seeds and epochs.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from artifact import ImageInput, as_document
from training.checkpoint import read_checkpoint, write_checkpoint
from training.data import (
    AugmentedBatches,
    Batch,
    LabelledImages,
    augmentation,
    batches_of,
)
from training.settings import AUGMENTATION, TrainingSettings

SEED = 0
"""Of the views; the same for every run, since all of them share one file."""


@dataclass(frozen=True)
class TaughtViews(Dataset[Batch]):
    """Of ``n`` images ``v`` views each; a dataset indexed by a list of ``view * n + image``.

    Attributes:
        images: ``(v, n, c, h, w)`` normalised, in bfloat16: what a forward pass in training rounds
            its input to, at half of float32's space.
        logits: ``(v, n, classes)``, the teachers' mean.
        labels: ``(n,)``.
    """

    images: Tensor
    logits: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return self.logits.shape[0] * self.logits.shape[1]

    def __getitem__(self, indices: list[int]) -> Batch:
        images = self.images.flatten(0, 1)[indices].float()
        labels = self.labels[torch.tensor(indices) % len(self.labels)]
        logits = self.logits.flatten(0, 1)[indices]
        return images.contiguous(memory_format=torch.channels_last), labels, logits


class OneViewEach(Sampler[int]):
    """Every image once an epoch, in random order, in a view that is drawn anew."""

    def __init__(self, views: TaughtViews, generator: torch.Generator) -> None:
        self.views, self.count = views.logits.shape[:2]
        self.generator = generator

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        images = torch.randperm(self.count, generator=self.generator)
        views = torch.randint(self.views, (self.count,), generator=self.generator)
        yield from (views * self.count + images).tolist()


def view_batches(
    views: TaughtViews, settings: TrainingSettings, generator: torch.Generator
) -> DataLoader[Batch]:
    """An epoch's batches, of stored views in place of views drawn for the occasion."""
    return batches_of(views, OneViewEach(views, generator), settings, generator)


def taught_views(
    path: Path,
    teachers: Sequence[nn.Module],
    data: LabelledImages,
    settings: TrainingSettings,
    spec: ImageInput,
) -> TaughtViews:
    """The views in the file ``path``, which is written first where it holds others or is not there.

    Processes that train other seeds beside this one wait until it is written. The tensors stay in
    the file, so that those processes share its pages.
    """
    made_of = _made_of(teachers, data, settings, spec)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or read_checkpoint(path)[1] != made_of:
            views = settings.teacher_views
            print(f"asking {len(teachers)} teachers about {views} views of every image", flush=True)
            found = ask(teachers, data, settings, spec)
            write_checkpoint(path, {"views": vars(found)}, made_of)
        groups, _ = read_checkpoint(path)
    return TaughtViews(**groups["views"])


def ask(
    teachers: Sequence[nn.Module],
    data: LabelledImages,
    settings: TrainingSettings,
    spec: ImageInput,
) -> TaughtViews:
    """Draw ``settings.teacher_views`` views of every image and ask all teachers about each."""
    augmented = AugmentedBatches(data, augmentation(settings, spec), settings.group)
    parts = torch.arange(len(data)).split(settings.test_batch_size)
    images = torch.empty((settings.teacher_views, len(data), *spec.shape), dtype=torch.bfloat16)
    logits: list[Tensor] = []
    # A run is the same whether it finds the file or writes it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for view in tqdm(images, desc="views", leave=False):
            for part in parts:
                view[part] = augmented[part.tolist()][0].bfloat16()
                logits.append(answer(teachers, view[part]))
    together = torch.cat(logits).unflatten(0, (settings.teacher_views, len(data)))
    return TaughtViews(images, together, augmented.labels)


def answer(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """The teachers' mean logits ``(n, classes)`` to images ``(n, c, h, w)``.

    Their softmax is the geometric mean of the teachers' probabilities.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        answers = [teacher.eval()(images).float() for teacher in teachers]
    return torch.stack(answers).mean(0)


def _made_of(
    teachers: Sequence[nn.Module],
    data: LabelledImages,
    settings: TrainingSettings,
    spec: ImageInput,
) -> dict[str, Any]:
    """Everything that the views and answers depend on, as JSON has it."""
    digest = hashlib.sha256(data.images.tobytes() + data.labels.tobytes())
    for teacher in teachers:
        for tensor in teacher.state_dict().values():
            digest.update(tensor.contiguous().numpy().tobytes())
    return {
        "digest": digest.hexdigest(),
        "views": settings.teacher_views,
        "augmentation": {name: getattr(settings, name) for name in AUGMENTATION},
        "input": as_document(spec),
    }
