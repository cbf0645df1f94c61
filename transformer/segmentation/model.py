"""One segmentation model of the transformer, behind KServe's ``Model`` interface."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import CardError, Contract, RasterInput, SegmentationContract
from serving.errors import InvalidRequestError, TooLargeError, UnsupportedMediaError
from serving.model import Answered, HttpRequest, Reply, json_reply
from serving.spans import trace_id_of
from serving.tracing import CURRENT, TRACING
from serving.v2 import write_infer_response
from transformer.formats import TIFF_MAGIC
from transformer.hop import PredictorClient
from transformer.metrics import TALLY
from transformer.pictures.tally import TALLY as PLACES
from transformer.rasters.raster import Picture, Raster, RasterLimits
from transformer.rasters.tiff import TiffRaster
from transformer.remote import RemoteModel
from transformer.segmentation.answers import (
    Mask,
    as_png,
    mask_as_tiff,
    mask_prediction,
    npy_of,
    overlay,
    overlay_step,
    shares_of,
)
from transformer.segmentation.bands import BandReader
from transformer.segmentation.payload import (
    NPY,
    PNG,
    TIFF,
    Payload,
    PayloadReader,
    Wanted,
)
from transformer.segmentation.tally import PlaceDraw, RasterMeter
from transformer.segmentation.tiling import Tile
from transformer.segmentation.work import Call, Work
from transformer.settings import TransformerSettings

CALLS = 3
"""Calls to the predictor under way for one request; each has its tiles in memory. One more than
the predictor's usual two passes: it finds the next tile there when it is done with one."""

CALL_PIXELS = 1 << 20
"""Reduced pixels of one call, so that a raster of small tiles takes few calls."""

MAX_SIDE = 200_000


Levels = tuple[tuple[NDArray[Any], ...], Answered]
"""The predictor's answer to a call, one output ``(n, classes, h, w)``, and who gave it."""


class Opened(NamedTuple):
    """A raster whose header has been read and found fit for the model."""

    payload: Payload
    raster: Raster
    bands: BandReader


class Answer(NamedTuple):
    """A finished mask; ``reply`` is how it leaves, where that takes long to make."""

    opened: Opened
    found: Mask
    answered: Answered
    reply: Reply | None = None


class SegmentationModel(RemoteModel):
    """Cuts rasters into tiles, asks the predictor about them and joins the answers."""

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, hop, executor, settings)
        if not isinstance(contract, SegmentationContract) or len(contract.outputs) != 1:
            raise CardError("contract.outputs", "segmentation has one output")
        self._contract = contract
        self._spec = contract.input_as(RasterInput)
        # The answer is what is large: a byte a class.
        answered = hop.max_message_bytes * 15 // 16 // len(contract.labels)
        self._call_pixels = min(CALL_PIXELS, answered)
        if self._spec.tile**2 > answered:
            raise CardError(
                "contract.input.tile",
                f"is too large for messages of {hop.max_message_bytes} bytes to the predictor",
            )
        self._payloads = PayloadReader(settings.max_json_bytes)
        self._decode_seconds = TALLY.decode_seconds.labels(name)
        self._meter = RasterMeter(PLACES, name, contract) if settings.picture_statistics else None
        self._limits = RasterLimits(
            settings.max_raster_pixels,
            MAX_SIDE,
            settings.max_image_pixels,
            settings.max_raster_part_bytes,
        )

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": self._spec.name, "datatype": "BYTES", "shape": [1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "mask", "datatype": "UINT8", "shape": [-1, -1]},
            {"name": "pixels", "datatype": "INT64", "shape": [len(self._contract.labels)]},
            {
                "name": "probabilities",
                "datatype": "UINT8",
                "shape": [len(self._contract.labels), -1, -1],
            },
        ]

    def read_v1(self, request: HttpRequest) -> Payload:
        return self._payloads.read_v1(request)

    def read_v2(self, request: HttpRequest) -> Payload:
        return self._payloads.read_v2(request)

    async def preprocess(  # type: ignore[override]
        self, payload: Payload, headers: Mapping[str, str] | None = None
    ) -> Opened:
        started = time.perf_counter()
        opened = await self._off_loop(self._open, payload)
        seconds = time.perf_counter() - started
        span = CURRENT.get()
        self._decode_seconds.observe(seconds, trace_id_of(span))
        if span is not None:
            TRACING.record("decode", span, seconds)
        return opened

    def _open(self, payload: Payload) -> Opened:
        raster = open_raster(payload.image, self._limits)
        layout = raster.layout
        size = layout.height * layout.width
        if payload.wanted.probabilities:
            limit = self._limits.pixels // len(self._contract.labels)
            if size > limit:
                raise TooLargeError(
                    f"the image is {layout.width} × {layout.height} pixels; with probabilities "
                    f"the limit is {limit} pixels",
                    code="image_too_large",
                )
        return Opened(payload, raster, BandReader(raster, self._spec, payload.wanted.choice))

    async def predict(  # type: ignore[override]
        self, payload: Opened, headers: Mapping[str, str] | None = None
    ) -> Answer:
        loop = asyncio.get_running_loop()
        work = Work(
            payload.raster.layout,
            payload.bands,
            self._contract,
            self._call_pixels,
            payload.payload.wanted.probabilities,
        )
        calls = work.calls()
        under_way: deque[tuple[list[Tile], asyncio.Task[Levels]]] = deque()
        answered: dict[str, Answered] = {}
        draw = PlaceDraw()

        def read_ahead() -> asyncio.Task[Call | None]:
            return loop.create_task(self._off_loop(next, calls, None))

        ahead: asyncio.Task[Call | None] | None = read_ahead()
        try:
            while ahead or under_way:
                while ahead and len(under_way) < CALLS:
                    call = await ahead
                    if call is None:
                        ahead = None
                        break
                    draw.offer(call)
                    under_way.append((call.tiles, loop.create_task(self._ask(call, headers or {}))))
                    del call  # a task lets go of its tiles' pixels once they are sent
                    ahead = read_ahead()
                if not under_way:
                    break
                tiles, task = under_way.popleft()
                (levels,), who = await task
                if who.digest:
                    answered[who.digest] = who
                draw.answer(tiles, levels)
                await self._off_loop(work.take, tiles, levels)
                del task, levels
        finally:
            if ahead:
                ahead.cancel()
            for _, task in under_way:
                task.cancel()
        if not answered:
            raise InvalidRequestError("no pixel of the image has data", code="no_data")
        found: Mask = await self._off_loop(work.finish)
        # While a new revision is rolled out, the tiles of one raster may meet both.
        revision = "+".join(sorted({item.revision for item in answered.values()}))
        digest = next(iter(answered))
        TALLY.response_pixels.labels(self.name, revision).add(found.mask.size)
        if self._meter is not None and len(answered) == 1 and draw.place is not None:
            self._meter.add(revision, found.mask.size, draw.place)
        return Answer(payload, found, Answered(revision, digest, 1))

    def _ask(self, call: Call, headers: Mapping[str, str]) -> Coroutine[Any, Any, Levels]:
        if call.pixels is None:
            return self._nothing(call.tiles[0])
        return self._hop.infer(self.name, self._contract, call.pixels, headers)

    async def _nothing(self, tile: Tile) -> Levels:
        """The answer to a tile without data, for which nobody is asked."""
        empty = np.zeros((1, len(self._contract.labels), tile.height, tile.width), np.uint8)
        return (empty,), Answered("", "", 0)

    async def postprocess(  # type: ignore[override]
        self, result: Answer, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make the answer's bytes off the event loop: a large mask takes a while."""
        if result.opened.payload.request is not None:
            return result
        return result._replace(reply=await self._off_loop(self._render, result))

    def write_v1(self, answer: Answer) -> Reply:
        assert answer.reply is not None
        return answer.reply

    def write_v2(self, answer: Answer) -> Reply:
        request = answer.opened.payload.request
        assert request is not None
        tensors: dict[str, NDArray[Any] | list[str]] = {
            "pixels": np.array(answer.found.pixels, np.int64)
        }
        if answer.opened.payload.wanted.mask != "none":
            tensors["mask"] = answer.found.mask
        if answer.found.levels is not None:
            tensors["probabilities"] = answer.found.levels
        reply = write_infer_response(
            request,
            self.name,
            answer.answered.revision,
            {"model_digest": answer.answered.digest},
            tensors,
        )
        return Reply(reply.body, reply.media_type, {**reply.headers, **self._headers(answer)})

    def _render(self, answer: Answer) -> Reply:
        wanted = answer.opened.payload.wanted
        headers = self._headers(answer)
        if wanted.output == NPY:
            array = answer.found.mask if answer.found.levels is None else answer.found.levels
            header, pixels = npy_of(array)
            return Reply(header, NPY, headers, pixels)
        if wanted.output == TIFF:
            body = mask_as_tiff(
                answer.found.mask,
                self._contract,
                answer.opened.raster.layout.geography,
                answer.found.nodata,
            )
            return Reply(body, TIFF, headers)
        if wanted.output == PNG:
            return Reply(self._overlay(answer), PNG, headers)
        return json_reply(self._document(answer, wanted), headers)

    def _overlay(self, answer: Answer) -> bytes:
        raster = open_raster(answer.opened.payload.image, self._limits)
        bands = BandReader(raster, self._spec, answer.opened.payload.wanted.choice)
        step = overlay_step(bands.height, bands.width)
        rows = [
            bands.read(start, min(start + step, bands.height)).pixels[:, :1, ::step]
            for start in range(0, bands.height, step)
        ]
        picture = np.concatenate(rows, axis=1).transpose(1, 2, 0)
        # Other than three bands are shown in grey, by the first of them.
        picture = picture if picture.shape[2] == 3 else picture[..., :1].repeat(3, axis=2)
        stride = step * self._spec.reduction
        mask = answer.found.mask[::stride, ::stride][: picture.shape[0], : picture.shape[1]]
        canvas = overlay(picture, mask, self._contract, shares_of(answer.found.pixels))
        return as_png(canvas)

    def _document(self, answer: Answer, wanted: Wanted) -> dict[str, Any]:
        prediction = mask_prediction(answer.found, self._contract, wanted.mask)
        return {
            "predictions": [prediction],
            "model_name": self.name,
            "model_version": answer.answered.revision,
        }

    def _headers(self, answer: Answer) -> dict[str, str]:
        return {"x-model-pixels": str(answer.found.mask.size)}


def open_raster(data: bytes | memoryview, limits: RasterLimits) -> Raster:
    """Read the header of an image of any format that is read.

    Raises:
        ServingError: damaged, too large, or of no such format.
    """
    head = bytes(data[:16])
    if head.startswith(TIFF_MAGIC):
        return TiffRaster(data, limits)
    if not head:
        raise UnsupportedMediaError("the image is empty", code="not_an_image")
    return Picture(data, limits)
