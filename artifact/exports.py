"""What a revision carries for engines other than PyTorch, and for verifying any engine."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.fields import DIGEST, Fields, file_pattern

EXPORT_FORMATS = ("onnx",)


@dataclass(frozen=True)
class Weights:
    """A file of weights beside the card."""

    file: str
    sha256: str
    size_bytes: int

    @classmethod
    def read(cls, fields: Fields) -> Weights:
        return cls(
            file=fields.text("file", file_pattern(".safetensors")),
            sha256=fields.text("sha256", DIGEST),
            size_bytes=fields.integer("size_bytes", minimum=1),
        )


@dataclass(frozen=True)
class Export:
    """A program exported from the network, contract's tensor in, contract's outputs out.

    Attributes:
        format: ``onnx``: it names no other file.
        file: beside the card.
        opset: version of the operators.
        samples: instances that both were asked.
        difference: largest distance of an answer from the PyTorch network's; of bytes in 255ths,
            and where an output has larger values than 1, in units of the largest of them.
        tolerance: up to which the two count as equal.
        weights: tensors of the program by name, where one file cannot hold them all.
    """

    format: str
    file: str
    sha256: str
    size_bytes: int
    opset: int
    samples: int
    difference: float
    tolerance: float
    weights: Weights | None = None

    @property
    def total_bytes(self) -> int:
        """Of the program and its weights."""
        return self.size_bytes + (0 if self.weights is None else self.weights.size_bytes)

    @property
    def is_equal(self) -> bool:
        """Whether it answers as the PyTorch network does."""
        return self.difference <= self.tolerance

    @classmethod
    def read(cls, fields: Fields) -> Export:
        return cls(
            format=fields.choice("format", EXPORT_FORMATS),
            file=fields.text("file", file_pattern(".onnx")),
            sha256=fields.text("sha256", DIGEST),
            size_bytes=fields.integer("size_bytes", minimum=1),
            opset=fields.integer("opset", minimum=1),
            samples=fields.integer("samples", minimum=1),
            difference=fields.number("difference", minimum=0.0),
            tolerance=fields.number("tolerance", above=0.0),
            weights=fields.if_there("weights", lambda f: fields.read(f, Weights.read)),
        )


@dataclass(frozen=True)
class Golden:
    """A safetensors file with the tensors ``input`` and ``output``: the network's own answers.

    Where a contract names several outputs, each is a tensor ``output.<name>``.

    Attributes:
        tolerance: largest distance of an engine's answers from them, in float32.
    """

    file: str
    sha256: str
    tolerance: float

    @staticmethod
    def outputs(names: tuple[str, ...]) -> tuple[str, ...]:
        """The tensors that hold the outputs of a contract with these names."""
        return ("output",) if len(names) == 1 else tuple(f"output.{name}" for name in names)

    @classmethod
    def read(cls, fields: Fields) -> Golden:
        return cls(
            file=fields.text("file", file_pattern(".safetensors")),
            sha256=fields.text("sha256", DIGEST),
            tolerance=fields.number("tolerance", above=0.0),
        )
