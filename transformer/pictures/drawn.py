"""Models whose answers can be drawn into the picture."""

from __future__ import annotations

import base64
import io
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import CardError, Contract, ImageInput
from serving.errors import InvalidRequestError
from serving.model import Reply
from transformer.colours import in_mode
from transformer.frames.placement import placing_for
from transformer.hop import PredictorClient
from transformer.image import load_image
from transformer.large_pictures import LARGE_PIXELS
from transformer.parameters import flag
from transformer.pictures.model import Answer, Batch, PictureModel
from transformer.pictures.payload import JSON, Payload, PictureOptions
from transformer.settings import TransformerSettings

Kind = TypeVar("Kind", bound=Contract)

PNG = "image/png"
SCORE_DIGITS = 6
PIXEL_DIGITS = 2
DRAWN_SIDE = 2048
"""Longest side of a drawn picture: it is for looking at."""


def named_points(
    names: Sequence[str],
    places: NDArray[np.float64],
    certainties: NDArray[np.float32] | None = None,
) -> list[dict[str, Any]]:
    """Points as predictions list them.

    Args:
        places: ``(points, 2)`` in the picture's pixels.
        certainties: ``(points,)``, where the network gives them.
    """
    found: list[dict[str, Any]] = [
        {"name": name, "x": x, "y": y}
        for name, (x, y) in zip(names, places.round(PIXEL_DIGITS).tolist(), strict=True)
    ]
    if certainties is not None:
        for point, certainty in zip(found, certainties.tolist(), strict=True):
            point["score"] = round(certainty, SCORE_DIGITS)
    return found


@dataclass(frozen=True)
class DrawnOptions(PictureOptions):
    """An answer is JSON, or the drawn picture alone.

    Attributes:
        picture: whether JSON has the drawn picture as well.
    """

    names: ClassVar[tuple[str, ...]] = (*PictureOptions.names, "output", "picture")
    outputs: ClassVar[Mapping[str, str]] = {"json": JSON, "png": PNG}

    picture: bool = False

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        return {**super()._chosen(values, accept), "picture": flag(values, "picture")}


class DrawnModel(PictureModel, Generic[Kind]):
    """Reads outputs off the event loop, and draws what was found where a request wants that.

    Attributes:
        kind: of contract that the task has.

    Raises:
        CardError: the contract is of another kind.
    """

    options = DrawnOptions
    kind: type[Kind]
    _contract: Kind

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, contract, hop, executor, settings)
        if not isinstance(contract, self.kind):
            raise CardError("contract", f"is not a {self.kind.__name__}")
        self._placing = placing_for(contract.input_as(ImageInput))

    @abstractmethod
    def read(self, answer: Answer) -> list[Any]:
        """What was found in each instance; called on a thread."""

    @abstractmethod
    def draw(self, picture: Image.Image, found: Any) -> Image.Image:
        """A picture with what was found; it may be smaller than as it was sent, and is in RGB."""

    async def preprocess(  # type: ignore[override]
        self, payload: Payload, headers: Mapping[str, str] | None = None
    ) -> Batch:
        count = len(payload.images)
        if payload.request is None and payload.options.output == PNG and count != 1:
            raise InvalidRequestError(f"a picture is answered to one image, not to {count}")
        return await super().preprocess(payload, headers)

    async def postprocess(  # type: ignore[override]
        self, result: Answer, headers: Mapping[str, str] | None = None
    ) -> Answer:
        result = result._replace(found=await self._off_loop(self.read, result))
        payload = result.batch.payload
        options = payload.options
        assert isinstance(options, DrawnOptions)
        if payload.request is not None or not (options.picture or options.output == PNG):
            return result
        drawing = partial(self._drawn, result)
        if result.batch.pixels > LARGE_PIXELS:
            drawn = await self._large_pictures.run(result.batch.pixels, drawing)
        else:
            drawn = await self._off_loop(drawing)
        return result._replace(drawn=drawn)

    def _drawn(self, answer: Answer) -> list[bytes]:
        payload = answer.batch.payload
        pictures = []
        for index, found in enumerate(answer.found):
            opened = self._open(payload, index)
            picture = in_mode(load_image(opened, index, (DRAWN_SIDE, DRAWN_SIDE)), "RGB")
            picture.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
            buffer = io.BytesIO()
            self.draw(picture, found).save(buffer, "PNG", compress_level=4)
            pictures.append(buffer.getvalue())
        return pictures

    def write_v1(self, answer: Answer) -> Reply:
        if answer.batch.payload.options.output == PNG:
            return Reply(answer.drawn[0], PNG, self._headers(answer))
        return super().write_v1(answer)

    def encoded(self, answer: Answer, index: int) -> dict[str, Any]:
        """The drawn picture of an instance as a prediction has it; nothing where there is none."""
        if not answer.drawn:
            return {}
        data = base64.b64encode(answer.drawn[index]).decode()
        return {"picture": {"encoding": "png", "base64": data}}
