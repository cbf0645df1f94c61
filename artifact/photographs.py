"""The task ``segmentation`` of photographs: as a whole, at the network's size."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, ImageInput
from artifact.fields import Fields

UNLABELLED = 255
"""What masks have where nobody said what there is, as those of most data sets do."""


@dataclass(frozen=True)
class PhotographContract(Contract):
    """A contract whose labels are those of a photograph's pixels.

    The one output is ``(labels, height / stride, width / stride)`` scores: of a pixel the label
    with the highest is answered.

    Attributes:
        colours: red, green and blue of each label, for pictures.
        stride: pixels of the network a score.
        background: index of the label that is left as it is in an overlay, if one is.
    """

    colours: tuple[tuple[int, ...], ...]
    stride: int
    background: int | None = None

    @property
    def void(self) -> int:
        """The value in a mask whose pixels are not coloured."""
        return UNLABELLED if self.background is None else self.background

    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        spec = self.input_as(ImageInput)
        return ((len(self.labels), spec.height // self.stride, spec.width // self.stride),)

    @classmethod
    def read(cls, task: str, fields: Fields) -> PhotographContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            colours=fields.rows("colours", maximum=255, length=3),
            stride=fields.integer("stride", minimum=1),
            background=fields.if_there("background", fields.integer),
        )
        if fields.sound and len(value.colours) != len(value.labels):
            fields.fault("colours", f"must have {len(value.labels)} entries, one a label")
        if fields.sound and len(value.labels) > UNLABELLED:
            fields.fault("labels", f"must be {UNLABELLED} at most")
        if fields.sound and value.background is not None and value.background >= len(value.labels):
            fields.fault("background", "is the index of no label")
        if fields.sound and len(value.outputs) != 1:
            fields.fault("outputs", "must name one output, the scores")
        return value
