"""Requests of somebody who means harm, drawn from a seed: the n-th is the same in every run.

Each is the bytes of a connection, with what is allowed to come of it. They cover the readers that a
stranger reaches: HTTP itself, paths, JSON, tensors, form data, encoded images and rasters.
"""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.transformer.images import encode
from tests.transformer.rasters.test_oracle import gdal

SAMPLES = Path(__file__).parents[2] / "samples"
PREDICT = "/v1/models/{}:predict"
INFER = "/v2/models/{}/infer"
JUNK: list[Any] = [None, True, -1, 1e308, 10**40, "", "é", "\ud800", [], {}, [[]], {"b64": 1}, "A"]


@dataclass(frozen=True)
class Hostile:
    """What is sent on one connection.

    Attributes:
        kind: of attack, for the report.
        segments: of the stream; each is sent on its own.
        complete: whether it is a whole request, to which an answer is owed.
    """

    kind: str
    segments: tuple[bytes, ...]
    complete: bool = True


class Generator:
    """Draws hostile requests for the models of one service.

    Args:
        models: asked by their names.
        files: valid inputs to be damaged, by media type.
    """

    def __init__(self, seed: int, models: Sequence[str], files: Sequence[tuple[str, bytes]]):
        self._seed = seed
        self._models = models
        self._files = files
        self.kinds: list[Callable[[random.Random], Hostile]] = [
            self.noise,
            self.request_line,
            self.header,
            self.lengths,
            self.chunks,
            self.path,
            self.upgrade,
            self.cut_off,
            self.nested_json,
            self.wide_json,
            self.odd_json,
            self.junk_document,
            self.tensor,
            self.many_tensors,
            self.form,
            self.damaged_file,
            self.damaged_in_json,
            self.large_header_of_png,
        ]

    def draw(self, index: int) -> Hostile:
        source = random.Random(f"{self._seed}/{index}")
        return source.choice(self.kinds)(source)

    # HTTP itself

    def noise(self, source: random.Random) -> Hostile:
        return Hostile("noise", (source.randbytes(source.randrange(1, 400)) + b"\r\n\r\n",), False)

    def request_line(self, source: random.Random) -> Hostile:
        method = source.choice(
            ["GET", "POST", "PUT", "TRACE", "CONNECT", "PRI", "X" * 3000, "", "é"]
        )
        version = source.choice(["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9", "", "x"])
        head = f"{method} {self._target(source)} {version}\r\nHost: x\r\nConnection: close\r\n\r\n"
        return Hostile("request line", (head.encode(),), False)

    def header(self, source: random.Random) -> Hostile:
        line = source.choice(
            [
                b"No-Colon",
                b"Space : before",
                b": no name",
                b"Null: a\x00b",
                b"Folded: a\r\n b",
                b"Host: y",
                b"Content-Type: " + b"a" * source.randrange(1, 200_000),
                b"X-Request-Id: " + source.randbytes(20).replace(b"\n", b""),
                b"Authorization: Bearer " + b"\xff" * 50,
                b"Inference-Header-Content-Length: " + source.choice([b"-1", b"x", b"9" * 40]),
                b"Accept: " + b"a/b;q=0.1," * source.randrange(2000),
                b"\r\n".join(b"X-%d: y" % n for n in range(source.randrange(400))) or b"A: b",
                b"Expect: " + source.choice([b"100-continue", b"nothing"]),
                b"Content-Encoding: gzip",
            ]
        )
        return Hostile("header", (self._post(source, b"{}", extra=line),), False)

    def lengths(self, source: random.Random) -> Hostile:
        """Bodies whose length is said twice, wrongly or in two ways."""
        lines = source.choice(
            [
                b"Content-Length: 2\r\nContent-Length: 3",
                b"Content-Length: 2\r\nTransfer-Encoding: chunked",
                b"Transfer-Encoding: chunked, identity",
                b"Transfer-Encoding: xchunked",
                b"Content-Length: +2",
                b"Content-Length: -2",
                b"Content-Length: 0x2",
                b"Content-Length: 99999999999999999999",
                b"Content-Length: " + b"9" * 5000,
                b"Content-Length: 33554433",
                b"Content-Length:",
            ]
        )
        head = (
            b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % self._target(source).encode()
        )
        return Hostile("lengths", (head + lines + b"\r\n\r\n{}",), False)

    def chunks(self, source: random.Random) -> Hostile:
        body = source.choice(
            [
                b"zz\r\n{}\r\n0\r\n\r\n",
                b"-1\r\n{}\r\n0\r\n\r\n",
                b"ffffffffffffffffff\r\n{}",
                b"2;" + b"x" * source.randrange(70_000) + b"\r\n{}\r\n0\r\n\r\n",
                b"2\r\n{}\r\n0\r\nTrailer: " + b"x" * source.randrange(70_000) + b"\r\n\r\n",
                b"1\r\n{\r\n" * source.randrange(2, 300) + b"0\r\n\r\n",
                b"2\r\n{}0\r\n\r\n",
            ]
        )
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        return Hostile("chunks", (head % self._target(source).encode(), body), False)

    def path(self, source: random.Random) -> Hostile:
        tail = source.choice(
            ["%0a", "%00", "%0d%0aX:y", "/", "//", "%2f..", ";x", "?" + "a=" * 900]
        )
        path = self._target(source) + tail
        if source.random() < 0.3:
            path = source.choice(
                ["/%", "/%zz", "//", "/..", "/v1/models/%2e%2e:predict", "/\\", "*"]
            )
        return Hostile("path", (self._post(source, b"{}", path=path),), False)

    def upgrade(self, source: random.Random) -> Hostile:
        offer = source.choice(
            [
                b"Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA"
                b"\r\nConnection: Upgrade, HTTP2-Settings",
                b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
                b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                b"Upgrade: " + source.randbytes(3).hex().encode() + b"\r\nConnection: upgrade",
            ]
        )
        head, _, body = self._post(source, b"{}", extra=offer, close=False).partition(b"\r\n\r\n")
        segments = (
            (head + b"\r\n\r\n", body) if source.random() < 0.5 else (head + b"\r\n\r\n" + body,)
        )
        return Hostile("upgrade", segments, False)

    def cut_off(self, source: random.Random) -> Hostile:
        whole = self._post(source, self._document(source))
        return Hostile("cut off", (whole[: source.randrange(1, len(whole))],), False)

    # JSON

    def nested_json(self, source: random.Random) -> Hostile:
        depth = source.randrange(10, 60_000)
        opening, closing = source.choice([("[", "]"), ('{"a":', "}"), ('{"instances":[', "]}")])
        text = opening * depth + "0" + closing * source.choice([depth, depth - 1, 0])
        return self._json("nested JSON", source, text.encode())

    def wide_json(self, source: random.Random) -> Hostile:
        count = source.randrange(1000, 120_000)
        text = source.choice(
            [
                '{"instances":[' + ",".join(["[]"] * count) + "]}",
                '{"instances":[' + ",".join(["0"] * count) + "]}",
                '{"instances":[{"base64":"' + "A" * count + '"}]}',
                "{" + ",".join(f'"k{n}":0' for n in range(count // 4)) + "}",
                '{"inputs":[{"name":"image","shape":[' + ",".join(["1"] * count) + "]}]}",
            ]
        )
        return self._json("wide JSON", source, text.encode())

    def odd_json(self, source: random.Random) -> Hostile:
        text = source.choice(
            [
                b'\xef\xbb\xbf{"instances":[]}',
                b'{"instances":[],"instances":[1]}',
                b'{"instances":[NaN]}',
                b'{"instances":[1e400]}',
                b'{"instances":[' + b"9" * 20_000 + b"]}",
                b'{"instances":["\\ud800"]}',
                b'{"instances":["\xff\xfe"]}',
                b'{"instances":["data:image/png;base64,"]}',
                b"\x00",
                b" " * 50_000,
                "{}".encode("utf-16"),
            ]
        )
        return self._json("odd JSON", source, text)

    def junk_document(self, source: random.Random) -> Hostile:
        key = source.choice(["base64", "b64", "image", "image_bytes", "x"])
        instance = source.choice([{key: source.choice(JUNK)}, source.choice(JUNK)])
        document: dict[str, Any] = {"instances": [instance] * source.choice([1, 2, 300])}
        if source.random() < 0.5:
            document[source.choice(["parameters", "id", "x", "signature_name"])] = source.choice(
                JUNK
            )
        return self._json("junk document", source, json.dumps(document).encode())

    # Tensors

    def tensor(self, source: random.Random) -> Hostile:
        size = source.choice([-1, 0, 3, 2**31, 10**30, "x", None, 1.5, True])
        tensor = {
            "name": "image",
            "shape": source.choice([[1], [10**9], [-1], [0], [1] * 5000, [2**63], "x", None]),
            "datatype": source.choice(["BYTES", "FP32", "UINT8", "BOOL", "x", 1]),
            "parameters": source.choice([{"binary_data_size": size}, [], None]),
        }
        if source.random() < 0.4:
            tensor["data"] = source.choice(JUNK)
        head = json.dumps({"inputs": [tensor], "outputs": source.choice(JUNK)}).encode()
        length = source.choice([len(head), len(head) + 5, 0, 10**9, -1])
        extra = b"Inference-Header-Content-Length: %d" % length
        body = head + source.randbytes(source.randrange(20))
        path = INFER.format(source.choice(self._models))
        return Hostile("tensor", (self._post(source, body, path=path, extra=extra),))

    def many_tensors(self, source: random.Random) -> Hostile:
        one = {
            "name": "image",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": 1},
        }
        count = source.randrange(2, 2000)
        head = json.dumps({"inputs": [one] * count}).encode()
        extra = b"Inference-Header-Content-Length: %d" % len(head)
        path = INFER.format(source.choice(self._models))
        body = head + bytes(count + source.randrange(100_000))
        return Hostile("many tensors", (self._post(source, body, path=path, extra=extra),))

    # Forms and files

    def form(self, source: random.Random) -> Hostile:
        mark = source.choice([b"b", b"x" * 70, b"x" * 500, b"", b'"', b"\xff"])
        name = source.choice([b"file", b"image", b"x", b"a" * 5000, b'"; name="file', b""])
        _, data = source.choice(self._files)
        part = b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\n' % (
            mark,
            name,
        )
        parts = part + self._damage(source, data)[:20_000] + b"\r\n"
        body = parts * source.choice([1, 1, 2, 40]) + source.choice([b"--%s--\r\n" % mark, b""])
        kind = b"Content-Type: multipart/form-data; boundary=" + mark
        return Hostile("form", (self._post(source, body, extra=kind, json_type=False),))

    def damaged_file(self, source: random.Random) -> Hostile:
        media_type, data = source.choice(self._files)
        kind = b"Content-Type: " + media_type.encode()
        body = self._damage(source, data)
        return Hostile("damaged file", (self._post(source, body, extra=kind, json_type=False),))

    def damaged_in_json(self, source: random.Random) -> Hostile:
        text = base64.b64encode(self._damage(source, source.choice(self._files)[1])).decode()
        document = {"instances": [{"base64": text}]}
        return self._json("damaged in JSON", source, json.dumps(document).encode())

    def large_header_of_png(self, source: random.Random) -> Hostile:
        """A few bytes that claim any number of pixels, with right checksums."""
        width, height = (source.choice([0, 1, 20_000, 2**31 - 1, 2**32 - 1]) for _ in range(2))
        depth, colour = source.choice([1, 8, 16, 99]), source.choice([0, 2, 3, 6, 7])
        head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, source.randrange(2))
        data = zlib.compress(bytes(source.randrange(5000)))
        chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
        body = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )
        kind = b"Content-Type: image/png"
        return Hostile("PNG header", (self._post(source, body, extra=kind, json_type=False),))

    # Parts

    def _damage(self, source: random.Random, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(source.randrange(1, 12)):
            # Headers are where lengths and counts stand: every other change goes there.
            place = source.randrange(min(len(changed), source.choice([200, len(changed)])))
            changed[place] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
        if source.random() < 0.3:
            del changed[source.randrange(1, len(changed)) :]
        return bytes(changed)

    def _target(self, source: random.Random) -> str:
        return source.choice([PREDICT, INFER]).format(source.choice([*self._models, "nope", "%00"]))

    def _document(self, source: random.Random) -> bytes:
        text = base64.b64encode(source.choice(self._files)[1]).decode()
        return json.dumps({"instances": [{"base64": text}]}).encode()

    def _json(self, kind: str, source: random.Random, body: bytes) -> Hostile:
        model = source.choice(self._models)
        path = source.choice([PREDICT, INFER]).format(model)
        return Hostile(kind, (self._post(source, body, path=path),))

    def _post(
        self,
        source: random.Random,
        body: bytes,
        path: str = "",
        extra: bytes = b"",
        json_type: bool = True,
        close: bool = True,
    ) -> bytes:
        path = path or PREDICT.format(source.choice(self._models))
        lines = [b"POST " + path.encode() + b" HTTP/1.1", b"Host: x"]
        lines += [b"Content-Type: application/json"] if json_type else []
        lines += [extra] if extra else []
        lines += [b"Connection: close"] if close else []
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def picture_files() -> list[tuple[str, bytes]]:
    """Small valid pictures of every format that classifiers read."""
    found = [
        ("image/png", (SAMPLES / "seven.png").read_bytes()),
        ("image/jpeg", (SAMPLES / "three.jpg").read_bytes()),
        ("image/webp", (SAMPLES / "trouser.webp").read_bytes()),
    ]
    image = Image.open(SAMPLES / "seven.png").convert("L").resize((28, 28))
    for name in ("BMP", "TIFF", "PNG", "GIF", "AVIF", "JPEG2000"):
        buffer = io.BytesIO()
        image.save(buffer, name)
        found.append((f"image/{name.lower()}", buffer.getvalue()))
    return [*found, ("image/heic", encode(image, "HEIC"))]


def raster_files() -> list[tuple[str, bytes]]:
    """Small valid TIFFs of every layout and compression that Pillow writes, and some of GDAL's."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    found = []
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "TIFF", compression=compression)
        found.append(("image/tiff", buffer.getvalue()))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    bands = np.moveaxis(np.dstack([pixels, pixels[..., 0]]), 2, 0)
    written = [gdal(bands[:count], compress="jpeg", photometric="minisblack") for count in (2, 4)]
    written += [
        gdal(bands[:3], mask=bands[0] > 99, tiled=True, blockxsize=16, blockysize=16),
        gdal(bands[:3].astype(np.uint16), scales=(0.1, 0.2, 0.3), offsets=(1.0, 0.0, 0.0)),
        gdal(bands[:3].astype(np.uint16), driver="PNG"),
    ]
    found += [("image/tiff", data) for data in written]
    return [*found, ("image/png", buffer.getvalue())]
