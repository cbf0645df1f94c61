"""The overlay's revision file follows promotions and rollbacks, and deployments are checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rollout.errors import NotFoundError, RefusedError
from rollout.revision_file import RevisionFile
from tests.conftest import ROOT
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import FakeCluster

TEXT = """\
# Which revision of each model is served.
apiVersion: v1
kind: ConfigMap
metadata: {name: revisions}
data:
  fashion-mnist: "1"
  mnist: "1"  # the network of the paper
"""


PROMOTED = TEXT.replace('fashion-mnist: "1"', 'fashion-mnist: "2"')


def write_overlay(folder: Path, text: str = TEXT, *resources: str) -> Path:
    """A kustomization with a revision file beside it."""
    folder.mkdir(exist_ok=True)
    document = {"resources": [*resources, "revisions.yaml"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    (folder / "revisions.yaml").write_text(text)
    return folder


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    return write_overlay(tmp_path / "minikube")


def text(overlay: Path) -> str:
    return (overlay / "revisions.yaml").read_text()


def test_only_the_revision_changes(overlay: Path) -> None:
    (file,) = RevisionFile.open_all(overlay)
    assert file.models == {"fashion-mnist": "1", "mnist": "1"}
    changed = file.with_models({"mnist": "12"})
    assert changed.text == TEXT.replace('  mnist: "1"', '  mnist: "12"')
    assert '+  mnist: "12"  # the network of the paper' in file.difference(changed)
    assert file.difference(file) == ""


@pytest.mark.parametrize("line", ["mnist: 1", "'mnist': '1'", '"mnist": "1"'])
def test_any_way_to_write_a_line(overlay: Path, line: str) -> None:
    (overlay / "revisions.yaml").write_text(f"data:\n  {line}\n")
    (file,) = RevisionFile.open_all(overlay)
    assert file.with_models({"mnist": "2"}).models == {"mnist": "2"}


def test_files_that_are_none(overlay: Path) -> None:
    path = overlay / "revisions.yaml"
    with pytest.raises(NotFoundError, match="cannot be read"):
        RevisionFile.open(overlay / "other.yaml")
    for text in ("- op: replace\n", "kind: ConfigMap\n", "data: [1]\n", "{"):
        with pytest.raises(RefusedError, match="expected a ConfigMap with a revision by model"):
            _ = RevisionFile(path, text).models
    with pytest.raises(NotFoundError, match="no line `land-cover: …`"):
        RevisionFile(path, TEXT).with_models({"land-cover": "1"})


def test_an_overlay_that_does_not_exist(shell: Shell, overlay: Path) -> None:
    assert shell("deploy-check", "--overlay", str(overlay.parent / "mini")) == 9
    assert "mini not found; available: minikube" in shell.err


def test_files_are_found_where_the_kustomization_says(overlay: Path) -> None:
    """As `land-cover`, which is `minikube` and more; and an overlay with no model of its own."""
    more = write_overlay(overlay.parent / "more", 'data:\n  land-cover: "1"\n', "../minikube")
    found = RevisionFile.open_all(more)
    assert [file.models for file in found] == [
        {"land-cover": "1"},
        {"fashion-mnist": "1", "mnist": "1"},
    ]
    (more / "kustomization.yaml").write_text("resources: [../minikube, service.yaml]\n")
    assert [file.path.parent.name for file in RevisionFile.open_all(more)] == ["minikube"]
    (overlay / "kustomization.yaml").write_text("resources: []\n")
    assert RevisionFile.open_all(more) == []


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("minikube", {"fashion-mnist", "mnist"}),
        ("production", {"fashion-mnist", "mnist"}),
        ("per-model", {"fashion-mnist", "mnist"}),
        ("land-cover", {"fashion-mnist", "mnist", "land-cover"}),
    ],
)
def test_every_shipped_overlay_says_all_its_models(name: str, models: set[str]) -> None:
    files = RevisionFile.open_all(ROOT / "manifests" / "overlays" / name)
    assert sorted(model for file in files for model in file.models) == sorted(models)


def test_promotion_and_rollback_write_the_file(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert text(overlay) == TEXT
    assert shell("promote", "--dry-run", "--overlay", str(overlay)) == 0
    assert text(overlay) == TEXT
    assert shell("promote", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == PROMOTED
    assert '+  fashion-mnist: "2"' in shell.out
    assert shell("rollback", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == TEXT


def test_a_file_left_behind_is_brought_up_by_promoting_again(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    assert shell("deploy-check", "--overlay", str(overlay)) == 3
    assert "deploying would undo that" in shell.err
    assert shell("promote", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == PROMOTED
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert shell("promote", "--overlay", str(overlay)) == 9


def test_an_overlay_made_of_several(shell: Shell, tmp_path: Path) -> None:
    names = ("fashion-mnist", "mnist")
    for model in names:
        write_overlay(tmp_path / model, f'data:\n  {model}: "1"\n')
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": list(names)}))
    assert shell("canary", "mnist", "2") == 0
    assert shell("promote", "--overlay", str(tmp_path)) == 0, shell.err
    assert 'mnist: "2"' in text(tmp_path / "mnist")
    assert 'mnist: "1"' in text(tmp_path / "fashion-mnist")


def test_deploying_under_an_open_canary_is_refused(shell: Shell, overlay: Path) -> None:
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert "deploying undoes nothing" in shell.out
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("deploy-check", "--overlay", str(overlay)) == 4
    assert "`promote` or `rollback` ends it, or `make deploy FORCE=1`" in shell.err


def test_deploying_a_revision_that_never_ran_is_told(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote", "--overlay", str(overlay)) == 0
    RevisionFile.open(overlay / "revisions.yaml").with_models({"fashion-mnist": "3"}).write()
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert "replaces fashion-mnist/2 at once, without a canary" in shell.out


def test_a_first_deployment_needs_no_check(shell: Shell, fake: FakeCluster, overlay: Path) -> None:
    fake.store.objects.clear()
    fake.tick = lambda: None  # type: ignore[method-assign]
    assert shell("deploy-check", "--overlay", str(overlay)) == 0, shell.err
