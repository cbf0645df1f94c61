"""Frames: how a picture of any size is brought to the network's height and width.

A contract's input names one by its ``kind``. A further kind is a dataclass here, by its name in
``KINDS``, and the code that does it in ``transformer.frames``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from artifact.errors import CardError
from artifact.fields import Fields

INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Filters, by the names of Pillow's."""

POINT_INTERPOLATIONS = ("nearest", "bilinear")
"""Those that are also known without antialiasing."""

CROP_ROUNDINGS = ("nearest", "down")


@dataclass(frozen=True)
class Frame:
    """What all kinds have.

    Attributes:
        kind: by which a card names it.
    """

    kind: str = field(init=False)

    @property
    def needs_background(self) -> bool:
        """Whether the picture is set on the contract's ``background``."""
        return False

    @classmethod
    def read(cls, fields: Fields) -> Frame:
        """From a card's fields, but for the kind."""
        raise NotImplementedError

    def check(self, height: int, width: int, channels: int, fields: Fields) -> None:
        """Note where it does not lead to the network's size.

        Args:
            fields: of the input that the frame belongs to.
        """


@dataclass(frozen=True)
class Whole(Frame):
    """All of the picture, its aspect kept, in the middle of the contract's background.

    Where a picture is large, blocks are averaged first; grey paper is stretched to the full range.
    """

    kind: str = field(default="whole", init=False)

    @property
    def needs_background(self) -> bool:
        return True

    @classmethod
    def read(cls, fields: Fields) -> Whole:  # noqa: ARG003
        return cls()


@dataclass(frozen=True)
class Size:
    """What a picture is resized to: one of the four; pixels, heights before widths.

    Attributes:
        short_side: the shorter side gets this length, the longer one its share of it, cut off to
            a whole pixel (torchvision's ``Resize`` of one number).
        exact: both sides, whatever the aspect.
        fit: the largest of the picture's aspect inside these, rounded.
        cover: the smallest of the picture's aspect around these, rounded.
    """

    short_side: int | None = None
    exact: tuple[int, int] | None = None
    fit: tuple[int, int] | None = None
    cover: tuple[int, int] | None = None

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing of a picture of this height and width."""
        if self.exact is not None:
            return self.exact
        if self.short_side is not None:
            short, long = sorted((height, width))
            longer = int(self.short_side * long / short)
            return (self.short_side, longer) if height <= width else (longer, self.short_side)
        if self.fit is not None:
            ratio = max(height / self.fit[0], width / self.fit[1])
        else:
            assert self.cover is not None
            ratio = min(height / self.cover[0], width / self.cover[1])
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    @classmethod
    def read(cls, fields: Fields) -> Size:
        pairs = {name: fields.if_there(name, fields.pair) for name in ("exact", "fit", "cover")}
        short = fields.if_there("short_side", lambda f: fields.integer(f, minimum=1))
        value = cls(short_side=short, **pairs)
        if sum(v is not None for v in (short, *pairs.values())) != 1:
            raise CardError(fields.path(), "must have one of short_side, exact, fit and cover")
        return value


@dataclass(frozen=True)
class Resize(Frame):
    """Resized, then cut out of the middle, as most published networks were trained.

    What is smaller than the cut-out stands in the middle of ``fill``.

    Attributes:
        crop: height and width of the cut-out; None where resizing leads to the size already.
        crop_rounding: where the cut-out begins if as much cannot be left on both sides:
            ``nearest`` with halves to even numbers, as torchvision has it, or ``down``, as Hugging
            Face's image processors do.
        interpolation: of Pillow's filters.
        antialias: whether the filter widens with the picture's reduction, as Pillow's does.
        fill: a byte a channel, of what surrounds a smaller picture; black where it is left out.
    """

    resize: Size
    crop: tuple[int, int] | None = None
    crop_rounding: str = "nearest"
    interpolation: str = "bilinear"
    antialias: bool = True
    fill: tuple[int, ...] = ()
    kind: str = field(default="resize", init=False)

    @classmethod
    def read(cls, fields: Fields) -> Resize:
        def optional(name: str, allowed: tuple[str, ...]) -> str | None:
            return fields.if_there(name, lambda f: fields.choice(f, allowed))

        value = cls(
            resize=fields.read("resize", Size.read),
            crop=fields.if_there("crop", fields.pair),
            crop_rounding=optional("crop_rounding", CROP_ROUNDINGS) or "nearest",
            interpolation=optional("interpolation", INTERPOLATIONS) or "bilinear",
            antialias=fields.if_there("antialias", fields.boolean) is not False,
            fill=fields.if_there("fill", lambda f: fields.integers(f, maximum=255)) or (),
        )
        if not value.antialias and value.interpolation not in POINT_INTERPOLATIONS:
            raise CardError(
                fields.path("interpolation"),
                f"is known without antialias for {' and '.join(POINT_INTERPOLATIONS)} only",
            )
        return value

    def check(self, height: int, width: int, channels: int, fields: Fields) -> None:
        wanted = (height, width)
        ends_at = self.crop or self.resize.exact or self.resize.fit
        if ends_at is None:
            fields.fault("frame.crop", "is missing: sides would differ in length")
        elif ends_at != wanted:
            fields.fault(
                "frame.crop" if self.crop else "frame.resize",
                f"leads to {ends_at[0]} × {ends_at[1]}, but height × width is {height} × {width}",
            )
        if self.fill and len(self.fill) != channels:
            fields.fault("frame.fill", f"must have {channels} entries")


CENTRES = ("mass", "box")


@dataclass(frozen=True)
class SubjectFrame(Frame):
    """What a picture is of, found and lit evenly, in a box in the middle of the background.

    As the pictures of MNIST were made: the light on the background is divided out, contrast and
    polarity are those of the training data, and the subject is fitted into a box. A picture that
    has the contract's size already is taken as it is.

    Attributes:
        box: longest side of the subject, in pixels of the contract.
        centre: what of the subject is put in the middle: its centre of ``mass``, or its ``box``.
        stroke: least width of a stroke, in pixels of the contract, of subjects that are drawn with
            a pen: thinner ones are drawn thicker. None where subjects are solid.
        upright: degrees by which a solid subject is turned at most, to where it fills a box best:
            as a garment that lies slightly askew. 0 where the subject is left as it is.
        contrast: relative difference from the background below which there is no subject.
    """

    box: int
    centre: str = "mass"
    stroke: float | None = None
    upright: float = 0.0
    contrast: float = 0.07
    kind: str = field(default="subject", init=False)

    @property
    def needs_background(self) -> bool:
        return True

    @classmethod
    def read(cls, fields: Fields) -> SubjectFrame:
        contrast = fields.if_there("contrast", lambda f: fields.number(f, above=0.0))
        return cls(
            box=fields.integer("box", minimum=1),
            centre=fields.if_there("centre", lambda f: fields.choice(f, CENTRES)) or "mass",
            stroke=fields.if_there("stroke", lambda f: fields.number(f, above=0.0)),
            upright=fields.if_there("upright", lambda f: fields.number(f, minimum=0.0)) or 0.0,
            contrast=cls.contrast if contrast is None else contrast,
        )

    def check(self, height: int, width: int, channels: int, fields: Fields) -> None:
        if self.box > min(height, width):
            raise CardError(
                fields.path("frame.box"), f"is {self.box}, more than {height} × {width} hold"
            )
        if channels != 1:
            raise CardError(fields.path("frame.kind"), "'subject' is of grey networks")


KINDS: dict[str, type[Frame]] = {"whole": Whole, "resize": Resize, "subject": SubjectFrame}


def read_frame(fields: Fields) -> Frame:
    """A frame, by its kind."""
    kind = fields.text("kind")
    if kind not in KINDS:  # what its other fields may be is not known
        raise CardError(fields.path("kind"), f"{kind!r} is none of {', '.join(KINDS)}")
    return KINDS[kind].read(fields)
