"""The forms that labelled pictures are brought in."""

from __future__ import annotations

import csv
import gzip
import json
import struct
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.datasets import LARGEST_PART_BYTES
from training.arrival.part import ArrivedPart, UnreadablePartError

FORMS = (
    "bring a folder with a folder of pictures for each class, a folder with --labels FILE "
    "(.csv or .json), an .npz of images and labels, a .parquet, or IDX files"
)
IDX_IMAGES, IDX_LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
UNSIGNED_BYTES = 0x08
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "picture"), ("label", "labels", "class")


def read(path: Path, labels: Path | None, names: Sequence[str]) -> ArrivedPart:
    """Raises UnreadablePartError, OSError."""
    if path.is_dir() and labels is not None:
        return _listed(path, labels, names)
    if path.is_dir():
        packed = sorted(path.glob(f"*{IDX_IMAGES}*"))
        if len(packed) > 1:
            raise UnreadablePartError(
                f"{path} has {len(packed)} sets of IDX files: name the file of pictures, as in "
                f"{packed[0]}"
            )
        return _idx(packed[0], labels, names) if packed else _folders(path)
    if path.suffix == ".npz":
        return _npz(path, names)
    if path.suffix == ".parquet":
        return _parquet(path, names)
    if IDX_IMAGES in path.name:
        return _idx(path, labels, names)
    if not path.exists():
        raise UnreadablePartError(f"{path} is not there")
    raise UnreadablePartError(f"{path} is of no form that is read; {FORMS}")


def _folders(root: Path) -> ArrivedPart:
    part = ArrivedPart()
    for folder in sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")):
        for path in _files(folder):
            part.take(path.relative_to(root).as_posix(), path.read_bytes(), folder.name)
    return part


def _listed(root: Path, labels: Path, names: Sequence[str]) -> ArrivedPart:
    part = ArrivedPart()
    for file, label in _labels_of(labels):
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            raise UnreadablePartError(f"{labels} names a file outside of {root}: {file}")
        if not path.is_file():
            raise UnreadablePartError(f"{labels} names {file}, which is not in {root}")
        part.take(file, path.read_bytes(), _name(label, names))
    return part


def _labels_of(path: Path) -> list[tuple[str, Any]]:
    """File and label of each picture."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        if path.suffix == ".json":
            document = json.loads(text)
            if isinstance(document, dict):
                return [(str(file), label) for file, label in document.items()]
            return [(str(row["file"]), row["label"]) for row in document]
        rows = [row for row in csv.reader(text.splitlines()) if row]
        pairs = [(row[0].strip(), row[1].strip()) for row in rows]
    except (ValueError, LookupError, TypeError):
        raise UnreadablePartError(
            f"{path}: labels are lines of `file,label` in a .csv, or {{file: label}} in a .json"
        ) from None
    return pairs[1:] if pairs and pairs[0] == ("file", "label") else pairs


def _npz(path: Path, names: Sequence[str]) -> ArrivedPart:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_PART_BYTES:
                raise UnreadablePartError(f"{path} unpacks to too much: bring it in several parts")
        with np.load(path, allow_pickle=False) as found:
            classes = [str(name) for name in found["classes"]] if "classes" in found else []
            return _arrays(path, found["images"], found["labels"], classes or names)
    except UnreadablePartError:
        raise
    except (ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise UnreadablePartError(
            f"{path} is no .npz with images (uint8) and labels: {error}"
        ) from None


def _idx(path: Path, labels: Path | None, names: Sequence[str]) -> ArrivedPart:
    if labels is None:
        labels = path.with_name(path.name.replace(IDX_IMAGES, IDX_LABELS))
    return _arrays(path, _read_idx(path), _read_idx(labels), names)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """http://yann.lecun.com/exdb/mnist/"""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        data = file.read(LARGEST_PART_BYTES)
    try:
        kind, axes = struct.unpack(">HBB", data[:4])[1:]
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
        if kind != UNSIGNED_BYTES:
            raise ValueError("it holds no unsigned bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (struct.error, ValueError) as error:
        raise UnreadablePartError(f"{path} is no IDX file: {error}") from None


def _arrays(
    path: Path, images: NDArray[Any], labels: NDArray[Any], names: Sequence[str]
) -> ArrivedPart:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise UnreadablePartError(
            f"{path}: images must be (n, h, w) or (n, h, w, 3) uint8 with one label each, not "
            f"{images.shape} {images.dtype} with {labels.shape} labels"
        )
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 4 and images.shape[3] != 3:
        raise UnreadablePartError(f"{path}: pictures have {images.shape[3]} channels, not 1 or 3")
    return ArrivedPart(
        [str(i) for i in range(len(images))],
        list(images),
        [_name(label, names) for label in labels.tolist()],
        {},
        tuple(names),
    )


def _parquet(path: Path, names: Sequence[str]) -> ArrivedPart:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise UnreadablePartError(
            f"{path} needs the package pyarrow: pip install pyarrow"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        image, label = (
            _column(path, schema.names, wanted) for wanted in (IMAGE_COLUMNS, LABEL_COLUMNS)
        )
        names = _hugging_face(schema.metadata or {}, label) or names
        part = ArrivedPart(classes=tuple(names))
        for batch in file.iter_batches(columns=[image, label]):
            for row in batch.to_pylist():
                name = str(len(part.names) + len(part.unreadable))
                part.take(name, _encoded(path, row[image]), _name(row[label], names))
    except ArrowException as error:
        raise UnreadablePartError(f"{path} is no Parquet file: {error}") from None
    return part


def _column(path: Path, there: Iterable[str], wanted: Sequence[str]) -> str:
    found = [name for name in there if name in wanted]
    if len(found) != 1:
        raise UnreadablePartError(
            f"{path}: one column of {', '.join(wanted)} is needed; there are {', '.join(there)}"
        )
    return found[0]


def _hugging_face(metadata: dict[bytes, bytes], label: str) -> list[str]:
    """The names of the classes, where Hugging Face's `datasets` has written the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (ValueError, LookupError, TypeError):
        return []


def _encoded(path: Path, value: Any) -> bytes | Image.Image:
    """A cell: an encoded picture, by itself or with its path, or rows of numbers."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    try:
        return Image.fromarray(np.array(value, np.uint8))
    except (ValueError, TypeError, OverflowError):
        raise UnreadablePartError(
            f"{path}: a picture is neither an encoded image nor rows of numbers from 0 to 255"
        ) from None


def _name(label: Any, names: Sequence[str]) -> str:
    """Of a class, where it may be a number."""
    text = str(label)
    if text in names or not names or not text.isdecimal() or int(text) >= len(names):
        return text
    return names[int(text)]


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))
