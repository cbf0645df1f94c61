"""The model card, ``model.json``: the one home of everything the two servers need to know.

The format is described in ``artifact/FORMAT.md``; ``FORMAT`` is its version.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from artifact.contract import Contract
from artifact.errors import CardError
from artifact.fields import DIGEST, MOMENT, NAME, REVISION, Fields
from artifact.metrics import TaskMetrics
from artifact.tasks import HOME, find_part

FORMAT = 1


@dataclass(frozen=True)
class Architecture:
    """A network by its registered name, and the arguments it is built with."""

    name: str
    arguments: dict[str, Any]

    @classmethod
    def read(cls, fields: Fields) -> Architecture:
        return cls(name=fields.text("name", NAME), arguments=fields.mapping("arguments"))


@dataclass(frozen=True)
class Weights:
    """The weights file beside the card."""

    file: str
    sha256: str
    size_bytes: int

    @classmethod
    def read(cls, fields: Fields) -> Weights:
        return cls(
            # A bare file name: a card can never point outside its own folder.
            file=fields.text("file", r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors"),
            sha256=fields.text("sha256", DIGEST),
            size_bytes=fields.integer("size_bytes", minimum=1),
        )


@dataclass(frozen=True)
class DataSource:
    """The data a revision was trained on: sizes in images, digest over all its files."""

    name: str
    digest: str
    train: int
    validation: int
    test: int

    @classmethod
    def read(cls, fields: Fields) -> DataSource:
        return cls(
            name=fields.text("name"),
            digest=fields.text("digest", DIGEST),
            train=fields.integer("train", minimum=1),
            validation=fields.integer("validation", minimum=1),
            test=fields.integer("test", minimum=1),
        )


@dataclass(frozen=True)
class ModelCard:
    """Everything about one revision of one model but its weights.

    Attributes:
        temperature: the logits are divided by it before the softmax.
        parent: ``name/revision`` the training started from; None if from scratch.
        training: the settings of the run, as the training script took them.
        libraries: versions by package name.
    """

    name: str
    revision: str
    created: str
    architecture: Architecture
    contract: Contract
    temperature: float
    weights: Weights
    parent: str | None
    data: DataSource
    training: dict[str, Any]
    metrics: TaskMetrics
    libraries: dict[str, Any]

    @property
    def identity(self) -> str:
        """``name/revision``."""
        return f"{self.name}/{self.revision}"

    def to_json(self) -> str:
        """The document as it is written, with the contract's digest beside the contract."""
        document = {"format": FORMAT, **asdict(self), "contract_digest": self.contract.digest}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Read and validate a document.

        Raises:
            CardError: naming the field that is missing, unknown or wrong.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CardError("document", f"is not JSON: {error}") from None
        fields = Fields(document)
        version = fields.integer("format", minimum=1)
        if version != FORMAT:
            raise CardError("format", f"is {version}; this release reads format {FORMAT}")
        declared = fields.text("contract_digest", DIGEST)
        contract = fields.read("contract", read_contract)
        card = cls(
            name=fields.text("name", NAME),
            revision=fields.text("revision", REVISION),
            created=fields.text("created", MOMENT),
            architecture=fields.read("architecture", Architecture.read),
            contract=contract,
            temperature=fields.number("temperature", above=0.0),
            weights=fields.read("weights", Weights.read),
            parent=fields.optional_text("parent", rf"{NAME}/{REVISION}"),
            data=fields.read("data", DataSource.read),
            training=fields.mapping("training"),
            metrics=fields.read("metrics", find_part(HOME, contract.task).read_metrics),
            libraries=fields.mapping("libraries"),
        )
        fields.finish()
        if card.contract.digest != declared:
            raise CardError(
                "contract_digest", f"is {declared}, but the contract's is {card.contract.digest}"
            )
        return card


def read_contract(fields: Fields) -> Contract:
    """The contract, read by the task that it names.

    Raises:
        CardError: also where no task has that name.
    """
    contract: Contract = find_part(HOME, fields.text("task", r"[a-z][a-z-]*")).read_contract(fields)
    return contract
