"""A canary of the segmentation model on a real cluster: staged, probed, gated, judged, promoted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from artifact import Revision, open_revision, write_revision
from tests.conftest import ROOT
from tests.on_cluster.conftest import KEEP, NAMESPACE, SLACK, Deployment, Shell, kubectl, wait_ready

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

MODEL = "land-cover"
NEW = "901"
CARD, REVISIONS = "/opt/card", "/revisions"
START = f"""
import os, shutil, sys
shutil.copytree("/opt/models/{MODEL}", "{REVISIONS}/{MODEL}", dirs_exist_ok=True)
shutil.copytree("{REVISIONS}/{MODEL}/1", "{REVISIONS}/{MODEL}/{NEW}", dirs_exist_ok=True)
shutil.copyfile("{CARD}/model.json", "{REVISIONS}/{MODEL}/{NEW}/model.json")
os.execv(sys.executable, [sys.executable, "-m", "predictor", *sys.argv[1:]])
"""
"""Its weights are larger than a ConfigMap: the new revision is the image's, under another card."""


@pytest.fixture(scope="module")
def segmentation(deployment: Deployment, cards: Path) -> Iterator[Deployment]:
    """Overlay land-cover's own InferenceService, beside the deployment, with a second revision."""
    new = another(cards)
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "land-cover-card", "namespace": NAMESPACE},
        "data": {"model.json": (new.folder / "model.json").read_text(encoding="utf-8")},
    }
    rendered = kubectl("kustomize", str(ROOT / "manifests" / "overlays" / "land-cover"))
    (isvc,) = (
        d
        for d in yaml.safe_load_all(rendered)
        if d["kind"] == "InferenceService" and d["metadata"]["name"] == MODEL
    )
    isvc["metadata"]["namespace"] = NAMESPACE
    prepare(isvc["spec"])
    documents = yaml.safe_dump_all([config_map, isvc])
    kubectl("apply", "--server-side", "-f", "-", given=documents)
    wait_ready(deployment.cluster, MODEL)
    yield deployment
    if not KEEP:
        kubectl("delete", "--ignore-not-found", "-f", "-", given=documents)


def another(cards: Path) -> Revision:
    """The shipped revision once more, under another number."""
    old = open_revision(cards, MODEL, "1")
    card = replace(old.card, revision=NEW, created="2026-01-02T03:04:05Z")
    files = {export.file: old.read_export(export) for export in card.exports}
    if card.golden is not None:
        files[card.golden.file] = old.read_golden()
    return write_revision(cards, card, old.read_weights(), files)


def prepare(spec: dict[str, Any]) -> None:
    """The new revision's card, and requests that leave room beside the other tests' pods."""
    for part in ("predictor", "transformer"):
        spec[part]["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    predictor = spec["predictor"]
    (container,) = predictor["containers"]
    container["command"] = ["python", "-c", START]
    for variable in container["env"]:
        if variable["name"].endswith("MODEL_ROOT"):
            variable["value"] = REVISIONS
    predictor["volumes"] = [
        {"name": "card", "configMap": {"name": "land-cover-card"}},
        {"name": "revisions", "emptyDir": {}},
    ]
    container["volumeMounts"] = [
        {"name": "card", "mountPath": CARD, "readOnly": True},
        {"name": "revisions", "mountPath": REVISIONS},
    ]


@pytest.fixture
def shell(segmentation: Deployment, cards: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cards, capsys, MODEL)


def test_a_canary_of_land_cover_passes(
    shell: Shell, segmentation: Deployment, data: Path, tmp_path: Path
) -> None:
    arguments = ["--data", str(data), "--images", "8", "--rate", "1", "--steps", "50,100"]
    arguments += ["--interval-seconds", "10", "--interval-requests", "5", "--min-labelled", "5"]
    arguments += ["--gateway", segmentation.gateway, "--report", str(tmp_path)]
    arguments += ["--latency-slack-seconds", SLACK]
    assert shell("rollout", MODEL, NEW, *arguments) == 0, shell.err
    (report,) = tmp_path.glob("*/report.json")
    found = json.loads(report.read_text())
    shell.tell(found["reason"])
    assert found["promoted"]
    assert found["gate"]["agreement"] == found["gate"]["images"]
    assert shell.json("status")["models"] == {MODEL: NEW}
    assert shell("rollback") == 0, shell.err
    status = shell.json("status")
    assert status["settled"]
    assert status["models"] == {MODEL: "1"}
