"""What tasks have in common whose questions are a picture as it is, and whose answers are JSON."""

from __future__ import annotations

import base64
import binascii
import json
import shlex
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ImageInput
from tasks.errors import AnswerError
from tasks.task import Question, Shown, Task

OCTETS = "application/octet-stream"
SAMPLE = "three.jpg"


class PictureTask(Task):
    """A task on pictures of which each is one instance of an ``ImageInput``."""

    max_instances_per_pass = 8

    shown_query: ClassVar[str] = ""
    """For an answer that ``show`` takes."""

    def probe(self, contract: Contract) -> NDArray[Any]:
        return np.zeros((1, *contract.input_as(ImageInput).shape), np.float32)

    def question(self, picture: bytes) -> Question:
        return Question(picture, OCTETS)

    def shown_question(self, picture: bytes, limit: int) -> Question:
        return Question(picture, OCTETS, query=self.shown_query)

    def show(self, body: bytes) -> Shown:
        prediction = prediction_of(body)
        try:
            text = self.lines(prediction)
        except (KeyError, TypeError, ValueError):
            raise AnswerError(f"the answer is not one of {self.name}") from None
        if "picture" not in prediction:
            return Shown(text)
        return Shown(text, _decoded(prediction["picture"]), ".png")

    @abstractmethod
    def lines(self, prediction: dict[str, Any]) -> str:
        """A prediction for people; raises what a wrong one leads to."""

    def sample(self, contract: Contract, names: Sequence[str]) -> str:
        if SAMPLE not in names:
            raise LookupError(f"sample {SAMPLE} not found")
        return SAMPLE

    def curl(self, url: str, picture: str, name: str, options: str = "") -> str:
        more = f"{options} " if options else ""
        return f"curl -s {more}-F file=@{shlex.quote(picture)} '{url}'"


def prediction_of(body: bytes) -> dict[str, Any]:
    """The one prediction of a v1 answer.

    Raises:
        AnswerError: it is none, or has another number of them.
    """
    try:
        (prediction,) = json.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError):
        raise AnswerError("not a v1 answer with one prediction") from None
    if not isinstance(prediction, dict):
        raise AnswerError("the prediction is not an object")
    return prediction


def numbers_of(value: object, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of that shape; -1 stands for any length.

    Raises:
        AnswerError: it is none, or not finite.
    """
    try:
        found = np.array(value, np.float64).reshape(shape)
    except (ValueError, TypeError):
        raise AnswerError(f"not numbers of the shape {shape}") from None
    if not np.isfinite(found).all():
        raise AnswerError("a number is not finite")
    return found


def _decoded(picture: object) -> bytes:
    try:
        return base64.b64decode(picture["base64"], validate=True)  # type: ignore[index]
    except (KeyError, TypeError, binascii.Error):
        raise AnswerError("the answer's picture is not base64") from None
