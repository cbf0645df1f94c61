from __future__ import annotations

import csv
import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.arrival.conftest import CLASSES, as_folders, as_npz, draw
from training.arrival.part import ArrivedPart, UnreadablePartError
from training.arrival.reading import read_part


def png(image: np.ndarray) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def idx(path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def read_form(form: str, root: Path) -> ArrivedPart:
    images, labels = draw(6)
    numbers = np.array([CLASSES.index(label) for label in labels])
    if form == "folders":
        return read_part(as_folders(root / "part", images, labels))
    if form in ("csv", "json"):
        as_folders(root / "part", images, labels)
        rows = {f"{label}/{i}.png": label for i, label in enumerate(labels)}
        file = root / f"labels.{form}"
        if form == "json":
            file.write_text(json.dumps(rows))
        else:
            with file.open("w", newline="") as opened:
                csv.writer(opened).writerows([("file", "label"), *rows.items()])
        return read_part(root / "part", file)
    if form == "npz":
        return read_part(as_npz(root / "part.npz", images, labels))
    if form == "npz of numbers":
        np.savez(root / "n.npz", images=images[..., None], labels=numbers, classes=CLASSES)
        return read_part(root / "n.npz")
    if form == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        from pyarrow import parquet

        features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
        cells = [{"bytes": png(image), "path": None} for image in images]
        table = pyarrow.table({"image": cells, "label": numbers}).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
        parquet.write_table(table, root / "part.parquet")
        return read_part(root / "part.parquet")
    suffix = form.removeprefix("idx")
    idx(root / f"train-images-idx3-ubyte{suffix}", images)
    idx(root / f"train-labels-idx1-ubyte{suffix}", numbers)
    return read_part(root, names=CLASSES)


@pytest.mark.parametrize(
    "form", ["folders", "csv", "json", "npz", "npz of numbers", "parquet", "idx", "idx.gz"]
)
def test_a_part_is_the_same_in_every_form(form: str, tmp_path: Path) -> None:
    part = read_form(form, tmp_path)
    expected = read_part(as_npz(tmp_path / "expected.npz", *draw(6)))
    assert part.samples().digest == expected.samples().digest
    assert not part.unreadable


def test_grey_pictures_in_colour_are_grey(tmp_path: Path) -> None:
    images, labels = draw(6)
    coloured = np.stack([images] * 3, axis=-1)
    part = read_part(as_folders(tmp_path / "part", coloured, labels))
    assert part.samples().digest == read_part(as_npz(tmp_path / "p.npz", *draw(6))).samples().digest
    coloured[0, 0, 0] = (1, 2, 3)
    part = read_part(as_folders(tmp_path / "other", coloured, labels))
    assert {image.shape for image in part.images} == {(12, 12, 3)}


def test_what_is_no_picture_is_noted(tmp_path: Path) -> None:
    as_folders(tmp_path / "part", *draw(4))
    (tmp_path / "part" / "boot" / "notes.txt").write_text("no picture")
    whole = (tmp_path / "part" / "shirt" / "1.png").read_bytes()
    (tmp_path / "part" / "shirt" / "cut.png").write_bytes(whole[:60])
    part = read_part(tmp_path / "part")
    assert set(part.unreadable) == {"boot/notes.txt", "shirt/cut.png"}
    assert len(part) == 4


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.npz", "cannot be read"),
        ("missing", "is not there"),
        ("part.txt", "of no form that is read; bring a folder"),
        ("empty", "has no labelled pictures"),
        ("part.npz", r"no \.npz with images"),
        ("pickled.npz", r"no \.npz with images"),
        ("floats.npz", "must be .* uint8"),
        ("part.parquet", "no Parquet file|needs the package pyarrow"),
        ("train-images-idx3-ubyte", "is no IDX file"),
    ],
)
def test_what_is_not_read(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name == "pickled.npz":
        np.savez(path, images=np.array([{}], object), labels=["a"])
    elif name == "floats.npz":
        np.savez(path, images=np.zeros((2, 3, 3)), labels=["a", "b"])
    elif "missing" not in name:
        path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadablePartError, match=said):
        read_part(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("only one column", "lines of `file,label`"),
        ("../x.png,a", "outside"),
        ("x.png,a", "not in"),
    ],
)
def test_labels_of_something_else(tmp_path: Path, text: str, said: str) -> None:
    as_folders(tmp_path / "part", *draw(2))
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UnreadablePartError, match=said):
        read_part(tmp_path / "part", tmp_path / "labels.csv")
