"""Errors of the artefact contract.

ArtifactError (ValueError)
├── CardError          a field of model.json is missing, unknown or wrong; names the field
├── ContractConflict   two revisions of one model disagree on the contract
├── DigestMismatch     the bytes on disk are not those that the card names
├── RevisionExists     a revision would be overwritten
└── RevisionMissing    there is no such revision
"""


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


class ContractConflict(ArtifactError):
    """Two revisions of one model have different contracts."""


class DigestMismatch(ArtifactError):
    """A file's sha256 is not the one its card names."""


class RevisionExists(ArtifactError):
    """A revision is immutable and never written twice."""


class RevisionMissing(ArtifactError):
    """There is no revision folder where one was named."""
