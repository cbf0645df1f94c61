"""The contract: what a client of a model may rely on, whichever revision answers.

Transformer and predictor are rolled out apart, so any two can meet. Both hold the contract's
digest; the transformer sends it with every call and the predictor refuses another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from artifact.document import as_document
from artifact.errors import CardError
from artifact.fields import Fields
from artifact.frame import Frame, Whole, read_frame
from artifact.trust import FAMILIARITY

Kind = TypeVar("Kind", bound="TensorInput")

CHANNELS = {"L": 1, "RGB": 3}
"""Colour modes an input may have, by Pillow's names, with their number of channels."""


WHOLE = Whole()
BYTE = 1 / 255
"""A scale by which a byte's full intensity becomes 1."""


class TensorInput:
    """What the inputs of all tasks have: a name and a kind of tensor.

    Attributes:
        name: the tensor's name in the v2 protocol.
        layout: order of the tensor's axes, ``NCHW`` or ``NHWC``.
        dtype: the v2 protocol's name of the element type.
    """

    name: str
    layout: str
    dtype: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one instance, its axes in the order of ``layout``; -1 where an instance chooses."""
        raise NotImplementedError

    @property
    def max_shape(self) -> tuple[int, int, int]:
        """Of the largest instance."""
        return self.shape

    @property
    def wanted_shape(self) -> str:
        """The shape of a batch, for people."""
        return f"(n, {', '.join(str(n) for n in self.shape)})"

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an instance may have this shape."""
        return shape == self.shape

    @classmethod
    def read(cls: type[Kind], fields: Fields) -> Kind:
        raise NotImplementedError


@dataclass(frozen=True)
class ImageInput(TensorInput):
    """How an image becomes the network's input tensor.

    The tensor is ``(pixel * scale - mean) / std`` a channel, in ``layout`` and ``dtype``.

    Attributes:
        height, width: pixels.
        mode: Pillow's colour mode, ``L`` or ``RGB``.
        mean, std: one number a channel of the tensor, in units of a scaled pixel.
        background: intensity around the subject in the training data, ``black`` or ``white``:
            what polarity is normalised to, and what a whole picture is padded with. None where
            neither is done.
        frame: how a picture is brought to height and width.
        scale: what a byte is multiplied by; by default its full intensity becomes 1.
        channel_order: of the tensor: ``RGB``, or ``BGR`` as OpenCV has it.
        polarity: of a grey network: ``auto`` to see to it that subjects are as light against
            their surroundings as in the training data; ``none`` to leave intensities alone.
    """

    name: str
    height: int
    width: int
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str
    dtype: str
    background: str | None = None
    frame: Frame = WHOLE
    scale: float = BYTE
    channel_order: str = "RGB"
    polarity: str = "auto"

    def __post_init__(self) -> None:
        # 0 and 0.0 are one number, but not one text, and the digest is over the text.
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one instance, its axes in the order of ``layout``."""
        channels = CHANNELS[self.mode]
        if self.layout == "NHWC":
            return (self.height, self.width, channels)
        return (channels, self.height, self.width)

    @property
    def has_polarity(self) -> bool:
        """Whether pictures are inverted where their subject is on the other ground."""
        return self.mode == "L" and self.polarity == "auto"

    @classmethod
    def read(cls, fields: Fields) -> ImageInput:
        def optional(name: str, allowed: tuple[str, ...]) -> str | None:
            return fields.if_there(name, lambda f: fields.choice(f, allowed))

        value = cls(
            name=fields.text("name"),
            height=fields.integer("height", minimum=1),
            width=fields.integer("width", minimum=1),
            mode=fields.choice("mode", tuple(CHANNELS)),
            mean=fields.numbers("mean"),
            std=fields.numbers("std", above=0.0),
            layout=fields.choice("layout", ("NCHW", "NHWC")),
            dtype=fields.choice("dtype", ("FP32",)),
            background=optional("background", ("black", "white")),
            frame=fields.if_there("frame", lambda f: fields.read(f, read_frame)) or WHOLE,
            scale=fields.if_there("scale", lambda f: fields.number(f, above=0.0)) or BYTE,
            channel_order=optional("channel_order", ("RGB", "BGR")) or "RGB",
            polarity=optional("polarity", ("auto", "none")) or "auto",
        )
        if fields.sound:
            value._check(fields)
        return value

    def _check(self, fields: Fields) -> None:
        """Note what does not fit together."""
        channels = CHANNELS[self.mode]
        for name in ("mean", "std"):
            if len(getattr(self, name)) != channels:
                fields.fault(name, f"must have {channels} entries for mode {self.mode}")
        self.frame.check(self.height, self.width, channels, fields)
        if self.background is None and (self.frame.needs_background or self.has_polarity):
            reason = "polarity auto" if self.has_polarity else f"a {self.frame.kind} frame"
            fields.fault("background", f"is missing, and {reason} needs it")
        if self.mode == "L" and self.channel_order != "RGB":
            fields.fault("channel_order", "is of colour networks")


@dataclass(frozen=True)
class Contract:
    """Task, input, output names and labels of a model; the same for all its revisions."""

    task: str
    input: TensorInput
    outputs: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def output_dtypes(self) -> tuple[str, ...]:
        """The v2 protocol's names of the outputs' element types, in order."""
        return ("FP32",) * len(self.outputs)

    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Shapes of one instance's outputs, in order, for an instance of the given shape.

        An axis of -1 is as long as the network makes it.
        """
        return tuple(() if n == FAMILIARITY else (len(self.labels),) for n in self.outputs)

    def takes_tensors_of(self, other: Contract) -> bool:
        """Whether the two differ in how pictures are framed, or in further outputs, alone.

        A tensor then means the same to both, however well each frame found its subject.
        """
        if not (isinstance(self.input, ImageInput) and isinstance(other.input, ImageInput)):
            return False
        return (
            replace(self.input, frame=other.input.frame) == other.input
            and (self.task, self.labels) == (other.task, other.labels)
            and self.outputs[: len(other.outputs)] == other.outputs
        )

    def input_as(self, kind: type[Kind]) -> Kind:
        """The input, which must be of the kind that the caller understands.

        Raises:
            CardError: it is of another task's kind.
        """
        if not isinstance(self.input, kind):
            raise CardError("contract.input", f"is not that of a task which takes {kind.__name__}")
        return self.input

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash of the contract as canonical JSON (sorted keys, no spaces)."""
        canonical = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """As it is written: fields at their defaults are left out."""
        document: dict[str, Any] = as_document(self)
        return document

    @classmethod
    def read(cls, task: str, fields: Fields) -> Contract:
        """A contract whose ``task`` has been read already."""
        return cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
        )
