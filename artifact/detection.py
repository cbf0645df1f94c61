"""The task ``detection``: boxes around what is seen in a picture."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, ImageInput
from artifact.fields import Fields
from artifact.heads import Head, Shapes, read_head
from artifact.metrics import TaskMetrics

WITH_KEYPOINTS = ("yolov8", "centre-points")


@dataclass(frozen=True)
class Selection:
    """Which boxes are answered, unless a request says otherwise.

    Attributes:
        score_threshold: least score.
        iou_threshold: intersection over union with a better box of the same class from which on a
            box is left out; 1 keeps all, for networks that leave out such boxes themselves.
        max_detections: most boxes, the best first.
    """

    score_threshold: float
    iou_threshold: float
    max_detections: int

    @classmethod
    def read(cls, fields: Fields) -> Selection:
        return cls(
            score_threshold=fields.share("score_threshold"),
            iou_threshold=fields.share("iou_threshold"),
            max_detections=fields.integer("max_detections", minimum=1),
        )


@dataclass(frozen=True)
class DetectionContract(Contract):
    """A contract whose labels are those of boxes.

    Attributes:
        head: how the outputs are laid out.
        selection: which boxes are answered.
        keypoints: names of the points that every box has; most detectors have none.
    """

    head: Head
    selection: Selection
    keypoints: tuple[str, ...] = ()

    @property
    def image(self) -> ImageInput:
        """How a picture becomes the network's input."""
        return self.input_as(ImageInput)

    @property
    def output_dtypes(self) -> tuple[str, ...]:
        return self.head.dtypes(len(self.outputs))

    def output_shapes(self, instance: tuple[int, ...]) -> Shapes:
        spec = self.image
        return self.head.shapes(len(self.labels), len(self.keypoints), spec.height, spec.width)

    @classmethod
    def read(cls, task: str, fields: Fields) -> DetectionContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            head=fields.read("head", read_head),
            selection=fields.read("selection", Selection.read),
            keypoints=fields.if_there("keypoints", fields.texts) or (),
        )
        if fields.sound and value.keypoints and value.head.kind not in WITH_KEYPOINTS:
            fields.fault("keypoints", f"a head {value.head.kind} gives none")
        shapes = value.output_shapes(value.input.shape)
        if fields.sound and len(value.outputs) != len(shapes):
            fields.fault(
                "outputs", f"must name {len(shapes)} outputs for the head {value.head.kind}"
            )
        return value


@dataclass(frozen=True)
class DetectionMetrics(TaskMetrics):
    """Average precision on held-out pictures, as COCO counts it.

    Attributes:
        ap: mean over classes and over the IoU thresholds 0.50, 0.55, … 0.95.
        ap50: at the threshold 0.50 alone.
        images: pictures.
    """

    ap: float
    ap50: float
    images: int

    @classmethod
    def read(cls, fields: Fields) -> DetectionMetrics:
        return cls(
            shipped_seed=fields.if_there("shipped_seed", fields.optional_integer),
            ap=fields.share("ap"),
            ap50=fields.share("ap50"),
            images=fields.integer("images", minimum=1),
        )
