from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cluster.commands import ROOT, ClusterError
from cluster.images import (
    COMPONENTS,
    OPTIONAL,
    Build,
    base_image,
    build_all,
    find_builder,
    project_version,
    reference,
)
from tests.cluster.conftest import Tools


def build(builder: str = "", tag: str = "1.2", *arguments: str) -> Build:
    return Build("dev.local", tag, builder, "", arguments, "vision")


def test_all_are_built_and_loaded(tools: Tools) -> None:
    tools.add("docker")
    tools.add("minikube", ("^status", "Running"))
    tools.add("git", ("rev-parse", "abc123"))
    build_all(build("", "1.2", "--build-arg", "BASE_IMAGE=x"))
    built = [call for call in tools.calls if call.startswith("docker build ")]
    assert len(built) == 3
    for component, call in zip(("predictor", "transformer", "accounts"), built, strict=True):
        assert call == (
            "docker build --build-arg VERSION=1.2 --build-arg COMMIT=abc123 "
            f"--build-arg BASE_IMAGE=x -t dev.local/vision-{component}:1.2 "
            f"-f Dockerfile.{component} {ROOT}"
        )
    saved = [call for call in tools.calls if call.startswith("docker save")]
    loaded = [call for call in tools.calls if " image load " in call]
    assert len(saved) == len(loaded) == 3
    assert loaded[0].startswith("minikube --profile vision image load /")


def test_another_wheel_index_is_the_predictors_alone(tools: Tools) -> None:
    tools.add("docker")
    build_all(Build("dev.local", "1.2", "", "https://wheels", (), "vision"))
    predictor, *others = (call for call in tools.calls if call.startswith("docker build "))
    assert "--build-arg TORCH_INDEX=https://wheels " in predictor
    assert len(others) == 2
    assert "TORCH_INDEX" not in "".join(others)


def test_a_changed_tree_is_said_in_the_label(tools: Tools) -> None:
    tools.add("podman")
    tools.add("git", ("rev-parse", "abc123"), ("status", " M Makefile"))
    build_all(build())
    assert "--build-arg COMMIT=abc123-dirty" in "\n".join(tools.calls)


def test_buildah_and_no_minikube(tools: Tools) -> None:
    tools.add("buildah")
    build_all(build("buildah"))
    built = [call for call in tools.calls if call.startswith("buildah bud --layers")]
    assert len(built) == 3
    assert "COMMIT=unknown" in built[0]


@pytest.mark.parametrize(
    ("builder", "asked"),
    [("docker", "imagetools inspect"), ("podman", "image inspect"), ("buildah", "--type image")],
)
def test_the_base_is_what_its_tag_stands_for_now(
    builder: str, asked: str, tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = f"sha256:{'5' * 64}"
    tools.add(builder, (asked, digest))
    build_all(build(builder))
    pinned = f"{base_image('predictor')}@{digest}"
    assert "\n".join(tools.calls).count(f"--build-arg BASE_IMAGE={pinned} ") == 3
    assert len([call for call in tools.calls if asked in call]) == 1
    assert f"base image {pinned}" in capsys.readouterr().out


def test_a_base_whose_digest_cannot_be_had_is_said(
    tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("podman", ("^pull", "no route to host", 1))
    build_all(build("podman"))
    told = capsys.readouterr().out
    assert "by its tag alone; its digest cannot be had: no route to host" in told
    assert f"--build-arg BASE_IMAGE={base_image('predictor')} " in "\n".join(tools.calls)


def test_buildah_pushes_into_an_archive(tools: Tools) -> None:
    tools.add("buildah")
    tools.add("minikube", ("^status", "Running"))
    build_all(build())
    pushed = [call for call in tools.calls if call.startswith("buildah push")]
    assert re.fullmatch(
        r"buildah push dev.local/vision-predictor:1.2 "
        r"docker-archive:/\S+/image.tar:dev.local/vision-predictor:1.2",
        pushed[0],
    )


def test_minikube_builds_where_nothing_else_can(tools: Tools) -> None:
    tools.add("docker", ("info", "no daemon", 1))
    tools.add("minikube")
    assert find_builder() == "minikube"
    build_all(build())
    built = [call for call in tools.calls if "image build" in call]
    assert "--build-opt=build-arg=VERSION=1.2" in built[0]
    assert not any("image load" in call for call in tools.calls)


def test_no_builder_and_no_version(tools: Tools) -> None:
    with pytest.raises(ClusterError, match="none of docker, podman, buildah, minikube"):
        build_all(build())
    with pytest.raises(ClusterError, match="TAG=latest"):
        build_all(build(tag="latest"))


@pytest.mark.parametrize("overlay", ["land-cover", "minikube", "per-model", "production"])
def test_overlays_name_images_that_are_built(overlay: str) -> None:
    path = ROOT / "manifests" / "overlays" / overlay / "kustomization.yaml"
    images = yaml.safe_load(path.read_text())["images"]
    repository = images[0]["newName"].rpartition("/")[0]
    built = {
        reference(repository, component, project_version())
        for component in (*COMPONENTS, *OPTIONAL)
    }
    assert {f"{image['newName']}:{image['newTag']}" for image in images} == built


@pytest.mark.parametrize("component", ["predictor", "transformer"])
def test_the_image_starts_what_the_manifest_starts(component: str) -> None:
    text = (ROOT / f"Dockerfile.{component}").read_text()
    isvc = yaml.safe_load((ROOT / "manifests" / "base" / "inferenceservice.yaml").read_text())
    (container,) = isvc["spec"][component]["containers"]
    entry = ", ".join(f'"{part}"' for part in container["command"])
    assert f"ENTRYPOINT [{entry}]" in text
    user = container["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in text
    assert "--require-hashes" in text


@pytest.mark.parametrize("component", (*COMPONENTS, *OPTIONAL))
def test_what_the_image_copies_is_in_the_build_context(component: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [Path(line[1:]) for line in ignored if line.startswith("!")]
    text = (ROOT / f"Dockerfile.{component}").read_text()
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert copied
    for path in copied:
        above = [Path(path), *Path(path).parents]
        assert any(p.match(str(pattern)) for p in above for pattern in allowed), path
