from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from artifact import ArtifactError, RevisionNotFoundError
from serving.arguments import ModelSelection
from serving.selection import Selected, require_different, select

NAMELESS = Namespace(model_name=None)


def selected(folder: Path, name: str | None = None) -> list[Selected]:
    return select(ModelSelection("", str(folder)), Path("/nowhere"), Namespace(model_name=name))


def test_a_revision_is_selected_by_name(small_root: Path) -> None:
    (found,) = select(ModelSelection("mnist", "2"), small_root, NAMELESS)
    assert (found.name, found.revision.card.identity, found.named) == ("mnist", "mnist/2", True)


def test_a_folder_of_one_revision_has_its_cards_name(small_root: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "models"
    shutil.copytree(small_root / "mnist" / "2", mounted)
    (found,) = selected(mounted)
    assert (found.name, found.revision.card.identity, found.named) == ("mnist", "mnist/2", True)


def test_kserves_argument_names_it(small_root: Path) -> None:
    (found,) = selected(small_root / "mnist" / "2", "flowers")
    assert (found.name, found.revision.card.identity) == ("flowers", "mnist/2")


def test_of_a_tree_every_models_last_revision_is_found(small_root: Path) -> None:
    found = selected(small_root, "flowers")
    assert [item.revision.card.identity for item in found] == ["fashion-mnist/2", "mnist/2"]
    assert [item.name for item in found] == ["fashion-mnist", "mnist"]
    assert not any(item.named for item in found)


def test_a_folder_without_a_revision_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RevisionNotFoundError, match="holds neither a revision"):
            selected(folder)


def test_two_of_one_name_are_refused(small_root: Path) -> None:
    found = [*selected(small_root), *select(ModelSelection("mnist", "1"), small_root, NAMELESS)]
    with pytest.raises(ArtifactError, match=r"model mnist is asked for twice: .*/2 and .*/1"):
        require_different(found)
    require_different(found[:-1])
