"""The service of aerial images: both servers as processes, with the shipped revision."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile

from artifact import RasterInput, SegmentationContract, open_revision
from local.service import LocalService, free_ports, interpreters
from predictor.loading import load_revision
from tests.conftest import ROOT, SHIPPED
from tests.end_to_end.conftest import Response, call
from training.segmentation.evaluate import segment

SAMPLE = ROOT / "samples" / "aerial.tif"
HEIGHT, WIDTH = 576, 768
PLACES = {"vegetation": (440, 60), "water": (445, 240), "road": (273, 120), "land": (340, 20)}
"""A pixel of the sample, row and column, of each class that is drawn large enough."""

REVISION = open_revision(SHIPPED, "land-cover", "1")


@pytest.fixture(scope="module")
def land_cover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    folder = tmp_path_factory.mktemp("logs")
    with LocalService(
        free_ports(), interpreters(), SHIPPED, log_folder=folder, service="land-cover"
    ) as running:
        yield running


def ask(
    service: LocalService,
    body: bytes,
    kind: str = "image/tiff",
    accept: str = "*/*",
    query: str = "",
) -> Response:
    url = f"{service.url}/v1/models/land-cover:predict{query}"
    return call(url, body, kind, headers={"Accept": accept})


@pytest.fixture(scope="module")
def mask(land_cover: LocalService) -> NDArray[np.uint8]:
    answer = ask(land_cover, SAMPLE.read_bytes(), accept="application/x-npy")
    assert answer.status == 200
    found: NDArray[np.uint8] = np.load(io.BytesIO(answer.body), allow_pickle=False)
    return found


def test_as_curl_sends_a_form(
    land_cover: LocalService, mask: NDArray[np.uint8], tmp_path: Path
) -> None:
    output = tmp_path / "output.npy"
    url = f"{land_cover.url}/v1/models/land-cover:predict"
    done = subprocess.run(
        ["curl", "-sS", "-f", "-F", f"file=@{SAMPLE}", url, "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = np.load(output, allow_pickle=False)
    assert (found.shape, found.dtype) == ((HEIGHT, WIDTH), np.uint8)
    assert (found == mask).all()


def test_what_is_drawn_is_found(mask: NDArray[np.uint8]) -> None:
    labels = REVISION.card.contract.labels
    assert {name: labels[mask[place]] for name, place in PLACES.items()} == {
        name: name for name in PLACES
    }
    assert labels.index("building") in mask


def test_the_answer_is_that_of_the_network_alone(mask: NDArray[np.uint8]) -> None:
    """Both servers change nothing, but that they may compute in bfloat16."""
    loaded = load_revision(SHIPPED, "land-cover", "1")
    contract = loaded.card.contract
    assert isinstance(contract, SegmentationContract)
    with Image.open(SAMPLE) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert (segment(pixels, contract, loaded.probabilities) == mask).mean() > 0.995


def test_a_geotiff_lies_where_its_input_did(
    land_cover: LocalService, mask: NDArray[np.uint8]
) -> None:
    answer = ask(land_cover, SAMPLE.read_bytes(), accept="image/tiff")
    assert answer.headers["content-type"] == "image/tiff"
    assert answer.headers["x-model-revision"] == "1"
    assert answer.headers["x-model-digest"] == REVISION.digest
    with (
        rasterio.open(SAMPLE) as before,
        MemoryFile(answer.body) as memory,
        memory.open() as after,
    ):
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert after.shape == before.shape == (HEIGHT, WIDTH)
        assert after.crs.to_epsg() == 32640
        assert (after.read(1) == mask).all()


def test_an_overlay_has_a_legend(land_cover: LocalService) -> None:
    answer = ask(land_cover, SAMPLE.read_bytes(), query="?output=png")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.width == WIDTH // 2
        assert image.height > HEIGHT // 2


def test_json_has_shares_and_the_mask(land_cover: LocalService, mask: NDArray[np.uint8]) -> None:
    instance = {"base64": base64.b64encode(SAMPLE.read_bytes()).decode()}
    body = json.dumps({"instances": [instance], "parameters": {"mask": "npy"}}).encode()
    answer = ask(land_cover, body, "application/json").json()
    assert (answer["model_name"], answer["model_version"]) == ("land-cover", "1")
    (prediction,) = answer["predictions"]
    assert (prediction["width"], prediction["height"]) == (WIDTH, HEIGHT)
    counts = {item["label"]: item["pixels"] for item in prediction["classes"]}
    labels = REVISION.card.contract.labels
    assert counts == {label: int((mask == i).sum()) for i, label in enumerate(labels) if i}
    found = np.load(io.BytesIO(base64.b64decode(prediction["mask"]["base64"])))
    assert (found == mask).all()


def test_v2(land_cover: LocalService, mask: NDArray[np.uint8]) -> None:
    data = base64.b64encode(SAMPLE.read_bytes()).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [data]}
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = call(f"{land_cover.url}/v2/models/land-cover/infer", body).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["mask"]["shape"] == [HEIGHT, WIDTH]
    assert (np.reshape(outputs["mask"]["data"], (HEIGHT, WIDTH)) == mask).all()


def test_a_mask_of_a_large_image_arrives_whole(land_cover: LocalService) -> None:
    """Larger than one message of the answer, and than one tile."""
    with Image.open(SAMPLE) as image:
        pixels = np.tile(np.asarray(image.convert("RGB")), (4, 5, 1))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", compression="zlib")
    answer = ask(land_cover, buffer.getvalue(), accept="application/x-npy")
    found = np.load(io.BytesIO(answer.body), allow_pickle=False)
    assert found.shape == pixels.shape[:2]
    assert set(np.unique(found)) <= {1, 2, 3, 4, 5}
    assert int(answer.headers["x-model-pixels"]) == found.size


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/tiff", 400),
        (b"no image at all", "image/tiff", 415),
        (SAMPLE.read_bytes()[:5000], "image/tiff", 400),
        (SAMPLE.read_bytes(), "text/html", 415),
        (b"--b\r\n", "multipart/form-data; boundary=b", 400),
        (b'{"instances": []}', "application/json", 422),
    ],
)
def test_what_cannot_be_read_is_refused(
    land_cover: LocalService, body: bytes, kind: str, status: int
) -> None:
    answer = ask(land_cover, body, kind)
    assert (answer.status, answer.status // 100) == (status, 4)
    assert answer.json()["error"]


def test_an_image_of_too_many_pixels_is_refused_before_it_is_read(
    land_cover: LocalService, tmp_path: Path
) -> None:
    path = tmp_path / "large.tif"
    path.write_bytes(SAMPLE.read_bytes())
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages.first.tags[name].overwrite(20_000)
    answer = ask(land_cover, path.read_bytes())
    assert answer.status == 413
    assert "the limit is 160000000 pixels" in answer.json()["error"]


@pytest.mark.parametrize("tile", [512, 736, 1024])
def test_seams_do_not_show(tile: int) -> None:
    """However the image is tiled, 99.9 % of its pixels are of the same class."""
    loaded = load_revision(SHIPPED, "land-cover", "1")
    contract = loaded.card.contract
    assert isinstance(contract, SegmentationContract)
    spec = contract.input_as(RasterInput)
    with Image.open(SAMPLE) as image:
        pixels = np.tile(np.asarray(image.convert("RGB")), (3, 2, 1))
    whole = segment(pixels, contract, loaded.probabilities)
    tiled = segment(pixels, replace(contract, input=replace(spec, tile=tile)), loaded.probabilities)
    assert (whole == tiled).mean() >= 0.999
