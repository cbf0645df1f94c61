"""The model card, ``model.json``: the one home of everything the two servers need to know.

The format is described in ``artifact/FORMAT.md``; ``FORMAT`` is the version that is written, and
every version up to it is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from artifact.baseline import Baseline
from artifact.contract import Contract
from artifact.document import as_document
from artifact.errors import CardError, InvalidCardError
from artifact.exports import Export, Golden, Weights
from artifact.fields import (
    DIGEST,
    IDENTITY,
    MOMENT,
    NAME,
    REVISION,
    Fields,
    json_kind,
)
from artifact.metrics import TaskMetrics
from artifact.statistics import label_bins
from artifact.tasks import HOME, find_part
from artifact.trust import Trust

T = TypeVar("T")

FORMAT = 2

FORMAT_1_REQUIRED = (
    "created",
    "architecture",
    "temperature",
    "parent",
    "data",
    "training",
    "metrics",
    "libraries",
)
FORMAT_2_ADDED = ("exports", "golden", "source")


@dataclass(frozen=True)
class Architecture:
    """A network by its registered name, and the arguments it is built with."""

    name: str
    arguments: dict[str, Any]

    @classmethod
    def read(cls, fields: Fields) -> Architecture:
        return cls(name=fields.text("name", NAME), arguments=fields.mapping("arguments"))


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

    A model that was trained elsewhere has a name, a revision, a contract, and weights or an export;
    the rest is there where it is known.

    Attributes:
        weights: of the PyTorch network; None where only its export is known.
        temperature: the logits are divided by it before the softmax.
        architecture: the network that takes the weights; without it only an export can be served.
        exports: programs for engines other than PyTorch.
        golden: inputs with the network's own answers, verified when the revision is loaded.
        parent: ``name/revision`` the training started from; None if from scratch, or not known.
        training: the settings of the run, as the training script took them.
        libraries: versions by package name.
        source: what it was imported from, in the importer's words.
        trust: how the second output of a classifier says that it is unsure.
        accepts: digests of other contracts, of revisions before this one: tensors that were made
            after them, it answers as well.
        baseline: what held-out pictures and the answers to them were like.
    """

    name: str
    revision: str
    contract: Contract
    weights: Weights | None = None
    created: str | None = None
    architecture: Architecture | None = None
    temperature: float = 1.0
    exports: tuple[Export, ...] = ()
    golden: Golden | None = None
    parent: str | None = None
    data: DataSource | None = None
    training: dict[str, Any] = field(default_factory=dict)
    metrics: TaskMetrics | None = None
    libraries: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    trust: Trust | None = None
    accepts: tuple[str, ...] = ()
    baseline: Baseline | None = None

    @property
    def identity(self) -> str:
        """``name/revision``."""
        return f"{self.name}/{self.revision}"

    def answers(self, contract: Contract) -> bool:
        """Whether it answers tensors that were made after a contract.

        An older contract that it accepts must mean the same by a tensor and by an answer: whoever
        speaks that one reads this one's scores by its own labels.
        """
        if contract.digest == self.contract.digest:
            return True
        return contract.digest in self.accepts and self.contract.takes_tensors_of(contract)

    @property
    def files(self) -> dict[str, str]:
        """Files beside the card that it names: sha256 by name."""
        beside = [export.weights for export in self.exports]
        attached = [*self.exports, *beside, self.weights, self.golden]
        return {item.file: item.sha256 for item in attached if item is not None}

    def to_json(self) -> str:
        """The document as it is written: what is not known is left out.

        Beside the contract stands its digest.
        """
        known = {name: value for name, value in as_document(self).items() if value != {}}
        document = {"format": FORMAT, **known, "contract_digest": self.contract.digest}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Read and validate a document.

        Raises:
            InvalidCardError: all that is missing, unknown or wrong.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidCardError([CardError("document", f"is not JSON: {error}")]) from None
        if not isinstance(document, dict):
            reason = f"must be an object, not {json_kind(document)}"
            raise InvalidCardError([CardError("document", reason)])
        fields = Fields(document)
        version = fields.integer("format", minimum=1)
        if version > FORMAT:
            fields.fault("format", f"is {version}; this release reads formats up to {FORMAT}")
            fields.refuse()  # nothing is known of the rest
        if version == 1 and fields.sound:
            _check_format_1(fields)
        card = cls._read(fields)
        fields.finish()
        fields.refuse()
        return card

    @classmethod
    def _read(cls, fields: Fields) -> ModelCard:
        """The card, and its contract's digest beside it."""
        declared = fields.text("contract_digest", DIGEST)

        def read_declared(of_contract: Fields) -> Contract:
            contract = read_contract(of_contract)
            if declared and of_contract.sound and contract.digest != declared:
                reason = f"is {declared}, but the contract's is {contract.digest}"
                fields.fault("contract_digest", reason)
            return contract

        contract: Contract | None = fields.read("contract", read_declared)
        if contract is None:
            fields.skip("metrics")  # what they are depends on the task

        def read_baseline(of_baseline: Fields) -> Baseline:
            baseline = Baseline.read(of_baseline)
            labels = () if contract is None else contract.labels
            if of_baseline.sound and len(baseline.labels) not in (0, len(label_bins(labels).names)):
                of_baseline.fault("labels", "must be one a label of the contract, or a bin of them")
            return baseline

        def read_metrics(of_metrics: Fields) -> TaskMetrics:
            task = find_part(HOME, cast("Contract", contract).task)
            return cast("TaskMetrics", task.read_metrics(of_metrics))

        if not fields.has("weights") and not fields.has("exports"):
            fields.fault("weights", "is missing, and there are no exports either")
        return cls(
            name=fields.text("name", NAME),
            revision=fields.text("revision", REVISION),
            contract=cast("Contract", contract),
            weights=fields.if_there("weights", lambda f: fields.read(f, Weights.read)),
            created=fields.if_there("created", lambda f: fields.text(f, MOMENT)),
            architecture=fields.if_there(
                "architecture", lambda f: fields.read(f, Architecture.read)
            ),
            temperature=fields.if_there("temperature", lambda f: fields.number(f, above=0.0))
            or 1.0,
            exports=fields.if_there("exports", lambda f: fields.read_each(f, Export.read)) or (),
            golden=fields.if_there("golden", lambda f: fields.read(f, Golden.read)),
            parent=fields.if_there("parent", lambda f: fields.optional_text(f, IDENTITY)),
            data=fields.if_there("data", lambda f: fields.read(f, DataSource.read)),
            training=fields.if_there("training", fields.mapping) or {},
            metrics=fields.if_there("metrics", lambda f: fields.read(f, read_metrics)),
            libraries=fields.if_there("libraries", fields.mapping) or {},
            source=fields.if_there("source", fields.mapping) or {},
            trust=fields.if_there("trust", lambda f: fields.read(f, Trust.read)),
            accepts=fields.if_there("accepts", lambda f: fields.texts(f, DIGEST)) or (),
            baseline=fields.if_there("baseline", lambda f: fields.read(f, read_baseline)),
        )


def known(value: T | None, field: str) -> T:
    """A field that cards may leave out, where it is needed.

    Raises:
        CardError: it is not there.
    """
    if value is None:
        raise CardError(field, "is missing, and needed here")
    return value


def read_contract(fields: Fields) -> Contract:
    """The contract, read by the task that it names.

    Raises:
        CardError: also where no task has that name.
    """
    contract: Contract = find_part(HOME, fields.text("task", NAME)).read_contract(fields)
    return contract


def _check_format_1(fields: Fields) -> None:
    """Every field of format 1 was required, and it had none of those that came later."""
    for name in FORMAT_1_REQUIRED:
        if not fields.has(name):
            fields.fault(name, "is missing")
    for name in FORMAT_2_ADDED:
        if fields.has(name):
            fields.fault(name, "is not a field of this format")
            fields.skip(name)
