"""The chart, rendered by Helm 3 and Helm 4, which come with requirements/kubectl.txt."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.rendering import inside_package
from tests.needs import missing

CHART = Path(__file__).parents[2] / "charts" / "vision"
MAJORS = (3, 4)
KUBERNETES = "1.34.0"

Document = dict[str, Any]


@cache
def helm(major: int) -> str:
    """Helm 3 is a package of its own; Helm 4 lies beside kubectl."""
    folder = Path(sys.prefix) / "bin"
    found = folder / "helm" if major == 3 else inside_package("helm/helm", folder / "helm4")
    if found is None or not found.exists():
        missing("helm", f"there is no Helm {major}: it comes with requirements/kubectl.txt")
    return str(found)


def run_helm(major: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HELM_NO_PLUGINS": "1"}
    return subprocess.run(
        [helm(major), *arguments], capture_output=True, text=True, check=False, env=environment
    )


def template(major: int, *switches: str, namespace: str = "vision") -> list[Document]:
    """What a release of the chart would hold, without what only `helm test` makes."""
    given = [part for switch in switches for part in ("--set", switch)]
    done = run_helm(
        *(major, "template", "vision", str(CHART), "--namespace", namespace),
        *("--kube-version", KUBERNETES, *given),
    )
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return [document for document in documents if not _is_hook(document)]


def _is_hook(document: Document) -> bool:
    return "helm.sh/hook" in document["metadata"].get("annotations", {})
