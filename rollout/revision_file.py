"""The overlay's ``revisions.yaml``: which revision of each model a deployment asks for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rollout.errors import NotFoundError, RefusedError

FILE = "revisions.yaml"
KUSTOMIZATION = "kustomization.yaml"


@dataclass(frozen=True)
class RevisionFile:
    """A ConfigMap that is not applied: ``data`` has one line per model, ``mnist: "1"``.

    The kustomization beside it puts the numbers into the predictor's ``--model=`` arguments by
    the model's name, wherever they stand.
    """

    path: Path
    text: str

    @classmethod
    def open(cls, path: Path) -> RevisionFile:
        """Read a file.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read: {error.strerror}") from None

    @classmethod
    def open_all(cls, overlay: Path) -> list[RevisionFile]:
        """The files of an overlay and of all that its kustomization is made of; may be none.

        Raises:
            NotFoundError: there is no such overlay.
        """
        if not (overlay / KUSTOMIZATION).is_file():
            known = ", ".join(
                sorted(p.parent.name for p in overlay.parent.glob(f"*/{KUSTOMIZATION}"))
            )
            raise NotFoundError(f"overlay {overlay} not found; available: {known or 'none'}")
        # A file may be reached on several ways, an overlay's base by two of its parts.
        paths = dict.fromkeys(_paths(overlay.resolve()))
        here = Path.cwd()
        return [cls.open(p.relative_to(here) if p.is_relative_to(here) else p) for p in paths]

    @property
    def models(self) -> dict[str, str]:
        """Revision by model.

        Raises:
            RefusedError: it is not such a ConfigMap.
        """
        try:
            document = yaml.safe_load(self.text)
            return {str(name): str(value) for name, value in document["data"].items()}
        except (yaml.YAMLError, TypeError, KeyError, AttributeError):
            raise RefusedError(
                f"{self.path}: expected a ConfigMap with a revision by model name under `data`"
            ) from None

    def with_models(self, models: dict[str, str]) -> RevisionFile:
        """The same file, comments and all, with other revisions.

        Raises:
            NotFoundError: the file has no line for a model.
        """
        text = self.text
        for model, revision in models.items():
            line = re.compile(
                rf"^(\s+(['\"]?){re.escape(model)}\2:\s*)(['\"]?)[^'\"\s#]+\3", re.MULTILINE
            )
            if model not in self.models or not line.search(text):
                raise NotFoundError(f"{self.path} has no line `{model}: …` to change")
            text = line.sub(rf'\g<1>"{revision}"', text)
        return RevisionFile(self.path, text)

    def difference(self, other: RevisionFile) -> str:
        """From this to another, as a unified diff; empty where they are equal."""
        return "".join(
            difflib.unified_diff(
                self.text.splitlines(keepends=True),
                other.text.splitlines(keepends=True),
                f"a/{self.path}",
                f"b/{self.path}",
            )
        )

    def write(self) -> None:
        self.path.write_text(self.text, encoding="utf-8")


def _paths(folder: Path) -> Iterator[Path]:
    """Revision files that a kustomization takes in, its own first."""
    document: dict[str, Any] = yaml.safe_load((folder / KUSTOMIZATION).read_text("utf-8")) or {}
    entries = [*(document.get("resources") or []), *(document.get("components") or [])]
    below = []
    for entry in entries:
        path = (folder / str(entry)).resolve()
        if path.name == FILE and path.is_file():
            yield path
        elif (path / KUSTOMIZATION).is_file():
            below.append(path)
    for path in below:
        yield from _paths(path)
