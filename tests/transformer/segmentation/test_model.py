from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from artifact import CardError, Contract, RasterInput
from serving.errors import ContractRefusedError, InvalidRequestError, ServingError, TooLargeError
from serving.model import Answered, HttpRequest, Reply
from tests.conftest import make_segmentation_contract
from transformer.classification.options import ClassificationOptions
from transformer.hop import PredictorClient
from transformer.pictures.payload import PayloadReader as PictureReader
from transformer.segmentation.model import SegmentationModel
from transformer.settings import TransformerSettings

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{NotGeoreferencedWarning.__module__}.{NotGeoreferencedWarning.__name__}"
)

CONTRACT = make_segmentation_contract()


class Brightest:
    """A predictor whose every pixel is of the class of its brightest band."""

    max_message_bytes = 8 << 20

    def __init__(self, revisions: tuple[str, ...] = ("1",)) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._revisions = revisions

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[np.uint8], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        if not contract.input.accepts(batch.shape[1:]):
            raise ContractRefusedError(f"{batch.shape}")
        revision = self._revisions[len(self.shapes) % len(self._revisions)]
        self.shapes.append(batch.shape)
        levels = np.concatenate([np.zeros_like(batch[:, :1]), batch // 2], axis=1)
        return (levels,), Answered(revision, f"sha256:{revision}", len(batch))


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def build(
    executor: ThreadPoolExecutor, hop: Brightest, contract: Contract = CONTRACT, **settings: Any
) -> SegmentationModel:
    chosen = TransformerSettings.model_validate(settings)
    return SegmentationModel("areas", contract, cast(PredictorClient, hop), executor, chosen)


def stripes(height: int = 150, width: int = 210) -> NDArray[np.uint8]:
    """Red, green and blue in turn, in blocks of an even number of pixels."""
    blocks = np.add.outer(np.arange(height) // 10, np.arange(width) // 14) % 3
    return np.eye(3, dtype=np.uint8)[blocks] * 200


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=pixels.shape[2],
            dtype=pixels.dtype.name,
            **options,
        ) as file:
            file.write(pixels.transpose(2, 0, 1))
        return bytes(memory.read())


def expected(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (pixels.argmax(axis=2) + 1).astype(np.uint8)


async def ask(
    model: SegmentationModel,
    body: bytes,
    kind: str = "image/tiff",
    accept: str = "*/*",
    query: str = "",
) -> Reply:
    headers = {"content-type": kind, "accept": accept}
    payload = model.read_v1(HttpRequest(body, headers, query))
    answer, _ = await model(payload, headers)
    return model.write_v1(answer)


def loaded(reply: Reply) -> NDArray[Any]:
    found: NDArray[Any] = np.load(io.BytesIO(reply.body + reply.rest), allow_pickle=False)
    return found


@pytest.mark.parametrize(("tile", "overlap"), [(32, 0), (48, 16), (96, 32), (256, 64)])
async def test_the_mask_is_the_same_however_it_is_tiled(
    executor: ThreadPoolExecutor, tile: int, overlap: int
) -> None:
    spec = replace(CONTRACT.input_as(RasterInput), tile=tile, overlap=overlap)
    model = build(executor, Brightest(), replace(CONTRACT, input=spec))
    reply = await ask(model, tiff(stripes()), accept="application/x-npy")
    assert (loaded(reply) == expected(stripes())).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (299, 2), (3, 3), (65, 33)])
async def test_any_size(executor: ThreadPoolExecutor, shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[..., 1] = 90
    reply = await ask(build(executor, Brightest()), tiff(pixels), query="output=npy")
    assert loaded(reply).shape == shape
    assert (loaded(reply) == 2).all()


async def test_as_curl_sends_a_form(executor: ThreadPoolExecutor) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.tif"\r\n\r\n'
    body = head + tiff(stripes()) + b"\r\n--b--\r\n"
    reply = await ask(build(executor, Brightest()), body, "multipart/form-data; boundary=b")
    assert reply.media_type == "application/x-npy"
    assert (loaded(reply) == expected(stripes())).all()


async def test_a_geotiff_lies_where_its_input_did(executor: ThreadPoolExecutor) -> None:
    pixels = stripes()
    pixels[:20, :30] = 0
    place = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 300_000, 0, -0.3, 2_800_000)}
    data = tiff(pixels, nodata=0, compress="lzw", **place)
    reply = await ask(build(executor, Brightest()), data, accept="image/tiff")
    with (
        MemoryFile(data) as one,
        MemoryFile(reply.body) as two,
        one.open() as before,
        two.open() as after,
    ):
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert (after.shape, after.nodata) == (before.shape, 0)
        mask = after.read(1)
        assert after.colormap(1)[1][:3] == CONTRACT.colours[1]
    assert (mask[:20, :30] == 0).all()
    assert (mask[30:] == expected(pixels)[30:]).all()


@pytest.mark.parametrize(("nodata", "kept"), [(255, 255), (2, 0), (7, 7)])
async def test_a_nodata_value_is_kept_where_no_class_has_it(
    executor: ThreadPoolExecutor, nodata: int, kept: int
) -> None:
    pixels = stripes()
    pixels[40:60] = nodata
    reply = await ask(
        build(executor, Brightest()), tiff(pixels, nodata=nodata), accept="image/tiff"
    )
    with MemoryFile(reply.body) as memory, memory.open() as file:
        assert file.nodata == kept
        assert (file.read(1)[40:60] == kept).all()
        assert set(np.unique(file.read(1)[70:])) == {1, 2, 3}


async def test_transparent_pixels_have_no_class(executor: ThreadPoolExecutor) -> None:
    pixels = np.dstack([stripes(), np.full((150, 210), 255, np.uint8)])
    pixels[:, 100:, 3] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    reply = await ask(build(executor, Brightest()), buffer.getvalue(), "image/png")
    (prediction,) = json.loads(reply.body)["predictions"]
    assert sum(item["pixels"] for item in prediction["classes"]) == 150 * 100
    assert prediction["nodata"] == 0
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(prediction["mask"]["base64"]))))
    assert (mask[:, 100:] == 0).all()
    assert (mask[:, :90] == expected(stripes())[:, :90]).all()


async def test_json_in_and_out(executor: ThreadPoolExecutor) -> None:
    instance = {"base64": base64.b64encode(tiff(stripes())).decode()}
    body = json.dumps({"instances": [instance], "parameters": {"mask": "npy"}}).encode()
    reply = await ask(build(executor, Brightest()), body, "application/json")
    document = json.loads(reply.body)
    assert document["model_version"] == "1"
    (prediction,) = document["predictions"]
    assert (prediction["width"], prediction["height"]) == (210, 150)
    assert sum(item["share"] for item in prediction["classes"]) == pytest.approx(1, abs=1e-5)
    mask = np.load(io.BytesIO(base64.b64decode(prediction["mask"]["base64"])))
    assert (mask == expected(stripes())).all()


async def test_an_overlay_has_the_colours_and_a_legend(executor: ThreadPoolExecutor) -> None:
    reply = await ask(build(executor, Brightest()), tiff(stripes(600, 840)), accept="image/png")
    image = Image.open(io.BytesIO(reply.body))
    assert image.size[0] == 420
    assert image.size[1] > 300


async def test_probabilities(executor: ThreadPoolExecutor) -> None:
    reply = await ask(build(executor, Brightest()), tiff(stripes()), query="probabilities=true")
    levels = loaded(reply)
    assert levels.shape == (4, 150, 210)
    assert (levels.argmax(0) == expected(stripes())).all()


async def test_bands_and_scale_are_chosen(executor: ThreadPoolExecutor) -> None:
    pixels = np.zeros((40, 40, 6), np.uint16)
    pixels[..., 4] = 2000
    model = build(executor, Brightest())
    reply = await ask(model, tiff(pixels), query="bands=5,1,2&full_scale=2047&output=npy")
    assert (loaded(reply) == 1).all()


async def test_a_raster_whose_tiles_met_two_revisions_names_both(
    executor: ThreadPoolExecutor,
) -> None:
    spec = replace(CONTRACT.input_as(RasterInput), tile=32, overlap=0)
    model = build(
        executor, Brightest(("1", "2")), replace(CONTRACT, input=spec), max_raster_pixels=10**6
    )
    reply = await ask(model, tiff(stripes(700, 900)), query="mask=none")
    assert json.loads(reply.body)["model_version"] == "1+2"


async def test_tiles_without_data_are_not_sent(executor: ThreadPoolExecutor) -> None:
    spec = replace(CONTRACT.input_as(RasterInput), tile=32, overlap=0)
    pixels = np.zeros((640, 640, 3), np.uint8)
    pixels[:64, :64] = 100
    hop = Brightest()
    await ask(build(executor, hop, replace(CONTRACT, input=spec)), tiff(pixels, nodata=0))
    assert sum(shape[0] for shape in hop.shapes) == 1


@pytest.mark.parametrize(
    ("pixels", "options", "code"),
    [
        (np.ones((9, 9, 6), np.uint8), {}, "wrong_bands"),
        (np.ones((9, 9, 1), np.uint8), {}, "wrong_bands"),
        (np.ones((9, 9, 3), np.int16), {}, "unknown_scale"),
        (np.zeros((9, 9, 3), np.uint8), {"nodata": 0}, "no_data"),
        (np.full((9, 9, 3), np.nan, np.float32), {}, "no_data"),
    ],
)
async def test_what_does_not_fit_the_model_is_refused(
    executor: ThreadPoolExecutor, pixels: NDArray[Any], options: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await ask(build(executor, Brightest()), tiff(pixels, **options))
    assert caught.value.error_code == code


async def test_a_large_raster_is_refused_with_the_limit(executor: ThreadPoolExecutor) -> None:
    model = build(executor, Brightest(), max_raster_pixels=1000)
    with pytest.raises(TooLargeError, match="150 pixels; the limit is 1000 pixels"):
        await ask(model, tiff(stripes()))


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("output=bmp", "*/*", 422),
        ("nonsense=1", "*/*", 422),
        ("bands=0,1,2", "*/*", 422),
        ("bands=1,2,9", "*/*", 422),
        ("full_scale=-1", "*/*", 422),
        ("mask=gif", "*/*", 422),
        ("", "text/html", 406),
        ("", "*/*;q=0", 406),
        ("", "image/tiff;q=0, image/webp", 406),
    ],
)
async def test_a_parameter_that_cannot_be_is_refused(
    executor: ThreadPoolExecutor, query: str, accept: str, status: int
) -> None:
    with pytest.raises(ServingError) as caught:
        await ask(build(executor, Brightest()), tiff(stripes()), accept=accept, query=query)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("*", "application/json"),
        ("image/*", "image/"),
        ("application/*", "application/json"),
        ("application/json;q=0, application/*", "application/x-npy"),
        ("text/html, image/png;q=0.9, */*;q=0.8", "image/png"),
        ("image/tiff;q=0.5, */*;q=0.6", "application/json"),
        ("*/*, image/tiff;q=0, image/png;q=0, application/json;q=0", "application/x-npy"),
        ("IMAGE/TIFF;Q=1", "image/tiff"),
        ("nonsense", "application/json"),
    ],
)
async def test_what_is_liked_most_is_answered(
    executor: ThreadPoolExecutor, accept: str, expected: str
) -> None:
    reply = await ask(build(executor, Brightest()), tiff(stripes()), accept=accept)
    assert reply.media_type.startswith(expected)


@pytest.mark.parametrize(
    "document",
    [
        {"image": {"anything": "QUJD"}},
        {"image": {"b64": "QUJD", "more": 1}},
        {"nested": {"b64": "QUJD"}},
        {"instances": ["QUJD"], "parameters": []},
        {"instances": ["QUJD"], "parameters": 0},
        {"instances": ["QUJD"], "parameters": False},
        {"instances": ["QUJD", "QUJD"]},
        {"instances": []},
    ],
)
async def test_json_of_another_shape_is_refused_as_classification_refuses_it(
    executor: ThreadPoolExecutor, document: object
) -> None:
    with pytest.raises(ServingError) as caught:
        await ask(build(executor, Brightest()), json.dumps(document).encode(), "application/json")
    assert caught.value.status == 422
    with pytest.raises(ServingError) as caught:
        request = HttpRequest(json.dumps(document).encode(), {})
        PictureReader(1, 1 << 20, ClassificationOptions).read_v1(request)
    assert caught.value.status in (422, 413)


@pytest.mark.parametrize("body", [b"", b"no image", b"II*\x00", b"\x89PNG\r\n\x1a\n"])
async def test_what_is_no_image_is_refused(executor: ThreadPoolExecutor, body: bytes) -> None:
    with pytest.raises(ServingError) as caught:
        await ask(build(executor, Brightest()), body)
    assert 400 <= caught.value.status < 500


def test_tiles_must_fit_a_message(executor: ThreadPoolExecutor) -> None:
    hop = Brightest()
    hop.max_message_bytes = 1000
    with pytest.raises(CardError, match="too large for messages"):
        build(executor, hop)


async def ask_v2(
    model: SegmentationModel, parameters: dict[str, Any], outputs: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A v2 answer as JSON, its tensors by name."""
    data = base64.b64encode(tiff(stripes(30, 42))).decode()
    document = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [data]}],
        "parameters": parameters,
        "outputs": [{"name": name} for name in outputs],
    }
    request = HttpRequest(json.dumps(document).encode(), {})
    answer, _ = await model(model.read_v2(request), {})
    found = json.loads(model.write_v2(answer).body)
    return {output["name"]: output for output in found["outputs"]}


async def test_v2_applies_every_parameter_that_it_takes(executor: ThreadPoolExecutor) -> None:
    model = build(executor, Brightest())
    plain = await ask_v2(model, {})
    assert set(plain) == {"mask", "pixels"}
    assert plain["mask"]["data"] == expected(stripes(30, 42)).ravel().tolist()
    assert set(await ask_v2(model, {"mask": "none"})) == {"pixels"}
    for found in (
        await ask_v2(model, {"probabilities": True}),
        await ask_v2(model, {}, ("probabilities",)),
    ):
        assert found["probabilities"]["shape"] == [4, 30, 42]
    turned = await ask_v2(model, {"bands": [3, 2, 1]})
    assert turned["mask"]["data"] == expected(stripes(30, 42)[..., ::-1]).ravel().tolist()
    for parameters in ({"output": "tiff"}, {"mask": "png"}, {"alpha": ["none"]}, {"bands": 1}):
        with pytest.raises(InvalidRequestError):
            await ask_v2(model, parameters)
