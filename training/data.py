"""The data sets, their split, and batches of augmented images."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

from artifact import ImageInput
from training.settings import TrainingSettings
from training.torchvision_ops import datasets, v2
from transformer.pictures.preprocess import prepare

DATA_VARIABLE = "DATA"
"""Environment variable that names the data folder where no option does."""


@dataclass(frozen=True)
class LabelledImages:
    """``images``: (n, h, w) uint8; ``labels``: (n,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: NDArray[np.int64]) -> LabelledImages:
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageData:
    """A data set as torchvision gives it, or a version of one of the registry's.

    Attributes:
        digest: over all pixels and labels, or the version's.
        source: ``registry:NAME@DIGEST``; empty where it is torchvision's.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    labels: tuple[str, ...]
    digest: str
    source: str = ""


def data_folder(option: str | None = None) -> Path:
    """The folder that holds ``MNIST/raw`` and ``FashionMNIST/raw``.

    The option, else the environment variable ``DATA``, else ``data``.
    """
    return Path(option or os.environ.get(DATA_VARIABLE) or "data")


def load_data(name: str, folder: Path) -> ImageData:
    """Read a data set, downloading it into ``folder`` where it is not there.

    Raises:
        ValueError: it is not there and cannot be downloaded, or is not known.
    """
    kinds = {"MNIST": datasets.MNIST, "FashionMNIST": datasets.FashionMNIST}
    if (kind := kinds.get(name)) is None:
        raise ValueError(
            f"{name} is none of {', '.join(kinds)}; a labelled .npz of it is given with --data"
        )
    root = _readable_root(name, folder)
    splits = []
    digest = hashlib.sha256()
    classes: list[str] = []
    for train in (True, False):
        try:
            split = kind(str(root), train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{name} is not in {folder} and cannot be downloaded ({error}); "
                "say where it is with DATA=…"
            ) from None
        images = np.ascontiguousarray(split.data.numpy())
        labels = np.ascontiguousarray(split.targets.numpy(), np.int64)
        digest.update(images.tobytes())
        digest.update(labels.astype("<i8").tobytes())
        splits.append(LabelledImages(images, labels))
        classes = split.classes
    # torchvision calls MNIST's classes "0 - zero"; the digit alone is the label.
    names = tuple(c.split(" - ")[0] if name == "MNIST" else c for c in classes)
    return ImageData(name, splits[0], splits[1], names, "sha256:" + digest.hexdigest())


def _readable_root(name: str, folder: Path) -> Path:
    """``folder``, or a cache where its archives are unpacked if it holds only those.

    torchvision unpacks beside the archives, which a shared or read-only folder does not want.
    """
    raw = folder / name / "raw"
    archives = sorted(raw.glob("*-ubyte.gz"))
    missing = [a for a in archives if not a.with_suffix("").exists()]
    if not missing:
        return folder
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(base) / "vision-kserve"
    (cache / name / "raw").mkdir(parents=True, exist_ok=True)
    for archive in archives:
        target = cache / name / "raw" / archive.stem
        if not target.exists():
            draft = target.with_suffix(f".{os.getpid()}")
            with gzip.open(archive) as packed, draft.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            draft.rename(target)
    return cache


def split_off(data: LabelledImages, count: int, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Split into what is left for training and ``count`` images for validation."""
    if not 0 < count < len(data):
        raise ValueError(f"validation: {count} of {len(data)} images leaves nothing to train on")
    order = np.random.default_rng(seed).permutation(len(data))
    return data.subset(np.sort(order[count:])), data.subset(np.sort(order[:count]))


def evaluation_tensors(data: LabelledImages, spec: ImageInput) -> Tensor:
    """All images through the transformer's own preprocessing: ``(n, c, h, w)`` float32."""
    tensors = [prepare(Image.fromarray(image), spec).tensor for image in data.images]
    return torch.from_numpy(np.stack(tensors))


def augmentation(settings: TrainingSettings, spec: ImageInput) -> v2.Compose:
    """Random transforms of a group of uint8 images, ending in the contract's normalisation.

    Outside the picture is background; what is erased becomes noise.
    """
    steps: list[v2.Transform] = []
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip(settings.flip))
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if settings.degrees or settings.zoom or settings.shear:
        steps.append(
            v2.RandomAffine(
                degrees=settings.degrees,
                translate=(settings.shift, settings.shift),
                scale=(1 - settings.zoom, 1 + settings.zoom),
                shear=settings.shear or None,
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        )
    elif settings.shift:
        # Whole pixels, no interpolation: the texture stays as sharp as in evaluation.
        padding = round(settings.shift * spec.width)
        steps.append(v2.RandomCrop((spec.height, spec.width), padding=padding))
    if settings.erase:
        steps.append(
            v2.RandomErasing(settings.erase, scale=(0.02, settings.erase_area), value="random")
        )
    steps.append(v2.Normalize(list(spec.mean), list(spec.std)))
    return v2.Compose(steps)


Batch = tuple[Tensor, Tensor, Tensor | None]
"""Images ``(n, c, h, w)``, labels ``(n,)``, and the teachers' logits ``(n, classes)``, if any."""


class AugmentedBatches(Dataset[Batch]):
    """Indexed by a list of image indices; gives one augmented batch.

    ``transforms.v2`` draws its parameters once a call, so the batch is cut into groups that
    share a draw: at 4 images a group it costs a quarter and is still random image by image,
    since the batches are shuffled.
    """

    def __init__(self, data: LabelledImages, transform: v2.Compose, group: int) -> None:
        self.images = torch.from_numpy(data.images).unsqueeze(1)
        self.labels = torch.from_numpy(data.labels)
        self.transform = transform
        self.group = group

    def __getitem__(self, indices: list[int]) -> Batch:
        groups = self.images[indices].split(self.group)
        batch = torch.cat([self.transform(group) for group in groups])
        batch = batch.contiguous(memory_format=torch.channels_last)
        return batch, self.labels[indices], None

    def __len__(self) -> int:
        return len(self.labels)


def training_batches(
    data: LabelledImages, settings: TrainingSettings, spec: ImageInput, generator: torch.Generator
) -> DataLoader[Batch]:
    dataset = AugmentedBatches(data, augmentation(settings, spec), settings.group)
    return batches_of(dataset, RandomSampler(dataset, generator=generator), settings, generator)


def batches_of(
    dataset: Dataset[Batch],
    sampler: Sampler[int],
    settings: TrainingSettings,
    generator: torch.Generator,
) -> DataLoader[Batch]:
    """Whole batches, in the sampler's order, of a dataset that is indexed by lists."""
    batches = BatchSampler(sampler, settings.batch_size, drop_last=True)
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=batches,
        num_workers=settings.workers,
        generator=generator,
        persistent_workers=settings.workers > 0,
    )


def mean_and_std(data: LabelledImages) -> tuple[float, float]:
    """Of all pixels, in units of full intensity, to four decimals."""
    pixels = data.images
    mean = float(pixels.mean(dtype=np.float64)) / 255
    std = float(pixels.std(dtype=np.float64)) / 255
    return round(mean, 4), round(std, 4)
