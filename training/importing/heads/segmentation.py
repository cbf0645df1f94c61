"""The head of segmentation: one output, the scores of every cell of a photograph."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ImageInput
from training.importing.heads.raw import RawHead
from training.importing.request import Request

if TYPE_CHECKING:
    from onnx import ModelProto

GOLDEN = 0.618034
"""Of a turn around the colour wheel, from one label to the next: neighbours differ most."""


class SegmentationHead(RawHead):
    """Scores ``(labels, h, w)``, at the input's size or a whole part of it.

    One plane of scores is that of the second label: the first has what is left of 1.
    """

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {"outputs": ["scores"]}
        if answers[0].ndim == 4:
            _, planes, rows, _ = answers[0].shape
            count = max(2, planes)
            found["colours"] = [colour(index) for index in range(count)]
            found["stride"] = max(1, spec.height // rows)
            if not labels and request.numbered:
                found["labels"] = [str(number) for number in range(count)]
        return found

    def contract(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> Contract:
        return super().contract(spec, self._shares(answers), labels, request)

    def finish(
        self, contract: Contract, answers: Sequence[NDArray[Any]], request: Request
    ) -> tuple[NDArray[Any], ...]:
        return super().finish(contract, self._shares(answers), request)

    def append(
        self,
        model: ModelProto,
        contract: Contract,
        answers: Sequence[NDArray[Any]],
        request: Request,
    ) -> None:
        if is_one_plane(answers):
            from onnx import TensorProto, helper

            from training.importing import graph

            (output,) = model.graph.output
            nodes, plane = [], output.name
            if not is_share(answers[0]):
                plane = "vision_share"
                nodes.append(helper.make_node("Sigmoid", [output.name], [plane]))
            one = helper.make_tensor("vision_one", TensorProto.FLOAT, [1, 1, 1, 1], [1.0])
            model.graph.initializer.append(one)
            nodes.append(helper.make_node("Sub", [one.name, plane], ["vision_rest"]))
            nodes.append(helper.make_node("Concat", ["vision_rest", plane], ["vision_two"], axis=1))
            graph.append(model, nodes)
            output.name = "vision_two"
        super().append(model, contract, answers, request)

    def _shares(self, answers: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        if not is_one_plane(answers):
            return answers
        plane = answers[0].astype(np.float64)
        if not is_share(plane):
            plane = 1 / (1 + np.exp(-plane))
        return [np.concatenate([1 - plane, plane], axis=1).astype(np.float32)]


def is_one_plane(answers: Sequence[NDArray[Any]]) -> bool:
    return len(answers) == 1 and answers[0].ndim == 4 and answers[0].shape[1] == 1


def is_share(plane: NDArray[Any]) -> bool:
    """Whether scores are from 0 to 1, as a sigmoid has left them."""
    return bool((plane >= 0).all() and (plane <= 1).all())


def colour(index: int) -> list[int]:
    """Of a label that has none of its own."""
    levels = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.75, 0.9)
    return [round(255 * level) for level in levels]


TASK = SegmentationHead("segmentation")
