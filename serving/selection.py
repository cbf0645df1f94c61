"""Which revisions a server is asked for, by its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from artifact import ArtifactError, Revision, open_revision, revisions_in
from serving.arguments import ModelSelection


class Selected(NamedTuple):
    """A revision, and the name of the model that it is served as.

    Attributes:
        named: an argument says which revision it is; else it was found in a tree.
    """

    name: str
    revision: Revision
    named: bool = True


def select(selection: ModelSelection, root: Path, options: argparse.Namespace) -> list[Selected]:
    """The revisions that one ``--model`` stands for.

    A folder that holds a single revision is served under ``--model_name``, which KServe gives to
    every runtime, and under its card's name without it; those of a tree under their cards' names.

    Args:
        root: folder of ``<name>/<revision>/``, for a selection by name.
        options: as ``read_arguments`` gives them.

    Raises:
        ArtifactError: a revision is missing or invalid.
    """
    if selection.name:
        revision = open_revision(root, selection.name, selection.selector or "")
        return [Selected(selection.name, revision)]
    folder = Path(selection.selector or "")
    found = revisions_in(folder)
    if len(found) == 1 and found[0].folder == folder:
        return [Selected(options.model_name or found[0].card.name, found[0])]
    return [Selected(revision.card.name, revision, named=False) for revision in found]


def require_different(found: list[Selected]) -> None:
    """See that no two revisions would share a URL.

    Raises:
        ArtifactError: two would; names both.
    """
    seen: dict[str, Revision] = {}
    for name, revision, _ in found:
        if name in seen:
            raise ArtifactError(
                f"model {name} is asked for twice: {seen[name].folder} and {revision.folder}"
            )
        seen[name] = revision
