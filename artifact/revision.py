"""A revision: an immutable folder ``models/<name>/<revision>/`` with a card and its weights."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from artifact.card import ModelCard
from artifact.contract import Contract
from artifact.errors import (
    ArtifactError,
    ContractConflictError,
    DigestMismatchError,
    InvalidCardError,
    RevisionExistsError,
    RevisionNotFoundError,
)
from artifact.exports import Export, Weights
from artifact.fields import FILE

CARD_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Revision:
    """A revision folder whose card has been read and validated.

    ``digest`` is the sha256 of ``model.json``; since the card names the sha256 of the weights,
    it stands for the whole artefact.
    """

    folder: Path
    card: ModelCard
    digest: str

    def read_weights(self) -> bytes:
        """The bytes of the weights file, which the card must name.

        Raises:
            RevisionNotFoundError: the file is not there (a card alone is enough for a transformer).
            DigestMismatchError: its bytes are not those that the card names.
        """
        assert self.card.weights is not None
        return self._read(self.card.weights.file, self.card.weights.sha256)

    def read_export(self, export: Export) -> bytes:
        """The bytes of one of the card's exports.

        Raises:
            RevisionNotFoundError, DigestMismatchError: as for the weights.
        """
        return self._read(export.file, export.sha256)

    def read_export_weights(self, export: Export) -> bytes:
        """The bytes of the weights beside an export; none where it holds them itself.

        Raises:
            RevisionNotFoundError, DigestMismatchError: as for the weights.
        """
        return self._read(export.weights.file, export.weights.sha256) if export.weights else b""

    def check_files(self) -> None:
        """See that the files beside the card, as far as they are there, are those that it names.

        Raises:
            DigestMismatchError: one is another.
        """
        for name, sha256 in self.card.files.items():
            if (self.folder / name).exists():
                self._read(name, sha256)

    def read_golden(self) -> bytes:
        """The bytes of the golden answers, which the card must have.

        Raises:
            RevisionNotFoundError, DigestMismatchError: as for the weights.
        """
        assert self.card.golden is not None
        return self._read(self.card.golden.file, self.card.golden.sha256)

    def _read(self, file: str, sha256: str) -> bytes:
        path = self.folder / file
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise RevisionNotFoundError(f"{self.card.identity}: {path} is missing") from None
        found = sha256_of(data)
        if found != sha256:
            raise DigestMismatchError(
                f"{self.card.identity}: {file} has {found}, but its card names {sha256}"
            )
        return data


def sha256_of(data: bytes) -> str:
    """``sha256:`` and 64 hex digits, as cards name files."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def open_revision(root: Path, name: str, selector: str) -> Revision:
    """Open one revision of model ``name``.

    Args:
        root: the folder that holds ``<name>/<revision>/``.
        name: the model's name; the card must agree.
        selector: a revision under ``root``, or the path of a revision folder (it contains a
            ``/``) wherever it lies.

    Raises:
        RevisionNotFoundError: there is no such folder or no card in it.
        InvalidCardError: the card is not valid; all that is wrong with it.
        ArtifactError: the card is of another model or revision than its place says.
    """
    external = "/" in selector
    folder = Path(selector) if external else root / name / selector
    try:
        revision = open_folder(folder)
    except RevisionNotFoundError:
        if (folder / CARD_FILE).exists():
            raise  # there, but not to be read
        known = ", ".join(revisions_of(root, name)) or "none"
        raise RevisionNotFoundError(
            f"model {name} has no revision at {folder} (revisions under {root}: {known})"
        ) from None
    card, path = revision.card, folder / CARD_FILE
    if card.name != name:
        raise ArtifactError(f"{path} is a card of model {card.name}, not {name}")
    if not external and card.revision != selector:
        raise ArtifactError(f"{path} says revision {card.revision}, its folder says {selector}")
    return revision


def open_folder(folder: Path) -> Revision:
    """Open the revision that a folder holds, wherever it lies and whatever it is called.

    Raises:
        RevisionNotFoundError: there is no card in it that can be read.
        InvalidCardError: the card is not valid; all that is wrong with it.
    """
    path = folder / CARD_FILE
    try:
        document = path.read_bytes()
        card = ModelCard.from_json(document)
    except OSError as error:
        raise RevisionNotFoundError(f"{path} cannot be read: {error.strerror}") from None
    except InvalidCardError as error:
        raise InvalidCardError(error.faults, str(path)) from None
    return Revision(folder, card, sha256_of(document))


def revisions_in(folder: Path) -> list[Revision]:
    """What was mounted or downloaded to a folder, as one revision or as a whole tree.

    Returns:
        The revision that lies in the folder itself; else of every model ``<name>/<revision>/``
        below it the last one, by its name.

    Raises:
        RevisionNotFoundError: there is neither.
        ArtifactError: as for ``open_revision``, of any of them.
    """
    if (folder / CARD_FILE).exists():
        return [open_folder(folder)]
    names = sorted({path.parents[1].name for path in folder.glob(f"*/*/{CARD_FILE}")})
    found = [(name, revisions_of(folder, name)) for name in names]
    if not any(revisions for _, revisions in found):
        raise RevisionNotFoundError(
            f"{folder} holds neither a revision (a file {CARD_FILE}) nor a tree of them "
            f"(<model>/<revision>/{CARD_FILE})"
        )
    return [open_revision(folder, name, there[-1]) for name, there in found if there]


def revisions_of(root: Path, name: str) -> list[str]:
    """Revisions of model ``name`` under ``root``: numbers first, in order, then the rest."""
    found = [
        path.parent.name
        for path in (root / name).glob(f"*/{CARD_FILE}")
        if not path.parent.name.startswith(".")  # a draft that is being written
    ]
    return sorted(found, key=lambda r: (0, int(r), "") if r.isdecimal() else (1, 0, r))


def next_revision(root: Path, name: str) -> str:
    """The number after the highest numbered revision; ``1`` for a new model."""
    numbers = [int(r) for r in revisions_of(root, name) if r.isdecimal()]
    return str(max(numbers, default=0) + 1)


def model_contract(root: Path, name: str, selector: str | None = None) -> Contract:
    """The newest contract of the revisions of ``name``, as ``model_contracts``."""
    return model_contracts(root, name, selector)[0]


def model_contracts(root: Path, name: str, selector: str | None = None) -> list[Contract]:
    """The contracts of the revisions of ``name``, from their cards alone, the newest first.

    There are several only where a later revision accepts the contracts of those before it.

    Args:
        selector: as for ``open_revision``, to take one card; None for all under ``root``.

    Raises:
        RevisionNotFoundError: there is no card.
        ContractConflictError: a revision has another contract than one before it, which it does
            not accept: such a contract needs a new model name.
    """
    selectors = [selector] if selector is not None else revisions_of(root, name)
    if not selectors:
        raise RevisionNotFoundError(f"model {name} has no card under {root}")
    cards = [open_revision(root, name, item).card for item in selectors]
    for index, card in enumerate(cards):
        check_accepts(card, cards[:index])
    newest_first = {card.contract.digest: card.contract for card in reversed(cards)}
    return list(newest_first.values())


def check_accepts(card: ModelCard, earlier: Iterable[ModelCard]) -> None:
    """See that a revision answers what is made after the contracts of those before it.

    Raises:
        ContractConflictError: it does not.
    """
    for other in earlier:
        if not card.answers(other.contract):
            raise ContractConflictError(
                f"{other.identity} and {card.identity} have different contracts; "
                "give the new one a model name of its own"
            )


def write_revision(
    root: Path,
    card: ModelCard,
    weights: bytes | None,
    attachments: Mapping[str, bytes] | None = None,
) -> Revision:
    """Write a new revision folder: the one function that does.

    The folder appears under its name only when it is complete. The card's ``weights`` entry is
    filled in here, from the bytes themselves.

    Args:
        root: the folder that holds ``<name>/<revision>/``.
        weights: the content of a safetensors file; None for a card that has exports alone.
        attachments: further files by name: those that the card names, and plots for people.

    Raises:
        RevisionExistsError: the revision is there already; nothing was changed.
        InvalidCardError: the card could not be read back; nothing was changed.
        ArtifactError: an attachment's name is a path or one of the revision's own files, or a
            file that the card names is missing or another one.
        ContractConflictError: another revision of the model has a contract it does not accept.
    """
    entry = weights and Weights(WEIGHTS_FILE, sha256_of(weights), len(weights))
    card = replace(card, weights=entry or None)
    ModelCard.from_json(card.to_json())
    files = dict(attachments or {})
    for name in files:
        if name in (CARD_FILE, WEIGHTS_FILE) or not re.fullmatch(FILE, name):
            raise ArtifactError(f"{name!r} cannot be the name of an attachment")
    if weights is not None:
        files[WEIGHTS_FILE] = weights
    for name, sha256 in card.files.items():
        if name not in files or sha256_of(files[name]) != sha256:
            raise ArtifactError(f"the card names another {name} than the one that is given")
    folder = root / card.name / card.revision
    if folder.exists():
        raise RevisionExistsError(f"{folder} exists; a revision is never overwritten")
    others = [open_revision(root, card.name, other).card for other in revisions_of(root, card.name)]
    check_accepts(card, others)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{card.revision}-", dir=folder.parent))
    try:
        for name, content in files.items():
            (draft / name).write_bytes(content)
        (draft / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            raise RevisionExistsError(f"{folder} exists; a revision is never overwritten") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return open_revision(root, card.name, card.revision)
