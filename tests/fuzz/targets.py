"""Every reader of bytes that a stranger reaches, as a function that may only refuse.

A target takes any bytes. What it raises other than a refusal is a finding: it would be a 500.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from artifact import ImageInput
from serving.errors import ServingError
from serving.model import HttpRequest
from serving.v2 import read_infer_request
from tests.conftest import make_contract
from tests.hostile.requests import SAMPLES, picture_files, raster_files
from transformer.classification.options import ClassificationOptions
from transformer.image import ImageLimits, load_image, open_image
from transformer.pictures.payload import PayloadReader
from transformer.pictures.preprocess import prepare
from transformer.rasters.codecs import DamagedError, decompress
from transformer.rasters.raster import RasterLimits
from transformer.segmentation.model import open_raster
from transformer.segmentation.payload import PayloadReader as RasterPayloadReader

MAX_PIXELS = 1 << 20
MAX_JSON_BYTES = 1 << 20
MAX_SIDE = 4096
JSON_LENGTH = "inference-header-content-length"
COMPRESSIONS = (1, 5, 7, 8, 32773, 32946, 50000)
BOUNDARY = "mark"

SPEC = make_contract().input_as(ImageInput)
CLASSIFIER = PayloadReader(256, MAX_JSON_BYTES, ClassificationOptions)
SEGMENTATION = RasterPayloadReader(MAX_JSON_BYTES)


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: given any bytes it returns, or raises one of ``refusals``.
        seeds: valid inputs, to begin with.
    """

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    refusals: tuple[type[Exception], ...] = (ServingError,)


def json_body(data: bytes) -> None:
    CLASSIFIER.read_v1(HttpRequest(data, {"content-type": "application/json"}, ""))


def parameters(data: bytes) -> None:
    """A query, and the type of answer that is wanted: texts of the request's head."""
    query, _, accept = data.decode("latin-1").partition("\n")
    headers = {"content-type": "image/tiff", "accept": accept}
    SEGMENTATION.read_v1(HttpRequest(b"II*\0", headers, query))


def form(data: bytes) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    CLASSIFIER.read_v1(HttpRequest(data, headers, ""))


def v2_body(data: bytes) -> None:
    """Two bytes say how long the JSON before the binary tensors is."""
    length = int.from_bytes(data[:2], "little")
    request = HttpRequest(data[2:], {JSON_LENGTH: str(length)}, "")
    CLASSIFIER.read_v2(request)


def tensor(data: bytes) -> None:
    """The same for the predictor, which takes numbers."""
    length = int.from_bytes(data[:2], "little")
    for found in read_infer_request(HttpRequest(data[2:], {JSON_LENGTH: str(length)}, "")).inputs:
        found.numbers()


def picture(data: bytes) -> None:
    image = open_image(data, ImageLimits(1 << 20, MAX_PIXELS))
    prepare(load_image(image), SPEC)


def raster(data: bytes) -> None:
    opened = open_raster(data, RasterLimits(MAX_PIXELS, MAX_SIDE, MAX_PIXELS, 1 << 24))
    for start in range(0, opened.layout.height, 64):
        opened.rows(start, min(start + 64, opened.layout.height))


def codecs(data: bytes) -> None:
    """One part of a TIFF: three bytes say how it is packed and how large it shall be."""
    kind, rows, row_bytes = (*data[:3], 0, 0, 0)[:3]
    compression = COMPRESSIONS[kind % len(COMPRESSIONS)]
    size = (1 + rows % 16) * (1 + row_bytes)
    found = decompress(memoryview(data[3:]), compression, 1 + rows % 16, 1 + row_bytes)
    assert len(found) == size, "a part of another size than was asked for"


def _json_seeds() -> list[bytes]:
    text = base64.b64encode((SAMPLES / "trouser.webp").read_bytes()).decode()
    documents = [
        {"instances": [{"base64": text[:64]}], "parameters": {"top_k": 3, "polarity": "auto"}},
        {"instances": [text[:64]]},
        {"image": {"b64": text[:64]}},
    ]
    return [json.dumps(document).encode() for document in documents]


def _v2_seeds() -> list[bytes]:
    element = (SAMPLES / "trouser.webp").read_bytes()[:200]
    data = struct.pack("<I", len(element)) + element
    one = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"id": "x", "inputs": [one], "outputs": [{"name": "label"}]}).encode()
    return [struct.pack("<H", len(head)) + head + data]


def _tensor_seeds() -> list[bytes]:
    numbers = np.zeros(16, np.float32).tobytes()
    one = {
        "name": "image",
        "shape": [1, 1, 4, 4],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(numbers)},
    }
    head = json.dumps({"inputs": [one]}).encode()
    plain = {"name": "image", "shape": [1, 1, 1, 2], "datatype": "FP32", "data": [0.5, 1e3]}
    text = json.dumps({"inputs": [plain]}).encode()
    return [
        struct.pack("<H", len(head)) + head + numbers,
        struct.pack("<H", len(text)) + text,
    ]


def _form_seeds() -> list[bytes]:
    mark = b"--" + BOUNDARY.encode()
    head = b'Content-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n'
    return [
        mark + b"\r\n" + head % b"file" + b"II*\0abc\r\n" + mark + b"--\r\n",
        mark + b"\r\n" + head % b"image" + b"x\r\n" + mark + b"\r\n"
        b'Content-Disposition: form-data; name="top_k"\r\n\r\n3\r\n' + mark + b"--\r\n",
    ]


TARGETS = {
    "json": Target(json_body, _json_seeds),
    "parameters": Target(
        parameters, lambda: [b"bands=3,2,1&full_scale=2047&output=npy\nimage/tiff;q=0.5, */*"]
    ),
    "form": Target(form, _form_seeds),
    "v2": Target(v2_body, _v2_seeds),
    "tensor": Target(tensor, _tensor_seeds),
    "picture": Target(picture, lambda: [data for _, data in picture_files()]),
    "raster": Target(raster, lambda: [data for _, data in raster_files()]),
    "codecs": Target(
        codecs,
        lambda: [bytes([kind, 3, 15]) + bytes(range(64)) for kind in range(len(COMPRESSIONS))],
        # Libraries' own words for damage, which the raster's reader turns into a refusal.
        (DamagedError, OSError, ValueError, SyntaxError, zlib.error),
    ),
}
