"""A model of pictures in the transformer, behind KServe's ``Model`` interface."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import Contract, ImageInput
from serving.errors import TooLargeError
from serving.metrics import BATCHES
from serving.model import Answered, HttpRequest, Reply, json_reply
from serving.scheduling.batching import Batcher
from serving.scheduling.policy import BatchPolicy
from serving.spans import Span, trace_id_of
from serving.tracing import CURRENT, TRACING
from serving.v2 import NUMPY_TYPES, write_infer_response
from transformer.frames import framing_for
from transformer.grey_png import grey_png
from transformer.hop import PredictorClient, headers_of_all
from transformer.image import ImageLimits, load_image, open_image, upright_size
from transformer.large_pictures import LARGE_PIXELS, LargePictures
from transformer.metrics import TALLY
from transformer.pictures.assembly import Plain, assemble, has_plain
from transformer.pictures.payload import Payload, PayloadReader, PictureOptions
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import Prepared, prepare_subjects
from transformer.pictures.sending import PictureSender
from transformer.pictures.shown import shown_pictures
from transformer.pictures.tally import TALLY as PICTURES
from transformer.pictures.tally import Judge, PictureMeter, Seen
from transformer.pictures.traced_batch import TracedBatch
from transformer.remote import AbandonedError, RemoteModel, WantedCheck, while_awaited
from transformer.settings import TransformerSettings

INLINE_BYTES = 16 << 10
"""Plain pictures up to this many bytes together are decoded on the event loop, at about 35 µs
each: to hand one to a thread and back takes longer, and threads would take turns at it anyway."""

Arrays = tuple[NDArray[Any], ...]
"""One array for each of a contract's outputs; their first axes count the instances."""

Tensors = dict[str, NDArray[Any] | list[str]]
"""v2 outputs by name; texts are lists."""


class Sizes(NamedTuple):
    """Width and height of a picture as it was sent, upright, and as it was decoded."""

    picture: tuple[int, int]
    decoded: tuple[int, int]


class Batch(NamedTuple):
    """Decoded instances on their way to the predictor.

    Attributes:
        pixels: as they were sent, together.
        counts: items of each instance; None where each is one.
    """

    payload: Payload
    items: list[Prepared | Plain]
    pixels: int
    sizes: list[Sizes]
    counts: list[int] | None = None


class Looked(NamedTuple):
    """What the headers of a request's pictures say; plain ones are read already."""

    plain: list[Plain | None]
    pixels: int


class Call(NamedTuple):
    """One request's share of a call to the predictor.

    Attributes:
        span: of the request, where it is recorded.
        arrived: at the batcher, by ``time.perf_counter``.
        sizes: of each item's picture.
    """

    items: list[Prepared | Plain]
    headers: Mapping[str, str]
    span: Span | None = None
    arrived: float = 0.0
    sizes: Sequence[Sizes] = ()


class Share(NamedTuple):
    """One request's share of the answer: its rows, their polarities and who gave them."""

    outputs: Arrays
    polarities: list[Polarity | None]
    answered: Answered


class Answer(NamedTuple):
    """The predictor's outputs on their way back.

    Attributes:
        shown: what the network was shown, where the request wants to know.
        found: what a task made of each instance's outputs, where that takes long.
        drawn: the pictures with it, as PNG, where the request wants them.
    """

    batch: Batch
    outputs: Arrays
    polarities: list[Polarity | None]
    answered: Answered
    shown: list[str] | None = None
    found: Sequence[Any] = ()
    drawn: Sequence[bytes] = ()


class PictureModel(RemoteModel):
    """Decodes and asks the predictor; a task says what its outputs mean.

    Requests that arrive while calls to the predictor are under way share the next call.

    Attributes:
        options: what requests may choose.
    """

    options: ClassVar[type[PictureOptions]] = PictureOptions

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, hop, executor, settings)
        self._contract = contract
        self._payloads = PayloadReader(
            settings.max_instances, settings.max_json_bytes, self.options
        )
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        self._spec = spec = contract.input_as(ImageInput)
        self._enough = framing_for(spec).enough
        self._large_pictures = LargePictures(settings.max_waiting_pixels)
        self._sender = PictureSender(hop, name, contract)
        self._has_plain = has_plain(spec) and (
            spec.width * spec.height <= settings.max_image_pixels
        )
        size = (spec.width, spec.height)
        self._plain_sizes = Sizes(size, size)
        self._instance_bytes = _largest_bytes(contract)
        self._most_instances = max(1, hop.max_message_bytes * 15 // 16 // self._instance_bytes)
        self._policy = BatchPolicy(
            settings.max_batch_size, settings.max_queue_delay_seconds, hop.max_message_bytes
        )
        self._batcher: Batcher[Call, Share] = Batcher(
            self._call,
            self._policy.limits,
            settings.predictor_timeout_seconds,
            BATCHES.of(name, lambda: self._batcher.waiting).observe,
        )
        self._decode_seconds = TALLY.decode_seconds.labels(name)
        self._pictures: PictureMeter | None = None
        if settings.picture_statistics:
            self._pictures = PICTURES.of(name, spec, self.judge(contract))

    def judge(self, contract: Contract) -> Judge | None:
        """What says what this task's answers are like; None: nothing is counted of them."""
        return None

    async def close(self) -> None:
        self._large_pictures.close()
        if self._pictures is not None:
            PICTURES.forget(self._pictures)
        await super().close()

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": self._contract.input.name, "datatype": "BYTES", "shape": [-1]}]

    @abstractmethod
    def get_output_types(self) -> list[dict[str, Any]]:
        """Of the v2 protocol."""

    @abstractmethod
    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        """v1's, one an item."""

    def gathered(
        self,
        predictions: list[dict[str, Any]],
        batch: Batch,
    ) -> list[dict[str, Any]]:
        """v1's predictions, one an instance, of those of all items."""
        return predictions

    @abstractmethod
    def tensors(self, answer: Answer) -> Tensors:
        """v2's."""

    def read_v1(self, request: HttpRequest) -> Payload:
        return self._payloads.read_v1(request)

    def read_v2(self, request: HttpRequest) -> Payload:
        return self._payloads.read_v2(request)

    async def preprocess(  # type: ignore[override]
        self, payload: Payload, headers: Mapping[str, str] | None = None
    ) -> Batch:
        started = time.perf_counter()
        batch = await self._decode(payload)
        seconds = time.perf_counter() - started
        span = CURRENT.get()
        self._decode_seconds.observe(seconds, trace_id_of(span))
        if span is not None:
            size = {"vision.instances": len(batch.items), "vision.pixels": batch.pixels}
            TRACING.record("decode", span, seconds, size)
        return batch

    async def _decode(self, payload: Payload) -> Batch:
        spec = self._spec
        if (count := len(payload.images)) > self._most_instances:
            # Before any is decoded: tensors of large networks take megabytes each.
            raise TooLargeError(
                f"{count} instances; of this model {self._most_instances} fit into one call to "
                "the predictor",
                code="too_many_instances",
            )
        if sum(map(len, payload.images)) <= INLINE_BYTES:
            items: list[Prepared | Plain] = []
            for data in payload.images:
                found = self._read_plain(data, payload.options.polarity)
                if found is None:
                    break
                items.append(found)
            else:
                pixels = len(items) * spec.width * spec.height
                return Batch(payload, items, pixels, [self._plain_sizes] * len(items))
        prepared = await self._off_loop_while_awaited(partial(self._prepare_small, payload))
        if isinstance(prepared, Batch):
            return prepared
        run = partial(self._large_pictures.run, prepared.pixels)
        return await while_awaited(partial(self._prepare, payload, prepared), run)

    def _read_plain(self, data: bytes | memoryview, polarity: Polarity) -> Plain | None:
        if not self._has_plain or len(data) > self._limits.max_bytes:
            return None
        pixels = grey_png(data, self._spec.width, self._spec.height)
        return None if pixels is None else Plain(pixels, polarity)

    def _prepare_small(self, payload: Payload, wanted: WantedCheck) -> Batch | Looked:
        """The batch, unless its pictures are large: then what is to be decoded elsewhere."""
        looked = self._look(payload)
        return looked if looked.pixels > LARGE_PIXELS else self._prepare(payload, looked, wanted)

    def _look(self, payload: Payload) -> Looked:
        """Read the headers of what a request holds, before anything is decompressed.

        By the headers alone: the pixels of a picture of some hundred bytes can take seconds. They
        are not kept open, since a decoder takes memory before it is asked for a pixel.

        Raises:
            TooLargeError: a picture, or all of them together, are over a limit.
        """
        plain: list[Plain | None] = []
        pixels = 0
        for index, data in enumerate(payload.images):
            found = self._read_plain(data, payload.options.polarity)
            plain.append(found)
            if found is None:
                with self._open(payload, index) as opened:
                    pixels += opened.width * opened.height
            else:
                pixels += self._spec.width * self._spec.height
        if pixels > self._settings.max_request_pixels:
            raise TooLargeError(
                f"the images have {pixels} pixels together; the limit of a request is "
                f"{self._settings.max_request_pixels}",
                code="too_many_pixels",
            )
        return Looked(plain, pixels)

    def _prepare(self, payload: Payload, looked: Looked, wanted: WantedCheck) -> Batch:
        """Decode what a request holds.

        Raises:
            AbandonedError: nobody waits for it any more.
        """
        items: list[Prepared | Plain] = []
        sizes: list[Sizes] = []
        counts: list[int] = []
        for index, item in enumerate(looked.plain):
            if not wanted():
                raise AbandonedError
            if item is not None:
                found: Sequence[Prepared | Plain] = [item]
                size = self._plain_sizes
            else:
                found, size = self._subjects(payload, index)
            items += found
            sizes += [size] * len(found)
            counts.append(len(found))
        if len(items) > max(len(counts), self._settings.max_instances):
            raise TooLargeError(
                f"the images have {len(items)} subjects together; the limit of a request is "
                f"{self._settings.max_instances}",
                code="too_many_subjects",
            )
        return Batch(payload, items, looked.pixels, sizes, counts)

    def _subjects(self, payload: Payload, index: int) -> tuple[list[Prepared], Sizes]:
        """One picture's subjects, decoded: those that the request wants answers of."""
        number = index if payload.listed else None
        opened = self._open(payload, index)
        size = upright_size(opened, number)
        loaded = load_image(opened, number, self._enough, self._limits.max_pixels)
        subjects = prepare_subjects(loaded, self._spec, payload.options.polarity)
        # A large JPEG was decoded at a part of its size; boxes are in the pixels that were sent.
        scale = max(size) / max(loaded.size)
        chosen = self.choose([s.scaled(scale) for s in subjects], payload.options, number)
        return chosen, Sizes(size, loaded.size)

    def choose(
        self,
        subjects: list[Prepared],
        options: PictureOptions,
        instance: int | None,
    ) -> list[Prepared]:
        """Those subjects of a picture that are answered: by default the first.

        Args:
            instance: the picture's place in the request, for an error's sake.
        """
        return subjects[:1]

    def _open(self, payload: Payload, index: int) -> Image.Image:
        number = index if payload.listed else None
        return open_image(payload.images[index], self._limits, number, self._enough)

    async def predict(  # type: ignore[override]
        self, payload: Batch, headers: Mapping[str, str] | None = None
    ) -> Answer:
        count = len(payload.items)
        share = await self._batcher.submit(
            Call(payload.items, headers or {}, CURRENT.get(), time.perf_counter(), payload.sizes),
            count,
            count * self._instance_bytes,
        )
        shown = None
        if payload.payload.options.shown:
            shown = await self._off_loop(self._shown, payload.items)
        return Answer(payload, *share, shown)

    def _shown(self, items: list[Prepared | Plain]) -> list[str]:
        return shown_pictures(assemble(items, self._spec)[0], self._spec)

    async def _call(self, calls: Sequence[Call]) -> Sequence[Share]:
        """One call to the predictor for all of ``calls``; gives each its own rows."""
        items = [item for call in calls for item in call.items]
        pixels, polarities = assemble(items, self._spec)
        headers = headers_of_all([call.headers for call in calls])
        traced = TracedBatch(calls, len(items)) if TRACING.is_on else None
        try:
            outputs, answered = await self._sender.infer(pixels, headers)
        finally:
            if traced is not None:
                traced.end()
        if self._pictures is not None:
            areas = [wide * high for call in calls for (wide, high), _ in call.sizes]
            self._pictures.add(Seen(answered.revision, pixels, outputs, polarities, areas))
        self._policy.observe(answered.digest, answered.batch_instances)
        self._batcher.limits = self._policy.limits
        shares = []
        start = 0
        for call in calls:
            end = start + len(call.items)
            shares.append(
                Share(
                    tuple(rows[start:end] for rows in outputs),
                    polarities[start:end],
                    Answered(answered.revision, answered.digest, end - start),
                )
            )
            start = end
        return shares

    def write_v1(self, answer: Answer) -> Reply:
        predictions = self.predictions(answer)
        for prediction, polarity in zip(predictions, answer.polarities, strict=True):
            if polarity is not None:
                prediction["polarity"] = polarity.value
        if answer.shown is not None:
            for prediction, picture in zip(predictions, answer.shown, strict=True):
                prediction["shown"] = picture
        document = {
            "predictions": self.gathered(predictions, answer.batch),
            "model_name": self.name,
            "model_version": answer.answered.revision,
        }
        return json_reply(document, self._headers(answer))

    def write_v2(self, answer: Answer) -> Reply:
        request = answer.batch.payload.request
        assert request is not None
        reply = write_infer_response(
            request,
            self.name,
            answer.answered.revision,
            {"model_digest": answer.answered.digest},
            self.tensors(answer),
        )
        return Reply(reply.body, reply.media_type, {**reply.headers, **self._headers(answer)})

    def _headers(self, answer: Answer) -> dict[str, str]:
        return {"x-model-pixels": str(answer.batch.pixels)}


def _largest_bytes(contract: Contract) -> int:
    """Of an instance on its way to the predictor, or on its way back, whichever are more."""
    shape = contract.input.shape
    sizes = [np.dtype(NUMPY_TYPES[name]).itemsize for name in contract.output_dtypes]
    answered = sum(
        size * math.prod(shape)
        for size, shape in zip(sizes, contract.output_shapes(shape), strict=True)
    )
    return max(4 * math.prod(shape), answered)
