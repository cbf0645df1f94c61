"""The task ``segmentation``: a class for every pixel of a raster of any size."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, TensorInput
from artifact.fields import MOMENT, Fields
from artifact.metrics import TaskMetrics, check_shipped

FULL_SCALES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class RasterInput(TensorInput):
    """How a raster of any size becomes tiles, and a tile the network's input.

    Bands are scaled to bytes, ``reduction`` × ``reduction`` pixels are averaged into one, and the
    result is cut into overlapping tiles. A tile travels as bytes; the predictor gives the network
    ``(byte / 255 - mean) / std`` a band.

    Attributes:
        bands: names of the bands, in the order that the network takes them.
        mean, std: one number a band, in units of full intensity (0 to 1).
        full_scale: the value of full intensity, by the name of the raster's element type.
        reduction: pixels a side that become one before the network sees them.
        tile: longest side of a tile, in reduced pixels.
        overlap: reduced pixels that neighbouring tiles share.
        multiple: what the sides of a tile are multiples of.
    """

    name: str
    layout: str
    dtype: str
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    full_scale: dict[str, float]
    reduction: int
    tile: int
    overlap: int
    multiple: int

    def __post_init__(self) -> None:
        # 0 and 0.0 are one number, but not one text, and the digest is over the text.
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        scales = {name: float(value) for name, value in self.full_scale.items()}
        object.__setattr__(self, "full_scale", scales)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.bands), -1, -1)

    @property
    def max_shape(self) -> tuple[int, int, int]:
        return (len(self.bands), self.tile, self.tile)

    @property
    def wanted_shape(self) -> str:
        return (
            f"(n, {len(self.bands)}, h, w), h and w multiples of {self.multiple} up to {self.tile}"
        )

    def accepts(self, shape: tuple[int, ...]) -> bool:
        return (
            len(shape) == 3
            and shape[0] == len(self.bands)
            and all(0 < n <= self.tile and n % self.multiple == 0 for n in shape[1:])
        )

    @classmethod
    def read(cls, fields: Fields) -> RasterInput:
        value = cls(
            name=fields.text("name"),
            layout=fields.choice("layout", ("NCHW",)),
            dtype=fields.choice("dtype", ("UINT8",)),
            bands=fields.texts("bands"),
            mean=fields.numbers("mean"),
            std=fields.numbers("std", above=0.0),
            full_scale=fields.read(
                "full_scale",
                lambda scales: {name: scales.number(name, above=0.0) for name in FULL_SCALES},
            ),
            reduction=fields.integer("reduction", minimum=1),
            tile=fields.integer("tile", minimum=1),
            overlap=fields.integer("overlap"),
            multiple=fields.integer("multiple", minimum=1),
        )
        if fields.sound:
            value._check(fields)
        return value

    def _check(self, fields: Fields) -> None:
        """Note what does not fit together."""
        for name in ("mean", "std"):
            if len(getattr(self, name)) != len(self.bands):
                fields.fault(name, f"must have {len(self.bands)} entries")
        if self.tile % self.multiple or self.overlap % self.multiple:
            fields.fault("tile", "and overlap must be multiples of multiple")
        if self.tile < 2 * self.overlap + self.multiple:
            fields.fault("overlap", "must be less than half of tile")


@dataclass(frozen=True)
class SegmentationContract(Contract):
    """A contract whose labels are those of pixels.

    Attributes:
        colours: red, green and blue of each label, for pictures.
        void: index of the label that means "no class": of pixels without data.
    """

    colours: tuple[tuple[int, ...], ...]
    void: int

    @property
    def output_dtypes(self) -> tuple[str, ...]:
        return ("UINT8",) * len(self.outputs)

    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return ((len(self.labels), *instance[1:]),) * len(self.outputs)

    @classmethod
    def read(cls, task: str, fields: Fields) -> SegmentationContract:
        value = cls(
            task=task,
            input=fields.read("input", RasterInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            colours=fields.rows("colours", maximum=255, length=3),
            void=fields.integer("void"),
        )
        if fields.sound and len(value.colours) != len(value.labels):
            fields.fault("colours", f"must have {len(value.labels)} entries, one a label")
        if fields.sound and value.void >= len(value.labels):
            fields.fault("void", "is the index of no label")
        return value


@dataclass(frozen=True)
class Scores:
    """How well masks agree, as shares of 1.

    Attributes:
        ious: intersection over union of each label but ``void``, over all pixels together.
        mean_iou: their mean.
        image_mean_iou: the mean, over whole images, of the mean IoU of the classes in each.
        pixel_accuracy: share of the annotated pixels that are right.
    """

    ious: dict[str, float]
    mean_iou: float
    image_mean_iou: float
    pixel_accuracy: float

    @classmethod
    def read(cls, fields: Fields) -> Scores:
        return cls(
            ious=fields.read("ious", lambda ious: {name: ious.share(name) for name in ious.names}),
            mean_iou=fields.share("mean_iou"),
            image_mean_iou=fields.share("image_mean_iou"),
            pixel_accuracy=fields.share("pixel_accuracy"),
        )


@dataclass(frozen=True)
class SegmentationRun:
    """What one training run gave; times in seconds."""

    seed: int
    finished: str
    epochs: int
    train_seconds: float
    validation_mean_iou: float
    test: Scores

    @classmethod
    def read(cls, fields: Fields) -> SegmentationRun:
        return cls(
            seed=fields.integer("seed"),
            finished=fields.text("finished", MOMENT),
            epochs=fields.integer("epochs"),
            train_seconds=fields.number("train_seconds"),
            validation_mean_iou=fields.share("validation_mean_iou"),
            test=fields.read("test", Scores.read),
        )


@dataclass(frozen=True)
class SegmentationMetrics(TaskMetrics):
    """Results on whole held-out images, as they are served: tiled, and in half precision.

    Attributes:
        validation_mean_iou: of the shipped weights.
        test: likewise.
        single_precision: the same with the weights that training left, before they were halved.
        baseline: of a classifier that sees one pixel's colour alone.
        seeds: every run.
    """

    validation_mean_iou: float
    test: Scores
    single_precision: Scores
    baseline: Scores
    seeds: tuple[SegmentationRun, ...]

    @classmethod
    def read(cls, fields: Fields) -> SegmentationMetrics:
        metrics = cls(
            shipped_seed=fields.optional_integer("shipped_seed"),
            validation_mean_iou=fields.share("validation_mean_iou"),
            test=fields.read("test", Scores.read),
            single_precision=fields.read("single_precision", Scores.read),
            baseline=fields.read("baseline", Scores.read),
            seeds=fields.read_each("seeds", SegmentationRun.read),
        )
        check_shipped(metrics.shipped_seed, [run.seed for run in metrics.seeds], fields)
        return metrics
