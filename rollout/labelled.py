"""Labelled images: the questions whose right answers are known."""

from __future__ import annotations

import gzip
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from rollout.errors import NotFoundError

FETCH_SECONDS = 60.0


@dataclass(frozen=True)
class LabelledSet:
    """``images``: (n, h, w) or (n, h, w, 3) uint8; ``labels``: (n,) int64, indices of labels."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, count: int, seed: int) -> LabelledSet:
        """``count`` of them (all, if there are no more), drawn without putting back."""
        order = np.random.default_rng(seed).permutation(len(self))[:count]
        return LabelledSet(self.images[order], self.labels[order])

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
        except (ValueError, KeyError, OSError) as error:
            raise NotFoundError(f"not an .npz with images and labels: {error}") from None
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
            raise NotFoundError("images must be (n, h, w) or (n, h, w, 3) uint8, a label each")
        return cls(images, labels.astype(np.int64))


def load_labelled(source: str, name: str) -> LabelledSet:
    """The labelled set at ``source``.

    Args:
        source: a data folder that holds ``<name>/raw/t10k-*-ubyte[.gz]``, an ``.npz`` file, or
            the ``http(s)://`` address of one (object storage gives such, signed, for private
            objects).
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
        raw = path / name / "raw"
        images = _read_idx(raw / "t10k-images-idx3-ubyte")
        labels = _read_idx(raw / "t10k-labels-idx1-ubyte")
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise NotFoundError(f"no labelled set of {name} at {source}: {error}") from None
    return LabelledSet(images, labels.astype(np.int64))


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
