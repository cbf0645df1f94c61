"""Errors of the artefact contract.

ArtifactError (ValueError)
├── CardError              a field of model.json is missing, unknown or wrong; names the field
├── InvalidCardError             everything that is wrong with a model.json
├── ContractConflictError  two revisions of one model disagree on the contract
├── DigestMismatchError    the bytes on disk are not those that the card names
├── RevisionExistsError    a revision would be overwritten
└── RevisionNotFoundError  there is no such revision
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ArtifactError(ValueError):
    """Any fault of a card or a revision folder; the message can be shown to a person."""


class CardError(ArtifactError):
    """A field of ``model.json`` is missing, unknown or wrong.

    ``field`` is its path from the root of the document, such as ``contract.input.height``.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"model.json: {field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidCardError(ArtifactError):
    """Everything that is wrong with a ``model.json``: a line for each fault.

    Attributes:
        faults: at least one.
    """

    def __init__(self, faults: Sequence[CardError], file: str = "model.json") -> None:
        lines = [f"{fault.field}: {fault.reason}" for fault in faults]
        if len(lines) > 1:
            lines = [f"{len(lines)} faults", *(f"  {line}" for line in lines)]
        super().__init__(f"{file}: " + "\n".join(lines))
        self.faults = tuple(faults)


class ContractConflictError(ArtifactError):
    """Two revisions of one model have different contracts."""


class DigestMismatchError(ArtifactError):
    """A file's sha256 is not the one its card names."""


class RevisionExistsError(ArtifactError):
    """A revision is immutable and never written twice."""


class RevisionNotFoundError(ArtifactError):
    """There is no revision folder where one was named."""
