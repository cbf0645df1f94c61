"""Labelled sets: from the data folder, from a file, from an address."""

from __future__ import annotations

import gzip
import io
import struct
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artifact import SegmentationContract, open_revision
from rollout.errors import NotFoundError
from rollout.labelled import LabelledSet, load_labelled
from tests.conftest import SHIPPED, make_contract, make_segmentation_contract


def a_set(count: int = 6) -> LabelledSet:
    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2)
    return LabelledSet(images, np.arange(count))


def write_idx(folder: Path, questions: LabelledSet, packed: bool) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    n = len(questions)
    for name, head, data in (
        ("t10k-images-idx3-ubyte", struct.pack(">HBB3I", 0, 8, 3, n, 2, 2), questions.images),
        ("t10k-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, n), questions.labels),
    ):
        content = head + data.astype(np.uint8).tobytes()
        path = raw / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
def test_from_a_data_folder(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path, a_set(), packed)
    found = load_labelled(str(tmp_path), "MNIST")
    assert (found.images == a_set().images).all()
    assert (found.labels == a_set().labels).all()


def test_from_a_file_and_an_address(tmp_path: Path) -> None:
    data = a_set().to_bytes()
    (tmp_path / "set.npz").write_bytes(data)
    assert len(load_labelled(str(tmp_path / "set.npz"), "MNIST")) == 6

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/set.npz"
        assert len(load_labelled(url, "MNIST")) == 6
        thread.join()


def test_what_is_not_there_or_not_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no labelled set of MNIST"):
        load_labelled(str(tmp_path), "MNIST")
    (tmp_path / "set.npz").write_bytes(b"nothing")
    with pytest.raises(NotFoundError, match=r"not an \.npz"):
        load_labelled(str(tmp_path / "set.npz"), "MNIST")
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 3)), labels=np.zeros(2))
    with pytest.raises(NotFoundError, match="uint8"):
        load_labelled(str(tmp_path / "set.npz"), "MNIST")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">HBBI", 0, 13, 1, 1))
    with pytest.raises(NotFoundError, match="unsigned bytes"):
        load_labelled(str(tmp_path), "MNIST")


def test_samples_are_drawn_once_each() -> None:
    found = a_set().sample(4, seed=3)
    assert len(set(found.labels.tolist())) == 4
    assert (a_set().sample(4, seed=3).labels == found.labels).all()
    assert len(a_set().sample(100, seed=0)) == 6
    for image, label in zip(found.images, found.labels, strict=True):
        assert image[0, 0] == 4 * label


def test_the_real_test_set(data: Path) -> None:
    found = load_labelled(str(data), "FashionMNIST")
    assert found.images.shape == (10000, 28, 28)
    assert np.bincount(found.labels).tolist() == [1000] * 10


def test_masks_from_a_data_folder(tmp_path: Path) -> None:
    folder = tmp_path / "segmentation" / "areas"
    folder.mkdir(parents=True)
    pictures = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    masks = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        for number in range(2):
            for part, pixels in (("images", pictures), ("masks", masks)):
                buffer = io.BytesIO()
                Image.fromarray(pixels[number]).save(buffer, "TIFF")
                archive.writestr(f"test/{part}/{number}.tif", buffer.getvalue())
        archive.writestr("test/images/without-a-mask.tif", b"")
        archive.writestr("train/images/0.tif", b"")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("classes.json", b"{}")
    found = load_labelled(str(tmp_path), "areas")
    assert (found.images == pictures).all()
    assert (found.labels == masks).all()
    found.check(make_segmentation_contract_of(20))
    with pytest.raises(NotFoundError, match="no labelled set for classification"):
        found.check(make_contract())
    (folder / "a.zip").write_bytes(b"no archive")
    with pytest.raises(NotFoundError, match="no labelled set of areas"):
        load_labelled(str(tmp_path), "areas")


def make_segmentation_contract_of(last: int) -> SegmentationContract:
    labels = tuple(str(n) for n in range(2 * last))
    contract = make_segmentation_contract()
    return replace(contract, labels=labels, colours=((0, 0, 0),) * len(labels))


def test_the_real_masks(data: Path) -> None:
    found = load_labelled(str(data), "dubai-aerial")
    assert found.images.shape == (40, 256, 256, 3)
    assert found.labels.shape == (40, 256, 256)
    found.check(open_revision(SHIPPED, "land-cover", "1").card.contract)
