from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from artifact import DataSource, write_revision
from registry.__main__ import main
from registry.datasets import Datasets
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry
from registry.samples import Samples
from tests.conftest import make_card, make_weights, write_small


class Run:
    """``vision registry``, with a folder as the store."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.environment = {"VISION_REGISTRY": str(folder / "store")}
        self.models = folder / "models"
        self._capsys = capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        given = list(arguments)
        if given[0] in ("publish", "pull"):
            given += ["--models", str(self.models)]
        assert main([*given, "--by", "ada"], self.environment) == status
        shown = self._capsys.readouterr()
        return shown.err if status else shown.out


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    made = Run(tmp_path, capsys)
    for number in (1, 2):
        write_small(made.models, "mnist", str(number), number)
    return made


def test_from_nothing_to_a_history(run: Run, tmp_path: Path) -> None:
    said = run("init", "--key", str(tmp_path / "key.pem"))
    assert "made the folder" in said
    assert "enforces conditional writes" in said
    run.environment["VISION_REGISTRY_KEY"] = str(tmp_path / "key.pem")
    run.environment["VISION_REGISTRY_TRUSTED_KEYS"] = str(tmp_path / "key.pub")
    assert "mnist/1 is published: file://" in run("publish", "mnist/1", "--why", "the first")
    run("publish", "mnist/2")
    assert run("alias", "mnist/2", "candidate") == "mnist/candidate is mnist/2\n"
    lines = run("list").splitlines()
    assert lines[0].split() == ["REVISION", "PUBLISHED", "BY", "ALIASES", "LIVE", "IN"]
    assert lines[2].split()[0::3] == ["mnist/2", "candidate"]
    assert "3 entries, 2 revisions, 4 files: one chain, every byte" in run("verify")
    assert "the first" in run("history")
    assert json.loads(run("history", "--last", "1", "--json"))[0]["action"] == "aliased"


def test_a_revision_comes_back(run: Run) -> None:
    run("init")
    run("publish", "mnist/1")
    run("alias", "mnist/1", "gold")
    original = (run.models / "mnist" / "1" / "model.json").read_bytes()
    run.models = run.models.with_name("pulled")
    assert run("pull", "mnist/gold").strip() == str(run.models / "mnist" / "1")
    assert (run.models / "mnist" / "1" / "model.json").read_bytes() == original
    assert json.loads(run("show", "mnist/gold"))["revision"] == "1"


def test_differences_are_named(run: Run) -> None:
    run("init")
    run("publish", "mnist/1")
    run("publish", "mnist/2")
    fields = [line.split()[0] for line in run("diff", "mnist/1", "mnist/2").splitlines()]
    assert fields == ["FIELD", "revision", "weights.sha256"]
    found = json.loads(run("diff", "mnist/1", "mnist/2", "--json"))
    assert found[0] == {"field": "revision", "before": "1", "after": "2"}


def test_lineage_leads_to_the_pictures(run: Run, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.set_up()
    datasets = Datasets(Registry(store, History(store), "bob"))
    for seed in (1, 2, 3):
        picture = np.full((4, 4), seed, np.uint8)
        version = datasets.add("clothes", Samples.of([picture], ["boot"], ["boot"]))
        if seed == 2:
            data = DataSource("clothes", version.digest, 2, 1, 1)
    card = make_card("mnist", "3", data=data)
    write_revision(run.models, card, make_weights(3))
    run("publish", "mnist/3")
    said = run("lineage", "mnist/3")
    assert f"data      clothes, {data.digest}\n" in said
    parts = [line for line in said.splitlines() if line.startswith("  part ")]
    assert [line.rpartition(" ")[2] for line in parts] == [p.digest for p in version.parts[:2]]
    assert all("by bob: 1 pictures" in line for line in parts)
    assert "data added" in run("history")


def test_lineage_names_data_and_parent(run: Run) -> None:
    run("init")
    run("publish", "mnist/1")
    said = run("lineage", "mnist/1")
    assert "data      MNIST, sha256:1111" in said
    assert "published by ada" in said


def test_retiring(run: Run) -> None:
    run("init")
    run("publish", "mnist/1")
    run("alias", "mnist/1", "gold")
    assert "it is called gold" in run("retire", "mnist/1", status=3)


def test_faults_have_a_status_and_a_reason(run: Run) -> None:
    run("init")
    assert "not in the registry" in run("pull", "mnist/7", status=4)
    assert "has no revision" in run("publish", "mnist/9", status=1)
    run.environment["VISION_REGISTRY"] = "gs://bucket"
    assert "neither s3://bucket/prefix nor a folder" in run("list", status=5)


def test_what_is_no_revision_is_a_wrong_argument(run: Run) -> None:
    with pytest.raises(SystemExit) as caught:
        run("pull", "mnist")
    assert caught.value.code == 2
