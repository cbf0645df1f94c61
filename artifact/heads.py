"""How a detector's outputs are laid out: one class for each named layout, read by its ``kind``.

A layout says how many outputs there are, what shape each has for one instance, and how numbers
become boxes in the network's pixels and scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from artifact.fields import Fields

Shapes = tuple[tuple[int, ...], ...]

ACTIVATIONS = ("none", "sigmoid", "softmax")
BACKGROUNDS = ("none", "first", "last")


class Head:
    """What all layouts have.

    Attributes:
        kind: the layout's name.
    """

    kind: str

    @property
    def has_certainties(self) -> bool:
        """Whether keypoints come with how sure the network is of each."""
        return False

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        """Of the outputs, in the contract's order.

        Args:
            height, width: of the network's input.
        """
        raise NotImplementedError

    def dtypes(self, outputs: int) -> tuple[str, ...]:
        """The v2 protocol's names of the outputs' element types."""
        return ("FP32",) * outputs


@dataclass(frozen=True)
class YoloHead(Head):
    """One output: boxes (centre, size) in the network's pixels and scores, one column an anchor.

    ``yolov8`` is ``(4 + classes + 3 * keypoints, anchors)``: YOLOv8, YOLO11 and their relatives as
    they are exported, also for poses (x, y and certainty a keypoint). ``yolov5`` is
    ``(anchors, 5 + classes)``: the fifth number is the certainty that there is anything, by which
    the scores are multiplied.
    """

    kind: str
    anchors: int

    @property
    def has_certainties(self) -> bool:
        return True

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        if self.kind == "yolov5":
            return ((self.anchors, 5 + classes),)
        return ((4 + classes + 3 * keypoints, self.anchors),)

    @classmethod
    def read(cls, kind: str, fields: Fields) -> YoloHead:
        return cls(kind, fields.integer("anchors", minimum=1))


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of one feature map: row by row, cell by cell, all sizes of a cell together.

    Attributes:
        rows, columns: cells.
        step: pixels of the network from one cell to the next, down and to the right.
        offset: of an anchor's centre in its cell, in cells: 0.5 is the middle.
        sizes: width and height of each of a cell's anchors, in pixels of the network.
    """

    rows: int
    columns: int
    step: float
    offset: float
    sizes: tuple[tuple[float, float], ...]

    @property
    def anchors(self) -> int:
        return self.rows * self.columns * len(self.sizes)

    @classmethod
    def read(cls, fields: Fields) -> AnchorGrid:
        return cls(
            rows=fields.integer("rows", minimum=1),
            columns=fields.integer("columns", minimum=1),
            step=fields.number("step", above=0.0),
            offset=fields.number("offset"),
            sizes=fields.number_pairs("sizes", above=0.0),
        )


@dataclass(frozen=True)
class SsdHead(Head):
    """Two outputs: ``(anchors, 4)`` shifts against anchors, ``(anchors, classes)`` scores.

    A shift is centre and size: the centre moves by ``variances[0]`` of the anchor's size, the size
    is multiplied by the exponential of ``variances[1]`` times the number (Liu et al., 2016,
    equation 2; in torchvision the reciprocals, 10 and 5, are called weights).

    Attributes:
        grids: the anchors, feature map by feature map, in the order of the outputs' rows.
        activation: what makes scores of the second output's numbers.
        background: where among the classes there is one that means "nothing".
    """

    kind: str
    grids: tuple[AnchorGrid, ...]
    variances: tuple[float, float]
    activation: str
    background: str

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        anchors = sum(grid.anchors for grid in self.grids)
        return ((anchors, 4), (anchors, classes + (self.background != "none")))

    @classmethod
    def read(cls, kind: str, fields: Fields) -> SsdHead:
        return cls(
            kind=kind,
            grids=fields.read_each("grids", AnchorGrid.read),
            variances=fields.number_pair("variances", above=0.0),
            activation=fields.choice("activation", ACTIVATIONS),
            background=fields.choice("background", BACKGROUNDS),
        )


@dataclass(frozen=True)
class ScoresHead(Head):
    """Two outputs: ``(boxes, 4)`` finished boxes, ``(boxes, classes)`` scores.

    DETR and its relatives, and detectors whose export holds the anchors.

    Attributes:
        boxes: how many.
        box: ``corners`` (left, top, right, bottom) or ``centre`` (centre and size).
        unit: ``pixels`` of the network, or ``share`` of its width and height.
        activation, background: as for ``SsdHead``.
    """

    kind: str
    boxes: int
    box: str
    unit: str
    activation: str
    background: str

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        return ((self.boxes, 4), (self.boxes, classes + (self.background != "none")))

    @classmethod
    def read(cls, kind: str, fields: Fields) -> ScoresHead:
        return cls(
            kind=kind,
            boxes=fields.integer("boxes", minimum=1),
            box=fields.choice("box", ("corners", "centre")),
            unit=fields.choice("unit", ("pixels", "share")),
            activation=fields.choice("activation", ACTIVATIONS),
            background=fields.choice("background", BACKGROUNDS),
        )


@dataclass(frozen=True)
class CentrePointsHead(Head):
    """Three or four outputs, each a map: centres, sizes, offsets, and keypoints if there are any.

    CenterNet (Zhou et al., 2019, "Objects as Points") and CenterFace.

    Attributes:
        stride: pixels of the network a cell.
        activation: ``none`` or ``sigmoid``, of the centres' map.
        size: ``cells`` or ``log-cells``: what the sizes' numbers are.
        order: ``xy`` or ``yx``: of the two numbers of a size, an offset and a keypoint.
        shift: added to every offset, in cells.
    """

    kind: str
    stride: int
    activation: str
    size: str
    order: str
    shift: float

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        cells = (height // self.stride, width // self.stride)
        maps = ((classes, *cells), (2, *cells), (2, *cells))
        return (*maps, (2 * keypoints, *cells)) if keypoints else maps

    @classmethod
    def read(cls, kind: str, fields: Fields) -> CentrePointsHead:
        return cls(
            kind=kind,
            stride=fields.integer("stride", minimum=1),
            activation=fields.choice("activation", ("none", "sigmoid")),
            size=fields.choice("size", ("cells", "log-cells")),
            order=fields.choice("order", ("xy", "yx")),
            shift=fields.number("shift"),
        )


@dataclass(frozen=True)
class BoxesHead(Head):
    """Three outputs: ``(boxes, 4)`` corners in the network's pixels, scores, and classes by index.

    What torchvision's detectors give, as an export of fixed length: rows of score 0 are no boxes.

    Attributes:
        boxes: how many.
        first_class: the index of the contract's first label; 1 where 0 is the background.
    """

    kind: str
    boxes: int
    first_class: int

    def shapes(self, classes: int, keypoints: int, height: int, width: int) -> Shapes:
        return ((self.boxes, 4), (self.boxes,), (self.boxes,))

    def dtypes(self, outputs: int) -> tuple[str, ...]:
        return ("FP32", "FP32", "INT64")

    @classmethod
    def read(cls, kind: str, fields: Fields) -> BoxesHead:
        return cls(kind, fields.integer("boxes", minimum=1), fields.integer("first_class"))


READERS: dict[str, Callable[[str, Fields], Head]] = {
    "yolov8": YoloHead.read,
    "yolov5": YoloHead.read,
    "ssd": SsdHead.read,
    "scores": ScoresHead.read,
    "centre-points": CentrePointsHead.read,
    "boxes": BoxesHead.read,
}


def read_head(fields: Fields) -> Head:
    """The layout that its ``kind`` names.

    Raises:
        CardError: there is none of that name, or a field is at fault.
    """
    kind = fields.choice("kind", tuple(READERS))
    return READERS[kind](kind, fields)
