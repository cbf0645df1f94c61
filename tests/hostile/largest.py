"""The largest requests of every kind: at the limits of bytes, pixels and instances, or just over.

Each is legal as far as a client can know from the documented limits, or the worst of its kind that
is refused; whichever it is, one of them alone must not take a server beyond its pod's memory.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

MIB = 1 << 20
PIXELS = 40_000_000
FAST: dict[str, dict[str, object]] = {
    "AVIF": {"speed": 10, "quality": 60},
    "JPEG2000": {"irreversible": True, "quality_mode": "rates", "quality_layers": [60]},
}
SIDE = 6324
"""Of a square of nearly ``PIXELS`` pixels."""


@dataclass(frozen=True)
class Largest:
    """One request.

    Attributes:
        body: made when it is needed: together they would not fit.
        server: that is asked.
        status: that is right; None where a refusal is as good as an answer.
    """

    name: str
    path: str
    media_type: str
    body: Callable[[], bytes]
    headers: tuple[tuple[str, str], ...] = ()
    server: str = "transformer"
    status: int | None = None


PREDICT = "/v1/models/mnist:predict"
INFER = "/v2/models/mnist/infer"


def classifier_requests() -> Iterator[Largest]:
    for mode in ("L", "RGBA", "I;16"):
        yield Largest(f"PNG of 40 megapixels, {mode}", PREDICT, "image/png", _png(mode))
    yield Largest("JPEG of 40 megapixels", PREDICT, "image/jpeg", _jpeg(False), status=200)
    yield Largest("progressive JPEG of 40 megapixels", PREDICT, "image/jpeg", _jpeg(True))
    yield Largest("WebP of 40 megapixels", PREDICT, "image/webp", _webp)
    yield Largest("TIFF of 40 megapixels, float32", PREDICT, "image/tiff", _float_tiff)
    for kind, side in (("GIF", SIDE), ("AVIF", SIDE), ("JPEG2000", 4472)):
        name = f"{kind} of {side**2 / 1e6:.0f} megapixels"
        yield Largest(
            name, PREDICT, "image/x", _white(side, kind, **FAST.get(kind, {})), status=200
        )
    yield Largest("HEIC of 48 megapixels", PREDICT, "image/heic", _heic, status=200)
    yield Largest(
        "JPEG of 196 megapixels", PREDICT, "image/jpeg", _white(14_000, "JPEG"), status=200
    )
    yield Largest(
        "progressive JPEG of 78 megapixels, 4:4:4",
        PREDICT,
        "image/jpeg",
        _white(8_900, "JPEG", progressive=True, subsampling=0),
        status=200,
    )
    coded = (("Content-Encoding", "gzip"),)
    yield Largest("gzip of 4 GiB", PREDICT, "application/json", _gzip_bomb, coded, status=413)
    yield Largest("gzip of 32 MiB", PREDICT, "application/json", _gzip_largest, coded)
    yield Largest("pixels as a million numbers", PREDICT, "application/json", _pixels)
    yield Largest("256 PNGs of 40 megapixels", PREDICT, "application/json", _many(_png("L")))
    yield Largest("256 WebPs of 40 megapixels", PREDICT, "application/json", _many(_webp))
    yield Largest("PNG of 16 MiB that is cut off", PREDICT, "image/png", _noise_png)
    empty = b'{"instances":[' + b"[]," * 11_000_000 + b"[]]}"
    for path in (PREDICT, INFER):
        yield Largest(
            f"32 MiB of empty arrays to {path[:3]}", path, "application/json", lambda: empty
        )
    yield Largest("32 MiB of keys", PREDICT, "application/json", _keys)
    yield Largest("22 MiB of base64", PREDICT, "application/json", _base64)
    yield Largest(
        "32 MiB of opening brackets", PREDICT, "application/json", lambda: b"[" * (32 * MIB)
    )
    yield Largest("v2 shape of 10 million numbers", INFER, "application/json", _shape)
    yield Largest(
        "v2 with 100,000 inputs", INFER, "application/octet-stream", *_many_inputs(100_000)
    )
    for path in (PREDICT, INFER):
        yield Largest(
            f"32 MiB of numbers to the predictor's {path[:3]}",
            path,
            "application/json",
            _numbers if path == PREDICT else _v2_numbers,
            server="predictor",
        )
    yield Largest(
        "32 MiB of empty arrays to the predictor",
        PREDICT,
        "application/json",
        lambda: empty,
        server="predictor",
    )


def raster_requests() -> Iterator[Largest]:
    path = "/v1/models/land-cover:predict?output=npy"
    yield Largest(
        "GeoTIFF of 100 megapixels, not compressed", path, "image/tiff", _plain_tiff, status=200
    )
    yield Largest("one sparse strip, 64 bands of float64", path, "image/tiff", _sparse_tiff)
    yield Largest("PNG of 144 megapixels", path, "image/png", _large_png)
    yield Largest("JPEG of 144 megapixels", path, "image/jpeg", _large_jpeg)
    yield Largest(
        "512 MiB of opening brackets", path, "application/json", lambda: b"[" * (511 * MIB)
    )
    yield Largest(
        "300 MiB of base64",
        path,
        "application/json",
        lambda: b'{"instances":[{"base64":"' + b"A" * (300 * MIB) + b'"}]}',
    )


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png(mode: str) -> Callable[[], bytes]:
    return lambda: _saved(Image.new(mode, (SIDE, SIDE)), "PNG", compress_level=1)


def _jpeg(progressive: bool) -> Callable[[], bytes]:
    return lambda: _saved(Image.new("RGB", (SIDE, SIDE)), "JPEG", progressive=progressive)


def _webp() -> bytes:
    return _saved(Image.new("RGB", (SIDE, SIDE)), "WEBP", lossless=True, method=0)


def _float_tiff() -> bytes:
    return _saved(Image.new("F", (SIDE, SIDE)), "TIFF", compression="tiff_adobe_deflate")


def _many(one: Callable[[], bytes]) -> Callable[[], bytes]:
    def body() -> bytes:
        picture = one()
        count = min(256, 31 * MIB // (len(picture) * 4 // 3 + 20))
        text = base64.b64encode(picture).decode()
        return json.dumps({"instances": [{"base64": text}] * count}).encode()

    return body


def _noise_png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 6000), np.uint8)
    return _saved(Image.fromarray(pixels), "PNG", compress_level=0)[: 16 * MIB]


def _heic() -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    picture = pillow_heif.from_pillow(Image.new("RGB", (8064, 6048), "white"))
    picture.save(buffer, quality=50, enc_params={"preset": "ultrafast"})
    return buffer.getvalue()


def _white(side: int, kind: str, **options: object) -> Callable[[], bytes]:
    return lambda: _saved(Image.new("RGB", (side, side), "white"), kind, **options)


def _gzip_bomb() -> bytes:
    """Members of 16 MiB each, which take as many bytes to say it."""
    return gzip.compress(b" " * (16 * MIB)) * 256


def _gzip_largest() -> bytes:
    return gzip.compress(b'{"instances":["' + b"A" * (31 * MIB) + b'"]}', 1)


def _pixels() -> bytes:
    row = b"[" + b",".join([b"[0.5,200.25,1e2]"] * 500) + b"]"
    return b'{"instances":[[' + b",".join([row] * 500) + b"]]}"


def _keys() -> bytes:
    return b"{" + b",".join(b'"k%d":0' % n for n in range(2_500_000)) + b"}"


def _base64() -> bytes:
    return b'{"instances":[{"base64":"' + b"A" * (22 * MIB) + b'"}]}'


def _shape() -> bytes:
    shape = b"1," * 10_000_000 + b"1"
    return b'{"inputs":[{"name":"image","datatype":"BYTES","data":["A"],"shape":[' + shape + b"]}]}"


def _many_inputs(count: int) -> tuple[Callable[[], bytes], tuple[tuple[str, str], ...]]:
    one = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 1},
    }
    head = json.dumps({"inputs": [one] * count}).encode()
    headers = (("Inference-Header-Content-Length", str(len(head))),)
    return lambda: head + bytes(16 * MIB), headers


def _numbers() -> bytes:
    row = "[" + ",".join(["0"] * 28) + "]"
    image = "[[" + ",".join([row] * 28) + "]]"
    count = 31 * MIB // len(image)
    return ('{"instances":[' + ",".join([image] * count) + "]}").encode()


def _v2_numbers() -> bytes:
    count = 31 * MIB // (2 * 784)
    data = b"0," * (count * 784 - 1) + b"0"
    head = b'{"inputs":[{"name":"image","datatype":"FP32","shape":[%d,1,28,28],"data":[' % count
    return head + data + b"]}]}"


def _plain_tiff() -> bytes:
    return _saved(Image.new("RGB", (10_000, 10_000)), "TIFF")


def _sparse_tiff() -> bytes:
    """4,000 × 4,000 pixels of 64 bands in one strip that has no bytes: 8 GB once it is an array."""
    many = 64
    longs = b"".join
    entries: list[tuple[int, int, int, bytes]] = [
        (256, 4, 1, struct.pack("<I", 4000)),
        (257, 4, 1, struct.pack("<I", 4000)),
        (258, 3, many, longs(struct.pack("<H", 64) for _ in range(many))),
        (259, 3, 1, struct.pack("<HH", 8, 0)),
        (262, 3, 1, struct.pack("<HH", 1, 0)),
        (273, 4, 1, struct.pack("<I", 0)),
        (277, 3, 1, struct.pack("<HH", many, 0)),
        (278, 4, 1, struct.pack("<I", 4000)),
        (279, 4, 1, struct.pack("<I", 0)),
        (339, 3, many, longs(struct.pack("<H", 3) for _ in range(many))),
    ]
    head = struct.pack("<2sHI", b"II", 42, 8)
    after = 8 + 2 + 12 * len(entries) + 4
    table, extra = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            table += struct.pack("<HHII", tag, kind, count, after + len(extra))
            extra += value
        else:
            table += struct.pack("<HHI", tag, kind, count) + value
    return head + table + struct.pack("<I", 0) + extra


def _large_png() -> bytes:
    """12,000 × 12,000 pixels in colour that take some 400 KiB."""
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * 12_000)
    data = b"".join(packer.compress(row) for _ in range(12_000)) + packer.flush()
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in chunks
    )


def _large_jpeg() -> bytes:
    return _saved(Image.new("RGB", (12_000, 12_000)), "JPEG")
