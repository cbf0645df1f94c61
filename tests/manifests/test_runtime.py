"""The ServingRuntime, as a cluster would see it."""

from __future__ import annotations

from typing import Any

import pytest

from local.manifest import read_component
from serving.arguments import read_arguments, server_arguments
from tests.manifests.knative import refusals
from tests.manifests.rendering import MANIFESTS, Document, render
from tests.manifests.schema import faults

RUNTIMES = {"cluster": "ClusterServingRuntime", "namespaced": "ServingRuntime"}


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Document:
    (document,) = render(MANIFESTS / "runtime" / request.param)
    assert document["kind"] == RUNTIMES[request.param]
    return document


def containers(runtime: Document) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in runtime["spec"]["containers"]}


def test_it_is_valid(runtime: Document) -> None:
    assert faults(runtime) == []


def test_both_are_the_same_but_for_their_kind() -> None:
    one, other = (render(MANIFESTS / "runtime" / name)[0] for name in RUNTIMES)
    assert one["spec"] == other["spec"]


def test_knative_takes_its_pod(runtime: Document) -> None:
    """As multi-container-probing is off by default: one port, and no probe without it."""
    assert refusals({"containers": runtime["spec"]["containers"]}) == []


def test_a_user_names_the_format_alone(runtime: Document) -> None:
    (found,) = runtime["spec"]["supportedModelFormats"]
    assert (found["name"], found["autoSelect"]) == ("vision", True)
    assert runtime["spec"]["protocolVersions"] == ["v1", "v2"]


def test_the_predictor_exits_where_it_hangs_since_nobody_looks(runtime: Document) -> None:
    predictor = containers(runtime)["kserve-container"]
    assert not {"ports", "readinessProbe", "livenessProbe"} & set(predictor)
    environment = {item["name"]: item["value"] for item in predictor["env"]}
    assert float(environment["VISION_MAX_HANG_SECONDS"]) > 0
    assert environment["VISION_HOST"] == "127.0.0.1"


def test_ready_means_that_the_predictor_is(runtime: Document) -> None:
    transformer = containers(runtime)["transformer-container"]
    assert "--enable_predictor_health_check" in transformer["args"]
    assert transformer["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"


@pytest.mark.parametrize("name", ["kserve-container", "transformer-container"])
def test_the_servers_take_its_arguments(name: str, runtime: Document) -> None:
    arguments = [arg.replace("{{.Name}}", "flowers") for arg in containers(runtime)[name]["args"]]
    options = read_arguments(
        server_arguments("test", ""), arguments, transformer=name == "transformer-container"
    )
    assert [model.selector for model in options.models] == ["/mnt/models"]
    assert options.model_name == "flowers"


def test_the_transformer_finds_the_predictor(runtime: Document) -> None:
    found = containers(runtime)
    (port,) = (a for a in found["kserve-container"]["args"] if a.startswith("--http_port="))
    assert (
        f"--predictor_host=127.0.0.1:{port.partition('=')[2]}"
        in (found["transformer-container"]["args"])
    )


def test_it_is_as_confined_as_the_two_services(runtime: Document) -> None:
    (base,) = (d for d in render(MANIFESTS / "base") if d["kind"] == "InferenceService")
    for container, component in (
        ("kserve-container", "predictor"),
        ("transformer-container", "transformer"),
    ):
        (served,) = base["spec"][component]["containers"]
        found = containers(runtime)[container]
        assert found["securityContext"] == served["securityContext"]
        assert found["command"] == read_component(component).command
