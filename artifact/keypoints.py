"""The task ``keypoints``: where in a picture the named points of its subject are."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, ImageInput
from artifact.fields import Fields
from artifact.metrics import TaskMetrics

LAYOUTS = ("pixels", "share", "heatmaps")


@dataclass(frozen=True)
class KeypointsContract(Contract):
    """A contract whose labels are the points' names.

    Attributes:
        layout: of the one output: ``pixels``, ``(points, 2)`` x and y in the network's pixels;
            ``share``, likewise of its width and height; ``heatmaps``, ``(points, h, w)``, each
            with its point where it is highest, and how high that is for its certainty.
        stride: pixels of the network a cell of a heatmap.
    """

    layout: str
    stride: int = 1

    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        if self.layout == "heatmaps":
            spec = self.input_as(ImageInput)
            return ((len(self.labels), spec.height // self.stride, spec.width // self.stride),)
        return ((len(self.labels), 2),)

    @classmethod
    def read(cls, task: str, fields: Fields) -> KeypointsContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            layout=fields.choice("layout", LAYOUTS),
            stride=fields.if_there("stride", lambda f: fields.integer(f, minimum=1)) or 1,
        )
        if fields.sound and len(value.outputs) != 1:
            fields.fault("outputs", "must name one output, the points")
        return value


@dataclass(frozen=True)
class KeypointsMetrics(TaskMetrics):
    """Distances on held-out pictures.

    Attributes:
        mean_error: of a point from where it is, as a share of the picture's diagonal.
        images: pictures.
    """

    mean_error: float
    images: int

    @classmethod
    def read(cls, fields: Fields) -> KeypointsMetrics:
        return cls(
            shipped_seed=fields.if_there("shipped_seed", fields.optional_integer),
            mean_error=fields.number("mean_error", minimum=0.0),
            images=fields.integer("images", minimum=1),
        )
