"""Segmentation of photographs: one look at the whole, and a mask of the photograph's own size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import CardError, Contract, PhotographContract
from artifact.photographs import UNLABELLED
from serving.errors import InvalidRequestError
from serving.model import HttpRequest, Reply
from transformer.frames.placement import Placement
from transformer.hop import PredictorClient
from transformer.metrics import TALLY
from transformer.parameters import choice
from transformer.pictures.drawn import DrawnModel, DrawnOptions
from transformer.pictures.model import Answer, Tensors
from transformer.pictures.payload import Payload
from transformer.segmentation.answers import Mask, mask_prediction, npy_of, overlay, shares_of
from transformer.segmentation.payload import MASKS, NPY
from transformer.settings import TransformerSettings

MOST_SCORES = 64_000_000
"""Interpolated for one mask; of a larger photograph several pixels share theirs."""


@dataclass(frozen=True)
class PhotographOptions(DrawnOptions):
    """How the mask is answered: in JSON as ``mask`` says, as a numpy file, or drawn."""

    names: ClassVar[tuple[str, ...]] = (*DrawnOptions.names, "mask")
    outputs: ClassVar[Mapping[str, str]] = {**DrawnOptions.outputs, "npy": NPY}

    mask: str = "png"

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        return {**super()._chosen(values, accept), "mask": choice(values, "mask", MASKS) or "png"}


class PhotographModel(DrawnModel[PhotographContract]):
    """Interpolates a network's scores to a photograph's size, and answers the best label."""

    options = PhotographOptions
    kind = PhotographContract

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, contract, hop, executor, settings)
        if self._instance_bytes > hop.max_message_bytes * 15 // 16:
            raise CardError(
                "contract.stride",
                f"makes scores of {self._instance_bytes} bytes, too large for messages of "
                f"{hop.max_message_bytes} bytes to the predictor",
            )

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "mask", "datatype": "UINT8", "shape": [-1, -1]},
            {"name": "pixels", "datatype": "INT64", "shape": [len(self._contract.labels)]},
        ]

    def read_v1(self, request: HttpRequest) -> Payload:
        return _single(super().read_v1(request))

    def read_v2(self, request: HttpRequest) -> Payload:
        return _single(super().read_v2(request))

    def read(self, answer: Answer) -> list[Mask]:
        (scores,) = answer.outputs
        return [
            self._mask(scores[row], self._placing(*sizes))
            for row, sizes in enumerate(answer.batch.sizes)
        ]

    async def postprocess(  # type: ignore[override]
        self, result: Answer, headers: Mapping[str, str] | None = None
    ) -> Answer:
        answer = await super().postprocess(result, headers)
        size = sum(found.mask.size for found in answer.found)
        TALLY.response_pixels.labels(self.name, answer.answered.revision).add(size)
        return answer

    def _mask(self, scores: NDArray[np.float32], placement: Placement) -> Mask:
        mask = mask_of(scores, placement, self._contract)
        pixels = np.bincount(mask.ravel(), minlength=256)
        nodata = UNLABELLED if pixels[UNLABELLED] else None
        return Mask(mask, nodata, pixels[: len(self._contract.labels)].tolist())

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        options = answer.batch.payload.options
        assert isinstance(options, PhotographOptions)
        return [
            {**mask_prediction(found, self._contract, options.mask), **self.encoded(answer, index)}
            for index, found in enumerate(answer.found)
        ]

    def tensors(self, answer: Answer) -> Tensors:
        (found,) = answer.found
        return {"mask": found.mask, "pixels": np.array(found.pixels, np.int64)}

    def write_v1(self, answer: Answer) -> Reply:
        if answer.batch.payload.options.output == NPY:
            header, pixels = npy_of(answer.found[0].mask)
            return Reply(header, NPY, self._headers(answer), pixels)
        return super().write_v1(answer)

    def draw(self, picture: Image.Image, found: Mask) -> Image.Image:
        mask = Image.fromarray(found.mask).resize(picture.size, Image.Resampling.NEAREST)
        shares = shares_of(found.pixels)
        return overlay(np.asarray(picture), np.asarray(mask), self._contract, shares)


def mask_of(
    scores: NDArray[np.float32], placement: Placement, contract: PhotographContract
) -> NDArray[np.uint8]:
    """The best label of every pixel, ``UNLABELLED`` where the network saw nothing of it.

    Args:
        scores: ``(labels, h, w)`` of the network's frame; bilinear between them.
    """
    width, height = placement.size
    spans = [
        _seen(length, placement.start[axis], placement.step[axis], seen)
        for axis, (length, seen) in enumerate(
            zip(placement.size, _frame_size(contract), strict=True)
        )
    ]
    (left, right), (top, bottom) = spans
    mask = np.full((height, width), UNLABELLED, np.uint8)
    cells = [
        [(edge - placement.start[axis]) / placement.step[axis] / contract.stride for edge in span]
        for axis, span in enumerate(spans)
    ]
    # Within the scores, whatever the last digits of a division say.
    (x_low, x_high), (y_low, y_high) = (
        np.clip(span, 0, length).tolist()
        for span, length in zip(cells, (scores.shape[2], scores.shape[1]), strict=True)
    )
    box = (x_low, y_low, x_high, y_high)
    size = (right - left, bottom - top)
    if min(size) < 1:
        return mask
    shrink = max(1.0, math.sqrt(len(scores) * size[0] * size[1] / MOST_SCORES))
    worked = (max(1, round(size[0] / shrink)), max(1, round(size[1] / shrink)))
    best = np.full(worked[::-1], -np.inf, np.float32)
    label = np.zeros(worked[::-1], np.uint8)
    for index, plane in enumerate(scores):
        image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
        found = np.asarray(image.resize(worked, Image.Resampling.BILINEAR, box))
        better = found > best
        label[better] = index
        np.copyto(best, found, where=better)
    enlarged = Image.fromarray(label).resize(size, Image.Resampling.NEAREST)
    mask[top:bottom, left:right] = np.asarray(enlarged)
    return mask


def _frame_size(contract: PhotographContract) -> tuple[int, int]:
    """Width and height that the scores stand for, in the network's pixels."""
    _, rows, columns = contract.output_shapes(contract.input.shape)[0]
    return columns * contract.stride, rows * contract.stride


def _seen(length: int, start: float, step: float, seen: int) -> tuple[int, int]:
    """From which to which pixel of a side the frame has it."""
    low, high = math.ceil(start - 1e-6), math.floor(start + seen * step + 1e-6)
    return max(0, low), min(length, high)


def _single(payload: Payload) -> Payload:
    if len(payload.images) != 1:
        raise InvalidRequestError(
            f"a request has one image, not {len(payload.images)}: a mask is large"
        )
    return payload
