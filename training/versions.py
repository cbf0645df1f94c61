"""Versions of the registry's data sets as training data: ``--data registry:NAME@DIGEST``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput
from common.settings import read_settings
from registry.connect import connect
from registry.datasets import ALL, TRAIN, Datasets, Version
from registry.errors import RegistryError
from registry.samples import Picture, Samples
from registry.settings import RegistrySettings
from rollout.labelled import load_labelled
from training.data import ImageData, LabelledImages, data_folder, load_data
from transformer.pictures.preprocess import prepare
from transformer.tensors import to_pixels

PREFIX = "registry:"


def is_version(data: str | None) -> bool:
    return data is not None and data.startswith(PREFIX)


def named(data: str) -> str:
    """With the whole digest, of the newest version where it has none.

    Raises:
        ValueError: the registry has no such version, or cannot be read.
    """
    _, version = _found(data)
    return f"{PREFIX}{version.identity}"


def load_version(
    data: str, dataset: str, tests: str, spec: ImageInput | None, labels: Sequence[str]
) -> ImageData:
    """What a version has for training, and the pinned test set that no part of it has.

    Args:
        data: as ``--data``.
        dataset: whose official test set is taken where ``tests`` is empty.
        tests: another one: ``registry:NAME@DIGEST``, or an ``.npz`` whose labels are places in
            the classes.
        spec: what pictures of another size are brought to; None where all must be of one.
        labels: of the contract, in order; empty for those of the version.

    Raises:
        ValueError: a class is none of ``labels``, or pictures are of no size that is trained with.
    """
    datasets, version = _found(data)
    classes = tuple(labels) or version.classes
    try:
        train = _images(datasets.open(version, TRAIN), classes, spec, version.identity)
        if is_version(tests):
            pinned, of = _found(tests)
            test = _images(pinned.open(of, ALL), classes, spec, of.identity)
    except RegistryError as error:
        raise ValueError(str(error)) from None
    name = version.name
    if not tests:
        official = load_data(dataset, data_folder())
        name, test = dataset, _relabelled(official, classes)
    elif not is_version(tests):
        found = load_labelled(tests, dataset)
        test = LabelledImages(found.images, found.labels.astype(np.int64))
    return ImageData(name, train, test, classes, version.digest, f"{PREFIX}{version.identity}")


def _found(data: str) -> tuple[Datasets, Version]:
    name, _, digest = data.removeprefix(PREFIX).partition("@")
    try:
        datasets = Datasets(connect(read_settings(RegistrySettings, os.environ), "training"))
        return datasets, datasets.version(name, digest or None)
    except RegistryError as error:
        raise ValueError(f"{data}: {error}") from None


def _relabelled(official: ImageData, classes: Sequence[str]) -> LabelledImages:
    """The test set, labelled by the places of its classes' names in ``classes``."""
    if missing := [name for name in official.labels if name not in classes]:
        raise ValueError(
            f"the test set of {official.name} has the class {', '.join(missing)}, which the data "
            "have not; give another one with --tests"
        )
    places = np.array([classes.index(name) for name in official.labels], np.int64)
    return LabelledImages(official.test.images, places[official.test.labels])


def _images(
    samples: Samples, classes: Sequence[str], spec: ImageInput | None, name: str
) -> LabelledImages:
    """Grey pictures of one size, labelled by their place in ``classes``."""
    unknown = [c for c, count in samples.counts().items() if count and c not in classes]
    if unknown:
        raise ValueError(f"{name} has the class {', '.join(unknown)}, which the model has not")
    places = np.array([classes.index(c) if c in classes else -1 for c in samples.classes], np.int64)
    images = samples.images
    wanted = None if spec is None else (spec.height, spec.width)
    if (
        isinstance(images, tuple)
        or images.ndim != 3
        or images.shape[1:] != (wanted or images.shape[1:])
    ):
        images = _brought(images, spec, name)
    return LabelledImages(images, places[samples.labels])


def _brought(
    images: Picture | Sequence[Picture], spec: ImageInput | None, name: str
) -> NDArray[np.uint8]:
    """As the transformer brings them to the contract's size."""
    if spec is None or spec.mode != "L":
        raise ValueError(
            f"{name}: pictures must be grey and of one size, or a revision of the model says with "
            "--parent what they are brought to"
        )
    planes = np.stack([prepare(Image.fromarray(image), spec).planes for image in images])
    return np.ascontiguousarray(to_pixels(planes, spec)[..., 0])
