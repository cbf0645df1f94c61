"""Every image, built with what is there and loaded into minikube: ``make images``."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import ROOT, ClusterError, installed, run
from cluster.platform import step

COMPONENTS = ("predictor", "transformer", "accounts")
OPTIONAL = ("lifecycle",)
"""Built where they are named: large, and for one component of the manifests."""

WITH_TORCH = ("predictor", "lifecycle")
BUILDERS = ("docker", "podman", "buildah", "minikube")

BASE = "BASE_IMAGE"
DIGEST = {
    "docker": (("buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}"),),
    "podman": (("pull", "--quiet"), ("image", "inspect", "--format", "{{.Digest}}")),
    "buildah": (
        ("pull", "--quiet"),
        ("inspect", "--type", "image", "--format", "{{.FromImageDigest}}"),
    ),
}
"""What asks a builder for the digest of an image by tag, whose last answer it is."""

REPOSITORY = "dev.local"
"""Knative asks no registry about images of this name."""


@dataclass(frozen=True)
class Build:
    """What to build, and how.

    Attributes:
        torch_index: wheel index for the predictor's torch; empty: the Dockerfile's.
        arguments: more of the builder's own, such as ``--build-arg BASE_IMAGE=…``.
        profile: minikube's, to load into.
        components: of ``COMPONENTS`` and ``OPTIONAL``, what to build.
    """

    repository: str
    tag: str
    builder: str
    torch_index: str
    arguments: tuple[str, ...]
    profile: str
    components: tuple[str, ...] = COMPONENTS


def reference(repository: str, component: str, tag: str) -> str:
    return f"{repository}/vision-{component}:{tag}"


def build_all(build: Build) -> None:
    """Raises ClusterError: no builder, or it fails."""
    if build.tag == "latest":
        raise ClusterError("TAG=latest would say nothing about what runs; name a version")
    builder = build.builder or find_builder()
    commit = _commit()
    bases: dict[str, str] = {}
    for component in build.components:
        name = reference(build.repository, component, build.tag)
        step(f"{builder} builds {name}")
        values = {"VERSION": build.tag, "COMMIT": commit}
        if not any(BASE in argument for argument in build.arguments):
            base = base_image(component)
            if base not in bases:
                bases[base] = _by_digest(builder, base)
            values[BASE] = bases[base]
        if component in WITH_TORCH and build.torch_index:
            values["TORCH_INDEX"] = build.torch_index
        run(*build_command(builder, component, name, values, build), quiet=False)
        if builder != "minikube" and minikube_runs(build.profile):
            step(f"minikube loads {name}")
            load(builder, name, build.profile)


def build_command(
    builder: str, component: str, name: str, values: dict[str, str], build: Build
) -> list[str]:
    dockerfile = f"Dockerfile.{component}"
    pairs = [f"{key}={value}" for key, value in values.items()]
    if builder == "minikube":
        options = [f"--build-opt=build-arg={pair}" for pair in pairs]
        command = ["minikube", "--profile", build.profile, "image", "build", *options]
    else:
        verb = {"buildah": ["bud", "--layers"]}.get(builder, ["build"])
        options = [part for pair in pairs for part in ("--build-arg", pair)]
        command = [builder, *verb, *options]
    return [*command, *build.arguments, "-t", name, "-f", dockerfile, str(ROOT)]


def base_image(component: str) -> str:
    """What a component's image is built on, as its Dockerfile says."""
    text = (ROOT / f"Dockerfile.{component}").read_text(encoding="utf-8")
    found = re.search(rf"^ARG {BASE}=(\S+)$", text, re.MULTILINE)
    assert found, f"Dockerfile.{component} names no {BASE}"
    return found[1]


def _by_digest(builder: str, base: str) -> str:
    """The base with the digest that its tag has now, which is said; by tag where it has none."""
    digest = ""
    try:
        for command in DIGEST.get(builder, ()):
            digest = run(builder, *command, base).strip()
        if not digest.startswith("sha256:"):
            raise ClusterError(f"{builder} does not say it")
    except ClusterError as error:
        reason = str(error).splitlines()[-1]
        step(f"base image {base}, by its tag alone; its digest cannot be had: {reason}")
        return base
    step(f"base image {base}@{digest}")
    return f"{base}@{digest}"


def find_builder() -> str:
    """The first that is installed and answers."""
    for name in BUILDERS:
        if installed(name):
            try:
                run(name, *(("version",) if name == "minikube" else ("info",)))
            except ClusterError:
                continue
            return name
    raise ClusterError(f"none of {', '.join(BUILDERS)} is installed and answers")


def load(builder: str, name: str, profile: str) -> None:
    """From the builder's store into minikube's node, by an archive."""
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / "image.tar")
        if builder == "buildah":
            run("buildah", "push", name, f"docker-archive:{archive}:{name}")
        else:
            run(builder, "save", "--output", archive, name)
        run("minikube", "--profile", profile, "image", "load", archive)


def minikube_runs(profile: str) -> bool:
    if not installed("minikube"):
        return False
    try:
        run("minikube", "status", "--profile", profile)
    except ClusterError:
        return False
    return True


def project_version() -> str:
    """The tag that the overlays name."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    assert found, "pyproject.toml names no version"
    return found[1]


def _commit() -> str:
    try:
        commit = run("git", "-C", str(ROOT), "rev-parse", "HEAD").strip()
        changed = run("git", "-C", str(ROOT), "status", "--porcelain").strip()
    except ClusterError:
        return "unknown"
    return f"{commit}-dirty" if changed else commit
