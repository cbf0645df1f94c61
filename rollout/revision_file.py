"""The overlay's ``revisions.yaml``: which revision of each model a deployment asks for."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from rollout.errors import NotFoundError, RefusedError
from rollout.inferenceservice import models_in

FILE = "revisions.yaml"


@dataclass(frozen=True)
class RevisionFile:
    """A JSON6902 patch: one ``replace`` of a ``--model=NAME=REVISION`` argument a model."""

    path: Path
    text: str

    @classmethod
    def open(cls, overlay: Path) -> RevisionFile:
        """Read the file of an overlay's folder.

        Raises:
            NotFoundError: there is none.
        """
        path = overlay / FILE
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read: {error.strerror}") from None

    @classmethod
    def open_all(cls, overlay: Path) -> list[RevisionFile]:
        """The files of an overlay's folder and of the folders in it, which it may be made of.

        Raises:
            NotFoundError: there is none.
        """
        found = [cls.open(path.parent) for path in sorted(overlay.rglob(FILE))]
        return found or [cls.open(overlay)]

    @property
    def models(self) -> dict[str, str]:
        """Revision by model.

        Raises:
            RefusedError: it is no such patch.
        """
        try:
            operations = yaml.safe_load(self.text)
            return models_in([str(operation["value"]) for operation in operations])
        except (yaml.YAMLError, TypeError, KeyError):
            raise RefusedError(f"{self.path} is not a list of JSON patch operations") from None

    def with_models(self, models: dict[str, str]) -> RevisionFile:
        """The same file, comments and all, with other revisions.

        Raises:
            NotFoundError: the file has no line for a model.
        """
        text = self.text
        for model, revision in models.items():
            line = re.compile(rf"(--model={re.escape(model)}=)[^\s\"',}}]+")
            if not line.search(text):
                raise NotFoundError(f"{self.path} has no --model={model}=… to change")
            text = line.sub(rf"\g<1>{revision}", text)
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
