"""One keypoints model of the transformer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput, KeypointsContract
from transformer.drawing import Canvas, label_colour
from transformer.pictures.drawn import DrawnModel, named_points
from transformer.pictures.model import Answer, Tensors


class Found(NamedTuple):
    """The points of one picture of this width and height.

    Attributes:
        places: ``(points, 2)`` in its pixels.
        certainties: ``(points,)``; 1 where the network gives none.
    """

    size: tuple[int, int]
    places: NDArray[np.float64]
    certainties: NDArray[np.float32]


class KeypointsModel(DrawnModel[KeypointsContract]):
    """Puts a network's points in place."""

    kind = KeypointsContract

    def get_output_types(self) -> list[dict[str, Any]]:
        count = len(self._contract.labels)
        return [
            {"name": "keypoints", "datatype": "FP32", "shape": [-1, count, 2]},
            {"name": "certainty", "datatype": "FP32", "shape": [-1, count]},
        ]

    def read(self, answer: Answer) -> list[Found]:
        pixels, certainties = pixels_of(answer.outputs[0], self._contract)
        found = []
        for row, sizes in enumerate(answer.batch.sizes):
            placement = self._placing(*sizes)
            places = placement.points(pixels[row])
            found.append(Found(placement.size, places, certainties[row]))
        return found

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        return [
            {
                "width": found.size[0],
                "height": found.size[1],
                "keypoints": named_points(
                    self._contract.labels,
                    found.places,
                    found.certainties if self._contract.layout == "heatmaps" else None,
                ),
                **self.encoded(answer, index),
            }
            for index, found in enumerate(answer.found)
        ]

    def tensors(self, answer: Answer) -> Tensors:
        return {
            "keypoints": np.stack([found.places for found in answer.found]).astype(np.float32),
            "certainty": np.stack([found.certainties for found in answer.found]),
        }

    def draw(self, picture: Image.Image, found: Found) -> Image.Image:
        canvas = Canvas(picture)
        scale = picture.width / found.size[0], picture.height / found.size[1]
        for index, place in enumerate((found.places * scale).tolist()):
            canvas.point(place, label_colour(index))
        return picture


def pixels_of(
    output: NDArray[Any], contract: KeypointsContract
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Points ``(n, points, 2)`` in the network's pixels, and their certainties ``(n, points)``."""
    spec = contract.input_as(ImageInput)
    if contract.layout != "heatmaps":
        size = np.array([spec.width, spec.height]) if contract.layout == "share" else 1
        return output.astype(np.float64) * size, np.ones(output.shape[:2], np.float32)
    flat = output.reshape(*output.shape[:2], -1)
    best = flat.argmax(axis=2)
    rows, columns = np.divmod(best, output.shape[3])
    # The middle of the cell, in pixels of which 0 is the edge.
    pixels = (np.stack([columns, rows], axis=2) + 0.5) * contract.stride
    return pixels, np.take_along_axis(flat, best[..., np.newaxis], axis=2)[..., 0]
