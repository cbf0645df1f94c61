"""Labelled images: the questions whose right answers are known, of whatever task."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import Contract
from rollout.errors import NotFoundError
from tasks import LabelsError, find_task

FETCH_SECONDS = 60.0
IMAGES, MASKS = "test/images/", "test/masks/"


@dataclass(frozen=True)
class LabelledSet:
    """Images with one right answer each.

    Attributes:
        images: ``(n, h, w)`` or ``(n, h, w, 3)`` uint8.
        labels: of which the task says what they are: ``(n,)`` indices, ``(n, h, w)`` masks.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, count: int, seed: int) -> LabelledSet:
        """``count`` of them (or all, if fewer), drawn without replacement."""
        order = np.random.default_rng(seed).permutation(len(self))[:count]
        return LabelledSet(self.images[order], self.labels[order])

    def picture(self, index: int) -> bytes:
        """One image as a PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.images[index]).save(buffer, "PNG")
        return buffer.getvalue()

    def check(self, contract: Contract) -> None:
        """See that the labels are those of a contract's task.

        Raises:
            NotFoundError: they are not.
        """
        try:
            find_task(contract.task).check_labels(contract, self.images, self.labels)
        except LabelsError as error:
            raise NotFoundError(f"no labelled set for {contract.task}: {error}") from None

    def to_bytes(self) -> bytes:
        """As a compressed ``.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=self.images, labels=self.labels)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LabelledSet:
        """Read a ``.npz`` with ``images`` and ``labels``.

        Raises:
            NotFoundError: it is none, or has others.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                images, labels = found["images"], found["labels"]
        except (ValueError, LookupError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise NotFoundError(f"not an .npz with images and labels: {error}") from None
        grey_or_rgb = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
        if images.dtype != np.uint8 or not grey_or_rgb or len(images) != len(labels):
            raise NotFoundError(
                "images must be (n, h, w) or (n, h, w, 3) uint8, one label per image"
            )
        return cls(images, labels)


def load_labelled(source: str, name: str) -> LabelledSet:
    """The labelled set at ``source``.

    Args:
        source: a data folder, an ``.npz`` file, or the ``http(s)://`` address of one (object
            storage gives such, signed, for private objects). The folder holds
            ``<name>/raw/t10k-*-ubyte[.gz]``, or ``segmentation/<name>/*.zip`` with pictures of
            one size in ``test/images`` and their masks, of the same names, in ``test/masks``.
        name: of the data set, as the model card has it.

    Raises:
        NotFoundError: it is not there, or not readable.
    """
    try:
        if source.startswith(("http://", "https://")):
            with urlopen(source, timeout=FETCH_SECONDS) as response:
                return LabelledSet.from_bytes(response.read())
        path = Path(source)
        if path.is_file():
            return LabelledSet.from_bytes(path.read_bytes())
        for archive in sorted((path / "segmentation" / name).glob("*.zip")):
            if (pairs := _read_pairs(archive)) is not None:
                return pairs
        raw = path / name / "raw"
        images = _read_idx(raw / "t10k-images-idx3-ubyte")
        labels = _read_idx(raw / "t10k-labels-idx1-ubyte")
    except (OSError, EOFError, struct.error, ValueError, zipfile.BadZipFile) as error:
        raise NotFoundError(f"no labelled set of {name} at {source}: {error}") from None
    return LabelledSet(images, labels.astype(np.int64))


def _read_pairs(path: Path) -> LabelledSet | None:
    """The test pictures and masks of an archive; None where it has none."""
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        names = sorted(
            name.removeprefix(IMAGES)
            for name in members
            if name.startswith(IMAGES) and MASKS + name.removeprefix(IMAGES) in members
        )
        if not names:
            return None
        pairs = [
            [np.asarray(Image.open(io.BytesIO(archive.read(f + name)))) for name in names]
            for f in (IMAGES, MASKS)
        ]
    return LabelledSet(np.stack(pairs[0]), np.stack(pairs[1]))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, packed or not (http://yann.lecun.com/exdb/mnist/)."""
    data = path.read_bytes() if path.exists() else gzip.decompress(_packed(path).read_bytes())
    kind, axes = struct.unpack(">HBB", data[:4])[1:]
    if kind != 0x08:
        raise ValueError(f"{path} holds no unsigned bytes")
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _packed(path: Path) -> Path:
    return path.with_name(path.name + ".gz")
