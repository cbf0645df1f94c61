"""What delivers from git names what is there, and leaves a rollout's writes alone."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.manifests.rendering import MANIFESTS, render

DELIVERY = ROOT / "delivery"
Document = dict[str, Any]


def documents(tool: str) -> dict[str, Document]:
    return {d["kind"]: d for d in render(DELIVERY / tool)}


def test_argo_cd_applies_an_overlay_and_undoes_no_step() -> None:
    spec = documents("argo-cd")["Application"]["spec"]
    assert (ROOT / spec["source"]["path"] / "kustomization.yaml").exists()
    assert spec["syncPolicy"]["automated"]["selfHeal"] is False
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
    (ours,) = (i for i in spec["ignoreDifferences"] if i["kind"] == "InferenceService")
    assert ".spec.predictor.canaryTrafficPercent" in ours["jqPathExpressions"]
    # A part of a list would hold back everything else in the list.
    assert not [path for path in ours["jqPathExpressions"] if "[" in path or "args" in path]


def test_a_preview_has_a_namespace_and_images_of_its_own() -> None:
    template = documents("argo-cd")["ApplicationSet"]["spec"]["template"]
    source = template["spec"]["source"]
    namespace = source["kustomize"]["namespace"]
    assert "{{ .number }}" in namespace
    assert template["spec"]["destination"]["namespace"] == namespace
    overlay = ROOT / source["path"]
    deployed = set(re.findall(r"image: (\S+):", yaml.safe_dump_all(render(overlay))))
    replaced = [image.partition("=") for image in source["kustomize"]["images"]]
    assert {old for old, _, _ in replaced} == {i for i in deployed if "/vision-" in i}
    # What the workflow has pushed.
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "preview.yml").read_text())
    job = workflow["jobs"]["images"]
    assert job["env"]["TAG"] == "pr-${{ github.event.pull_request.head.sha }}"
    assert {new.partition(":")[2] for _, _, new in replaced} == {"pr-{{ .head_sha }}"}
    built = job["steps"][2]["run"]
    assert all(old.rpartition("vision-")[2] in built for old, _, _ in replaced)


def test_flux_applies_the_same_overlay_and_waits_for_a_rollout() -> None:
    flux = documents("flux")["Kustomization"]
    argo = documents("argo-cd")["Application"]
    assert flux["spec"]["path"] == argo["spec"]["source"]["path"]
    text = (ROOT / ".github" / "workflows" / "rollout.yml").read_text()
    name = f"kustomization {flux['metadata']['name']}"
    assert text.count(f"-n {flux['metadata']['namespace']} patch {name}") == 2
    assert text.index('"suspend": true') < text.index("make rollout") < text.index("git push")
    assert text.index("git push") < text.index('"suspend": false')


def test_a_rollouts_end_is_a_file_of_the_overlay() -> None:
    assert (MANIFESTS / "overlays" / "production" / "revisions.yaml").exists()
    for file in (DELIVERY / "flux").glob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text()):
            assert document["kind"], file
