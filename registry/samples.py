"""Labelled pictures as a store keeps them: in the order of their digests, so that the same pictures
with the same labels are the same bytes, whatever files they came in.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from registry.errors import DamagedError

Picture = NDArray[np.uint8]
"""``(h, w)`` or ``(h, w, channels)``."""


@dataclass(frozen=True)
class Samples:
    """Pictures with one label each.

    Attributes:
        images: ``(n, h, w)`` or ``(n, h, w, channels)`` uint8; a tuple of pictures where they are
            not all of one size.
        labels: ``(n,)`` int64, indices into ``classes``.
    """

    images: Picture | tuple[Picture, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, images: Sequence[Picture], labels: Sequence[str], classes: Sequence[str]
    ) -> Samples:
        """Of pictures with the names of their classes, put in order.

        Raises:
            ValueError: a label is none of ``classes``.
        """
        place = {name: index for index, name in enumerate(classes)}
        if unknown := sorted({label for label in labels if label not in place}):
            raise ValueError(f"no such class: {', '.join(unknown)}")
        numbers = np.array([place[label] for label in labels], np.int64)
        digests = [picture_digest(image) for image in images]
        order = sorted(range(len(numbers)), key=lambda i: (digests[i], labels[i]))
        ordered = [images[i] for i in order]
        one_size = len({image.shape for image in ordered}) == 1
        return cls(
            np.stack(ordered) if one_size else tuple(ordered), numbers[order], tuple(classes)
        )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digests(self) -> list[bytes]:
        """Of each picture's pixels."""
        return [picture_digest(image) for image in self.images]

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash over every picture's digest and the name of its class."""
        found = hashlib.sha256()
        for line in sorted(
            digest + b" " + self.classes[label].encode() + b"\n"
            for digest, label in zip(self.digests, self.labels, strict=True)
        ):
            found.update(line)
        return "sha256:" + found.hexdigest()

    def held_out(self, share: float) -> NDArray[np.bool_]:
        """``(n,)``: which pictures are held out.

        By their digests alone: the same picture is on the same side in every part.
        """
        first = np.frombuffer(b"".join(digest[:4] for digest in self.digests), ">u4")
        return first < share * 2**32

    def subset(self, chosen: NDArray[np.bool_]) -> Samples:
        """Those that ``chosen``, ``(n,)``, is true for."""
        if isinstance(self.images, tuple):
            images: Picture | tuple[Picture, ...] = tuple(
                image for image, is_in in zip(self.images, chosen, strict=True) if is_in
            )
        else:
            images = self.images[chosen]
        return Samples(images, self.labels[chosen], self.classes)

    def counts(self) -> dict[str, int]:
        """Pictures of each class, in the order of ``classes``."""
        found = Counter(self.labels.tolist())
        return {name: found[index] for index, name in enumerate(self.classes)}

    def to_bytes(self) -> bytes:
        """A compressed ``.npz``: ``images``, ``labels``, ``classes``.

        Of several sizes, ``images`` has all pictures' bytes one after the other, and ``shapes``
        (``(n, 3)``; 0 channels where a picture has no such axis) says where each ends.
        """
        buffer = io.BytesIO()
        names = np.array(self.classes, np.str_)
        if isinstance(self.images, tuple):
            flat = [np.frombuffer(image.tobytes(), np.uint8) for image in self.images]
            images = np.concatenate(flat) if flat else np.zeros(0, np.uint8)
            shapes = np.array([(*i.shape, 0)[:3] for i in self.images], np.int64).reshape(-1, 3)
            np.savez_compressed(
                buffer, images=images, shapes=shapes, labels=self.labels, classes=names
            )
        else:
            np.savez_compressed(buffer, images=self.images, labels=self.labels, classes=names)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Samples:
        """Raises DamagedError: it is not what ``to_bytes`` makes; names where it was found."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                images, labels = found["images"], found["labels"].astype(np.int64)
                classes = tuple(str(name) for name in found["classes"])
                if "shapes" not in found:
                    return cls(images, labels, classes)
                pictures, start = [], 0
                for height, width, channels in found["shapes"].tolist():
                    size = height * width * max(channels, 1)
                    shape = (height, width, channels) if channels else (height, width)
                    pictures.append(images[start : start + size].reshape(shape))
                    start += size
                return cls(tuple(pictures), labels, classes)
        except (ValueError, LookupError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedError(f"{where} holds no labelled pictures: {error}") from None


def joined(parts: Sequence[Samples], classes: Sequence[str]) -> Samples:
    """All of them one after the other, their labels indices into ``classes``."""
    place = {name: index for index, name in enumerate(classes)}
    labels = [
        np.array([place[name] for name in part.classes], np.int64)[part.labels] for part in parts
    ]
    shapes = {part.images.shape[1:] for part in parts if not isinstance(part.images, tuple)}
    if len(shapes) == 1 and not any(isinstance(part.images, tuple) for part in parts):
        images: Picture | tuple[Picture, ...] = np.concatenate([part.images for part in parts])
    else:
        images = tuple(image for part in parts for image in part.images)
    return Samples(images, np.concatenate([*labels, np.zeros(0, np.int64)]), tuple(classes))


def picture_digest(image: Picture) -> bytes:
    """Of its size and pixels: 32 bytes."""
    shape = "x".join(str(side) for side in image.shape)
    return hashlib.sha256(shape.encode() + b":" + np.ascontiguousarray(image).tobytes()).digest()
